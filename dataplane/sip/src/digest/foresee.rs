//! Looking ahead: the users of a burst are asked for before the first message of it is taken, so that memory
//! brings them side by side. Among a million, nobody is near.

use smallvec::SmallVec;

use super::claim::value_start;
use super::{Credentials, Digest, Role};
use crate::parse::lines::Lines;
use crate::parse::registers::Compiled;
use crate::parse::scan;
use crate::route::tables::Tables;

/// Messages that are looked at before the first of them is taken: those of a burst.
const AHEAD_MAX: usize = 32;

/// Header lines that are looked at in each.
const LINES_MAX: usize = 24;

/// The hashes of the users of a burst.
pub(super) type Ahead = SmallVec<[u64; AHEAD_MAX]>;

impl Digest {
    /// Notes whom `message`, a REGISTER, is likely to name. It has an effect on time alone, so it only looks at
    /// credentials that begin with the user name, and takes them for those of the first realm.
    #[inline]
    pub fn foresee(&mut self, message: &[u8], credentials: &Credentials, tables: &Tables) {
        let Some(realm) = tables.auth().realms.first() else { return };
        if self.ahead.len() < AHEAD_MAX
            && let Some(name) = usual_username(message)
        {
            self.ahead.push(credentials.hash(realm.as_bytes(), name));
        }
    }

    /// Asks for all that were noted; nothing in between waits for anything.
    #[inline]
    pub fn look_ahead(&mut self, credentials: &Credentials) {
        for &hash in &self.ahead {
            credentials.touch(hash);
        }
        self.ahead.clear();
    }
}

/// The name in `Authorization: Digest username="name"`.
fn usual_username(message: &[u8]) -> Option<&[u8]> {
    let end = message.len().min(crate::limits::RETRANSMISSION_MAX);
    let message = message.get(..end)?;
    let mut lines = Lines::new(Compiled, message, 0);
    for _ in 0..LINES_MAX {
        let line = lines.next_line();
        if line.is_empty() {
            return None;
        }
        let Some(at) = value_start(message, line, Role::Registrar) else { continue };
        let value = message.get(at..line.end as usize)?;
        let name = value.strip_prefix(b" Digest username=\"")?;
        let start = line.end as usize - name.len();
        let end = scan::find_stop(message, start, line.end as usize, [b'"']);
        return message.get(start..end);
    }
    None
}

#[cfg(test)]
mod tests {
    use std::prelude::v1::*;

    use super::usual_username;

    #[test]
    fn the_usual_name_is_found_and_no_other() {
        let message = |line: &str| format!("REGISTER sip:a SIP/2.0\r\nTo: b\r\n{line}\r\n\r\n");
        let found = |line: &str| {
            let message = message(line);
            usual_username(message.as_bytes()).map(<[u8]>::to_vec)
        };
        let line = "Authorization: Digest username=\"alice\", realm=\"r\"";
        assert_eq!(found(line).as_deref(), Some(&b"alice"[..]));
        for line in [
            "Authorization: Digest realm=\"r\", username=\"alice\"",
            "Via: x",
            "Authorization: Basic x",
        ] {
            assert_eq!(found(line), None, "{line}");
        }
        assert_eq!(usual_username(b""), None);
        assert_eq!(usual_username(b"REGISTER"), None);
    }
}
