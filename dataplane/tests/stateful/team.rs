//! Whole workers over queues in memory, a clock that tests turn, and the messages of a call.

use control_api::status::QueueStatus;
use dataplane::decode::{DecodeRules, decode};
use dataplane::packet::{MemoryPacket, PacketBuf};
use dataplane::testing::appliance::{Appliance, lab_settings_stateful};
use dataplane::testing::frames;
use quanta::{Clock, Mock};
use sip_core::{Settings, TransactionSizes};
use std::sync::Arc;
use std::time::Duration;

pub(crate) const CALLER: &str = "10.77.1.2:5060";
pub(crate) const US: &str = "10.77.1.1:5060";
pub(crate) const CALLEE: &str = "10.77.2.2:5060";
pub(crate) const US_AT_CALLEE: &str = "10.77.2.1:5060";
pub(crate) const SIZES: TransactionSizes = TransactionSizes { transactions: 16, buffers: 2_048 };

/// Workers beside each other, as after RSS: a test says which of them gets a frame.
pub(crate) struct Team {
    pub(crate) workers: Vec<Appliance>,
    clock: Arc<Mock>,
}

/// What left: the port, and the message.
pub(crate) type Sent = Vec<(usize, String)>;

impl Team {
    pub(crate) fn new(workers: u8) -> Self {
        Self::with(workers, &lab_settings_stateful(), SIZES)
    }

    pub(crate) fn with(workers: u8, settings: &Settings, sizes: TransactionSizes) -> Self {
        let (clock, mock) = Clock::mock();
        mock.increment(Duration::from_hours(30 * 24)); // The host has been up for a while.
        Self { workers: Appliance::team(workers, settings, sizes, &clock), clock: mock }
    }

    pub(crate) fn deliver(&mut self, worker: usize, from: &str, to: &str, message: &[u8]) -> Sent {
        let port = usize::from(from == CALLEE);
        let packet = MemoryPacket::new(&frames::udp(from, to, message));
        self.workers[worker].worker.io_mut().rx[port].push_back(packet);
        self.poll()
    }

    pub(crate) fn hear_caller(&mut self, message: &str) -> Sent {
        self.deliver(0, CALLER, US, message.as_bytes())
    }

    pub(crate) fn hear_callee(&mut self, message: &str) -> Sent {
        self.deliver(0, CALLEE, US_AT_CALLEE, message.as_bytes())
    }

    pub(crate) fn wait(&mut self, time: Duration) -> Sent {
        self.clock.increment(time);
        for appliance in &mut self.workers {
            appliance.worker.attend();
        }
        self.poll()
    }

    /// Each worker has a turn, and another, and everything is accounted for.
    pub(crate) fn poll(&mut self) -> Sent {
        let mut sent = vec![];
        for _ in 0..2 {
            for appliance in &mut self.workers {
                appliance.worker.run_once();
                sent.extend(appliance.sent().iter().map(|(port, packet)| (*port, payload(packet))));
            }
        }
        self.conserved();
        sent
    }

    pub(crate) fn status(&self, worker: usize) -> Vec<QueueStatus> {
        self.workers[worker].status()
    }

    fn conserved(&self) {
        let all: Vec<_> = self.workers.iter().flat_map(Appliance::status).collect();
        for queue in &all {
            assert_eq!(queue.unaccounted(), 0, "{queue:?}");
        }
        let sum = |count: fn(&QueueStatus) -> u64| all.iter().map(count).sum::<u64>();
        let left = sum(|q| q.forwarded + q.replied + q.originated);
        assert_eq!(sum(|q| q.transmitted), left, "{all:?}");
        assert!(sum(|q| q.handed_in) <= sum(|q| q.handed_off));
    }

    pub(crate) fn alive(&mut self, worker: usize) -> u64 {
        self.workers[worker].worker.attend();
        self.workers[worker].service.counters.transactions.status().alive
    }
}

fn payload(packet: &MemoryPacket) -> String {
    let datagram = decode(packet.frame(), DecodeRules { verify_checksums: true });
    let payload = datagram.expect("what we send decodes").payload;
    String::from_utf8_lossy(&packet.frame()[payload]).into_owned()
}

pub(crate) fn request(method: &str, call: u32, more: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} sip:service@{US} SIP/2.0\r\nVia: SIP/2.0/UDP {CALLER};branch=z9hG4bK-{call}-{method}\r\n\
         From: <sip:sipp@{CALLER}>;tag=1\r\nTo: <sip:service@{US}>\r\nCall-ID: {call}@{CALLER}\r\n\
         CSeq: 1 {method}\r\nContact: <sip:sipp@{CALLER}>\r\nMax-Forwards: 70\r\n{more}\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

pub(crate) fn invite(call: u32) -> String {
    request("INVITE", call, "", "hello")
}

/// The answer of a callee to what we sent it.
pub(crate) fn answer(request: &str, status: &str) -> String {
    let is_kept = |line: &&str| {
        ["Via:", "From:", "Call-ID:", "CSeq:", "Record-Route:"].iter().any(|n| line.starts_with(n))
    };
    let kept: String = request.lines().filter(is_kept).flat_map(|line| [line, "\r\n"]).collect();
    format!(
        "SIP/2.0 {status}\r\n{kept}To: <sip:service@{US}>;tag=2\r\nContact: <sip:{CALLEE}>\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

/// A request of the caller's in the dialog that this response, as the caller got it, established.
pub(crate) fn in_dialog(method: &str, response: &str) -> String {
    let recorded = response.lines().filter_map(|line| line.strip_prefix("Record-Route: "));
    let mut hops: Vec<&str> = recorded.flat_map(|values| values.split(',')).collect();
    hops.reverse();
    let route: String = hops.iter().flat_map(|hop| ["Route: ", hop.trim(), "\r\n"]).collect();
    request(method, 1, &route, "")
        .replace(&format!("{method} sip:service@{US}"), &format!("{method} sip:{CALLEE}"))
        .replace(&format!("To: <sip:service@{US}>"), &format!("To: <sip:service@{US}>;tag=2"))
}

pub(crate) fn starts(sent: &Sent) -> Vec<(usize, &str)> {
    sent.iter().map(|(port, message)| (*port, message.lines().next().unwrap_or_default())).collect()
}
