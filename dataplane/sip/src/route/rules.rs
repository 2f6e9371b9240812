//! The rule table: the first rule that matches a request decides.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::IpAddr;

use crate::message::Method;
use crate::parse::uri::{self, Scheme};
use crate::settings::Network;

/// A rule with its texts prepared for matching.
#[derive(Debug)]
pub(super) struct CompiledRule {
    pub(super) methods: Methods,
    pub(super) domains: Vec<Host>,
    pub(super) user_prefixes: Vec<Box<[u8]>>,
    pub(super) sources: Vec<Network>,
    pub(super) action: CompiledAction,
}

/// What a rule does.
#[derive(Debug)]
pub(super) enum CompiledAction {
    /// Index of the destination set.
    Forward(u16),
    RequestUri,
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
    /// Whether the rule matches; lists that are empty match everything.
    #[inline]
    pub(super) fn matches(&self, subject: &Subject<'_>) -> bool {
        self.methods.contain(subject)
            && any(&self.domains, |domain| domain.is(subject.host))
            && any(&self.user_prefixes, |prefix| user_begins(subject, prefix))
            && any(&self.sources, |network| network.contains(subject.source))
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

/// Whether the user part begins with `prefix`. `%34` and `4` are the same user (RFC 3261 19.1.4),
/// and a number is the same with and without its visual separators (RFC 3966 section 4).
fn user_begins(subject: &Subject<'_>, prefix: &[u8]) -> bool {
    let mut user = subject.user;
    let is_number = subject.scheme == Scheme::Tel;
    prefix.iter().all(|&wanted| {
        while is_number && matches!(user.first(), Some(b'-' | b'.' | b'(' | b')')) {
            user = &user[1..];
        }
        let (byte, rest) = match user {
            [b'%', high, low, rest @ ..] => match (nibble(*high), nibble(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, rest),
                _ => return false,
            },
            [byte, rest @ ..] => (*byte, rest),
            [] => return false,
        };
        user = rest;
        byte == wanted
    })
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
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
