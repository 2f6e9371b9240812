//! Final responses that we make ourselves, statelessly (RFC 3261 sections 8.2.6, 8.2.7, 11.2, 16.11).

use core::net::SocketAddr;

use super::branch::hex16;
use super::feedback::{self, Feedback};
use super::output::{Full, Output};
use super::received;
use crate::limits::MESSAGE_MAX;
use crate::message::{Arrival, Headers, Method, Request, Span};
use crate::overload::{SHED_TAG, is_shed_tag};
use crate::parse::header::{HeaderId, HeaderLine, HeaderLines};
use crate::parse::name_addr::NameAddr;
use crate::parse::registers::Compiled;
use crate::parse::via::Via;
use crate::parse::{cseq, lines, message_start, scan, start_line};
use crate::route::outcome::{Reply, SipDrop};
use crate::route::request::RequestRoute;
use crate::route::tables::Tables;
use crate::route::target;
use crate::settings::Transport;

impl From<Full> for SipDrop {
    fn from(_: Full) -> Self {
        Self::ReplyTooLarge
    }
}

/// Writes the response `reply` to the request in the datagram `message` into `out`, which is
/// cleared first, and returns where it must be sent; it leaves from the listen point of `arrival`.
///
/// The datagram is read anew and with patience, since it may be the one that did not parse. What
/// cannot be answered is an error: a response, an ACK, and a request whose start line, topmost Via or
/// CSeq cannot be told, by which the client knows its transaction (RFC 3261 section 17.1.3). What
/// else a response must repeat is left out when the request lacks it (RFC 4475 section 3.3.1).
pub fn write_reply(
    message: &[u8],
    reply: Reply,
    tables: &Tables,
    arrival: &Arrival,
    out: &mut Output,
) -> Result<SocketAddr, SipDrop> {
    out.clear();
    let bytes = message.get(..MESSAGE_MAX).unwrap_or(message);
    let (method, headers_at) = method(bytes)?;
    if method == Method::Ack {
        return Err(SipDrop::AckUnanswerable);
    }
    let headers = echoed(bytes, headers_at).ok_or(SipDrop::SipMalformed)?;
    let top = headers.value(HeaderId::Via);
    let via = Via::parse(bytes, top.start(), top.end())
        .or_else(|| Via::parse_patiently(bytes, top.start(), top.end()))
        .ok_or(SipDrop::SipMalformed)?;
    let unsupported = unsupported(reply, bytes, headers_at);
    let reply = if unsupported.is_some() { Reply::BadExtension } else { reply };
    let (code, phrase) = reply.status(tables);
    out.push_fmt(format_args!("SIP/2.0 {code} {phrase}\r\n"))?;
    let came = (arrival.source, tables.transport_of(arrival.listen));
    let feedback = match reply {
        Reply::Overloaded { feedback, .. } => feedback,
        _ => None,
    };
    push_vias(bytes, headers_at, &headers, &via, came, feedback, out)?;
    push_line(out, b"From: ", headers.value(HeaderId::From).of(bytes))?;
    let branch = || tables.keys.branch(bytes, &headers, &via, arrival.listen);
    let tag = || match reply {
        Reply::Overloaded { tag, .. } => (SHED_TAG, tag),
        _ => (OWN_TAG, tables.keys.tag(branch())),
    };
    push_to(bytes, &headers, tag, out)?;
    push_line(out, b"Call-ID: ", headers.value(HeaderId::CallId).of(bytes))?;
    push_line(out, b"CSeq: ", headers.value(HeaderId::CSeq).of(bytes))?;
    if let Some(name) = unsupported {
        each_value(bytes, headers_at, name, |value| push_line(out, b"Unsupported: ", value))?;
    }
    match code {
        _ if let Reply::Overloaded { retry_after_s, .. } = reply => {
            out.push_fmt(format_args!("Retry-After: {retry_after_s}\r\n"))?;
        }
        200 if reply == Reply::Options => out.push(CAPABILITIES)?,
        503 if reply != Reply::DestinationOverloaded => out.push(tables.retry_after())?,
        _ => {}
    }
    out.push(b"Content-Length: 0\r\n\r\n")?;
    Ok(destination(bytes, &via, tables, arrival))
}

/// What a proxy says of itself (RFC 3261 section 11.2): it takes no body, it reads English at most, and
/// it has no extension. It leaves Allow out, since it passes any method on.
const CAPABILITIES: &[u8] =
    b"Accept:\r\nAccept-Encoding: identity\r\nAccept-Language: en\r\nSupported:\r\n";

/// The header by which the request asks for extensions, of which we have none: as a proxy (RFC 3261
/// section 16.3 step 5), or as the one that is asked (8.2.2.3).
fn unsupported(reply: Reply, bytes: &[u8], headers_at: usize) -> Option<&'static [u8]> {
    match reply {
        Reply::BadExtension => Some(b"proxy-require"),
        Reply::Options => {
            let mut is_there = false;
            let found = each_value(bytes, headers_at, b"require", |_| {
                is_there = true;
                Ok(())
            });
            (found.is_ok() && is_there).then_some(b"require")
        }
        _ => None,
    }
}

