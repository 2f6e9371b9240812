//! Messages that transactions make of those they keep.
//!
//! A kept request is the copy that we forwarded: our Via is its first Via line, alone; the lines of
//! ours stand right behind the start line.

use crate::message::Span;
use crate::parse::header::{HeaderId, HeaderLine, HeaderLines};
use crate::parse::name_addr::NameAddr;
use crate::rewrite::branch::{Branch, TopLines, hex16};
use crate::rewrite::output::{Full, Output};
use crate::rewrite::reply::push_line;

/// Where the start line of a kept message ends, in front of its CRLF.
fn start_line_end(message: &[u8]) -> usize {
    message.windows(2).position(|pair| pair == b"\r\n").unwrap_or(message.len())
}

fn each_line(
    message: &[u8],
    mut act: impl FnMut(HeaderLine) -> Result<(), Full>,
) -> Result<(), Full> {
    let mut lines =
        HeaderLines::<crate::parse::registers::Compiled>::new(message, start_line_end(message) + 2);
    while let Some(line) = lines.next_line() {
        act(line)?;
    }
    Ok(())
}

/// A request that goes no further than the next hop: ACK for a response other than 2xx, with the To of
/// that response (RFC 3261 section 17.1.1.3), or CANCEL (9.1).
pub(super) fn hop_request(
    request: &[u8],
    method: &[u8],
    to: Option<&[u8]>,
    out: &mut Output,
) -> Result<(), Full> {
    let line = request.get(..start_line_end(request)).unwrap_or_default();
    let uri = line.splitn(3, |&byte| byte == b' ').nth(1).unwrap_or_default();
    for part in [method, b" ", uri, b" SIP/2.0\r\n"] {
        out.push(part)?;
    }
    let mut has_via = false;
    each_line(request, |line| match line.id {
        HeaderId::Via if has_via => Ok(()),
        HeaderId::To if to.is_some() => push_line(out, b"To: ", to.unwrap_or_default()),
        HeaderId::CSeq => {
            let value = line.value.of(request);
            let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let number = value.get(..digits).unwrap_or_default();
            [b"CSeq: ", number, b" ", method, b"\r\n"].iter().try_for_each(|part| out.push(part))
        }
        HeaderId::Via | HeaderId::Route | HeaderId::From | HeaderId::To | HeaderId::CallId => {
            has_via |= line.id == HeaderId::Via;
            out.push(line.line.of(request))
        }
        _ => Ok(()),
    })?;
    out.push(b"Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n")
}

/// A final response of our own to a request that was kept; `tag` for its To, `lines` with their CRLFs.
pub(super) fn final_response(
    request: &[u8],
    code: u16,
    tag: u64,
    lines: &[u8],
    out: &mut Output,
) -> Result<(), Full> {
    let phrase = match code {
        408 => "Request Timeout",
        430 => "Flow Failed",
        480 => "Temporarily Unavailable",
        487 => "Request Terminated",
        503 => "Service Unavailable",
        _ => "Server Internal Error",
    };
    out.push_fmt(format_args!("SIP/2.0 {code} {phrase}\r\n"))?;
    let mut vias = 0;
    each_line(request, |line| match line.id {
        HeaderId::Via => {
            vias += 1;
            if vias == 1 { Ok(()) } else { out.push(line.line.of(request)) }
        }
        HeaderId::To => {
            out.push(b"To: ")?;
            out.push(line.value.of(request))?;
            let to = NameAddr::parse(request, line.value.start(), line.value.end());
            if to.is_some_and(|to| to.tag.is_empty()) {
                out.push(b";tag=tl-")?;
                out.push(&hex16(tag))?;
            }
            out.push(b"\r\n")
        }
        HeaderId::From | HeaderId::CallId | HeaderId::CSeq => out.push(line.line.of(request)),
        _ => Ok(()),
    })?;
    out.push(lines)?;
    out.push(b"Content-Length: 0\r\n\r\n")
}

/// What a further branch is made with.
pub(super) struct NewBranch<'a> {
    /// Length of our lines in the request that was kept.
    pub(super) old_lines: usize,
    /// Our lines now.
    pub(super) lines: &'a TopLines,
    pub(super) branch: Branch,
    /// The hash of the call, when our lines have Record-Routes.
    pub(super) call: Option<u64>,
    /// The Request-URI, when it is another one; empty when not.
    pub(super) uri: &'a [u8],
}

