//! Work that is spilled to siblings: whole workers over queues in memory, of which one gets one fat flow.

use control_api::DropReason;
use dataplane::decode::{DecodeRules, decode};
use dataplane::limits::{BURST_MAX, SPILL_AFTER_BURSTS, SPILL_DEPTH};
use dataplane::mailbox::Command;
use dataplane::packet::{MemoryPacket, PacketBuf};
use dataplane::testing::appliance::{Appliance, lab_epoch, lab_settings, lab_settings_stateful};
use dataplane::testing::frames;
use proptest::prelude::*;
use std::sync::Arc;

const CALLER: &str = "10.77.1.2:5060";
const US: &str = "10.77.1.1:5060";
const OWNER: usize = 0;
const CALLERS: usize = 0;

/// Workers of which the first gets everything, and what left of each call, in its order.
struct Team {
    workers: Vec<Appliance>,
    calls: Vec<Call>,
}

#[derive(Clone, Default)]
struct Call {
    received: u32,
    left: Vec<u32>,
}

fn options(call: usize, number: u32) -> Vec<u8> {
    let text = format!(
        "OPTIONS sip:service@{US} SIP/2.0\r\nVia: SIP/2.0/UDP {CALLER};branch=z9hG4bK-{call}-{number}\r\n\
         From: <sip:sipp@{CALLER}>;tag=1\r\nTo: <sip:service@{US}>\r\nCall-ID: {call}@{CALLER}\r\n\
         CSeq: {number} OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    );
    frames::udp(CALLER, US, text.as_bytes())
}

fn number_behind(text: &str, name: &str) -> u32 {
    let (_, rest) = text.split_once(name).expect("the header is there");
    let end = rest.find(|c: char| !c.is_ascii_digit()).expect("something follows");
    rest[..end].parse().expect("a number")
}

impl Team {
    fn new(workers: usize, calls: usize) -> Self {
        let mut workers = Appliance::spilling_team(workers, &lab_settings());
        for appliance in &mut workers {
            appliance.worker.run_once(); // It says that it has time.
        }
        Self { workers, calls: vec![Call::default(); calls] }
    }

    fn receive(&mut self, call: usize) {
        let number = self.calls[call].received;
        self.calls[call].received += 1;
        let packet = MemoryPacket::new(&options(call, number));
        self.workers[OWNER].worker.io_mut().rx[CALLERS].push_back(packet);
    }

    /// One round of one worker, and what it sent.
    fn turn(&mut self, worker: usize) -> bool {
        let is_busy = self.workers[worker].worker.run_once();
        for (_, packet) in self.workers[worker].sent() {
            let rules = DecodeRules { verify_checksums: true };
            let payload = decode(packet.frame(), rules).expect("what we send decodes").payload;
            let text = std::str::from_utf8(&packet.frame()[payload]).expect("ASCII").to_owned();
            let call = number_behind(&text, "\r\nCall-ID: ") as usize;
            self.calls[call].left.push(number_behind(&text, "\r\nCSeq: "));
        }
        is_busy
    }

    fn finish(&mut self) {
        while (0..self.workers.len()).fold(false, |busy, worker| self.turn(worker) | busy) {}
    }

    /// How many were spilled.
    fn check(&self) -> u64 {
        let status: Vec<_> = self.workers.iter().flat_map(Appliance::status).collect();
        assert!(status.iter().all(|queue| queue.unaccounted() == 0), "{status:?}");
        let full: u64 = status.iter().map(|queue| queue.dropped_for(DropReason::HandoffFull)).sum();
        let received: u32 = self.calls.iter().map(|call| call.received).sum();
        let left: usize = self.calls.iter().map(|call| call.left.len()).sum();
        assert_eq!(u64::from(received), left as u64 + full);
        for call in &self.calls {
            assert!(call.left.is_sorted(), "{:?}", call.left);
            assert!(full > 0 || call.left.iter().copied().eq(0..call.received));
        }
        status.iter().map(|queue| queue.handed_in).sum()
    }
}

#[test]
fn a_full_queue_is_shared_and_a_short_one_is_not() {
    let mut team = Team::new(3, 1_000);
    for call in 0..usize::from(SPILL_AFTER_BURSTS - 1) * BURST_MAX {
        team.receive(call);
    }
    team.finish();
    assert_eq!(team.check(), 0);
    for call in 0..1_000 {
        team.receive(call);
    }
    team.finish();
    let spilled = team.check();
    assert!((800..1_000).contains(&spilled), "{spilled}: they do all that they are given at once");
    let taken = |worker: usize| team.workers[worker].status()[CALLERS].handed_in;
    assert!(taken(1) >= 100 && taken(2) >= 100 && taken(OWNER) == 0);
}

#[test]
fn one_call_has_one_worker_at_a_time_and_siblings_that_stand_still_are_left_alone() {
    let mut team = Team::new(2, 1);
    for _ in 0..500 {
        team.receive(0);
    }
    team.finish();
    assert!(team.check() > 100);

    let mut team = Team::new(2, 1_000);
    for call in 0..1_000 {
        team.receive(call);
    }
    while team.turn(OWNER) {}
    let waiting = team.workers[OWNER].status()[CALLERS].handed_off;
    assert!(waiting < 3 * SPILL_DEPTH as u64, "{waiting} wait for a worker that does nothing");
    team.finish();
    assert_eq!(team.check(), waiting);
}

#[test]
fn what_keeps_state_is_not_spilled_and_comes_back_where_it_was() {
    let mut team = Team::new(2, 300);
    for call in 0..300 {
        team.receive(call);
    }
    while team.workers[OWNER].status()[CALLERS].handed_off == 0 {
        team.turn(OWNER);
    }
    // The sibling is the first to hear of an epoch with transactions.
    let stateful = Arc::new(lab_epoch(&lab_settings_stateful()));
    team.workers[1].command(Command::Epoch(Arc::clone(&stateful)));
    team.workers[1].worker.attend();
    let before = team.workers[OWNER].status()[CALLERS].handed_off;
    while team.turn(1) {}
    let status = team.workers[1].status()[CALLERS].clone();
    assert_eq!((status.handed_in, status.handed_off), (before, before));
    assert_eq!(team.workers[1].status()[1].transmitted, 0);
    team.workers[OWNER].worker.attend();
    assert_eq!(team.workers[OWNER].status()[CALLERS].handed_in, before);
    team.workers[OWNER].command(Command::Epoch(stateful));
    team.workers[OWNER].worker.attend();
    team.finish();
    assert_eq!(team.workers[OWNER].status()[CALLERS].handed_off, before, "and no more");
    assert!(team.workers.iter().flat_map(Appliance::status).all(|queue| queue.unaccounted() == 0));
}

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    /// So many frames arrive, of calls by their number modulo the number of calls.
    Receive(Vec<u16>),
    /// A worker has a turn, by its number modulo the number of workers.
    Turn(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        prop::collection::vec(any::<u16>(), 1..200).prop_map(Step::Receive),
        any::<u8>().prop_map(Step::Turn),
        Just(Step::Turn(0)),
        Just(Step::Turn(0)),
    ];
    prop::collection::vec(step, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_messages_of_a_call_leave_in_the_order_in_which_they_came(
        workers in 2_usize..5,
        calls in 1_usize..200,
        steps in steps(),
    ) {
        let mut team = Team::new(workers, calls);
        for step in steps {
            match step {
                Step::Receive(numbers) => {
                    for number in numbers {
                        team.receive(usize::from(number) % calls);
                    }
                }
                Step::Turn(worker) => {
                    team.turn(usize::from(worker) % workers);
                }
            }
        }
        team.finish();
        team.check();
    }
}
