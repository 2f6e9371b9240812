//! Answers to REGISTER wait for the store, leave when it has confirmed, and count once: a whole worker over
//! queues in memory, with the service core's end of its rings in the test's hand.

use dataplane::decode::{DecodeRules, decode};
use dataplane::location_log::{Batch, Errand};
use dataplane::mailbox::Command;
use dataplane::packet::{MemoryPacket, PacketBuf};
use dataplane::testing::appliance::{Appliance, lab_epoch, lab_fib, lab_settings};
use dataplane::testing::frames;
use sip_core::record::records;
use sip_core::{Action, Durability, LocationSizes, Rule, Store};
use std::sync::Arc;

const PHONE: &str = "10.77.1.2:5060";
const US: &str = "10.77.1.1:5060";

fn registrar(durability: Durability) -> Appliance {
    registrar_with(durability, Store::Disk)
}

fn registrar_with(durability: Durability, store: Store) -> Appliance {
    let mut settings = lab_settings();
    settings.rules.insert(0, Rule::always(Action::Register));
    settings.registrar.durability = durability;
    settings.registrar.store = store;
    let mut appliance = Appliance::bare(DecodeRules { verify_checksums: true });
    let sizes = LocationSizes { aors: 20_000, bindings: 20_000, text_blocks: 80_000 };
    appliance.worker = appliance.worker.with_location(sizes, [0, 1], [7; 16], 1_700_000_000_000);
    appliance.command(Command::Fib(Arc::new(lab_fib(1, [0, 1], true))));
    appliance.command(Command::Epoch(Arc::new(lab_epoch(&settings))));
    appliance.command(Command::LocationReady);
    appliance.settled()
}

fn register(appliance: &mut Appliance, user: u32, cseq: u32) -> Option<String> {
    register_for(appliance, user, cseq, 600)
}

fn register_for(appliance: &mut Appliance, user: u32, cseq: u32, expires: u32) -> Option<String> {
    let text = format!(
        "REGISTER sip:lab.example.com SIP/2.0\r\nVia: SIP/2.0/UDP {PHONE};branch=z9hG4bK{user}-{cseq}\r\n\
         From: <sip:u{user}@lab.example.com>;tag=1\r\nTo: <sip:u{user}@lab.example.com>\r\n\
         Call-ID: {user}\r\nCSeq: {cseq} REGISTER\r\nContact: <sip:u{user}@{PHONE}>\r\n\
         Max-Forwards: 70\r\nExpires: {expires}\r\nContent-Length: 0\r\n\r\n"
    );
    appliance.forward(&frames::udp(PHONE, US, text.as_bytes())).map(|packet| status(&packet))
}

fn status(packet: &MemoryPacket) -> String {
    let datagram = decode(packet.frame(), DecodeRules { verify_checksums: true });
    let payload = datagram.expect("what we send decodes").payload;
    let text = String::from_utf8_lossy(&packet.frame()[payload]).into_owned();
    text.split(' ').nth(1).expect("a status").to_owned()
}

fn answers(appliance: &mut Appliance) -> Vec<String> {
    appliance.sent().iter().map(|(_, packet)| status(packet)).collect()
}

/// Takes the batches of changes that have come.
fn changes(appliance: &Appliance) -> Vec<Batch> {
    std::iter::from_fn(|| appliance.service.log.next()).collect()
}

/// Says that they are on stable storage.
fn confirm(appliance: &Appliance, batches: Vec<Batch>) {
    for mut batch in batches {
        let Errand::Changes { position, .. } = batch.errand else { panic!("{batch:?}") };
        batch.errand = Errand::Flushed { position };
        appliance.service.log.send(batch);
    }
}

/// Enough rounds for every look at the log and into the mailbox.
fn run(appliance: &mut Appliance) {
    for _ in 0..128 {
        appliance.worker.run_once();
    }
}

#[track_caller]
fn counted(appliance: &Appliance, parked: u64, replied: u64) {
    let queue = &appliance.status()[0];
    assert_eq!((queue.parked, queue.replied), (parked, replied));
    assert!(appliance.status().iter().all(|queue| queue.unaccounted() == 0), "{queue:?}");
}

