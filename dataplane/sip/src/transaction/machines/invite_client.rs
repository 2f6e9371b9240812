//! INVITE client transactions: RFC 3261 section 17.1.1 as corrected by RFC 6026 section 8.4.
//!
//! ```text
//!                         │ request sent; timer A = T1 (doubles), timer B = 64 T1
//!                         ▼
//!           A:       ┌─────────┐  B: timed out
//!         resend ╭──►│ Calling │  or unreachable
//!                ╰───┤         ├────────────────────────────────────────────────╮
//!                    └┬───┬───┬┘                                                │
//!          300-699:   │   │   │ 2xx: pass; M = 64 T1                            │
//!         pass, ACK;  │   │   ╰─────────────────────────────────╮               │
//!            D        │   │ 1xx: pass                           │               │
//!                     │   ▼                                     │               │
//!              1xx:  ┌────────────┐                             │               │
//!          pass ╭───►│ Proceeding │  2xx: pass; M = 64 T1       │               │
//!               ╰────┤ (no timer) ├──────────────────────────╮  │               │
//!                    └┬───────────┘                          │  │               │
//!                     │ 300-699: pass, ACK; D                │  │               │
//!                     ▼                                      ▼  ▼               │
//!         300-699:  ┌───────────┐                       ┌──────────┐ 2xx:       │
//!            ACK ╭─►│ Completed │                       │ Accepted │◄─╮ pass    │
//!                ╰──┤           │                       │          ├──╯         │
//!                   └─────┬─────┘                       └────┬─────┘            │
//!                         │ D (0 on reliable transports)     │ M                ▼
//!                         │                                  │           ┌────────────┐
//!                         ╰──────────────────────────────────┴──────────►│ Terminated │
//!                                                                        └────────────┘
//! ```
//!
//! Nothing ends Proceeding by itself: timer C (16.6 step 11) is the proxy's.

use super::retransmission::Retransmission;
use super::{Reaction, Tick, Timers, Transport};

/// Timer D is at least 32 seconds on unreliable transports (RFC 3261 table 4): as long as the
/// other side may repeat its response.
const TIMER_D_MS: u32 = 32_000;

/// Where an INVITE client transaction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InviteClientState {
    /// Nothing has come back.
    Calling,
    /// A provisional response has come.
    Proceeding,
    /// A final response other than 2xx has come.
    Completed,
    /// A 2xx has come; there may be more of them, from forks further on.
    Accepted,
    /// Over.
    Terminated,
}

impl InviteClientState {
    /// Each of them, in order.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 5] =
        [Self::Calling, Self::Proceeding, Self::Completed, Self::Accepted, Self::Terminated];

    /// In lower case.
    #[cfg(test)]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Calling => "calling",
            Self::Proceeding => "proceeding",
            Self::Completed => "completed",
            Self::Accepted => "accepted",
            Self::Terminated => "terminated",
        }
    }
}

/// An INVITE client transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InviteClient {
    state: InviteClientState,
    /// Timer A.
    request: Retransmission,
    /// Timer B, D or M.
    end: Tick,
}

impl InviteClient {
    /// The request has been sent.
    pub(crate) const fn sent(now: Tick, timers: &Timers) -> Self {
        Self {
            state: InviteClientState::Calling,
            request: Retransmission::start(now, timers.t1, timers.transport),
            end: now.plus(timers.t1_times_64()),
        }
    }

    /// A 1xx has come.
    pub(crate) const fn provisional(&mut self) -> Reaction {
        match self.state {
            InviteClientState::Calling => {
                self.state = InviteClientState::Proceeding;
                self.request.stop();
                Reaction::PASS
            }
            InviteClientState::Proceeding => Reaction::PASS,
            _ => Reaction::NOTHING,
        }
    }

    /// A 2xx has come. RFC 6026 section 7.2 keeps the transaction for the repetitions and those of
    /// other branches, which all go on to the caller.
    pub(crate) const fn success(&mut self, now: Tick, timers: &Timers) -> Reaction {
        match self.state {
            InviteClientState::Calling | InviteClientState::Proceeding => {
                self.state = InviteClientState::Accepted;
                self.request.stop();
                self.end = now.plus(timers.t1_times_64());
                Reaction::PASS
            }
            InviteClientState::Accepted => Reaction::PASS,
            _ => Reaction::NOTHING,
        }
    }

    /// A response of 300 to 699 has come.
    pub(crate) const fn failure(&mut self, now: Tick, timers: &Timers) -> Reaction {
        match self.state {
            InviteClientState::Calling | InviteClientState::Proceeding => {
                self.request.stop();
                let heard = Reaction { ack: true, ..Reaction::PASS };
                if matches!(timers.transport, Transport::Reliable) {
                    self.state = InviteClientState::Terminated;
                    return Reaction { ended: true, ..heard };
                }
                self.state = InviteClientState::Completed;
                let longest = timers.t1_times_64();
                self.end = now.plus(if longest > TIMER_D_MS { longest } else { TIMER_D_MS });
                heard
            }
            InviteClientState::Completed => Reaction { ack: true, ..Reaction::NOTHING },
            _ => Reaction::NOTHING,
        }
    }

