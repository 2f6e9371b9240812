//! What users want, and what phones know.

use super::history::Purpose;
use super::message::Contact;

/// What a phone knows of one of its flows.
#[derive(Clone, Copy, Default)]
pub(super) struct Registration {
    pub(super) generation: u32,
    pub(super) cseq: u32,
    pub(super) is_acknowledged: bool,
    pub(super) is_under_way: bool,
    /// Index of the first-stage node through which it was acknowledged.
    pub(super) node: usize,
}

/// Something that a user wants, and tries until it is done.
pub(super) struct Operation {
    pub(super) purpose: Purpose,
    pub(super) user: u32,
    /// What is registered.
    pub(super) contact: Option<Contact>,
    pub(super) attempts: u32,
    /// Index of the first-stage node that is tried first.
    pub(super) first_node: usize,
    /// When it is given up.
    pub(super) deadline: u64,
    pub(super) state: State,
}

/// How far it is.
pub(super) enum State {
    /// Tries at this time.
    Pausing(u64),
    Trying(Try),
}

/// One attempt.
pub(super) struct Try {
    /// Index of the first-stage node that is asked.
    pub(super) node: usize,
    pub(super) text: String,
    pub(super) began: u64,
    /// When it is sent again; none after a provisional response.
    pub(super) again: Option<u64>,
    pub(super) gives_up: u64,
}

impl Operation {
    /// Whether something is to be done at this time.
    pub(super) fn is_due(&self, now: u64) -> bool {
        match &self.state {
            State::Pausing(until) => *until <= now,
            State::Trying(one) => {
                one.gives_up <= now || one.again.is_some_and(|again| again <= now)
            }
        }
    }
}
