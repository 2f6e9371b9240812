//! The bindings of each worker, and how far the store has them.

use super::grouped;
use control_api::status::{Degraded, LocationStatus, StoreStatus, WorkerStatus};
use std::fmt::Write;

/// What each worker has and has done, and the store; none while nobody has registered or asked.
pub(super) fn location_tables(workers: &[WorkerStatus], store: &StoreStatus) -> String {
    let is_used = |worker: &WorkerStatus| {
        let now = LocationStatus { capacity: 0, ..worker.location };
        now != LocationStatus::default()
    };
    let is_well =
        store.degraded.is_none() && store.set_aside.is_empty() && !store.has_begun_without;
    if is_well && !workers.iter().any(is_used) {
        return String::new();
    }
    let store = [store_line(workers, store), losses(store)].concat();
    format!("{}{store}\n{}", bindings(workers), events(workers))
}

/// Gauges: what is there now.
fn bindings(workers: &[WorkerStatus]) -> String {
    let mut table = format!(
        "{:<12} {:>12} {:>12} {:>12} {:>12} {:>10} {:>10}\n",
        "location", "AoRs", "room for", "bindings", "text blocks", "not stored", "held"
    );
    for WorkerStatus { lcore, location, .. } in workers {
        let _ = writeln!(
            table,
            "{:<12} {:>12} {:>12} {:>12} {:>12} {:>10} {:>10}",
            format!("lcore {lcore}"),
            grouped(location.aors),
            grouped(location.capacity),
            grouped(location.bindings),
            grouped(location.text_blocks_used),
            grouped(location.waiting),
            grouped(location.held),
        );
    }
    table
}

/// The store in one line.
fn store_line(workers: &[WorkerStatus], store: &StoreStatus) -> String {
    let waiting: u64 = workers.iter().map(|worker| worker.location.waiting).sum();
    if store.is_none && store.is_loaded {
        return "location store: none, bindings are in memory only\n".into();
    }
    match &store.degraded {
        Some(Degraded { reason, for_ms }) => format!(
            "location store: degraded for {} s, {} AoRs waiting, answers are from memory: {reason}\n",
            grouped(for_ms / 1_000),
            grouped(waiting)
        ),
        None if !store.is_loaded => "location store: being loaded, requests get 503\n".into(),
        None if !store.is_connected => {
            format!("location store: control is away, {} AoRs waiting\n", grouped(waiting))
        }
        None => format!(
            "location store: well, {} of {} batches confirmed, {} records loaded at the start\n",
            grouped(store.confirmed),
            grouped(store.confirmed + store.unconfirmed),
            grouped(store.loaded)
        ),
    }
}

/// What is missing that was stored once.
fn losses(store: &StoreStatus) -> String {
    let mut lines = String::new();
    if store.has_begun_without {
        lines += "location store: NOT LOADED: the workers began without what is stored; users are unknown \
                  until they register again or the store can be read\n";
    }
    if !store.set_aside.is_empty() {
        let _ = writeln!(
            lines,
            "location store: NEW: the one before could not be read and is kept as {}; this line ends when it \
             is taken away and control starts again",
            store.set_aside
        );
    }
    lines
}

/// Counters: what has happened since the start, to registrations and to requests for users.
fn events(workers: &[WorkerStatus]) -> String {
    let registrations = |l: &LocationStatus| {
        [l.registered, l.refreshed, l.removed, l.expired, l.refused_full, l.refused_held]
    };
    let requests = |l: &LocationStatus| {
        [
            l.located,
            l.not_registered,
            l.lookups,
            l.keepalives,
            l.keepalives_answered,
            l.flows_failed,
        ]
    };
    let heads = ["new", "refreshed", "removed", "expired", "no room", "store full"];
    let mut table = counters(workers, heads, registrations);
    let heads = ["located", "not there", "looked up", "keep-alives", "answered", "flows lost"];
    let _ = write!(table, "\n{}", counters(workers, heads, requests));
    table
}

/// One line of counters for each worker.
fn counters<const N: usize>(
    workers: &[WorkerStatus],
    heads: [&str; N],
    of: impl Fn(&LocationStatus) -> [u64; N],
) -> String {
    let line = |first: &str, columns: [String; N]| {
        columns.iter().fold(format!("{first:<12}"), |line, column| line + &format!(" {column:>12}"))
    };
    let mut table = line("since start", heads.map(str::to_owned)) + "\n";
    for WorkerStatus { lcore, location, .. } in workers {
        let _ = writeln!(table, "{}", line(&format!("lcore {lcore}"), of(location).map(grouped)));
    }
    table
}

