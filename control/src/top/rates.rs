//! Rates: what happened between two snapshots, for each second.

use crate::status_report::difference;
use control_api::DropReason;
use control_api::status::{QueueStatus, STAGES, Status, WorkerStatus};
use std::time::{Duration, Instant};

/// A snapshot and when it was taken.
#[derive(Clone, Debug)]
pub struct Moment {
    /// The counters.
    pub status: Status,
    /// When they were read.
    pub at: Instant,
}

/// What happened between two moments.
#[derive(Clone, Debug)]
pub struct Rates {
    /// The later snapshot.
    pub now: Status,
    /// The later less the earlier.
    pub since: Status,
    /// The time between them.
    pub time: Duration,
}

/// One line of work: a queue pair, or all that one lcore polls.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Work {
    /// Messages received in a second, from the wire and from other workers.
    pub messages: f64,
    /// Frames transmitted in a second.
    pub transmitted: f64,
    /// Drops in a second.
    pub dropped: f64,
    /// Bursts with at least one frame in a second: what VPP calls calls.
    pub bursts: f64,
    /// Messages in each such burst: VPP's vectors per call. Near 1 there is time to spare; near the size of a
    /// burst there is none.
    pub per_burst: f64,
    /// Nanoseconds for each message.
    pub ns_per_message: f64,
    /// Part of the time that was spent on bursts with a frame, 0 to 1.
    pub busy: f64,
}

impl Rates {
    /// What happened from `before` to `after`.
    pub fn between(before: &Moment, after: &Moment) -> Self {
        Self {
            now: after.status.clone(),
            since: difference(&before.status, &after.status),
            time: after.at.duration_since(before.at).max(Duration::from_millis(1)),
        }
    }

    /// A count of the time between, for each second.
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    pub fn each_second(&self, count: u64) -> f64 {
        count as f64 / self.time.as_secs_f64()
    }

    /// The work of each queue pair, in the order of the status.
    pub fn queues(&self) -> Vec<(&QueueStatus, Work)> {
        self.since.queues.iter().map(|queue| (queue, self.work([queue].into_iter()))).collect()
    }

    /// The work of each lcore that polls, all its queues together.
    pub fn lcores(&self) -> Vec<(u16, Work)> {
        let mut lcores: Vec<u16> = self.since.queues.iter().map(|queue| queue.lcore).collect();
        lcores.sort_unstable();
        lcores.dedup();
        let of = |lcore: u16| self.since.queues.iter().filter(move |queue| queue.lcore == lcore);
        lcores.into_iter().map(|lcore| (lcore, self.work(of(lcore)))).collect()
    }

    /// Drops by reason: for each second, and since the start; the most frequent now first.
    pub fn drops(&self) -> Vec<(DropReason, f64, u64)> {
        let sum = |status: &Status, reason: DropReason| -> u64 {
            status.queues.iter().map(|queue| queue.dropped_for(reason)).sum()
        };
        let all = DropReason::ALL.iter().map(|reason| {
            let rate = self.each_second(sum(&self.since, *reason));
            (*reason, rate, sum(&self.now, *reason))
        });
        let mut drops: Vec<_> = all.filter(|(_, _, total)| *total > 0).collect();
        drops.sort_by(|a, b| b.1.total_cmp(&a.1).then(b.2.cmp(&a.2)));
        drops
    }

    /// Nanoseconds for each message by stage, of each worker: what VPP calls clocks. None where no message was in
    /// the sample.
    #[expect(clippy::cast_precision_loss, reason = "a mean for people")]
    pub fn stages(&self) -> Vec<(u16, [f64; STAGES.len()])> {
        let sampled = self.since.workers.iter().filter(|worker| worker.stages.messages > 0);
        let mean = |worker: &WorkerStatus| {
            let messages = worker.stages.messages as f64;
            (worker.lcore, worker.stages.ns.map(|ns| ns as f64 / messages))
        };
        sampled.map(mean).collect()
    }

    #[expect(clippy::cast_precision_loss, reason = "rates for people")]
    fn work<'q>(&self, queues: impl Iterator<Item = &'q QueueStatus> + Clone) -> Work {
        let sum = |count: fn(&QueueStatus) -> u64| queues.clone().map(count).sum::<u64>();
        let ratio = |of: u64, per: u64| if per == 0 { 0.0 } else { of as f64 / per as f64 };
        let received = sum(|queue| queue.received);
        let (bursts, busy_ns) = (sum(|queue| queue.bursts), sum(|queue| queue.busy_ns));
        Work {
            messages: self.each_second(received + sum(|queue| queue.handed_in)),
            transmitted: self.each_second(sum(|queue| queue.transmitted)),
            dropped: self.each_second(sum(QueueStatus::dropped_total)),
            bursts: self.each_second(bursts),
            per_burst: ratio(received, bursts),
            ns_per_message: ratio(busy_ns, received),
            busy: busy_ns as f64 / 1e9 / self.time.as_secs_f64(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Moment, Rates};
    use control_api::DropReason;
    use control_api::status::{QueueStatus, Status};
    use std::time::{Duration, Instant};

    #[test]
    fn rates_are_those_of_the_time_between() {
        let queue = |received: u64| {
            let mut dropped = vec![0; DropReason::COUNT];
            dropped[DropReason::Keepalive as usize] = received / 10;
            QueueStatus {
                lcore: 3,
                received,
                dropped,
                bursts: received / 4,
                busy_ns: received * 500,
                ..QueueStatus::default()
            }
        };
        let status = |received| Status { queues: vec![queue(received); 2], ..Status::default() };
        let start = Instant::now();
        let before = Moment { status: status(1_000), at: start };
        let after = Moment { status: status(5_000), at: start + Duration::from_secs(2) };
        let rates = Rates::between(&before, &after);
        let [(lcore, work)] = &rates.lcores()[..] else { panic!("one lcore") };
        assert_eq!(*lcore, 3);
        let seen = [work.messages, work.bursts, work.per_burst, work.ns_per_message, work.dropped];
        assert!(
            seen.iter()
                .zip([4_000.0, 1_000.0, 4.0, 500.0, 400.0])
                .all(|(a, b)| (a - b).abs() < 1e-6)
        );
        assert!((work.busy - 0.002).abs() < 1e-9);
        assert_eq!(rates.drops()[0].2, 1_000);
        assert_eq!(rates.queues().len(), 2);
    }
}
