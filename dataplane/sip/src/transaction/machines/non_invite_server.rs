//! Non-INVITE server transactions: RFC 3261 section 17.2.2.
//!
//! ```text
//!                             │ request received
//!                             ▼
//!        request again:  ┌──────────┐
//!          nothing  ╭───►│  Trying  │
//!                   ╰────┤          ├───────────────╮
//!                        └────┬─────┘               │
//!                             │ 1xx: pass           │
//!                             ▼                     │
//!        request again:  ┌────────────┐             │ 200-699: pass;
//!          resend   ╭───►│ Proceeding │             │ J = 64 T1
//!        1xx: pass  ╰────┤            │             │
//!                        └────┬───────┘             │
//!                             │ 200-699: pass;      │
//!                             │ J = 64 T1           │
//!                             ▼                     │
//!        request again:  ┌───────────┐              │
//!          resend   ╭───►│ Completed │◄─────────────╯
//!        200-699:   ╰────┤           │
//!          nothing       └────┬──────┘
//!                             │ J (0 on reliable transports)
//!                             ▼
//!                        ┌────────────┐
//!                        │ Terminated │
//!                        └────────────┘
//! ```

use super::{Reaction, Tick, Timers, Transport};

/// Where a non-INVITE server transaction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NonInviteServerState {
    /// No response has been sent.
    Trying,
    /// A provisional response has been sent.
    Proceeding,
    /// The final response has been sent.
    Completed,
    /// Over.
    Terminated,
}

impl NonInviteServerState {
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

/// A non-INVITE server transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NonInviteServer {
    state: NonInviteServerState,
    /// Timer J.
    end: Tick,
}

impl NonInviteServer {
    /// A request has come.
    pub(crate) const fn received() -> Self {
        Self { state: NonInviteServerState::Trying, end: Tick::of_ms(0) }
    }

    /// The request has come again.
    pub(crate) const fn again(self) -> Reaction {
        match self.state {
            NonInviteServerState::Proceeding | NonInviteServerState::Completed => Reaction::RESEND,
            _ => Reaction::NOTHING,
        }
    }

    /// A 1xx is to be sent.
    pub(crate) const fn provisional(&mut self) -> Reaction {
        match self.state {
            NonInviteServerState::Trying | NonInviteServerState::Proceeding => {
                self.state = NonInviteServerState::Proceeding;
                Reaction::PASS
            }
            _ => Reaction::NOTHING,
        }
    }

    /// A final response is to be sent.
    pub(crate) const fn last(&mut self, now: Tick, timers: &Timers) -> Reaction {
        match self.state {
            NonInviteServerState::Trying | NonInviteServerState::Proceeding => {
                if matches!(timers.transport, Transport::Reliable) {
                    self.state = NonInviteServerState::Terminated;
                    return Reaction { ended: true, ..Reaction::PASS };
                }
                self.state = NonInviteServerState::Completed;
                self.end = now.plus(timers.t1_times_64());
                Reaction::PASS
            }
            _ => Reaction::NOTHING,
        }
    }

    /// What is due at `now`.
    pub(crate) const fn expire(&mut self, now: Tick) -> Reaction {
        if matches!(self.state, NonInviteServerState::Completed) && self.end.has_come(now) {
            self.state = NonInviteServerState::Terminated;
            return Reaction::ENDED;
        }
        Reaction::NOTHING
    }

    /// When [`Self::expire`] has something to do.
    pub(crate) const fn deadline(self) -> Option<Tick> {
        match self.state {
            NonInviteServerState::Completed => Some(self.end),
            _ => None,
        }
    }

    /// Where it stands.
    pub(crate) const fn state(self) -> NonInviteServerState {
        self.state
    }

    /// Whether it may be forgotten.
    #[cfg(test)]
    pub(crate) const fn is_over(self) -> bool {
        matches!(self.state, NonInviteServerState::Terminated)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Machine, RELIABLE, START, TIMERS, check_table, resends, run_out};
    use super::*;

    impl Machine for NonInviteServer {
        const EVENTS: &'static [&'static str] = &["request", "1xx", "200"];

        fn new(_: &Timers) -> Self {
            Self::received()
        }
        fn event(&mut self, event: &str, now: Tick, timers: &Timers) -> Reaction {
            match event {
                "request" => self.again(),
                "1xx" => self.provisional(),
                "200" => self.last(now, timers),
                _ => panic!("{event}"),
            }
        }
        fn timer(&mut self, now: Tick) -> Reaction {
            self.expire(now)
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

    fn reach(state: &str, _: &Timers) -> NonInviteServer {
        let mut server = NonInviteServer::received();
        match state {
            "proceeding" => drop(server.provisional()),
            "completed" => drop(server.last(START, &TIMERS)),
            "terminated" => drop(server.last(START, &RELIABLE)),
            _ => {}
        }
        server
    }

    #[test]
    fn every_event_in_every_state() {
        let table = "
            trying      request  → trying
            trying      1xx      pass → proceeding
            trying      200      pass → completed | pass ended → terminated
            trying      timer    → trying
            proceeding  request  resend → proceeding
            proceeding  1xx      pass → proceeding
            proceeding  200      pass → completed | pass ended → terminated
            proceeding  timer    → proceeding
            completed   request  resend → completed
            completed   1xx      → completed
            completed   200      → completed
            completed   timer    ended → terminated
            terminated  request  → terminated
            terminated  1xx      → terminated
            terminated  200      → terminated
            terminated  timer    → terminated";
        check_table(&NonInviteServerState::ALL.map(NonInviteServerState::name), reach, table);
    }

    #[test]
    fn timer_j() {
        let server = reach("completed", &TIMERS);
        assert_eq!(run_out(server), resends(&[], (32_000, "ended")));
    }
}
