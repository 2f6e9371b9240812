//! Flows as whole workers count them, also those of messages that they spill.

use core::time::Duration;
use dataplane::flows::FlowTable;
use dataplane::limits::FLOW_TABLE_NS;
use dataplane::mailbox::{Command, Event};
use dataplane::packet::MemoryPacket;
use dataplane::testing::appliance::{Appliance, lab_settings};
use dataplane::testing::frames;
use std::collections::BTreeMap;

const US: &str = "10.77.1.1:5060";

fn options(peer: &str, call: usize) -> MemoryPacket {
    let text = format!(
        "OPTIONS sip:service@{US} SIP/2.0\r\nVia: SIP/2.0/UDP {peer};branch=z9hG4bK-{call}\r\n\
         From: <sip:a@{peer}>;tag=1\r\nTo: <sip:service@{US}>\r\nCall-ID: {call}@{peer}\r\n\
         CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    );
    MemoryPacket::new(&frames::udp(peer, US, text.as_bytes()))
}

/// The table that a worker has handed over, if it has.
fn handed_over(appliance: &mut Appliance) -> Option<Box<FlowTable>> {
    appliance.worker.attend();
    std::iter::from_fn(|| appliance.service.next()).find_map(|event| match event {
        Event::Flows(table) => Some(table),
        _ => None,
    })
}

fn messages(table: &FlowTable) -> BTreeMap<String, u32> {
    table.counts().map(|count| (count.key.source().to_string(), count.messages)).collect()
}

#[test]
fn the_service_core_gets_a_table_each_second_and_gives_it_back() {
    let (clock, mock) = quanta::Clock::mock();
    mock.increment(1);
    let mut appliance = Appliance::with_clock(&lab_settings(), &clock);
    appliance.worker = appliance.worker.counting_flows(1);
    assert!(handed_over(&mut appliance).is_none());
    for call in 0..30 {
        let peer = if call % 3 == 0 { "10.77.1.3:5070" } else { "10.77.1.2:5060" };
        appliance.worker.io_mut().rx[0].push_back(options(peer, call));
        appliance.worker.run_once();
    }
    assert!(handed_over(&mut appliance).is_none(), "no second has gone by");
    mock.increment(Duration::from_nanos(FLOW_TABLE_NS));
    let mut table = handed_over(&mut appliance).expect("a second has gone by");
    let expected = [("10.77.1.2:5060", 20), ("10.77.1.3:5070", 10)];
    let expected: BTreeMap<_, _> = expected.map(|(peer, count)| (peer.to_owned(), count)).into();
    assert_eq!(messages(&table), expected);
    for _ in 0..2 {
        mock.increment(Duration::from_nanos(FLOW_TABLE_NS));
        let other = handed_over(&mut appliance);
        // There are two of them.
        assert_eq!(other.map(|other| other.counts().count()), None);
    }
    table.clear();
    appliance.command(Command::Flows(table));
    let second = handed_over(&mut appliance).expect("it has one again");
    assert_eq!(second.counts().count(), 0);
    assert!(appliance.status().iter().all(|queue| queue.unaccounted() == 0));
}

#[test]
fn what_is_spilled_counts_where_it_was_received() {
    let mut team = Appliance::spilling_team(2, &lab_settings());
    for appliance in &mut team {
        appliance.worker.run_once();
    }
    let mut team = team.into_iter().map(|mut appliance| {
        appliance.worker = appliance.worker.counting_flows(1);
        appliance
    });
    let (mut owner, mut sibling) = (team.next().expect("two"), team.next().expect("two"));
    drop(team);
    for call in 0..1_000 {
        owner.worker.io_mut().rx[0].push_back(options("10.77.1.2:5060", call));
    }
    assert!(handed_over(&mut owner).is_none() && handed_over(&mut sibling).is_none());
    while owner.worker.run_once() | sibling.worker.run_once() {}
    assert!(owner.status()[0].handed_off > 0);
    // On a machine that is busy with something else the first second may end before they are done.
    let counted = both_tables(&mut owner);
    assert_eq!(counted, [("10.77.1.2:5060".to_owned(), 1_000)].into());
    assert!(both_tables(&mut sibling).is_empty());
}

/// What a worker has counted in its two tables.
fn both_tables(appliance: &mut Appliance) -> BTreeMap<String, u32> {
    let mut all = BTreeMap::new();
    for _ in 0..2 {
        std::thread::sleep(Duration::from_nanos(FLOW_TABLE_NS));
        let mut table = handed_over(appliance).expect("a second has gone by");
        for (peer, count) in messages(&table) {
            *all.entry(peer).or_insert(0) += count;
        }
        table.clear();
        appliance.command(Command::Flows(table));
    }
    all
}
