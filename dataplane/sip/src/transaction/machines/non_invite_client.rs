//! Non-INVITE client transactions: RFC 3261 section 17.1.2.
//!
//! ```text
//!                         │ request sent; timer E = T1 (doubles up to T2), timer F = 64 T1
//!                         ▼
//!           E:       ┌──────────┐  F: timed out
//!         resend ╭──►│  Trying  │  or unreachable
//!                ╰───┤          ├────────────────────────────╮
//!                    └┬────────┬┘                            │
//!                     │        │ 1xx: pass                   │
//!                     │        ▼                             │
//!           200-699:  │   ┌────────────┐  F: timed out       │
//!           pass; K   │   │ Proceeding │  or unreachable     │
//!                     │   │            ├─────────────────────┤
//!                     │   └┬───────┬─▲─┘                     │
//!                     │    │       ╰─╯ 1xx: pass             │
//!                     │    │           E: resend, E = T2     │
//!                     │    │ 200-699: pass; K = T4           │
//!                     ▼    ▼                                 │
//!                    ┌───────────┐                           ▼
//!         any: ╭────►│ Completed │  K (0 if reliable) ┌────────────┐
//!       nothing╰─────┤           ├───────────────────►│ Terminated │
//!                    └───────────┘                    └────────────┘
//! ```

use super::retransmission::Retransmission;
use super::{Reaction, Tick, Timers, Transport};

/// Where a non-INVITE client transaction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NonInviteClientState {
    /// Nothing has come back.
    Trying,
    /// A provisional response has come.
    Proceeding,
    /// The final response has come.
    Completed,
    /// Over.
    Terminated,
}

impl NonInviteClientState {
    /// Each of them, in order.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 4] =
        [Self::Trying, Self::Proceeding, Self::Completed, Self::Terminated];

    /// In lower case.
    #[cfg(test)]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Trying => "trying",
            Self::Proceeding => "proceeding",
            Self::Completed => "completed",
            Self::Terminated => "terminated",
        }
    }
}

/// A non-INVITE client transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NonInviteClient {
    state: NonInviteClientState,
    /// Timer E.
    request: Retransmission,
    /// Timer F or K.
    end: Tick,
}

impl NonInviteClient {
    /// The request has been sent.
    pub(crate) const fn sent(now: Tick, timers: &Timers) -> Self {
        Self {
            state: NonInviteClientState::Trying,
            request: Retransmission::start(now, timers.t1, timers.transport),
            end: now.plus(timers.t1_times_64()),
        }
    }

    /// A 1xx has come. Timer E runs on and is set to T2 when it fires (17.1.2.2).
    pub(crate) const fn provisional(&mut self, timers: &Timers) -> Reaction {
        match self.state {
            NonInviteClientState::Trying => {
                self.state = NonInviteClientState::Proceeding;
                self.request.slow_down(timers.t2);
                Reaction::PASS
            }
            NonInviteClientState::Proceeding => Reaction::PASS,
            _ => Reaction::NOTHING,
        }
    }

    /// A final response has come; repetitions are absorbed.
    pub(crate) const fn last(&mut self, now: Tick, timers: &Timers) -> Reaction {
        if !self.is_open() {
            return Reaction::NOTHING;
        }
        self.request.stop();
        if matches!(timers.transport, Transport::Reliable) || timers.t4 == 0 {
            self.state = NonInviteClientState::Terminated;
            return Reaction { ended: true, ..Reaction::PASS };
        }
        self.state = NonInviteClientState::Completed;
        self.end = now.plus(timers.t4);
        Reaction::PASS
    }

    /// What is due at `now`.
    pub(crate) const fn expire(&mut self, now: Tick, timers: &Timers) -> Reaction {
        if !self.is_over() && self.end.has_come(now) {
            let reaction = if self.is_open() { Reaction::TIMED_OUT } else { Reaction::ENDED };
            self.state = NonInviteClientState::Terminated;
            return reaction;
        }
        if self.is_open() {
            return Reaction { resend: self.request.fire(now, timers.t2), ..Reaction::NOTHING };
        }
        Reaction::NOTHING
    }

    /// The network says that the request cannot get there (17.1.4).
    pub(crate) const fn unreachable(&mut self) -> Reaction {
        if self.is_open() {
            self.state = NonInviteClientState::Terminated;
            return Reaction::ENDED;
        }
        Reaction::NOTHING
    }

