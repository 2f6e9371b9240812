//! Which flows a worker receives, and how much over each: a sketch of fixed size, always on.
//!
//! Of each burst one frame, drawn at random, counts for all of them. So a worker that has time counts every message, and one
//! that has none to spare looks at one frame in 32.
//!
//! The sketch is Unbiased Space Saving (Ting, "Data Sketches for Disaggregated Subset Sum and Frequent Item Estimation",
//! SIGMOD 2018) over sets of a few places. What finds no place of its own is added to the smallest count of its set, and
//! takes the place over with a chance of its part in the sum. So the sum over any flows, such as those of one entry of a
//! redirection table, is neither too high nor too low in the mean; the sum over all is exact; and who sends much has a
//! place.
//!
//! ```text
//!  worker: counts ── table, every second ──► service core: moving averages
//!     ▲ the other one ◄── table, empty ──────────┘
//! ```
//!
//! Two tables belong to each worker, made on its own thread. While the other one has not come back it goes on counting.

use crate::decode::{Datagram, locate};
use crate::limits::{FLOW_SETS, FLOW_TABLE_NS, FLOW_WAYS};
use crate::mixing::mix;
use crate::packet::PacketBuf;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The flow of a datagram, and the port that it came by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FlowKey {
    source: [u8; 16],
    target: [u8; 16],
    source_port: u16,
    target_port: u16,
    port: u8,
    /// The addresses are mapped ones.
    is_v4: bool,
}

impl FlowKey {
    /// The flow of this datagram.
    pub fn of(port: u8, datagram: &Datagram) -> Self {
        Self {
            source: octets(datagram.source.ip()),
            target: octets(datagram.target.ip()),
            source_port: datagram.source.port(),
            target_port: datagram.target.port(),
            port,
            is_v4: datagram.source.is_ipv4(),
        }
    }

    /// The number of the port.
    pub fn port(&self) -> u8 {
        self.port
    }

    /// Who sends.
    pub fn source(&self) -> SocketAddr {
        (self.address(self.source), self.source_port).into()
    }

    /// To whom.
    pub fn target(&self) -> SocketAddr {
        (self.address(self.target), self.target_port).into()
    }

    fn address(&self, octets: [u8; 16]) -> IpAddr {
        let address = Ipv6Addr::from(octets);
        match address.to_ipv4_mapped() {
            Some(four) if self.is_v4 => four.into(),
            _ => address.into(),
        }
    }

    fn hash(&self) -> u64 {
        let ends = [self.source, self.target];
        let (words, _) = ends.as_flattened().as_chunks::<8>();
        let [a, b] = [self.source_port, self.target_port].map(u64::from);
        let ports = a << 32 | b << 16 | u64::from(self.port) << 1 | u64::from(self.is_v4);
        words.iter().fold(ports, |hash, word| mix(hash, u64::from_le_bytes(*word)))
    }
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// What came over one flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowCount {
    /// The flow.
    pub key: FlowKey,
    /// Messages, more or less.
    pub messages: u32,
    /// Bytes, from the Ethernet header on, more or less.
    pub bytes: u64,
}

/// The sketch.
#[derive(Debug)]
pub struct FlowTable(Box<[Set]>);

/// The places of flows whose hashes agree in some bits; a place without messages is empty.
#[derive(Clone, Debug, Default)]
#[repr(align(64))]
struct Set {
    tags: [u32; FLOW_WAYS],
    messages: [u32; FLOW_WAYS],
    bytes: [u64; FLOW_WAYS],
    keys: [FlowKey; FLOW_WAYS],
}

impl Default for FlowTable {
    fn default() -> Self {
        Self(vec![Set::default(); FLOW_SETS].into())
    }
}

