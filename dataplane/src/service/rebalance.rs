//! Live rebalance: entries of a port's table that move while packets flow, where the configuration asks for it.
//!
//! ```text
//!  even ──► uneven ── for so many seconds ──► few entries are chosen ── their queues ran empty ──► written, read back
//!    ▲                                                                                                    │
//!    └────────────────────────────────── and it is looked at anew ◄───────────────────────────────────────┘
//! ```
//!
//! What may go wrong when a flow changes its queue, and what is done about it:
//!
//! - *Loss.* None: the old queue is polled as before, and what is in it takes its way.
//! - *Order.* A message that waits in the old queue could leave after a later one of its flow that came to the new queue. So
//!   entries move right after the old queue was seen to be empty. Then at most the burst in hand is overtaken, by a message
//!   that was on the wire behind it. A queue that does not run empty within a second is one that loses messages; its entries
//!   move all the same.
//! - *State.* Retransmissions, CANCEL and ACK of a request must reach the worker that has its transaction. So nothing moves while
//!   the configuration has transactions, or some are left.

use super::Service;
use super::rss::RssEntry;
use crate::limits::{REBALANCE_EMPTY_MAX, REBALANCE_PAUSE, REBALANCE_STRAYED_MAX};
use control_api::FlowRate;
use control_api::status::{EntryMove, RebalanceRound, RebalanceStatus};
use core::time::Duration;
use nic_config::rss::apply::{Change, InPort, RssPort, apply};
use nic_config::rss::planner::Flow;
use nic_config::rss::rebalance::{Load, Move, Rebalance, moves};
use nic_config::rss::{Reta, Tuple};
use tokio::time::{Instant, sleep};

/// The rebalance of one port.
#[derive(Debug)]
pub(super) struct Rebalancer {
    asked: Rebalance,
    /// Since when its queues have been uneven.
    since_ns: Option<u64>,
    /// An operator took its moves back.
    is_held: bool,
    status: RebalanceStatus,
    last_ns: u64,
}

/// What is known when a port is looked at.
pub(super) struct Sight<'s> {
    /// What comes to it.
    pub(super) flows: &'s [FlowRate],
    /// What its driver shows.
    pub(super) shown: Result<&'s InPort, String>,
    /// Its queues.
    pub(super) queues: u16,
    /// Whether there are transactions.
    pub(super) has_transactions: bool,
    /// The time.
    pub(super) now_ns: u64,
}

impl Rebalancer {
    pub(super) fn new(port: &str, asked: Rebalance) -> Self {
        let status = RebalanceStatus {
            port: port.to_owned(),
            state: "even".to_owned(),
            max_over_mean: 1.0,
            ..RebalanceStatus::default()
        };
        Self { asked, since_ns: None, is_held: false, status, last_ns: 0 }
    }

    /// How it stands.
    pub(super) fn status(&self, now_ns: u64) -> RebalanceStatus {
        let mut status = self.status.clone();
        status.uneven_seconds = self.since_ns.map_or(0, |since| lasted(since, now_ns).as_secs());
        if let Some(last) = &mut status.last {
            last.seconds_ago = lasted(self.last_ns, now_ns).as_secs();
        }
        status
    }

    /// An operator has changed the table: what lasts must last anew. What was undone stays undone until the next plan.
    pub(super) fn interrupt(&mut self, is_held: bool) {
        (self.is_held, self.since_ns) = (is_held, None);
    }

    /// Looks at the port. Gives the entries that are to move, if any.
    pub(super) fn look(&mut self, sight: &Sight<'_>) -> Vec<Move> {
        let (state, moves) = self.judge(sight).unwrap_or_else(|blind| {
            self.since_ns = None;
            (format!("blind: {blind}"), Vec::new())
        });
        self.status.state = state;
        moves
    }