/// What has happened since `before`: counters lose what they had then, gauges stay.
pub(super) fn subtract(now: &mut LocationStatus, before: &LocationStatus) {
    let LocationStatus {
        capacity: _,
        aors: _,
        bindings: _,
        bindings_capacity: _,
        text_blocks_used: _,
        text_blocks: _,
        waiting: _,
        held: _,
        registered,
        refreshed,
        removed,
        expired,
        refused_full,
        refused_held,
        located,
        not_registered,
        lookups,
        lookups_waiting: _,
        lookups_full,
        lookups_timed_out,
        keepalives,
        keepalives_answered,
        flows_failed,
    } = *before;
    now.registered -= registered;
    now.refreshed -= refreshed;
    now.removed -= removed;
    now.expired -= expired;
    now.refused_full -= refused_full;
    now.refused_held -= refused_held;
    now.located -= located;
    now.not_registered -= not_registered;
    now.lookups -= lookups;
    now.lookups_full -= lookups_full;
    now.lookups_timed_out -= lookups_timed_out;
    now.keepalives -= keepalives;
    now.keepalives_answered -= keepalives_answered;
    now.flows_failed -= flows_failed;
}

#[cfg(test)]
mod tests {
    use super::location_tables;
    use control_api::status::{Degraded, LocationStatus, StoreStatus, WorkerStatus};

    fn worker() -> WorkerStatus {
        let location = LocationStatus {
            capacity: 65_536,
            aors: 12_000,
            bindings: 12_345,
            waiting: 7,
            registered: 12_400,
            expired: 55,
            located: 9_000,
            not_registered: 3,
            keepalives: 20,
            keepalives_answered: 18,
            flows_failed: 1,
            ..LocationStatus::default()
        };
        WorkerStatus { lcore: 1, location, ..WorkerStatus::default() }
    }

    #[test]
    fn a_worker_shows_its_bindings() {
        let store = StoreStatus { is_connected: true, is_loaded: true, ..StoreStatus::default() };
        let table = location_tables(&[worker()], &StoreStatus { confirmed: 9, ..store.clone() });
        assert!(table.contains("location store: well, 9 of 9 batches confirmed"), "{table}");
        let words: Vec<_> = table.lines().nth(1).unwrap_or_default().split_whitespace().collect();
        assert_eq!(words, ["lcore", "1", "12,000", "65,536", "12,345", "0", "7", "0"]);
        let words: Vec<_> = table.lines().nth(5).unwrap_or_default().split_whitespace().collect();
        assert_eq!(words, ["lcore", "1", "12,400", "0", "0", "55", "0", "0"]);
        let words: Vec<_> = table.lines().last().unwrap_or_default().split_whitespace().collect();
        assert_eq!(words, ["lcore", "1", "9,000", "3", "0", "20", "18", "1"]);
        let mut idle = worker();
        idle.location = LocationStatus { capacity: 65_536, ..LocationStatus::default() };
        assert_eq!(location_tables(&[idle], &store), "");
    }

    #[test]
    fn a_store_that_is_not_well_is_named() {
        let degraded = Degraded { reason: "the disk is full".into(), for_ms: 12_345 };
        let store =
            StoreStatus { degraded: Some(degraded), is_loaded: true, ..StoreStatus::default() };
        let table = location_tables(&[worker()], &store);
        let wanted = "location store: degraded for 12 s, 7 AoRs waiting, answers are from memory: the disk is full";
        assert!(table.contains(wanted), "{table}");
        let store = StoreStatus {
            has_begun_without: true,
            set_aside: "/var/lib/trunkline/location.unreadable-1".into(),
            ..store
        };
        let table = location_tables(&[], &store);
        assert!(table.contains("NOT LOADED") && table.contains(&store.set_aside), "{table}");
        let table = location_tables(&[worker()], &StoreStatus::default());
        assert!(table.contains("being loaded, requests get 503"), "{table}");
        let store = StoreStatus { is_loaded: true, is_none: true, ..StoreStatus::default() };
        assert!(location_tables(&[worker()], &store).contains("location store: none, bindings"));
        let store = StoreStatus { is_loaded: true, ..StoreStatus::default() };
        assert!(location_tables(&[worker()], &store).contains("control is away, 7 AoRs waiting"));
    }
}
