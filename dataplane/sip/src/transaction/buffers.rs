//! Where a worker keeps texts: the messages that it may have to send again, and what bindings say.
//!
//! A pool of blocks, of 256 bytes for messages: four cache lines. A message takes as many as it needs, each of which
//! knows the next; those that are free are a stack beside them:
//!
//! ```text
//!   Text { first: 7, len: 600 } ──► [7 | 252 bytes] ──► [4 | 252 bytes] ──► [5 | 96 bytes]
//!
//!   free:  … 2 6 9 │ top
//! ```
//!
//! With a million messages nothing of a free block is near. So whoever stores reads no block: the stack
//! says which ones, and memory takes what is written to them side by side.

use alloc::vec::Vec;
use core::mem::replace;
use core::ptr::from_ref;

use crate::rewrite::output::{Full, Output};

/// Bytes of a message in one block.
const MESSAGE_ROOM: usize = 252;
/// No block.
const NONE: u32 = u32::MAX;

/// A message in the buffers. It must be given back to those that it is from, and only once: a copy
/// of it is worth nothing then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Text {
    first: u32,
    len: u32,
}

impl Text {
    /// No message; it takes no blocks.
    pub(crate) const NONE: Self = Self { first: NONE, len: 0 };

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

/// The message buffers of a worker; with others than the default numbers, buffers for other texts.
#[derive(Debug)]
pub(crate) struct Buffers<const ROOM: usize = MESSAGE_ROOM, A = Pair> {
    blocks: Vec<Block<ROOM, A>>,
    /// Those that are free; the last freed come first.
    free: Vec<u32>,
}

/// Aligns blocks to a pair of cache lines, which come together.
#[derive(Clone, Copy, Debug)]
#[repr(align(128))]
pub(crate) struct Pair;

/// Aligns blocks to a cache line.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(crate) struct Line;

#[derive(Clone, Debug)]
#[repr(C)]
struct Block<const ROOM: usize, A> {
    alignment: [A; 0],
    bytes: [u8; ROOM],
    next: u32,
}

impl<const ROOM: usize, A> Buffers<ROOM, A> {
    /// Buffers of so many blocks; the only allocation in their life, and all of their memory is
    /// written to here.
    pub(crate) fn new(blocks: u32) -> Self {
        let count = blocks.min(NONE - 1);
        let block = |_| Block { alignment: [], bytes: [0xff; ROOM], next: NONE };
        Self { blocks: (0..count).map(block).collect(), free: (0..count).rev().collect() }
    }

    /// Bytes that so many blocks take.
    pub(crate) const fn memory(blocks: u32) -> usize {
        blocks as usize * (size_of::<Block<ROOM, A>>() + size_of::<u32>())
    }

    /// Blocks that have a part of a message in them.
    #[expect(clippy::cast_possible_truncation, reason = "made with a u32")]
    pub(crate) const fn used(&self) -> u32 {
        (self.blocks.len() - self.free.len()) as u32
    }

    /// Blocks, free or not.
    #[expect(clippy::cast_possible_truncation, reason = "made with a u32")]
    #[cfg(test)]
    pub(crate) const fn capacity(&self) -> u32 {
        self.blocks.len() as u32
    }

    /// Whether a message of `len` bytes can be stored now.
    pub(crate) const fn fits(&self, len: usize) -> bool {
        len.div_ceil(ROOM) <= self.free.len()
    }

    /// Stores `start` with `rest` behind it; None, and nothing is changed, when there is no room.
    pub(crate) fn store(&mut self, start: &[u8], rest: &[u8]) -> Option<Text> {
        let len = start.len().checked_add(rest.len())?;
        let count = len.div_ceil(ROOM);
        let top = self.free.len().checked_sub(count)?;
        let (mut next, mut pieces) = (self.free.iter().rev().skip(1), [start, rest]);
        let taken = self.free.get(top..)?;
        for &index in taken.iter().rev() {
            let block = self.blocks.get_mut(index as usize)?;
            fill(&mut block.bytes, &mut pieces);
            block.next = next.next().copied().unwrap_or(NONE);
        }
        let first = taken.last().copied().unwrap_or(NONE);
        self.free.truncate(top);
        Some(Text { first, len: u32::try_from(len).ok()? })
    }

