//! Messages built before the run: to send one, its text is copied and the few digits that differ
//! between calls are written over.

use super::reader::{Arrived, ID_LEN};
use super::script::{Kind, Message, Method};
use core::fmt::Write as _;
use core::net::SocketAddr;
use core::ops::Range;

/// Digits of a user's number.
pub(crate) const USER_LEN: usize = 7;

/// Domain of all users, and realm of their credentials.
pub(crate) const DOMAIN: &str = "bench.test";

/// Password of all users.
pub(crate) const PASSWORD: &str = "secret";

/// What stands before a call's digits in each place.
pub(crate) const BRANCH_PREFIX: &[u8] = b"z9hG4bK-";
/// The caller's tag.
pub(crate) const FROM_TAG_PREFIX: &[u8] = b"a";
/// The callee's tag.
pub(crate) const TO_TAG_PREFIX: &[u8] = b"b";

/// Bytes where digits are written over.
const ID_PLACE: &str = "@@@@@@@@@@@@@@@@@@@@@@@@";
const USER_PLACE: &str = "#######";

/// What all messages of a run have in common.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    /// Bytes that an INVITE has in all; it is filled up in its session description.
    pub(crate) invite_bytes: usize,
    /// Bytes of the body of 200 to INVITE.
    pub(crate) answer_body: String,
    /// Bytes of the body of in-dialog INFO.
    pub(crate) info_body: String,
    /// What requests go over, as Via names it.
    transport: &'static str,
}

impl Frame {
    /// Bodies for INVITEs of this size.
    pub(crate) fn new(invite_bytes: usize, info_bytes: usize) -> Self {
        let answer_body = session_description("callee");
        let info_body = "x".repeat(info_bytes);
        Self { invite_bytes, answer_body, info_body, transport: "UDP" }
    }

    /// The same over TCP.
    pub(crate) fn over_tcp(self) -> Self {
        Self { transport: "TCP", ..self }
    }
}

/// A request, ready but for the digits of the call.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    /// Everything after the Request-URI.
    text: Vec<u8>,
    method: Method,
    uri: Vec<u8>,
    /// Where header lines that differ in length between calls (Route, Authorization) go in.
    lines_at: usize,
    ids: Vec<usize>,
    users: Vec<usize>,
    body_at: usize,
}

/// What of one call goes into a template.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallText<'a> {
    /// The call's digits.
    pub(crate) id: &'a [u8; ID_LEN],
    /// The user's digits.
    pub(crate) user: &'a [u8; USER_LEN],
    /// The callee's Contact, when a proxy that records its route made a dialog.
    pub(crate) remote_target: Option<&'a [u8]>,
    /// Whole header lines.
    pub(crate) lines: &'a [u8],
}

impl Template {
    /// The template of a request that the caller at `local` sends.
    pub(crate) fn new(message: &Message, local: SocketAddr, frame: &Frame) -> Self {
        let method = message.kind.method();
        let (body_type, body) = match method {
            Method::Invite => ("application/sdp", offer(message, local, frame)),
            Method::Info => ("text/plain", frame.info_body.clone()),
            _ => ("", String::new()),
        };
        let head = head(message, local, frame.transport);
        let lines_at = head.len();
        let mut text = head;
        if !body.is_empty() {
            let _ = write!(text, "Content-Type: {body_type}\r\n");
        }
        let _ = write!(text, "Content-Length: {}\r\n\r\n", body.len());
        let body_at = text.len();
        text.push_str(&body);
        let places = |place: &str| text.match_indices(place).map(|(at, _)| at).collect();
        let uri = match method {
            Method::Register => format!("sip:{DOMAIN}"),
            _ => format!("sip:u{USER_PLACE}@{DOMAIN}"),
        };
        Self {
            method,
            uri: uri.into_bytes(),
            lines_at,
            ids: places(ID_PLACE),
            users: places(USER_PLACE),
            body_at,
            text: text.into_bytes(),
        }
    }

    /// Appends the request of one call.
    pub(crate) fn write(&self, call: &CallText<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(self.method.token().as_bytes());
        out.push(b' ');
        if let Some(target) = call.remote_target {
            out.extend_from_slice(target);
        } else {
            let start = out.len();
            out.extend_from_slice(&self.uri);
            if self.method != Method::Register {
                out[start + "sip:u".len()..][..USER_LEN].copy_from_slice(call.user);
            }
        }
        let start = out.len();
        out.extend_from_slice(&self.text[..self.lines_at]);
        out.extend_from_slice(call.lines);
        out.extend_from_slice(&self.text[self.lines_at..]);
        // All places stand before the lines that were put in.
        for at in &self.ids {
            out[start + at..][..ID_LEN].copy_from_slice(call.id);
        }
        for at in &self.users {
            out[start + at..][..USER_LEN].copy_from_slice(call.user);
        }
    }

    /// The body, which no call changes.
    pub(crate) fn body(&self) -> &[u8] {
        &self.text[self.body_at..]
    }
}

/// From the end of the request line to the last header line whose length is the same in all calls.
fn head(message: &Message, local: SocketAddr, transport: &str) -> String {
    let method = message.kind.method();
    let branch = core::str::from_utf8(BRANCH_PREFIX).unwrap_or_default();
    let to_user = if method == Method::Register { "c" } else { "u" };
    let to_tag = if message.after.is_some() && in_dialog(method) {
        format!(";tag=b{ID_PLACE}")
    } else {
        String::new()
    };
    let mut text = format!(
        " SIP/2.0\r\n\
         Via: SIP/2.0/{transport} {local};branch={branch}{ID_PLACE}{:02}\r\n\
         Max-Forwards: 70\r\n\
         From: \"Caller\" <sip:c{USER_PLACE}@{DOMAIN}>;tag=a{ID_PLACE}\r\n\
         To: <sip:{to_user}{USER_PLACE}@{DOMAIN}>{to_tag}\r\n\
         Call-ID: {ID_PLACE}@{}\r\n\
         CSeq: {} {}\r\n",
        message.branch_of,
        local.ip(),
        message.cseq,
        method.token(),
    );
    if matches!(method, Method::Invite | Method::Register | Method::Options) {
        let _ = write!(text, "Contact: <sip:c{USER_PLACE}@{local}>\r\n");
    }
    if method == Method::Register {
        text.push_str("Expires: 600\r\n");
    }
    text
}

