//! What happened, in the order in which it ended: the history that the [checker](super::checker) goes through.

use super::message::Contact;
use anyhow::{Context as _, Result};
use serde::Serialize;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// What a user wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Purpose {
    /// A phone registers a new Contact.
    Register,
    /// A call under load.
    Call,
    /// A call when all is well again: who has registered must be reached.
    Check,
    /// The end of a call that was up.
    HangUp,
}

/// One request and its final response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    /// Attempts of one operation have its number: a caller tries again, elsewhere.
    pub(super) operation: u32,
    pub(super) purpose: Purpose,
    pub(super) user: u32,
    /// The first-stage node that it was sent to.
    pub(super) node: String,
    /// What is registered, or who answered.
    pub(super) contact: Option<Contact>,
    /// Milliseconds since the beginning of the run.
    pub(super) began: u64,
    pub(super) ended: u64,
    /// Final status; 0 when there was none.
    pub(super) answer: u16,
}

/// One line of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Attempt(Attempt),
    /// Something was broken at this time: milliseconds since the beginning, and what.
    Fault(u64, String),
    /// All was whole again.
    Healed(u64),
}

/// A line as it is written.
#[derive(Serialize)]
struct Line<'a> {
    ms: u64,
    op: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contact: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<&'a str>,
}

impl<'a> Line<'a> {
    fn of(event: &'a Event) -> Self {
        let empty = Line {
            ms: 0,
            op: "healed",
            operation: None,
            aor: None,
            node: None,
            contact: None,
            answer: None,
            latency_ms: None,
            fault: None,
        };
        match event {
            Event::Fault(ms, what) => Line { ms: *ms, op: "fault", fault: Some(what), ..empty },
            Event::Healed(ms) => Line { ms: *ms, ..empty },
            Event::Attempt(attempt) => Line {
                ms: attempt.began,
                op: match attempt.purpose {
                    Purpose::Register => "register",
                    Purpose::Call => "call",
                    Purpose::Check => "check",
                    Purpose::HangUp => "bye",
                },
                operation: Some(attempt.operation),
                aor: Some(super::message::aor(attempt.user)),
                node: Some(&attempt.node),
                contact: attempt.contact.map(Contact::user_part),
                answer: Some(attempt.answer),
                latency_ms: Some(attempt.ended - attempt.began),
                ..empty
            },
        }
    }
}

/// Writes a history as JSON lines.
///
/// # Errors
/// When it cannot be written.
pub(super) fn write(events: &[Event], path: &Path) -> Result<()> {
    let file = File::create(path).with_context(|| path.display().to_string())?;
    let mut file = BufWriter::new(file);
    for event in events {
        serde_json::to_writer(&mut file, &Line::of(event))?;
        file.write_all(b"\n")?;
    }
    file.flush().with_context(|| path.display().to_string())
}
