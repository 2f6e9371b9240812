//! The messages of SIPstone "Proxy 200" calls, as they arrive at the appliance from both sides.
//!
//! Requests are written by hand; responses are what a callee would answer to the request that the appliance
//! really forwarded, so their Via proves itself.

use core::fmt::Write as _;
use core::net::SocketAddr;
use dataplane::decode::{DecodeRules, decode};
use dataplane::packet::PacketBuf;
use dataplane::testing::{appliance::Appliance, frames};

/// The caller beside the appliance.
pub(crate) const CALLER: &str = "10.77.1.2:5060";
/// Who floods the appliance, beside the caller.
pub(crate) const FLOODER: &str = "10.77.1.3:5060";
/// The appliance's address towards the caller.
pub(crate) const CALLER_SIDE: &str = "10.77.1.1:5060";
/// The callee, reached through the appliance's other port.
pub(crate) const CALLEE: &str = "10.77.2.2:5060";
/// The appliance's address towards the callee.
pub(crate) const CALLEE_SIDE: &str = "10.77.2.1:5060";

/// Bytes of the INVITE with its session description, the size the field's benchmarks use.
pub(crate) const INVITE_BYTES: usize = 600;

/// The frames that arrive during `calls` calls, call after call: INVITE, 100, 180, 200, ACK, BYE, 200.
///
/// # Panics
/// When the appliance does not forward one of them: then there is nothing to measure.
pub(crate) fn proxy_200(appliance: &mut Appliance, calls: usize) -> Vec<Vec<u8>> {
    (0..calls).flat_map(|number| call(appliance, number)).collect()
}

/// All messages of `calls` calls in one flow, as from a trunk that calls and is called: step by step, so that a call's
/// messages stand as far apart as there are calls. Each has a line [`NUMBER`] with room for a number.
///
/// # Panics
/// As [`proxy_200`].
pub(crate) fn one_flow(appliance: &mut Appliance, calls: usize) -> Vec<Vec<u8>> {
    let calls: Vec<Vec<Vec<u8>>> = (0..calls).map(|number| call(appliance, number)).collect();
    let steps = calls.first().map_or(0, Vec::len);
    let in_steps = (0..steps).flat_map(|step| calls.iter().map(move |call| &call[step]));
    in_steps.map(|frame| from_caller(&with_number(&message_of(frame)))).collect()
}

/// Begins a line that nobody reads but the bench, with as many digits behind it as a `u32` can have.
pub(crate) const NUMBER: &str = "\r\nX-Number: ";

fn with_number(message: &str) -> String {
    message.replacen("\r\nContent-Length:", &format!("{NUMBER}{:010}\r\nContent-Length:", 0), 1)
}

/// The INVITE of a call, [`INVITE_BYTES`] long.
pub(crate) fn invite(number: usize) -> String {
    request("INVITE", 1, number, "-0", &session_description(number))
}

fn call(appliance: &mut Appliance, number: usize) -> Vec<Vec<u8>> {
    let invite = from_caller(&invite(number));
    let forwarded = forward(appliance, &invite);
    let ringing = [("100 Trying", false), ("180 Ringing", true), ("200 OK", true)]
        .map(|(status, has_tag)| from_callee(&response(&forwarded, status, has_tag, number)));
    let ack = from_caller(&request("ACK", 1, number, "-1", ""));
    let bye = from_caller(&request("BYE", 2, number, "-2", ""));
    let bye_forwarded = forward(appliance, &bye);
    let done = from_callee(&response(&bye_forwarded, "200 OK", true, number));
    let mut call = vec![invite];
    call.extend(ringing);
    call.extend([ack, bye, done]);
    for frame in &call[1..] {
        forward(appliance, frame);
    }
    call
}

/// Lets the appliance forward one frame and gives the SIP message that came out.
fn forward(appliance: &mut Appliance, frame: &[u8]) -> String {
    let sent = appliance.forward(frame).expect("the appliance forwards a well-formed message");
    message_of(sent.frame())
}

fn message_of(frame: &[u8]) -> String {
    let datagram = decode(frame, DecodeRules { verify_checksums: true });
    let payload = datagram.expect("frames made here and by the appliance decode").payload;
    String::from_utf8(frame[payload].to_vec()).expect("the corpus is ASCII")
}

fn from_caller(message: &str) -> Vec<u8> {
    between(CALLER, CALLER_SIDE, message)
}

fn from_callee(message: &str) -> Vec<u8> {
    between(CALLEE, CALLEE_SIDE, message)
}

fn between(source: &str, target: &str, message: &str) -> Vec<u8> {
    let address = |text: &str| -> SocketAddr { text.parse().expect("an address of ours") };
    frames::udp_between(address(source), address(target), message.as_bytes())
}

/// A request of call `number`, in its dialog unless it is the INVITE.
pub(crate) fn request(method: &str, cseq: u32, number: usize, branch: &str, body: &str) -> String {
    let to_tag = if method == "INVITE" { String::new() } else { format!(";tag=callee-{number}") };
    let mut message = format!(
        "{method} sip:service@{CALLER_SIDE} SIP/2.0\r\n\
         Via: SIP/2.0/UDP {CALLER};branch=z9hG4bK-{number:06}{branch}\r\n\
         Max-Forwards: 70\r\n\
         From: \"Caller {number:06}\" <sip:caller{number:06}@example.com>;tag=caller-{number}\r\n\
         To: <sip:service@{CALLER_SIDE}>{to_tag}\r\n\
         Call-ID: {number:06}-4711@{CALLER}\r\n\
         CSeq: {cseq} {method}\r\n\
         Contact: <sip:caller{number:06}@{CALLER}>\r\n"
    );
    if !body.is_empty() {
        message.push_str("Content-Type: application/sdp\r\n");
    }
    let _ = write!(message, "Content-Length: {}\r\n\r\n{body}", body.len());
    message
}

/// A session description that fills the INVITE up to [`INVITE_BYTES`].
fn session_description(number: usize) -> String {
    let mut body = format!(
        "v=0\r\no=caller 5365576{number:06} 2353687637 IN IP4 10.77.1.2\r\ns=-\r\n\
         c=IN IP4 10.77.1.2\r\nt=0 0\r\nm=audio 6000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
    );
    let have = request("INVITE", 1, number, "-0", &body).len();
    if let Some(missing) = INVITE_BYTES.checked_sub(have + "a=x-fill:\r\n".len()) {
        let _ = write!(body, "a=x-fill:{}\r\n", "f".repeat(missing));
    }
    body
}

/// What a callee answers to `request`: its Vias, From, To, Call-ID, CSeq and Record-Routes.
pub(crate) fn response(request: &str, status: &str, has_tag: bool, number: usize) -> String {
    let mut message = format!("SIP/2.0 {status}\r\n");
    let copied = ["Via:", "Record-Route:", "From:", "Call-ID:", "CSeq:"];
    for line in request.split("\r\n").take_while(|line| !line.is_empty()) {
        if copied.iter().any(|name| line.starts_with(name)) {
            let _ = write!(message, "{line}\r\n");
        } else if line.starts_with("To:") {
            let tag = if has_tag && !line.contains(";tag=") {
                format!(";tag=callee-{number}")
            } else {
                String::new()
            };
            let _ = write!(message, "{line}{tag}\r\n");
        }
    }
    let _ = write!(message, "Contact: <sip:service@{CALLEE}>\r\nContent-Length: 0\r\n\r\n");
    message
}
