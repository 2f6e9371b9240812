//! What parsing can complain about: small values with a position, the text comes from a table.

use super::header::HeaderId;

/// Why a message was refused by the parser, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(align(4))] // so that a `Result` keeps it apart from a `Span` in whole words
pub struct ParseError {
    /// What is wrong.
    pub kind: ParseErrorKind,
    /// Byte offset at which it was seen.
    pub at: u16,
}

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParseErrorKind {
    /// Nothing but CRLFs, or nothing at all.
    Empty,
    /// More than [`MESSAGE_MAX`](crate::limits::MESSAGE_MAX) bytes.
    MessageTooLong,
    /// The first line is neither a request line nor a status line.
    StartLine,
    /// A status line whose code is none, or that lacks it.
    StatusLine,
    /// White space between SIP-Version and the end of the request line.
    TrailingSpace,
    /// A SIP version other than 2.0.
    Version,
    /// The Request-URI is not a URI.
    RequestUri,
    /// The Request-URI is longer than [`URI_MAX`](crate::limits::URI_MAX).
    RequestUriTooLong,
    /// A CR without LF, or a LF without CR: implementations disagree about where such a line ends.
    LineBreak,
    /// The datagram ends before the empty line.
    NoEndOfHeaders,
    /// More than [`HEADERS_MAX`](crate::limits::HEADERS_MAX) header lines.
    TooManyHeaders,
    /// More than [`VIAS_MAX`](crate::limits::VIAS_MAX) Via lines.
    TooManyVias,
    /// More than [`ROUTES_MAX`](crate::limits::ROUTES_MAX) Route lines.
    TooManyRoutes,
    /// A mandatory header is missing.
    Missing(HeaderId),
    /// A header stands twice that may stand once.
    Duplicate(HeaderId),
    /// The value of a header breaks its grammar or range.
    Malformed(HeaderId),
    /// The method of CSeq is not that of the request line.
    CSeqMethod,
    /// Content-Length is larger than what the datagram holds.
    ContentLengthTooLarge,
}

impl ParseErrorKind {
    /// The status code that a request with this fault is answered with.
    pub fn code(self) -> u16 {
        match self {
            Self::Version => 505,
            Self::RequestUriTooLong => 414,
            Self::MessageTooLong => 513,
            _ => 400,
        }
    }

    /// The reason phrase that goes with it; it names the header.
    pub fn phrase(self) -> &'static str {
        match self {
            Self::Empty => "Empty Message",
            Self::MessageTooLong => "Message Too Large",
            Self::StartLine => "Malformed Request Line",
            Self::StatusLine => "Malformed Status Line",
            Self::TrailingSpace => "White Space Ends Request Line",
            Self::Version => "Version Not Supported",
            Self::RequestUri => "Malformed Request-URI",
            Self::RequestUriTooLong => "Request-URI Too Long",
            Self::LineBreak => "CR or LF Alone",
            Self::NoEndOfHeaders => "Headers Do Not End",
            Self::TooManyHeaders => "Too Many Headers",
            Self::TooManyVias => "Too Many Via",
            Self::TooManyRoutes => "Too Many Route",
            Self::Missing(id) => missing(id),
            Self::Duplicate(id) => duplicate(id),
            Self::Malformed(id) => malformed(id),
            Self::CSeqMethod => "CSeq Method Mismatch",
            Self::ContentLengthTooLarge => "Content-Length Too Large",
        }
    }
}

/// One function from [`HeaderId`] to the phrase with the header's name in it.
macro_rules! phrases {
    ($function:ident, $text:literal) => {
        fn $function(id: HeaderId) -> &'static str {
            match id {
                HeaderId::Via => concat!($text, " Via"),
                HeaderId::From => concat!($text, " From"),
                HeaderId::To => concat!($text, " To"),
                HeaderId::CallId => concat!($text, " Call-ID"),
                HeaderId::CSeq => concat!($text, " CSeq"),
                HeaderId::MaxForwards => concat!($text, " Max-Forwards"),
                HeaderId::Route => concat!($text, " Route"),
                HeaderId::ContentLength => concat!($text, " Content-Length"),
                HeaderId::ProxyRequire => concat!($text, " Proxy-Require"),
                HeaderId::Other => concat!($text, " Header"),
            }
        }
    };
}

phrases!(missing, "Missing");
phrases!(duplicate, "Duplicate");
phrases!(malformed, "Malformed");
