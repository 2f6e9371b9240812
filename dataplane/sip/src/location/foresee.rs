//! Looking ahead: what the messages of a burst will need is asked for before the first of them is taken,
//! so that memory brings it side by side. With a million users nothing of one is near.

use core::hint::black_box;

use smallvec::SmallVec;

use super::aor::AorId;
use super::layer::Location;
use super::table::NONE;
use crate::parse::lines::Lines;
use crate::parse::registers::Compiled;
use crate::parse::scan;

/// Messages that are looked at before the first of them is taken: those of a burst.
const AHEAD_MAX: usize = 32;
/// Lines among which To is looked for.
const LINES_MAX: usize = 10;

/// What the messages of a burst will need.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    ids: SmallVec<[AorId; AHEAD_MAX]>,
}

impl Location {
    /// Notes what `message` is likely to need. It has an effect on time alone, so it only looks at AoRs in
    /// their usual form: `sip:user@host` in small letters, without escapes.
    #[inline]
    pub fn foresee(&mut self, message: &[u8]) {
        if self.ahead.ids.len() < AHEAD_MAX
            && let Some(aor) = usual_aor(message)
        {
            self.ahead.ids.push(AorId::of(&self.keys.aor, aor));
        }
    }

    /// Asks for all that was noted: first the index, then AoRs, then bindings. Nothing in a pass waits for
    /// anything, so that memory has as many wishes at a time as it can work on.
    #[inline]
    pub fn look_ahead(&mut self) {
        let (table, ids) = (&self.table, &mut self.ahead.ids);
        if ids.is_empty() {
            return;
        }
        black_box(ids.iter().fold(0, |all, &id| all ^ table.touch_index(id)));
        let slots: SmallVec<[u32; AHEAD_MAX]> = ids.iter().map(|&id| table.look_up(id)).collect();
        black_box(slots.iter().fold(0, |all, &slot| all ^ table.touch(slot)));
        let bindings: SmallVec<[u32; AHEAD_MAX]> =
            ids.iter().map(|&id| table.find(id).map_or(NONE, |slot| table.touch(slot))).collect();
        black_box(bindings.iter().fold(0, |all, &slot| all ^ table.touch_binding(slot)));
        ids.clear();
    }
}

/// The AoR of a request: of To in a REGISTER, else of the Request-URI.
#[inline]
fn usual_aor(message: &[u8]) -> Option<&[u8]> {
    if !message.starts_with(b"REGISTER ") {
        let start = message.iter().take(16).position(|&byte| byte == b' ')? + 1;
        return user_at_host(message, start);
    }
    let mut lines = Lines::new(Compiled, message, 0);
    for _ in 0..LINES_MAX {
        let line = lines.next_line();
        if line.is_empty() {
            return None;
        }
        let start = line.start as usize;
        if message.get(start..)?.starts_with(b"To: ") {
            let end = line.end as usize;
            let open = message.get(start..end)?.iter().position(|&byte| byte == b'<')?;
            return user_at_host(message, start + open + 1);
        }
    }
    None
}

/// `user@host` behind `sip:`, which stands at `start`.
#[inline]
fn user_at_host(message: &[u8], start: usize) -> Option<&[u8]> {
    let rest = message.get(start..)?.strip_prefix(b"sip:")?;
    let start = message.len() - rest.len();
    let end = scan::find_stop(message, start, message.len().min(start + 256), [b'>', b':', b';']);
    message.get(start..end).filter(|text| text.contains(&b'@'))
}

#[cfg(test)]
mod tests {
    use std::prelude::v1::*;

    use super::usual_aor;

    #[test]
    fn the_usual_aor_is_found() {
        let register =
            b"REGISTER sip:example.com SIP/2.0\r\nVia: x\r\nFrom: y\r\nTo: \"A\" <sip:a@b>\r\n\r\n";
        assert_eq!(usual_aor(register), Some(&b"a@b"[..]));
        let invite = b"INVITE sip:a@b;x SIP/2.0\r\nTo: <sip:c@d>\r\n\r\n";
        assert_eq!(usual_aor(invite), Some(&b"a@b"[..]));
        for other in [
            "",
            "x",
            "INVITE tel:1 SIP/2.0\r\n\r\n",
            "REGISTER sip:a@b SIP/2.0\r\n\r\n",
            "SIP/2.0 200 OK\r\n\r\n",
        ] {
            assert_eq!(usual_aor(other.as_bytes()), None, "{other}");
        }
    }
}
