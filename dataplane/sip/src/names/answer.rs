//! Where a name leads: addresses by priority and weight (RFC 2782), and the order in which they are asked.

use alloc::vec::Vec;
use core::net::SocketAddr;

use smallvec::SmallVec;

use super::question::NameQuestion;
use crate::limits::NAME_TARGETS_MAX;
use crate::route::dispatch;
use crate::route::tables::Tables;
use crate::route::target::is_one_host;
use crate::settings::Transport;

/// An answer, which all workers may share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameAnswer {
    /// What was asked.
    pub question: NameQuestion,
    /// Where it leads.
    pub outcome: NameOutcome,
    /// How long that counts, in milliseconds.
    pub ttl_ms: u32,
    /// How much longer it may be used while nobody can say anything newer, in milliseconds (RFC 8767).
    pub stale_ms: u32,
}

/// Where a name leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameOutcome {
    /// To these; of more than [`NAME_TARGETS_MAX`] the first count.
    Found(Vec<NameTarget>),
    /// To nowhere: there is no such name, or none with an address.
    NoSuchName,
    /// Nobody could say.
    Failed,
}

/// An address to which a name leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameTarget {
    /// The address.
    pub address: SocketAddr,
    /// What is spoken there.
    pub transport: Transport,
    /// Those of lower numbers are asked first.
    priority: u16,
    weight: u64,
    seed: u64,
}

/// How much more than one of weight 0 one of weight 1 is asked: the former are to have a very small chance (RFC 2782).
const WEIGHT_UNIT: u64 = 64;

impl NameTarget {
    /// One with its priority, lower numbers first, and its share among those of the same.
    pub fn new(address: SocketAddr, transport: Transport, priority: u16, weight: u16) -> Self {
        let weight = (u64::from(weight) * WEIGHT_UNIT).max(1);
        Self { address, transport, priority, weight, seed: dispatch::seed(address) }
    }

    /// Whether a request can go there from here.
    fn is_usable(&self, tables: &Tables) -> bool {
        is_one_host(self.address.ip()) && tables.sends_by(self.transport, self.address.is_ipv4())
    }
}

/// The addresses to which a request goes, the one that is asked first in front.
pub type NameHops = SmallVec<[NameTarget; NAME_TARGETS_MAX]>;

/// Puts those of `targets` that can be used into the order in which a transaction with this `key` asks them: by
/// priority, and within one at random by weight (RFC 2782), which is the same each time for the same key, so that
/// ACK and CANCEL go where their INVITE went (RFC 3263 section 4.4).
///
/// A draw of `-ln(u) / weight` for each, the smallest first, is drawing by weight without replacement
/// (Efraimidis and Spirakis 2006).
pub(super) fn order(targets: &[NameTarget], key: u64, tables: &Tables, hops: &mut NameHops) {
    hops.clear();
    let usable = targets.iter().take(NAME_TARGETS_MAX).filter(|one| one.is_usable(tables));
    let mut draws = SmallVec::<[u64; NAME_TARGETS_MAX]>::new();
    for target in usable {
        let draw = dispatch::draw(key, target.seed);
        let goes_first = |(other, drawn): &(&NameTarget, &u64)| {
            let by_draw = || draw * other.weight < **drawn * target.weight;
            target.priority < other.priority || target.priority == other.priority && by_draw()
        };
        let at = hops.iter().zip(&draws).position(|pair| goes_first(&pair));
        let at = at.unwrap_or(hops.len());
        hops.insert(at, *target);
        draws.insert(at, draw);
    }
}
