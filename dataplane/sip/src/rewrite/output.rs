//! A byte buffer of fixed capacity that a worker uses over and over.

use alloc::vec::Vec;
use core::fmt;

use crate::limits::OUTPUT_MAX;

/// A byte buffer that never grows: what does not fit is an error.
#[derive(Debug)]
pub struct Output {
    bytes: Vec<u8>,
}

/// The output is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the output buffer is full")
    }
}

impl core::error::Error for Full {}

impl Default for Output {
    fn default() -> Self {
        Self::new()
    }
}

impl Output {
    /// An empty buffer for [`OUTPUT_MAX`] bytes; the only allocation in its life.
    pub fn new() -> Self {
        Self::with_capacity(OUTPUT_MAX)
    }

    /// An empty buffer for at least `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity) }
    }

    /// A buffer for nothing, which holds the place of another.
    pub(crate) const fn empty() -> Self {
        Self { bytes: Vec::new() }
    }

    /// Forgets what is in it.
    #[inline]
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// What is in it.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many bytes are in it.
    #[inline]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing is in it.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Adds `bytes`, all of them or none.
    #[inline]
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Full> {
        if bytes.len() > self.bytes.capacity() - self.bytes.len() {
            return Err(Full);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// What lies behind the first `length` bytes, to be changed in place.
    pub(crate) fn tail_mut(&mut self, length: usize) -> &mut [u8] {
        self.bytes.get_mut(length..).unwrap_or_default()
    }

    /// Forgets what lies behind the first `length` bytes.
    pub(crate) fn truncate(&mut self, length: usize) {
        self.bytes.truncate(length);
    }

    /// Adds formatted text.
    pub(crate) fn push_fmt(&mut self, text: fmt::Arguments<'_>) -> Result<(), Full> {
        fmt::Write::write_fmt(&mut Writer(self), text).map_err(|_| Full)
    }
}

struct Writer<'a>(&'a mut Output);

impl fmt::Write for Writer<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.push(text.as_bytes()).map_err(|_| fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn push_beyond_capacity_is_an_error_and_changes_nothing() {
        let mut output = Output::with_capacity(4);
        let room = output.bytes.capacity();
        output.push(&vec![b'x'; room - 1]).unwrap();
        assert_eq!(output.push(b"yz"), Err(Full));
        assert_eq!(output.len(), room - 1);
        output.push(b"y").unwrap();
        assert_eq!(output.push_fmt(format_args!("{}", 1)), Err(Full));
        output.clear();
        assert!(output.is_empty());
    }
}
