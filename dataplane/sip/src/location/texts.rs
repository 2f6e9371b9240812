//! The texts of bindings: the first bytes in the record, the rest in blocks of a cache line.

use super::binding::{Binding, START};
use crate::transaction::{Buffers, Line, Text};

/// Blocks of 64 bytes.
pub(super) type Texts = Buffers<60, Line>;

/// The three parts of a binding's text.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Said<'a> {
    /// Contact URI.
    pub(crate) uri: &'a [u8],
    /// Value of `+sip.instance` with its quotes; empty when there is none.
    pub(crate) instance: &'a [u8],
    /// Values of Path, with commas between them; empty when there is none.
    pub(crate) path: &'a [u8],
}

impl Said<'_> {
    /// Length of all.
    pub(crate) fn len(&self) -> usize {
        self.uri.len() + self.instance.len() + self.path.len()
    }
}

/// Bytes of blocks that a text of this length takes.
pub(super) fn rest_length(length: usize) -> usize {
    length.saturating_sub(START)
}

impl Binding {
    /// Keeps a text, in place of the one before. False, and nothing is changed, when there is no room.
    pub(super) fn keep(
        &mut self,
        said: &Said<'_>,
        texts: &mut Texts,
        scratch: &mut alloc::vec::Vec<u8>,
    ) -> bool {
        scratch.clear();
        for part in [said.uri, said.instance, said.path] {
            scratch.extend_from_slice(part);
        }
        let (start, rest) = scratch.split_at(scratch.len().min(START));
        let Some(rest) = texts.store(rest, &[]) else { return false };
        texts.free(&mut self.rest);
        self.rest = rest;
        if let Some(place) = self.start.get_mut(..start.len()) {
            place.copy_from_slice(start);
        }
        let length = |part: &[u8]| u16::try_from(part.len()).unwrap_or(0);
        self.uri_length = length(said.uri);
        self.instance_length = length(said.instance);
        self.path_length = length(said.path);
        true
    }

    /// So much of the beginning of its text, in parts.
    #[inline]
    pub(super) fn text<'t>(
        &'t self,
        length: usize,
        texts: &'t Texts,
    ) -> impl Iterator<Item = &'t [u8]> {
        let (start, _) = self.start.split_at(length.min(START));
        core::iter::once(start).chain(texts.parts(self.rest, rest_length(length)))
    }

    /// Gives the blocks of its text back.
    pub(super) fn forget_text(&mut self, texts: &mut Texts) {
        texts.free(&mut self.rest);
    }
}

/// A text of no binding.
pub(super) fn push(texts: &Texts, text: Text, out: &mut alloc::vec::Vec<u8>) {
    texts.parts(text, text.len()).for_each(|part| out.extend_from_slice(part));
}
