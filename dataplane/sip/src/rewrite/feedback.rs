//! What we tell clients of our load, in the Via that goes back to them (RFC 7339 section 4).

use smallvec::SmallVec;

use super::edit::EditList;
use super::output::{Full, Output};
use crate::message::{Response, Span};
use crate::parse::header::HeaderId;
use crate::parse::params::Params;
use crate::route::response::ResponseRoute;

/// For how long a client believes us, in milliseconds: it is told anew with every response meanwhile.
pub(crate) const VALIDITY_MS: u64 = 1_000;

/// Parameters of a Via in place of which feedback stands: each may be there once.
const PLACES_MAX: usize = 4;

/// By how much a client is to send less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feedback {
    /// Per cent of new requests that it is to keep back; 0 to 100.
    pub percent: u8,
    /// A time in milliseconds: a client believes the latest.
    pub now_ms: u64,
}

impl Feedback {
    /// Writes it as parameters of a Via.
    pub(super) fn write(self, out: &mut Output) -> Result<(), Full> {
        let Self { percent, now_ms } = self;
        let (seconds, ms) = (now_ms / 1_000, now_ms % 1_000);
        out.push_fmt(format_args!(
            ";oc={percent};oc-algo=\"loss\";oc-validity={VALIDITY_MS};oc-seq={seconds}.{ms:03}"
        ))
    }
}

/// Tells the client to which `response` goes back, if it has asked to be told.
#[cold]
pub fn feed_back(
    response: &Response<'_>,
    route: &ResponseRoute,
    feedback: Feedback,
    edits: &mut EditList,
) {
    let (bytes, headers) = (response.bytes, response.headers);
    let first = headers.value(HeaderId::Via);
    // Our own Via stands before it in the same line, or in a line of its own.
    let is_one_line = route.cut.start() == first.start();
    let next =
        if is_one_line { Span::new(route.cut.end(), first.end()) } else { headers.second_via };
    for (index, place) in places(bytes, next).into_iter().enumerate() {
        let start = edits.begin();
        if index == 0 {
            edits.push_with(|out| feedback.write(out));
        }
        edits.finish(place, start);
    }
}

/// The parameters of a Via in place of which feedback stands: none when its client has not asked to be told, or knows
/// another algorithm only.
pub(super) fn places(bytes: &[u8], via: Span) -> SmallVec<[Span; PLACES_MAX]> {
    let mut places = SmallVec::new();
    let Some(begin) = memchr::memchr(b';', via.of(bytes)) else { return places };
    let mut params = Params::new(bytes, via.start() + begin, via.end());
    let (mut has_asked, mut knows_loss) = (false, true);
    while let Ok(Some(param)) = params.next_param() {
        let name = param.name.of(bytes);
        let is = |wanted: &[u8]| name.eq_ignore_ascii_case(wanted);
        if is(b"oc") {
            has_asked = true;
        } else if is(b"oc-algo") {
            let mut words = param.value.of(bytes).windows(4);
            knows_loss = words.any(|word| word.eq_ignore_ascii_case(b"loss"));
        } else if !is(b"oc-validity") && !is(b"oc-seq") {
            continue;
        }
        if places.len() == PLACES_MAX {
            break;
        }
        places.push(param.whole);
    }
    if !has_asked || !knows_loss {
        places.clear();
    }
    places
}

#[cfg(test)]
mod tests {
    use std::prelude::v1::*;

    use super::*;

    fn told(via: &str) -> String {
        let mut out = Output::new();
        let mut at = 0;
        let feedback = Feedback { percent: 37, now_ms: 12_045 };
        for (index, place) in places(via.as_bytes(), Span::new(0, via.len())).iter().enumerate() {
            out.push(&via.as_bytes()[at..place.start()]).unwrap();
            if index == 0 {
                feedback.write(&mut out).unwrap();
            }
            at = place.end();
        }
        out.push(&via.as_bytes()[at..]).unwrap();
        String::from_utf8(out.bytes().to_vec()).unwrap()
    }

    #[test]
    fn who_asks_is_told_and_nobody_else() {
        let feedback = ";oc=37;oc-algo=\"loss\";oc-validity=1000;oc-seq=12.045";
        for (via, expected) in [
            ("U a;branch=1;oc;oc-algo=\"loss\"", "U a;branch=1F"),
            ("U a;oc;rport=7;oc-algo=\"loss,rate\";branch=1, U b", "U aF;rport=7;branch=1, U b"),
            ("U a;OC=20;oc-algo=\"LOSS\";oc-validity=5;oc-seq=1.2;x", "U aF;x"),
            ("U a;oc", "U aF"),
        ] {
            assert_eq!(told(via), expected.replace('F', feedback), "{via}");
        }
        for via in
            ["U a;branch=1", "U a", "U a;oc;oc-algo=\"rate\"", "U a;x, U b;oc", "U a;ocx;oc-algo=1"]
        {
            assert_eq!(told(via), via);
        }
    }
}
