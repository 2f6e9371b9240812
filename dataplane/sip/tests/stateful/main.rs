//! The stateful proxy of RFC 3261 section 16 over its transactions, message by message.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, reason = "tests")]

mod connections;
mod loads;
mod located;
mod names;
mod proxy;
mod races;

use proxy::{CALLER, Proxy, kinds, only, request, settings};
use sip_core::{Fork, MergedRequests, Settings, TransactionSettings, TransactionSizes};

#[test]
fn a_call_has_100_at_once_and_every_message_once() {
    let mut proxy = Proxy::new(&settings(Fork::No));
    let sent = proxy.receive(CALLER, &request("INVITE", "c"));
    let (trying, invite) = (only(&sent, "100"), only(&sent, "INVITE"));
    assert_eq!((trying.to.as_str(), sent.len()), (CALLER, 2));
    assert!(!trying.header("To").contains("tag="), "{}", trying.text);
    // Retransmissions are answered with what was said last, and go no further.
    assert_eq!(kinds(&proxy.receive(CALLER, &request("INVITE", "c"))), ["100"]);
    assert_eq!(kinds(&proxy.receive(&invite.to, &invite.response("100 Trying"))), [""; 0]);
    let ringing = proxy.receive(&invite.to, &invite.response("180 Ringing"));
    assert_eq!(only(&ringing, "180").to, CALLER);
    assert_eq!(proxy.receive(CALLER, &request("INVITE", "c")), ringing);
    let ok = proxy.receive(&invite.to, &invite.response("200 OK"));
    assert_eq!(only(&ok, "200").to, CALLER);
    // The callee repeats its 2xx until the ACK reaches it (RFC 6026).
    assert_eq!(proxy.receive(&invite.to, &invite.response("200 OK")), ok);
    let ack = request("ACK", "c").replace("z9hG4bKcINVITE", "z9hG4bKcACK");
    assert_eq!(kinds(&proxy.receive(CALLER, &ack)), ["ACK"]);
    let bye = proxy.receive(CALLER, &request("BYE", "c"));
    assert_eq!(kinds(&bye), ["BYE"]);
    assert_eq!(kinds(&proxy.receive(CALLER, &request("BYE", "c"))), [""; 0]);
    let ok = proxy.receive(&bye[0].to, &bye[0].response("200 OK"));
    assert_eq!(only(&ok, "200").to, CALLER);
    assert_eq!(proxy.receive(CALLER, &request("BYE", "c")), ok);
    assert_eq!(proxy.counts().alive, 2);
    assert_eq!(proxy.wait(33_000), []);
    let counts = proxy.counts();
    assert_eq!((counts.alive, counts.buffers_used, counts.opened), (0, 0, 2));
}

#[test]
fn requests_are_sent_again_until_somebody_answers_and_then_408() {
    let mut proxy = Proxy::new(&Settings { sets: one_member(), ..settings(Fork::No) });
    let invite = only(&proxy.receive(CALLER, &request("INVITE", "c")), "INVITE").clone();
    let sent = proxy.wait(32_100);
    let times: Vec<u64> = sent.iter().map(|(at, _)| *at).collect();
    assert_eq!(times, [500, 1_500, 3_500, 7_500, 15_500, 31_500, 32_000]);
    assert!(sent[..6].iter().all(|(_, again)| *again == invite));
    let (_, timeout) = sent.last().unwrap();
    assert_eq!((timeout.kind().as_str(), timeout.to.as_str()), ("408", CALLER));
    assert!(timeout.header("To").contains(";tag="));
    // Without an ACK the response is repeated (timer G), with it not any more.
    let again = proxy.wait(1_600);
    assert_eq!(again.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [400, 1_400]);
    assert_eq!(proxy.receive(CALLER, &request("ACK", "c")), []);
    assert_eq!(proxy.wait(40_000), []);
    assert_eq!((proxy.counts().alive, proxy.counts().buffers_used), (0, 0));
}

