//! What a run counts.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Why a message that belongs to a call is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// The Via stack is not the one sent plus those of the hops in between.
    Via,
    /// The top Via's branch (in a response) or ours below it (in a request) is another.
    Branch,
    /// A tag is missing or another.
    Tags,
    /// CSeq does not fit.
    Cseq,
    /// The body was changed.
    Body,
    /// Max-Forwards was not counted down by one for each hop.
    MaxForwards,
}

/// Messages that are not what they should be, by what is wrong with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WrongCounts {
    /// Not readable as a SIP message.
    pub(crate) malformed: u64,
    /// Of no call that this run has made.
    pub(crate) foreign: u64,
    /// A message that the call does not expect at all.
    pub(crate) unexpected: u64,
    /// See [`Wrong::Via`].
    pub(crate) via: u64,
    /// See [`Wrong::Branch`].
    pub(crate) branch: u64,
    /// See [`Wrong::Tags`].
    pub(crate) tags: u64,
    /// See [`Wrong::Cseq`].
    pub(crate) cseq: u64,
    /// See [`Wrong::Body`].
    pub(crate) body: u64,
    /// See [`Wrong::MaxForwards`].
    pub(crate) max_forwards: u64,
}

impl WrongCounts {
    /// Counts one.
    pub(crate) fn add(&mut self, wrong: Wrong) {
        *match wrong {
            Wrong::Via => &mut self.via,
            Wrong::Branch => &mut self.branch,
            Wrong::Tags => &mut self.tags,
            Wrong::Cseq => &mut self.cseq,
            Wrong::Body => &mut self.body,
            Wrong::MaxForwards => &mut self.max_forwards,
        } += 1;
    }

    /// The sum of all.
    pub(crate) fn total(&self) -> u64 {
        self.malformed
            + self.foreign
            + self.unexpected
            + self.via
            + self.branch
            + self.tags
            + self.cseq
            + self.body
            + self.max_forwards
    }
}

impl fmt::Display for WrongCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [
            ("malformed", self.malformed),
            ("foreign", self.foreign),
            ("unexpected", self.unexpected),
            ("Via", self.via),
            ("branch", self.branch),
            ("tags", self.tags),
            ("CSeq", self.cseq),
            ("body", self.body),
            ("Max-Forwards", self.max_forwards),
        ];
        let some: Vec<String> = all
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(name, count)| format!("{name} {count}"))
            .collect();
        f.write_str(&some.join(", "))
    }
}

/// All counts of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    /// Calls (or registrations, or transactions) begun.
    pub(crate) calls: u64,
    /// Calls in which every message arrived as it should.
    pub(crate) completed: u64,
    /// Of these: while others were due, after the time to settle.
    pub(crate) carried: u64,
    /// Calls that did not complete.
    pub(crate) failed: u64,
    /// Of these: no answer in spite of retransmissions, or still open at the end.
    pub(crate) timed_out: u64,
    /// Of these: after the caller had its 200 to INVITE, so that a call that was up did not end properly.
    pub(crate) failed_up: u64,
    /// Of these: refused with a final response, by its status.
    pub(crate) refused: BTreeMap<u16, u64>,
    /// Calls that were going on undisturbed when the run ended.
    pub(crate) in_progress: u64,
    /// Messages sent, retransmissions included.
    pub(crate) sent: u64,
    /// Messages received.
    pub(crate) received: u64,
    /// Messages sent again.
    pub(crate) retransmissions: u64,
    /// Messages sent that did not arrive. A stateful target also absorbs some on purpose.
    pub(crate) lost: u64,
    /// Messages that arrived more often than they were sent.
    pub(crate) duplicates: u64,
    /// Messages overtaken by a later one of the same call and direction.
    pub(crate) reordered: u64,
    /// Messages of a call whose record was already given to another.
    pub(crate) late: u64,
    /// Provisional responses that the target made itself.
    pub(crate) provisional_by_target: u64,
    /// Messages that the operating system did not take.
    pub(crate) not_taken: u64,
    /// Requests that were to begin a call and found their connection full: the target reads more slowly.
    pub(crate) blocked: u64,
    /// Messages that are not what they should be.
    pub(crate) wrong: WrongCounts,
}