    /// What is due at `now`.
    pub(crate) const fn expire(&mut self, now: Tick, timers: &Timers) -> Reaction {
        match self.state {
            InviteClientState::Calling if self.end.has_come(now) => {
                self.state = InviteClientState::Terminated;
                Reaction::TIMED_OUT
            }
            InviteClientState::Calling => {
                let longest = timers.t1_times_64();
                Reaction { resend: self.request.fire(now, longest), ..Reaction::NOTHING }
            }
            InviteClientState::Completed | InviteClientState::Accepted
                if self.end.has_come(now) =>
            {
                self.state = InviteClientState::Terminated;
                Reaction::ENDED
            }
            _ => Reaction::NOTHING,
        }
    }

    /// The network says that the request cannot get there (17.1.4). Once a response has come, that
    /// is hearsay against evidence.
    pub(crate) const fn unreachable(&mut self) -> Reaction {
        if matches!(self.state, InviteClientState::Calling) {
            self.state = InviteClientState::Terminated;
            return Reaction::ENDED;
        }
        Reaction::NOTHING
    }

    /// When [`Self::expire`] has something to do.
    pub(crate) const fn deadline(&self) -> Option<Tick> {
        match self.state {
            InviteClientState::Calling => Some(self.request.next_before(self.end)),
            InviteClientState::Completed | InviteClientState::Accepted => Some(self.end),
            InviteClientState::Proceeding | InviteClientState::Terminated => None,
        }
    }

    /// Where it stands.
    pub(crate) const fn state(&self) -> InviteClientState {
        self.state
    }

    /// Whether it may be forgotten.
    #[cfg(test)]
    pub(crate) const fn is_over(&self) -> bool {
        matches!(self.state, InviteClientState::Terminated)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Machine, RELIABLE, START, TIMERS, check_table, resends, run_out};
    use super::*;

    impl Machine for InviteClient {
        const EVENTS: &'static [&'static str] = &["1xx", "2xx", "486", "unreachable"];

        fn new(timers: &Timers) -> Self {
            Self::sent(START, timers)
        }
        fn event(&mut self, event: &str, now: Tick, timers: &Timers) -> Reaction {
            match event {
                "1xx" => self.provisional(),
                "2xx" => self.success(now, timers),
                "486" => self.failure(now, timers),
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

    fn reach(state: &str, timers: &Timers) -> InviteClient {
        let mut client = InviteClient::new(timers);
        match state {
            "proceeding" => drop(client.provisional()),
            "completed" => drop(client.failure(START, &TIMERS)),
            "accepted" => drop(client.success(START, &TIMERS)),
            "terminated" => drop(client.unreachable()),
            _ => {}
        }
        client
    }

    #[test]
    fn every_event_in_every_state() {
        let table = "
            calling     1xx          pass → proceeding
            calling     2xx          pass → accepted
            calling     486          pass ack → completed | pass ack ended → terminated
            calling     unreachable  ended → terminated
            calling     timer        resend → calling     | timed-out ended → terminated
            proceeding  1xx          pass → proceeding
            proceeding  2xx          pass → accepted
            proceeding  486          pass ack → completed | pass ack ended → terminated
            proceeding  unreachable  → proceeding
            proceeding  timer        → proceeding
            completed   1xx          → completed
            completed   2xx          → completed
            completed   486          ack → completed
            completed   unreachable  → completed
            completed   timer        ended → terminated
            accepted    1xx          → accepted
            accepted    2xx          pass → accepted
            accepted    486          → accepted
            accepted    unreachable  → accepted
            accepted    timer        ended → terminated
            terminated  1xx          → terminated
            terminated  2xx          → terminated
            terminated  486          → terminated
            terminated  unreachable  → terminated
            terminated  timer        → terminated";
        check_table(&InviteClientState::ALL.map(InviteClientState::name), reach, table);
    }

    #[test]
    fn timers_a_and_b() {
        let client = InviteClient::new(&TIMERS);
        let at = [500, 1_500, 3_500, 7_500, 15_500, 31_500];
        assert_eq!(run_out(client), resends(&at, (32_000, "timed-out ended")));
        let client = InviteClient::new(&RELIABLE);
        assert_eq!(run_out(client), resends(&[], (32_000, "timed-out ended")));
    }

    #[test]
    fn timers_d_and_m() {
        let slow = Timers { t1: 1_000, ..TIMERS };
        let quick = Timers { t1: 100, ..TIMERS };
        for (timers, d, m) in
            [(TIMERS, 32_000, 32_000), (slow, 64_000, 64_000), (quick, 32_000, 6_400)]
        {
            let mut client = InviteClient::sent(START, &timers);
            let mut other = client;
            client.failure(START, &timers);
            assert_eq!(client.deadline(), Some(START.plus(d)));
            other.success(START, &timers);
            assert_eq!(other.deadline(), Some(START.plus(m)));
            // Repetitions do not prolong it.
            other.success(START.plus(1_000), &timers);
            assert_eq!(other.deadline(), Some(START.plus(m)));
        }
    }
}
