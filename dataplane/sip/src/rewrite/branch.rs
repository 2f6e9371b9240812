//! Keyed hashes by which messages prove themselves: the branch of our Via, the mark in our
//! Record-Route, the tag of our replies. All over short texts, SipHash-1-3.

use siphasher::sip::{SipHasher13, SipHasher24};

use crate::message::Headers;
use crate::parse::header::HeaderId;
use crate::parse::name_addr::NameAddr;
use crate::parse::via::Via;
use crate::settings::ListenId;

/// RFC 3261 section 8.1.1.7.
const MAGIC_COOKIE: &[u8; 7] = b"z9hG4bK";

/// Our branches begin so; the last character is the version of what follows.
pub(crate) const BRANCH_PREFIX: &[u8; 11] = b"z9hG4bK-tl1";

/// Length of a branch: prefix, listen point (2 hex digits), check (16 hex digits).
pub(crate) const BRANCH_LENGTH: usize = BRANCH_PREFIX.len() + 2 + 16;

/// One key for each purpose, so that no hash can be used in place of another.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    branch: SipHasher13,
    call: SipHasher13,
    tag: SipHasher13,
}

impl Keys {
    pub(crate) fn new(secret: &[u8; 16]) -> Self {
        let derive = |purpose: u8| {
            let half = |index: u8| SipHasher24::new_with_key(secret).hash(&[purpose, index]);
            SipHasher13::new_with_keys(half(0), half(1))
        };
        Self { branch: derive(1), call: derive(2), tag: derive(3) }
    }

    /// The check of the branch that goes before the received Via `via`.
    ///
    /// It is a function of what the transaction's INVITE, ACK and CANCEL share and what every
    /// response carries back, so that it can be computed again from a response (RFC 3261 16.11):
    /// the branch and sent-by of the received Via; where the branch is not unique (RFC 2543),
    /// From tag, Call-ID and CSeq number too. The parameters of the received Via stay out, since
    /// we add to them ourselves.
    pub(crate) fn branch(
        &self,
        bytes: &[u8],
        headers: &Headers,
        via: &Via,
        ingress: ListenId,
    ) -> u64 {
        let mut digest = Digest::new(&self.branch, ingress.0);
        digest.field(via.branch.of(bytes));
        digest.field(via.sent_by_span().of(bytes));
        if !has_magic_cookie(via.branch.of(bytes)) {
            let value = headers.value(HeaderId::From);
            let from = NameAddr::parse(bytes, value.start(), value.end());
            digest.field(from.map_or(value, |from| from.tag).of(bytes));
            digest.field(headers.value(HeaderId::CallId).of(bytes));
            digest.field(&headers.cseq_number.to_le_bytes());
        }
        digest.finish()
    }

    /// The hash of a call: its Record-Route marks and its destination follow from it.
    #[inline]
    pub(crate) fn call(&self, call_id: &[u8]) -> u64 {
        self.call.hash(call_id)
    }

    /// The tag of a stateless reply: the same for each copy of a request (RFC 3261 8.2.7).
    #[inline]
    pub(crate) fn tag(&self, branch: u64) -> u64 {
        self.tag.hash(&branch.to_le_bytes())
    }
}

/// Hashes texts with their lengths, so that bytes cannot wander from one to the next. They are
/// gathered first: one hash over some fifty bytes is quicker than a stream of small pieces.
struct Digest<'a> {
    key: &'a SipHasher13,
    gathered: [u8; 128],
    length: usize,
}

impl<'a> Digest<'a> {
    #[inline(always)]
    fn new(key: &'a SipHasher13, first: u8) -> Self {
        let mut gathered = [0; 128];
        gathered[0] = first;
        Self { key, gathered, length: 1 }
    }

    #[inline(always)]
    fn field(&mut self, text: &[u8]) {
        let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
        self.write(&length.to_le_bytes());
        self.write(text);
    }

    #[inline(always)]
    fn write(&mut self, text: &[u8]) {
        match self.gathered.get_mut(self.length..self.length + text.len()) {
            Some(room) => {
                room.copy_from_slice(text);
                self.length += text.len();
            }
            None => self.write_long(text),
        }
    }

    /// What does not fit follows the hash of what is gathered so far.
    #[cold]
    fn write_long(&mut self, text: &[u8]) {
        for &byte in text {
            if self.length == self.gathered.len() {
                let hash = self.key.hash(&self.gathered);
                self.gathered[..8].copy_from_slice(&hash.to_le_bytes());
                self.length = 8;
            }
            self.gathered[self.length] = byte;
            self.length += 1;
        }
    }

    #[inline(always)]
    fn finish(self) -> u64 {
        self.key.hash(self.gathered.get(..self.length).unwrap_or_default())
    }
}

/// The mark of a call in the Record-Route that names listen point `listen`.
#[inline]
pub(crate) fn mark(call: u64, listen: ListenId) -> u64 {
    call.rotate_left(u32::from(listen.0)) ^ u64::from(listen.0)
}

#[inline]
fn has_magic_cookie(branch: &[u8]) -> bool {
    branch.first_chunk::<7>().is_some_and(|begin| begin.eq_ignore_ascii_case(MAGIC_COOKIE))
        && branch.len() > MAGIC_COOKIE.len()
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
