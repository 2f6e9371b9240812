// SPDX-License-Identifier: Apache-2.0
//
// RSS for a veth pair, which has none: on the sender's side each frame is hashed as a NIC would hash it
// on arrival (Toeplitz), and leaves by the transmit queue that the table names. A veth hands what leaves
// by queue q to the other side's receive queue q.
//
// Hashed are addresses and ports of UDP over IPv4 and IPv6, the addresses of all other packets and of
// fragments, the first one included; behind up to two VLAN tags. What is neither IPv4 nor IPv6 leaves by
// queue 0.

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

// More fragments follow, and the offset of this one (RFC 791 section 3.1).
#define IPV4_FRAGMENT 0x3fff

// Lengths as in src/rss/veth.rs. Two IPv6 addresses and two ports meet 40 bytes of key.
#define INPUT_BYTES_MAX 36
#define KEY_BYTES 40
#define RETA_SIZE 128
#define QUEUES_MAX 128
#define VLAN_TAGS_MAX 2

struct vlan_tag {
	__be16 control;
	__be16 protocol;
};

struct plan {
	__u8 key[KEY_BYTES];
	__u16 reta[RETA_SIZE];
};

// Two plans, of which one is in force: the other one is written, and then their roles change, so that no
// frame meets half a plan.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct plan);
} rss_plans SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} rss_in_force SEC(".maps");

// Where the frames arrive: by it the program is found.
struct receiver {
	__u64 namespace;
	__u32 interface;
	__u32 queues;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct receiver);
} rss_receiver SEC(".maps");

// Frames by queue.
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, QUEUES_MAX);
	__type(key, __u32);
	__type(value, __u64);
} rss_frames SEC(".maps");

struct input {
	__u8 bytes[INPUT_BYTES_MAX];
	__u32 length;
};

static __always_inline bool ipv4(struct __sk_buff *skb, __u32 at, struct input *input)
{
	struct iphdr ip;

	if (bpf_skb_load_bytes(skb, at, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl < 5)
		return false;
	__builtin_memcpy(input->bytes, &ip.saddr, 8);
	input->length = 8;
	if (ip.protocol == IPPROTO_UDP && !(ip.frag_off & bpf_htons(IPV4_FRAGMENT)) &&
	    !bpf_skb_load_bytes(skb, at + ip.ihl * 4, input->bytes + 8, 4))
		input->length = 12;
	return true;
}

// A fragment has a header of its own before UDP.
static __always_inline bool ipv6(struct __sk_buff *skb, __u32 at, struct input *input)
{
	struct ipv6hdr ip;

	if (bpf_skb_load_bytes(skb, at, &ip, sizeof(ip)) || ip.version != 6)
		return false;
	__builtin_memcpy(input->bytes, &ip.saddr, 32);
	input->length = 32;
	if (ip.nexthdr == IPPROTO_UDP &&
	    !bpf_skb_load_bytes(skb, at + sizeof(ip), input->bytes + 32, 4))
		input->length = 36;
	return true;
}

static __always_inline bool read(struct __sk_buff *skb, struct input *input)
{
	struct ethhdr ethernet;
	struct vlan_tag tag;
	__u32 at = sizeof(ethernet);
	__be16 protocol;

	if (bpf_skb_load_bytes(skb, 0, &ethernet, sizeof(ethernet)))
		return false;
	protocol = ethernet.h_proto;
	for (int tags = 0; tags < VLAN_TAGS_MAX; tags++) {
		if (protocol != bpf_htons(ETH_P_8021Q) && protocol != bpf_htons(ETH_P_8021AD))
			break;
		if (bpf_skb_load_bytes(skb, at, &tag, sizeof(tag)))
			return false;
		protocol = tag.protocol;
		at += sizeof(tag);
	}
	if (protocol == bpf_htons(ETH_P_IP))
		return ipv4(skb, at, input);
	return protocol == bpf_htons(ETH_P_IPV6) && ipv6(skb, at, input);
}

// Each bit of the input that is set adds the 32 bits of the key that begin at its place.
static __always_inline __u32 toeplitz(const struct plan *plan, const struct input *input)
{
	const __u8 *key = plan->key;
	__u32 window = (__u32)key[0] << 24 | key[1] << 16 | key[2] << 8 | key[3];
	__u32 hash = 0;

	for (int place = 0; place < INPUT_BYTES_MAX; place++) {
		__u32 byte = input->bytes[place];

		if (place >= input->length)
			break;
		for (int bit = 7; bit >= 0; bit--) {
			if (byte >> bit & 1)
				hash ^= window;
			window = window << 1 | (key[place + 4] >> bit & 1);
		}
	}
	return hash;
}

SEC("classifier")
int rss_spread(struct __sk_buff *skb)
{
	__u32 zero = 0, *in_force = bpf_map_lookup_elem(&rss_in_force, &zero);
	struct plan *plan = in_force ? bpf_map_lookup_elem(&rss_plans, in_force) : NULL;
	struct receiver *receiver = bpf_map_lookup_elem(&rss_receiver, &zero);
	struct input input = {};
	__u32 queue = 0;
	__u64 *frames;

	if (!plan || !receiver)
		return TC_ACT_UNSPEC;
	if (read(skb, &input))
		queue = plan->reta[toeplitz(plan, &input) % RETA_SIZE];
	if (queue >= receiver->queues)
		queue = 0;
	frames = bpf_map_lookup_elem(&rss_frames, &queue);
	if (frames)
		(*frames)++;
	// The kernel counts from 1 here: 0 means that nobody has chosen (skb_record_rx_queue).
	skb->queue_mapping = queue + 1;
	// The next filter, if there is one, decides whether the frame may leave.
	return TC_ACT_UNSPEC;
}

char licence[] SEC("license") = "Apache-2.0";
