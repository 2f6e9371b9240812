//! Messages as packets: a message is cut into packets of at most [`PACKET_MAX`] bytes, because a
//! `SOCK_SEQPACKET` packet must fit the socket's send buffer while an epoch may be larger.
//!
//! A packet is one flag byte (1 on the last packet of a message, else 0) and a piece of the
//! message's postcard encoding.

use alloc::vec::Vec;
use serde::{Serialize, de::DeserializeOwned};

/// Largest packet in bytes: well under Linux's default `net.core.wmem_default` of 212,992.
pub const PACKET_MAX: usize = 65_536;
/// Largest message in bytes: an epoch with a million user prefixes stays well below.
pub const MESSAGE_MAX: usize = 256 << 20;

const MORE: u8 = 0;
const LAST: u8 = 1;

/// Why a message cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// An empty packet, or a flag byte that is neither 0 nor 1.
    BadFlag,
    /// The pieces add up to more than [`MESSAGE_MAX`].
    TooLarge,
    /// The bytes are not the encoding of the expected type.
    BadEncoding,
}

impl core::fmt::Display for FrameError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::BadFlag => "a packet without a valid flag byte",
            Self::TooLarge => "a message larger than the limit",
            Self::BadEncoding => "a message of another version or not ours",
        })
    }
}

impl core::error::Error for FrameError {}

/// Cuts `message` into packets, in the order in which to send them.
///
/// # Errors
/// [`FrameError::TooLarge`] for more than [`MESSAGE_MAX`] bytes, [`FrameError::BadEncoding`] when a
/// value has no encoding.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<Vec<u8>>, FrameError> {
    let bytes = postcard::to_allocvec(message).map_err(|_| FrameError::BadEncoding)?;
    if bytes.len() > MESSAGE_MAX {
        return Err(FrameError::TooLarge);
    }
    let count = bytes.chunks(PACKET_MAX - 1).len();
    let packet = |(index, piece): (usize, &[u8])| {
        let mut packet = Vec::with_capacity(1 + piece.len());
        packet.push(if index + 1 == count { LAST } else { MORE });
        packet.extend_from_slice(piece);
        packet
    };
    Ok(bytes.chunks(PACKET_MAX - 1).enumerate().map(packet).collect())
}

/// Puts packets together again.
#[derive(Debug, Default)]
pub struct Assembler {
    bytes: Vec<u8>,
}

impl Assembler {
    /// Takes one packet; gives a message when this packet was its last.
    ///
    /// # Errors
    /// Any [`FrameError`]; what was assembled so far is forgotten, and the connection should be closed.
    pub fn push<T: DeserializeOwned>(&mut self, packet: &[u8]) -> Result<Option<T>, FrameError> {
        let outcome = self.take(packet);
        if !matches!(outcome, Ok(None)) {
            self.bytes.clear();
        }
        outcome
    }

    fn take<T: DeserializeOwned>(&mut self, packet: &[u8]) -> Result<Option<T>, FrameError> {
        let (flag, piece) = packet.split_first().ok_or(FrameError::BadFlag)?;
        if self.bytes.len() + piece.len() > MESSAGE_MAX {
            return Err(FrameError::TooLarge);
        }
        self.bytes.extend_from_slice(piece);
        match *flag {
            MORE => Ok(None),
            LAST => {
                postcard::from_bytes(&self.bytes).map(Some).map_err(|_| FrameError::BadEncoding)
            }
            _ => Err(FrameError::BadFlag),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Assembler, FrameError, PACKET_MAX, encode};
    use alloc::string::String;

    #[test]
    fn a_large_message_survives_the_cutting() {
        let message = "x".repeat(3 * PACKET_MAX);
        let packets = encode(&message).unwrap();
        assert_eq!(packets.len(), 4);
        let mut assembler = Assembler::default();
        for packet in &packets[..3] {
            assert_eq!(assembler.push::<String>(packet), Ok(None));
        }
        assert_eq!(assembler.push::<String>(&packets[3]), Ok(Some(message)));
    }

    #[test]
    fn garbage_is_an_error_and_leaves_nothing_behind() {
        let mut assembler = Assembler::default();
        assert_eq!(assembler.push::<String>(&[]), Err(FrameError::BadFlag));
        assert_eq!(assembler.push::<String>(&[7, 1]), Err(FrameError::BadFlag));
        assert_eq!(assembler.push::<String>(&[1, 200, 200]), Err(FrameError::BadEncoding));
        let good = encode(&String::from("ok")).unwrap();
        assert_eq!(assembler.push::<String>(&good[0]), Ok(Some(String::from("ok"))));
    }
}
