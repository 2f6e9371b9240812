//! All that the transactions of one worker consist of, and what their events have in common.

use core::net::SocketAddr;

use super::buffers::{Buffers, Text};
use super::counts::TransactionCounts;
use super::foresee::Ahead;
use super::machines::{Timers, Transport};
use super::outbox::Outbox;
use super::place::{self, BranchId};
use super::record::{Branch, NONE, Server, ServerState, later, sooner};
use super::table::Table;
use super::time::Tick;
use super::wheel::Wheel;
use crate::limits::MORE_BRANCHES_PART;
use crate::message::Method;
use crate::rewrite::branch::Branch as BranchText;
use crate::rewrite::output::Output;
use crate::route::set::Set;
use crate::route::tables::Tables;
use crate::settings::{self, ListenId};

/// How much of everything there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionSizes {
    /// Requests that are served at one time; at most
    /// [`TRANSACTIONS_MAX`](crate::limits::TRANSACTIONS_MAX).
    pub transactions: u32,
    /// Blocks of 256 bytes for messages that may have to be sent again.
    pub buffers: u32,
}

impl TransactionSizes {
    /// Bytes of memory for all of it.
    pub fn memory(&self) -> usize {
        self.parts().iter().sum()
    }

    /// Bytes of memory for records, their indexes, the timer wheel, and message buffers.
    pub fn parts(&self) -> [usize; 4] {
        let [records, indexes] = Table::memory(self.transactions, self.more());
        [records, indexes, Wheel::memory(self.transactions), <Buffers>::memory(self.buffers)]
    }

    /// Branches beyond the first of each transaction.
    fn more(self) -> u32 {
        self.transactions.div_ceil(MORE_BRANCHES_PART)
    }
}

/// Where messages of our own leave.
pub trait Egress {
    /// The listen point that a request to `target` leaves from over `transport` which came in by `arrived_at`, on
    /// `prefer_port` if there is one; `None` when there is no way to it, which counts as an answer of 503 (RFC 3261 section 16.9).
    fn listen_towards(
        &mut self,
        target: SocketAddr,
        transport: settings::Transport,
        prefer_port: u16,
        arrived_at: ListenId,
    ) -> Option<ListenId>;

    /// Whether a request of the call with this hash is not to go to a member of a destination set because that wants
    /// fewer (RFC 7339 section 5.5).
    fn holds_back(&self, _member: SocketAddr, _call: u64) -> bool {
        false
    }
}

/// All transactions of one worker.
#[derive(Debug)]
pub struct Transactions {
    worker: u8,
    pub(super) boot: u64,
    pub(super) now: Tick,
    pub(super) table: Table,
    pub(super) buffers: Buffers,
    pub(super) wheel: Wheel,
    pub(super) outbox: Outbox,
    /// One message that is being read while others are written.
    pub(super) scratch: Output,
    /// One that is written meanwhile.
    pub(super) spare: Output,
    pub(super) counts: TransactionCounts,
    pub(super) ahead: Ahead,
    /// Transactions by [`ServerState`].
    pub(super) states: [u64; ServerState::Over as usize + 1],
}

/// What a change is made with.
pub(super) struct Around<'a, E> {
    pub(super) tables: &'a Tables,
    pub(super) egress: &'a mut E,
}

impl Transactions {
    /// Room for so many, all of it allocated now. `worker` is its number; `boot` a random number that
    /// all workers of a process share, so that a branch of an earlier process proves nothing.
    pub fn new(sizes: TransactionSizes, worker: u8, boot: u64) -> Self {
        let now = Tick::of_ms(0);
        Self {
            worker,
            boot,
            now,
            table: Table::new(sizes.transactions, sizes.more()),
            buffers: Buffers::new(sizes.buffers),
            wheel: Wheel::new(sizes.transactions, now),
            outbox: Outbox::new(),
            scratch: Output::new(),
            spare: Output::new(),
            counts: TransactionCounts::default(),
            ahead: Ahead::default(),
            states: [0; ServerState::Over as usize + 1],
        }
    }

    /// Says what time it is, in milliseconds.
    #[inline]
    pub fn set_time(&mut self, now_ms: u64) {
        self.now = Tick::of_ms(now_ms);
    }

