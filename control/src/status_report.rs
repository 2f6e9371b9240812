//! The counters of the data plane, for people and as JSON.

mod counters;
mod location;
mod overload;
mod ports;
mod workers;

pub use counters::Counters;

use control_api::DropReason;
use control_api::status::{
    KernelStatus, PortStatus, QueueStatus, RebalanceStatus, SpillStatus, Status, StoreStatus,
    WorkerStatus,
};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::{self, Write};

/// Counters with their sums, ready to be shown.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StatusReport {
    /// Process id of the data plane.
    pub pid: u32,
    /// Epoch that every worker runs on.
    pub epoch: u64,
    /// Whether the appliance is about to go (`trunkline leave`).
    pub is_leaving: bool,
    /// Whether DPDK's memory comes from hugepages.
    pub hugepages: bool,
    /// Mbufs in use now.
    pub mbufs_in_use: u32,
    /// Mbufs in the mempool.
    pub mbufs_total: u32,
    /// All queues together.
    pub total: Counters,
    /// Each queue pair.
    pub queues: Vec<Queue>,
    /// Drops by reason; reasons that never happened are left out.
    pub drops: BTreeMap<&'static str, u64>,
    /// Whether every packet received was forwarded, answered, absorbed by a transaction, handed to
    /// another worker, dropped or is parked.
    pub conserved: bool,
    /// Kernel sockets and what ICMP said, since the data plane started.
    pub kernel: KernelStatus,
    /// Each worker's transactions, bindings and hand-offs.
    pub workers: Vec<WorkerStatus>,
    /// Which workers have spilled stateless work to which siblings.
    pub spills: Vec<SpillStatus>,
    /// The ports whose queues are kept even while they run.
    pub rebalances: Vec<RebalanceStatus>,
    /// The way of bindings to the store.
    pub store: StoreStatus,
    /// Sources that are banned now.
    pub banned_sources: u32,
    /// What each port is, and what its driver granted.
    pub ports: Vec<PortStatus>,
}

/// One queue pair.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Queue {
    /// Name of the port.
    pub port: String,
    /// Index of the queue pair on the port.
    pub queue: u16,
    /// The lcore that polls it.
    pub lcore: u16,
    /// Its counters.
    #[serde(flatten)]
    pub counters: Counters,
}

impl StatusReport {
    /// The report of a snapshot.
    pub fn new(status: &Status) -> Self {
        let queue = |q: &QueueStatus| Queue {
            port: q.port.clone(),
            queue: q.queue,
            lcore: q.lcore,
            counters: Counters::of(q),
        };
        let mut queues: Vec<Queue> = status.queues.iter().map(queue).collect();
        // Port by port, in the order in which the data plane names them.
        let place = |port: &str| status.queues.iter().position(|q| q.port == port);
        queues.sort_by_key(|q| (place(&q.port), q.queue));
        let drops = |reason: &DropReason| {
            let count: u64 = status.queues.iter().map(|q| q.dropped_for(*reason)).sum();
            (count > 0).then(|| (reason.name(), count))
        };
        Self {
            pid: status.pid,
            epoch: status.epoch,
            is_leaving: status.is_leaving,
            hugepages: status.hugepages,
            mbufs_in_use: status.mbufs_in_use,
            mbufs_total: status.mbufs_total,
            total: queues.iter().map(|q| q.counters).fold(Counters::default(), Counters::plus),
            drops: DropReason::ALL.iter().filter_map(drops).collect(),
            conserved: status.queues.iter().all(|q| q.unaccounted() == 0),
            kernel: status.kernel,
            workers: status.workers.clone(),
            spills: status.spills.clone(),
            rebalances: status.rebalances.clone(),
            store: status.store.clone(),
            banned_sources: status.banned_sources,
            ports: status.ports.clone(),
            queues,
        }
    }

    /// One line per queue under a heading, and their sum when there are several.
    pub fn queue_table(&self) -> String {
        let mut table = format!(
            "{:<12} {:>5} {:>5} {:>14} {:>14} {:>10} {:>12} {:>12} {:>10} {:>8} {:>10}\n",
            "port",
            "queue",
            "lcore",
            "received",
            "forwarded",
            "replied",
            "absorbed",
            "originated",
            "dropped",
            "parked",
            "ns/message"
        );
        let mut line = |port: &str, queue: &str, lcore: &str, c: &Counters| {
            let _ = writeln!(
                table,
                "{port:<12} {queue:>5} {lcore:>5} {:>14} {:>14} {:>10} {:>12} {:>12} {:>10} {:>8} {:>10.0}",
                grouped(c.received),
                grouped(c.forwarded),
                grouped(c.replied),
                grouped(c.absorbed),
                grouped(c.originated),
                grouped(c.dropped),
                grouped(c.parked),
                c.busy_ns_per_message,
            );
        };
        for queue in &self.queues {
            let (number, lcore) = (queue.queue.to_string(), queue.lcore.to_string());
            line(&queue.port, &number, &lcore, &queue.counters);
        }
        if self.queues.len() > 1 {
            line("all", "", "", &self.total);
        }
        table
    }

