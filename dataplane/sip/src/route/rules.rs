//! The rule table: the first rule that matches a request decides.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};
use core::net::IpAddr;

use siphasher::sip::SipHasher13;

use super::choices::{self, Choices};
use super::prefixes::UserBytes;
use super::request::explain::Criterion;
use crate::message::{Method, Request};
use crate::parse::header::HeaderLines;
use crate::parse::uri::{self, Scheme};
use crate::settings::{HeaderMatch, HeaderTest, Network, RealmId, Relay};

/// A rule with its texts prepared for matching.
#[derive(Debug)]
pub(super) struct CompiledRule {
    pub(super) methods: Methods,
    pub(super) domains: Vec<Host>,
    pub(super) user_prefixes: Vec<Box<[u8]>>,
    pub(super) sources: Vec<Network>,
    pub(super) headers: HeaderMatches,
    pub(super) action: CompiledAction,
    pub(super) relay: Relay,
    /// The realm of which credentials are asked for.
    pub(super) auth: Option<RealmId>,
    /// Whether a REGISTER that is sent on gets our Path.
    pub(super) adds_path: bool,
    /// Index of the destination set for requests whose user has no binding here.
    pub(super) otherwise: Option<u16>,
}

/// What a rule does.
#[derive(Debug)]
pub(super) enum CompiledAction {
    /// Index of the destination set.
    Forward(u16),
    /// Index of the prefix table.
    ForwardByPrefix(u16),
    RequestUri,
    Register,
    Locate,
    Reject {
        code: u16,
        reason: Box<str>,
    },
}

/// A set of methods; empty means all.
#[derive(Debug, Default)]
pub(super) struct Methods {
    /// One bit for each [`Method`] known by name.
    known: u32,
    others: Vec<Box<[u8]>>,
}

/// Host of a rule.
#[derive(Debug)]
pub(super) enum Host {
    Name(Box<[u8]>),
    Address(IpAddr),
}

/// What rules look at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject<'a> {
    pub(super) method: Method,
    pub(super) method_name: &'a [u8],
    pub(super) scheme: Scheme,
    pub(super) user: &'a [u8],
    pub(super) host: &'a [u8],
    pub(super) source: IpAddr,
}

impl CompiledRule {
    /// Whether the rule matches but for its headers.
    #[inline]
    pub(super) fn matches(&self, subject: &Subject<'_>) -> bool {
        self.first_miss(subject).is_none()
    }

    /// The first criterion that the request does not meet, leaving its headers aside; lists that are
    /// empty match everything.
    #[inline(always)]
    pub(super) fn first_miss(&self, subject: &Subject<'_>) -> Option<Criterion> {
        if !self.methods.contain(subject) {
            return Some(Criterion::Methods);
        }
        if !any(&self.domains, |domain| domain.is(subject.host)) {
            return Some(Criterion::Domains);
        }
        if !any(&self.user_prefixes, |prefix| user_begins(subject, prefix)) {
            return Some(Criterion::UserPrefixes);
        }
        if !any(&self.sources, |network| network.contains(subject.source)) {
            return Some(Criterion::Sources);
        }
        None
    }
}

impl CompiledRule {
    /// Whether the headers fit. Those of an INVITE decide about its ACK and CANCEL too, which need not
    /// have them: that an INVITE fits is remembered.
    #[cold]
    pub(super) fn headers_fit(
        &self,
        request: &Request<'_>,
        call: impl FnOnce() -> u64,
        choices: &mut Choices,
    ) -> bool {
        let key = choices::transaction(call(), request.headers.cseq_number) ^ self.headers.id;
        let follows = matches!(request.method, Method::Ack | Method::Cancel);
        if follows && choices.find(key).is_some() {
            return true;
        }
        let fits = self.headers.fit(request);
        if fits && request.method == Method::Invite {
            choices.record(key, 0);
        }
        fits
    }
}

#[inline]
fn any<T>(list: &[T], matches: impl Fn(&T) -> bool) -> bool {
    list.is_empty() || list.iter().any(matches)
}

impl Methods {
    pub(super) fn insert(&mut self, name: &str) {
        match Method::of(name.as_bytes()) {
            Method::Other => self.others.push(name.as_bytes().into()),
            known => self.known |= 1 << known as u32,
        }
    }

    /// Whether a method of this number may be in the set; of those without a number only their
    /// names tell.
    pub(super) fn may_contain(&self, method: u32) -> bool {
        let is_other = method == Method::Other as u32;
        self.known == 0 && self.others.is_empty()
            || is_other && !self.others.is_empty()
            || self.known & 1 << method != 0
    }

    #[inline]
    fn contain(&self, subject: &Subject<'_>) -> bool {
        if self.known == 0 && self.others.is_empty() {
            return true;
        }
        match subject.method.for_rules() {
            Method::Other => self.others.iter().any(|name| **name == *subject.method_name),
            known => self.known & (1 << known as u32) != 0,
        }
    }
}

impl Host {
    pub(super) fn new(text: &str) -> Self {
        let text = text.strip_suffix('.').unwrap_or(text);
        match uri::ip_literal_or_bare(text.as_bytes()) {
            Some(address) => Self::Address(address),
            None => Self::Name(text.as_bytes().into()),
        }
    }

    #[inline]
    fn is(&self, host: &[u8]) -> bool {
        match self {
            Self::Name(name) => name.eq_ignore_ascii_case(host.strip_suffix(b".").unwrap_or(host)),
            Self::Address(address) => uri::ip_literal(host) == Some(*address),
        }
    }
}

