//! Whatever credentials say, nobody gets in without a password, and each challenge is a response that can be
//! parsed.

use std::sync::LazyLock;

use super::{Appliance, REALM, text};
use sip_core::{
    Action, Authenticated, Choices, Credentials, CredentialsBuilder, Demand, Digest, DigestSizes,
    Headers, Message, Method, Output, RequestRoute, Rule, Share, SipDrop, parse, route_request,
};

static ASKING: LazyLock<Appliance> = LazyLock::new(Appliance::asking);
static USERS: LazyLock<Credentials> = LazyLock::new(|| {
    let mut users = CredentialsBuilder::new(b"fedcba9876543210", 0);
    users.realm(REALM);
    users.user(b"alice", Some([1; 16]), Some([2; 32])).unwrap();
    users.finish().unwrap()
});

/// Checks the property for one datagram.
pub fn check(datagram: &[u8]) {
    let mut headers = Headers::default();
    let Ok(Message::Request(request)) = parse(datagram, &mut headers) else { return };
    let tables = &ASKING.tables;
    let sizes = DigestSizes { nonces: 4, failures: 4 };
    let mut digest = Digest::new(sizes, 0, b"fedcba9876543210");
    digest.set_time(1_000);
    let (mut route, mut out) = (RequestRoute::default(), Output::new());
    for arrival in &ASKING.arrivals {
        let mut choices = Choices::with_room(Share::default(), 1);
        if route_request(&request, tables, arrival, &mut choices, &mut route).is_err() {
            continue;
        }
        let Some(realm) = tables.realm(request.method(), route.reason) else { continue };
        let credentials = &USERS;
        let demand =
            Demand { request: &request, route: &route, realm, credentials, tables, arrival };
        match digest.check(&demand) {
            Authenticated::Challenge { stale } => {
                let written = digest.write_challenge(&demand, stale, &mut out);
                match written {
                    Ok(_) => assert_is_challenge(&out),
                    Err(SipDrop::AckUnanswerable) => assert_eq!(request.method(), Method::Ack),
                    Err(SipDrop::ReplyTooLarge) => {}
                    Err(other) => panic!("{other:?}"),
                }
            }
            Authenticated::Bad | Authenticated::Limited => {}
            other => panic!("{other:?}"),
        }
    }
}

fn assert_is_challenge(out: &Output) {
    let mut headers = Headers::default();
    let said = text(out.bytes());
    match parse(out.bytes(), &mut headers) {
        Ok(Message::Response(response)) => {
            assert!(matches!(response.status(), 401 | 407), "{said}");
        }
        other => panic!("{other:?} {said}"),
    }
    assert_eq!(said.matches("-Authenticate: Digest realm=\"example.com\", nonce=\"").count(), 2);
}