    /// Whether there is a transaction.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.table.alive == 0
    }

    /// What waits to be sent.
    #[inline]
    pub fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    /// Whether something waits to be sent.
    #[inline]
    pub fn has_outgoing(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// A reading of all counts.
    pub fn counts(&self) -> TransactionCounts {
        let of = |state: ServerState| self.states[state as usize];
        TransactionCounts {
            alive: self.table.alive.into(),
            trying: of(ServerState::Trying),
            proceeding: of(ServerState::Proceeding),
            completed: of(ServerState::Completed),
            confirmed: of(ServerState::Confirmed),
            accepted: of(ServerState::Accepted),
            branches: self.table.more_alive.into(),
            buffers_used: self.buffers.used().into(),
            timer_lag_ms: self.wheel.lag(self.now).into(),
            outbox_full: self.counts.outbox_full + self.outbox.refused,
            ..self.counts
        }
    }

    /// How long a branch may stay silent: shortly, when there is somebody else to ask.
    pub(super) fn patience(
        &self,
        method: Method,
        has_others: bool,
        tables: &Tables,
    ) -> Option<Tick> {
        let settings = tables.transactions();
        if has_others && settings.failover_ms > 0 {
            return Some(self.now.plus(settings.failover_ms));
        }
        // Timer C (RFC 3261 section 16.6 step 11).
        (method == Method::Invite).then(|| self.now.plus(settings.timer_c_ms))
    }

    /// Has the server transaction take an event, and counts its state.
    #[inline]
    pub(super) fn serve<R: Default>(
        &mut self,
        slot: u32,
        event: impl FnOnce(&mut Server, ListenId) -> R,
    ) -> R {
        let Some(record) = self.table.get_mut(slot) else { return R::default() };
        let before = record.server.state();
        let result = event(&mut record.server, record.arrived_at);
        let after = record.server.state();
        if before != after {
            self.states[before as usize] -= 1;
            self.states[after as usize] += 1;
        }
        result
    }

    /// Sets the timer of a transaction to its next deadline; without one it is over.
    #[inline]
    pub(super) fn rearm(&mut self, slot: u32) {
        let Some(record) = self.table.get(slot) else { return };
        if record.rests() {
            // Nothing will be sent any more, so that nobody minds if all of it ends with its last part.
            let deadline = later(record.server.deadline(), record.first.client.deadline());
            return match deadline {
                Some(due) => self.wheel.settle(slot, due),
                None => self.end(slot),
            };
        }
        let mut deadline = sooner(record.server.deadline(), record.first.deadline());
        if record.more != NONE {
            for branch in self.table.branches(slot) {
                deadline = sooner(deadline, branch.deadline());
            }
        }
        match deadline {
            Some(due) => self.wheel.arm(slot, due),
            None => self.end(slot),
        }
    }

    #[cold]
    pub(super) fn end(&mut self, slot: u32) {
        self.free_requests(slot, |_| true);
        let Some(record) = self.table.get_mut(slot) else { return };
        for text in [&mut record.response, &mut record.best, &mut record.targets] {
            self.buffers.free(text);
        }
        self.states[record.server.state() as usize] -= 1;
        self.wheel.disarm(slot);
        self.table.remove(slot);
    }

    /// Frees the kept requests of those branches of a transaction for which `is_done` holds.
    pub(super) fn free_requests(&mut self, slot: u32, is_done: impl Fn(&Branch) -> bool) {
        let branches = self.table.get(slot).map_or(0, |found| found.branches);
        for number in 0..branches {
            if let Some(branch) = self.table.branch_mut(slot, number)
                && is_done(branch)
            {
                self.buffers.free(&mut branch.request);
            }
        }
    }

    /// Sends the response that was sent last.
    pub(super) fn send_response(&mut self, slot: u32) {
        let Some(record) = self.table.get(slot) else { return };
        let (buffers, text) = (&self.buffers, record.response);
        if !text.is_empty() {
            self.outbox.push(record.source, record.arrived_at, |out| buffers.copy_to(text, out));
        }
    }

    /// The branch text of a branch of ours.
    pub(super) fn branch_text(&self, id: BranchId, tables: &Tables) -> BranchText {
        let set = || self.table.get(id.slot).and_then(|found| tables.set(found.set));
        let asks = tables.asks_members() && set().is_some_and(Set::asks);
        place::branch_text(id, self.worker, self.boot, asks, tables)
    }

    /// The port that requests leave from, so that their responses come back to this worker; `None`: any.
    #[inline]
    pub fn via_port(&self, tables: &Tables) -> Option<u16> {
        tables.via_port(self.worker)
    }

    pub(super) fn is_worker(&self, worker: u8) -> bool {
        self.worker == worker
    }
}

/// The base values of the timers of a transaction whose messages come and go by a listen point.
#[inline]
pub(super) fn timers(tables: &Tables, listen: ListenId) -> Timers {
    let settings = tables.transactions();
    let is_connection = tables.transport_of(listen).is_connection();
    let transport = if is_connection { Transport::Reliable } else { Transport::Unreliable };
    Timers { t1: settings.t1_ms, t2: settings.t2_ms, t4: settings.t4_ms, transport }
}

/// Where a kept message lies while it is read.
pub(super) fn copy(buffers: &Buffers, text: Text, scratch: &mut Output) -> bool {
    scratch.clear();
    !text.is_empty() && buffers.copy_to(text, scratch).is_ok()
}