    /// Gives a message back, and makes it none.
    pub(crate) fn free(&mut self, text: &mut Text) {
        let Text { mut first, len } = replace(text, Text::NONE);
        for left in (0..(len as usize).div_ceil(ROOM)).rev() {
            self.free.push(first); // As many as there are fit.
            if left > 0 {
                first = self.blocks.get(first as usize).map_or(NONE, |block| block.next);
            }
        }
    }

    /// Adds a message to `out`.
    ///
    /// # Errors
    /// When it does not fit: `out` has a part of it then.
    pub(crate) fn copy_to(&self, text: Text, out: &mut Output) -> Result<(), Full> {
        self.parts(text, text.len()).try_for_each(|part| out.push(part))
    }

    /// Asks for the first block of a message.
    #[inline]
    pub(crate) fn fetch(&self, text: Text, fetch: impl Fn(*const u8)) {
        if let Some(block) = self.blocks.get(text.first as usize) {
            fetch(from_ref(block).cast());
        }
    }

    /// The first `length` bytes of a message, in parts.
    #[inline]
    pub(crate) fn parts(&self, text: Text, length: usize) -> impl Iterator<Item = &[u8]> {
        let (mut at, mut left) = (text.first, length.min(text.len()));
        core::iter::from_fn(move || {
            let block = self.blocks.get(at as usize).filter(|_| left > 0)?;
            let (part, _) = block.bytes.split_at(left.min(ROOM));
            left -= part.len();
            at = block.next;
            Some(part)
        })
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
        let message = prop::collection::vec(any::<u8>(), 0..1400);
        prop_oneof![
            3 => (message, any::<prop::sample::Index>()).prop_map(|(text, cut)| Step::Store(text, cut)),
            2 => any::<prop::sample::Index>().prop_map(Step::Free),
        ]
    }

    type Messages = Buffers;

    fn read(buffers: &Messages, text: Text) -> Vec<u8> {
        let mut out = Output::new();
        buffers.copy_to(text, &mut out).unwrap();
        out.bytes().to_vec()
    }

    fn blocks_of(len: usize) -> usize {
        len.div_ceil(MESSAGE_ROOM)
    }

    proptest! {
        #[test]
        fn what_is_stored_is_found_until_it_is_freed(
            blocks in 0..60_u32,
            steps in prop::collection::vec(step(), 1..80),
        ) {
            let mut buffers = Messages::new(blocks);
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
            prop_assert!(buffers.fits(blocks as usize * MESSAGE_ROOM));
            prop_assert!(!buffers.fits(blocks as usize * MESSAGE_ROOM + 1));
        }
    }

    #[test]
    fn all_blocks_can_be_had_again_and_the_last_freed_come_first() {
        let mut buffers = Messages::new(5);
        assert_eq!((buffers.capacity(), size_of::<Block<MESSAGE_ROOM, Pair>>()), (5, 256));
        assert_eq!(Messages::memory(5), 5 * 260);
        let mut first = buffers.store(&[1; 400], &[]).unwrap();
        let second = buffers.store(&[], &[2; 600]).unwrap();
        assert_eq!(buffers.store(&[3], &[]), None);
        buffers.free(&mut first);
        buffers.free(&mut first); // Nothing is freed twice.
        assert_eq!(buffers.used(), 3);
        let again = buffers.store(&[4; 200], &[5; 200]).unwrap();
        assert_eq!(read(&buffers, again), [[4; 200], [5; 200]].concat());
        assert_eq!(read(&buffers, second), [2; 600]);
    }

    #[test]
    fn what_does_not_fit_the_output_is_an_error() {
        let mut buffers = Messages::new(5);
        let text = buffers.store(&[7; 1000], b"").unwrap();
        assert_eq!(buffers.copy_to(text, &mut Output::with_capacity(300)), Err(Full));
        assert_eq!(buffers.copy_to(Text::NONE, &mut Output::with_capacity(0)), Ok(()));
    }
}
