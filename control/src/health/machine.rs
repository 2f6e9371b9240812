//! One member's health, from probes and signs: no I/O and no clock, `now` is given.
//!
//! ```text
//!             down_after failures in a row
//!     UP ──────────────────────────────────► DOWN ◄── start, when it was down before
//!     ▲ ▲                                    │  ▲
//!     │ └── start                   an answer│  │a failure
//!     │                                      ▼  │
//!     └──────────────────────────────────── PROBING
//!             up_after answers in a row
//! ```
//!
//! A member is in use while it is UP, also while a first failure leaves doubt. Doubt and hope are
//! impatient: while there is a failure to confirm, or a member answers that was down, the next probe
//! follows after `timeout` instead of `interval`. An operator's drain is kept beside this state.

use crate::config::Probe;
use std::time::{Duration, Instant};

/// What probes say about a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// In use: it answers, or too few probes have failed to say that it does not.
    Up,
    /// It was down and answers again, not yet often enough: out of use.
    Probing,
    /// It does not answer: out of use.
    Down,
}

/// What a probe came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A final response with this code.
    Answered(u16),
    /// No final response in time.
    TimedOut,
    /// It could not be sent, or the network said that it did not arrive.
    Refused(String),
}

impl Outcome {
    /// Whether the member is well. Any final response proves that SIP is alive there, also 404, 405,
    /// 483 or 501: it need not like OPTIONS. The server errors 500, 502 to 504 and the others of
    /// their class say that it cannot serve.
    pub fn is_well(&self) -> bool {
        matches!(self, Self::Answered(200..=499 | 501 | 505 | 600..))
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Answered(code) => write!(f, "answered OPTIONS with {code}"),
            Self::TimedOut => f.write_str("did not answer OPTIONS in time"),
            Self::Refused(why) => f.write_str(why),
        }
    }
}

/// The machine of one member.
#[derive(Clone, Debug)]
pub struct Machine {
    probe: Probe,
    health: Health,
    since: Instant,
    /// Failures in a row while up, answers in a row while probing.
    count: u8,
    next: Instant,
    reason: String,
}

impl Machine {
    /// A member of which nothing is known; `was_down` is what an earlier life of ours found. The
    /// first probe comes within a second, at the part `random` (0 to 1) of it.
    pub fn new(probe: Probe, was_down: bool, now: Instant, random: f64) -> Self {
        let (health, reason) = if was_down {
            (Health::Down, "was down when control ended")
        } else {
            (Health::Up, "not probed yet")
        };
        let next = now + Duration::from_secs(1).mul_f64(random.clamp(0.0, 1.0));
        Self { probe, health, since: now, count: 0, next, reason: reason.into() }
    }

    /// What probes say.
    pub fn health(&self) -> Health {
        self.health
    }

    /// Since when they say so.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// What the last probe or sign was.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// When the next probe is to be sent.
    pub fn due(&self) -> Instant {
        self.next
    }

    /// A probe is on its way: the next one waits for its outcome.
    pub fn sent(&mut self, now: Instant) {
        self.next = now + self.probe.timeout + self.probe.interval;
    }

    /// Takes the outcome of the probe sent last. Gives whether the health changed. `random` (0 to 1)
    /// sets the jitter.
    pub fn take(&mut self, outcome: &Outcome, now: Instant, random: f64) -> bool {
        let before = self.health;
        self.reason = outcome.to_string();
        match (self.health, outcome.is_well()) {
            (Health::Up, true) | (Health::Down, false) => self.count = 0,
            (Health::Probing, false) => self.turn(Health::Down, now),
            (Health::Up, false) => {
                self.count += 1;
                if self.count >= self.probe.down_after {
                    self.turn(Health::Down, now);
                }
            }
            (Health::Down | Health::Probing, true) => {
                self.count += 1;
                if self.count >= self.probe.up_after {
                    self.turn(Health::Up, now);
                } else if self.health == Health::Down {
                    (self.health, self.since) = (Health::Probing, now);
                }
            }
        }
        let pause = if self.count > 0 { self.probe.timeout } else { self.probe.interval };
        self.next = now + self.jittered(pause, random);
        self.health != before
    }

    /// Takes a sign from the network that messages do not arrive. A sign of our own kernel counts as
    /// a failed probe; one that anybody on the way could forge (ICMP, RFC 5927 section 4) is a reason
    /// to probe at once, no more. Gives whether the health changed.
    pub fn sign(&mut self, what: &str, is_proof: bool, now: Instant) -> bool {
        if self.health != Health::Up {
            return false;
        }
        if is_proof {
            let changed = self.take(&Outcome::Refused(what.to_owned()), now, 0.5);
            self.next = now;
            return changed;
        }
        what.clone_into(&mut self.reason);
        self.next = self.next.min(now);
        false
    }

    fn turn(&mut self, health: Health, now: Instant) {
        (self.health, self.since, self.count) = (health, now, 0);
    }

