//! Protection of a worker: of sources that send too much, before anything is parsed ([`sources`]), and of more work
//! than it can do ([`shedding`]).

mod plan;
mod shedding;
mod sort;
mod sources;
mod trusted;

pub(crate) use plan::OverloadPlan;
pub use shedding::{Judgement, SheddingCounts};
pub(crate) use sort::SHED_TAG;
pub use sources::{Ban, Excess, SourceNet};

use core::net::IpAddr;

use crate::parse::header::HeaderId;
use crate::route::tables::Tables;
use crate::{Feedback, Headers, Reply, Transport};
use shedding::Shedding;
use sort::{Kind, sort};
use sources::Sources;

/// What one worker knows of its load, and of those who make it.
#[derive(Debug)]
pub struct Overload {
    sources: Sources,
    shedding: Shedding,
    bans: u64,
}

/// How it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverloadState {
    /// Parts of INVITE and REGISTER, and of other requests outside of dialogs, that are taken: in thousandths.
    pub parts: [u64; 2],
    /// For how long no queue has run empty, in nanoseconds.
    pub stands_ns: u64,
    /// How many bans there were.
    pub bans: u64,
    /// What else is counted.
    pub counts: SheddingCounts,
}

impl Overload {
    /// Room for about so many sources. Nobody who does not know `secret` can choose addresses that push each other
    /// out.
    pub fn new(sources: u32, secret: &[u8; 16]) -> Self {
        let sources = Sources::new(sources, secret);
        Self { sources, shedding: Shedding::default(), bans: 0 }
    }

    /// Takes note of a message that has come from `source`, before it is read.
    ///
    /// # Errors
    /// Why it is to be dropped.
    #[inline]
    pub fn admit(&mut self, source: IpAddr, tables: &Tables, now_ns: u64) -> Result<(), Excess> {
        let Some(plan) = &tables.overload().sources else { return Ok(()) };
        let taken = self.sources.take(source, plan, now_ns);
        self.bans += u64::from(matches!(taken, Err(Excess::NewlyBanned(_))));
        taken
    }

    /// Ends the ban of a source; whether it was banned.
    pub fn unban(&mut self, source: SourceNet) -> bool {
        self.sources.unban(source)
    }

    /// A queue gave as much as could be taken at once: more is waiting there.
    #[inline]
    pub fn note_full(&mut self, now_ns: u64) {
        self.shedding.note_full(now_ns);
    }

    /// All queues ran empty.
    #[inline]
    pub fn note_empty(&mut self) {
        self.shedding.note_empty();
    }

    /// So many nanoseconds were spent on messages.
    #[inline]
    pub fn note_busy(&mut self, spent_ns: u64) {
        self.shedding.note_busy(spent_ns);
    }

    /// Says what time it is, before the messages of a burst are judged.
    #[inline]
    pub fn set_time(&mut self, now_ns: u64, tables: &Tables) {
        self.shedding.set_time(now_ns, tables.overload());
    }

    /// Whether new work is taken in part only.
    #[inline]
    pub fn is_shedding(&self) -> bool {
        self.shedding.is_shedding()
    }

    /// What becomes of a message that came over `transport`.
    #[inline]
    pub fn judge(&mut self, message: &[u8], transport: Transport, tables: &Tables) -> Judgement {
        if !self.shedding.judges() {
            return Judgement::Take;
        }
        self.shedding.judge(message, transport, tables.overload())
    }

    /// Whether [`Self::skims`] can be asked before anything else: new work is shed, and sources are not limited, so that nobody
    /// has to know whom it came from.
    #[inline]
    pub fn skims_first(&self, tables: &Tables) -> bool {
        self.shedding.is_shedding() && tables.overload().sources.is_none()
    }

    /// Whether a message that came by UDP is to be dropped at once, without an answer: told from its beginning alone,
    /// as cheaply as can be. What is not dropped is [judged](Self::judge) later.
    #[inline]
    pub fn skims(&mut self, message: &[u8], tables: &Tables) -> bool {
        self.shedding.is_shedding() && self.shedding.skims(message, tables.overload())
    }

    /// What clients that ask for it are told now, in every response.
    #[inline]
    pub fn feedback(&self, tables: &Tables) -> Option<Feedback> {
        self.shedding.feedback(tables.overload())
    }

    /// How it stands.
    pub fn state(&self) -> OverloadState {
        OverloadState {
            parts: self.shedding.parts(),
            stands_ns: self.shedding.stands_ns(),
            bans: self.bans,
            counts: self.shedding.counts,
        }
    }
}

impl Judgement {
    /// The answer, if there is one.
    pub fn reply(self) -> Option<Reply> {
        match self {
            Self::Answer { retry_after_s, tag, feedback } => {
                Some(Reply::Overloaded { retry_after_s, tag, feedback })
            }
            _ => None,
        }
    }
}

/// Whether a message is a request that opens something: outside of a dialog, and neither ACK nor CANCEL.
pub fn is_new_request(message: &[u8]) -> bool {
    matches!(sort(message), Kind::First { .. } | Kind::Other { .. })
}

/// Whether `to_tag` is that of an answer to what was shed, whose ACK has these headers.
pub(crate) fn is_shed_tag(
    to_tag: &[u8],
    bytes: &[u8],
    headers: &Headers,
    plan: &OverloadPlan,
) -> bool {
    let via = sort::topmost(headers.value(HeaderId::Via).of(bytes));
    to_tag.strip_prefix(SHED_TAG) == Some(plan.shed_tag(via).as_slice())
}