#[test]
fn a_request_other_than_invite_is_never_answered_with_408() {
    let mut proxy = Proxy::new(&Settings { sets: one_member(), ..settings(Fork::No) });
    assert_eq!(kinds(&proxy.receive(CALLER, &request("OPTIONS", "c"))), ["OPTIONS"]);
    let sent = proxy.wait(60_000);
    let times: Vec<u64> = sent.iter().map(|(at, _)| *at).collect();
    assert_eq!(times, [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]);
    assert!(sent.iter().all(|(_, one)| one.kind() == "OPTIONS"));
    assert_eq!((proxy.counts().alive, proxy.counts().buffers_used), (0, 0));
}

#[test]
fn busy_is_acknowledged_hop_by_hop() {
    let mut proxy = Proxy::new(&settings(Fork::No));
    let invite = only(&proxy.receive(CALLER, &request("INVITE", "c")), "INVITE").clone();
    let sent = proxy.receive(&invite.to, &invite.response("486 Busy Here"));
    let (busy, ack) = (only(&sent, "486"), only(&sent, "ACK"));
    assert_eq!((busy.to.as_str(), ack.to.as_str()), (CALLER, invite.to.as_str()));
    assert_eq!(ack.header("CSeq"), "1 ACK");
    assert_eq!(ack.header("Via"), invite.header("Via"));
    assert_eq!(kinds(&proxy.receive(&invite.to, &invite.response("486 Busy Here"))), ["ACK"]);
    let busy = busy.clone();
    assert_eq!(proxy.receive(CALLER, &request("INVITE", "c")), [busy]);
    assert_eq!(proxy.receive(CALLER, &request("ACK", "c")), []);
    assert_eq!(proxy.receive(CALLER, &request("ACK", "c")), []);
    assert_eq!(proxy.counts().confirmed, 1);
    assert_eq!(proxy.wait(33_000), []);
    assert_eq!((proxy.counts().alive, proxy.counts().buffers_used), (0, 0));
}

#[test]
fn a_cancel_waits_for_a_provisional_response() {
    let mut proxy = Proxy::new(&settings(Fork::No));
    let invite = only(&proxy.receive(CALLER, &request("INVITE", "c")), "INVITE").clone();
    let sent = proxy.receive(CALLER, &request("CANCEL", "c"));
    assert_eq!(kinds(&sent), ["200"]);
    assert_eq!(sent[0].header("CSeq"), "1 CANCEL");
    let sent = proxy.receive(&invite.to, &invite.response("180 Ringing"));
    let cancel = only(&sent, "CANCEL");
    assert_eq!((sent.len(), cancel.to.as_str()), (1, invite.to.as_str()));
    assert_eq!(cancel.header("Via"), invite.header("Via"));
    // It is repeated until it is answered.
    let again = proxy.wait(1_600);
    assert_eq!(again.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [500, 1_500]);
    assert_eq!(again[0].1, *cancel);
    assert_eq!(proxy.receive(&invite.to, &cancel.response("200 OK")), []);
    let sent = proxy.receive(&invite.to, &invite.response("487 Request Terminated"));
    assert_eq!(only(&sent, "487").to, CALLER);
    assert_eq!(only(&sent, "ACK").to, invite.to);
    assert_eq!(proxy.receive(CALLER, &request("ACK", "c")), []);
    assert_eq!(proxy.wait(40_000), []);
    assert_eq!((proxy.counts().alive, proxy.counts().buffers_used), (0, 0));
}

#[test]
fn whoever_ignores_our_cancel_counts_as_cancelled() {
    let mut proxy = Proxy::new(&settings(Fork::No));
    let invite = only(&proxy.receive(CALLER, &request("INVITE", "c")), "INVITE").clone();
    proxy.receive(&invite.to, &invite.response("180 Ringing"));
    assert_eq!(kinds(&proxy.receive(CALLER, &request("CANCEL", "c"))), ["200", "CANCEL"]);
    let sent = proxy.wait(33_000);
    let last = sent.iter().find(|(_, one)| one.kind() != "CANCEL").unwrap();
    assert_eq!((last.0, last.1.kind().as_str(), last.1.to.as_str()), (32_000, "487", CALLER));
    proxy.receive(CALLER, &request("ACK", "c"));
    proxy.wait(40_000);
    assert_eq!((proxy.counts().alive, proxy.counts().buffers_used), (0, 0));
}

