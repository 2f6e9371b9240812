//! Calls with transactions through whole workers over queues in memory, with a clock that the tests turn.

mod loads;
mod random;
mod team;

use control_api::DropReason;
use dataplane::mailbox::Command;
use dataplane::packet::MemoryPacket;
use dataplane::parcel::{Errand, service_parcels};
use dataplane::testing::appliance::{lab_fib, lab_fib_without, lab_settings_stateful};
use dataplane::testing::frames;
use sip_core::TransactionSizes;
use std::sync::Arc;
use std::time::Duration;
use team::{CALLEE, CALLER, Team, US, US_AT_CALLEE, answer, in_dialog, invite, request, starts};

#[test]
fn a_whole_call() {
    let mut team = Team::new(1);
    let sent = team.hear_caller(&invite(1));
    assert_eq!(
        starts(&sent),
        [(0, "SIP/2.0 100 Trying"), (1, "INVITE sip:service@10.77.1.1:5060 SIP/2.0")]
    );
    let forwarded = sent[1].1.clone();
    assert!(forwarded.ends_with("\r\n\r\nhello"), "{forwarded}");

    assert_eq!(starts(&team.hear_caller(&invite(1))), [(0, "SIP/2.0 100 Trying")]);
    assert_eq!(starts(&team.hear_callee(&answer(&forwarded, "100 Trying"))), []);
    let ringing = team.hear_callee(&answer(&forwarded, "180 Ringing"));
    assert_eq!(starts(&ringing), [(0, "SIP/2.0 180 Ringing")]);
    assert_eq!(starts(&team.hear_caller(&invite(1))), [(0, "SIP/2.0 180 Ringing")]);
    let answered = team.hear_callee(&answer(&forwarded, "200 OK"));
    assert_eq!(starts(&answered), [(0, "SIP/2.0 200 OK")]);

    let ack = in_dialog("ACK", &answered[0].1).replace("-1-ACK", "-2-ACK");
    assert_eq!(starts(&team.hear_caller(&ack)), [(1, "ACK sip:10.77.2.2:5060 SIP/2.0")]);
    let bye = in_dialog("BYE", &answered[0].1);
    let sent = team.hear_caller(&bye);
    assert_eq!(starts(&sent), [(1, "BYE sip:10.77.2.2:5060 SIP/2.0")]);
    let over = team.hear_callee(&answer(&sent[0].1, "200 OK"));
    assert_eq!(starts(&over), [(0, "SIP/2.0 200 OK")]);
    assert_eq!(starts(&team.hear_caller(&bye)), [(0, "SIP/2.0 200 OK")]);

    let status = team.status(0);
    assert_eq!((status[0].received, status[0].forwarded, status[0].absorbed), (6, 3, 3));
    assert_eq!((status[1].received, status[1].forwarded, status[1].absorbed), (4, 3, 1));
    assert_eq!((status[0].originated, status[1].originated), (4, 0));
    assert_eq!(team.alive(0), 2);
    team.wait(Duration::from_secs(40));
    team.wait(Duration::from_secs(1));
    assert_eq!(team.alive(0), 0);
}

#[test]
fn a_request_without_an_answer_is_sent_again_until_time_is_up() {
    let mut team = Team::new(1);
    let sent = team.hear_caller(&request("OPTIONS", 1, "", ""));
    assert_eq!(starts(&sent).len(), 1);
    let again = team.wait(Duration::from_millis(501));
    assert_eq!(again, sent, "the same message, byte for byte");
    assert_eq!(team.wait(Duration::from_millis(1)), []);
    team.hear_caller(&invite(2));
    let mut later = vec![];
    for _ in 0..80 {
        later.extend(team.wait(Duration::from_secs(1)));
    }
    // RFC 4320 section 4.2: no 408 to anything but INVITE.
    let answers: Vec<_> = later.iter().filter(|(port, _)| *port == 0).collect();
    assert!(!answers.is_empty());
    for (_, answer) in answers {
        let is_408 = answer.starts_with("SIP/2.0 408 ") && answer.contains("CSeq: 1 INVITE");
        assert!(is_408, "{answer}");
    }
    assert_eq!(team.alive(0), 0);
}

#[test]
fn a_response_that_comes_to_another_worker_is_handed_over() {
    let mut team = Team::new(3);
    let sent = team.deliver(1, CALLER, US, invite(1).as_bytes());
    let forwarded = &sent[1].1;
    for (worker, status) in [(0, "180 Ringing"), (1, "183 Session Progress"), (2, "200 OK")] {
        let response = answer(forwarded, status);
        let passed = team.deliver(worker, CALLEE, US_AT_CALLEE, response.as_bytes());
        assert_eq!(starts(&passed), [(0, format!("SIP/2.0 {status}").as_str())]);
    }
    for (worker, handed_off, handed_in) in [(0, 1, 0), (1, 0, 2), (2, 1, 0)] {
        let status = &team.status(worker)[1];
        assert_eq!((status.handed_off, status.handed_in), (handed_off, handed_in), "{worker}");
    }
    assert_eq!((team.alive(0), team.alive(1), team.alive(2)), (0, 1, 0));
}

