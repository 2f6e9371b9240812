//! INVITE server transactions: RFC 3261 section 17.2.1 as corrected by RFC 6026 section 8.5.
//!
//! ```text
//!                             │ request received; the proxy sends 100
//!                             ▼
//!        request again:  ┌────────────┐
//!          resend   ╭───►│ Proceeding │  2xx: pass; L = 64 T1
//!        1xx: pass  ╰────┤ (no timer) ├─────────────────────────╮
//!                        └─────┬──────┘                         │
//!                              │ 300-699: pass;                 │
//!                              │ G = T1 (doubles up to T2),     │
//!                              │ H = 64 T1                      ▼
//!        request again:  ┌───────────┐                    ┌──────────┐  2xx: pass
//!          resend   ╭───►│ Completed │                    │ Accepted │◄─╮ ACK: pass
//!        G: resend  ╰────┤           ├───────╮            │          ├──╯ request again: nothing
//!                        └─────┬─────┘       │            └────┬─────┘
//!                              │ ACK; I = T4 │ H: timed out    │
//!                              ▼             │                 │
//!          ACK:          ┌───────────┐       │                 │
//!        nothing    ╭───►│ Confirmed │       │                 │ L
//!                   ╰────┤           │       │                 │
//!                        └─────┬─────┘       ▼                 ▼
//!                              │ I (0)  ┌────────────┐         │
//!                              ╰───────►│ Terminated │◄────────╯
//!                                       └────────────┘
//! ```
//!
//! Timer G rests and timer I is 0 on reliable transports.

use super::retransmission::Retransmission;
use super::{Reaction, Tick, Timers, Transport};

/// Where an INVITE server transaction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InviteServerState {
    /// No final response has been sent.
    Proceeding,
    /// A final response other than 2xx has been sent.
    Completed,
    /// Its ACK has come.
    Confirmed,
    /// A 2xx has been sent; there may be more of them, and their ACKs pass through.
    Accepted,
    /// Over.
    Terminated,
}

impl InviteServerState {
    /// Each of them, in order.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 5] =
        [Self::Proceeding, Self::Completed, Self::Confirmed, Self::Accepted, Self::Terminated];

    /// In lower case.
    #[cfg(test)]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Proceeding => "proceeding",
            Self::Completed => "completed",
            Self::Confirmed => "confirmed",
            Self::Accepted => "accepted",
            Self::Terminated => "terminated",
        }
    }
}

/// An INVITE server transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InviteServer {
    state: InviteServerState,
    /// Timer G.
    response: Retransmission,
    /// Timer H, I or L.
    end: Tick,
}

impl InviteServer {
    /// A request has come; the proxy answers it with 100 itself.
    pub(crate) const fn received() -> Self {
        let never = Tick::of_ms(0);
        Self {
            state: InviteServerState::Proceeding,
            response: Retransmission::start(never, 0, Transport::Reliable),
            end: never,
        }
    }

    /// The request has come again. A 2xx is not repeated: the callee does that (RFC 6026 section
    /// 7.1 absorbs the request).
    pub(crate) const fn again(&self) -> Reaction {
        match self.state {
            InviteServerState::Proceeding | InviteServerState::Completed => Reaction::RESEND,
            _ => Reaction::NOTHING,
        }
    }

    /// A 1xx is to be sent.
    pub(crate) const fn provisional(&mut self) -> Reaction {
        match self.state {
            InviteServerState::Proceeding => Reaction::PASS,
            _ => Reaction::NOTHING,
        }
    }

    /// A 2xx is to be sent.
    pub(crate) const fn success(&mut self, now: Tick, timers: &Timers) -> Reaction {
        match self.state {
            InviteServerState::Proceeding => {
                self.state = InviteServerState::Accepted;
                self.end = now.plus(timers.t1_times_64());
                Reaction::PASS
            }
            InviteServerState::Accepted => Reaction::PASS,
            _ => Reaction::NOTHING,
        }
    }

    /// A response of 300 to 699 is to be sent.
    pub(crate) const fn failure(&mut self, now: Tick, timers: &Timers) -> Reaction {
        if !matches!(self.state, InviteServerState::Proceeding) {
            return Reaction::NOTHING;
        }
        self.state = InviteServerState::Completed;
        self.response = Retransmission::start(now, timers.t1, timers.transport);
        self.end = now.plus(timers.t1_times_64());
        Reaction::PASS
    }

    /// An ACK has come.
    pub(crate) const fn ack(&mut self, now: Tick, timers: &Timers) -> Reaction {
        match self.state {
            InviteServerState::Completed => {
                if matches!(timers.transport, Transport::Reliable) || timers.t4 == 0 {
                    self.state = InviteServerState::Terminated;
                    return Reaction::ENDED;
                }
                self.state = InviteServerState::Confirmed;
                self.end = now.plus(timers.t4);
                Reaction::NOTHING
            }
            InviteServerState::Accepted => Reaction::PASS,
            _ => Reaction::NOTHING,
        }
    }

