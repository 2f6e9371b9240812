//! Whether credentials are for the resource that is asked for (RFC 7616 section 3.4.6).
//!
//! That section wants the same resource, not the same text, and proxies on the way may have rewritten the
//! Request-URI (RFC 3261 section 22.4). What is compared is what names the resource: user, and host in any case,
//! of which all that are ours are the same, since some clients name the address that they send to. Scheme, port, parameters and headers may differ, and the user may be missing from `uri`, as phones have it. A
//! replay gains nothing by that: a nonce count is good once.

use super::Demand;
use crate::message::Span;
use crate::parse::uri::Uri;

/// Whether `uri` of the credentials means the Request-URI.
#[inline(always)]
pub(super) fn is_same(demand: &Demand<'_>, uri: Span) -> bool {
    uri.of(demand.request.bytes) == demand.request.uri() || is_alike(demand, uri)
}

#[inline(never)]
fn is_alike(demand: &Demand<'_>, uri: Span) -> bool {
    let (bytes, asked) = (demand.request.bytes, demand.request.uri);
    let (Some(claimed), Some(asked)) = (Uri::parse(bytes, uri), Uri::parse(bytes, asked)) else {
        return false;
    };
    let arrived_at = demand.arrival.listen;
    let is_ours = |uri: &Uri| demand.tables.is_ours(uri.host.of(bytes), uri.port(), arrived_at);
    let is_host = claimed.host.of(bytes).eq_ignore_ascii_case(asked.host.of(bytes))
        || is_ours(&claimed) && is_ours(&asked);
    let user = claimed.user.of(bytes);
    is_host && (user.is_empty() || user == asked.user.of(bytes))
}

#[cfg(test)]
mod tests {
    use std::prelude::v1::*;

    use super::*;
    use crate::message::{Arrival, Headers, Message};
    use crate::route::request::RequestRoute;
    use crate::route::tables::Tables;
    use crate::settings::{ListenId, ListenPoint, RealmId, Settings};

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
        let at = "10.77.1.1:5060".parse().unwrap();
        let tables = Tables::build(&Settings {
            domains: vec!["example.com".into()],
            listen: vec![ListenPoint::udp(at)],
            ..Settings::default()
        });
        let demand = Demand {
            request: &request,
            route: &RequestRoute::default(),
            realm: RealmId(0),
            credentials: &super::super::Credentials::empty(),
            tables: &tables.unwrap(),
            arrival: &Arrival { source: at, listen: ListenId(0) },
        };
        super::is_same(&demand, Span::new(end - claimed.len(), end))
    }

    #[test]
    fn host_and_user_count() {
        for (asked, claimed) in [
            ("sip:bob@example.com", "sip:bob@example.com"),
            ("sip:bob@example.com", "sips:bob@EXAMPLE.com:5061;transport=tls"),
            ("sip:bob@example.com;user=phone", "sip:bob@example.com"),
            ("sip:bob@example.com", "sip:example.com"),
            ("sip:example.com", "sip:10.77.1.1:5060"),
            ("sip:bob@10.77.1.1", "sip:bob@example.com"),
            ("tel:+4930", "tel:+4930;phone-context=x"),
            ("urn:service:sos", "urn:service:sos"),
        ] {
            assert!(is_same(asked, claimed), "{asked} {claimed}");
        }
        for (asked, claimed) in [
            ("sip:bob@example.com", "sip:bob@example.org"),
            ("sip:bob@example.com", "sip:bob@10.77.1.1:5070"),
            ("sip:bob@example.org", "sip:bob@example.com"),
            ("sip:bob@example.com", "sip:carol@example.com"),
            ("sip:example.com", "sip:carol@example.com"),
            ("sip:bob@example.com", "/dir/index.html"),
            ("tel:+4930", "tel:+4931"),
        ] {
            assert!(!is_same(asked, claimed), "{asked} {claimed}");
        }
    }
}
