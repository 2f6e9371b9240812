//! What is asked: a name, and what its URI says beside it.

use core::fmt;

use crate::limits::HOST_NAME_MAX;
use crate::message::Span;
use crate::settings::Transport;

/// A host name in a message, where a request is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostName {
    pub(crate) host: Span,
    /// The port of its URI; 0 when there is none.
    pub(crate) port: u16,
    /// The transport that its URI asks for.
    pub(crate) transport: Option<Transport>,
}

impl HostName {
    /// The question where it leads, which `bytes` holds; `None` when it can be no host name.
    #[inline]
    pub fn question(&self, bytes: &[u8]) -> Option<NameQuestion> {
        NameQuestion::new(self.host.of(bytes), self.port, self.transport)
    }
}

/// Where does this name lead? Names are equal in any case.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct NameQuestion {
    /// In lower case, without a dot at its end, and zeros behind it.
    name: [u8; HOST_NAME_MAX],
    length: u8,
    port: u16,
    transport: Option<Transport>,
}

impl NameQuestion {
    /// The question for a name, with the port of its URI, or 0, and the transport that it asks for. `None` for what is
    /// no host name (RFC 3261 section 25.1; an underscore is let pass, since names with one are in use).
    #[expect(clippy::cast_possible_truncation, reason = "HOST_NAME_MAX fits")]
    pub fn new(name: &[u8], port: u16, transport: Option<Transport>) -> Option<Self> {
        let name = name.strip_suffix(b".").unwrap_or(name);
        let mut own = [0; HOST_NAME_MAX];
        let mut label = 0;
        for (to, byte) in own.get_mut(..name.len())?.iter_mut().zip(name) {
            let byte = byte.to_ascii_lowercase();
            label = match byte {
                b'.' if label > 0 => 0,
                b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' if label < LABEL_MAX => label + 1,
                _ => return None,
            };
            *to = byte;
        }
        // What ends in a number is an address, or meant to be one.
        let top = name.rsplit(|&byte| byte == b'.').next()?;
        let is_name = label > 0 && top.first()?.is_ascii_alphabetic();
        is_name.then_some(Self { name: own, length: name.len() as u8, port, transport })
    }

    /// The name in lower case, without a dot at its end.
    #[inline]
    pub fn name(&self) -> &[u8] {
        self.name.get(..self.length.into()).unwrap_or_default()
    }

    /// The port that was given; 0 for none.
    #[inline]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The transport that was asked for.
    #[inline]
    pub fn transport(&self) -> Option<Transport> {
        self.transport
    }
}

/// Longest label (RFC 1035 section 2.3.4).
const LABEL_MAX: u8 = 63;

impl fmt::Debug for NameQuestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} {:?}", self.name().escape_ascii(), self.port, self.transport)
    }
}

#[cfg(test)]
mod tests {
    use std::prelude::v1::*;

    use super::*;

    #[test]
    fn names_are_the_same_in_any_case_and_with_a_dot_behind() {
        let name = |text: &str| NameQuestion::new(text.as_bytes(), 0, None);
        assert_eq!(name("SIP.Example.ORG."), name("sip.example.org"));
        assert_ne!(name("sip.example.org"), NameQuestion::new(b"sip.example.org", 5060, None));
        assert!(name("localhost").is_some() && name("_sip._udp.example.org").is_some());
        let (long, longest) = ("a".repeat(64), format!("{}org", "abcdefg.".repeat(31)));
        assert!(name(&longest).is_some() && name(&format!("a{longest}")).is_some());
        for text in ["", ".", "a..b", ".a", "a b", "1.2.3", "300.1.1.1", "a.1", &long, "a;b"] {
            assert!(name(text).is_none(), "{text}");
        }
        assert!(name(&format!("abcd.{longest}")).is_none());
    }
}