    fn judge(&mut self, sight: &Sight<'_>) -> Result<(String, Vec<Move>), String> {
        let shown = sight.shown.clone()?;
        let flows: Vec<_> = sight.flows.iter().filter_map(flow).collect();
        let load = Load::of(&flows, shown, sight.queues).map_err(|error| error.to_string())?;
        let (asked, max_over_mean) = (self.asked, load.max_over_mean());
        self.status.max_over_mean = max_over_mean;
        if load.total() < f64::from(asked.messages) {
            self.since_ns = None;
            return Ok((format!("quiet: fewer than {} messages/s", asked.messages), vec![]));
        }
        if load.strayed > REBALANCE_STRAYED_MAX {
            let percent = 100.0 * load.strayed;
            return Err(format!(
                "{percent:.0} % of its messages come to other queues than reckoned"
            ));
        }
        if max_over_mean <= asked.above() {
            self.since_ns = None;
            return Ok(("even".to_owned(), vec![]));
        }
        let since = *self.since_ns.get_or_insert(sight.now_ns);
        if lasted(since, sight.now_ns) < Duration::from_secs(asked.for_seconds.into()) {
            return Ok(("uneven".to_owned(), vec![]));
        }
        if self.is_held {
            return Ok(("held: its moves were undone; rss apply lets it go on".to_owned(), vec![]));
        }
        if sight.has_transactions {
            let why =
                "held: there are transactions, whose CANCEL and ACK must come to their workers";
            return Ok((why.to_owned(), vec![]));
        }
        let moves = moves(&load, shown.reta.entries(), &asked);
        let state = if moves.is_empty() {
            "stuck: no entry would help; the fullest queue has an elephant (rss watch names it)"
        } else {
            "uneven"
        };
        Ok((state.to_owned(), moves))
    }

    /// Moves entries of the port, as far as they are where they were when they were chosen.
    fn carry_out(
        &mut self,
        port: &mut dyn RssPort,
        moves: &[Move],
        ran_empty: bool,
        now_ns: u64,
    ) -> Result<InPort, String> {
        let (before, seconds) = (self.status.max_over_mean, self.since_ns.take());
        let seconds = seconds.map_or(0, |since| lasted(since, now_ns).as_secs());
        let applied = write(port, moves).inspect_err(|error| {
            self.status.failures += 1;
            self.status.state = format!("failed: {error}");
            tracing::error!(port = self.status.port, "RSS entries were not moved: {error}");
        })?;
        let queue = if ran_empty { "ran empty just before" } else { "did not run empty" };
        let reason = format!(
            "the fullest queue had {before:.2} of the mean load for {seconds} s; it {queue}"
        );
        for Move { entry, from, to, load } in moves {
            let (port, messages) = (&self.status.port, load.round());
            tracing::info!(port, entry, from, to, messages, "RSS entry moved: {reason}");
        }
        self.status.rounds += 1;
        self.status.entries += moves.len() as u64;
        "moved".clone_into(&mut self.status.state);
        self.last_ns = now_ns;
        let moves = moves.iter().map(|moved| EntryMove {
            entry: u16::try_from(moved.entry).unwrap_or(u16::MAX),
            from: moved.from,
            to: moved.to,
        });
        self.status.last = Some(RebalanceRound { seconds_ago: 0, reason, moves: moves.collect() });
        Ok(applied)
    }
}

/// Writes the moves, and gives what was there before.
fn write(port: &mut dyn RssPort, moves: &[Move]) -> Result<InPort, String> {
    let shown = port.read().map_err(|error| error.to_string())?;
    let mut entries = shown.reta.entries().to_vec();
    for Move { entry, from, to, .. } in moves {
        match entries.get_mut(*entry) {
            Some(queue) if queue == from => *queue = *to,
            _ => return Err("somebody else has changed the table meanwhile".to_owned()),
        }
    }
    let reta = Some(Reta::new(entries).map_err(|error| error.to_string())?);
    let change = Change { reta, ..Change::default() };
    apply(port, &change).map(|applied| applied.before).map_err(|error| error.to_string())
}

fn flow(rate: &FlowRate) -> Option<(Flow, u16)> {
    let tuple = Tuple::new(rate.source, rate.destination).ok()?;
    Some((Flow { tuple, weight: rate.messages }, rate.queue))
}

fn lasted(since_ns: u64, now_ns: u64) -> Duration {
    Duration::from_nanos(now_ns.saturating_sub(since_ns))
}

impl RssEntry {
    /// Looks at the port, where that is asked for.
    fn look(&mut self, flows: &[FlowRate], has_transactions: bool, now_ns: u64) -> Vec<Move> {
        let shown = self.device.open(self.queues).and_then(|port| port.read());
        let shown = shown.map_err(|error| format!("{}: {error}", self.device.driver()));
        let Some(rebalancer) = &mut self.rebalancer else { return Vec::new() };
        let shown = shown.as_ref().map_err(Clone::clone);
        rebalancer.look(&Sight { flows, shown, queues: self.queues, has_transactions, now_ns })
    }

    /// Moves entries. What was there before its moves can be had back by one `undo`, however often entries moved since.
    fn move_entries(&mut self, moves: &[Move], ran_empty: bool, now_ns: u64) {
        let Some(rebalancer) = &mut self.rebalancer else { return };
        // What went wrong stands in its status.
        let Ok(mut port) = self.device.open(self.queues) else { return };
        if let Ok(before) = rebalancer.carry_out(&mut *port, moves, ran_empty, now_ns)
            && !self.undoes_moves
        {
            self.undoes_moves = true;
            self.remember(before);
        }
    }
}

