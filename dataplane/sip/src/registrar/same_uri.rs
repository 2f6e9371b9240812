//! Whether two URIs are the same (RFC 3261 section 19.1.4).

use crate::message::Span;
use crate::parse::params::{Param, Params};
use crate::parse::uri::Uri;

/// Parameters that must be in both or in none: what one of them says by default is another thing.
const DECIDING: [&[u8]; 4] = [b"user", b"ttl", b"method", b"maddr"];

/// Whether the URI `one` in `bytes` is the same as `other` in `others`.
pub(super) fn is_same(bytes: &[u8], one: Span, others: &[u8], other: Span) -> bool {
    let (Some(left), Some(right)) = (Uri::parse(bytes, one), Uri::parse(others, other)) else {
        return false;
    };
    left.scheme == right.scheme
        && is_same_text(left.user.of(bytes), right.user.of(others), |byte| byte)
        && is_same_text(password(bytes, &left), password(others, &right), |byte| byte)
        && left.host.of(bytes).eq_ignore_ascii_case(right.host.of(others))
        && left.port_span.of(bytes) == right.port_span.of(others)
        && headers(bytes, one, &left) == headers(others, other, &right)
        && agrees(bytes, &left, others, &right)
        && agrees(others, &right, bytes, &left)
}

/// What stands between the user and the host.
fn password<'a>(bytes: &'a [u8], uri: &Uri) -> &'a [u8] {
    if uri.user.is_empty() {
        return &[];
    }
    Span::new(uri.user.end(), uri.host.start().max(uri.user.end())).of(bytes)
}

/// What stands behind the parameters.
fn headers<'a>(bytes: &'a [u8], whole: Span, uri: &Uri) -> &'a [u8] {
    Span::new(uri.params.end(), whole.end()).of(bytes)
}

/// Whether the second URI has the same for each parameter of the first one that matters.
fn agrees(bytes: &[u8], one: &Uri, others: &[u8], other: &Uri) -> bool {
    let mut params = Params::new(bytes, one.params.start(), one.params.end());
    while let Ok(Some(param)) = params.next_param() {
        let name = param.name.of(bytes);
        let is_same = match find(others, other, name) {
            Some(found) => {
                let small = |byte: u8| byte.to_ascii_lowercase();
                is_same_text(param.value.of(bytes), found.value.of(others), small)
            }
            None => !DECIDING.iter().any(|deciding| name.eq_ignore_ascii_case(deciding)),
        };
        if !is_same {
            return false;
        }
    }
    true
}

fn find(bytes: &[u8], uri: &Uri, name: &[u8]) -> Option<Param> {
    let mut params = Params::new(bytes, uri.params.start(), uri.params.end());
    while let Ok(Some(param)) = params.next_param() {
        if param.name.of(bytes).eq_ignore_ascii_case(name) {
            return Some(param);
        }
    }
    None
}

/// Whether two texts are the same without their escapes.
fn is_same_text(one: &[u8], other: &[u8], case: impl Fn(u8) -> u8) -> bool {
    Unescaped(one).map(&case).eq(Unescaped(other).map(&case))
}

/// The bytes of a text without its escapes.
struct Unescaped<'a>(&'a [u8]);

impl Iterator for Unescaped<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let digit = |byte: u8| char::from(byte).to_digit(16);
        if let [b'%', high, low, rest @ ..] = self.0
            && let Some((high, low)) = digit(*high).zip(digit(*low))
        {
            self.0 = rest;
            return u8::try_from(high << 4 | low).ok();
        }
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(one: &str, other: &str) -> bool {
        let span = |text: &str| Span::new(0, text.len());
        is_same(one.as_bytes(), span(one), other.as_bytes(), span(other))
    }

    /// The examples of RFC 3261 section 19.1.4.
    #[test]
    fn uris_that_are_the_same() {
        for (one, other) in [
            ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
            ("sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on"),
        ] {
            assert!(same(one, other) && same(other, one), "{one} {other}");
        }
    }

    /// The examples of RFC 3261 section 19.1.4.
    #[test]
    fn uris_that_are_not_the_same() {
        for (one, other) in [
            ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
            ("sip:bob@biloxi.com:6000;transport=tcp", "sip:bob@biloxi.com"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
            ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;user=phone"),
            ("sip:bob:one@biloxi.com", "sip:bob:two@biloxi.com"),
            ("sip:bob@biloxi.com", "sips:bob@biloxi.com"),
        ] {
            assert!(!same(one, other) && !same(other, one), "{one} {other}");
        }
    }
}
