//! A parsed message: ranges into the bytes of the datagram, and nothing copied.

use core::fmt;
use core::net::SocketAddr;

use crate::parse::header::{HeaderId, HeaderLines};
use crate::settings::ListenId;

/// A range of bytes inside a message.
///
/// Start and end share one word: written and read in one piece, they never wait for each other.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Span(u32);

impl Span {
    /// `start..end`; both lie inside a message, whose length fits `u16`.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "parse() refuses longer messages")]
    pub(crate) fn new(start: usize, end: usize) -> Self {
        debug_assert!(start <= end && end <= crate::limits::MESSAGE_MAX);
        Self((start as u32) << 16 | end as u32 & 0xffff)
    }

    /// The same of positions that are `u32`.
    #[inline(always)]
    pub(crate) const fn of_u32(start: u32, end: u32) -> Self {
        debug_assert!(start <= end && end as usize <= crate::limits::MESSAGE_MAX);
        Self(start << 16 | end & 0xffff)
    }

    /// Where it begins.
    #[inline]
    pub fn start(self) -> usize {
        (self.0 >> 16) as usize
    }

    /// Where it ends: one past the last byte.
    #[inline]
    pub fn end(self) -> usize {
        (self.0 & 0xffff) as usize
    }

    /// How many bytes it spans.
    #[inline]
    pub fn len(self) -> usize {
        self.end().saturating_sub(self.start())
    }

    /// Whether it spans nothing.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.start() >= self.end()
    }

    /// Its bytes in `message`; empty when it lies outside.
    #[inline]
    pub fn of(self, message: &[u8]) -> &[u8] {
        message.get(self.start()..self.end()).unwrap_or_default()
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start(), self.end())
    }
}

/// What [`parse`](fn@crate::parse) gives.
#[derive(Debug)]
pub enum Message<'a> {
    /// A request.
    Request(Request<'a>),
    /// A response.
    Response(Response<'a>),
}

/// A request whose start line and mandatory headers are there (RFC 3261 sections 7.1 and 8.1.1).
#[derive(Debug)]
pub struct Request<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) method: Method,
    /// The whole start line without its CRLF.
    pub(crate) line: Span,
    pub(crate) uri: Span,
    pub(crate) headers: &'a Headers,
}

impl<'a> Request<'a> {
    /// The method.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The method as it was written.
    pub fn method_name(&self) -> &'a [u8] {
        let end = self.uri.start().saturating_sub(1);
        self.bytes.get(self.line.start()..end).unwrap_or_default()
    }

    /// The Request-URI as it was written.
    pub fn uri(&self) -> &'a [u8] {
        self.uri.of(self.bytes)
    }

    /// A part of it.
    pub fn text(&self, span: Span) -> &'a [u8] {
        span.of(self.bytes)
    }

    /// The value of Call-ID.
    pub fn call_id(&self) -> &'a [u8] {
        self.headers.value(HeaderId::CallId).of(self.bytes)
    }

    /// The event package that a subscription is about (RFC 6665 section 8.2.1), without its parameters; empty
    /// when there is none. It looks through all header lines.
    pub fn event(&self) -> &'a [u8] {
        let mut lines = HeaderLines::new(self.bytes, self.line.end() + 2);
        while let Some(line) = lines.next_line() {
            let text = line.line.of(self.bytes);
            let mut parts = text.splitn(2, |&byte| byte == b':');
            let name = parts.next().unwrap_or_default().trim_ascii_end();
            if name.eq_ignore_ascii_case(b"event") || name.eq_ignore_ascii_case(b"o") {
                let value = parts.next().unwrap_or_default();
                return value.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
            }
        }
        &[]
    }

    /// The sequence number of CSeq.
    pub fn cseq_number(&self) -> u32 {
        self.headers.cseq_number
    }

    /// Where the body begins in the datagram.
    pub fn body_start(&self) -> usize {
        self.headers.body.start()
    }

    /// Where the message ends in the datagram; what lies beyond is surplus (RFC 3261 18.3) and is
    /// not forwarded.
    pub fn body_end(&self) -> usize {
        self.headers.body.end()
    }
}

/// A response whose status line and mandatory headers are there.
#[derive(Debug)]
pub struct Response<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) status: u16,
    /// The whole start line without its CRLF.
    pub(crate) line: Span,
    pub(crate) headers: &'a Headers,
}

