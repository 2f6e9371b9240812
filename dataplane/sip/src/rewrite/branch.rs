//! Keyed hashes by which messages prove themselves: the branch of our Via, the mark in our
//! Record-Route, the tag of our replies. All over short texts, SipHash-1-3.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use super::keyed_hash::HashKey;
use super::told::ASK;
use crate::location::GruuKey;
use crate::message::{Headers, Span};
use crate::parse::header::HeaderId;
use crate::parse::name_addr::NameAddr;
use crate::parse::scan;
use crate::parse::via::Via;
use crate::settings::{ListenId, ListenPoint, Transport};

/// RFC 3261 section 8.1.1.7.
const MAGIC_COOKIE: &[u8; 7] = b"z9hg4bk"; // in any case

/// Our stateless branches begin so; the last character is the version of what follows.
pub(crate) const BRANCH_PREFIX: &[u8; 11] = b"z9hG4bK-tl1";

/// The branches of our transactions begin so.
pub(crate) const STATEFUL_PREFIX: &[u8; 11] = b"z9hG4bK-tl2";

/// Length of a stateless branch: prefix, listen point (2 hex digits), check (16 hex digits).
pub(crate) const BRANCH_LENGTH: usize = BRANCH_PREFIX.len() + 2 + 16;

/// Length of the branch of a transaction: prefix, its place (16 hex digits), check (16 hex digits).
pub(crate) const STATEFUL_LENGTH: usize = STATEFUL_PREFIX.len() + 16 + 16;

/// What follows the prefix of one of our branches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Branch {
    /// The listen point that the request came in by, and [`Keys::branch`].
    Stateless(ListenId, u64),
    /// The place of the transaction, and [`Keys::place`].
    Stateful(u64, u64),
    /// The same in a Via that asks the next hop to tell its load.
    Asking(u64, u64),
}

/// One key for each purpose.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    branch: HashKey,
    call: HashKey,
    tag: HashKey,
    place: HashKey,
    merged: HashKey,
    flow: HashKey,
    keep_alive: HashKey,
    /// Of temporary GRUUs.
    pub(crate) gruu: GruuKey,
}

impl Keys {
    pub(crate) fn new(secret: &[u8; 16]) -> Self {
        let derive = |purpose| HashKey::derive(secret, purpose);
        Self {
            branch: derive(1),
            call: derive(2),
            tag: derive(3),
            place: derive(4),
            merged: derive(5),
            flow: derive(6),
            keep_alive: derive(7),
            gruu: GruuKey::derive(secret),
        }
    }

    /// The check of the branch that goes before the received Via `via`.
    ///
    /// It is a function of what the transaction's INVITE, ACK and CANCEL share and what every
    /// response carries back, so that it can be computed again from a response (RFC 3261 16.11):
    /// the branch and sent-by of the received Via; where the branch is not unique (RFC 2543),
    /// From tag, Call-ID and CSeq number too. The parameters of the received Via stay out, since
    /// we add to them ourselves.
    #[inline(always)]
    pub(crate) fn branch(
        &self,
        bytes: &[u8],
        headers: &Headers,
        via: &Via,
        ingress: ListenId,
    ) -> u64 {
        let hash = self.branch.begin().text(via.branch.of(bytes));
        let hash = hash.text(via.sent_by_span().of(bytes));
        if has_magic_cookie(bytes, via.branch) {
            return hash.finish(ingress.0);
        }
        let value = headers.value(HeaderId::From);
        let from = NameAddr::parse(bytes, value.start(), value.end());
        let hash = hash.text(from.map_or(value, |from| from.tag).of(bytes));
        let hash = hash.text(headers.value(HeaderId::CallId).of(bytes));
        hash.word(headers.cseq_number.into()).finish(ingress.0)
    }

    /// The same for a received Via whose branch has the magic cookie.
    #[inline]
    pub(crate) fn unique_branch(&self, branch: &[u8], sent_by: &[u8], ingress: ListenId) -> u64 {
        self.branch.begin().text(branch).text(sent_by).finish(ingress.0)
    }

    /// The hash of a call: its Record-Route marks and its destination follow from it.
    #[inline(always)]
    pub(crate) fn call(&self, call_id: &[u8]) -> u64 {
        self.call.begin().text(call_id).finish(0)
    }

    /// The check of the place of a transaction, which counts until the process that numbers itself
    /// `boot` ends.
    #[inline(always)]
    pub(crate) fn place(&self, place: u64, boot: u64) -> u64 {
        self.place.begin().word(place).word(boot).finish(0)
    }

