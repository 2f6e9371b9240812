//! Hostile responses: made up, changed in a bit, late, to the wrong worker, or said again. Nothing is
//! matched that should not be.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use sip_core::{SipDrop, TransactionSizes};

use super::network::Packet;
use super::plan::{self, Health};
use super::proxy::{Done, Proxy};
use super::text::Seen;

/// Behind which our branches have 16 digits that name a place and 16 that prove it.
const MARK: &str = "z9hG4bK-tl2";
const DIGITS: usize = 16;

/// Calls that wait for an answer meanwhile.
const CALLS: usize = 2_000;

/// A call whose INVITE is with a callee.
struct Live {
    worker: usize,
    /// As the callee received it.
    invite: Packet,
    /// The header lines of a response to it.
    head: String,
    /// Where the digits are in those.
    digits_at: usize,
}

impl Live {
    /// A response; `change` may touch the header lines.
    fn response(&self, status: u16, change: impl FnOnce(&mut Vec<u8>)) -> Packet {
        let mut head = self.head.clone().into_bytes();
        change(&mut head);
        let start = format!("SIP/2.0 {status} Whatever\r\n").into_bytes();
        let bytes = [&start[..], &head, b"Content-Length: 0\r\n\r\n"].concat();
        Packet { source: self.invite.target, target: self.invite.source, bytes }
    }

    fn digits(&self) -> &[u8] {
        &self.head.as_bytes()[self.digits_at..self.digits_at + 2 * DIGITS]
    }
}

/// Opens transactions until each of `CALLS` callees has an INVITE.
fn open(proxy: &mut Proxy, first: usize, now_ms: u64) -> Vec<Live> {
    let open_one = |number: usize| {
        let number = u32::try_from(number).unwrap();
        let source = plan::caller_address(number);
        let text = format!(
            "INVITE sip:f{number}@example.com SIP/2.0\r\n\
             Via: SIP/2.0/UDP {source};branch=z9hG4bK{number}.0\r\nMax-Forwards: 70\r\n\
             From: <sip:caller@example.com>;tag=f{number}\r\nTo: <sip:f{number}@example.com>\r\n\
             Call-ID: {number}@sim\r\nCSeq: 1 INVITE\r\nContact: <sip:{source}>\r\n\
             Content-Length: 0\r\n\r\n"
        );
        let target = plan::proxy_address(plan::CALLER_SIDE);
        let packet = Packet { source, target, bytes: text.into_bytes() };
        let worker = proxy.queue_of(&packet);
        let sent = proxy.receive(worker, packet, now_ms).sent;
        let invite = sent.into_iter().find(|sent| sent.bytes.starts_with(b"INVITE")).unwrap();
        let seen = Seen::read(std::str::from_utf8(&invite.bytes).unwrap());
        let head = seen.response_head(&format!("t{number}"));
        let digits_at = head.find(MARK).unwrap() + MARK.len();
        Live { worker, invite, head, digits_at }
    };
    (first..first + CALLS).map(open_one).collect()
}

fn proxy(boot: u64) -> Proxy {
    let sizes = TransactionSizes { transactions: 8_192, buffers: 65_536 };
    Proxy::new(2, boot, sizes, plan::tables(1), vec![Health::Well; 256])
}

/// What must become of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// It belongs to a transaction of the worker that gets it.
    Match,
    /// It belongs to one of this worker.
    HandOver(usize),
    Drop(SipDrop),
    /// It is dropped for some reason.
    AnyDrop,
    /// Only that nobody hears of it who has nothing to do with the call.
    Anything,
}

