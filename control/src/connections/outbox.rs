//! What waits for a peer to read it.

use super::stream::Stream;
use crate::limits::WRITE_PIECES;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};

/// Bytes that have not been written, piece by piece. It holds no memory while there are none.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pieces: VecDeque<Piece>,
    /// Bytes of the first piece that have been written.
    written: usize,
    /// Bytes that wait.
    waiting: usize,
}

#[derive(Debug)]
struct Piece {
    bytes: Vec<u8>,
    /// Where the message in it begins; none when it holds none, such as a keep-alive.
    message_at: Option<u16>,
}

impl Outbox {
    /// Bytes that wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Appends bytes, in which a message begins at `message_at`, if one does. Answers to keep-alives make one
    /// piece: each for itself would take thirty times its length.
    pub(super) fn push(&mut self, bytes: &[u8], message_at: Option<u16>) {
        self.waiting += bytes.len();
        match self.pieces.back_mut() {
            Some(Piece { bytes: last, message_at: None }) if message_at.is_none() => {
                last.extend_from_slice(bytes);
            }
            _ => self.pieces.push_back(Piece { bytes: bytes.into(), message_at }),
        }
    }

    /// Writes what the socket takes; true when nothing is left. Gives the bytes and messages that have gone
    /// to `count`.
    pub(super) fn flush(
        &mut self,
        stream: &mut Stream,
        mut count: impl FnMut(usize, u64),
    ) -> io::Result<bool> {
        while !self.pieces.is_empty() {
            let mut slices = [IoSlice::new(&[]); WRITE_PIECES];
            let used = self.pieces.len().min(WRITE_PIECES);
            for (index, (slice, piece)) in slices.iter_mut().zip(&self.pieces).enumerate() {
                let from = if index == 0 { self.written } else { 0 };
                *slice = IoSlice::new(&piece.bytes[from..]);
            }
            match stream.write_vectored(&slices[..used]) {
                Ok(written) => {
                    let messages = self.take_away(written);
                    count(written, messages);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.pieces = VecDeque::new();
        stream.flush()
    }

    /// Forgets bytes that have been written; gives how many messages went with them.
    fn take_away(&mut self, mut written: usize) -> u64 {
        self.waiting -= written;
        let mut messages = 0;
        while let Some(piece) = self.pieces.front() {
            let left = piece.bytes.len() - self.written;
            if written < left {
                self.written += written;
                break;
            }
            written -= left;
            messages += u64::from(piece.message_at.is_some());
            self.written = 0;
            self.pieces.pop_front();
        }
        messages
    }

    /// The messages that have not gone, not even in part to their end.
    pub(super) fn unsent(&self) -> impl Iterator<Item = &[u8]> {
        self.pieces.iter().filter_map(|piece| {
            let at = usize::from(piece.message_at?);
            piece.bytes.get(at..)
        })
    }
}