impl Service {
    /// Looks after all ports that are to be kept even, for ever.
    pub async fn rebalance(&self) -> ! {
        loop {
            sleep(REBALANCE_PAUSE).await;
            let ports = self.rss_ports().len();
            for index in 0..ports {
                let moves = self.look_at(index);
                if moves.is_empty() {
                    continue;
                }
                let ran_empty = self.run_empty(&moves).await;
                let now_ns = self.now_ns();
                self.rss_ports()[index].move_entries(&moves, ran_empty, now_ns);
            }
        }
    }

    /// The entries of a port that are to move.
    fn look_at(&self, index: usize) -> Vec<Move> {
        let now_ns = self.now_ns();
        let mut ports = self.rss_ports();
        let Some(port) = ports.get_mut(index).filter(|port| port.rebalancer.is_some()) else {
            return Vec::new();
        };
        let flows = self.flows().rates(u8::try_from(index).unwrap_or(u8::MAX), now_ns);
        port.look(&flows, self.has_transactions(), now_ns)
    }

    /// Waits until the queues that entries leave have run empty, one after the other. Gives whether they did.
    async fn run_empty(&self, moves: &[Move]) -> bool {
        let deadline = Instant::now() + REBALANCE_EMPTY_MAX;
        loop {
            if moves.iter().all(|moved| self.is_empty(moved.from)) {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// How the ports stand that are to be kept even.
    pub(super) fn rebalances(&self) -> Vec<RebalanceStatus> {
        let now_ns = self.now_ns();
        let ports = self.rss_ports();
        ports.iter().filter_map(|port| Some(port.rebalancer.as_ref()?.status(now_ns))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nic_config::rss::apply::{Part, WriteError};
    use nic_config::rss::{Fields, Function, RssKey, Spread};
    use std::io;

    const SECOND: u64 = 1_000_000_000;

    /// A port in memory.
    struct Port {
        state: InPort,
        refuses: bool,
    }

    impl RssPort for Port {
        fn queues(&self) -> u16 {
            2
        }

        fn read(&self) -> io::Result<InPort> {
            Ok(self.state.clone())
        }

        fn write(&mut self, _: &InPort, wanted: &InPort) -> Result<(), WriteError> {
            if self.refuses {
                let error = io::Error::from_raw_os_error(22);
                return Err(WriteError { part: Part::Reta, error });
            }
            self.state = wanted.clone();
            Ok(())
        }
    }

    /// A port of two queues, and 64 peers of which those of queue 0 send nine times as much.
    fn uneven() -> (Port, Vec<FlowRate>) {
        let state = InPort {
            key: Some(RssKey::microsoft(40).unwrap()),
            reta: Reta::in_turn(128, 2).unwrap(),
            fields: Some(Fields::default()),
        };
        let flows = (0..64).map(|peer| {
            let mut flow = FlowRate {
                source: ([192, 0, 2, peer], 5060).into(),
                destination: ([198, 51, 100, 1], 5060).into(),
                queue: 0,
                messages: 0.0,
                bytes: 0.0,
            };
            flow.queue = queue_of(&state, &flow);
            flow.messages = if flow.queue == 0 { 900.0 } else { 100.0 };
            flow
        });
        let flows = flows.collect();
        (Port { state, refuses: false }, flows)
    }

    fn queue_of(state: &InPort, flow: &FlowRate) -> u16 {
        let (key, fields) = (state.key.as_ref().unwrap(), Fields::default());
        let spread = Spread::new(Function::Toeplitz, fields, key, state.reta.clone());
        spread.queue(&Tuple::new(flow.source, flow.destination).unwrap()).queue
    }

    fn rebalancer(entries: u16) -> Rebalancer {
        Rebalancer::new("core", Rebalance { for_seconds: 10, entries, ..Rebalance::default() })
    }

    fn sight<'s>(port: &'s Port, flows: &'s [FlowRate], second: u64) -> Sight<'s> {
        let shown = Ok(&port.state);
        Sight { flows, shown, queues: 2, has_transactions: false, now_ns: second * SECOND }
    }

    #[test]
    fn what_is_uneven_for_long_is_made_even_in_steps() {
        let (mut port, mut flows) = uneven();
        let mut rebalancer = rebalancer(4);
        let (mut second, mut moved, mut before) = (0, Vec::new(), f64::INFINITY);
        while second < 300 {
            second += 1;
            let moves = rebalancer.look(&sight(&port, &flows, second));
            if moves.is_empty() {
                continue;
            }
            moved.push(second);
            let uneven = rebalancer.status(second * SECOND).max_over_mean;
            assert!(uneven < before && moves.len() <= 4, "{uneven}");
            before = uneven;
            rebalancer.carry_out(&mut port, &moves, true, second * SECOND).unwrap();
            for flow in &mut flows {
                flow.queue = queue_of(&port.state, flow);
            }
        }
        let steps: Vec<_> = moved.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(moved[0], 11, "after ten seconds");
        assert!(moved.len() > 1 && steps.iter().all(|step| *step == 11), "{moved:?}");
        let status = rebalancer.status(300 * SECOND);
        assert_eq!((status.state.as_str(), status.rounds), ("even", moved.len() as u64));
        assert!(status.max_over_mean <= 1.25 && status.entries > 0 && status.failures == 0);
        let last = status.last.unwrap();
        assert!(last.reason.contains("for 10 s; it ran empty just before"), "{}", last.reason);
        assert_eq!(last.seconds_ago, 300 - moved[moved.len() - 1]);
        assert!(last.moves.iter().all(|moved| (moved.from, moved.to) == (0, 1)));
    }

    #[test]
    fn what_does_not_last_is_quiet_held_or_not_understood_moves_nothing() {
        let (port, flows) = uneven();
        let mut rebalancer = rebalancer(4);
        let few: Vec<_> =
            flows.iter().map(|flow| FlowRate { messages: flow.messages / 1e3, ..*flow }).collect();
        for second in 1..60 {
            let flows = if second % 9 == 0 { &few } else { &flows };
            assert_eq!(rebalancer.look(&sight(&port, flows, second)), []);
        }
        let mut state = |sight: Sight<'_>| {
            let mut last = String::new();
            for more in 0..20 {
                let now_ns = sight.now_ns + more * SECOND;
                let shown = sight.shown.clone();
                assert_eq!(rebalancer.look(&Sight { shown, now_ns, ..sight }), []);
                last.clone_from(&rebalancer.status.state);
            }
            last
        };
        assert!(state(sight(&port, &few, 100)).starts_with("quiet: "));
        let stateful = Sight { has_transactions: true, ..sight(&port, &flows, 200) };
        assert!(state(stateful).starts_with("held: there are transactions"));
        let strayed: Vec<_> =
            flows.iter().map(|flow| FlowRate { queue: 1 - flow.queue, ..*flow }).collect();
        assert!(state(sight(&port, &strayed, 300)).starts_with("blind: 100 % of its messages"));
        let silent = Sight { shown: Err("no RSS".into()), ..sight(&port, &flows, 400) };
        assert_eq!(state(silent), "blind: no RSS");
        let elephant = [FlowRate { messages: 5_000.0, ..flows[0] }];
        assert!(state(sight(&port, &elephant, 500)).starts_with("stuck: "));
        rebalancer.interrupt(true);
        for second in 600..620 {
            assert_eq!(rebalancer.look(&sight(&port, &flows, second)), []);
        }
        assert!(rebalancer.status.state.starts_with("held: its moves were undone"));
        rebalancer.interrupt(false);
        assert_eq!(rebalancer.look(&sight(&port, &flows, 620)), []);
        assert!(!rebalancer.look(&sight(&port, &flows, 630)).is_empty());
    }

    #[test]
    fn a_refusal_is_counted_and_a_table_that_changed_meanwhile_left_alone() {
        let (mut port, flows) = uneven();
        let mut rebalancer = rebalancer(4);
        rebalancer.look(&sight(&port, &flows, 1));
        let moves = rebalancer.look(&sight(&port, &flows, 11));
        let before = port.state.clone();
        port.refuses = true;
        rebalancer.carry_out(&mut port, &moves, true, 11 * SECOND).unwrap_err();
        assert!(rebalancer.status.state.contains("refused the table"));
        port.refuses = false;
        port.state.reta = Reta::new(vec![1; 128]).unwrap();
        let error = rebalancer.carry_out(&mut port, &moves, true, 12 * SECOND).unwrap_err();
        assert!(error.contains("somebody else"), "{error}");
        assert_eq!(port.state.reta.entries(), [1; 128]);
        let status = rebalancer.status(12 * SECOND);
        assert_eq!((status.failures, status.rounds, status.entries), (2, 0, 0));
        port.state = before;
        let again = rebalancer.look(&sight(&port, &flows, 13));
        assert_eq!(again, [], "it must last anew");
    }
}