    /// When [`Self::expire`] has something to do.
    pub(crate) const fn deadline(&self) -> Option<Tick> {
        match self.state {
            NonInviteClientState::Trying | NonInviteClientState::Proceeding => {
                Some(self.request.next_before(self.end))
            }
            NonInviteClientState::Completed => Some(self.end),
            NonInviteClientState::Terminated => None,
        }
    }

    /// Where it stands.
    pub(crate) const fn state(&self) -> NonInviteClientState {
        self.state
    }

    /// Whether it may be forgotten.
    pub(crate) const fn is_over(&self) -> bool {
        matches!(self.state, NonInviteClientState::Terminated)
    }

    /// Whether the final response is still to come.
    const fn is_open(&self) -> bool {
        matches!(self.state, NonInviteClientState::Trying | NonInviteClientState::Proceeding)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Machine, RELIABLE, START, TIMERS, check_table, resends, run_out};
    use super::*;

    impl Machine for NonInviteClient {
        const EVENTS: &'static [&'static str] = &["1xx", "200", "unreachable"];

        fn new(timers: &Timers) -> Self {
            Self::sent(START, timers)
        }
        fn event(&mut self, event: &str, now: Tick, timers: &Timers) -> Reaction {
            match event {
                "1xx" => self.provisional(timers),
                "200" => self.last(now, timers),
                "unreachable" => self.unreachable(),
                _ => panic!("{event}"),
            }
        }
        fn timer(&mut self, now: Tick) -> Reaction {
            self.expire(now, &TIMERS)
        }
        fn due(&self) -> Option<Tick> {
            self.deadline()
        }
        fn name(&self) -> &'static str {
            self.state.name()
        }
        fn over(&self) -> bool {
            self.is_over()
        }
    }

    fn reach(state: &str, timers: &Timers) -> NonInviteClient {
        let mut client = NonInviteClient::new(timers);
        match state {
            "proceeding" => drop(client.provisional(&TIMERS)),
            "completed" => drop(client.last(START, &TIMERS)),
            "terminated" => drop(client.unreachable()),
            _ => {}
        }
        client
    }

    #[test]
    fn every_event_in_every_state() {
        let table = "
            trying      1xx          pass → proceeding
            trying      200          pass → completed    | pass ended → terminated
            trying      unreachable  ended → terminated
            trying      timer        resend → trying     | timed-out ended → terminated
            proceeding  1xx          pass → proceeding
            proceeding  200          pass → completed    | pass ended → terminated
            proceeding  unreachable  ended → terminated
            proceeding  timer        resend → proceeding | timed-out ended → terminated
            completed   1xx          → completed
            completed   200          → completed
            completed   unreachable  → completed
            completed   timer        ended → terminated
            terminated  1xx          → terminated
            terminated  200          → terminated
            terminated  unreachable  → terminated
            terminated  timer        → terminated";
        check_table(&NonInviteClientState::ALL.map(NonInviteClientState::name), reach, table);
    }

    #[test]
    fn timers_e_and_f() {
        let client = NonInviteClient::new(&TIMERS);
        let at = [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500];
        assert_eq!(run_out(client), resends(&at, (32_000, "timed-out ended")));
        let client = NonInviteClient::new(&RELIABLE);
        assert_eq!(run_out(client), resends(&[], (32_000, "timed-out ended")));
    }

    #[test]
    fn a_provisional_response_sets_timer_e_to_t2_when_it_fires_next() {
        let mut client = NonInviteClient::new(&TIMERS);
        assert!(client.expire(START.plus(500), &TIMERS).resend);
        client.provisional(&TIMERS);
        let at = [1_500, 5_500, 9_500, 13_500, 17_500, 21_500, 25_500, 29_500];
        assert_eq!(run_out(client), resends(&at, (32_000, "timed-out ended")));
        let mut client = NonInviteClient::new(&RELIABLE);
        client.provisional(&TIMERS);
        assert_eq!(run_out(client), resends(&[], (32_000, "timed-out ended")));
    }

    #[test]
    fn timer_k() {
        let mut client = NonInviteClient::new(&TIMERS);
        client.last(START, &TIMERS);
        assert_eq!(run_out(client), resends(&[], (5_000, "ended")));
        let mut client = NonInviteClient::new(&TIMERS);
        let ended = client.last(START, &Timers { t4: 0, ..TIMERS });
        assert!(ended.ended && client.is_over());
    }
}
