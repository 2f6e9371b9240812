//! What must hold.

use super::call::{Call, Client, Final, LegState};
use super::network::in_1000;
use super::plan::Kind;
use super::script::Script;
use super::world::{Event, QUIET_MS, World};

/// So long a call may last without a final response: each of four callees may ring until timer C.
const LONGEST_MS: u64 = 1_100_000;

/// So long a callee may ring of whom the caller knows nothing.
const GHOST_MS: u64 = 300_000;

/// A callee that has answered an OPTIONS with 200 within this time has done so before the caller gives up.
const IN_TIME_MS: u64 = 20_000;

impl World {
    /// Looks at a call, if nothing happens to it any more, and forgets it.
    pub(crate) fn check_call(&mut self, number: u32) {
        let now_ms = self.now_ms();
        let Some(call) = self.calls.get(&number) else { return };
        let quiet_ms = now_ms - call.touched_ms;
        let is_settled = call.clients.iter().all(|client| {
            !client.finals.is_empty() || client.method != "INVITE" || call.kind == Kind::Stateless
        });
        // What came in again after it was refused goes on without its caller.
        let has_ghost = call.clients.iter().any(|client| client.finals.iter().any(is_full));
        let is_settled = is_settled && (!has_ghost || now_ms - call.started_ms > GHOST_MS);
        if quiet_ms < QUIET_MS || !is_settled && now_ms - call.started_ms < LONGEST_MS {
            let after_ms = QUIET_MS.saturating_sub(quiet_ms).max(1_000);
            return self.plan(after_ms, Event::Check(number));
        }
        if let Err(what) = check(call) {
            self.fail(number, what);
        }
        self.calls.remove(&number);
    }

    /// The counts of the transaction layer agree with each other and with what it has told us.
    pub(crate) fn check_counts(&mut self) {
        if !in_1000(&mut self.rng, 20) {
            return;
        }
        let mut alive = 0;
        let mut fault = None;
        for (counts, tally) in self.proxy.counts() {
            let states = counts.trying
                + counts.proceeding
                + counts.completed
                + counts.confirmed
                + counts.accepted;
            alive += counts.alive;
            let told = (
                tally.opened,
                tally.refused_full,
                tally.merged,
                tally.requests_absorbed,
                tally.responses_absorbed,
            );
            let counted = (
                counts.opened,
                counts.refused_full,
                counts.merged,
                counts.requests_absorbed,
                counts.responses_absorbed,
            );
            // The others have a branch that outlives its server.
            if states > counts.alive || told != counted {
                fault = Some(format!("counts disagree: {counts:?}, {tally:?}"));
            }
            if counts.outbox_full > 0 {
                fault = Some(format!("something found no room: {counts:?}"));
            }
        }
        self.summary.alive_max = self.summary.alive_max.max(alive);
        if let Some(what) = fault {
            self.fail(None, what);
        }
    }

    /// 64 T1 and timer C after the last call nothing is left.
    pub(crate) fn check_end(&mut self) {
        for (counts, _) in self.proxy.counts() {
            let summary = &mut self.summary;
            summary.opened += counts.opened;
            summary.absorbed += counts.requests_absorbed + counts.responses_absorbed;
            summary.retransmitted += counts.retransmitted;
            summary.timed_out += counts.timed_out;
            summary.failed_over += counts.failed_over;
            summary.cancelled += counts.cancelled;
            summary.refused_full += counts.refused_full;
        }
        let left = self
            .proxy
            .counts()
            .map(|(counts, _)| counts)
            .find(|counts| counts.alive > 0 || counts.branches > 0 || counts.buffers_used > 0);
        if let Some(counts) = left {
            self.fail(None, format!("transactions outlive their timers: {counts:?}"));
        }
    }
}

/// What must hold of a call in the end.
fn check(call: &Call) -> Result<(), String> {
    let first = &call.clients[0];
    match (first.method, call.kind) {
        ("INVITE", _) => {
            if !first.finals.iter().any(is_full) {
                check_legs(call)?;
            }
            check_invite(call, first)?;
        }
        (_, Kind::Stateless) => {}
        _ => check_options(call, first)?,
    }
    for client in &call.clients[1..] {
        let may_be_odd =
            client.method == "CANCEL" && (call.is_rude || call.kind == Kind::Stateless);
        let answered = client.finals.iter().filter(|one| one.status != 503).count();
        if (client.finals.is_empty() || answered > 1) && !may_be_odd {
            return Err(format!("{} got {:?}", client.method, client.finals));
        }
    }
    Ok(())
}

/// Exactly one refusal, or answers: one of each who answered.
fn check_invite(call: &Call, invite: &Client) -> Result<(), String> {
    if call.kind == Kind::Stateless || invite.finals.iter().any(is_full) {
        return Ok(());
    }
    if invite.finals.is_empty() {
        return Err("INVITE got no final response".into());
    }
    // One who was given up because he was silent for long answers after all: that goes upstream too, behind the
    // refusal of the others (RFC 3261 section 16.7 step 5), or overtakes it on the network. There is one refusal at most.
    if invite.finals.iter().filter(|one| one.status >= 300).count() > 1 {
        return Err(format!("INVITE got {:?}", invite.finals));
    }
    for one in invite.finals.iter().filter(|one| one.status < 300) {
        if !call.legs.iter().any(|leg| leg.tag == one.tag && leg.state == LegState::Final(200)) {
            return Err(format!("nobody has given the answer {one:?}"));
        }
    }
    Ok(())
}

/// When the table is full a request is refused without a transaction. A copy of it that comes a moment
/// later may find room; then it goes on although its caller has given up.
fn is_full(one: &Final) -> bool {
    one.status == 503 && one.tag.starts_with("tl-")
}

/// Nobody rings for ever, and every final response is acknowledged.
fn check_legs(call: &Call) -> Result<(), String> {
    for leg in &call.legs {
        let is_quiet = matches!(leg.script, Script::Silent | Script::Deaf);
        if leg.state == LegState::Ringing && !is_quiet && call.kind != Kind::Stateless {
            return Err(format!("{} rings on: {:?}", leg.tag, leg.script));
        }
        // An old caller's ACK for a late answer looks like one for the refusal before it, which he may
        // not even have got.
        if leg.gave_up && leg.script.keeps_rules() && !call.is_old {
            return Err(format!("no ACK for {:?} of {}: {:?}", leg.state, leg.tag, leg.script));
        }
    }
    Ok(())
}

/// At most one final response, and one when a callee gave a 200 in time. Of silence nobody is told (RFC 4320
/// section 4.2), even when others have refused before.
fn check_options(call: &Call, options: &Client) -> Result<(), String> {
    let is_answered = call
        .options_answered_ms
        .is_some_and(|answered_ms| answered_ms - call.started_ms < IN_TIME_MS);
    if options.finals.iter().filter(|one| !is_full(one)).count() > 1
        || is_answered && options.finals.is_empty()
    {
        return Err(format!("OPTIONS got {:?}", options.finals));
    }
    Ok(())
}