impl FlowTable {
    /// Counts so many messages of a flow. `random` decides whether a flow without a place gets one.
    pub fn add(&mut self, key: FlowKey, messages: u32, bytes: u64, random: u32) {
        let hash = key.hash();
        #[expect(clippy::cast_possible_truncation, reason = "two parts of the hash")]
        let (set, tag) = (hash as usize % FLOW_SETS, (hash >> 32) as u32);
        let set = &mut self.0[set];
        let is_it = |way: &usize| set.tags[*way] == tag && set.keys[*way] == key;
        let way = (0..FLOW_WAYS).find(is_it).unwrap_or_else(|| {
            let least = (0..FLOW_WAYS).min_by_key(|way| set.messages[*way]).unwrap_or(0);
            let sum = u64::from(set.messages[least]) + u64::from(messages);
            if (u64::from(random) * sum) >> 32 < u64::from(messages) {
                (set.tags[least], set.keys[least]) = (tag, key);
            }
            least
        });
        set.messages[way] = set.messages[way].saturating_add(messages);
        set.bytes[way] += bytes;
    }

    /// All that was counted.
    pub fn counts(&self) -> impl Iterator<Item = FlowCount> {
        let ways = self.0.iter().flat_map(|set| (0..FLOW_WAYS).map(move |way| (set, way)));
        ways.filter(|(set, way)| set.messages[*way] > 0).map(|(set, way)| FlowCount {
            key: set.keys[way],
            messages: set.messages[way],
            bytes: set.bytes[way],
        })
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.0.fill(Set::default());
    }
}

/// A worker's counts.
#[derive(Debug)]
pub struct FlowCounter {
    table: Box<FlowTable>,
    /// The other one, empty; none while the service core has it.
    spare: Option<Box<FlowTable>>,
    random: u64,
    /// When the table in hand began to count.
    began_ns: Option<u64>,
}

impl FlowCounter {
    /// Two tables of the calling thread's memory.
    pub fn new(seed: u64) -> Self {
        let spare = Some(Box::default());
        // Zero is the one state that a xorshift generator never leaves.
        Self { table: Box::default(), spare, random: seed | 1, began_ns: None }
    }