impl<'a> Response<'a> {
    /// The status code, 100 to 699.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The value of Call-ID.
    pub fn call_id(&self) -> &'a [u8] {
        self.headers.value(HeaderId::CallId).of(self.bytes)
    }

    /// The sequence number of CSeq.
    pub fn cseq_number(&self) -> u32 {
        self.headers.cseq_number
    }

    /// Where the body begins in the datagram.
    pub fn body_start(&self) -> usize {
        self.headers.body.start()
    }

    /// Where the message ends in the datagram; what lies beyond is surplus.
    pub fn body_end(&self) -> usize {
        self.headers.body.end()
    }
}

/// Where the headers stand that a stateless proxy needs. It lives outside of the message, so that it
/// is written where it stays: moving it would cost as much as a header line.
#[derive(Clone, Copy, Debug, Default)]
pub struct Headers {
    /// The first line of each, by [`HeaderId`]; the spans are empty when there is none.
    pub(crate) first: [Place; HeaderId::KNOWN],
    /// The value of the second Via line; empty when there is none.
    pub(crate) second_via: Span,
    /// Via lines beyond the first.
    pub(crate) more_vias: u16,
    /// Route lines beyond the first.
    pub(crate) more_routes: u16,
    pub(crate) cseq_number: u32,
    pub(crate) body: Span,
}

/// A header line.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    /// From its name to behind its CRLF.
    pub(crate) line: Span,
    /// Its value, without white space around it.
    pub(crate) value: Span,
}

impl Headers {
    /// The value of the first line of a header that we look into; empty when there is none.
    #[inline(always)]
    pub(crate) fn value(&self, id: HeaderId) -> Span {
        self.first[id as usize].value
    }

    /// The first line of a header that we look into.
    #[inline(always)]
    pub(crate) fn place(&self, id: HeaderId) -> Place {
        self.first[id as usize]
    }
}

/// Request methods that we know by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "the variants are the methods")]
pub enum Method {
    Invite,
    Ack,
    Bye,
    Cancel,
    Options,
    Register,
    Subscribe,
    Notify,
    Refer,
    Message,
    Info,
    Prack,
    Update,
    Publish,
    /// An extension method; its name stands in the start line.
    Other,
}

impl Method {
    /// The method of this name; names are case-sensitive (RFC 3261 section 7.1).
    #[inline]
    pub fn of(name: &[u8]) -> Self {
        match name {
            b"INVITE" => Self::Invite,
            b"ACK" => Self::Ack,
            b"BYE" => Self::Bye,
            b"CANCEL" => Self::Cancel,
            b"OPTIONS" => Self::Options,
            b"REGISTER" => Self::Register,
            b"SUBSCRIBE" => Self::Subscribe,
            b"NOTIFY" => Self::Notify,
            b"REFER" => Self::Refer,
            b"MESSAGE" => Self::Message,
            b"INFO" => Self::Info,
            b"PRACK" => Self::Prack,
            b"UPDATE" => Self::Update,
            b"PUBLISH" => Self::Publish,
            _ => Self::Other,
        }
    }

    /// The same for the name in the lowest bytes of a word, nothing above it, if that decides.
    #[inline(always)]
    pub(crate) fn of_word(name: u64) -> Option<Self> {
        const INVITE: u64 = u64::from_le_bytes(*b"INVITE\0\0");
        const ACK: u64 = u64::from_le_bytes(*b"ACK\0\0\0\0\0");
        const BYE: u64 = u64::from_le_bytes(*b"BYE\0\0\0\0\0");
        const OPTIONS: u64 = u64::from_le_bytes(*b"OPTIONS\0");
        const REGISTER: u64 = u64::from_le_bytes(*b"REGISTER");
        match name {
            INVITE => Some(Self::Invite),
            ACK => Some(Self::Ack),
            BYE => Some(Self::Bye),
            OPTIONS => Some(Self::Options),
            REGISTER => Some(Self::Register),
            _ => None,
        }
    }

    /// Whether a request of this method can open a dialog, so that Record-Route has an effect:
    /// INVITE (RFC 3261), SUBSCRIBE and REFER (RFC 6665, RFC 3515). A NOTIFY takes the route set of
    /// its SUBSCRIBE, an UPDATE that of its INVITE.
    #[inline]
    pub fn opens_dialog(self) -> bool {
        matches!(self, Self::Invite | Self::Subscribe | Self::Refer)
    }

    /// The method that rules see: ACK and CANCEL go where their INVITE went (RFC 3261 16.11).
    #[inline]
    pub(crate) fn for_rules(self) -> Self {
        match self {
            Self::Ack | Self::Cancel => Self::Invite,
            other => other,
        }
    }
}

/// How a message came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Source address and port of the datagram.
    pub source: SocketAddr,
    /// The listen point it was sent to.
    pub listen: ListenId,
}
