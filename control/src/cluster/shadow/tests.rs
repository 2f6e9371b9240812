use super::Shadow;
use crate::cluster::fields::Change;
use crate::location::json::{AorLine, BindingLine};
use sip_core::record::{Record, records};

const NOW: u64 = 1_000_000;

fn binding(uri: &str, cseq: u32) -> BindingLine {
    BindingLine { cseq, ..BindingLine::plain(uri, NOW + 600_000) }
}

fn bytes(bindings: &[(&str, u32)]) -> Vec<u8> {
    let bindings = bindings.iter().map(|(uri, cseq)| binding(uri, *cseq)).collect();
    let mut bytes = Vec::new();
    AorLine { aor: "a@x".into(), bindings }.write(&mut bytes).unwrap();
    bytes
}

/// As a worker writes it that has passed over a replacement.
fn passed(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes[4 + 2 + 3] |= 0x80;
    bytes
}

fn first(bytes: &[u8]) -> Record<'_> {
    records(bytes).next().unwrap().unwrap()
}

/// How many bindings came or were refreshed, and how many were removed.
fn counts(changes: &[Change]) -> (usize, usize) {
    let live = changes.iter().filter(|change| change.live.is_some()).count();
    (live, changes.len() - live)
}

fn told(shadow: &mut Shadow, bytes: &[u8], seen: u64) -> (usize, usize) {
    counts(&shadow.told(&first(bytes), seen, NOW))
}

#[test]
fn what_is_gone_was_removed_unless_it_was_over() {
    let mut shadow = Shadow::default();
    assert_eq!(told(&mut shadow, &bytes(&[("sip:1", 1), ("sip:2", 1)]), 0), (2, 0));
    assert_eq!(told(&mut shadow, &bytes(&[("sip:1", 2), ("sip:2", 1)]), 0), (1, 0));
    assert_eq!(told(&mut shadow, &bytes(&[("sip:1", 2)]), 0), (0, 1));
    let over = shadow.told(&first(&bytes(&[])), 0, NOW + 600_001);
    assert!(over.is_empty() && !shadow.has("a@x"));
}

#[test]
fn what_a_worker_has_not_seen_it_has_not_removed() {
    let mut shadow = Shadow::default();
    told(&mut shadow, &bytes(&[("sip:1", 1)]), 0);
    let both = bytes(&[("sip:1", 1), ("sip:2", 1)]);
    shadow.replaced(&first(&both), 7, NOW);
    let alone = bytes(&[("sip:1", 2)]);
    assert_eq!(told(&mut shadow, &alone, 6), (1, 0));
    // It has seen it, but had a change of its own.
    assert_eq!(told(&mut shadow, &passed(bytes(&[("sip:1", 3)])), 7), (1, 0));
    shadow.replaced(&first(&both), 8, NOW);
    assert_eq!(told(&mut shadow, &bytes(&[("sip:1", 4)]), 8), (1, 1));
}

#[test]
fn what_was_taken_away_does_not_come_back_from_a_record_under_way() {
    let mut shadow = Shadow::default();
    let both = bytes(&[("sip:1", 1), ("sip:2", 1)]);
    told(&mut shadow, &both, 0);
    shadow.replaced(&first(&bytes(&[("sip:1", 1)])), 5, NOW);
    assert_eq!(told(&mut shadow, &bytes(&[("sip:1", 2), ("sip:2", 1)]), 4), (1, 0));
    // Registered anew behind it.
    assert_eq!(told(&mut shadow, &both, 5).0, 2);
    assert_eq!(shadow.len(), 1);
    shadow.sweep(NOW + 700_000);
    assert_eq!(shadow.len(), 0);
}
