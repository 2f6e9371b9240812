//! The transactions of each worker, and what workers hand over to each other.

use super::{grouped, location, overload, ratio};
use control_api::status::{AuthStatus, SpillStatus, TransactionStatus, WorkerStatus};
use std::fmt::Write;

/// How far each transaction has come, and what it holds: one line per worker; none when no worker has
/// room for transactions.
pub(super) fn transaction_tables(workers: &[WorkerStatus]) -> String {
    if workers.iter().all(|worker| worker.transactions.capacity == 0) {
        return String::new();
    }
    format!("{}\n{}", states(workers), events(workers))
}

/// Gauges: what is there now.
fn states(workers: &[WorkerStatus]) -> String {
    let mut table = format!(
        "{:<12} {:>10} {:>8} {:>10} {:>10} {:>10} {:>10} {:>10} {:>8} {:>12}\n",
        "transactions",
        "alive",
        "trying",
        "proceeding",
        "completed",
        "confirmed",
        "accepted",
        "branches",
        "buffers",
        "timer lag ms"
    );
    for WorkerStatus { lcore, transactions: t, .. } in workers {
        let _ = writeln!(
            table,
            "{:<12} {:>10} {:>8} {:>10} {:>10} {:>10} {:>10} {:>10} {:>8} {:>12}",
            format!("lcore {lcore}"),
            grouped(t.alive),
            grouped(t.trying),
            grouped(t.proceeding),
            grouped(t.completed),
            grouped(t.confirmed),
            grouped(t.accepted),
            grouped(t.branches),
            percent(t.buffers_used, t.buffers),
            format!("{} (max {})", grouped(t.timer_lag_ms), grouped(t.timer_lag_max_ms)),
        );
    }
    let room: u64 = workers.iter().map(|worker| worker.transactions.capacity).sum();
    let alive: u64 = workers.iter().map(|worker| worker.transactions.alive).sum();
    let _ =
        writeln!(table, "{} of {} alive: {}", grouped(alive), grouped(room), percent(alive, room));
    table
}

/// Counters: what has happened since the start.
fn events(workers: &[WorkerStatus]) -> String {
    let mut table = format!(
        "{:<12} {:>12} {:>8} {:>8} {:>12} {:>12} {:>10} {:>10} {:>10} {:>12}\n",
        "since start",
        "opened",
        "full",
        "merged",
        "absorbed",
        "sent again",
        "timed out",
        "failovers",
        "cancelled",
        "handed over"
    );
    for worker in workers {
        let t = &worker.transactions;
        let _ = writeln!(
            table,
            "{:<12} {:>12} {:>8} {:>8} {:>12} {:>12} {:>10} {:>10} {:>10} {:>12}",
            format!("lcore {}", worker.lcore),
            grouped(t.opened),
            grouped(t.refused_full),
            grouped(t.merged),
            grouped(t.requests_absorbed + t.responses_absorbed),
            grouped(t.retransmitted),
            grouped(t.timed_out),
            grouped(t.failed_over),
            grouped(t.cancelled),
            grouped(worker.handed_off),
        );
    }
    table
}

/// Who has given stateless work to whom; none when nobody has.
pub(super) fn spill_table(spills: &[SpillStatus]) -> String {
    if spills.is_empty() {
        return String::new();
    }
    let mut table = format!("{:<12} {:>10} {:>14}\n", "spilled", "to", "messages");
    for SpillStatus { from, to, messages } in spills {
        let (from, to) = (format!("lcore {from}"), format!("lcore {to}"));
        let _ = writeln!(table, "{from:<12} {to:>10} {:>14}", grouped(*messages));
    }
    table
}

/// A part in per cent of a whole.
fn percent(part: u64, whole: u64) -> String {
    format!("{:.1} %", 100.0 * ratio(part, whole))
}

