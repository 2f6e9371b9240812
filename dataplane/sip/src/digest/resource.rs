//! Whether credentials are for the resource that is asked for (RFC 7616 section 3.4.6).
//!
//! That section wants the same resource, not the same text, and proxies on the way may have rewritten the
//! Request-URI (RFC 3261 section 22.4). What is compared is what names the resource: host in any case and user.
//! Scheme, port, parameters and headers may differ, and the user may be missing from `uri`, as phones have it. A
//! replay gains nothing by that: a nonce count is good once.

use crate::message::{Request, Span};
use crate::parse::uri::Uri;

/// Whether `uri` of the credentials means the Request-URI.
#[inline(always)]
pub(super) fn is_same(request: &Request<'_>, uri: Span) -> bool {
    uri.of(request.bytes) == request.uri() || is_alike(request, uri)
}

#[inline(never)]
fn is_alike(request: &Request<'_>, uri: Span) -> bool {
    let bytes = request.bytes;
    let (Some(claimed), Some(asked)) = (Uri::parse(bytes, uri), Uri::parse(bytes, request.uri))
    else {
        return false;
    };
    let is_host = claimed.host.of(bytes).eq_ignore_ascii_case(asked.host.of(bytes));
    let user = claimed.user.of(bytes);
    is_host && (user.is_empty() || user == asked.user.of(bytes))
}

#[cfg(test)]
mod tests {
    use std::prelude::v1::*;

    use super::*;
    use crate::message::{Headers, Message};

    fn is_same(asked: &str, claimed: &str) -> bool {
        let text = format!(
            "INVITE {asked} SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nFrom: a\r\nTo: a\r\nCall-ID: 1\r\n\
             CSeq: 1 INVITE\r\nX: {claimed}\r\n\r\n"
        );
        let mut headers = Headers::default();
        let Ok(Message::Request(request)) = crate::parse(text.as_bytes(), &mut headers) else {
            unreachable!("{text}");
        };
        let end = text.len() - 4;
        super::is_same(&request, Span::new(end - claimed.len(), end))
    }

    #[test]
    fn host_and_user_count() {
        for (asked, claimed) in [
            ("sip:bob@example.com", "sip:bob@example.com"),
            ("sip:bob@example.com", "sips:bob@EXAMPLE.com:5061;transport=tls"),
            ("sip:bob@example.com;user=phone", "sip:bob@example.com"),
            ("sip:bob@example.com", "sip:example.com"),
            ("tel:+4930", "tel:+4930;phone-context=x"),
            ("urn:service:sos", "urn:service:sos"),
        ] {
            assert!(is_same(asked, claimed), "{asked} {claimed}");
        }
        for (asked, claimed) in [
            ("sip:bob@example.com", "sip:bob@example.org"),
            ("sip:bob@example.com", "sip:carol@example.com"),
            ("sip:example.com", "sip:carol@example.com"),
            ("sip:bob@example.com", "/dir/index.html"),
            ("tel:+4930", "tel:+4931"),
        ] {
            assert!(!is_same(asked, claimed), "{asked} {claimed}");
        }
    }
}
