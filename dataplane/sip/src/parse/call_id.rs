//! The Call-ID of a message that nobody has parsed yet.

use super::header::HeaderLines;
use crate::limits::MESSAGE_MAX;

/// The value of the first Call-ID line of `message`, full name or compact (RFC 3261 sections 8.1.1.4, 20.8); `None`
/// when there is none. All else is left to the parser, so that this costs a fraction of it.
#[inline]
pub fn call_id(message: &[u8]) -> Option<&[u8]> {
    let message = message.get(..MESSAGE_MAX).unwrap_or(message);
    HeaderLines::new(message, 0).next_call_id().map(|value| value.of(message))
}

#[cfg(test)]
mod tests {
    use std::prelude::v1::*;

    use super::call_id;

    #[test]
    fn it_is_found_in_every_spelling_and_nowhere_else() {
        for (text, expected) in [
            ("BYE sip:a SIP/2.0\r\nVia: x\r\nCall-ID: 1@h\r\n\r\n", Some("1@h")),
            ("SIP/2.0 200 OK\r\ni:2@h \r\n\r\n", Some("2@h")),
            ("BYE sip:a SIP/2.0\r\ncall-id  :\r\n 3@h\r\nI: 4\r\n\r\n", Some("3@h")),
            ("INVITE sip:a SIP/2.0\r\nSubject: a\r\n Call-ID: no\r\ni: 5\r\n\r\n", Some("5")),
            ("BYE sip:a SIP/2.0\r\nVia: x\r\n\r\nCall-ID: 1@h\r\n", None),
            ("BYE sip:a SIP/2.0\r\nCall-ID: 1@h", None),
            ("\r\n\r\n", None),
            ("", None),
        ] {
            let found = call_id(text.as_bytes());
            assert_eq!(found, expected.map(str::as_bytes), "{text:?}");
        }
    }
}
