//! Keep-alives for bindings behind NAT (RFC 5626 section 4.4), and their answers.
//!
//! ```text
//! z9hG4bK-tlk │ number 64 bits │ check 64 bits
//! ```
//!
//! The check is a keyed hash over the number, so that an answer tells itself from what others make up; nothing is
//! remembered for it.

use core::net::SocketAddr;

use super::layer::Location;
use crate::message::{Response, Span};
use crate::rewrite::branch::{Keys, hex16, read_hex};
use crate::rewrite::output::{Full, Output};
use crate::route::response::Ours;
use crate::route::tables::Tables;
use crate::settings::KeepAlive;

/// RFC 5626 section 3.5.1.
const CRLF: &[u8] = b"\r\n\r\n";
/// The branches of our OPTIONS begin so.
const PREFIX: &[u8] = b"z9hG4bK-tlk";

impl Location {
    /// Sends a binding what keeps its NAT open.
    pub(super) fn keep_alive(&mut self, slot: u32, tables: &Tables) {
        let Some(binding) = self.table.binding(slot) else { return };
        let (target, leave_from) = (binding.source(), binding.listen);
        let sent = match tables.registrar().keepalive {
            KeepAlive::Off => return,
            KeepAlive::Crlf => self.outbox.push(target, leave_from, |out| out.push(CRLF)),
            KeepAlive::Options => {
                self.scratch.clear();
                binding
                    .text(binding.text_length(), &self.texts)
                    .for_each(|part| self.scratch.extend_from_slice(part));
                let uri = self.scratch.get(..usize::from(binding.uri_length)).unwrap_or_default();
                let mark = binding.uri ^ self.now_ms;
                let listen = tables.listen_point(leave_from).address;
                let check = tables.keys.keep_alive(mark);
                self.outbox
                    .push(target, leave_from, |out| write_options(uri, listen, [mark, check], out))
            }
        };
        self.counts.keepalives += u64::from(sent.is_some());
    }

    /// Whether a response answers a keep-alive of ours. It has opened the NAT by then and goes nowhere.
    #[cold]
    pub fn take_keepalive_answer(&mut self, response: &Response<'_>, tables: &Tables) -> bool {
        let is_answer = answers(response, tables).is_some();
        self.counts.keepalives_answered += u64::from(is_answer);
        is_answer
    }
}

/// An OPTIONS to a binding, which says all that it must and no more.
fn write_options(
    uri: &[u8],
    listen: SocketAddr,
    [mark, check]: [u64; 2],
    out: &mut Output,
) -> Result<(), Full> {
    out.push(b"OPTIONS ")?;
    out.push(uri)?;
    out.push_fmt(format_args!(" SIP/2.0\r\nVia: SIP/2.0/UDP {listen};branch="))?;
    [PREFIX, &hex16(mark), &hex16(check)].iter().try_for_each(|part| out.push(part))?;
    out.push_fmt(format_args!(
        ";rport\r\nMax-Forwards: 1\r\nFrom: <sip:{listen}>;tag=keep-{mark:016x}\r\nTo: <"
    ))?;
    out.push(uri)?;
    out.push_fmt(format_args!(
        ">\r\nCall-ID: keep-{mark:016x}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    ))
}

/// The number of the keep-alive that a final response answers: our Via stands in it alone.
fn answers(response: &Response<'_>, tables: &Tables) -> Option<u64> {
    let ours = Ours::of(response, tables).ok()?;
    let has_more = ours.next(response).is_ok();
    (!has_more && response.status() >= 200).then_some(())?;
    read(response.bytes, ours.branch, &tables.keys)
}

/// The number in a branch that we gave.
fn read(bytes: &[u8], branch: Span, keys: &Keys) -> Option<u64> {
    let (mark, check) = branch.of(bytes).strip_prefix(PREFIX)?.split_at_checked(16)?;
    read_hex(mark).filter(|mark| hex16(keys.keep_alive(*mark)).as_slice() == check)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_is_known_again_and_cannot_be_made_up() {
        let keys = Keys::new(b"0123456789abcdef");
        let mut branch = [PREFIX, &hex16(7), &hex16(keys.keep_alive(7))].concat();
        let span = Span::new(0, branch.len());
        assert_eq!(read(&branch, span, &keys), Some(7));
        for at in 0..branch.len() {
            branch[at] ^= 1;
            assert_eq!(read(&branch, span, &keys), None, "{at}");
            branch[at] ^= 1;
        }
        assert_eq!(read(&branch, Span::new(0, branch.len() - 1), &keys), None);
    }
}