/// A response, the worker that gets it and what must become of it.
fn hostile(
    rng: &mut SmallRng,
    live: &[Live],
    stale: &[Live],
    alien: &[Live],
) -> (Packet, usize, Wanted) {
    let one = &live[rng.random_range(0..live.len())];
    let other = &live[rng.random_range(0..live.len())];
    let at = one.digits_at;
    let (right, wrong) = (one.worker, 1 - one.worker);
    let provisional = 180 + rng.random_range(0..4);
    let anywhere = rng.random_range(0..2);
    match rng.random_range(0..12) {
        0 => (one.response(provisional, |_| {}), right, Wanted::Match),
        1 => (one.response(200, |_| {}), wrong, Wanted::HandOver(right)),
        2 => {
            let digits = format!("{:016x}{:016x}", rng.random::<u64>(), rng.random::<u64>());
            let made_up = one.response(200, |head| overwrite(head, at, digits.as_bytes()));
            (made_up, anywhere, Wanted::Drop(SipDrop::ResponseForged))
        }
        3 | 4 => {
            let (digit, bit) = (rng.random_range(0..2 * DIGITS), rng.random_range(0..8));
            let flipped = one.response(200, |head| head[at + digit] ^= 1 << bit);
            (flipped, anywhere, Wanted::AnyDrop)
        }
        5 => {
            let old = &stale[rng.random_range(0..stale.len())];
            (old.response(200, |_| {}), old.worker, Wanted::Drop(SipDrop::ResponseStale))
        }
        6 if one.digits() != other.digits() => {
            let (_, proof) = other.digits().split_at(DIGITS);
            let mixed = one.response(200, |head| overwrite(head, at + DIGITS, proof));
            (mixed, anywhere, Wanted::Drop(SipDrop::ResponseForged))
        }
        7 => {
            let alien = &alien[rng.random_range(0..alien.len())];
            let foreign = alien.response(200, |_| {});
            (foreign, anywhere, Wanted::Drop(SipDrop::ResponseForged))
        }
        8 => {
            let text = one.head.replace("1 INVITE", "1 BYE");
            let about_bye = one.response(200, |head| *head = text.into_bytes());
            (about_bye, right, Wanted::Drop(SipDrop::ResponseStale))
        }
        9 => {
            // The branch of a stateless proxy, which would name the listen point and a check.
            let digits = format!("1{:02x}{:016x}", rng.random_range(0..3), rng.random::<u64>());
            let stateless = one.response(200, |head| {
                head.splice(at - 1..at + 2 * DIGITS, digits.bytes());
            });
            (stateless, anywhere, Wanted::Drop(SipDrop::ResponseForged))
        }
        10 => {
            let place = rng.random_range(0..one.head.len());
            let bit = rng.random_range(0..8);
            let flipped = one.response(provisional, |head| head[place] ^= 1 << bit);
            (flipped, anywhere, Wanted::Anything)
        }
        _ => (one.response(100, |_| {}), right, Wanted::Match),
    }
}

fn overwrite(head: &mut [u8], at: usize, digits: &[u8]) {
    head[at..at + digits.len()].copy_from_slice(digits);
}

fn check(packet: &Packet, wanted: Wanted, done: &Done, live: &[Live]) {
    let text = String::from_utf8_lossy(&packet.bytes);
    let handed_over = done.handed_over.as_ref().map(|(worker, _)| *worker);
    let fits = match wanted {
        Wanted::Match => done.dropped.is_none() && handed_over.is_none(),
        Wanted::HandOver(worker) => handed_over == Some(worker),
        Wanted::Drop(reason) => done.dropped == Some(reason) && handed_over.is_none(),
        Wanted::AnyDrop => done.dropped.is_some() && handed_over.is_none(),
        Wanted::Anything => {
            let call = live.iter().find(|one| one.invite.target == packet.source);
            call.is_some() && done.sent.len() <= 1
        }
    };
    let is_quiet = matches!(wanted, Wanted::Match | Wanted::Anything) || done.sent.is_empty();
    let what = (done.dropped, handed_over, done.sent.len());
    assert!(fits && is_quiet, "{wanted:?}, but {what:?}: {text}");
}

/// Gives each call its refusal: nothing that was hostile has touched it.
fn finish(proxy: &mut Proxy, live: &[Live], now_ms: u64) {
    for one in live {
        let done = proxy.receive(one.worker, one.response(486, |_| {}), now_ms);
        let kinds: Vec<_> = done.sent.iter().map(|sent| &sent.bytes[..3]).collect();
        assert!(kinds.contains(&&b"ACK"[..]), "{kinds:?}");
        let again = proxy.receive(one.worker, one.response(486, |_| {}), now_ms);
        assert_eq!(again.sent.len(), 1, "only an ACK");
    }
}

#[test]
fn nothing_is_matched_that_should_not_be() {
    let asked = super::from_environment("TRUNKLINE_RESPONSES");
    let count: u32 = asked.unwrap_or(if cfg!(debug_assertions) { 200_000 } else { 10_000_000 });
    let seed = super::from_environment("TRUNKLINE_SEED").unwrap_or_else(super::fresh_seed);
    println!("seed {seed}: {count} responses");
    let rng = &mut SmallRng::seed_from_u64(seed);
    let mut proxy = proxy(0x5eed);
    let alien = open(&mut self::proxy(0xa11e), 0, 1_000);
    // The first ones are over; the next ones take their slots.
    let stale = open(&mut proxy, 0, 1_000);
    finish(&mut proxy, &stale, 1_000);
    (1_000..600_000).step_by(5).for_each(|now_ms| drop(proxy.poll(now_ms)));
    assert!(proxy.counts().all(|(counts, _)| counts.alive == 0));
    let now_ms = 600_000;
    let live = open(&mut proxy, CALLS, now_ms);
    let mut matched = 0;
    for _ in 0..count {
        let (packet, worker, wanted) = hostile(rng, &live, &stale, &alien);
        let traced = packet.clone();
        let done = proxy.receive(worker, packet, now_ms);
        check(&traced, wanted, &done, &live);
        matched += u32::from(wanted == Wanted::Match);
    }
    println!("{matched} were in order");
    let alive: u64 = proxy.counts().map(|(counts, _)| counts.alive).sum();
    assert_eq!(alive, CALLS as u64);
    finish(&mut proxy, &live, now_ms);
}
