//! How routing can end other than with a next hop.

use super::rules::CompiledAction;
use super::tables::Tables;
use crate::parse::error::{ParseError, ParseErrorKind};
use crate::rewrite::feedback::Feedback;

/// A message that is not forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Answer the request, with [`write_reply`](crate::write_reply).
    Reply(Reply),
    /// Drop it.
    Drop(SipDrop),
}

/// Why a request is answered by us, and with what: refused, all but OPTIONS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// 200: OPTIONS to ourselves, or to the last hop it may take; says what we can (RFC 3261 11.2).
    Options,
    /// 400, 414, 505 or 513: the message breaks a rule; the reason phrase says which.
    Parse(ParseErrorKind),
    /// 200 to a CANCEL whose transaction is here (RFC 3261 section 9.2).
    Canceling,
    /// 403: not our domain, no rule, not in a dialog of ours: no open relay.
    Forbidden,
    /// 403: a URI names its host by `maddr`, which the settings refuse.
    MaddrRefused,
    /// 480: the user has no binding.
    NotRegistered,
    /// 481: a CANCEL for a request that is not known (RFC 3261 section 9.2).
    NoTransaction,
    /// 489: a subscription to registrations (RFC 6665 section 4.2.1, RFC 3680).
    BadEvent,
    /// 404: our domain, but no rule takes it.
    NotFound,
    /// 416: a scheme other than sip, sips and tel.
    UnsupportedUriScheme,
    /// 420: Proxy-Require names an extension; we support none.
    BadExtension,
    /// 503: no member of the destination set is in use. Not 480, which says that the callee is away and
    /// ends the search of an upstream that has other ways.
    NoDestination,
    /// 503: the members of the destination set want fewer requests (RFC 7339 section 5.10). It has no Retry-After, which
    /// would keep the client from all that we can reach.
    DestinationOverloaded,
    /// 480: a `sips:` URI, every hop of which must be over TLS; a 503 would say that we are ill.
    SipsNotAllowed,
    /// 482: the next hop is one of our own listen points, or the request has come through us too
    /// often.
    LoopDetected,
    /// 483: Max-Forwards is 0.
    TooManyHops,
    /// 404: the next hop is a host name that leads nowhere. Asking for it again, or elsewhere, is of no use.
    NoSuchHost,
    /// 503: the next hop is a host name, and nobody could say in time where it leads.
    NextHopName,
    /// 503: the next hop wants a transport other than UDP.
    Transport,
    /// 503: we cannot take the request at present.
    Unavailable,
    /// 503: there is more to do than can be done, and this is new.
    Overloaded {
        /// Retry-After, in seconds.
        retry_after_s: u16,
        /// What the tag of To is made of.
        tag: u64,
        /// What the client is told, if it has asked to be.
        feedback: Option<Feedback>,
    },
    /// 513: larger than what can be sent on.
    MessageTooLarge,
    /// The code of the rule with this index, which rejects.
    Rule(u16),
    /// Any other final response.
    Other {
        /// Status code, 300 to 699.
        code: u16,
        /// Reason phrase without line breaks.
        reason: &'static str,
    },
}

impl Reply {
    /// Status code of the response.
    pub fn code(self, tables: &Tables) -> u16 {
        self.status(tables).0
    }

    /// Status code and reason phrase.
    pub(crate) fn status(self, tables: &Tables) -> (u16, &str) {
        match self {
            Self::Options => (200, "OK"),
            Self::Canceling => (200, "Canceling"),
            Self::Parse(kind) => (kind.code(), kind.phrase()),
            Self::Forbidden => (403, "Forbidden"),
            Self::MaddrRefused => (403, "Maddr Refused"),
            Self::NotRegistered => (480, "Temporarily Unavailable"),
            Self::NoTransaction => (481, "Call/Transaction Does Not Exist"),
            Self::BadEvent => (489, "Bad Event"),
            Self::NotFound => (404, "Not Found"),
            Self::UnsupportedUriScheme => (416, "Unsupported URI Scheme"),
            Self::BadExtension => (420, "Bad Extension"),
            Self::NoDestination => (503, "No Destination In Use"),
            Self::DestinationOverloaded => (503, "Destination Overloaded"),
            Self::SipsNotAllowed => (480, "SIPS Not Allowed"),
            Self::LoopDetected => (482, "Loop Detected"),
            Self::TooManyHops => (483, "Too Many Hops"),
            Self::NoSuchHost => (404, "No Such Host"),
            Self::NextHopName => (503, "Next Hop Not Resolved"),
            Self::Transport => (503, "Transport Not Available"),
            Self::Unavailable => (503, "Service Unavailable"),
            Self::Overloaded { .. } => (503, "Overloaded"),
            Self::MessageTooLarge => (513, "Message Too Large"),
            Self::Rule(index) => {
                match tables.fixed.rules.get(usize::from(index)).map(|r| &r.action) {
                    Some(CompiledAction::Reject { code, reason }) => (*code, reason),
                    _ => (403, "Forbidden"),
                }
            }
            Self::Other { code, reason } => (code, reason),
        }
    }
}

/// Why a message is dropped without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SipDrop {
    /// Not SIP, or too broken to be answered.
    SipMalformed,
    /// An ACK that is not forwarded; an ACK is never answered.
    AckUnanswerable,
    /// Our answer would not fit the output.
    ReplyTooLarge,
    /// A response that breaks a rule; a response is never answered.
    ResponseMalformed,
    /// The topmost Via of a response does not name us.
    ResponseNotOurs,
    /// The branch of our Via fails its check.
    ResponseForged,
    /// The transaction of the branch is over, or it is about another method.
    ResponseStale,
    /// No Via beneath ours: the response is for us, who sent nothing of our own.
    ResponseNoVia,
    /// The Via beneath ours needs DNS or maddr.
    ResponseUnroutable,
}

impl ParseError {
    /// What to do with a datagram that does not parse: answer it, or drop it.
    ///
    /// [`write_reply`](crate::write_reply) still drops what cannot be answered: a response, an ACK,
    /// a request without the headers that a response must repeat.
    pub fn refusal(self) -> Refusal {
        match self.kind {
            ParseErrorKind::Empty | ParseErrorKind::StartLine => {
                Refusal::Drop(SipDrop::SipMalformed)
            }
            ParseErrorKind::StatusLine => Refusal::Drop(SipDrop::ResponseMalformed),
            kind => Refusal::Reply(Reply::Parse(kind)),
        }
    }
}

/// A request that breaks a rule of the grammar.
pub(super) const fn bad(kind: ParseErrorKind) -> Refusal {
    Refusal::Reply(Reply::Parse(kind))
}