#[test]
fn an_answer_waits_until_its_change_is_flushed() {
    let mut appliance = registrar(Durability::Flushed);
    assert_eq!(register(&mut appliance, 1, 1), None);
    counted(&appliance, 1, 0);
    run(&mut appliance);
    let batches = changes(&appliance);
    let aors: Vec<_> = batches.iter().flat_map(|batch| records(&batch.records)).collect();
    assert_eq!(aors.len(), 1);
    assert_eq!(aors[0].as_ref().expect("a record").aor(), "u1@lab.example.com");
    // The client asks again meanwhile, and has to wait again.
    assert_eq!(register(&mut appliance, 1, 1), None);
    counted(&appliance, 2, 0);
    confirm(&appliance, batches);
    run(&mut appliance);
    assert_eq!(answers(&mut appliance), ["200", "200"]);
    counted(&appliance, 0, 2);
    // What is stored is answered at once.
    assert_eq!(register(&mut appliance, 1, 1).as_deref(), Some("200"));
    counted(&appliance, 0, 3);
}

#[test]
fn from_memory_answers_leave_at_once_and_changes_follow() {
    let mut appliance = registrar(Durability::Memory);
    assert_eq!(register(&mut appliance, 1, 1).as_deref(), Some("200"));
    run(&mut appliance);
    assert_eq!(changes(&appliance).len(), 1);
}

#[test]
fn without_a_store_no_change_is_collected_and_who_leaves_is_forgotten() {
    let mut appliance = registrar_with(Durability::Memory, Store::None);
    for user in 0..1_000 {
        assert_eq!(register(&mut appliance, user, 1).as_deref(), Some("200"));
    }
    run(&mut appliance);
    let status = |appliance: &Appliance| {
        let status = appliance.service.counters.location.status();
        (status.aors, status.bindings, status.waiting)
    };
    assert_eq!(status(&appliance), (1_000, 1_000, 0));
    for user in 0..900 {
        assert_eq!(register_for(&mut appliance, user, 2, 0).as_deref(), Some("200"));
    }
    run(&mut appliance);
    assert_eq!(status(&appliance), (100, 100, 0));
    assert!(changes(&appliance).is_empty());
}

#[test]
fn while_the_store_is_ill_nobody_waits_and_no_change_is_lost() {
    let mut appliance = registrar(Durability::Flushed);
    for user in 0..100 {
        assert_eq!(register(&mut appliance, user, 1), None);
    }
    appliance.command(Command::FromMemory(true));
    run(&mut appliance);
    assert_eq!(answers(&mut appliance).len(), 100);
    // No batch comes home, so that nearly all of these wait in the tables.
    for user in 0..10_000 {
        assert_eq!(register(&mut appliance, user, 2).as_deref(), Some("200"));
    }
    counted(&appliance, 0, 10_100);
    appliance.command(Command::FromMemory(false));
    let mut newest = std::collections::HashMap::new();
    loop {
        run(&mut appliance);
        let batches = changes(&appliance);
        if batches.is_empty() {
            break;
        }
        for record in batches.iter().flat_map(|batch| records(&batch.records)) {
            let record = record.expect("a record");
            let cseq = record.bindings().next().expect("a binding").cseq;
            newest.insert(record.aor().to_owned(), cseq);
        }
        confirm(&appliance, batches);
    }
    assert_eq!(newest.len(), 10_000);
    assert!(newest.values().all(|cseq| *cseq == 2));
    assert_eq!(register(&mut appliance, 1, 3), None, "it waits again");
}

#[test]
fn with_no_room_for_answers_nothing_is_changed() {
    let mut appliance = registrar(Durability::Flushed);
    let mut held = 0;
    let refused = loop {
        match register(&mut appliance, held % 20_000, 1 + held / 20_000) {
            None => held += 1,
            Some(status) => break status,
        }
        assert!(held < 100_000);
    };
    assert_eq!(refused, "503");
    counted(&appliance, held.into(), 1);
    loop {
        run(&mut appliance);
        let batches = changes(&appliance);
        if batches.is_empty() {
            break;
        }
        confirm(&appliance, batches);
    }
    run(&mut appliance);
    counted(&appliance, 0, u64::from(held) + 1);
}
