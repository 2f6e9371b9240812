//! The place of a branch, which is in our Via, so that a response says itself where it belongs.
//!
//! ```text
//! z9hG4bK-tl2 │ worker 8 │ slot 26 │ branch 5 │ generation 25 │ check 64 bits
//! ```
//!
//! The check is a keyed hash over the rest and over a random number of this process: a place that we
//! did not give cannot be made up, and one of before a restart does not count.

use crate::rewrite::branch::{self, Branch, STATEFUL_LENGTH, STATEFUL_PREFIX, hex16};
use crate::route::tables::Tables;

pub(super) const SLOT_BITS: u32 = 26;
const NUMBER_BITS: u32 = 5;
const GENERATION_BITS: u32 = 25;
/// Generations of a slot count below this.
pub(super) const GENERATIONS: u32 = 1 << GENERATION_BITS;

/// A branch of a transaction, as long as that lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BranchId {
    pub(super) slot: u32,
    pub(super) number: u8,
    pub(super) generation: u32,
}

impl BranchId {
    /// As it stands in our Via.
    pub(super) fn pack(self, worker: u8) -> u64 {
        let above = u64::from(worker) << SLOT_BITS | u64::from(self.slot);
        let place = above << NUMBER_BITS | u64::from(self.number);
        place << GENERATION_BITS | u64::from(self.generation)
    }

    /// The worker and the branch.
    #[expect(clippy::cast_possible_truncation, reason = "each is cut to its bits")]
    pub(super) fn unpack(place: u64) -> (u8, Self) {
        let generation = place as u32 & (GENERATIONS - 1);
        let place = place >> GENERATION_BITS;
        let number = place as u8 & ((1 << NUMBER_BITS) - 1);
        let place = place >> NUMBER_BITS;
        let slot = place as u32 & ((1 << SLOT_BITS) - 1);
        ((place >> SLOT_BITS) as u8, Self { slot, number, generation })
    }
}

/// A branch of ours that an ICMP error quotes; whether it is really ours its worker finds out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotedBranch {
    place: u64,
    check: [u8; 16],
}

impl QuotedBranch {
    /// The worker whose transaction it would be.
    pub fn worker(&self) -> u8 {
        BranchId::unpack(self.place).0
    }

    /// The branch, when we gave it.
    pub(super) fn verified(&self, tables: &Tables, boot: u64) -> Option<BranchId> {
        let (_, id) = BranchId::unpack(self.place);
        (hex16(tables.keys.place(self.place, boot)) == self.check).then_some(id)
    }
}

/// The branch of a transaction of ours in the beginning of a request that an ICMP error quotes; its
/// Via must be whole.
pub fn quoted_branch(datagram: &[u8]) -> Option<QuotedBranch> {
    let at = datagram.windows(STATEFUL_PREFIX.len()).position(|part| part == STATEFUL_PREFIX)?;
    // A response to one of our requests is quoted by nobody: we send none with our own Via on top.
    if datagram.starts_with(b"SIP/2.0 ") {
        return None;
    }
    let (place, check) = branch::read_place(datagram.get(at..at + STATEFUL_LENGTH)?)?;
    Some(QuotedBranch { place, check: check.try_into().ok()? })
}

/// The branch text of a place of ours, in a Via that `asks` for the load of the next hop or not.
pub(super) fn branch_text(
    id: BranchId,
    worker: u8,
    boot: u64,
    asks: bool,
    tables: &Tables,
) -> Branch {
    let place = id.pack(worker);
    let check = tables.keys.place(place, boot);
    if asks { Branch::Asking(place, check) } else { Branch::Stateful(place, check) }
}

const _: () = assert!(8 + SLOT_BITS + NUMBER_BITS + GENERATION_BITS == 64);
const _: () = assert!(crate::limits::BRANCHES_MAX <= 1 << NUMBER_BITS);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_there_and_back() {
        for (worker, slot, number, generation) in
            [(0, 0, 0, 0), (255, (1 << SLOT_BITS) - 1, 31, GENERATIONS - 1), (3, 70_000, 2, 99)]
        {
            let id = BranchId { slot, number, generation };
            assert_eq!(BranchId::unpack(id.pack(worker)), (worker, id));
        }
    }

    #[test]
    fn quoted_requests_name_their_worker() {
        let id = BranchId { slot: 5, number: 1, generation: 7 };
        let quoted = [
            &b"OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK-tl2"[..],
            &hex16(id.pack(9)),
            &hex16(77),
            b"\r\nMax-For",
        ]
        .concat();
        assert_eq!(quoted_branch(&quoted).map(|quoted| quoted.worker()), Some(9));
        for end in 0..quoted.len() - 9 {
            assert_eq!(quoted_branch(&quoted[..end]), None);
        }
    }
}