    /// What is due at `now`.
    pub(crate) const fn expire(&mut self, now: Tick, timers: &Timers) -> Reaction {
        match self.state {
            InviteServerState::Completed if self.end.has_come(now) => {
                self.state = InviteServerState::Terminated;
                Reaction::TIMED_OUT
            }
            InviteServerState::Completed => {
                Reaction { resend: self.response.fire(now, timers.t2), ..Reaction::NOTHING }
            }
            InviteServerState::Confirmed | InviteServerState::Accepted
                if self.end.has_come(now) =>
            {
                self.state = InviteServerState::Terminated;
                Reaction::ENDED
            }
            _ => Reaction::NOTHING,
        }
    }

    /// When [`Self::expire`] has something to do.
    pub(crate) const fn deadline(&self) -> Option<Tick> {
        match self.state {
            InviteServerState::Completed => Some(self.response.next_before(self.end)),
            InviteServerState::Confirmed | InviteServerState::Accepted => Some(self.end),
            InviteServerState::Proceeding | InviteServerState::Terminated => None,
        }
    }

    /// Where it stands.
    pub(crate) const fn state(&self) -> InviteServerState {
        self.state
    }

    /// Whether it may be forgotten.
    #[cfg(test)]
    pub(crate) const fn is_over(&self) -> bool {
        matches!(self.state, InviteServerState::Terminated)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Machine, RELIABLE, START, TIMERS, check_table, resends, run_out};
    use super::*;

    impl Machine for InviteServer {
        const EVENTS: &'static [&'static str] = &["INVITE", "1xx", "2xx", "486", "ACK"];

        fn new(_: &Timers) -> Self {
            Self::received()
        }
        fn event(&mut self, event: &str, now: Tick, timers: &Timers) -> Reaction {
            match event {
                "INVITE" => self.again(),
                "1xx" => self.provisional(),
                "2xx" => self.success(now, timers),
                "486" => self.failure(now, timers),
                "ACK" => self.ack(now, timers),
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

    fn reach(state: &str, timers: &Timers) -> InviteServer {
        let mut server = InviteServer::received();
        match state {
            "completed" => drop(server.failure(START, timers)),
            "confirmed" | "terminated" => {
                server.failure(START, &TIMERS);
                server.ack(START, &TIMERS);
            }
            "accepted" => drop(server.success(START, &TIMERS)),
            _ => {}
        }
        if state == "terminated" {
            server.expire(START.plus(TIMERS.t4), &TIMERS);
        }
        server
    }

    #[test]
    fn every_event_in_every_state() {
        let table = "
            proceeding  INVITE  resend → proceeding
            proceeding  1xx     pass → proceeding
            proceeding  2xx     pass → accepted
            proceeding  486     pass → completed
            proceeding  ACK     → proceeding
            proceeding  timer   → proceeding
            completed   INVITE  resend → completed
            completed   1xx     → completed
            completed   2xx     → completed
            completed   486     → completed
            completed   ACK     → confirmed        | ended → terminated
            completed   timer   resend → completed | timed-out ended → terminated
            confirmed   INVITE  → confirmed
            confirmed   1xx     → confirmed
            confirmed   2xx     → confirmed
            confirmed   486     → confirmed
            confirmed   ACK     → confirmed
            confirmed   timer   ended → terminated
            accepted    INVITE  → accepted
            accepted    1xx     → accepted
            accepted    2xx     pass → accepted
            accepted    486     → accepted
            accepted    ACK     pass → accepted
            accepted    timer   ended → terminated
            terminated  INVITE  → terminated
            terminated  1xx     → terminated
            terminated  2xx     → terminated
            terminated  486     → terminated
            terminated  ACK     → terminated
            terminated  timer   → terminated";
        check_table(&InviteServerState::ALL.map(InviteServerState::name), reach, table);
    }

    #[test]
    fn timers_g_and_h() {
        let server = reach("completed", &TIMERS);
        let at = [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500];
        assert_eq!(run_out(server), resends(&at, (32_000, "timed-out ended")));
        let server = reach("completed", &RELIABLE);
        assert_eq!(run_out(server), resends(&[], (32_000, "timed-out ended")));
    }

    #[test]
    fn timers_i_and_l() {
        let server = reach("confirmed", &TIMERS);
        assert_eq!(run_out(server), resends(&[], (5_000, "ended")));
        let mut server = reach("accepted", &TIMERS);
        server.success(START.plus(1_000), &TIMERS);
        assert_eq!(run_out(server), resends(&[], (32_000, "ended")));
    }
}