/// The copy of a kept request for another branch (RFC 3261 section 16.6), with lines of its own behind
/// ours. Gives the length of both.
pub(super) fn branch_request(
    request: &[u8],
    new: &NewBranch<'_>,
    own: impl FnOnce(&mut Output) -> Result<(), Full>,
    out: &mut Output,
) -> Result<usize, Full> {
    let line_end = start_line_end(request);
    let line = request.get(..line_end).unwrap_or_default();
    if new.uri.is_empty() {
        out.push(line)?;
    } else {
        let method = line.split(|&byte| byte == b' ').next().unwrap_or_default();
        [method, b" ", new.uri, b" SIP/2.0"].iter().try_for_each(|part| out.push(part))?;
    }
    out.push(b"\r\n")?;
    let at = out.len();
    out.push(new.lines.text(new.branch))?;
    new.lines.fill(out.tail_mut(at), new.branch, new.call);
    own(out)?;
    let length = out.len() - at;
    out.push(request.get(line_end + 2 + new.old_lines..).unwrap_or_default())?;
    Ok(length)
}

/// The challenge lines of a 401 or 407 (RFC 3261 section 16.7 step 7).
pub(super) fn push_challenges(response: &[u8], out: &mut Output) -> Result<(), Full> {
    each_line(response, |line| {
        let text = line.line.of(response);
        let name = text.split(|&byte| byte == b':').next().unwrap_or_default().trim_ascii_end();
        let is_challenge = name.eq_ignore_ascii_case(b"www-authenticate")
            || name.eq_ignore_ascii_case(b"proxy-authenticate");
        if is_challenge { out.push(text) } else { Ok(()) }
    })
}

/// `response` with the challenge lines of `other` behind its own first line.
pub(super) fn with_challenges(response: &[u8], other: &[u8], out: &mut Output) -> Result<(), Full> {
    let (line, rest) = response.split_at(start_line_end(response));
    out.push(line)?;
    out.push(b"\r\n")?;
    push_challenges(other, out)?;
    out.push(rest.get(2..).unwrap_or_default())
}

/// A value of Contact in a 3xx response.
#[derive(Clone, Copy, Debug)]
pub(super) struct Contact {
    /// Its URI.
    pub(super) uri: Span,
    /// Its q-value in thousandths; 1,000 when it has none.
    pub(super) q: u16,
}

/// Tells `act` every Contact of a response (RFC 3261 sections 8.1.3.4, 20.10).
pub(super) fn each_contact(response: &[u8], mut act: impl FnMut(Contact)) {
    let _ = each_line(response, |line| {
        let text = line.line.of(response);
        let name = text.split(|&byte| byte == b':').next().unwrap_or_default().trim_ascii_end();
        if !name.eq_ignore_ascii_case(b"contact") && !name.eq_ignore_ascii_case(b"m") {
            return Ok(());
        }
        let colon = text.iter().position(|&byte| byte == b':').unwrap_or(0);
        let (mut at, end) = (line.line.start() + colon + 1, line.line.end().saturating_sub(2));
        while let Some(value) = NameAddr::parse(response, at, end) {
            let uri = value.uri;
            let params = Span::new(uri.end(), value.end).of(response);
            act(Contact { uri, q: q_value(params) });
            at = value.end + 1;
            if at >= end {
                break;
            }
        }
        Ok(())
    });
}

/// `;q=0.7` in thousandths.
fn q_value(params: &[u8]) -> u16 {
    let value = params.split(|&byte| byte == b';').find_map(|param| {
        let param = param.trim_ascii();
        let rest = param.strip_prefix(b"q=").or_else(|| param.strip_prefix(b"Q="))?;
        core::str::from_utf8(rest).ok()
    });
    let Some(value) = value else { return 1_000 };
    let (whole, part) = value.split_once('.').unwrap_or((value, ""));
    let mut thousandths = if whole == "1" { 1_000 } else { 0 };
    for (digit, unit) in part.bytes().zip([100, 10, 1]) {
        thousandths += u16::from(digit.wrapping_sub(b'0').min(9)) * unit;
    }
    thousandths.min(1_000)
}

/// Whether a kept request has a Route behind our `lines` bytes of lines, so that another Request-URI would
/// not change its way.
pub(super) fn has_route(request: &[u8], lines: usize) -> bool {
    let (mut found, ours) = (false, start_line_end(request) + 2 + lines);
    let _ = each_line(request, |line| {
        found |= line.id == HeaderId::Route && line.line.start() >= ours;
        Ok(())
    });
    found
}

/// The value of Call-ID of a kept request.
pub(super) fn call_id(request: &[u8]) -> &[u8] {
    let mut value = Span::default();
    let _ = each_line(request, |line| {
        if line.id == HeaderId::CallId {
            value = line.value;
        }
        Ok(())
    });
    value.of(request)
}

/// Whether a kept request opens something: it belongs to no dialog, and ends none.
pub(super) fn is_new(request: &[u8]) -> bool {
    let mut is_new = !request.starts_with(b"BYE ");
    let _ = each_line(request, |line| {
        if line.id == HeaderId::To {
            let to = NameAddr::parse(request, line.value.start(), line.value.end());
            is_new &= to.is_some_and(|to| to.tag.is_empty());
        }
        Ok(())
    });
    is_new
}

