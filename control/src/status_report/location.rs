//! The bindings of each worker, and the store.

use super::grouped;
use control_api::status::{StoreStatus, WorkerStatus};
use std::fmt::Write;

/// One line per worker and one for the store; none when no worker has room for bindings.
pub(super) fn location_table(workers: &[WorkerStatus], store: &StoreStatus) -> String {
    if workers.iter().all(|worker| worker.location.capacity == 0) {
        return String::new();
    }
    let mut table = format!(
        "{:<12} {:>12} {:>12} {:>12} {:>12} {:>12} {:>10} {:>10} {:>8} {:>10} {:>10}\n",
        "location",
        "AoRs",
        "room",
        "bindings",
        "new",
        "refreshed",
        "removed",
        "expired",
        "full",
        "waiting",
        "held"
    );
    for WorkerStatus { lcore, location: l, .. } in workers {
        let _ = writeln!(
            table,
            "{:<12} {:>12} {:>12} {:>12} {:>12} {:>12} {:>10} {:>10} {:>8} {:>10} {:>10}",
            format!("lcore {lcore}"),
            grouped(l.aors),
            grouped(l.capacity),
            grouped(l.bindings),
            grouped(l.registered),
            grouped(l.refreshed),
            grouped(l.removed),
            grouped(l.expired),
            grouped(l.refused_full + l.refused_held),
            grouped(l.waiting),
            grouped(l.held),
        );
    }
    let waiting = workers.iter().map(|worker| worker.location.waiting).sum();
    let _ = writeln!(table, "location store: {}", store_line(store, waiting));
    table
}

/// How the store is, in one line.
fn store_line(store: &StoreStatus, waiting: u64) -> String {
    if let Some(degraded) = &store.degraded {
        return format!(
            "degraded for {} s, {} AoRs waiting: {}",
            degraded.for_ms / 1_000,
            grouped(waiting),
            degraded.reason
        );
    }
    if !store.is_loaded {
        return "loading: REGISTER and calls to users are answered with 503".to_owned();
    }
    let away = if store.is_connected { "" } else { ", control is away" };
    format!(
        "well{away}; {} AoRs loaded at the start, {} batches confirmed, {} on their way",
        grouped(store.loaded),
        grouped(store.confirmed),
        store.unconfirmed
    )
}

#[cfg(test)]
mod tests {
    use super::location_table;
    use control_api::status::{Degraded, LocationStatus, StoreStatus, WorkerStatus};

    #[test]
    fn a_store_that_is_ill_says_so() {
        let location = LocationStatus { capacity: 9, waiting: 4, ..LocationStatus::default() };
        let workers = [WorkerStatus { location, ..WorkerStatus::default() }; 2];
        let mut store = StoreStatus::default();
        assert!(location_table(&workers, &store).contains("location store: loading"));
        let reason = "the disk is full".to_owned();
        store.degraded = Some(Degraded { reason, for_ms: 7_900 });
        let text = location_table(&workers, &store);
        assert!(text.contains("degraded for 7 s, 8 AoRs waiting: the disk is full"), "{text}");
        assert_eq!(location_table(&[WorkerStatus::default()], &store), "");
    }
}