#[test]
fn a_cancel_without_transaction_goes_on() {
    let mut proxy = Proxy::new(&settings(Fork::No));
    assert_eq!(kinds(&proxy.receive(CALLER, &request("CANCEL", "c"))), ["CANCEL"]);
}

#[test]
fn a_parallel_fork_ends_with_the_first_answer() {
    let mut proxy = Proxy::new(&settings(Fork::Parallel));
    let sent = proxy.receive(CALLER, &request("INVITE", "c"));
    let invites: Vec<_> = sent.iter().filter(|one| one.kind() == "INVITE").cloned().collect();
    assert_eq!((invites.len(), kinds(&sent).iter().filter(|kind| *kind == "100").count()), (3, 1));
    let mut targets: Vec<_> = invites.iter().map(|one| one.to.as_str()).collect();
    targets.sort_unstable();
    assert_eq!(targets, proxy::CALLEES);
    let branches: std::collections::HashSet<_> =
        invites.iter().map(|one| one.header("Via")).collect();
    assert_eq!(branches.len(), 3);
    for invite in &invites {
        let sent = proxy.receive(&invite.to, &invite.response("180 Ringing"));
        assert_eq!(kinds(&sent), ["180"]);
    }
    let busy = proxy.receive(&invites[0].to, &invites[0].response("486 Busy Here"));
    assert_eq!(kinds(&busy), ["ACK"]);
    let sent = proxy.receive(&invites[1].to, &invites[1].response("200 OK"));
    assert_eq!(kinds(&sent), ["200", "CANCEL"]);
    assert_eq!(only(&sent, "CANCEL").to, invites[2].to);
    // A late 2xx of another branch goes upstream, too (RFC 3261 section 16.7 step 5).
    let late = proxy.receive(&invites[2].to, &invites[2].response("200 OK"));
    assert_eq!(kinds(&late), ["200"]);
    proxy.wait(60_000);
    assert_eq!((proxy.counts().alive, proxy.counts().branches), (0, 0));
    assert_eq!(proxy.counts().buffers_used, 0);
}

#[test]
fn a_fork_asks_every_member_of_a_large_tier_and_nobody_of_the_next() {
    let mut sets = settings(Fork::Parallel).sets;
    sets[0].members = (2..=15)
        .map(|host| {
            let mut member = sip_core::Member::new(([10, 77, 2, host], 5060).into());
            member.priority = u8::from(host > 13);
            member
        })
        .collect();
    let mut proxy = Proxy::new(&Settings { sets, ..settings(Fork::Parallel) });
    let mut sent = proxy.receive(CALLER, &request("INVITE", "c"));
    for asked in [12, 2] {
        sent.retain(|one| one.kind() == "INVITE");
        assert_eq!(sent.len(), asked);
        sent =
            sent.iter().flat_map(|one| proxy.receive(&one.to, &one.response("480 Away"))).collect();
    }
    assert_eq!(only(&sent, "480").to, CALLER);
}

