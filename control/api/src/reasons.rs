//! The one list of drop reasons: enum, name, help text and counter index come from it.

/// Declares [`DropReason`] with the name and the help text of each variant.
macro_rules! drop_reasons {
    ($($variant:ident, $name:literal, $help:literal;)+) => {
        /// Why a packet was dropped. The discriminant is the index of its counter.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum DropReason {
            $(#[doc = $help] $variant,)+
        }

        impl DropReason {
            /// Every reason, in the order of the counters.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];
            /// How many reasons there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The name used in counters, logs and the command line.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// One sentence that says what moves this counter.
            pub const fn help(self) -> &'static str {
                match self { $(Self::$variant => $help,)+ }
            }
        }
    };
}

drop_reasons! {
    FrameMultiSegment, "frame_multi_segment", "The driver delivered a frame in more than one mbuf segment.";
    FrameTruncated, "frame_truncated", "The frame ends inside the Ethernet, IP or UDP header.";
    VlanNested, "vlan_nested", "More than one VLAN tag.";
    EtherType, "ether_type", "Neither IPv4 nor IPv6; the kernel gets these where XDP sorts them.";
    Ipv4Header, "ipv4_header", "IPv4 version, header length or total length contradict the frame.";
    Ipv4Checksum, "ipv4_checksum", "The IPv4 header checksum is wrong.";
    Ipv6Header, "ipv6_header", "IPv6 version or payload length contradict the frame, or an extension header stands before UDP.";
    Fragment, "fragment", "A fragment of an IP datagram; fragments belong to the kernel.";
    NotUdp, "not_udp", "An IP protocol other than UDP.";
    SourceAddress, "source_address", "The source address is multicast, broadcast, loopback or unspecified.";
    UdpLength, "udp_length", "The UDP length contradicts the IP length.";
    UdpChecksum, "udp_checksum", "The UDP checksum is wrong, or absent over IPv6.";
    PortZero, "port_zero", "UDP source port zero: nobody could be answered.";
    SourceRate, "source_rate", "The source sends more than [overload.sources] allows.";
    SourceBanned, "source_banned", "The source is banned for a time, because it went on sending too much: trunkline sources lists them.";
    NotOurs, "not_ours", "The destination address and port are not one of our listen points.";
    NoEpoch, "no_epoch", "No configuration epoch has arrived yet.";
    Keepalive, "keepalive", "An empty or CRLF-only datagram, or a STUN Binding indication: they keep a NAT binding alive and have no answer.";
    StunMalformed, "stun_malformed", "STUN that breaks RFC 8489 or has a wrong fingerprint, or that is no Binding request.";
    SipMalformed, "sip_malformed", "Not SIP, or too broken to be answered.";
    AckUnanswerable, "ack_unanswerable", "An ACK that cannot be forwarded; an ACK is never answered.";
    Overload, "overload", "New work while there was more than could be done, and more of it than could be answered with 503.";
    AuthBlocked, "auth_blocked", "The source, or the user it claims to be, has sent wrong credentials too often lately.";
    ResponseMalformed, "response_malformed", "A response that breaks a rule of RFC 3261; a response is never answered.";
    ResponseNotOurs, "response_not_ours", "The topmost Via of a response does not name us.";
    ResponseForged, "response_forged", "The branch of our Via in a response fails its keyed check.";
    ResponseStale, "response_stale", "A response to a transaction of ours that is over, or to a branch that it never had.";
    ResponseNoVia, "response_no_via", "A response without a Via beneath ours.";
    ResponseUnroutable, "response_unroutable", "The Via beneath ours needs DNS, maddr or a transport other than UDP.";
    NoRoute, "no_route", "The kernel has no route to the next hop, or none through one of our ports.";
    NoListenPoint, "no_listen_point", "No listen point has the source address of the route to the next hop.";
    NeighbourFailed, "neighbour_failed", "The next hop did not answer ARP or neighbour discovery.";
    NeighbourQueueFull, "neighbour_queue_full", "Too many messages wait for ARP or neighbour discovery.";
    EgressTooLarge, "egress_too_large", "The rewritten message is larger than the MTU, and may not be or cannot be fragmented.";
    KernelBuffers, "kernel_buffers", "Too many messages that are larger than the MTU or go over connections are on their way to the kernel.";
    KernelSend, "kernel_send", "The kernel refused to send a message larger than the MTU.";
    HandoffFull, "handoff_full", "The ring to the worker that owns the transaction is full.";
    NoPacket, "no_packet", "The mempool has no packet left for a message of our own.";
    TxRingFull, "tx_ring_full", "The transmit queue took no more frames.";
}

#[cfg(test)]
mod tests {
    use super::DropReason;

    #[test]
    fn names_are_unique_and_indices_follow_the_list() {
        for (index, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
            let same = DropReason::ALL.iter().filter(|r| r.name() == reason.name()).count();
            assert_eq!(same, 1, "{} stands twice", reason.name());
        }
    }
}
