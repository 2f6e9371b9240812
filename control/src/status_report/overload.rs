//! What each worker refuses while there is too much to do.

use super::grouped;
use control_api::status::{OverloadStatus, WorkerStatus};
use std::fmt::Write;

/// One line per worker; none when nothing was ever refused and nobody is banned.
pub(super) fn overload_table(workers: &[WorkerStatus], banned_sources: u32) -> String {
    let is_quiet = |w: &WorkerStatus| w.overload.episodes == 0 && w.overload.bans == 0;
    if workers.iter().all(is_quiet) && banned_sources == 0 {
        return String::new();
    }
    let mut table = format!(
        "{:<12} {:>14} {:>14} {:>10} {:>10} {:>12} {:>12} {:>12} {:>8}\n",
        "overload",
        "INVITE taken",
        "others taken",
        "behind ms",
        "episodes",
        "refused 503",
        "unanswered",
        "their ACK",
        "bans"
    );
    for WorkerStatus { lcore, overload: o, .. } in workers {
        let _ = writeln!(
            table,
            "{:<12} {:>14} {:>14} {:>10} {:>10} {:>12} {:>12} {:>12} {:>8}",
            format!("lcore {lcore}"),
            percent(o.first_permille),
            percent(o.other_permille),
            grouped(o.stands_us / 1_000),
            grouped(o.episodes),
            grouped(o.answered),
            grouped(o.unanswered),
            grouped(o.acknowledged),
            grouped(o.bans),
        );
    }
    let _ = writeln!(table, "{banned_sources} source(s) banned now: trunkline sources lists them");
    table
}

fn percent(permille: u64) -> String {
    format!("{}.{} %", permille / 10, permille % 10)
}

/// What happened since `before`: counters lose what they had then, levels stay.
pub(super) fn subtract(now: &mut OverloadStatus, before: &OverloadStatus) {
    now.episodes -= before.episodes;
    now.answered -= before.answered;
    now.unanswered -= before.unanswered;
    now.acknowledged -= before.acknowledged;
    now.bans -= before.bans;
}

#[cfg(test)]
mod tests {
    use super::{overload_table, subtract};
    use control_api::status::{OverloadStatus, WorkerStatus};

    #[test]
    fn a_worker_shows_what_it_refuses() {
        let overload = OverloadStatus {
            first_permille: 437,
            other_permille: 1_000,
            stands_us: 7_400,
            episodes: 2,
            answered: 1_234,
            ..OverloadStatus::default()
        };
        let worker = WorkerStatus { lcore: 1, overload, ..WorkerStatus::default() };
        let table = overload_table(&[worker], 0);
        let words: Vec<_> = table.lines().nth(1).unwrap_or_default().split_whitespace().collect();
        let expected = ["lcore", "1", "43.7", "%", "100.0", "%", "7", "2", "1,234", "0", "0", "0"];
        assert_eq!(words, expected);
        assert_eq!(overload_table(&[WorkerStatus::default()], 0), "");
        assert!(overload_table(&[WorkerStatus::default()], 3).contains("3 source(s) banned now"));
        let mut later = OverloadStatus { answered: 1_300, ..overload };
        subtract(&mut later, &overload);
        assert_eq!((later.answered, later.first_permille), (66, 437));
    }
}