    /// Drops by reason, each with the sentence that explains it.
    pub fn drop_list(&self) -> String {
        if self.drops.is_empty() {
            return "none: every packet was forwarded or answered\n".into();
        }
        let mut list = String::new();
        for reason in DropReason::ALL {
            if let Some(count) = self.drops.get(reason.name()) {
                let (name, help) = (reason.name(), reason.help());
                let _ = writeln!(list, "{:>10}  {name}: {help}", grouped(*count));
            }
        }
        list
    }

    /// What went through the kernel's sockets, and what ICMP said.
    pub fn kernel_line(&self) -> String {
        let kernel = &self.kernel;
        format!(
            "{} socket(s), {} received, {} sent, {} refused; ICMP: {} unreachable, {} too big, \
             {} ignored; {} path MTU(s)",
            kernel.sockets,
            grouped(kernel.received),
            grouped(kernel.sent),
            grouped(kernel.send_failed),
            grouped(kernel.unreachable),
            grouped(kernel.too_big),
            grouped(kernel.ignored),
            kernel.path_mtus
        )
    }

    /// The law of conservation with its numbers, and by how much it is broken if it is.
    pub fn conservation_line(&self) -> String {
        let total = &self.total;
        let sum = |parts: &[(u64, &str)]| {
            let there = parts.iter().filter(|(count, _)| *count > 0);
            there.fold(String::new(), |mut text, (count, what)| {
                let _ = write!(text, " + {} {what}", grouped(*count));
                text
            })
        };
        let mut line = format!(
            "{} in{} = {} forwarded + {} replied + {} dropped{}",
            grouped(total.received),
            sum(&[
                (total.handed_in, "handed in"),
                (total.originated_dropped, "of our own dropped"),
            ]),
            grouped(total.forwarded),
            grouped(total.replied),
            grouped(total.dropped),
            sum(&[
                (total.absorbed, "absorbed"),
                (total.handed_off, "handed off"),
                (total.parked, "parked"),
            ]),
        );
        if !self.conserved {
            let began = total.received + total.handed_in + total.originated_dropped;
            let ended = total.forwarded
                + total.replied
                + total.dropped
                + total.absorbed
                + total.handed_off
                + total.parked;
            let _ = write!(line, ": BROKEN by {}", i128::from(began) - i128::from(ended));
        }
        line
    }
}

impl fmt::Display for StatusReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let epoch = match self.epoch {
            0 => String::from("none yet: control has not published one"),
            number => number.to_string(),
        };
        let memory = if self.hugepages { "hugepages" } else { "ordinary pages" };
        let leaving =
            if self.is_leaving { ", about to go: OPTIONS are answered with 503" } else { "" };
        writeln!(f, "data plane   pid {}, epoch {epoch}{leaving}", self.pid)?;
        writeln!(
            f,
            "mbufs        {} of {} in use, on {memory}",
            grouped(self.mbufs_in_use.into()),
            grouped(self.mbufs_total.into())
        )?;
        writeln!(f, "kernel       {}", self.kernel_line())?;
        let ports = ports::table(&self.ports);
        if !ports.is_empty() {
            writeln!(f, "\n{}", ports.trim_end())?;
        }
        writeln!(f, "\n{}", self.queue_table())?;
        let transactions = workers::transaction_tables(&self.workers);
        if !transactions.is_empty() {
            writeln!(f, "{transactions}")?;
        }
        let rebalances = ports::rebalance_table(&self.rebalances);
        if !rebalances.is_empty() {
            writeln!(f, "{rebalances}")?;
        }
        let spills = workers::spill_table(&self.spills);
        if !spills.is_empty() {
            writeln!(f, "{spills}")?;
        }
        let location = location::location_tables(&self.workers, &self.store);
        if !location.is_empty() {
            writeln!(f, "{location}")?;
        }
        let overload = overload::overload_table(&self.workers, self.banned_sources);
        if !overload.is_empty() {
            writeln!(f, "{overload}")?;
        }
        write!(f, "drops\n{}", indented(&self.drop_list()))?;
        write!(f, "\nconserved    {}", self.conservation_line())
    }
}

