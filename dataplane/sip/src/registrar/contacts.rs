//! The Contacts of a REGISTER (RFC 3261 sections 10.2 and 20.10, RFC 5626 section 4).

use super::{Asked, Refused};
use crate::limits::BINDING_TEXT_MAX;
use crate::location::Location;
use crate::message::Span;
use crate::parse::name_addr;
use crate::parse::params::{Param, Params};
use crate::parse::{digits, scan};

/// Time of a binding whose `expires` cannot be read, in seconds (RFC 3261 section 20.10).
const MALFORMED_EXPIRES_S: u32 = 3_600;
const MALFORMED: Refused = Refused::Malformed("Malformed Contact");

/// RFC 3261 section 10.3 step 6.
const STAR_AND_OTHERS: Refused = Refused::Malformed("Contact * Needs Expires 0 And Nothing Else");

/// One Contact, and what is to be done about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) uri: Span,
    pub(super) uri_hash: u64,
    /// With its quotes; empty when there is none.
    pub(super) instance: Span,
    pub(super) instance_hash: u64,
    /// 0 when there is none, or it does not count.
    pub(super) reg_id: u32,
    pub(super) q: u16,
    /// 0 removes the binding.
    pub(super) expires_s: u32,
    pub(super) plan: Plan,
}

/// What is to be done about a Contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// There is no such binding to be removed.
    Nothing,
    /// A new binding.
    Add,
    /// The binding in this slot was set by the same request.
    Again(u32),
    /// The binding in this slot is changed.
    Update {
        slot: u32,
        /// It keeps its text.
        is_same: bool,
    },
    /// The binding in this slot is removed.
    Remove(u32),
}

impl Plan {
    /// The binding that it is about.
    pub(super) fn slot(self) -> Option<u32> {
        match self {
            Self::Again(slot) | Self::Update { slot, .. } | Self::Remove(slot) => Some(slot),
            Self::Nothing | Self::Add => None,
        }
    }
}

impl Asked<'_> {
    /// `Contact: *` (RFC 3261 section 10.2.2).
    pub(super) fn is_star(&self) -> bool {
        self.fields.contacts(self.request).any(|value| value.of(self.request.bytes) == b"*")
    }

    /// The time that the header Expires asks for, in seconds; without one the default.
    fn expires_s(&self) -> u32 {
        let value = self.fields.expires;
        if value.is_empty() {
            self.tables.registrar().default_expires_s
        } else {
            digits::decimal(self.request.bytes, value).unwrap_or(MALFORMED_EXPIRES_S)
        }
    }
}

impl Location {
    /// Reads all Contacts, and the Path.
    #[inline]
    pub(super) fn read_contacts(&mut self, asked: &Asked<'_>) -> Result<(), Refused> {
        let (bytes, fields) = (asked.request.bytes, asked.fields);
        self.work.wanted.clear();
        self.work.path.clear();
        let default_s = asked.expires_s();
        for value in fields.contacts(asked.request) {
            if value.of(bytes) == b"*" {
                // RFC 3261 section 10.3 step 6.
                let is_alone = fields.contacts.is_single();
                if !is_alone || fields.expires.is_empty() || default_s != 0 {
                    return Err(STAR_AND_OTHERS);
                }
                continue;
            }
            self.read_line(bytes, value, default_s)?;
        }
        for value in fields.paths(asked.request) {
            let comma: &[u8] = if self.work.path.is_empty() { b"" } else { b", " };
            if self.work.path.len() + value.len() + comma.len() > BINDING_TEXT_MAX {
                return Err(Refused::Malformed("Path Too Long"));
            }
            self.work.path.extend_from_slice(comma);
            self.work.path.extend_from_slice(value.of(bytes));
        }
        Ok(())
    }

