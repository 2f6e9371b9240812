//! Flow tokens (RFC 5626 section 5.2): the user part of a Route of ours that says where a client is
//! reached that sits behind NAT.
//!
//! ```text
//!   tlf  0a4d0102 d431  00  9f86d081884c7d65
//!    │      │      │     │        └── keyed check: nobody else can point us anywhere
//!    │   address  port   └── listen point that the client spoke to; 8 or 32 digits of address
//!    └── tlf of a Record-Route, tlp of a Path
//! ```

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::branch::{Keys, hex2, hex16, read_hex, transport_param};
use super::output::{Full, Output};
use super::reply::push_line;
use crate::route::tables::Tables;
use crate::settings::{ListenId, ListenPoint};
use crate::transaction::Target;

/// Where a client is reached: its address as we see it, and the listen point that its NAT knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flow {
    pub(crate) address: SocketAddr,
    pub(crate) listen: ListenId,
}

/// What a token was given for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The requests of one dialog.
    Dialog,
    /// All requests to a client that registered through us (RFC 3327).
    Path,
}

impl Purpose {
    const fn prefix(self) -> &'static [u8; 3] {
        match self {
            Self::Dialog => b"tlf",
            Self::Path => b"tlp",
        }
    }
}

/// A user part that looks like a flow token and is none that we gave (RFC 5626 section 5.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tampered;

/// Writes the token of a flow.
fn push_token(flow: Flow, purpose: Purpose, keys: &Keys, out: &mut Output) -> Result<(), Full> {
    out.push(purpose.prefix())?;
    match flow.address.ip() {
        IpAddr::V4(ip) => push_bytes(&ip.octets(), out)?,
        IpAddr::V6(ip) => push_bytes(&ip.octets(), out)?,
    }
    push_bytes(&flow.address.port().to_be_bytes(), out)?;
    push_bytes(&[flow.listen.0], out)?;
    out.push(&hex16(check(flow, purpose, keys)))
}

fn check(flow: Flow, purpose: Purpose, keys: &Keys) -> u64 {
    keys.flow(flow.address, flow.listen, purpose as u8)
}

/// Writes the header lines that a request gets for `target` alone: how its dialog reaches a client behind
/// NAT again (RFC 5626 section 5.3.2), and the Route from its Path (RFC 3327 section 5.5). It leaves
/// from the first of the listen points and came in by the second, whose network the caller can reach.
pub(crate) fn push_target_lines(
    target: &Target<'_>,
    records_route: bool,
    [leave_from, arrived_at]: [ListenId; 2],
    tables: &Tables,
    out: &mut Output,
) -> Result<(), Full> {
    if target.is_flow && records_route {
        let flow = Flow { address: target.next_hop, listen: leave_from };
        push_flow_route(flow, arrived_at, tables, out)?;
    }
    push_line(out, b"Route: ", target.route)
}

/// The Record-Route by which requests of a dialog find to a client (RFC 5626 section 5.3.2), at the listen point
/// that the other side can reach.
pub(crate) fn push_flow_route(
    flow: Flow,
    host: ListenId,
    tables: &Tables,
    out: &mut Output,
) -> Result<(), Full> {
    out.push(b"Record-Route: <sip:")?;
    push_token(flow, Purpose::Dialog, &tables.keys, out)?;
    let ListenPoint { address, transport } = tables.listen_point(host);
    out.push_fmt(format_args!("@{address}{};lr>\r\n", transport_param(*transport)))
}

/// The Path by which requests find to a client that registers through us (RFC 3327 section 5.2), at the listen
/// point that the registrar can reach; with `ob` for the first hop of a flow (RFC 5626 section 5.1).
pub(crate) fn push_path(
    flow: Flow,
    has_ob: bool,
    host: ListenId,
    tables: &Tables,
    out: &mut Output,
) -> Result<(), Full> {
    out.push(b"Path: <sip:")?;
    push_token(flow, Purpose::Path, &tables.keys, out)?;
    let ob = if has_ob { ";ob" } else { "" };
    let ListenPoint { address, transport } = tables.listen_point(host);
    out.push_fmt(format_args!("@{address}{};lr{ob}>\r\n", transport_param(*transport)))
}

fn push_bytes(bytes: &[u8], out: &mut Output) -> Result<(), Full> {
    bytes.iter().try_for_each(|&byte| out.push(&hex2(byte)))
}

/// The flow of a user part, and what for; `None` for one that is no token.
pub(crate) fn read_token(user: &[u8], keys: &Keys) -> Result<Option<(Flow, Purpose)>, Tampered> {
    let found = [Purpose::Dialog, Purpose::Path]
        .into_iter()
        .find_map(|purpose| Some((purpose, user.strip_prefix(purpose.prefix())?)));
    let Some((purpose, digits)) = found else { return Ok(None) };
    let flow = read(digits)
        .filter(|(flow, digits)| hex16(check(*flow, purpose, keys)).as_slice() == *digits);
    flow.map(|(flow, _)| Some((flow, purpose))).ok_or(Tampered)
}

#[expect(clippy::cast_possible_truncation, reason = "read from as many digits")]
fn read(digits: &[u8]) -> Option<(Flow, &[u8])> {
    let (place, check) = digits.split_at_checked(digits.len().checked_sub(16)?)?;
    let (ip, rest) = place.split_at_checked(place.len().checked_sub(6)?)?;
    let (port, listen) = rest.split_at_checked(4)?;
    let ip: IpAddr = match ip.len() {
        8 => Ipv4Addr::from_bits(read_hex(ip)? as u32).into(),
        32 => {
            let (high, low) = ip.split_at_checked(16)?;
            Ipv6Addr::from_bits(u128::from(read_hex(high)?) << 64 | u128::from(read_hex(low)?))
                .into()
        }
        _ => return None,
    };
    let address = SocketAddr::new(ip, read_hex(port)? as u16);
    Some((Flow { address, listen: ListenId(read_hex(listen)? as u8) }, check))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_flow_and_no_other_does() {
        let keys = Keys::new(b"0123456789abcdef");
        let purposes = [Purpose::Dialog, Purpose::Path];
        for (address, purpose) in ["10.77.1.2:54321", "[fd77:1::2]:5060"].into_iter().zip(purposes)
        {
            let flow = Flow { address: address.parse().unwrap(), listen: ListenId(3) };
            let mut out = Output::new();
            push_token(flow, purpose, &keys, &mut out).unwrap();
            assert_eq!(read_token(out.bytes(), &keys), Ok(Some((flow, purpose))));
            // From "tlf" to "tlp" and back it is changed, too.
            let mut other = out.bytes().to_vec();
            other[2] ^= b'f' ^ b'p';
            assert_eq!(read_token(&other, &keys), Err(Tampered), "{address}");
            for at in 3..out.len() {
                let mut other = out.bytes().to_vec();
                other[at] = if other[at] == b'0' { b'1' } else { b'0' };
                assert_eq!(read_token(&other, &keys), Err(Tampered), "{address} {at}");
                assert_eq!(read_token(&out.bytes()[..at], &keys), Err(Tampered), "{address} {at}");
            }
        }
        assert_eq!(read_token(b"alice", &keys), Ok(None));
    }
}