    /// The check of a flow token that is given for a `purpose`.
    pub(crate) fn flow(&self, address: SocketAddr, listen: ListenId, purpose: u8) -> u64 {
        let hash = match address.ip() {
            IpAddr::V4(ip) => self.flow.begin().text(&ip.octets()),
            IpAddr::V6(ip) => self.flow.begin().text(&ip.octets()),
        };
        hash.word(u64::from(purpose) << 16 | u64::from(address.port())).finish(listen.0)
    }

    /// The check of the branch of a keep-alive of ours.
    pub(crate) fn keep_alive(&self, mark: u64) -> u64 {
        self.keep_alive.begin().word(mark).finish(0)
    }

    /// What copies of a request share that took different ways (RFC 3261 section 8.2.2.2), and the
    /// Request-URI, in which the legs of a fork upstream differ.
    pub(crate) fn merged(&self, call: u64, from_tag: &[u8], cseq: u32, uri: &[u8]) -> u64 {
        self.merged.begin().word(call ^ u64::from(cseq)).text(from_tag).text(uri).finish(0)
    }

    /// The tag of a stateless reply: the same for each copy of a request (RFC 3261 8.2.7).
    pub(crate) fn tag(&self, branch: u64) -> u64 {
        self.tag.begin().word(branch).finish(0)
    }
}

#[inline(always)]
fn has_magic_cookie(bytes: &[u8], branch: Span) -> bool {
    let start = branch.start();
    branch.len() > MAGIC_COOKIE.len()
        && scan::is_name(bytes, Span::new(start, start + MAGIC_COOKIE.len()), MAGIC_COOKIE)
}

/// Header lines of ours, ready but for what differs from request to request.
#[derive(Debug)]
pub(crate) struct TopLines {
    stateless: Lines,
    stateful: Lines,
    asking: Lines,
}

/// The lines for branches of one kind.
#[derive(Debug)]
struct Lines {
    text: Box<[u8]>,
    /// Where the branch has its blanks.
    branch_at: usize,
    /// Where the Record-Routes have theirs; both in one place when there is one line.
    marks_at: Option<[usize; 2]>,
}

impl TopLines {
    /// `Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK-tl1`, with room for what follows, and for each
    /// of `recorded`, of which there are at most two, `Record-Route: <sip:192.0.2.1:5060;lr;tl=`, with
    /// room for the mark.
    pub(crate) fn new(sent_by: ListenPoint, recorded: &[ListenPoint]) -> Self {
        Self {
            stateless: Lines::new(sent_by, recorded, (BRANCH_PREFIX, BRANCH_LENGTH), b""),
            stateful: Lines::new(sent_by, recorded, (STATEFUL_PREFIX, STATEFUL_LENGTH), b""),
            asking: Lines::new(sent_by, recorded, (STATEFUL_PREFIX, STATEFUL_LENGTH), ASK),
        }
    }

    fn lines(&self, branch: Branch) -> &Lines {
        match branch {
            Branch::Stateless(..) => &self.stateless,
            Branch::Stateful(..) => &self.stateful,
            Branch::Asking(..) => &self.asking,
        }
    }

    /// The lines with their blanks, for a branch of this kind.
    #[inline(always)]
    pub(crate) fn text(&self, branch: Branch) -> &[u8] {
        &self.lines(branch).text
    }

    /// Fills the blanks of `text`, a copy of [`Self::text`].
    #[inline(always)]
    pub(crate) fn fill(&self, text: &mut [u8], branch: Branch, call: Option<u64>) {
        let lines = self.lines(branch);
        match branch {
            Branch::Stateless(ingress, check) => {
                put(text, lines.branch_at, hex2(ingress.0));
                put(text, lines.branch_at + 2, hex16(check));
            }
            Branch::Stateful(place, check) | Branch::Asking(place, check) => {
                put(text, lines.branch_at, hex16(place));
                put(text, lines.branch_at + 16, hex16(check));
            }
        }
        if let (Some(marks_at), Some(call)) = (lines.marks_at, call) {
            let mark = hex16(call);
            for at in marks_at {
                put(text, at, mark);
            }
        }
    }
}