/// RFC 3261 section 18.2.2 and RFC 3581 section 4: where the request came from, at the port that its
/// Via asks for.
pub(crate) fn destination(
    bytes: &[u8],
    via: &Via,
    tables: &Tables,
    arrival: &Arrival,
) -> SocketAddr {
    // RFC 3261 section 18.2.2: what came over a connection is answered over it.
    if tables.transport_of(arrival.listen).is_connection() {
        return arrival.source;
    }
    if via.has_maddr()
        && tables.honours_maddr()
        && let Some(to) = target::of_maddr(bytes, via)
    {
        return to;
    }
    let port = if via.rport.exists() { arrival.source.port() } else { via.port() };
    SocketAddr::new(arrival.source.ip(), port)
}

/// The method of the request line, and where the headers begin.
fn method(bytes: &[u8]) -> Result<(Method, usize), SipDrop> {
    let start = message_start(bytes).map_err(|_| SipDrop::SipMalformed)?;
    let line = lines::Lines::new(Compiled, bytes, start).next_line();
    let text = bytes.get(start..line.end as usize).unwrap_or_default();
    let name = text.split(|&byte| byte == b' ').next().unwrap_or_default();
    if start_line::is_status_line(text) {
        return Err(SipDrop::ResponseMalformed);
    }
    if !scan::is_token(name) {
        return Err(SipDrop::SipMalformed);
    }
    Ok((Method::of(name), line.next as usize))
}

/// The headers that a response repeats, the first of each, as far as lines can be told.
fn echoed(bytes: &[u8], at: usize) -> Option<Headers> {
    let mut headers = Headers::default();
    let mut lines = HeaderLines::new(bytes, at);
    while let Some(line) = lines.next_line() {
        // What is wrong with a line the parser has said; the first of each kind counts.
        if line.id != HeaderId::Other {
            let _ = headers.note(line.id, line.line, line.value);
        }
    }
    if let Ok(cseq) = cseq(bytes, headers.value(HeaderId::CSeq)) {
        headers.cseq_number = cseq.number;
    }
    let has = |id| !headers.value(id).is_empty();
    (has(HeaderId::Via) && has(HeaderId::CSeq)).then_some(headers)
}

fn each_line(
    bytes: &[u8],
    at: usize,
    id: HeaderId,
    mut act: impl FnMut(HeaderLine) -> Result<(), Full>,
) -> Result<(), Full> {
    let mut lines = HeaderLines::new(bytes, at);
    while let Some(line) = lines.next_line() {
        if line.id == id {
            act(line)?;
        }
    }
    Ok(())
}

/// The value of each header line of this name, which is in lower case.
fn each_value(
    bytes: &[u8],
    at: usize,
    name: &[u8],
    mut act: impl FnMut(&[u8]) -> Result<(), Full>,
) -> Result<(), Full> {
    let mut lines = HeaderLines::new(bytes, at);
    while let Some(line) = lines.next_line() {
        let text = line.line.of(bytes);
        let colon = text.iter().position(|&byte| byte == b':').unwrap_or(text.len());
        let (found, value) = text.split_at(colon);
        if found.trim_ascii_end().eq_ignore_ascii_case(name) {
            act(value.get(1..).unwrap_or_default().trim_ascii())?;
        }
    }
    Ok(())
}

/// All Vias in their order, the topmost with `received` and `rport` (RFC 3261 section 8.2.6.2).
fn push_vias(
    bytes: &[u8],
    headers_at: usize,
    headers: &Headers,
    via: &Via,
    came: (SocketAddr, Transport),
    feedback: Option<Feedback>,
    out: &mut Output,
) -> Result<(), Full> {
    each_line(bytes, headers_at, HeaderId::Via, |line| {
        if line.line != headers.place(HeaderId::Via).line {
            return push_line(out, b"Via: ", line.value.of(bytes));
        }
        match feedback {
            Some(feedback) => push_told_via(bytes, line.value, via, came, feedback, out),
            None => push_marked_via(bytes, line.value, via, came, out),
        }
    })
}

