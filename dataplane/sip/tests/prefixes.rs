//! A table of a million prefixes: what it costs to load, to keep and to ask.
//!
//! `cargo test --release -p sip-core --test prefixes -- --nocapture` prints the figures.

#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::cast_precision_loss, clippy::print_stdout, reason = "figures for people")]

mod common;

use common::{set, settings};
use sip_core::{Action, PrefixTable, Rule, Settings, Tables};
use std::hint::black_box;
use std::time::Instant;

const PREFIXES: u64 = 1_000_000;

/// Numbers that look like no order at all, each once: a step that shares no factor with the range.
fn number(n: u64) -> u64 {
    n * 7_368_787 % 9_000_000_000 + 1_000_000_000
}

/// A million prefixes of 7 to 10 digits behind a plus sign, for two sets.
fn table(count: u64) -> PrefixTable {
    let mut table = PrefixTable::new("numbers", vec!["even".into(), "odd".into()]);
    for n in 0..count {
        let digits = number(n).to_string();
        // Shorter ones from another range, so that none stands twice.
        let prefix = match n % 4 {
            0 => format!("+{}", 1_000_000 + n),
            _ => format!("+{digits}"),
        };
        assert!(table.push(&prefix, u16::try_from(n % 2).unwrap()));
    }
    table
}

fn with_table(count: u64) -> Settings {
    Settings {
        sets: vec![set("even", &[("10.77.2.2:5060", 1)]), set("odd", &[("10.77.2.3:5060", 1)])],
        prefix_tables: vec![table(count)],
        rules: vec![Rule::always(Action::ForwardByPrefix("numbers".into()))],
        ..settings()
    }
}

#[test]
fn a_million_prefixes_are_found() {
    let settings = with_table(PREFIXES);
    let start = Instant::now();
    let tables = Tables::build(&settings).unwrap();
    let loaded = start.elapsed();
    let size = tables.prefix_sizes().next().unwrap();
    assert_eq!(size.entries, 1_000_000);
    for n in (1..PREFIXES).step_by(4) {
        let user = format!("+{}7", number(n));
        assert_eq!(tables.prefix_set(0, user.as_bytes()), Some(u16::try_from(n % 2).unwrap()));
    }
    let per_entry = size.memory as f64 / size.entries as f64;
    println!("{PREFIXES} prefixes: built in {loaded:.0?}, {per_entry:.1} bytes each");
}

#[test]
fn epochs_share_a_table_that_stays_the_same() {
    let settings = with_table(PREFIXES);
    let first = Tables::build(&settings).unwrap();
    let start = Instant::now();
    let second = Tables::build_after(&settings, &first, 0).unwrap();
    println!("the next epoch with the same table: built in {:.0?}", start.elapsed());
    let start = Instant::now();
    let third = second.with_member_states(&[], 0);
    println!("member states changed: built in {:.0?}", start.elapsed());
    assert_eq!(third.prefix_set(0, b"+10000000"), Some(0));
    let mut other = settings.clone();
    assert!(other.prefix_tables[0].push("+0", 1));
    let other = Tables::build_after(&other, &third, 0).unwrap();
    assert_eq!(other.prefix_set(0, b"+01"), Some(1));
    assert_eq!(third.prefix_set(0, b"+01"), None);
}

#[test]
fn what_a_look_up_costs() {
    for count in [1_000, 100_000, PREFIXES] {
        let tables = Tables::build(&with_table(count)).unwrap();
        let users: Vec<[u8; 13]> = (0..1 << 18)
            .map(|n| format!("+{}77", number(n * 31 % count)).as_bytes().try_into().unwrap())
            .collect();
        let mut rounds = [0.0; 9];
        for round in &mut rounds {
            let start = cpu_ns();
            for user in &users {
                black_box(tables.prefix_set(0, black_box(user)));
            }
            *round = (cpu_ns() - start) / users.len() as f64;
        }
        rounds.sort_by(f64::total_cmp);
        let [least, .., most] = rounds;
        println!("{count} prefixes: {:.0} ns each ({least:.0} to {most:.0})", rounds[4]);
    }
}

/// Time that this thread has been on a core, so that other work on the machine counts less.
fn cpu_ns() -> f64 {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    times.split(' ').next().unwrap().parse().unwrap()
}