/// Whether the user part begins with `prefix`.
fn user_begins(subject: &Subject<'_>, prefix: &[u8]) -> bool {
    let mut user = UserBytes::new(subject.scheme, subject.user);
    prefix.iter().all(|&wanted| user.next() == Some(wanted))
}

/// The headers of a rule, of which one is enough.
#[derive(Debug, Default)]
pub(super) struct HeaderMatches {
    list: Box<[CompiledHeader]>,
    /// What tells these headers from those of other rules, also in the next epoch.
    id: u64,
}

#[derive(Debug)]
struct CompiledHeader {
    name: Box<[u8]>,
    compact: Option<u8>,
    test: HeaderTest,
}

/// Compact forms of header names (RFC 3261 section 7.3.3 and the IANA registry).
const COMPACT: [(&str, u8); 20] = [
    ("Accept-Contact", b'a'),
    ("Allow-Events", b'u'),
    ("Call-ID", b'i'),
    ("Contact", b'm'),
    ("Content-Encoding", b'e'),
    ("Content-Length", b'l'),
    ("Content-Type", b'c'),
    ("Event", b'o'),
    ("From", b'f'),
    ("Identity", b'y'),
    ("Refer-To", b'r'),
    ("Referred-By", b'b'),
    ("Reject-Contact", b'j'),
    ("Request-Disposition", b'd'),
    ("Session-Expires", b'x'),
    ("Subject", b's'),
    ("Supported", b'k'),
    ("To", b't'),
    ("Via", b'v'),
    ("Identity-Info", b'n'),
];

impl HeaderMatches {
    pub(super) fn new(headers: &[HeaderMatch]) -> Self {
        let mut id = SipHasher13::new();
        let compile = |header: &HeaderMatch| {
            let name = header.name.as_str();
            let is_same = |text: &str| text.eq_ignore_ascii_case(name);
            let compact = COMPACT.iter().find(|(full, letter)| {
                is_same(full) || is_same(char::from(*letter).encode_utf8(&mut [0; 4]))
            });
            let full = compact.map_or(name, |(full, _)| full);
            (full, &header.test).hash(&mut id);
            CompiledHeader {
                name: full.as_bytes().into(),
                compact: compact.map(|(_, letter)| *letter),
                test: header.test.clone(),
            }
        };
        let list = headers.iter().map(compile).collect();
        Self { list, id: id.finish() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether one of the headers stands in the request.
    #[cold]
    fn fit(&self, request: &Request<'_>) -> bool {
        let bytes = request.bytes;
        let mut lines = HeaderLines::new(bytes, request.line.end() + b"\r\n".len());
        while let Some(line) = lines.next_line() {
            let text = line.line.of(bytes);
            let Some(colon) = text.iter().position(|&byte| byte == b':') else { continue };
            let (name, value) = (text[..colon].trim_ascii_end(), text[colon + 1..].trim_ascii());
            if self.list.iter().any(|header| header.is(name) && header.holds(value)) {
                return true;
            }
        }
        false
    }
}

impl CompiledHeader {
    fn is(&self, name: &[u8]) -> bool {
        let is_compact = |letter| matches!(name, [only] if only.eq_ignore_ascii_case(letter));
        self.name.eq_ignore_ascii_case(name) || self.compact.as_ref().is_some_and(is_compact)
    }

    fn holds(&self, value: &[u8]) -> bool {
        let same = |part: &[u8], text: &str| part.eq_ignore_ascii_case(text.as_bytes());
        match &self.test {
            HeaderTest::Present => true,
            HeaderTest::Is(text) => same(value, text),
            HeaderTest::BeginsWith(text) => {
                value.get(..text.len()).is_some_and(|begin| same(begin, text))
            }
            HeaderTest::Contains(text) => value.windows(text.len()).any(|part| same(part, text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(user: &str) -> Subject<'_> {
        Subject {
            method: Method::Invite,
            method_name: b"INVITE",
            scheme: Scheme::Sip,
            user: user.as_bytes(),
            host: b"example.com",
            source: "10.0.0.1".parse().unwrap(),
        }
    }

    #[test]
    fn escapes_do_not_hide_a_user() {
        assert!(user_begins(&subject("+49301234"), b"+49"));
        assert!(user_begins(&subject("%2b4%39301234"), b"+49"));
        assert!(!user_begins(&subject("+4"), b"+49"));
        assert!(!user_begins(&subject("%zz49"), b"+49"));
        let number = Subject { scheme: Scheme::Tel, ..subject("+4-(9)30") };
        assert!(user_begins(&number, b"+493"));
    }

    #[test]
    fn ack_and_cancel_follow_invite() {
        let mut methods = Methods::default();
        methods.insert("INVITE");
        methods.insert("NEWMETHOD");
        for method in [Method::Ack, Method::Cancel, Method::Invite] {
            assert!(methods.contain(&Subject { method, ..subject("") }));
        }
        assert!(!methods.contain(&Subject { method: Method::Bye, ..subject("") }));
        let other = Subject { method: Method::Other, method_name: b"NEWMETHOD", ..subject("") };
        assert!(methods.contain(&other));
        assert!(!methods.contain(&Subject { method_name: b"NEWMETHO", ..other }));
    }

    #[test]
    fn hosts_match_in_any_case_and_spelling() {
        assert!(Host::new("Example.COM").is(b"eXample.com."));
        assert!(Host::new("[fd77::1]").is(b"[fd77:0::1]"));
        assert!(!Host::new("10.0.0.1").is(b"10.0.0.2"));
    }
}