    fn jittered(&self, pause: Duration, random: f64) -> Duration {
        let part = f64::from(self.probe.jitter_percent) / 100.0;
        pause.mul_f64(1.0 + part * (2.0 * random.clamp(0.0, 1.0) - 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::{Health, Machine, Outcome};
    use crate::config::Probe;
    use std::time::{Duration, Instant};

    /// A member in virtual time: probes when due, its answers are given.
    struct Member {
        machine: Machine,
        start: Instant,
        now: Instant,
    }

    impl Member {
        fn new(was_down: bool) -> Self {
            let now = Instant::now();
            let probe = Probe { jitter_percent: 0, ..Probe::default() };
            Self { machine: Machine::new(probe, was_down, now, 0.0), start: now, now }
        }

        /// The next probe: an answer comes at once, silence costs the timeout.
        fn probe(&mut self, outcome: &Outcome) -> Health {
            self.now = self.now.max(self.machine.due());
            self.machine.sent(self.now);
            if *outcome == Outcome::TimedOut {
                self.now += Duration::from_secs(1);
            }
            self.machine.take(outcome, self.now, 0.5);
            self.machine.health()
        }

        fn elapsed(&self) -> Duration {
            self.now.duration_since(self.start)
        }
    }

    const WELL: Outcome = Outcome::Answered(200);

    #[test]
    fn one_answer_ends_doubt_and_silence_ends_in_down() {
        let mut member = Member::new(false);
        assert_eq!(member.machine.health(), Health::Up);
        assert_eq!(member.probe(&WELL), Health::Up);
        assert_eq!(member.machine.due(), member.now + Duration::from_secs(10));
        for _ in 0..2 {
            assert_eq!(member.probe(&Outcome::TimedOut), Health::Up);
            assert_eq!(member.probe(&Outcome::TimedOut), Health::Up);
            assert_eq!(member.probe(&WELL), Health::Up);
        }
        assert_eq!(member.probe(&Outcome::TimedOut), Health::Up);
        assert_eq!(member.probe(&Outcome::TimedOut), Health::Up);
        assert_eq!(member.probe(&Outcome::TimedOut), Health::Down);
        assert_eq!(member.machine.reason(), "did not answer OPTIONS in time");
    }

    #[test]
    fn a_member_that_dies_is_down_within_the_promised_time() {
        let mut member = Member::new(false);
        member.probe(&WELL);
        let died = member.elapsed();
        while member.probe(&Outcome::TimedOut) != Health::Down {}
        // interval, then down_after probes that cost timeout each, and the pauses between them
        assert_eq!(member.elapsed(), died + Duration::from_secs(10 + 3 + 2));
        assert_eq!(member.machine.since(), member.now);
        // A dead member is asked at leisure.
        assert_eq!(member.machine.due(), member.now + Duration::from_secs(10));
    }

    #[test]
    fn a_member_that_was_down_needs_answers_in_a_row() {
        let mut member = Member::new(true);
        assert_eq!(member.probe(&WELL), Health::Probing);
        assert_eq!(member.probe(&Outcome::TimedOut), Health::Down);
        assert_eq!(member.probe(&WELL), Health::Probing);
        assert_eq!(member.machine.due(), member.now + Duration::from_secs(1));
        assert_eq!(member.probe(&WELL), Health::Up);
    }

    #[test]
    fn one_answer_is_enough_where_one_is_asked_for() {
        let now = Instant::now();
        let probe = Probe { up_after: 1, down_after: 1, ..Probe::default() };
        let mut machine = Machine::new(probe, true, now, 0.0);
        assert!(machine.take(&WELL, now, 0.5));
        assert_eq!(machine.health(), Health::Up);
        assert!(machine.take(&Outcome::Answered(503), now, 0.5));
        assert_eq!(machine.health(), Health::Down);
    }

    #[test]
    fn any_answer_but_a_server_error_is_well() {
        for code in [200, 302, 401, 404, 405, 408, 483, 486, 501, 603] {
            assert!(Outcome::Answered(code).is_well(), "{code}");
        }
        for code in [500, 502, 503, 504, 513, 580] {
            assert!(!Outcome::Answered(code).is_well(), "{code}");
        }
    }

    #[test]
    fn a_forged_sign_only_hastens_the_probe() {
        let mut member = Member::new(false);
        member.probe(&WELL);
        for _ in 0..10 {
            assert!(!member.machine.sign("ICMP", false, member.now));
        }
        assert_eq!(member.machine.health(), Health::Up);
        assert_eq!(member.machine.due(), member.now);
        for _ in 0..2 {
            assert!(!member.machine.sign("no neighbour", true, member.now));
        }
        assert!(member.machine.sign("no neighbour", true, member.now));
        assert_eq!(member.machine.health(), Health::Down);
        assert!(!member.machine.sign("no neighbour", true, member.now));
    }

    #[test]
    fn jitter_stays_within_its_part() {
        let probe = Probe::default();
        let now = Instant::now();
        for (random, expected) in [(0.0, 9_000), (0.5, 10_000), (1.0, 11_000)] {
            let mut machine = Machine::new(probe, false, now, random);
            machine.take(&WELL, now, random);
            let pause = machine.due().duration_since(now);
            assert!(pause.abs_diff(Duration::from_millis(expected)) < Duration::from_millis(1));
        }
    }
}
