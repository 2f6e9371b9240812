//! A message that the appliance sent, read as far as an answer to it needs.

use crate::corpus::{CALLEE, CALLER};
use anyhow::{Context, Result};
use core::fmt::Write as _;

/// The message, and what is looked at in it.
pub(super) struct Sent<'a> {
    /// Its start line.
    pub(super) start: &'a str,
    /// The number of its call.
    pub(super) number: usize,
    headers: &'a str,
    cseq: &'a str,
}

const CALL_ID: &str = "\r\nCall-ID: ";
const CSEQ: &str = "\r\nCSeq: ";

impl<'a> Sent<'a> {
    /// Reads a message of ours, or one that we copied from.
    ///
    /// # Errors
    /// When it is not.
    pub(super) fn read(message: &'a [u8]) -> Result<Self> {
        let end = memchr::memmem::find(message, b"\r\n\r\n").context("a message without end")?;
        let message = std::str::from_utf8(&message[..end])?;
        let (start, _) = message.split_once("\r\n").context("a message without headers")?;
        let call = value(message, CALL_ID).context("a message without Call-ID")?;
        let (number, _) = call.split_once('-').context("a Call-ID that is not ours")?;
        let cseq = value(message, CSEQ).context("a message without CSeq")?;
        Ok(Self { start, number: number.parse()?, headers: &message[start.len()..], cseq })
    }

    /// The method of a request, the status code of a response.
    pub(super) fn what(&self) -> &'a str {
        let start = self.start.strip_prefix("SIP/2.0 ").unwrap_or(self.start);
        start.split(' ').next().unwrap_or(start)
    }

    /// Whether it belongs to the INVITE's transaction.
    pub(super) fn is_of_invite(&self) -> bool {
        self.cseq.ends_with(" INVITE")
    }

    /// Writes what the callee answers.
    pub(super) fn answer(&self, status: &str, message: &mut String) {
        message.clear();
        let _ = write!(message, "SIP/2.0 {status}\r\n");
        for line in self.lines() {
            let copied = ["Via:", "Record-Route:", "From:", "Call-ID:", "CSeq:"];
            if copied.iter().any(|name| line.starts_with(name)) {
                let _ = write!(message, "{line}\r\n");
            } else if line.starts_with("To:") {
                let _ = write!(message, "{line}");
                if !line.contains(";tag=") {
                    let _ = write!(message, ";tag=callee-{}", self.number);
                }
                message.push_str("\r\n");
            }
        }
        let _ = write!(message, "Contact: <sip:service@{CALLEE}>\r\nContent-Length: 0\r\n\r\n");
    }

    /// Writes the request with which the caller goes on after this response, along its Record-Routes
    /// (RFC 3261 section 12.1.2).
    pub(super) fn request(&self, method: &str, cseq: u32, message: &mut String) {
        message.clear();
        let number = self.number;
        let _ = write!(
            message,
            "{method} sip:service@{CALLEE} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {CALLER};branch=z9hG4bK-{number:08}-{method}\r\n\
             Max-Forwards: 70\r\n"
        );
        let routes = self.lines().filter_map(|line| line.strip_prefix("Record-Route:"));
        let mut routes: Vec<&str> = routes.collect();
        routes.reverse();
        for route in routes {
            let _ = write!(message, "Route:{route}\r\n");
        }
        for line in self.lines() {
            if ["From:", "To:", "Call-ID:"].iter().any(|name| line.starts_with(name)) {
                let _ = write!(message, "{line}\r\n");
            }
        }
        let _ = write!(
            message,
            "CSeq: {cseq} {method}\r\n\
             Contact: <sip:caller{number:08}@{CALLER}>\r\n\
             Content-Length: 0\r\n\r\n"
        );
    }

    /// The first header line that begins so.
    pub(super) fn line(&self, name: &str) -> Option<&'a str> {
        self.lines().find(|line| line.starts_with(name))
    }

    fn lines(&self) -> impl Iterator<Item = &'a str> {
        self.headers.split("\r\n").filter(|line| !line.is_empty())
    }
}

fn value<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    let start = memchr::memmem::find(message.as_bytes(), name.as_bytes())? + name.len();
    message[start..].split("\r\n").next()
}
