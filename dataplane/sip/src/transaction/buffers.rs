//! Where a worker keeps the messages that it may have to send again.
//!
//! A pool of blocks of 128 bytes, two cache lines. A message takes as many as it needs, linked into
//! a ring; those that are free are a stack, linked the same way:
//!
//! ```text
//!   Text { last: 7, len: 300 }
//!              │
//!              ▼
//!   ┌──► [7 | 52 bytes ] ──► [4 | 124 bytes ] ──► [5 | 124 bytes ] ──┐      free ──► [6] ──► [2] ──► …
//!   └────────────────────────────────────────────────────────────────┘
//! ```
//!
//! A text knows its last block, and that one knows the first: so it is given back in one step, however
//! long it is. The link lies in the block: a text that is stored touches no other memory.

use alloc::vec::Vec;
use core::mem::replace;

use crate::rewrite::output::{Full, Output};

/// Bytes of a message in one block.
const ROOM: u32 = 124;
const ROOM_SIZE: usize = ROOM as usize;
/// No block.
const NONE: u32 = u32::MAX;

/// A message in the buffers. It must be given back to those that it is from, and only once: a copy
/// of it is worth nothing then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Text {
    last: u32,
    len: u32,
}

impl Text {
    /// No message; it takes no blocks.
    pub(crate) const NONE: Self = Self { last: NONE, len: 0 };

    /// Length in bytes.
    pub(crate) const fn len(self) -> usize {
        self.len as usize
    }

    /// Whether there is nothing in it.
    pub(crate) const fn is_empty(self) -> bool {
        self.len == 0
    }
}

impl Default for Text {
    fn default() -> Self {
        Self::NONE
    }
}

/// The message buffers of a worker.
#[derive(Debug)]
pub(crate) struct Buffers {
    blocks: Vec<Block>,
    /// The block on top of those that are free.
    free: u32,
    used: u32,
}

#[derive(Clone, Debug)]
#[repr(C, align(128))]
struct Block {
    bytes: [u8; ROOM_SIZE],
    next: u32,
}

impl Buffers {
    /// Buffers of so many blocks; the only allocation in their life, and all of their memory is
    /// written to here.
    pub(crate) fn new(blocks: u32) -> Self {
        let count = blocks.min(NONE - 1);
        let next = |index| if index + 1 < count { index + 1 } else { NONE };
        let block = |index| Block { bytes: [0xff; ROOM_SIZE], next: next(index) };
        let free = if count > 0 { 0 } else { NONE };
        Self { blocks: (0..count).map(block).collect(), free, used: 0 }
    }

    /// Bytes that so many blocks take.
    pub(crate) const fn memory(blocks: u32) -> usize {
        blocks as usize * size_of::<Block>()
    }

    /// Blocks that have a part of a message in them.
    pub(crate) const fn used(&self) -> u32 {
        self.used
    }

    /// Blocks, free or not.
    #[expect(clippy::cast_possible_truncation, reason = "made with a u32")]
    #[cfg(test)]
    pub(crate) const fn capacity(&self) -> u32 {
        self.blocks.len() as u32
    }

    /// Whether a message of `len` bytes can be stored now.
    pub(crate) const fn fits(&self, len: usize) -> bool {
        len.div_ceil(ROOM_SIZE) <= self.blocks.len() - self.used as usize
    }

    /// Stores `start` with `rest` behind it; None, and nothing is changed, when there is no room.
    pub(crate) fn store(&mut self, start: &[u8], rest: &[u8]) -> Option<Text> {
        let len = start.len().checked_add(rest.len()).filter(|len| self.fits(*len))?;
        let mut text = Text { last: NONE, len: u32::try_from(len).ok()? };
        let (first, mut pieces) = (self.free, [start, rest]);
        for _ in 0..text.len.div_ceil(ROOM) {
            let block = self.blocks.get_mut(self.free as usize)?;
            fill(&mut block.bytes, &mut pieces);
            text.last = replace(&mut self.free, block.next);
            self.used += 1;
        }
        if let Some(last) = self.blocks.get_mut(text.last as usize) {
            last.next = first;
        }
        Some(text)
    }

    /// Gives a message back, and makes it none.
    pub(crate) fn free(&mut self, text: &mut Text) {
        let Text { last, len } = replace(text, Text::NONE);
        if let Some(last) = self.blocks.get_mut(last as usize) {
            self.free = replace(&mut last.next, self.free);
            self.used = self.used.saturating_sub(len.div_ceil(ROOM));
        }
    }