    /// Lets one frame of a burst count for all of it. Whatever is no UDP counts for nothing.
    #[inline]
    pub fn note<P: PacketBuf>(&mut self, port: u8, burst: &[P]) {
        let random = self.draw();
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a burst is short, and two halves of a number"
        )]
        let (frames, [low, high]) = (burst.len() as u32, [random as u32, (random >> 32) as u32]);
        let drawn = (u64::from(low) * u64::from(frames)) >> 32;
        let frame = burst[drawn as usize].frame();
        if let Ok(datagram) = locate(frame) {
            let bytes = u64::from(frames) * frame.len() as u64;
            self.table.add(FlowKey::of(port, &datagram), frames, bytes, high);
        }
    }

    /// The table that has counted long enough, while there is another one.
    pub fn exchange(&mut self, now_ns: u64) -> Option<Box<FlowTable>> {
        let began_ns = *self.began_ns.get_or_insert(now_ns);
        if now_ns.saturating_sub(began_ns) < FLOW_TABLE_NS {
            return None;
        }
        let spare = self.spare.take()?;
        self.began_ns = Some(now_ns);
        Some(core::mem::replace(&mut self.table, spare))
    }

    /// Takes the other table back, empty.
    pub fn put_back(&mut self, table: Box<FlowTable>) {
        self.spare = Some(table);
    }

    /// Marsaglia, "Xorshift RNGs", 2003.
    fn draw(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

#[cfg(test)]
mod tests {
    use super::{FlowCounter, FlowKey, FlowTable};
    use crate::limits::{BURST_MAX, FLOW_SETS, FLOW_TABLE_NS, FLOW_WAYS};
    use crate::packet::MemoryPacket;
    use crate::testing::frames;
    use std::collections::HashMap;

    const US: &str = "10.77.1.1:5060";

    fn frame(peer: u32) -> MemoryPacket {
        let [_, _, a, b] = peer.to_be_bytes();
        MemoryPacket::new(&frames::udp(&format!("10.78.{a}.{b}:5060"), US, b"OPTIONS"))
    }

    fn key(peer: u32) -> FlowKey {
        let mut counter = FlowCounter::new(1);
        counter.note(0, &[frame(peer)]);
        counter.table.counts().next().expect("one flow").key
    }

    #[test]
    fn while_there_is_time_every_message_counts() {
        let mut counter = FlowCounter::new(7);
        let six = MemoryPacket::new(&frames::udp("[fd77:1::2]:5062", "[fd77:1::1]:5060", b"x"));
        for packet in [frame(1), frame(2), frame(1), six, MemoryPacket::new(b"no UDP")] {
            counter.note(3, &[packet]);
        }
        let mut counts: Vec<_> = counter.table.counts().collect();
        counts.sort_by_key(|count| count.key.source());
        let shown: Vec<_> = counts
            .iter()
            .map(|count| (count.key.source().to_string(), count.messages, count.bytes))
            .collect();
        let bytes = |text: &[u8]| 42 + text.len() as u64;
        assert_eq!(
            shown,
            [
                ("10.78.0.1:5060".to_owned(), 2, 2 * bytes(b"OPTIONS")),
                ("10.78.0.2:5060".to_owned(), 1, bytes(b"OPTIONS")),
                ("[fd77:1::2]:5062".to_owned(), 1, 20 + bytes(b"x")),
            ]
        );
        assert_eq!(counts[0].key.port(), 3);
        assert_eq!(counts[0].key.target().to_string(), US);
    }

    #[test]
    fn of_full_bursts_each_flow_has_its_part() {
        // Peer 1 has three quarters of each burst, and always stands first.
        let peers = (0..BURST_MAX).map(|place| if place < BURST_MAX / 4 * 3 { 1 } else { 2 });
        let burst: Vec<_> = peers.map(frame).collect();
        let mut counter = FlowCounter::new(99);
        for _ in 0..4_000 {
            counter.note(0, &burst);
        }
        let counts: HashMap<_, _> =
            counter.table.counts().map(|count| (count.key, f64::from(count.messages))).collect();
        let all: f64 = counts.values().sum();
        assert!((all - 4_000.0 * 32.0).abs() < 1e-9);
        assert!((counts[&key(1)] / all - 0.75).abs() < 0.03, "{counts:?}");
    }

    #[test]
    fn with_more_flows_than_places_no_sum_is_too_high_or_too_low() {
        // One flow has a fifth, and 20,000 others have the rest, 8 times as many as there are places.
        let others = 20_000;
        assert!(others > 8 * FLOW_SETS * FLOW_WAYS);
        let keys: Vec<_> = (0..=others).map(|peer| key(u32::try_from(peer).unwrap())).collect();
        let (mut table, mut dice) = (FlowTable::default(), FlowCounter::new(5));
        for key in &keys[1..] {
            for _ in 0..4 {
                table.add(*key, 1, 100, u32::try_from(dice.draw() >> 32).unwrap());
            }
            table.add(keys[0], 1, 100, u32::try_from(dice.draw() >> 32).unwrap());
        }
        let counts: HashMap<_, _> =
            table.counts().map(|count| (count.key, f64::from(count.messages))).collect();
        let all: f64 = counts.values().sum();
        assert!((all - 100_000.0).abs() < 1e-9, "the sum is exact: {all}");
        assert!((counts[&keys[0]] - 20_000.0).abs() < 500.0, "{}", counts[&keys[0]]);
        // A subset that nobody has chosen by its counts: every fourth of the others.
        let some: f64 = keys[1..].iter().step_by(4).filter_map(|key| counts.get(key)).sum();
        assert!((some - 20_000.0).abs() < 2_000.0, "{some}");
        table.clear();
        assert_eq!(table.counts().count(), 0);
    }

    #[test]
    fn a_worker_goes_on_counting_while_the_other_table_is_away() {
        let mut counter = FlowCounter::new(1);
        counter.note(0, &[frame(1)]);
        assert!(counter.exchange(7).is_none() && counter.exchange(FLOW_TABLE_NS).is_none());
        let mut first = counter.exchange(7 + FLOW_TABLE_NS).expect("in time");
        assert_eq!(first.counts().count(), 1);
        counter.note(0, &[frame(2)]);
        assert!(counter.exchange(3 * FLOW_TABLE_NS).is_none(), "there is no other one");
        counter.note(0, &[frame(3)]);
        first.clear();
        counter.put_back(first);
        let second = counter.exchange(3 * FLOW_TABLE_NS).expect("now there is");
        assert_eq!(second.counts().count(), 2);
    }
}
