// SPDX-License-Identifier: Apache-2.0
//
// Hands SIP over UDP to the AF_XDP socket of the queue it arrived on, and everything else to the
// kernel: ARP, neighbour discovery, ICMP, TCP, fragments (the kernel reassembles them), other UDP.
//
// SIP is what the map `listen_points` says: UDP to one of its addresses and ports, in a frame to
// this interface. A datagram for which the queue has no socket goes to the kernel as well, so SIP
// has a way while the data plane is away.

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

// More fragments follow, and the offset of this one (RFC 791 section 3.1).
#define IPV4_FRAGMENT 0x3fff

// Queues of an interface, and listen points; see limits.rs for the latter.
#define QUEUES_MAX 128
#define LISTEN_POINTS_MAX 256

struct vlan_tag {
	__be16 control;
	__be16 protocol;
};

// 18 bytes without padding. IPv4 addresses are mapped into IPv6 (RFC 4291 section 2.5.5.2).
struct listen_point {
	__u8 address[16];
	__be16 port;
};

// DPDK's driver looks the sockets' map up by this name.
struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, QUEUES_MAX);
	__type(key, __u32);
	__type(value, __u32);
} xsks_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, LISTEN_POINTS_MAX);
	__type(key, struct listen_point);
	__type(value, __u8);
} listen_points SEC(".maps");

// The interface's MAC address; without meaning until the data plane has said it.
struct own_address {
	__u8 mac[ETH_ALEN];
	__u8 is_known;
	__u8 unused;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct own_address);
} own_address SEC(".maps");

// Datagrams for a listen point, by what became of them.
enum outcome { TO_SOCKET, TO_KERNEL, OUTCOMES };

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, OUTCOMES);
	__type(key, __u32);
	__type(value, __u64);
} outcomes SEC(".maps");

static __always_inline struct udphdr *after_ipv4(void *start, void *end, struct listen_point *to)
{
	struct iphdr *ip = start;

	if ((void *)(ip + 1) > end || ip->version != 4 || ip->ihl < 5)
		return NULL;
	if (ip->protocol != IPPROTO_UDP || ip->frag_off & bpf_htons(IPV4_FRAGMENT))
		return NULL;
	to->address[10] = 0xff;
	to->address[11] = 0xff;
	__builtin_memcpy(&to->address[12], &ip->daddr, sizeof(ip->daddr));
	return start + ip->ihl * 4;
}

// A fragment has an extension header before UDP and is left to the kernel with all the others.
static __always_inline struct udphdr *after_ipv6(void *start, void *end, struct listen_point *to)
{
	struct ipv6hdr *ip = start;

	if ((void *)(ip + 1) > end || ip->version != 6 || ip->nexthdr != IPPROTO_UDP)
		return NULL;
	__builtin_memcpy(to->address, &ip->daddr, sizeof(ip->daddr));
	return (void *)(ip + 1);
}

// Frames for another host come in where nothing before us filters them: on veth, while the switch floods since it does not
// know where that host is. The kernel drops them; who has the address of that host in common with it must not take them.
static __always_inline bool is_for_us(const struct ethhdr *ethernet)
{
	const struct own_address *own;
	__u32 only = 0;
	int at;

	own = bpf_map_lookup_elem(&own_address, &only);
	if (!own || !own->is_known)
		return true;
#pragma unroll
	for (at = 0; at < ETH_ALEN; at++)
		if (own->mac[at] != ethernet->h_dest[at])
			return false;
	return true;
}

static __always_inline bool for_listen_point(void *start, void *end)
{
	struct listen_point to = {};
	struct udphdr *udp = NULL;
	struct ethhdr *ethernet = start;
	void *next = ethernet + 1;
	__be16 protocol;

	if (next > end)
		return false;
	protocol = ethernet->h_proto;
	if (protocol == bpf_htons(ETH_P_8021Q) || protocol == bpf_htons(ETH_P_8021AD)) {
		struct vlan_tag *tag = next;

		next = tag + 1;
		if (next > end)
			return false;
		protocol = tag->protocol;
	}

	if (protocol == bpf_htons(ETH_P_IP))
		udp = after_ipv4(next, end, &to);
	else if (protocol == bpf_htons(ETH_P_IPV6))
		udp = after_ipv6(next, end, &to);
	if (!udp || (void *)(udp + 1) > end)
		return false;
	to.port = udp->dest;
	return bpf_map_lookup_elem(&listen_points, &to) && is_for_us(ethernet);
}

SEC("xdp")
int sip_redirect(struct xdp_md *context)
{
	void *start = (void *)(long)context->data;
	void *end = (void *)(long)context->data_end;
	__u32 outcome;
	__u64 *count;
	int verdict;

	if (!for_listen_point(start, end))
		return XDP_PASS;
	// The last argument is the verdict for a queue without a socket.
	verdict = bpf_redirect_map(&xsks_map, context->rx_queue_index, XDP_PASS);
	outcome = verdict == XDP_REDIRECT ? TO_SOCKET : TO_KERNEL;
	count = bpf_map_lookup_elem(&outcomes, &outcome);
	if (count)
		(*count)++;
	return verdict;
}

char licence[] SEC("license") = "Apache-2.0";