    /// Adds a message to `out`.
    ///
    /// # Errors
    /// When it does not fit: `out` has a part of it then.
    pub(crate) fn copy_to(&self, text: Text, out: &mut Output) -> Result<(), Full> {
        let (mut at, mut left) = (text.last, text.len());
        while left > 0 {
            let Some(next) = self.blocks.get(at as usize).map(|block| block.next) else { break };
            let Some(block) = self.blocks.get(next as usize) else { break };
            let (part, _) = block.bytes.split_at(left.min(ROOM_SIZE));
            out.push(part)?;
            left -= part.len();
            at = next;
        }
        Ok(())
    }
}

/// Moves bytes from the beginning of the pieces into the block, until it is full or they are empty.
fn fill(mut block: &mut [u8], pieces: &mut [&[u8]; 2]) {
    for piece in pieces {
        let (part, left) = piece.split_at(piece.len().min(block.len()));
        let (room, behind) = block.split_at_mut(part.len());
        room.copy_from_slice(part);
        (*piece, block) = (left, behind);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    #[derive(Clone, Debug)]
    enum Step {
        Store(Vec<u8>, prop::sample::Index),
        Free(prop::sample::Index),
    }

    fn step() -> impl Strategy<Value = Step> {
        let message = prop::collection::vec(any::<u8>(), 0..700);
        prop_oneof![
            3 => (message, any::<prop::sample::Index>()).prop_map(|(text, cut)| Step::Store(text, cut)),
            2 => any::<prop::sample::Index>().prop_map(Step::Free),
        ]
    }

    fn read(buffers: &Buffers, text: Text) -> Vec<u8> {
        let mut out = Output::new();
        buffers.copy_to(text, &mut out).unwrap();
        out.bytes().to_vec()
    }

    fn blocks_of(len: usize) -> usize {
        len.div_ceil(ROOM_SIZE)
    }

    proptest! {
        #[test]
        fn what_is_stored_is_found_until_it_is_freed(
            blocks in 0..60_u32,
            steps in prop::collection::vec(step(), 1..80),
        ) {
            let mut buffers = Buffers::new(blocks);
            let mut kept: Vec<(Text, Vec<u8>)> = Vec::new();
            for step in steps {
                match step {
                    Step::Store(message, cut) => {
                        let (start, rest) = message.split_at(cut.index(message.len() + 1));
                        let fits = buffers.fits(message.len());
                        let text = buffers.store(start, rest);
                        prop_assert_eq!(text.is_some(), fits);
                        kept.extend(text.map(|text| (text, message)));
                    }
                    Step::Free(index) if !kept.is_empty() => {
                        let (mut text, _) = kept.swap_remove(index.index(kept.len()));
                        buffers.free(&mut text);
                        prop_assert_eq!(text, Text::NONE);
                    }
                    Step::Free(_) => {}
                }
                let used: usize = kept.iter().map(|(_, message)| blocks_of(message.len())).sum();
                prop_assert_eq!(buffers.used() as usize, used);
                for (text, message) in &kept {
                    prop_assert_eq!(text.len(), message.len());
                    prop_assert_eq!(&read(&buffers, *text), message);
                }
            }
            for (mut text, _) in kept {
                buffers.free(&mut text);
            }
            prop_assert_eq!(buffers.used(), 0);
            prop_assert!(buffers.fits(blocks as usize * ROOM_SIZE));
            prop_assert!(!buffers.fits(blocks as usize * ROOM_SIZE + 1));
        }
    }

    #[test]
    fn all_blocks_can_be_had_again_and_the_last_freed_come_first() {
        let mut buffers = Buffers::new(5);
        assert_eq!((buffers.capacity(), size_of::<Block>()), (5, 128));
        assert_eq!(Buffers::memory(5), 640);
        let mut first = buffers.store(&[1; 200], &[]).unwrap();
        let second = buffers.store(&[], &[2; 300]).unwrap();
        assert_eq!(buffers.store(&[3], &[]), None);
        let blocks = first.last;
        buffers.free(&mut first);
        buffers.free(&mut first); // Nothing is freed twice.
        assert_eq!(buffers.used(), 3);
        let again = buffers.store(&[4; 100], &[5; 100]).unwrap();
        assert_eq!(again.last, blocks);
        assert_eq!(read(&buffers, second), [2; 300]);
    }

    #[test]
    fn what_does_not_fit_the_output_is_an_error() {
        let mut buffers = Buffers::new(5);
        let text = buffers.store(&[7; 500], b"").unwrap();
        assert_eq!(buffers.copy_to(text, &mut Output::with_capacity(300)), Err(Full));
        assert_eq!(buffers.copy_to(Text::NONE, &mut Output::with_capacity(0)), Ok(()));
    }
}
