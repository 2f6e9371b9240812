//! Final responses to requests that were parsed: as [`write_reply`](super::reply::write_reply), at the
//! speed of the fast path and with header lines of their own.

use core::net::SocketAddr;

use super::output::{Full, Output};
use super::reply::{OWN_TAG, destination, push_marked_via, push_to, push_vias_below};
use crate::message::{Arrival, Request};
use crate::parse::header::HeaderId;
use crate::parse::via::Via;
use crate::route::tables::Tables;

/// Writes a response with `code` and `phrase` to `request`, whose topmost Via is `via`, into `out`,
/// which is cleared first; `lines` adds header lines, each with its CRLF, behind those that every response
/// repeats (RFC 3261 section 8.2.6). Gives where it must be sent; it leaves from the listen point of
/// `arrival`.
///
/// # Errors
/// When it does not fit.
#[inline]
pub(crate) fn write_answer(
    request: &Request<'_>,
    via: &Via,
    (code, phrase): (u16, &str),
    tables: &Tables,
    arrival: &Arrival,
    lines: impl FnOnce(&mut Output) -> Result<(), Full>,
    out: &mut Output,
) -> Result<SocketAddr, Full> {
    let (bytes, headers) = (request.bytes, request.headers);
    out.clear();
    push_status_line(code, phrase, out)?;
    let came = (arrival.source, tables.transport_of(arrival.listen));
    push_marked_via(bytes, headers.place(HeaderId::Via).value, via, came, out)?;
    push_vias_below(bytes, headers, out)?;
    out.push(headers.place(HeaderId::From).line.of(bytes))?;
    let branch = || tables.keys.branch(bytes, headers, via, arrival.listen);
    push_to(bytes, headers, || (OWN_TAG, tables.keys.tag(branch())), out)?;
    for id in [HeaderId::CallId, HeaderId::CSeq] {
        out.push(headers.place(id).line.of(bytes))?;
    }
    lines(out)?;
    out.push(b"Content-Length: 0\r\n\r\n")?;
    Ok(destination(bytes, via, tables, arrival))
}

/// `code` is a number of three digits.
fn push_status_line(code: u16, phrase: &str, out: &mut Output) -> Result<(), Full> {
    let digit = |unit| b'0' + u8::try_from(code / unit % 10).unwrap_or(0);
    out.push(b"SIP/2.0 ")?;
    out.push(&[digit(100), digit(10), digit(1), b' '])?;
    out.push(phrase.as_bytes())?;
    out.push(b"\r\n")
}
