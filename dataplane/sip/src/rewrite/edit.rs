//! Edits against a received message.
//!
//! Nearly all edits lie before or in the first headers. So the data plane writes a new prefix of
//! the message and moves only that; what lies behind the last edit stays where it is:
//!
//! ```text
//! old   |-- prefix with edits --|--------- the rest, untouched ---------|
//! new |-- new prefix (longer) --|--------- the rest, untouched ---------|
//! ```
//!
//! A change that keeps its length (Max-Forwards 70 -> 69) is a patch: it is made in place and does
//! not lengthen the prefix.

use alloc::vec::Vec;

use super::output::{Full, Output};
use crate::limits::{EDIT_TEXT_MAX, EDITS_MAX};
use crate::message::Span;

/// The edits of one message; a worker uses one list over and over.
#[derive(Debug)]
pub struct EditList {
    /// Sorted by position; those at one position apply in the order they came.
    edits: Vec<Edit>,
    text: Output,
    patch: Option<Patch>,
    overflow: bool,
}

/// Replaces the bytes of `old` by the text `text` of the list.
#[derive(Clone, Copy, Debug)]
struct Edit {
    old: Span,
    text: Span,
}

/// A number that is written over another one, right-aligned over blanks.
#[derive(Clone, Copy, Debug)]
struct Patch {
    at: Span,
    value: u8,
}

impl Default for EditList {
    fn default() -> Self {
        Self::new()
    }
}

impl EditList {
    /// An empty list; the only allocation in its life.
    pub fn new() -> Self {
        Self {
            edits: Vec::with_capacity(EDITS_MAX),
            text: Output::with_capacity(EDIT_TEXT_MAX),
            patch: None,
            overflow: false,
        }
    }

    /// Forgets all edits.
    #[inline]
    pub fn clear(&mut self) {
        self.edits.clear();
        self.text.clear();
        self.patch = None;
        self.overflow = false;
    }

    /// How many bytes the message grows by; negative when it shrinks.
    #[inline]
    pub fn growth(&self) -> isize {
        self.edits.iter().fold(0, |growth, edit| {
            growth + edit.text.len().cast_signed() - edit.old.len().cast_signed()
        })
    }

    /// Makes the changes that keep their length, in place. To be called before
    /// [`Self::emit_prefix`], which copies what they change.
    #[inline]
    pub fn patch(&self, message: &mut [u8]) {
        let Some(Patch { at, mut value }) = self.patch else { return };
        let digits = message.get_mut(at.start()..at.end()).unwrap_or_default();
        // White space before a value means nothing, so that "100" becomes " 99".
        digits.fill(b' ');
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + value % 10;
            value /= 10;
            if value == 0 {
                break;
            }
        }
    }

    /// Appends the new prefix of `message` to `out` and returns how many bytes of the old message
    /// it replaces. The rest of the message follows unchanged.
    #[inline]
    pub fn emit_prefix(&self, message: &[u8], out: &mut Output) -> Result<usize, Full> {
        if self.overflow {
            return Err(Full);
        }
        let mut at = 0;
        for edit in &self.edits {
            out.push(message.get(at..edit.old.start()).unwrap_or_default())?;
            out.push(edit.text.of(self.text.bytes()))?;
            at = at.max(edit.old.end());
        }
        Ok(at)
    }

    /// Deletes `old`.
    #[inline]
    pub(crate) fn delete(&mut self, old: Span) {
        self.add(Edit { old, text: Span::default() });
    }

    /// Puts `text` in place of `old`, which may be empty.
    #[inline]
    pub(crate) fn replace(&mut self, old: Span, text: &[u8]) {
        let start = self.text.len();
        self.push(text);
        self.finish(old, start);
    }

    /// Begins the text of an edit that is put together from parts: [`Self::push`], [`Self::text_from`],
    /// then [`Self::finish`] with what this returns.
    #[inline]
    pub(crate) fn begin(&self) -> usize {
        self.text.len()
    }

    /// Adds a part to the text that was begun.
    #[inline]
    pub(crate) fn push(&mut self, part: &[u8]) {
        self.overflow |= self.text.push(part).is_err();
    }

    /// Adds what `write` writes to the text that was begun.
    #[inline]
    pub(crate) fn push_with(&mut self, write: impl FnOnce(&mut Output) -> Result<(), Full>) {
        self.overflow |= write(&mut self.text).is_err();
    }

    /// The text that was begun at `start`, to be changed in place.
    #[inline(always)]
    pub(crate) fn text_from(&mut self, start: usize) -> &mut [u8] {
        self.text.tail_mut(start)
    }

    /// Puts the text that was begun at `start` in place of `old`, which may be empty.
    #[inline]
    pub(crate) fn finish(&mut self, old: Span, start: usize) {
        self.add(Edit { old, text: Span::new(start, self.text.len()) });
    }

    /// Writes `value` over the digits at `at`, which are as many or more.
    #[inline]
    pub(crate) fn set_number(&mut self, at: Span, value: u8) {
        self.patch = Some(Patch { at, value });
    }

    #[inline]
    fn add(&mut self, edit: Edit) {
        if self.edits.len() >= EDITS_MAX {
            self.overflow = true;
            return;
        }
        let after = self.edits.iter().rposition(|other| other.old.start() <= edit.old.start());
        let place = after.map_or(0, |after| after + 1);
        if place == self.edits.len() {
            self.edits.push(edit);
        } else {
            self.edits.insert(place, edit);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::prelude::v1::*;

    use super::*;

    fn applied(edits: &EditList, message: &[u8]) -> String {
        let mut message = message.to_vec();
        let mut out = Output::new();
        edits.patch(&mut message);
        let used = edits.emit_prefix(&message, &mut out).unwrap();
        out.push(&message[used..]).unwrap();
        assert_eq!(out.len().cast_signed() - message.len().cast_signed(), edits.growth());
        String::from_utf8(out.bytes().to_vec()).unwrap()
    }

    #[test]
    fn edits_apply_in_order_of_position() {
        let mut edits = EditList::new();
        edits.delete(Span::new(6, 8));
        let start = edits.begin();
        edits.push(b"Xyy");
        edits.text_from(start)[1] = b'Y';
        edits.finish(Span::new(2, 2), start);
        edits.replace(Span::new(2, 2), b"Z");
        edits.replace(Span::new(4, 5), b"four");
        assert_eq!(applied(&edits, b"0123456789"), "01XYyZ23four589");
        edits.clear();
        assert_eq!(applied(&edits, b"same"), "same");
    }

    #[test]
    fn patch_keeps_the_length() {
        for (old, new, text) in [("70", 69, "69"), ("100", 99, " 99"), ("1", 0, "0")] {
            let mut edits = EditList::new();
            edits.set_number(Span::new(0, old.len()), new);
            assert_eq!(applied(&edits, old.as_bytes()), text);
        }
    }

    #[test]
    fn too_much_text_is_an_error() {
        let mut edits = EditList::new();
        edits.replace(Span::new(0, 0), &vec![b'x'; 2 * EDIT_TEXT_MAX]);
        assert_eq!(edits.emit_prefix(b"a", &mut Output::new()), Err(Full));
        edits.clear();
        assert_eq!(edits.emit_prefix(b"a", &mut Output::new()), Ok(0));
    }
}