#[test]
fn a_full_ring_drops_what_is_handed_over_and_counts_it() {
    let mut team = Team::new(2);
    let sent = team.deliver(0, CALLER, US, invite(1).as_bytes());
    let response = answer(&sent[1].1, "180 Ringing");
    let frame = frames::udp(CALLEE, US_AT_CALLEE, response.as_bytes());
    let flood = dataplane::limits::HANDOFFS_PER_WORKER + 10;
    for _ in 0..flood {
        team.workers[1].worker.io_mut().rx[1].push_back(MemoryPacket::new(&frame));
    }
    while team.workers[1].worker.run_once() {}
    let status = team.status(1)[1].clone();
    assert_eq!(
        (status.handed_off + 10, status.dropped_for(DropReason::HandoffFull)),
        (flood as u64, 10)
    );
    while team.workers[0].worker.run_once() {}
    team.poll();
    assert_eq!(team.status(0)[1].handed_in, status.handed_off);
}

#[test]
fn a_full_table_answers_503_and_the_rest_goes_on() {
    let mut settings = lab_settings_stateful();
    settings.rules[0].relay = sip_core::Relay::Stateless; // For callees with the prefix `six`.
    let sizes = TransactionSizes { transactions: 2, buffers: 64 };
    let mut team = Team::with(1, &settings, sizes);
    let first = team.hear_caller(&invite(1));
    assert_eq!(team.hear_caller(&invite(2)).len(), 2);
    let refused = team.hear_caller(&invite(3));
    assert_eq!(starts(&refused), [(0, "SIP/2.0 503 Service Unavailable")]);
    assert!(refused[0].1.contains("\r\nRetry-After: "), "{}", refused[0].1);
    let stateless = invite(4).replace("INVITE sip:service@", "INVITE sip:six@");
    assert_eq!(starts(&team.hear_caller(&stateless)).len(), 1);
    let ringing = team.hear_callee(&answer(&first[1].1, "180 Ringing"));
    assert_eq!(starts(&ringing), [(0, "SIP/2.0 180 Ringing")]);
    assert_eq!(team.status(0)[0].replied, 1);
    assert_eq!(
        team.workers[0].service.counters.transactions.status().refused_full,
        0,
        "not yet published"
    );
    assert_eq!(team.alive(0), 2);
    assert_eq!(team.workers[0].service.counters.transactions.status().refused_full, 1);
}

#[test]
fn no_packet_and_no_neighbour_for_a_message_of_our_own_are_counted() {
    let mut team = Team::new(1);
    team.workers[0].worker.io_mut().pool = 0;
    let sent = team.hear_caller(&invite(1));
    assert_eq!(starts(&sent).len(), 1, "without 100 Trying");
    let status = &team.status(0)[0];
    assert_eq!(status.dropped_for(DropReason::NoPacket), 1);
    assert_eq!((status.originated_dropped, status.forwarded), (1, 1));

    team.workers[0].worker.io_mut().pool = 1_000;
    let fib = Arc::new(lab_fib(2, [0, 1], false));
    team.workers[0].command(Command::Fib(fib));
    team.workers[0].worker.attend();
    assert_eq!(team.wait(Duration::from_millis(501)), []);
    assert_eq!(team.status(0)[0].dropped_for(DropReason::NeighbourFailed), 1);
    assert_eq!(team.workers[0].resolve_requests().len(), 1);
    let fib = Arc::new(lab_fib(3, [0, 1], true));
    team.workers[0].command(Command::Fib(fib));
    team.workers[0].worker.attend();
    assert_eq!(starts(&team.wait(Duration::from_millis(1_001))), starts(&sent));
}

#[test]
fn a_bye_whose_next_hop_does_not_answer_is_not_refused_and_goes_when_it_does() {
    let mut team = Team::new(1);
    let forwarded = team.hear_caller(&invite(1))[1].1.clone();
    let answered = team.hear_callee(&answer(&forwarded, "200 OK"));
    team.hear_caller(&in_dialog("ACK", &answered[0].1).replace("-1-ACK", "-2-ACK"));
    let set = |team: &Team, fib| team.workers[0].command(Command::Fib(Arc::new(fib)));
    set(&team, lab_fib_without(2, "10.77.2.2"));
    team.workers[0].worker.attend();
    team.workers[0].resolve_requests();
    let bye = in_dialog("BYE", &answered[0].1);
    assert_eq!(team.hear_caller(&bye), []);
    assert_eq!(team.status(0)[0].dropped_for(DropReason::NeighbourFailed), 1);
    assert_eq!(team.workers[0].resolve_requests().len(), 1, "the kernel is asked again");
    // What opens something may be sent elsewhere by who sends it.
    let refused = team.hear_caller(&invite(2));
    assert_eq!(starts(&refused)[1], (0, "SIP/2.0 500 Server Internal Error"));
    set(&team, lab_fib(3, [0, 1], true));
    team.workers[0].worker.attend();
    assert_eq!(starts(&team.hear_caller(&bye)), [(1, "BYE sip:10.77.2.2:5060 SIP/2.0")]);
}

