//! What the two workers receive.

use anyhow::Result;
use dataplane::packet::{MemoryPacket, PacketBuf};
use dataplane::testing::appliance::{Appliance, lab_settings_stateful};
use dataplane::testing::frames;
use sip_core::{Relay, Settings, TransactionSizes};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Room for the transactions of each worker.
pub(crate) const SIZES: TransactionSizes =
    TransactionSizes { transactions: 1_024, buffers: 16_384 };
/// The number that makes branches unforgeable; a test's may be known.
pub(crate) const BOOT: u64 = 1;

/// Calls of each worker.
const CALLS: usize = 32;
const CALLER: &str = "10.77.1.2:5060";
const US: &str = "10.77.1.1:5060";
const CALLEE: &str = "10.77.2.2:5060";
const US_AT_CALLEE: &str = "10.77.2.1:5060";

/// What the service core needs of it.
pub(crate) struct Load {
    /// Messages of more than one frame, one with a transaction and one without.
    pub(crate) large: [Vec<u8>; 2],
    /// A request of ours, as an ICMP error would quote it.
    pub(crate) ours: Vec<u8>,
}

/// Transactions for every request but those to users that begin with `six`.
pub(crate) fn settings() -> Settings {
    let mut settings = lab_settings_stateful();
    settings.rules[0].relay = Relay::Stateless;
    settings
}

/// The capture that this worker's queue plays.
pub(crate) fn capture(folder: &Path, worker: usize) -> PathBuf {
    folder.join(format!("{worker}.pcap"))
}

/// Writes what each worker receives: INVITEs, requests without a transaction, and the answers to the INVITEs
/// of the other. Our branches in these are those that workers in memory have given: the same slots, the same
/// keys.
pub(crate) fn write(folder: &Path) -> Result<Load> {
    let clock = quanta::Clock::new();
    let mut team = Appliance::team(2, &settings(), SIZES, &clock);
    let mut received = [vec![], vec![]];
    let mut ours = vec![];
    for worker in 0..2 {
        for number in 0..CALLS {
            let call = worker * CALLS + number;
            let invite = frame(CALLER, US, &request("INVITE", "service", call, "hello"));
            received[worker].push(frame(CALLER, US, &request("OPTIONS", "six", call, "")));
            team[worker].worker.io_mut().rx[0].push_back(MemoryPacket::new(&invite));
            received[worker].push(invite);
            team[worker].worker.run_once();
            let sent = team[worker].sent();
            let (_, invite) = sent.iter().find(|(port, _)| *port == 1).expect("the INVITE");
            ours = invite.frame()[42..].to_vec();
            let ringing = ringing(&String::from_utf8_lossy(&ours));
            received[1 - worker].push(frame(CALLEE, US_AT_CALLEE, &ringing));
        }
    }
    for (worker, frames) in received.iter().enumerate() {
        write_pcap(&capture(folder, worker), frames)?;
    }
    let large = |(user, call)| request("INVITE", user, call, &"x".repeat(9_000)).into_bytes();
    Ok(Load { large: [("service", 9_998), ("six", 9_999)].map(large), ours })
}

fn frame(from: &str, to: &str, message: &str) -> Vec<u8> {
    frames::udp(from, to, message.as_bytes())
}

fn request(method: &str, user: &str, call: usize, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} sip:{user}@{US} SIP/2.0\r\nVia: SIP/2.0/UDP {CALLER};branch=z9hG4bK-{call}-{method}\r\n\
         From: <sip:sipp@{CALLER}>;tag=1\r\nTo: <sip:{user}@{US}>\r\nCall-ID: {call}@{CALLER}\r\n\
         CSeq: 1 {method}\r\nContact: <sip:sipp@{CALLER}>\r\nMax-Forwards: 70\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

fn ringing(invite: &str) -> String {
    let is_kept = |line: &&str| {
        ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name))
    };
    let kept: String = invite.lines().filter(is_kept).flat_map(|line| [line, "\r\n"]).collect();
    format!("SIP/2.0 180 Ringing\r\n{kept}Content-Length: 0\r\n\r\n")
}

/// The classic pcap format, all with time zero.
fn write_pcap(path: &Path, frames: &[Vec<u8>]) -> Result<()> {
    let mut file = vec![];
    let words = |file: &mut Vec<u8>, words: &[u32]| {
        file.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
    };
    words(&mut file, &[0xa1b2_c3d4, u32::from_ne_bytes([2, 0, 4, 0]), 0, 0, 65_535, 1]);
    for frame in frames {
        let length = u32::try_from(frame.len())?;
        words(&mut file, &[0, 0, length, length]);
        file.write_all(frame)?;
    }
    Ok(std::fs::write(path, file)?)
}
