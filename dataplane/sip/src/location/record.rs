//! Records of the location store: an AoR with all of its bindings, as bytes.
//!
//! ```text
//! record:   length 4 │ AoR length 2 │ AoR │ bindings 1 │ binding …
//! binding:  ends 8 │ Call-ID hash 8 │ CSeq 4 │ reg-id 4 │ q 2 │ flags 1 │ source 18 │ listen point 18
//!           │ URI, instance and Path lengths 2 2 2 │ URI │ instance │ Path
//! ```
//!
//! Numbers are little-endian, addresses 16 bytes and a port. A record without bindings says that the
//! AoR is to be forgotten; the highest bit of their number, that the worker has passed over a replacement. Records do
//! not depend on the process that wrote them.

use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::aor::AorId;
use super::binding::octets;
use super::layer::aor_key;
use crate::limits::{AOR_MAX, CONTACTS_MAX};
use crate::rewrite::keyed_hash::HashKey;
use crate::settings::Transport;

/// Bytes of a record without its texts and bindings.
const HEAD: usize = 4 + 2 + 1;
/// Bytes of a binding without its texts.
const BINDING: usize = 8 + 8 + 4 + 4 + 2 + 1 + 18 + 18 + 6;
/// Flag: it is reached where it registered from.
const IS_FLOW: u8 = 1;
/// In the count of bindings: a worker has passed over a replacement of this AoR.
pub(super) const HAS_PASSED: u8 = 0x80;
/// Above the flag stands the number of the transport.
const TRANSPORT_SHIFT: u32 = 1;

/// Bytes that are no records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadRecord;

impl fmt::Display for BadRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("these bytes are no records of the location store")
    }
}

impl core::error::Error for BadRecord {}

/// An AoR with its bindings.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    whole: &'a [u8],
    aor: &'a str,
    count: u8,
    has_passed: bool,
    bindings: &'a [u8],
}

/// A binding in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindingView<'a> {
    /// Contact URI.
    pub uri: &'a [u8],
    /// Value of `+sip.instance`, with its quotes; empty when there is none.
    pub instance: &'a [u8],
    /// Values of Path, with commas between them; empty when there is none.
    pub path: &'a [u8],
    /// When it ends, in milliseconds since 1970.
    pub expires_unix_ms: u64,
    /// Hash of the Call-ID that it was last changed with; the same in every process.
    pub call_id_hash: u64,
    /// CSeq that it was last changed with.
    pub cseq: u32,
    /// 0 when it has none (RFC 5626 section 4.2).
    pub reg_id: u32,
    /// Preference in thousandths, 0 to 1000.
    pub q: u16,
    /// It is reached where it registered from.
    pub is_flow: bool,
    /// Where its last REGISTER came from.
    pub source: SocketAddr,
    /// The listen point that it came in by.
    pub listen: SocketAddr,
    /// What was spoken there.
    pub transport: Transport,
}

/// Tells which worker owns a record.
#[derive(Debug)]
pub struct RecordOwners {
    key: HashKey,
    workers: u8,
}

impl RecordOwners {
    /// For workers whose [`Location`](crate::Location) was made with this key.
    pub fn new(key: &[u8; 16], workers: u8) -> Self {
        Self { key: aor_key(key), workers: workers.max(1) }
    }

    /// The owner of the first of `records`; `None` when it cannot be read.
    pub fn of(&self, records: &[u8]) -> Option<u8> {
        let record = Record::read(records).ok()?;
        Some(AorId::of(&self.key, record.aor().as_bytes()).owner(self.workers))
    }
}

/// The records that `bytes` consists of; after an error there are no more.
pub fn records(bytes: &[u8]) -> impl Iterator<Item = Result<Record<'_>, BadRecord>> {
    let mut rest = bytes;
    core::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let read = Record::read(rest);
        rest = match &read {
            Ok(record) => rest.get(record.whole.len()..).unwrap_or_default(),
            Err(BadRecord) => &[],
        };
        Some(read)
    })
}