/// As [`push_marked_via`], with `feedback` if the client has asked for it.
#[cold]
fn push_told_via(
    bytes: &[u8],
    line: Span,
    via: &Via,
    came: (SocketAddr, Transport),
    feedback: Feedback,
    out: &mut Output,
) -> Result<(), Full> {
    let places = feedback::places(bytes, Span::new(line.start(), via.end()));
    let mut told = places.iter().copied().enumerate().peekable();
    let (mut at, mut result) = (line.start(), out.push(b"Via: "));
    let mut push =
        |until: usize, place: Span, texts: &mut dyn FnMut(&mut Output) -> Result<(), Full>| {
            result = result
                .and_then(|()| out.push(Span::new(at, until).of(bytes)))
                .and_then(|()| texts(out));
            at = place.end();
        };
    received::mark(bytes, via, came, |place, name, value| {
        while let Some((index, told)) = told.next_if(|(_, told)| told.start() < place.start()) {
            push(told.start(), told, &mut |out| {
                if index == 0 { feedback.write(out) } else { Ok(()) }
            });
        }
        push(place.start(), place, &mut |out| out.push(name).and_then(|()| out.push(value)));
    });
    for (index, told) in told {
        push(told.start(), told, &mut |out| if index == 0 { feedback.write(out) } else { Ok(()) });
    }
    result?;
    out.push(Span::new(at, line.end()).of(bytes))?;
    out.push(b"\r\n")
}

/// The topmost Via line, whose first value is `via`, with `received` and `rport`.
pub(super) fn push_marked_via(
    bytes: &[u8],
    line: Span,
    via: &Via,
    came: (SocketAddr, Transport),
    out: &mut Output,
) -> Result<(), Full> {
    out.push(b"Via: ")?;
    let (mut at, mut result) = (line.start(), Ok(()));
    received::mark(bytes, via, came, |place, name, value| {
        let before = Span::new(at, place.start());
        for part in [before.of(bytes), name, value] {
            result = result.and_then(|()| out.push(part));
        }
        at = place.end();
    });
    result?;
    out.push(Span::new(at, line.end()).of(bytes))?;
    out.push(b"\r\n")
}

/// Writes 100 Trying to a request that was parsed and whose topmost Via is `via` (RFC 3261 section
/// 8.2.6.1).
pub(crate) fn write_trying(
    request: &Request<'_>,
    via: &Via,
    came: (SocketAddr, Transport),
    out: &mut Output,
) -> Result<(), Full> {
    let (bytes, headers) = (request.bytes, request.headers);
    out.push(b"SIP/2.0 100 Trying\r\n")?;
    push_marked_via(bytes, headers.place(HeaderId::Via).value, via, came, out)?;
    push_vias_below(bytes, headers, out)?;
    for id in [HeaderId::From, HeaderId::To, HeaderId::CallId, HeaderId::CSeq] {
        out.push(headers.place(id).line.of(bytes))?;
    }
    out.push(b"Content-Length: 0\r\n\r\n")
}

/// The Via lines below the topmost.
#[inline]
pub(super) fn push_vias_below(
    bytes: &[u8],
    headers: &Headers,
    out: &mut Output,
) -> Result<(), Full> {
    match headers.more_vias {
        0 => Ok(()),
        1 => push_line(out, b"Via: ", headers.second_via.of(bytes)),
        _ => each_line(bytes, headers.place(HeaderId::Via).line.end(), HeaderId::Via, |line| {
            push_line(out, b"Via: ", line.value.of(bytes))
        }),
    }
}

/// What our tags begin with, but for [`SHED_TAG`].
pub(super) const OWN_TAG: &[u8] = b"tl-";

/// To with a tag: if the request has none, one that every copy of the request gets again.
#[inline]
pub(super) fn push_to(
    bytes: &[u8],
    headers: &Headers,
    tag: impl FnOnce() -> (&'static [u8], u64),
    out: &mut Output,
) -> Result<(), Full> {
    let to = headers.value(HeaderId::To);
    if to.is_empty() {
        return Ok(());
    }
    out.push(b"To: ")?;
    out.push(to.of(bytes))?;
    if NameAddr::parse(bytes, to.start(), to.end()).is_some_and(|to| to.tag.is_empty()) {
        let (begin, tag) = tag();
        out.push(b";tag=")?;
        out.push(begin)?;
        out.push(&hex16(tag))?;
    }
    out.push(b"\r\n")
}

/// Whether an ACK, which is routed by `route`, is for a final response that [`write_reply`] gave to its
/// INVITE: it has the branch of that (RFC 3261 section 17.1.1.3), and the tag that follows from it.
pub fn acknowledges_reply(
    request: &Request<'_>,
    route: &RequestRoute,
    tables: &Tables,
    arrival: &Arrival,
) -> bool {
    let (bytes, to) = (request.bytes, request.headers.value(HeaderId::To));
    let to = NameAddr::parse(bytes, to.start(), to.end());
    let to_tag = to.map_or(&[][..], |to| to.tag.of(bytes));
    let Some(tag) = to_tag.strip_prefix(OWN_TAG) else {
        return is_shed_tag(to_tag, bytes, request.headers, tables.overload());
    };
    let branch = tables.keys.branch(bytes, request.headers, &route.via, arrival.listen);
    hex16(tables.keys.tag(branch)).as_slice() == tag
}

/// A header line; none when there is no value.
pub(crate) fn push_line(out: &mut Output, name: &[u8], value: &[u8]) -> Result<(), Full> {
    if value.is_empty() {
        return Ok(());
    }
    out.push(name)?;
    out.push(value)?;
    out.push(b"\r\n")
}