#[test]
fn the_best_response_of_a_fork_goes_upstream_with_all_challenges() {
    let mut proxy = Proxy::new(&settings(Fork::Parallel));
    let sent = proxy.receive(CALLER, &request("INVITE", "c"));
    let invites: Vec<_> = sent.iter().filter(|one| one.kind() == "INVITE").cloned().collect();
    let first = invites[0].response_with("401 Unauthorized", "WWW-Authenticate: Digest a\r\n");
    assert_eq!(kinds(&proxy.receive(&invites[0].to, &first)), ["ACK"]);
    assert_eq!(
        kinds(&proxy.receive(&invites[1].to, &invites[1].response("404 Not Found"))),
        ["ACK"]
    );
    let last = invites[2].response_with("407 Proxy", "Proxy-Authenticate: Digest b\r\n");
    let sent = proxy.receive(&invites[2].to, &last);
    let best = only(&sent, "401");
    assert!(best.text.contains("WWW-Authenticate: Digest a\r\n"), "{}", best.text);
    assert!(best.text.contains("Proxy-Authenticate: Digest b\r\n"), "{}", best.text);
    assert!(!best.text.contains("tl2"), "{}", best.text);
    assert_eq!(proxy.receive(CALLER, &request("ACK", "c")), []);
}

#[test]
fn a_6xx_ends_a_fork() {
    let mut proxy = Proxy::new(&settings(Fork::Parallel));
    let sent = proxy.receive(CALLER, &request("INVITE", "c"));
    let invites: Vec<_> = sent.iter().filter(|one| one.kind() == "INVITE").cloned().collect();
    for invite in &invites[1..] {
        proxy.receive(&invite.to, &invite.response("180 Ringing"));
    }
    let sent = proxy.receive(&invites[0].to, &invites[0].response("603 Decline"));
    assert_eq!(kinds(&sent), ["ACK", "CANCEL", "CANCEL"]);
    for invite in &invites[1..] {
        let sent = proxy.receive(&invite.to, &invite.response("487 Request Terminated"));
        let is_last = invite == invites.last().unwrap();
        assert_eq!(sent.iter().any(|one| one.kind() == "603"), is_last, "{sent:?}");
    }
}

#[test]
fn a_serial_fork_asks_one_after_the_other() {
    let mut proxy = Proxy::new(&settings(Fork::Serial));
    let mut sent = proxy.receive(CALLER, &request("INVITE", "c"));
    for round in 0..3 {
        let invite = only(&sent, "INVITE").clone();
        proxy.receive(&invite.to, &invite.response("180 Ringing"));
        sent = proxy.receive(&invite.to, &invite.response("480 Temporarily Unavailable"));
        assert_eq!(sent.iter().any(|one| one.kind() == "INVITE"), round < 2);
    }
    assert_eq!(only(&sent, "480").to, CALLER);
}

#[test]
fn a_destination_that_fails_is_replaced() {
    for failure in ["503 Service Unavailable", "408 Request Timeout", "icmp", "silence", "no way"] {
        let mut proxy = Proxy::new(&settings(Fork::No));
        let probe = only(&proxy.receive(CALLER, &request("INVITE", "c")), "INVITE").clone();
        let mut proxy = Proxy::new(&settings(Fork::No));
        let sent = if failure == "no way" {
            proxy.ways.dead.push(probe.to.parse().unwrap());
            proxy.receive(CALLER, &request("INVITE", "c"))
        } else {
            let invite = only(&proxy.receive(CALLER, &request("INVITE", "c")), "INVITE").clone();
            match failure {
                "icmp" => proxy.unreachable(&invite.text),
                "silence" => proxy
                    .wait(4_000)
                    .into_iter()
                    .map(|(_, one)| one)
                    .filter(|one| one.to != invite.to)
                    .collect(),
                status => proxy.receive(&invite.to, &invite.response(status)),
            }
        };
        let second = only(&sent, "INVITE").clone();
        assert_ne!(second.to, probe.to, "{failure}");
        assert!(!sent.iter().any(|one| one.kind() == "503"), "{failure}");
        let ok = proxy.receive(&second.to, &second.response("200 OK"));
        assert_eq!(only(&ok, "200").to, CALLER, "{failure}");
        assert_eq!(proxy.counts().failed_over, 1, "{failure}");
        proxy.wait(70_000);
        assert_eq!((proxy.counts().alive, proxy.counts().buffers_used), (0, 0), "{failure}");
    }
}