impl<'a> Record<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, BadRecord> {
        let mut reader = Reader(bytes);
        let length = reader.number::<4>()?;
        let whole = usize::try_from(length).ok().and_then(|length| bytes.get(..length));
        let whole = whole.ok_or(BadRecord)?;
        let mut reader = Reader(whole.get(4..).ok_or(BadRecord)?);
        let length = reader.length()?;
        let aor = core::str::from_utf8(reader.take(length)?).map_err(|_| BadRecord)?;
        let [count] = reader.array()?;
        let (count, has_passed) = (count & !HAS_PASSED, count & HAS_PASSED != 0);
        let record = Self { whole, aor, count, has_passed, bindings: reader.0 };
        let mut check = Reader(record.bindings);
        for _ in 0..count {
            BindingView::read(&mut check)?;
        }
        let fits = aor.len() <= AOR_MAX && usize::from(count) <= CONTACTS_MAX;
        if fits && aor.contains('@') && check.0.is_empty() { Ok(record) } else { Err(BadRecord) }
    }

    /// Its bytes.
    pub fn bytes(&self) -> &'a [u8] {
        self.whole
    }

    /// `user@host`
    pub fn aor(&self) -> &'a str {
        self.aor
    }

    /// Whether it says that the AoR is to be forgotten.
    pub fn is_deletion(&self) -> bool {
        self.count == 0
    }

    /// Whether the worker that wrote it was given other bindings of the AoR since it last wrote one, and has not
    /// taken them, because it had a change to tell of.
    pub fn has_passed(&self) -> bool {
        self.has_passed
    }

    /// Its bindings.
    pub fn bindings(&self) -> impl Iterator<Item = BindingView<'a>> {
        let mut reader = Reader(self.bindings);
        (0..self.count).map_while(move |_| BindingView::read(&mut reader).ok())
    }
}

impl<'a> BindingView<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, BadRecord> {
        let (expires_unix_ms, call_id_hash) = (reader.number::<8>()?, reader.number::<8>()?);
        let small = |number| u32::try_from(number).map_err(|_| BadRecord);
        let (cseq, reg_id) = (small(reader.number::<4>()?)?, small(reader.number::<4>()?)?);
        let q = u16::from_le_bytes(reader.array()?);
        let [flags] = reader.array()?;
        let (source, listen) = (reader.address()?, reader.address()?);
        let lengths = [reader.length()?, reader.length()?, reader.length()?];
        let [uri, instance, path] = lengths;
        Ok(Self {
            uri: reader.take(uri)?,
            instance: reader.take(instance)?,
            path: reader.take(path)?,
            expires_unix_ms,
            call_id_hash,
            cseq,
            reg_id,
            q,
            is_flow: flags & IS_FLOW != 0,
            source,
            listen,
            transport: Transport::of_number(flags >> TRANSPORT_SHIFT).ok_or(BadRecord)?,
        })
    }

    /// Length of its texts.
    fn text_length(&self) -> usize {
        self.uri.len() + self.instance.len() + self.path.len()
    }
}

