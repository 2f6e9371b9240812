//! What a next hop tells us of its load, in the Via of ours that comes back with its responses (RFC 7339 section 4):
//! the counterpart of [`feedback`](super::feedback).

use crate::message::{Response, Span};
use crate::parse::digits;
use crate::parse::header::HeaderId;
use crate::parse::params::Params;

/// What stands in our Via where we ask to be told (RFC 7339 sections 4.1, 4.2).
pub(crate) const ASK: &[u8] = b";oc;oc-algo=\"loss\"";

/// For how long a value counts that says nothing of that, in milliseconds (RFC 7339 section 4.3).
const VALIDITY_MS: u32 = 500;

/// By how much we are to send less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// Per cent of requests that are to be kept back; 0 to 100.
    pub(crate) percent: u8,
    /// For how long, in milliseconds; 0 ends it.
    pub(crate) validity_ms: u32,
    /// Of two the one with the greater number is newer; in units of 10^-5. None where there is none.
    pub(crate) sequence: Option<u64>,
}

/// What our Via on top of `response` says; `None` when it tells nothing, or what we do not understand. That the Via
/// is ours must have been proved by its branch.
pub(crate) fn told(response: &Response<'_>) -> Option<Told> {
    let via = response.headers.value(HeaderId::Via);
    let text = via.of(response.bytes);
    // Most often it comes back just as we wrote it.
    let is_as_written = text.ends_with(ASK) && memchr::memchr(b',', text).is_none();
    if is_as_written { None } else { read(response.bytes, via) }
}

fn read(bytes: &[u8], via: Span) -> Option<Told> {
    let begin = memchr::memchr(b';', via.of(bytes))?;
    let mut params = Params::new(bytes, via.start() + begin, via.end());
    let (mut percent, mut validity_ms, mut sequence) = (None, VALIDITY_MS, None);
    while let Some(param) = params.next_param().ok()? {
        let (name, value) = (param.name.of(bytes), param.value);
        if name.eq_ignore_ascii_case(b"oc") {
            let value = digits::decimal(bytes, value).and_then(|value| u8::try_from(value).ok());
            percent = value.filter(|percent| *percent <= 100);
        } else if name.eq_ignore_ascii_case(b"oc-algo") {
            // One of those that we named, which is one.
            if !value.of(bytes).trim_ascii().eq_ignore_ascii_case(b"\"loss\"") {
                return None;
            }
        } else if name.eq_ignore_ascii_case(b"oc-validity") {
            validity_ms = digits::decimal(bytes, value)?;
        } else if name.eq_ignore_ascii_case(b"oc-seq") {
            sequence = Some(read_sequence(value.of(bytes))?);
        }
    }
    Some(Told { percent: percent?, validity_ms, sequence })
}

/// `1*12DIGIT "." 1*5DIGIT` in units of 10^-5.
fn read_sequence(text: &[u8]) -> Option<u64> {
    let dot = memchr::memchr(b'.', text)?;
    let (whole, part) = (text.get(..dot)?, text.get(dot + 1..)?);
    if !(1..=12).contains(&whole.len()) || !(1..=5).contains(&part.len()) {
        return None;
    }
    let zeros = core::iter::repeat_n(&b'0', 5 - part.len());
    whole.iter().chain(part).chain(zeros).try_fold(0_u64, |value, &byte| {
        byte.is_ascii_digit().then(|| value * 10 + u64::from(byte - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(via: &str) -> Option<(u8, u32, Option<u64>)> {
        let told = read(via.as_bytes(), Span::new(0, via.len()))?;
        Some((told.percent, told.validity_ms, told.sequence))
    }

    #[test]
    fn values_are_read_as_the_grammar_has_them() {
        for (via, expected) in [
            (
                "U a;branch=1;oc=20;oc-algo=\"loss\";oc-validity=1000;oc-seq=12.045",
                (20, 1_000, Some(1_204_500)),
            ),
            (
                "U a;oc-seq=1282321615.78199;OC=100;x=\"oc=7\";branch=1",
                (100, 500, Some(128_232_161_578_199)),
            ),
            ("U a;oc=0;oc-validity=0, U b;oc=50", (0, 0, None)),
            ("U [::1]:5060;oc = 7 ;oc-algo = \"LOSS\"", (7, 500, None)),
        ] {
            assert_eq!(told(via), Some(expected), "{via}");
        }
    }

    #[test]
    fn what_says_nothing_or_breaks_the_grammar_is_left_alone() {
        for via in [
            "U a",
            "U a;branch=1;oc;oc-algo=\"loss\"",
            "U a;oc=101",
            "U a;oc=-1",
            "U a;oc=20;oc-algo=\"rate\"",
            "U a;oc=20;oc-algo=\"loss,rate\"",
            "U a;oc=20;oc-validity=soon",
            "U a;oc=20;oc-validity=99999999999",
            "U a;oc=20;oc-seq=12",
            "U a;oc=20;oc-seq=1.123456",
            "U a;oc=20;oc-seq=.5",
            "U a;ocx=20",
            "U a;branch=1, U b;oc=50",
        ] {
            assert_eq!(told(via), None, "{via}");
        }
    }
}