#[test]
fn what_belongs_to_a_dialog_waits_for_a_destination_that_is_started_again() {
    let mut proxy = Proxy::new(&settings(Fork::No));
    let bye = only(&proxy.receive(CALLER, &request("BYE", "c")), "BYE").clone();
    assert_eq!(kinds(&proxy.unreachable(&bye.text)), [""; 0]);
    let again = proxy.wait(600);
    assert!(again.iter().any(|(_, sent)| *sent == bye), "{again:?}");
    let ok = proxy.receive(&bye.to, &bye.response("200 OK"));
    assert_eq!(only(&ok, "200").to, CALLER);
}

#[test]
fn when_all_destinations_fail_the_caller_hears_500() {
    let mut proxy = Proxy::new(&settings(Fork::No));
    let mut sent = proxy.receive(CALLER, &request("INVITE", "c"));
    for _ in 0..3 {
        let invite = only(&sent, "INVITE").clone();
        sent = proxy.receive(&invite.to, &invite.response("503 Service Unavailable"));
    }
    assert_eq!(only(&sent, "500").to, CALLER);
}

#[test]
fn a_destination_given_up_that_answers_late_is_cancelled() {
    let mut proxy = Proxy::new(&settings(Fork::No));
    let first = only(&proxy.receive(CALLER, &request("INVITE", "c")), "INVITE").clone();
    let sent: Vec<_> = proxy.wait(4_000).into_iter().map(|(_, one)| one).collect();
    let second = sent.iter().find(|one| one.to != first.to).unwrap().clone();
    let late = proxy.receive(&first.to, &first.response("180 Ringing"));
    assert_eq!(kinds(&late), ["CANCEL"]);
    let busy = proxy.receive(&second.to, &second.response("486 Busy Here"));
    assert_eq!(kinds(&busy), ["486", "ACK"]);
}

#[test]
fn redirections_are_followed_by_their_q() {
    let transactions = TransactionSettings { recurse: true, ..TransactionSettings::default() };
    let mut proxy =
        Proxy::new(&Settings { transactions, sets: one_member(), ..settings(Fork::No) });
    let invite = only(&proxy.receive(CALLER, &request("INVITE", "c")), "INVITE").clone();
    let contacts = "Contact: <sip:low@10.77.2.9>;q=0.1, <sip:one@10.77.2.7>;q=0.8\r\n\
                    Contact: <sip:two@10.77.2.8:5070>;q=0.8, <sip:name@unknown.example>\r\n";
    let sent = proxy.receive(&invite.to, &invite.response_with("302 Moved", contacts));
    let invites: Vec<_> = sent.iter().filter(|one| one.kind() == "INVITE").cloned().collect();
    assert_eq!(invites.len(), 2);
    assert!(invites[0].text.starts_with("INVITE sip:one@10.77.2.7 SIP/2.0\r\n"));
    assert_eq!(invites[1].to, "10.77.2.8:5070");
    proxy.receive(&invites[0].to, &invites[0].response("480 Away"));
    let sent = proxy.receive(&invites[1].to, &invites[1].response("486 Busy"));
    assert_eq!(only(&sent, "INVITE").to, "10.77.2.9:5060");
    let low = only(&sent, "INVITE").clone();
    let sent = proxy.receive(&low.to, &low.response("404 Gone"));
    assert_eq!(sent.iter().filter(|one| one.to == CALLER).count(), 1, "{sent:?}");
}

#[test]
fn whoever_rings_too_long_is_cancelled() {
    let transactions =
        TransactionSettings { timer_c_ms: 181_000, ..TransactionSettings::default() };
    let mut proxy = Proxy::new(&Settings { transactions, ..settings(Fork::No) });
    let invite = only(&proxy.receive(CALLER, &request("INVITE", "c")), "INVITE").clone();
    proxy.receive(&invite.to, &invite.response("180 Ringing"));
    assert_eq!(proxy.wait(100_000), []);
    proxy.receive(&invite.to, &invite.response("183 Session Progress"));
    let sent = proxy.wait(181_100);
    assert_eq!((sent[0].0, sent[0].1.kind().as_str()), (181_000, "CANCEL"));
    let sent = proxy.receive(&invite.to, &invite.response("487 Request Terminated"));
    assert_eq!(only(&sent, "487").to, CALLER);
}

