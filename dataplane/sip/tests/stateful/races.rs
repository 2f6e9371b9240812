//! What the simulation has found: messages that cross each other or get lost at the wrong moment.

use super::proxy::{CALLER, Proxy, Sent, kinds, only, request, settings};
use sip_core::{Fork, TransactionSizes};

fn all(sent: &[Sent], kind: &str) -> Vec<Sent> {
    sent.iter().filter(|one| one.kind() == kind).cloned().collect()
}

#[test]
fn a_branch_whose_first_response_was_lost_is_cancelled_after_another_has_answered() {
    let mut proxy = Proxy::new(&settings(Fork::Parallel));
    let invites = all(&proxy.receive(CALLER, &request("INVITE", "c")), "INVITE");
    let [quick, slow, _] = &invites[..] else { panic!("{invites:?}") };
    // The 180 of the slow one did not arrive: he rings, and we cannot cancel that yet.
    let sent = proxy.receive(&quick.to, &quick.response("200 OK"));
    assert_eq!(kinds(&sent), ["200"]);
    // He hears the INVITE again, and rings again.
    let again = proxy.wait(600);
    assert!(again.iter().any(|(_, one)| one == slow), "{again:?}");
    let sent = proxy.receive(&slow.to, &slow.response("180 Ringing"));
    assert_eq!(only(&sent, "CANCEL").to, slow.to);
    let sent = proxy.receive(&slow.to, &slow.response("487 Request Terminated"));
    assert_eq!(kinds(&sent), ["ACK"]);
    proxy.wait(70_000);
    assert_eq!((proxy.counts().alive, proxy.counts().buffers_used), (0, 0));
}

#[test]
fn nobody_else_is_asked_after_the_caller_has_cancelled() {
    let mut proxy = Proxy::new(&settings(Fork::No));
    let invite = only(&proxy.receive(CALLER, &request("INVITE", "c")), "INVITE").clone();
    assert_eq!(kinds(&proxy.receive(CALLER, &request("CANCEL", "c"))), ["200"]);
    // The destination stays silent for longer than it takes to fail over.
    let sent = proxy.wait(40_000);
    let strangers = sent.iter().filter(|(_, one)| one.to != CALLER && one.to != invite.to);
    assert_eq!(strangers.count(), 0, "{sent:?}");
    let finals: Vec<_> = sent.iter().filter(|(_, one)| one.to == CALLER).collect();
    assert_eq!((finals[0].0, finals[0].1.kind().as_str()), (32_000, "487"));
    proxy.receive(CALLER, &request("ACK", "c"));
    proxy.wait(70_000);
    assert_eq!((proxy.counts().alive, proxy.counts().buffers_used), (0, 0));
}

#[test]
fn a_request_other_than_invite_asks_nobody_after_its_client_has_given_up() {
    let mut proxy = Proxy::new(&settings(Fork::Serial));
    let options = only(&proxy.receive(CALLER, &request("OPTIONS", "c")), "OPTIONS").clone();
    let sent = proxy.wait(100_000);
    assert!(sent.iter().all(|(at, one)| *at < 32_000 && one.to == options.to), "{sent:?}");
    assert_eq!((proxy.counts().alive, proxy.counts().buffers_used), (0, 0));
}

#[test]
fn a_caller_who_was_refused_for_want_of_room_does_not_let_a_callee_ring() {
    let sizes = TransactionSizes { transactions: 1, buffers: 64 };
    let mut proxy = Proxy::sized(&settings(Fork::No), sizes);
    let options = only(&proxy.receive(CALLER, &request("OPTIONS", "a")), "OPTIONS").clone();
    let refused = proxy.receive(CALLER, &request("INVITE", "c"));
    assert_eq!(kinds(&refused), ["503"]);
    proxy.receive(&options.to, &options.response("200 OK"));
    proxy.wait(33_000);
    // The INVITE had been sent again before the 503 arrived, and now there is room.
    let invite = only(&proxy.receive(CALLER, &request("INVITE", "c")), "INVITE").clone();
    proxy.receive(&invite.to, &invite.response("180 Ringing"));
    let sent = proxy.receive(CALLER, &request("ACK", "c"));
    assert_eq!((sent.len(), only(&sent, "CANCEL").to.as_str()), (1, invite.to.as_str()));
}
