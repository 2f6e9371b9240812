//! Reads what arrives, just far enough to verify it.
//!
//! On purpose not the parser of the appliance: what is measured must not also be the judge. It takes
//! what proxies pass on or add in long form, one header line each, and calls the rest malformed.

use super::script::{Kind, Method};
use core::ops::Range;
use memchr::memchr;

/// Most Via and Record-Route lines taken note of: a generator, one or two proxies, and room.
const LINES_MAX: usize = 8;

/// Bytes of a call's identity in hexadecimal digits.
pub(crate) const ID_LEN: usize = 24;

/// An arrived message; ranges are those of the datagram.
#[derive(Debug, Default)]
pub(crate) struct Arrived {
    /// Method or status, with the CSeq's method.
    pub(crate) kind: Option<Kind>,
    /// CSeq number.
    pub(crate) cseq: u32,
    /// Via lines from the top, values only.
    pub(crate) vias: Lines,
    /// Record-Route lines from the top, values only.
    pub(crate) record_routes: Lines,
    /// Value of From.
    pub(crate) from: Range<usize>,
    /// Value of To.
    pub(crate) to: Range<usize>,
    /// Value of Call-ID.
    pub(crate) call_id: Range<usize>,
    /// Whole line of CSeq, without its end.
    pub(crate) cseq_line: Range<usize>,
    /// Value of Contact.
    pub(crate) contact: Range<usize>,
    /// Value of Max-Forwards.
    pub(crate) max_forwards: Option<u32>,
    /// Value of WWW-Authenticate.
    pub(crate) challenge: Range<usize>,
    /// The body.
    pub(crate) body: Range<usize>,
}

/// A few ranges.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    ranges: [Range<usize>; LINES_MAX],
    count: usize,
}

impl Lines {
    fn push(&mut self, range: Range<usize>) -> Option<()> {
        *self.ranges.get_mut(self.count)? = range;
        self.count += 1;
        Some(())
    }

    /// The lines from the top.
    pub(crate) fn as_slice(&self) -> &[Range<usize>] {
        &self.ranges[..self.count]
    }
}

/// Reads a datagram; none when it is not a SIP message of the kind the generator exchanges.
pub(crate) fn read(datagram: &[u8]) -> Option<Arrived> {
    let mut arrived = Arrived::default();
    let mut content_length = None;
    let mut method = None;
    let first = line(datagram, 0)?;
    let mut next = first.end + 2;
    loop {
        let range = line(datagram, next)?;
        next = range.end + 2;
        if range.is_empty() {
            break;
        }
        let text = &datagram[range.clone()];
        let colon = memchr(b':', text)?;
        let blanks = text[colon + 1..].iter().take_while(|byte| **byte == b' ').count();
        let value = range.start + colon + 1 + blanks..range.end;
        match &text[..colon] {
            b"Via" => arrived.vias.push(value)?,
            b"Record-Route" => arrived.record_routes.push(value)?,
            b"From" => arrived.from = value,
            b"To" => arrived.to = value,
            b"Call-ID" => arrived.call_id = value,
            b"Contact" => arrived.contact = value,
            b"WWW-Authenticate" => arrived.challenge = value,
            b"Max-Forwards" => arrived.max_forwards = Some(number(&datagram[value])?),
            b"Content-Length" => content_length = Some(number(&datagram[value])?),
            b"CSeq" => {
                arrived.cseq_line = range;
                let value = &datagram[value];
                let space = memchr(b' ', value)?;
                arrived.cseq = number(&value[..space])?;
                method = Method::from_token(&value[space + 1..]);
            }
            _ => {}
        }
    }
    arrived.kind = Some(kind(&datagram[first], method?)?);
    arrived.body = next..datagram.len();
    let complete = content_length.is_none_or(|length| length as usize == arrived.body.len());
    (complete && !arrived.vias.as_slice().is_empty()).then_some(arrived)
}

/// The line that begins at `start`, without its CRLF.
fn line(datagram: &[u8], start: usize) -> Option<Range<usize>> {
    let end = start + memchr(b'\n', datagram.get(start..)?)?;
    (end > start && datagram[end - 1] == b'\r').then(|| start..end - 1)
}

fn kind(first: &[u8], method: Method) -> Option<Kind> {
    if let Some(status) = first.strip_prefix(b"SIP/2.0 ") {
        let status = u16::try_from(number(status.get(..3)?)?).ok()?;
        return Some(Kind::Response(status, method));
    }
    let token = &first[..memchr(b' ', first)?];
    (token == method.token().as_bytes()).then_some(Kind::Request(method))
}

fn number(text: &[u8]) -> Option<u32> {
    if text.is_empty() || text.len() > 9 {
        return None;
    }
    text.iter().try_fold(0, |sum, digit| {
        digit.is_ascii_digit().then(|| sum * 10 + u32::from(digit - b'0'))
    })
}

/// Value of the parameter `name` (written `;name=`) in a header's value, outside of any quotes that
/// the generator itself writes.
pub(crate) fn parameter<'a>(value: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut rest = value;
    while let Some(semicolon) = memchr(b';', rest) {
        rest = &rest[semicolon + 1..];
        if let Some(found) = rest.strip_prefix(name).and_then(|rest| rest.strip_prefix(b"=")) {
            let end = found.iter().position(|byte| matches!(byte, b';' | b' ' | b',' | b'>'));
            return Some(&found[..end.unwrap_or(found.len())]);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{parameter, read};
    use crate::load::script::{Kind, Method};

    const RESPONSE: &[u8] =
        b"SIP/2.0 180 Ringing\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1;rport=5\r\n\
        From: \"x\" <sip:a@b>;tag=f\r\nTo: <sip:c@d>;tag=t\r\nCall-ID: 1@x\r\nCSeq: 7 INVITE\r\n\
        Content-Length: 2\r\n\r\nhi";

    #[test]
    fn a_response_is_read() {
        let arrived = read(RESPONSE).unwrap();
        assert_eq!(arrived.kind, Some(Kind::Response(180, Method::Invite)));
        assert_eq!(arrived.cseq, 7);
        let via = &RESPONSE[arrived.vias.as_slice()[0].clone()];
        assert_eq!(parameter(via, b"branch"), Some(&b"z9hG4bK1"[..]));
        assert_eq!(parameter(&RESPONSE[arrived.to], b"tag"), Some(&b"t"[..]));
        assert_eq!(&RESPONSE[arrived.body], b"hi");
    }

    #[test]
    fn what_is_cut_or_foreign_is_malformed() {
        for end in 0..RESPONSE.len() {
            assert!(read(&RESPONSE[..end]).is_none(), "{end}");
        }
        assert!(read(b"\r\n\r\n").is_none());
        assert!(read(b"INVITE a SIP/2.0\r\nVia: x\r\nCSeq: 1 BYE\r\n\r\n").is_none());
    }
}