#[test]
fn a_merged_request_is_refused_where_the_settings_say_so() {
    for (merged, second) in
        [(MergedRequests::Refuse, &["482"][..]), (MergedRequests::Forward, &["INVITE", "100"][..])]
    {
        let transactions = TransactionSettings { merged, ..TransactionSettings::default() };
        let mut proxy = Proxy::new(&Settings { transactions, ..settings(Fork::No) });
        proxy.receive(CALLER, &request("INVITE", "c"));
        let other_way = request("INVITE", "c").replace("z9hG4bKc", "z9hG4bKother");
        assert_eq!(kinds(&proxy.receive(CALLER, &other_way)), second);
        let other_leg = other_way.replace("bob@example.com SIP", "carol@example.com SIP");
        let other_leg = other_leg.replace("z9hG4bKother", "z9hG4bKleg");
        assert_eq!(kinds(&proxy.receive(CALLER, &other_leg)), ["INVITE", "100"]);
    }
}

#[test]
fn a_full_table_says_503_and_keeps_what_runs() {
    let sizes = TransactionSizes { transactions: 2, buffers: 64 };
    let mut proxy = Proxy::sized(&settings(Fork::No), sizes);
    let invite = only(&proxy.receive(CALLER, &request("INVITE", "a")), "INVITE").clone();
    proxy.receive(CALLER, &request("INVITE", "b"));
    let refused = proxy.receive(CALLER, &request("INVITE", "c"));
    assert_eq!(only(&refused, "503").header("Retry-After"), "5");
    assert_eq!((refused.len(), proxy.counts().refused_full), (1, 1));
    let ok = proxy.receive(&invite.to, &invite.response("200 OK"));
    assert_eq!(kinds(&ok), ["200"]);
    // The same with buffers.
    let sizes = TransactionSizes { transactions: 20, buffers: 4 };
    let mut proxy = Proxy::sized(&settings(Fork::No), sizes);
    assert_eq!(kinds(&proxy.receive(CALLER, &request("INVITE", "a"))), ["INVITE", "100"]);
    assert_eq!(kinds(&proxy.receive(CALLER, &request("INVITE", "b"))), ["503"]);
}

#[test]
fn responses_that_are_not_ours_match_nothing() {
    use sip_core::Owner;
    let mut proxy = Proxy::new(&settings(Fork::No));
    let invite = only(&proxy.receive(CALLER, &request("INVITE", "c")), "INVITE").clone();
    let good = invite.response("180 Ringing");
    assert!(matches!(proxy.owner(&good), Owner::Here(_)));
    let at = good.find("tl2").unwrap() + 3;
    for digit in at..at + 32 {
        let mut forged = good.clone().into_bytes();
        forged[digit] = if forged[digit] == b'7' { b'8' } else { b'7' };
        assert_eq!(proxy.owner(&String::from_utf8(forged).unwrap()), Owner::Forged, "{digit}");
    }
    // The branch of a transaction that is over.
    let ok = invite.response("200 OK");
    proxy.receive(&invite.to, &ok);
    proxy.wait(33_000);
    assert_eq!(proxy.owner(&ok), Owner::Stale);
    let other = only(&proxy.receive(CALLER, &request("INVITE", "d")), "INVITE").clone();
    assert!(matches!(proxy.owner(&other.response("200 OK")), Owner::Here(_)));
    assert_eq!(proxy.owner(&ok), Owner::Stale);
}

fn one_member() -> Vec<sip_core::DestinationSet> {
    let mut sets = settings(Fork::No).sets;
    sets[0].members.truncate(1);
    sets
}
