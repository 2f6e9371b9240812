//! Looking ahead: what the messages of a burst will need is asked for before the first of them is taken,
//! so that memory brings it side by side. With a million users nothing of one is near.

use smallvec::SmallVec;

use super::aor::AorId;
use super::layer::Location;
use super::table::NONE;
use crate::parse::lines::Lines;
use crate::parse::registers::Compiled;
use crate::parse::scan;

/// Messages whose AoRs are noted at most: those of a burst.
const AHEAD_MAX: usize = 32;
/// Messages that pass before wishes go a step further: about as many as memory needs for a step.
const STRIDE: usize = 4;
/// Steps of a wish: AoR, binding, text.
const STEPS: usize = 3;
const REGISTER: &[u8] = b"REGISTER ";
/// Lines among which To is looked for.
const LINES_MAX: usize = 10;

/// What the messages of a burst will need. All wishes that are in one part go a step further together, so that
/// nothing waits for memory, and memory works on many wishes at a time:
///
/// ```text
///   wishes of messages 0 to 3 │ 4 to 7 │ 8 to 11 │ 12 …
///          text: asked for    │ binding│ AoR     │ place in the index
/// ```
#[derive(Debug, Default)]
pub(super) struct Ahead {
    wishes: SmallVec<[Wish; AHEAD_MAX]>,
    /// How many of them have taken each step.
    ends: [usize; STEPS],
    /// Messages until the next step.
    until_step: usize,
}

/// What one message will need.
#[derive(Clone, Copy, Debug)]
struct Wish {
    id: AorId,
    /// The slot of its AoR, then that of its first binding.
    slot: u32,
    /// It will read the text of the binding, too.
    reads_text: bool,
}

impl Location {
    /// Notes what `message` is likely to need, and asks for the first of it with `fetch`, which is told
    /// addresses. It has an effect on time alone, so it only looks at AoRs in their usual form:
    /// `sip:user@host` in small letters, without escapes. After each message of a burst, noted or not,
    /// comes [`Self::look_on`].
    #[inline]
    pub fn foresee(&mut self, message: &[u8], fetch: impl Fn(*const u8)) {
        let Some(aor) = usual_aor(message) else { return };
        let id = AorId::of(&self.keys.aor, aor);
        self.table.fetch_index(id, fetch);
        if self.ahead.wishes.len() == AHEAD_MAX {
            self.ahead = Ahead::default();
        }
        // What a REGISTER that changes nothing else says of its binding is not read again.
        let reads_text = !message.starts_with(REGISTER);
        self.ahead.wishes.push(Wish { id, slot: NONE, reads_text });
    }

    /// All messages of a burst, so many, were looked at, and the first is to be taken: all that it needs is
    /// asked for. Before each further one comes [`Self::look_on`].
    #[inline]
    pub fn look_ahead(&mut self, messages: usize, fetch: impl Fn(*const u8)) {
        for _ in messages / STRIDE..=STEPS {
            self.step(&fetch);
        }
    }

    /// Asks for what messages need next that were noted some messages ago, when it is time to.
    #[inline]
    pub fn look_on(&mut self, fetch: impl Fn(*const u8)) {
        self.ahead.until_step = self.ahead.until_step.checked_sub(1).unwrap_or(STRIDE - 1);
        if self.ahead.until_step == 0 {
            self.step(fetch);
        }
    }

    #[inline]
    fn step(&mut self, fetch: impl Fn(*const u8)) {
        let Self { ahead, table, texts, .. } = self;
        let Ahead { wishes, ends: [aors, bindings, done], .. } = ahead;
        for wish in wishes.iter().take(*bindings).skip(*done).filter(|wish| wish.reads_text) {
            if let Some(binding) = table.binding(wish.slot) {
                texts.fetch(binding.rest, &fetch);
            }
        }
        for wish in wishes.iter_mut().take(*aors).skip(*bindings) {
            wish.slot = table.first_of(wish.slot);
            table.fetch_binding(wish.slot, &fetch);
        }
        for wish in wishes.iter_mut().skip(*aors) {
            wish.slot = table.look_up(wish.id);
            table.fetch_aor(wish.slot, &fetch);
        }
        (*done, *bindings, *aors) = (*bindings, *aors, wishes.len());
        if *done == wishes.len() {
            wishes.clear();
            ahead.ends = [0; STEPS];
        }
    }
}

/// The AoR of a request: of To in a REGISTER, else of the Request-URI.
#[inline]
fn usual_aor(message: &[u8]) -> Option<&[u8]> {
    if !message.starts_with(REGISTER) {
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
