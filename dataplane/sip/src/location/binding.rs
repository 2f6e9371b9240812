//! One binding: where a user has said to be, until when.

use core::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::table::NONE;
use crate::settings::{ListenId, Nat};
use crate::transaction::{Text, Tick};

/// Bytes of a binding's text that stand in its record: many Contacts need no more.
pub(super) const START: usize = 36;

/// A binding. All that a refresh looks at stands in these two cache lines.
#[derive(Clone, Debug)]
#[repr(C, align(128))]
pub(crate) struct Binding {
    /// Slot of its AoR.
    pub(crate) aor: u32,
    /// The next binding of the AoR, or the next free one.
    pub(crate) next: u32,
    /// Keyed hash of its Contact URI as it was written.
    pub(crate) uri: u64,
    /// Hash of its instance (RFC 5626 section 4.1); 0 when it has none.
    pub(crate) instance: u64,
    /// Hash of the Call-ID that it was last changed with.
    pub(crate) call: u64,
    /// When it ends, by the clock of the worker.
    pub(crate) expires_ms: u64,
    /// CSeq that it was last changed with.
    pub(crate) cseq: u32,
    /// When its timer fires.
    pub(crate) timer: Tick,
    /// Where its last REGISTER came from.
    pub(super) source_ip: [u8; 16],
    /// 0 when it has none (RFC 5626 section 4.2).
    pub(crate) reg_id: u32,
    pub(super) source_port: u16,
    /// In thousandths.
    pub(crate) q: u16,
    pub(crate) uri_length: u16,
    pub(crate) instance_length: u16,
    pub(crate) path_length: u16,
    /// The listen point that its last REGISTER came in by.
    pub(crate) listen: ListenId,
    /// It is reached where it registered from.
    pub(crate) is_flow: bool,
    /// Its Contact URI leads where it registered from: nobody has to read it.
    pub(crate) is_at_source: bool,
    /// By which rule that was decided.
    pub(crate) nat: Nat,
    /// The rest of its text.
    pub(super) rest: Text,
    /// The start of its text: URI, instance, Path.
    pub(super) start: [u8; START],
}

/// What a REGISTER says of a binding, but for its texts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Contact {
    pub(crate) uri: u64,
    pub(crate) instance: u64,
    pub(crate) reg_id: u32,
    pub(crate) q: u16,
    pub(crate) call: u64,
    pub(crate) cseq: u32,
    pub(crate) expires_ms: u64,
    pub(crate) source: SocketAddr,
    pub(crate) listen: ListenId,
    pub(crate) is_flow: bool,
    pub(crate) is_at_source: bool,
    pub(crate) nat: Nat,
}

impl Binding {
    pub(super) const FREE: Self = Self {
        aor: NONE,
        next: NONE,
        uri: 0,
        instance: 0,
        call: 0,
        expires_ms: 0,
        cseq: 0,
        timer: Tick::of_ms(0),
        source_ip: [0; 16],
        reg_id: 0,
        source_port: 0,
        q: 0,
        uri_length: 0,
        instance_length: 0,
        path_length: 0,
        listen: ListenId(0),
        is_flow: false,
        is_at_source: false,
        nat: Nat::Auto,
        rest: Text::NONE,
        start: [0; START],
    };

    /// Where its last REGISTER came from.
    #[inline]
    pub(crate) fn source(&self) -> SocketAddr {
        let ip = Ipv6Addr::from(self.source_ip);
        let ip = ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4);
        SocketAddr::new(ip, self.source_port)
    }

    /// Takes over what a REGISTER says.
    #[inline]
    pub(crate) fn set(&mut self, contact: &Contact) {
        let Contact { uri, instance, reg_id, q, call, cseq, expires_ms, .. } = *contact;
        (self.uri, self.instance, self.reg_id) = (uri, instance, reg_id);
        (self.q, self.call, self.cseq, self.expires_ms) = (q, call, cseq, expires_ms);
        (self.listen, self.is_flow, self.nat) = (contact.listen, contact.is_flow, contact.nat);
        self.is_at_source = contact.is_at_source;
        self.source_ip = octets(contact.source.ip());
        self.source_port = contact.source.port();
    }

    /// Length of its text.
    pub(super) fn text_length(&self) -> usize {
        usize::from(self.uri_length)
            + usize::from(self.instance_length)
            + usize::from(self.path_length)
    }
}

/// The address as IPv6 has it.
#[inline]
pub(super) fn octets(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_takes_two_cache_lines() {
        assert_eq!((size_of::<Binding>(), align_of::<Binding>()), (128, 128));
    }
}
