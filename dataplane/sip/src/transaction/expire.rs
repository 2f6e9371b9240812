//! What happens when time goes by, and when the network says that nobody is there.

use smallvec::SmallVec;

use super::compose::is_new;
use super::layer::{Around, Egress, Transactions, timers};
use super::machines::Reaction;
use super::place::QuotedBranch;
use super::record::{Branch, Client};
use crate::Transport;
use crate::route::tables::Tables;

/// Timers that are taken from the wheel before the first of them is looked into.
const TICKS_AT_ONCE: usize = 16;

impl Transactions {
    /// Does what is due, in pieces: each timer and each step of the wheel costs one of `budget`. Gives
    /// whether something is left to do, after the outbox has been emptied.
    pub fn expire(&mut self, budget: u32, tables: &Tables, egress: &mut impl Egress) -> bool {
        let around = &mut Around { tables, egress };
        let mut left = budget;
        while left > 0 {
            if self.outbox.is_crowded() {
                return true;
            }
            // Some at once, so that their records come from memory side by side.
            let mut due = SmallVec::<[u32; TICKS_AT_ONCE]>::new();
            while due.len() < TICKS_AT_ONCE
                && let Some(slot) = self.wheel.next(self.now, &mut left)
            {
                self.table.touch(slot);
                due.push(slot);
            }
            if due.is_empty() {
                break;
            }
            for &slot in &due {
                self.table.touch_index(slot);
            }
            for slot in due {
                self.tick(slot, around);
            }
        }
        let lag = u64::from(self.wheel.lag(self.now));
        self.counts.timer_lag_max_ms = self.counts.timer_lag_max_ms.max(lag);
        left == 0
    }

    /// An ICMP error says that a request of ours did not arrive (RFC 3261 sections 16.9, 17.1.4, 18.4). What belongs to a
    /// dialog has nowhere else to go, and whoever is started again will soon be back: retransmissions go on then.
    #[cold]
    pub fn unreachable(&mut self, quoted: QuotedBranch, tables: &Tables, egress: &mut impl Egress) {
        let Some(id) = quoted.verified(tables, self.boot).filter(|id| self.table.holds(*id)) else {
            return;
        };
        let Some(branch) = self.table.branch(id.slot, id.number) else { return };
        let comes_again = tables.transport_of(branch.leave_from) == Transport::Udp;
        if comes_again && self.kept_request(id.slot).is_some_and(|(request, _)| !is_new(request)) {
            return;
        }
        let Some(branch) = self.table.branch_mut(id.slot, id.number) else { return };
        if !branch.client.is_silent() || !branch.client.unreachable() {
            return;
        }
        let around = &mut Around { tables, egress };
        if !self.ask_by_udp(id, around) {
            self.fail(id.slot, id.number, 503, around);
        }
        self.rearm(id.slot);
    }

    /// The timer of a transaction; it may be early, since it stays when a deadline moves back.
    fn tick<E: Egress>(&mut self, slot: u32, around: &mut Around<'_, E>) {
        let Some(record) = self.table.get(slot) else { return };
        let now = self.now;
        let branches = record.branches;
        if record.server.deadline().is_some_and(|due| due.has_come(now)) {
            self.tick_server(slot, around.tables);
        }
        for number in 0..branches {
            let branch = self.table.branch(slot, number);
            let deadline = branch.and_then(Branch::deadline);
            if deadline.is_some_and(|due| due.has_come(now)) {
                self.tick_branch(slot, number, around);
            }
        }
        self.rearm(slot);
    }

    fn tick_server(&mut self, slot: u32, tables: &Tables) {
        let now = self.now;
        let reaction =
            self.serve(slot, |server, listen| server.expire(now, &timers(tables, listen)));
        if reaction.resend {
            self.send_response(slot);
            self.counts.retransmitted += 1;
        }
        self.counts.timed_out += u64::from(reaction.timed_out);
    }

    fn tick_branch<E: Egress>(&mut self, slot: u32, number: u8, around: &mut Around<'_, E>) {
        let now = self.now;
        let Some(branch) = self.table.branch_mut(slot, number) else { return };
        let timers = timers(around.tables, branch.leave_from);
        let cancel = match &mut branch.cancel {
            Some(cancel) if cancel.deadline().is_some_and(|due| due.has_come(now)) => {
                cancel.expire(now, &timers)
            }
            _ => Reaction::default(),
        };
        let reaction = match branch.client.deadline() {
            Some(due) if due.has_come(now) => branch.client.expire(now, &timers),
            _ => Reaction::default(),
        };
        let is_at_limit = branch.limit.is_some_and(|limit| limit.has_come(now));
        if is_at_limit {
            branch.limit = None;
        }
        if cancel.resend {
            self.send_cancel(slot, number);
            self.counts.retransmitted += 1;
        }
        // Once the client has its answer nobody else needs to hear of the request; but an INVITE may ring
        // there already, and only when something has come back can it be cancelled (RFC 3261 section 9.1).
        let is_needed = self
            .table
            .get(slot)
            .is_some_and(|found| found.is_invite() || !found.progress.is_answered);
        if reaction.resend && is_needed {
            self.send_request(slot, number);
            self.counts.retransmitted += 1;
        }
        if reaction.timed_out {
            self.counts.timed_out += 1;
            self.fail(slot, number, 408, around);
        } else if is_at_limit {
            self.lose_patience(slot, number, around);
        }
    }

    /// Sends the request of a branch again.
    fn send_request(&mut self, slot: u32, number: u8) {
        let Some(branch) = self.table.branch(slot, number) else { return };
        let (buffers, text) = (&self.buffers, branch.request);
        if !text.is_empty() {
            self.outbox.push(branch.target, branch.leave_from, |out| buffers.copy_to(text, out));
        }
    }

    /// The limit of a branch has come: it was silent, it rang too long, or our CANCEL had no effect.
    fn lose_patience<E: Egress>(&mut self, slot: u32, number: u8, around: &mut Around<'_, E>) {
        let is_wanted = self.table.get(slot).is_some_and(|found| found.progress.wants_others());
        let Some(branch) = self.table.branch_mut(slot, number) else { return };
        if branch.client.is_silent() {
            if !is_wanted {
                return;
            }
            // It goes on being asked, while another one is; whoever says something first is it.
            branch.is_given_up = true;
            let entry = branch.entry;
            if !self.fail_over(slot, around)
                && !self.ask_flow(slot, entry, around)
                && let Some(branch) = self.table.branch_mut(slot, number)
            {
                branch.is_given_up = false;
            }
        } else if branch.cancel.is_some() {
            branch.client = Client::Over;
            self.counts.timed_out += 1;
            self.fail(slot, number, 408, around);
        } else if branch.is_proceeding() {
            // Timer C (RFC 3261 section 16.8).
            self.cancel_branch(slot, number, around);
        }
    }
}