/// Whether a request that is not the first of its script stands in a dialog.
fn in_dialog(method: Method) -> bool {
    matches!(method, Method::Ack | Method::Bye | Method::Info)
}

fn session_description(user: &str) -> String {
    format!(
        "v=0\r\no={user} 53655765 2353687637 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\n\
         t=0 0\r\nm=audio 6000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
    )
}

/// A session description that fills the INVITE up.
fn offer(message: &Message, local: SocketAddr, frame: &Frame) -> String {
    let mut body = session_description("caller");
    let uri = format!("INVITE sip:u{USER_PLACE}@{DOMAIN}");
    let rest = "Content-Type: application/sdp\r\nContent-Length: 000\r\n\r\n";
    let have = uri.len() + head(message, local, frame.transport).len() + rest.len() + body.len();
    if let Some(missing) = frame.invite_bytes.checked_sub(have + "a=x-fill:\r\n".len()) {
        let _ = write!(body, "a=x-fill:{}\r\n", "f".repeat(missing));
    }
    body
}

/// Appends what every response to `request` repeats of it (RFC 3261 8.2.6.2, 12.1.1), with the
/// callee's tag.
pub(crate) fn write_repeated(
    datagram: &[u8],
    request: &Arrived,
    id: &[u8; ID_LEN],
    out: &mut Vec<u8>,
) {
    let mut header = |name: &[u8], value: &Range<usize>| {
        out.extend_from_slice(name);
        out.extend_from_slice(&datagram[value.clone()]);
        out.extend_from_slice(b"\r\n");
    };
    for via in request.vias.as_slice() {
        header(b"Via: ", via);
    }
    for route in request.record_routes.as_slice() {
        header(b"Record-Route: ", route);
    }
    header(b"From: ", &request.from);
    header(b"Call-ID: ", &request.call_id);
    header(b"", &request.cseq_line);
    out.extend_from_slice(b"To: ");
    out.extend_from_slice(&datagram[request.to.clone()]);
    if super::reader::parameter(&datagram[request.to.clone()], b"tag").is_none() {
        out.extend_from_slice(b";tag=");
        out.extend_from_slice(TO_TAG_PREFIX);
        out.extend_from_slice(id);
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends a response, given what it repeats of its request.
pub(crate) fn write_response(
    kind: Kind,
    repeated: &[u8],
    local: SocketAddr,
    frame: &Frame,
    out: &mut Vec<u8>,
) {
    let reason = match kind {
        Kind::Response(100, _) => "SIP/2.0 100 Trying\r\n",
        Kind::Response(180, _) => "SIP/2.0 180 Ringing\r\n",
        Kind::Response(487, _) => "SIP/2.0 487 Request Terminated\r\n",
        _ => "SIP/2.0 200 OK\r\n",
    };
    out.extend_from_slice(reason.as_bytes());
    out.extend_from_slice(repeated);
    if kind == Kind::Response(200, Method::Invite) {
        // Writing into a Vec does not fail.
        let _ = std::io::Write::write_fmt(
            out,
            format_args!(
                "Contact: <sip:callee@{local}>\r\nContent-Type: application/sdp\r\n\
                 Content-Length: {}\r\n\r\n{}",
                frame.answer_body.len(),
                frame.answer_body
            ),
        );
    } else {
        out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    }
}

/// The body that the receiver of this message must find; what targets answer themselves is not
/// looked at.
pub(crate) fn response_body(kind: Kind, frame: &Frame) -> &[u8] {
    if kind == Kind::Response(200, Method::Invite) { frame.answer_body.as_bytes() } else { b"" }
}

#[cfg(test)]
mod tests {
    use super::{CallText, Frame, Template};
    use crate::load::reader::read;
    use crate::load::script::{Kind, Method, Scenario, Shape};
    use std::time::Duration;

    fn shape() -> Shape {
        Shape { ring: Duration::ZERO, hold: Duration::ZERO, in_dialog: 1, compress: 1.0 }
    }

    #[test]
    fn an_invite_has_the_size_asked_for() {
        let scripts = Scenario::Proxy200.scripts(&shape());
        let local = "10.78.1.2:6000".parse().unwrap();
        for size in [600, 900] {
            let frame = Frame::new(size, 10);
            let template = Template::new(&scripts[0].messages[0], local, &frame);
            let (mut out, id, user) = (Vec::new(), [b'1'; 24], *b"0000042");
            let call = CallText { id: &id, user: &user, remote_target: None, lines: b"" };
            template.write(&call, &mut out);
            assert_eq!(out.len(), size);
            let text = String::from_utf8(out.clone()).unwrap();
            assert!(text.starts_with("INVITE sip:u0000042@bench.test SIP/2.0\r\n"), "{text}");
            assert!(!text.contains('@') || !text.contains("@@"), "{text}");
            assert!(!text.contains('#'), "{text}");
            let arrived = read(&out).unwrap();
            assert_eq!(arrived.kind, Some(Kind::Request(Method::Invite)));
            assert_eq!(&out[arrived.body], template.body());
        }
    }
}