/// One number for each of another; 0 when there is none of that.
#[expect(clippy::cast_precision_loss, reason = "a rounded ratio for people")]
fn ratio(of: u64, per: u64) -> f64 {
    if per == 0 { 0.0 } else { of as f64 / per as f64 }
}

/// A number with commas between thousands: `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Each line moved two columns to the right.
pub(crate) fn indented(text: &str) -> String {
    text.lines().fold(String::new(), |mut all, line| {
        let _ = writeln!(all, "  {line}");
        all
    })
}

/// What happened between two snapshots: `after` less `before`, queue by queue. When the data plane
/// was started in between, its counters began at 0 again and `after` stands alone.
pub fn difference(before: &Status, after: &Status) -> Status {
    let mut difference = after.clone();
    if before.pid != after.pid {
        return difference;
    }
    for queue in &mut difference.queues {
        let same = |b: &&QueueStatus| b.port == queue.port && b.queue == queue.queue;
        let Some(old) = before.queues.iter().find(same) else { continue };
        queue.received -= old.received;
        queue.handed_in -= old.handed_in;
        queue.forwarded -= old.forwarded;
        queue.replied -= old.replied;
        queue.absorbed -= old.absorbed;
        queue.handed_off -= old.handed_off;
        queue.originated -= old.originated;
        queue.originated_dropped -= old.originated_dropped;
        queue.transmitted -= old.transmitted;
        queue.received_bytes -= old.received_bytes;
        queue.transmitted_bytes -= old.transmitted_bytes;
        queue.bursts -= old.bursts;
        queue.busy_ns -= old.busy_ns;
        for (now, then) in queue.dropped.iter_mut().zip(&old.dropped) {
            *now -= then;
        }
    }
    for worker in &mut difference.workers {
        if let Some(old) = before.workers.iter().find(|old| old.lcore == worker.lcore) {
            workers::subtract(worker, old);
        }
    }
    for spill in &mut difference.spills {
        let same = |old: &&SpillStatus| (old.from, old.to) == (spill.from, spill.to);
        spill.messages -= before.spills.iter().find(same).map_or(0, |old| old.messages);
    }
    difference
}

#[cfg(test)]
mod tests {
    use super::{StatusReport, difference, grouped};
    use control_api::DropReason;
    use control_api::status::{QueueStatus, Status};

    fn status(received: u64, forwarded: u64, keepalives: u64) -> Status {
        let mut dropped = vec![0; DropReason::COUNT];
        dropped[DropReason::Keepalive as usize] = keepalives;
        let queue = QueueStatus {
            port: "uac0".into(),
            received,
            forwarded,
            dropped,
            busy_ns: received * 500,
            ..QueueStatus::default()
        };
        Status { pid: 1, epoch: 3, queues: vec![queue], ..Status::default() }
    }

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345_678, "12,345,678")]
        {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn a_report_explains_drops_and_conservation() {
        let report = StatusReport::new(&status(10, 8, 2));
        assert!(report.conserved);
        assert_eq!(report.conservation_line(), "10 in = 8 forwarded + 0 replied + 2 dropped");
        assert!(report.drop_list().contains(DropReason::Keepalive.help()));
        assert!((report.total.busy_ns_per_message - 500.0).abs() < 1e-9);
        let mut stateful = status(10, 5, 2);
        stateful.queues[0].absorbed = 3;
        let line = StatusReport::new(&stateful).conservation_line();
        assert_eq!(line, "10 in = 5 forwarded + 0 replied + 2 dropped + 3 absorbed");
        let broken = StatusReport::new(&status(10, 7, 2));
        assert!(!broken.conserved);
        assert!(broken.conservation_line().ends_with("BROKEN by 1"));
    }

    #[test]
    fn a_difference_forgets_what_was_before() {
        let report = StatusReport::new(&difference(&status(10, 8, 2), &status(15, 13, 2)));
        assert_eq!(
            (report.total.received, report.total.forwarded, report.total.dropped),
            (5, 5, 0)
        );
        assert!(report.drop_list().starts_with("none"));
        let restarted = Status { pid: 2, ..status(4, 4, 0) };
        assert_eq!(difference(&status(10, 8, 2), &restarted), restarted);
    }
}