/// What the service core does with a parcel from a worker; gives the message that the kernel gets.
fn serve_parcel(team: &mut Team, worker: usize) -> Option<String> {
    let mut parcel = team.workers[worker].service.parcels.next()?;
    match parcel.errand {
        Errand::HandOver(owner) => {
            parcel.errand = Errand::HandedIn;
            team.workers[usize::from(owner)].service.parcels.send(parcel);
            None
        }
        Errand::Send(origin) => {
            let message = String::from_utf8_lossy(parcel.message()).into_owned();
            parcel.errand = Errand::Sent(origin, true);
            team.workers[worker].service.parcels.send(parcel);
            Some(message)
        }
        _ => None,
    }
}

fn receive_large(team: &mut Team, worker: usize, [source, target]: [&str; 2], message: &str) {
    let mut parcel = service_parcels().pop().expect("a parcel");
    parcel.room()[..message.len()].copy_from_slice(message.as_bytes());
    let [source, target] = [source, target].map(|text| text.parse().expect("an address"));
    parcel.set_received(message.len(), source, target, sip_core::Transport::Udp);
    team.workers[worker].service.parcels.send(parcel);
}

#[test]
fn a_large_invite_with_a_transaction_goes_through_the_kernel() {
    let mut team = Team::new(2);
    let large = request("INVITE", 1, "", &"x".repeat(9_000));
    receive_large(&mut team, 0, [CALLER, US], &large);
    team.workers[0].worker.attend();
    let trying = team.poll();
    assert_eq!(starts(&trying), [(0, "SIP/2.0 100 Trying")]);
    let sent = serve_parcel(&mut team, 0).expect("the INVITE");
    assert!(sent.starts_with("INVITE ") && sent.ends_with("xxx"));
    team.workers[0].worker.attend();

    // Again, after half a second, from what the transaction has kept.
    assert_eq!(team.wait(Duration::from_millis(501)), []);
    serve_parcel(&mut team, 0); // The first parcel goes home.
    assert_eq!(serve_parcel(&mut team, 0).as_deref(), Some(&sent[..]));
    team.workers[0].worker.attend();
    let kernel = &team.status(0)[2];
    assert_eq!((kernel.received, kernel.forwarded, kernel.originated), (1, 1, 1));

    // A large response, which the kernel gives to the other worker.
    let body = "y".repeat(5_000);
    let response = answer(&sent, "183 Session Progress")
        .replace("Content-Length: 0\r\n\r\n", &format!("Content-Length: 5000\r\n\r\n{body}"));
    receive_large(&mut team, 1, [CALLEE, US_AT_CALLEE], &response);
    team.workers[1].worker.attend();
    assert_eq!(serve_parcel(&mut team, 1), None);
    team.workers[0].worker.attend();
    let passed = serve_parcel(&mut team, 0).expect("the response");
    assert!(passed.starts_with("SIP/2.0 183 ") && passed.ends_with("yyy"), "{passed}");
    team.workers[0].worker.attend();
    team.poll();
    assert_eq!(team.status(1)[2].handed_off, 1);
    let kernel = &team.status(0)[2];
    assert_eq!((kernel.handed_in, kernel.forwarded), (1, 2));
}

#[test]
fn an_icmp_error_ends_the_branch_that_it_quotes() {
    let mut team = Team::new(2);
    let sent = team.deliver(1, CALLER, US, invite(1).as_bytes());
    let quoted = sip_core::quoted_branch(&sent[1].1.as_bytes()[..400]).expect("our branch");
    assert_eq!(quoted.worker(), 1);
    team.workers[1].command(Command::Unreachable(quoted));
    team.workers[1].worker.attend();
    let refused = team.poll();
    // It counts as a 503, which goes upstream as 500 (RFC 3261 16.9 and 16.7 step 6).
    assert_eq!(starts(&refused), [(0, "SIP/2.0 500 Server Internal Error")]);
    // Once more, and by another worker: nothing happens.
    for worker in 0..2 {
        team.workers[worker].command(Command::Unreachable(quoted));
        team.workers[worker].worker.attend();
    }
    assert_eq!(team.poll(), []);
}

#[test]
fn a_call_with_a_transaction_allocates_nothing() {
    let mut team = Team::new(1);
    let first = team.hear_caller(&invite(1));
    team.hear_callee(&answer(&first[1].1, "180 Ringing"));
    let frame =
        |from, to, message: &str| MemoryPacket::new(&frames::udp(from, to, message.as_bytes()));
    let worker = &mut team.workers[0].worker;
    worker.io_mut().rx[0].push_back(frame(CALLER, US, &invite(2)));
    worker.io_mut().rx[1].push_back(frame(CALLEE, US_AT_CALLEE, &answer(&first[1].1, "200 OK")));
    let allocated = allocation_counter::measure(|| {
        worker.run_once();
    });
    assert_eq!(allocated.count_total, 1, "the memory of the one new packet: a test's packet");
    assert_eq!(team.poll().len(), 3);
}