impl Lines {
    fn new(
        sent_by: ListenPoint,
        recorded: &[ListenPoint],
        (prefix, length): (&[u8], usize),
        params: &[u8],
    ) -> Self {
        let begin = String::from_utf8_lossy(prefix);
        let ListenPoint { address, transport } = sent_by;
        let mut text = format!("Via: SIP/2.0/{} {address};branch={begin}", transport.via());
        let branch_at = text.len();
        text.extend(core::iter::repeat_n(" ", length - prefix.len()));
        text.push_str(&String::from_utf8_lossy(params));
        if transport == Transport::Tls {
            // RFC 5923 section 8.1: the server may send its requests over this connection, too.
            text.push_str(";alias");
        }
        let mut marks_at = Vec::new();
        for point in recorded {
            let transport = transport_param(point.transport);
            let record = format!("\r\nRecord-Route: <sip:{}{transport};lr;tl=", point.address);
            text.push_str(&record);
            marks_at.push(text.len());
            text.extend([" "; 16]);
            text.push('>');
        }
        text.push_str("\r\n");
        let marks_at = marks_at.first().zip(marks_at.last()).map(|(&first, &last)| [first, last]);
        Self { text: text.into_bytes().into(), branch_at, marks_at }
    }
}

/// What a URI of ours says of its transport: nothing for UDP. Secure WebSocket has no name of its own there
/// (RFC 7118 section 5.2.2); its port tells.
pub(crate) const fn transport_param(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "",
        Transport::Tcp => ";transport=tcp",
        Transport::Tls => ";transport=tls",
        Transport::Ws | Transport::Wss => ";transport=ws",
    }
}

#[inline(always)]
fn put<const N: usize>(text: &mut [u8], at: usize, part: [u8; N]) {
    if let Some(blank) = text.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *blank = part;
    }
}

/// `value` in 16 lower-case hex digits.
#[inline(always)]
pub(crate) fn hex16(value: u64) -> [u8; 16] {
    // Each nibble moves to a byte of its own: 32 bits at a time, halving the distance.
    let spread = |half: u64| {
        let x = (half | half << 16) & 0x0000_ffff_0000_ffff;
        let x = (x | x << 8) & 0x00ff_00ff_00ff_00ff;
        let nibbles = (x | x << 4) & 0x0f0f_0f0f_0f0f_0f0f;
        // 6 carries into bit 4 exactly for 10 and above; those want 'a' - '0' - 10 = 39 more.
        let letters = ((nibbles + 0x0606_0606_0606_0606) >> 4) & 0x0101_0101_0101_0101;
        nibbles + 0x3030_3030_3030_3030 + (letters << 5) + (letters << 3) - letters
    };
    (u128::from(spread(value >> 32)) << 64 | u128::from(spread(value & 0xffff_ffff))).to_be_bytes()
}

/// `value` in two lower-case hex digits.
#[inline(always)]
pub(crate) fn hex2(value: u8) -> [u8; 2] {
    let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
    [digit(value >> 4), digit(value & 15)]
}

/// Reads lower-case hex digits: what we write, and nothing else.
#[inline]
pub(crate) fn read_hex(text: &[u8]) -> Option<u64> {
    if text.len() > 16 {
        return None;
    }
    text.iter().try_fold(0_u64, |value, &byte| {
        let nibble = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u64::from(nibble))
    })
}

/// Takes one of our branches apart: the listen point the request came in by, and the digits of the
/// check, to be compared with those of [`hex16`].
#[inline]
pub(crate) fn read_branch(branch: &[u8]) -> Option<(ListenId, &[u8])> {
    let rest = branch.strip_prefix(BRANCH_PREFIX)?;
    if branch.len() != BRANCH_LENGTH {
        return None;
    }
    let (listen, check) = rest.split_at(2);
    let listen = u8::try_from(read_hex(listen)?).ok()?;
    Some((ListenId(listen), check))
}

/// Takes the branch of one of our transactions apart: its place, and the digits of the check.
#[inline]
pub(crate) fn read_place(branch: &[u8]) -> Option<(u64, &[u8])> {
    let rest = branch.strip_prefix(STATEFUL_PREFIX)?;
    if branch.len() != STATEFUL_LENGTH {
        return None;
    }
    let (place, check) = rest.split_at(16);
    Some((read_hex(place)?, check))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_there_and_back() {
        for value in [0, 1, 0x0123_4567_89ab_cdef, u64::MAX, 0xfedc_ba98_7654_3210] {
            assert_eq!(hex16(value).as_slice(), format!("{value:016x}").as_bytes());
            assert_eq!(read_hex(&hex16(value)), Some(value));
        }
        assert_eq!(&hex2(0x3f), b"3f");
        assert_eq!(read_hex(b"0A"), None);
    }

    #[test]
    fn branch_is_read_exactly() {
        assert_eq!(
            read_branch(b"z9hG4bK-tl10500000000000000ff"),
            Some((ListenId(5), &b"00000000000000ff"[..]))
        );
        assert_eq!(read_branch(b"z9hG4bK-tl10500000000000000f"), None);
        assert_eq!(read_branch(b"z9hG4bK-tl20500000000000000ff"), None);
        assert_eq!(read_branch(b"z9hG4bK-1-1-0"), None);
    }
}
