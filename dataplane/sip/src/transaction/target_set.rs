//! The target set of a request (RFC 3261 section 16.5) as a transaction keeps it: the bindings that it
//! was located to, or the Contacts of a redirection that is followed. One text holds all:
//!
//! ```text
//!   q 2 │ group 1 │ listen point 1 │ flags 1 │ address 16 │ port 2 │ lengths 2 2 │ URI │ Route
//! ```

use core::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::rewrite::output::{Full, Output};
use crate::settings::{ListenId, Transport};

/// Targets of a request that are looked at: a bit each says who has been asked.
pub(crate) const TARGETS_MAX: usize = 16;

const HEAD: usize = 27;
const NO_LISTEN: u8 = 0xff;
const IS_V4: u8 = 1;
const IS_FLOW: u8 = 2;
/// Above the flags stands the number of the transport.
const TRANSPORT_SHIFT: u32 = 2;

/// Somebody whom a request can be sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    pub(crate) next_hop: SocketAddr,
    /// What the request goes over.
    pub(crate) transport: Transport,
    /// Where it must leave from, when a NAT knows no other address of ours.
    pub(crate) leave_from: Option<ListenId>,
    /// Its preference, in thousandths: those of the highest are asked first, together.
    pub(crate) q: u16,
    /// Targets of the same number are flows of one instance, of which one is asked at a time (RFC 5626
    /// section 5.3); 0 for none.
    pub(crate) group: u8,
    /// Whether it is reached where it registered from: requests of its dialogs must be, too.
    pub(crate) is_flow: bool,
    /// What becomes the Request-URI.
    pub(crate) uri: &'a [u8],
    /// The value of the Route that leads there; may be empty.
    pub(crate) route: &'a [u8],
}

impl Target<'_> {
    /// A member of a destination set: the request goes there as it is.
    pub(super) const fn member(next_hop: SocketAddr, transport: Transport) -> Self {
        let (leave_from, q, group, is_flow) = (None, 1_000, 0, false);
        Self { next_hop, transport, leave_from, q, group, is_flow, uri: &[], route: &[] }
    }
}

/// Appends a target.
#[expect(clippy::cast_possible_truncation, reason = "both are parts of messages")]
pub(super) fn push(target: &Target<'_>, out: &mut Output) -> Result<(), Full> {
    let address = match target.next_hop.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let family = if target.next_hop.is_ipv4() { IS_V4 } else { 0 };
    let flow = if target.is_flow { IS_FLOW } else { 0 };
    out.push(&target.q.to_be_bytes())?;
    let listen = target.leave_from.map_or(NO_LISTEN, |listen| listen.0);
    let transport = target.transport.number() << TRANSPORT_SHIFT;
    out.push(&[target.group, listen, family | flow | transport])?;
    out.push(&address.octets())?;
    out.push(&target.next_hop.port().to_be_bytes())?;
    out.push(&(target.uri.len() as u16).to_be_bytes())?;
    out.push(&(target.route.len() as u16).to_be_bytes())?;
    out.push(target.uri)?;
    out.push(target.route)
}

/// The targets of a text, in their order, with their numbers.
pub(super) fn each(mut text: &[u8]) -> impl Iterator<Item = (u8, Target<'_>)> {
    let next = move || {
        let (target, rest) = read(text)?;
        text = rest;
        Some(target)
    };
    #[expect(clippy::cast_possible_truncation, reason = "at most 16")]
    let numbers = 0..TARGETS_MAX as u8;
    numbers.zip(core::iter::from_fn(next))
}

fn read(text: &[u8]) -> Option<(Target<'_>, &[u8])> {
    let (head, rest) = text.split_first_chunk::<HEAD>()?;
    let [q0, q1, group, listen, flags, address @ .., p0, p1, u0, u1, r0, r1] = *head;
    let address: [u8; 16] = address;
    let ip = Ipv6Addr::from(address);
    let ip = match ip.to_ipv4_mapped() {
        Some(v4) if flags & IS_V4 != 0 => v4.into(),
        _ => ip.into(),
    };
    let (uri, rest) = rest.split_at_checked(u16::from_be_bytes([u0, u1]).into())?;
    let (route, rest) = rest.split_at_checked(u16::from_be_bytes([r0, r1]).into())?;
    let target = Target {
        next_hop: SocketAddr::new(ip, u16::from_be_bytes([p0, p1])),
        transport: Transport::of_number(flags >> TRANSPORT_SHIFT)?,
        leave_from: (listen != NO_LISTEN).then_some(ListenId(listen)),
        q: u16::from_be_bytes([q0, q1]),
        group,
        is_flow: flags & IS_FLOW != 0,
        uri,
        route,
    };
    Some((target, rest))
}

#[cfg(test)]
mod tests {
    use std::prelude::v1::*;

    use super::*;

    #[test]
    fn what_is_kept_comes_back() {
        let one = Target {
            next_hop: "10.0.0.1:5060".parse().unwrap(),
            transport: Transport::Wss,
            leave_from: Some(ListenId(2)),
            q: 700,
            group: 3,
            is_flow: true,
            uri: b"sip:a@10.0.0.1",
            route: b"<sip:10.0.0.2;lr>",
        };
        let other = Target {
            next_hop: "[fd77::1]:5061".parse().unwrap(),
            leave_from: None,
            is_flow: false,
            route: b"",
            ..one
        };
        let mut out = Output::new();
        push(&one, &mut out).unwrap();
        push(&other, &mut out).unwrap();
        assert_eq!(each(out.bytes()).collect::<Vec<_>>(), [(0, one), (1, other)]);
        assert_eq!(each(&out.bytes()[..out.len() - 1]).count(), 1);
    }
}