    /// Reads the Contacts of one line.
    #[inline]
    fn read_line(&mut self, bytes: &[u8], value: Span, default_s: u32) -> Result<(), Refused> {
        let (mut at, end) = (value.start(), value.end());
        loop {
            if is_star_among_others(bytes.get(at..end).unwrap_or_default()) {
                return Err(STAR_AND_OTHERS);
            }
            let (mut contact, stop) = read(bytes, at, end, default_s).ok_or(MALFORMED)?;
            contact.uri_hash = self.hash_uri(contact.uri.of(bytes));
            contact.instance_hash = self.hash_instance(contact.instance.of(bytes));
            if contact.instance.is_empty() {
                contact.reg_id = 0; // RFC 5626 section 6: it is ignored then.
            }
            if self.work.wanted.len() == self.work.wanted.capacity() {
                return Err(Refused::OverLimit("Too Many Contacts"));
            }
            self.work.wanted.push(contact);
            if stop >= end {
                return Ok(());
            }
            at = stop + 1;
        }
    }
}

/// Reads the Contact at `at`, up to a comma or `end`; gives where it ends.
#[inline]
fn read(bytes: &[u8], at: usize, end: usize, default_s: u32) -> Option<(Wanted, usize)> {
    let uri = name_addr::uri_span(bytes, scan::skip_lws(bytes, at, end), end)?;
    let after = if bytes.get(uri.end()) == Some(&b'>') { uri.end() + 1 } else { uri.end() };
    let mut found = Wanted {
        uri,
        uri_hash: 0,
        instance: Span::default(),
        instance_hash: 0,
        reg_id: 0,
        q: 1_000,
        expires_s: default_s,
        plan: Plan::Nothing,
    };
    let mut params = Params::new(bytes, after, end);
    while let Some(param) = params.next_param().ok()? {
        let Param { name, value, .. } = param;
        match name.len() {
            1 if scan::is_name(bytes, name, b"q") => found.q = q_value(value.of(bytes))?,
            6 if scan::is_name(bytes, name, b"reg-id") => {
                found.reg_id =
                    digits::decimal(bytes, value).filter(|id| (1..1 << 31).contains(id))?;
            }
            7 if scan::is_name(bytes, name, b"expires") => {
                found.expires_s = digits::decimal(bytes, value).unwrap_or(MALFORMED_EXPIRES_S);
            }
            13 if scan::is_name(bytes, name, b"+sip.instance") => found.instance = value,
            _ => {}
        }
    }
    Some((found, params.at()))
}

/// Whether one of the Contacts of a line has a reg-id (RFC 5626 section 4.2).
pub(super) fn has_reg_id(bytes: &[u8], value: Span) -> bool {
    let (mut at, end) = (value.start(), value.end());
    while let Some((contact, stop)) = read(bytes, at, end, 0) {
        if contact.reg_id != 0 {
            return true;
        }
        if stop >= end {
            return false;
        }
        at = stop + 1;
    }
    false
}

/// `qvalue = ( "0" [ "." 0*3DIGIT ] ) / ( "1" [ "." 0*3("0") ] )`, in thousandths.
fn q_value(text: &[u8]) -> Option<u16> {
    let (whole, part) = match text {
        [whole] => (whole, &[][..]),
        [whole, b'.', part @ ..] if part.len() <= 3 => (whole, part),
        _ => return None,
    };
    let mut thousandths = match whole {
        b'0' => 0,
        b'1' => 1_000,
        _ => return None,
    };
    for (&digit, unit) in part.iter().zip([100, 10, 1]) {
        if !digit.is_ascii_digit() {
            return None;
        }
        thousandths += u16::from(digit - b'0') * unit;
    }
    (thousandths <= 1_000).then_some(thousandths)
}

/// Whether the first of these values is `*`, which is no name before a URI.
fn is_star_among_others(values: &[u8]) -> bool {
    let rest = values.trim_ascii_start().strip_prefix(b"*");
    rest.is_some_and(|rest| rest.trim_ascii_start().first().is_none_or(|byte| *byte == b','))
}

#[cfg(test)]
mod tests {
    use super::q_value;

    /// RFC 3261 section 25.1.
    #[test]
    fn q_values_are_thousandths() {
        for (text, q) in
            [("1", 1000), ("0", 0), ("0.5", 500), ("0.123", 123), ("1.000", 1000), ("0.", 0)]
        {
            assert_eq!(q_value(text.as_bytes()), Some(q), "{text}");
        }
        for text in ["", "2", "1.1", "0.1234", ".5", "0,5", "0.x"] {
            assert_eq!(q_value(text.as_bytes()), None, "{text}");
        }
    }
}
