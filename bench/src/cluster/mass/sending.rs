//! A message that is sent until it is answered.

use std::net::SocketAddr;

/// T1 and T2 (RFC 3261 section 17.1.1.1), in milliseconds.
const T1: u64 = 500;
const T2: u64 = 4_000;
/// Timers B, F and H: how long anybody goes on.
const GIVE_UP: u64 = 64 * T1;

/// Whose timer it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// A request of the operation with this number.
    Client(u64),
    /// The 200 of a phone in this call.
    Phone(u64),
}

/// A message and when it is sent again.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) text: String,
    pub(super) to: SocketAddr,
    /// When the timer fires next; all times are milliseconds.
    pub(super) due: u64,
    /// A provisional response came: it is sent no more.
    pub(super) is_proceeding: bool,
    interval: u64,
    interval_max: u64,
    gives_up: u64,
}

impl Sending {
    /// A message that is sent for the first time now. The pauses of an INVITE double for ever (timer A), those of others
    /// up to 4 s (timer E, section 13.3.1.4).
    pub(super) fn new(text: String, to: SocketAddr, is_invite: bool, now: u64) -> Self {
        let (due, gives_up) = (now + T1, now + GIVE_UP);
        let interval_max = if is_invite { GIVE_UP } else { T2 };
        Self { text, to, due, is_proceeding: false, interval: T1, interval_max, gives_up }
    }

    /// Whether nobody waits any longer.
    pub(super) fn is_over(&self, now: u64) -> bool {
        now >= self.gives_up
    }

    /// The timer has fired: sets it anew and says whether the message is sent again.
    pub(super) fn comes_again(&mut self, now: u64) -> bool {
        self.interval = (2 * self.interval).min(self.interval_max);
        self.due = (now + self.interval).min(self.gives_up);
        !self.is_proceeding
    }
}

#[cfg(test)]
mod tests {
    use super::Sending;

    /// When it is sent, and when given up.
    fn times(is_invite: bool) -> Vec<u64> {
        let to = "192.0.2.1:5060".parse().unwrap();
        let mut sending = Sending::new("INVITE".into(), to, is_invite, 0);
        let mut times = vec![0];
        while !sending.is_over(sending.due) {
            times.push(sending.due);
            assert!(sending.comes_again(sending.due));
        }
        times.push(sending.due);
        times
    }

    #[test]
    fn pauses_are_those_of_the_rfc() {
        assert_eq!(times(true), [0, 500, 1_500, 3_500, 7_500, 15_500, 31_500, 32_000]);
        let others = times(false);
        assert_eq!(others[..6], [0, 500, 1_500, 3_500, 7_500, 11_500]);
        assert_eq!((others.len(), others.last()), (12, Some(&32_000)));
    }

    #[test]
    fn who_has_heard_something_waits_in_silence() {
        let mut sending = Sending::new("INVITE".into(), "192.0.2.1:5060".parse().unwrap(), true, 0);
        sending.is_proceeding = true;
        assert!(!sending.comes_again(500) && !sending.is_over(31_999) && sending.is_over(32_000));
    }
}