/// Adds the record of an AoR to `out`.
///
/// # Errors
/// When a text is longer than what a worker takes, or there are too many bindings.
pub fn write(aor: &str, bindings: &[BindingView<'_>], out: &mut Vec<u8>) -> Result<(), BadRecord> {
    let start = out.len();
    let texts: usize = bindings.iter().map(BindingView::text_length).sum();
    let count = (bindings.len(), false);
    begin(length(aor.len(), bindings.len(), texts), aor.as_bytes(), count, out);
    for binding in bindings {
        let lengths = [binding.uri, binding.instance, binding.path].map(<[u8]>::len);
        push_binding(binding, lengths, out);
        for text in [binding.uri, binding.instance, binding.path] {
            out.extend_from_slice(text);
        }
    }
    let written = out.get(start..).unwrap_or_default();
    let is_good = Record::read(written).is_ok_and(|record| record.whole.len() == written.len());
    if !is_good {
        out.truncate(start);
        return Err(BadRecord);
    }
    Ok(())
}

/// Bytes of a record.
pub(super) fn length(aor: usize, bindings: usize, texts: usize) -> usize {
    HEAD + aor + bindings * BINDING + texts
}

/// The start of a record of this many bytes, with the number of its bindings and whether the worker has passed over a
/// replacement.
#[expect(clippy::cast_possible_truncation, reason = "what does not fit is refused when it is read")]
pub(super) fn begin(
    length: usize,
    aor: &[u8],
    (bindings, has_passed): (usize, bool),
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(&(length as u32).to_le_bytes());
    out.extend_from_slice(&(aor.len() as u16).to_le_bytes());
    out.extend_from_slice(aor);
    out.push(bindings as u8 | if has_passed { HAS_PASSED } else { 0 });
}

/// A binding; its texts, of these lengths, must follow.
#[expect(clippy::cast_possible_truncation, reason = "what does not fit is refused when it is read")]
pub(super) fn push_binding(binding: &BindingView<'_>, lengths: [usize; 3], out: &mut Vec<u8>) {
    let mut fixed = [0_u8; BINDING];
    let mut rest = fixed.as_mut_slice();
    let mut put = |bytes: &[u8]| {
        if let Some((place, behind)) = core::mem::take(&mut rest).split_at_mut_checked(bytes.len())
        {
            place.copy_from_slice(bytes);
            rest = behind;
        }
    };
    put(&binding.expires_unix_ms.to_le_bytes());
    put(&binding.call_id_hash.to_le_bytes());
    put(&binding.cseq.to_le_bytes());
    put(&binding.reg_id.to_le_bytes());
    put(&binding.q.to_le_bytes());
    let flow = if binding.is_flow { IS_FLOW } else { 0 };
    put(&[flow | binding.transport.number() << TRANSPORT_SHIFT]);
    for address in [binding.source, binding.listen] {
        put(&octets(address.ip()));
        put(&address.port().to_le_bytes());
    }
    for length in lengths {
        put(&(length as u16).to_le_bytes());
    }
    out.extend_from_slice(&fixed);
}

/// Takes bytes from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], BadRecord> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(BadRecord)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BadRecord> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(BadRecord)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn number<const N: usize>(&mut self) -> Result<u64, BadRecord> {
        let bytes = self.array::<N>()?;
        Ok(bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    fn length(&mut self) -> Result<usize, BadRecord> {
        Ok(u16::from_le_bytes(self.array()?).into())
    }

    fn address(&mut self) -> Result<SocketAddr, BadRecord> {
        let ip = Ipv6Addr::from(self.array::<16>()?);
        let ip = ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4);
        Ok(SocketAddr::new(ip, u16::from_le_bytes(self.array()?)))
    }
}

#[cfg(test)]
mod tests {
    use std::prelude::v1::*;

    use super::*;

    fn binding() -> BindingView<'static> {
        BindingView {
            uri: b"sip:alice@192.0.2.7:5070",
            instance: b"\"<urn:uuid:1>\"",
            path: b"<sip:p.example.com;lr>",
            expires_unix_ms: 1_800_000_000_123,
            call_id_hash: u64::MAX - 1,
            cseq: 7,
            reg_id: 1,
            q: 500,
            is_flow: true,
            source: "192.0.2.7:1024".parse().unwrap(),
            listen: "[2001:db8::1]:5060".parse().unwrap(),
            transport: Transport::Wss,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let mut bytes = Vec::new();
        write("alice@example.com", &[binding(), binding()], &mut bytes).unwrap();
        write("bob@example.com", &[], &mut bytes).unwrap();
        let read: Vec<_> = records(&bytes).map(Result::unwrap).collect();
        assert_eq!(read[0].aor(), "alice@example.com");
        assert_eq!(read[0].bindings().collect::<Vec<_>>(), [binding(), binding()]);
        assert!(!read[0].is_deletion() && read[1].is_deletion());
        assert_eq!(read[0].bytes().len() + read[1].bytes().len(), bytes.len());
    }

    #[test]
    fn broken_bytes_are_refused() {
        let mut bytes = Vec::new();
        write("alice@example.com", &[binding()], &mut bytes).unwrap();
        for length in 1..bytes.len() {
            assert!(records(&bytes[..length]).any(|record| record.is_err()), "{length}");
        }
        let long = "u".repeat(AOR_MAX) + "@h";
        assert_eq!(write(&long, &[], &mut bytes), Err(BadRecord));
        let many = vec![binding(); CONTACTS_MAX + 1];
        assert_eq!(write("a@b", &many, &mut bytes), Err(BadRecord));
        assert_eq!(records(&bytes).count(), 1);
    }
}