/// How good a final response is; the least is the best (RFC 3261 section 16.7 step 6).
pub(super) fn rank(status: u16) -> u16 {
    match status {
        600.. => 0,
        // Those that tell the caller what to do about it.
        401 | 407 | 415 | 420 | 484 => 4_000,
        // Of this one binding; what others say counts for the user.
        430 => 4_999,
        400..=499 => 4_100 + status % 100,
        other => other / 100 * 1_000 + other % 100,
    }
}

/// Whether the client is asked to prove who it is.
pub(super) const fn is_challenge(status: u16) -> bool {
    matches!(status, 401 | 407)
}

#[cfg(test)]
mod tests {
    use std::prelude::v1::*;

    use super::*;

    const REQUEST: &[u8] = b"INVITE sip:bob@example.com SIP/2.0\r\n\
        Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK-tl2\r\n\
        Record-Route: <sip:10.0.0.1;lr>\r\n\
        Via: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK1\r\n\
        Max-Forwards: 69\r\n\
        Route: <sip:10.0.0.7;lr>\r\n\
        From: <sip:alice@example.com>;tag=1\r\n\
        To: <sip:bob@example.com>\r\n\
        Call-ID: c1\r\n\
        CSeq: 7 INVITE\r\n\
        Content-Length: 2\r\n\r\nhi";

    fn written(write: impl FnOnce(&mut Output) -> Result<(), Full>) -> String {
        let mut out = Output::new();
        write(&mut out).unwrap();
        String::from_utf8(out.bytes().to_vec()).unwrap()
    }

    #[test]
    fn ack_and_cancel_have_what_they_need_and_no_more() {
        let ack =
            written(|out| hop_request(REQUEST, b"ACK", Some(b"<sip:bob@example.com>;tag=2"), out));
        assert_eq!(
            ack,
            "ACK sip:bob@example.com SIP/2.0\r\n\
             Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK-tl2\r\n\
             Route: <sip:10.0.0.7;lr>\r\n\
             From: <sip:alice@example.com>;tag=1\r\n\
             To: <sip:bob@example.com>;tag=2\r\n\
             Call-ID: c1\r\n\
             CSeq: 7 ACK\r\n\
             Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        );
        let cancel = written(|out| hop_request(REQUEST, b"CANCEL", None, out));
        assert!(cancel.contains("To: <sip:bob@example.com>\r\n"), "{cancel}");
        assert!(cancel.contains("CSeq: 7 CANCEL\r\n"), "{cancel}");
    }

    #[test]
    fn a_final_response_goes_back_along_the_other_vias() {
        let response = written(|out| final_response(REQUEST, 408, 1, b"", out));
        assert_eq!(
            response,
            "SIP/2.0 408 Request Timeout\r\n\
             Via: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK1\r\n\
             From: <sip:alice@example.com>;tag=1\r\n\
             To: <sip:bob@example.com>;tag=tl-0000000000000001\r\n\
             Call-ID: c1\r\n\
             CSeq: 7 INVITE\r\n\
             Content-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn challenges_are_collected() {
        let one = b"SIP/2.0 401 No\r\nWWW-Authenticate: a\r\nContent-Length: 0\r\n\r\n";
        let other = b"SIP/2.0 407 No\r\nproxy-authenticate : b\r\nVia: x\r\n\r\n";
        let both = written(|out| with_challenges(one, other, out));
        assert_eq!(
            both,
            "SIP/2.0 401 No\r\nproxy-authenticate : b\r\nWWW-Authenticate: a\r\n\
             Content-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn contacts_have_their_q() {
        let response = b"SIP/2.0 302 Moved\r\nContact: <sip:a@10.0.0.1>;q=0.7, \"B\" <sip:b@h>\r\n\
            m: sip:c@10.0.0.3;q=0.25\r\n\r\n";
        let mut found = Vec::new();
        each_contact(response, |contact| {
            let uri = String::from_utf8(contact.uri.of(response).to_vec()).unwrap();
            found.push((uri, contact.q));
        });
        let expected = [("sip:a@10.0.0.1", 700), ("sip:b@h", 1_000), ("sip:c@10.0.0.3", 250)];
        assert_eq!(found, expected.map(|(uri, q)| (uri.to_owned(), q)));
    }

    #[test]
    fn the_best_response_is_the_one_of_the_rfc() {
        let order = [603, 302, 401, 486, 404 + 100, 503];
        let mut sorted = order;
        sorted.sort_by_key(|&status| rank(status));
        assert_eq!(sorted[0], 603);
        assert_eq!(sorted[1], 302);
        assert_eq!(sorted[2], 401);
        assert_eq!(sorted[3], 486);
    }
}
