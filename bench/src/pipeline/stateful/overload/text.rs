//! What callers and those who flood send, as templates: only numbers are written into them.

use super::super::ends::{DIGITS, digits};
use super::super::sent::Sent;
use crate::corpus::{self, CALLER, CALLER_SIDE, FLOODER};
use core::fmt::Write as _;

/// A number that stands for all of them: as long as any, and nowhere else in the message.
const MARK: usize = 98_765_432;
/// A message of which only the number changes.
#[derive(Debug)]
pub(super) struct Template {
    text: Vec<u8>,
    marks: Vec<usize>,
}

impl Template {
    /// The INVITE of an honest call.
    pub(super) fn invite() -> Self {
        Self::new(corpus::invite(MARK))
    }

    /// The INVITE of who floods.
    pub(super) fn flood() -> Self {
        Self::new(corpus::invite(MARK).replace(CALLER, FLOODER))
    }

    fn new(text: String) -> Self {
        let text = text.into_bytes();
        let marks = memchr::memmem::find_iter(&text, MARK.to_string().as_bytes()).collect();
        Self { text, marks }
    }

    /// The message of this number, below 100,000,000.
    pub(super) fn of(&mut self, number: u32) -> &[u8] {
        let digits = digits(number as usize);
        for mark in &self.marks {
            self.text[*mark..mark + DIGITS].copy_from_slice(&digits);
        }
        &self.text
    }
}

/// Writes the ACK to a response that refuses an INVITE: it has the branch of the INVITE (RFC 3261 section 17.1.1.3).
pub(super) fn acknowledge(refusal: &Sent<'_>, message: &mut String) {
    message.clear();
    let number = refusal.number;
    let to = refusal.line("To:").unwrap_or_default();
    let _ = write!(
        message,
        "ACK sip:service@{CALLER_SIDE} SIP/2.0\r\n\
         Via: SIP/2.0/UDP {CALLER};branch=z9hG4bK-{number:08}-0\r\n\
         Max-Forwards: 70\r\n\
         From: \"Caller {number:08}\" <sip:caller{number:08}@example.com>;tag=caller-{number:08}\r\n\
         {to}\r\n\
         Call-ID: {number:08}-4711@{CALLER}\r\n\
         CSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ack_has_the_branch_of_its_invite() {
        let invite = String::from_utf8(Template::invite().of(12_345_678).to_vec()).unwrap();
        let response = corpus::response(&invite, "503 Service Unavailable", true, 12_345_678);
        let mut ack = String::new();
        acknowledge(&Sent::read(response.as_bytes()).unwrap(), &mut ack);
        for header in ["Via:", "From:", "Call-ID:"] {
            let line = |text: &str| {
                text.split("\r\n").find(|line| line.starts_with(header)).map(str::to_owned)
            };
            assert_eq!(line(&invite), line(&ack), "{header}");
        }
        assert!(ack.contains(";tag=callee-12345678\r\n"), "{ack}");
        assert!(memchr::memmem::find(Template::flood().of(1), CALLER.as_bytes()).is_none());
    }
}
