//! From bytes to a [`Message`]: one pass over the header lines. Values are looked into only where a
//! decision needs them: CSeq and Content-Length here, Via, Route and URIs when routing asks.

pub(crate) mod call_id;
pub(crate) mod digits;
pub(crate) mod error;
pub(crate) mod header;
pub(crate) mod lines;
pub(crate) mod name_addr;
pub(crate) mod params;
pub(crate) mod registers;
pub(crate) mod scan;
pub(crate) mod start_line;
pub(crate) mod uri;
pub(crate) mod via;

use crate::limits::MESSAGE_MAX;
use crate::message::{Headers, Message, Request, Response, Span};
use error::{ParseError, ParseErrorKind};
use header::{HeaderId, HeaderLines};
use lines::Lines;
use registers::{Registers, Work};
use start_line::StartLine;

impl ParseError {
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "limited in the same expression")]
    pub(crate) fn new(kind: ParseErrorKind, at: usize) -> Self {
        Self { kind, at: at.min(MESSAGE_MAX) as u16 }
    }
}

/// Parses the datagram `bytes`; where its headers stand is written to `headers`.
///
/// CRLFs before the start line are skipped (RFC 3261 section 7.5). The mandatory headers are there
/// afterwards and those that may stand once do so; CSeq and Content-Length fit. Never allocates.
#[inline]
pub fn parse<'a>(bytes: &'a [u8], headers: &'a mut Headers) -> Result<Message<'a>, ParseError> {
    registers::with_widest(Parse { bytes, headers })
}

struct Parse<'a> {
    bytes: &'a [u8],
    headers: &'a mut Headers,
}

impl<'a> Work for Parse<'a> {
    type Output = Result<Message<'a>, ParseError>;

    #[inline(always)]
    fn run<R: Registers>(self, registers: R) -> Result<Message<'a>, ParseError> {
        let Self { bytes, headers } = self;
        if bytes.len() > MESSAGE_MAX {
            return Err(ParseError::new(ParseErrorKind::MessageTooLong, MESSAGE_MAX));
        }
        *headers = Headers::default();
        let mut lines = Lines::new(registers, bytes, message_start(bytes)?);
        let start = start_line::parse(bytes, &mut lines)?;
        let mut lines = HeaderLines::behind(bytes, lines);
        lines.read(headers)?;
        check_mandatory(headers, lines.at())?;
        headers.body = body(bytes, headers, lines.at())?;
        let cseq = cseq(bytes, headers.value(HeaderId::CSeq))?;
        headers.cseq_number = cseq.number;
        match start {
            StartLine::Request { line, method, method_name, uri } => {
                if !scan::is_same(bytes, cseq.method, method_name) {
                    return Err(ParseError::new(ParseErrorKind::CSeqMethod, cseq.method.start()));
                }
                Ok(Message::Request(Request { bytes, method, line, uri, headers }))
            }
            StartLine::Response { line, status } => {
                if !scan::is_token(cseq.method.of(bytes)) {
                    let kind = ParseErrorKind::Malformed(HeaderId::CSeq);
                    return Err(ParseError::new(kind, cseq.method.start()));
                }
                Ok(Message::Response(Response { bytes, status, line, headers }))
            }
        }
    }
}

/// Where the start line begins: behind the CRLFs that may stand before it.
pub(crate) fn message_start(bytes: &[u8]) -> Result<usize, ParseError> {
    if bytes.first().is_some_and(|byte| *byte > b' ') {
        return Ok(0);
    }
    let mut at = 0;
    while bytes.get(at..at + 2) == Some(b"\r\n") {
        at += 2;
    }
    if at == bytes.len() { Err(ParseError::new(ParseErrorKind::Empty, at)) } else { Ok(at) }
}

/// Complains about the first mandatory header (RFC 3261 section 8.1.1) that is not there.
#[inline(always)]
fn check_mandatory(headers: &Headers, at: usize) -> Result<(), ParseError> {
    use HeaderId::{CSeq, CallId, From, To, Via};
    let lacks = |id| headers.value(id) == Span::default();
    let missing = match (lacks(Via), lacks(From), lacks(To), lacks(CallId), lacks(CSeq)) {
        (false, false, false, false, false) => return Ok(()),
        (true, ..) => Via,
        (_, true, ..) => From,
        (_, _, true, ..) => To,
        (_, _, _, true, _) => CallId,
        _ => CSeq,
    };
    Err(ParseError::new(ParseErrorKind::Missing(missing), at))
}

/// The body by Content-Length; over UDP it may be absent, then the body is all that is left
/// (RFC 3261 section 18.3).
#[inline(always)]
fn body(bytes: &[u8], headers: &Headers, start: usize) -> Result<Span, ParseError> {
    let value = headers.value(HeaderId::ContentLength);
    if value == Span::default() {
        return Ok(Span::new(start, bytes.len()));
    }
    let Some(length) = digits::decimal(bytes, value) else {
        let kind = ParseErrorKind::Malformed(HeaderId::ContentLength);
        return Err(ParseError::new(kind, value.start()));
    };
    let available = bytes.len() - start;
    match usize::try_from(length) {
        Ok(length) if length <= available => Ok(Span::new(start, start + length)),
        _ => Err(ParseError::new(ParseErrorKind::ContentLengthTooLarge, value.start())),
    }
}

/// `CSeq = 1*DIGIT LWS Method`
pub(crate) struct CSeq {
    pub(crate) number: u32,
    pub(crate) method: Span,
}

/// Reads a CSeq value; its number is below 2^31 (RFC 3261 section 8.1.1.5). The method is what is
/// left behind it.
#[inline(always)]
pub(crate) fn cseq(bytes: &[u8], value: Span) -> Result<CSeq, ParseError> {
    let word = scan::word(bytes, value.start()) ^ digits::ZEROS;
    let length = (digits::not_digits(word).trailing_zeros() / 8) as usize;
    if length.wrapping_sub(1) >= 7 || length >= value.len() {
        return long_cseq(bytes, value);
    }
    let number = digits::value_of(word << (64 - 8 * length));
    let digits_end = value.start() + length;
    let method_at = match scan::chunk(bytes, digits_end) {
        Some([b' ', byte]) if *byte > b' ' => digits_end + 1,
        _ => scan::skip_lws(bytes, digits_end, value.end()),
    };
    if method_at == digits_end {
        return long_cseq(bytes, value);
    }
    Ok(CSeq { number, method: Span::new(method_at, value.end()) })
}

/// The same for numbers of eight digits and more, and for what is none.
#[inline(never)]
fn long_cseq(bytes: &[u8], value: Span) -> Result<CSeq, ParseError> {
    let text = value.of(bytes);
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let digits_end = value.start() + length;
    let method_at = scan::skip_lws(bytes, digits_end, value.end());
    match digits::decimal(bytes, Span::new(value.start(), digits_end)) {
        Some(number) if number < 1 << 31 && method_at > digits_end => {
            Ok(CSeq { number, method: Span::new(method_at, value.end()) })
        }
        _ => Err(ParseError::new(ParseErrorKind::Malformed(HeaderId::CSeq), value.start())),
    }
}