/// What happened to a worker since `before`: counters lose what they had then, gauges stay.
pub(super) fn subtract(worker: &mut WorkerStatus, before: &WorkerStatus) {
    worker.handed_off -= before.handed_off;
    worker.handed_in -= before.handed_in;
    worker.handoff_full -= before.handoff_full;
    worker.spilled -= before.spilled;
    worker.spilled_in -= before.spilled_in;
    worker.stages.messages -= before.stages.messages;
    for (now, then) in worker.stages.ns.iter_mut().zip(before.stages.ns) {
        *now -= then;
    }
    location::subtract(&mut worker.location, &before.location);
    overload::subtract(&mut worker.overload, &before.overload);
    subtract_auth(&mut worker.auth, &before.auth);
    let (now, then) = (&mut worker.transactions, &before.transactions);
    let counters = |of: &TransactionStatus| {
        [
            of.opened,
            of.refused_full,
            of.merged,
            of.requests_absorbed,
            of.responses_absorbed,
            of.retransmitted,
            of.timed_out,
            of.failed_over,
            of.cancelled,
            of.outbox_full,
        ]
    };
    let then = counters(then);
    let fields = [
        &mut now.opened,
        &mut now.refused_full,
        &mut now.merged,
        &mut now.requests_absorbed,
        &mut now.responses_absorbed,
        &mut now.retransmitted,
        &mut now.timed_out,
        &mut now.failed_over,
        &mut now.cancelled,
        &mut now.outbox_full,
    ];
    for (field, then) in fields.into_iter().zip(then) {
        *field -= then;
    }
}

/// All that is said of credentials are counters.
fn subtract_auth(now: &mut AuthStatus, before: &AuthStatus) {
    let AuthStatus {
        accepted,
        retransmitted,
        unproved,
        stale,
        replayed,
        failed,
        unknown_user,
        limited,
        bad,
        unready,
    } = *before;
    now.accepted -= accepted;
    now.retransmitted -= retransmitted;
    now.unproved -= unproved;
    now.stale -= stale;
    now.replayed -= replayed;
    now.failed -= failed;
    now.unknown_user -= unknown_user;
    now.limited -= limited;
    now.bad -= bad;
    now.unready -= unready;
}

#[cfg(test)]
mod tests {
    use super::{spill_table, subtract, transaction_tables};
    use control_api::status::{SpillStatus, TransactionStatus, WorkerStatus};

    fn worker() -> WorkerStatus {
        let transactions = TransactionStatus {
            capacity: 1_000,
            buffers: 8_000,
            alive: 250,
            accepted: 250,
            buffers_used: 2_000,
            timer_lag_ms: 1,
            timer_lag_max_ms: 7,
            opened: 12_345,
            requests_absorbed: 20,
            responses_absorbed: 3,
            ..TransactionStatus::default()
        };
        WorkerStatus { lcore: 1, handed_off: 5, transactions, ..WorkerStatus::default() }
    }

    #[test]
    fn a_worker_shows_its_transactions() {
        let table = transaction_tables(&[worker()]);
        assert!(table.contains("250 of 1,000 alive: 25.0 %"), "{table}");
        assert!(table.contains("25.0 %    1 (max 7)"), "{table}");
        let line = table.lines().last().unwrap_or_default();
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(words, ["lcore", "1", "12,345", "0", "0", "23", "0", "0", "0", "0", "5"]);
        assert_eq!(transaction_tables(&[WorkerStatus::default()]), "");
    }

    #[test]
    fn who_spills_to_whom_is_said_when_somebody_does() {
        assert_eq!(spill_table(&[]), "");
        let table = spill_table(&[SpillStatus { from: 2, to: 3, messages: 1_234_567 }]);
        assert!(table.ends_with("lcore 2         lcore 3      1,234,567\n"), "{table}");
    }

    #[test]
    fn a_difference_keeps_what_is_there_now() {
        let mut after = worker();
        after.transactions.opened += 10;
        (after.location.located, after.location.aors, after.auth.failed) = (7, 3, 2);
        let mut later = after;
        (later.location.located, later.location.aors, later.auth.failed) = (9, 4, 5);
        subtract(&mut later, &after);
        assert_eq!((later.location.located, later.location.aors, later.auth.failed), (2, 4, 3));
        subtract(&mut after, &worker());
        assert_eq!((after.transactions.opened, after.handed_off), (10, 0));
        assert_eq!((after.transactions.alive, after.transactions.requests_absorbed), (250, 0));
    }
}
