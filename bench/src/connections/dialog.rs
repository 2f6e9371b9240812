//! The messages of a phone: REGISTER, and calls without media.

use crate::load::DOMAIN;
use memchr::memmem;
use std::fmt::Write;
use std::net::SocketAddr;

/// Who says something, and from where.
#[derive(Clone, Copy, Debug)]
pub(super) struct Phone {
    /// Index of its client thread, and of its connection there.
    pub(super) thread: usize,
    /// See `thread`.
    pub(super) index: usize,
    pub(super) address: SocketAddr,
    pub(super) is_secure: bool,
}

impl Phone {
    fn user(&self) -> String {
        user(self.thread, self.index)
    }

    fn over(&self) -> (&'static str, &'static str) {
        if self.is_secure { ("TLS", "tls") } else { ("TCP", "tcp") }
    }

    /// The Via of a new transaction and our Contact.
    fn via_and_contact(&self, branch: &str) -> (String, String) {
        let (Self { address, .. }, (via, parameter)) = (self, self.over());
        let user = self.user();
        (
            format!("Via: SIP/2.0/{via} {address};branch=z9hG4bK{branch}\r\n"),
            format!("Contact: <sip:{user}@{address};transport={parameter}>\r\n"),
        )
    }

    /// REGISTER, for an hour.
    pub(super) fn register(&self) -> String {
        let user = self.user();
        let (via, contact) = self.via_and_contact(&format!("r{user}"));
        format!(
            "REGISTER sip:{DOMAIN} SIP/2.0\r\n{via}Max-Forwards: 70\r\n\
             From: <sip:{user}@{DOMAIN}>;tag=r\r\nTo: <sip:{user}@{DOMAIN}>\r\n\
             Call-ID: r{user}\r\nCSeq: 1 REGISTER\r\n{contact}Expires: 3600\r\nContent-Length: 0\r\n\r\n"
        )
    }

    /// OPTIONS to the appliance itself.
    pub(super) fn options(&self) -> String {
        let (user, to) = (self.user(), crate::network::SUT_ADDRESS);
        let (via, _) = self.via_and_contact(&format!("o{user}"));
        format!(
            "OPTIONS sip:{to} SIP/2.0\r\n{via}Max-Forwards: 70\r\nFrom: <sip:{user}@{DOMAIN}>;tag=o\r\n\
             To: <sip:{to}>\r\nCall-ID: o{user}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        )
    }

    /// INVITE of the call `number` of this thread to a user.
    pub(super) fn invite(&self, number: u64, callee: &str) -> String {
        let (user, thread) = (self.user(), self.thread);
        let (via, contact) = self.via_and_contact(&format!("i{number}.{thread}"));
        format!(
            "INVITE sip:{callee}@{DOMAIN} SIP/2.0\r\n{via}Max-Forwards: 70\r\n\
             From: <sip:{user}@{DOMAIN}>;tag=c{number}\r\nTo: <sip:{callee}@{DOMAIN}>\r\n\
             Call-ID: {number}@{thread}\r\nCSeq: 1 INVITE\r\n{contact}Content-Length: 0\r\n\r\n"
        )
    }

    /// ACK and BYE of the call that `response`, a 200, was to.
    pub(super) fn acknowledge_and_end(&self, number: u64, response: &[u8]) -> Option<String> {
        let contact = value(response, "Contact")?;
        let target = contact.split_once('<')?.1.split_once('>')?.0;
        let mut routes = String::new();
        // RFC 3261 section 12.1.2: in reverse order.
        let recorded: Vec<&str> = values(response, "Record-Route").collect();
        for route in recorded.iter().rev() {
            let _ = write!(routes, "Route: {route}\r\n");
        }
        let (from, to) = (value(response, "From")?, value(response, "To")?);
        let call_id = value(response, "Call-ID")?;
        let mut both = String::new();
        for (method, sequence, mark) in [("ACK", 1, 'a'), ("BYE", 2, 'b')] {
            let (via, _) = self.via_and_contact(&format!("{mark}{number}.{}", self.thread));
            let _ = write!(
                both,
                "{method} {target} SIP/2.0\r\n{via}Max-Forwards: 70\r\n{routes}From: {from}\r\nTo: {to}\r\n\
                 Call-ID: {call_id}\r\nCSeq: {sequence} {method}\r\nContent-Length: 0\r\n\r\n"
            );
        }
        Some(both)
    }

    /// 200 to a request; none to ACK.
    pub(super) fn answer(&self, request: &[u8]) -> Option<String> {
        if request.starts_with(b"ACK ") {
            return None;
        }
        let mut answer = String::from("SIP/2.0 200 OK\r\n");
        for name in ["Via", "Record-Route", "From"] {
            for value in values(request, name) {
                let _ = write!(answer, "{name}: {value}\r\n");
            }
        }
        let to = value(request, "To")?;
        let tag = if to.contains(";tag=") { "" } else { ";tag=u" };
        let (_, contact) = self.via_and_contact("");
        let (call_id, sequence) = (value(request, "Call-ID")?, value(request, "CSeq")?);
        let _ = write!(
            answer,
            "To: {to}{tag}\r\nCall-ID: {call_id}\r\nCSeq: {sequence}\r\n{contact}Content-Length: 0\r\n\r\n"
        );
        Some(answer)
    }
}

/// The user of a connection.
pub(super) fn user(thread: usize, index: usize) -> String {
    format!("u{thread}-{index}")
}

/// Status code, method of the CSeq, and number of the call, of a response.
pub(super) fn response(message: &[u8]) -> Option<(u16, &str, Option<u64>)> {
    let status = message.strip_prefix(b"SIP/2.0 ")?.get(..3)?;
    let status = std::str::from_utf8(status).ok()?.parse().ok()?;
    let method = value(message, "CSeq")?.split_once(' ')?.1;
    let number =
        value(message, "Call-ID")?.split_once('@').and_then(|(number, _)| number.parse().ok());
    Some((status, method, number))
}

fn value<'a>(message: &'a [u8], name: &str) -> Option<&'a str> {
    values(message, name).next()
}

/// The values of header lines with this name, written as both sides here write it.
fn values<'a>(message: &'a [u8], name: &str) -> impl Iterator<Item = &'a str> {
    let head = memmem::find(message, b"\r\n\r\n").map_or(message, |end| &message[..end]);
    let text = std::str::from_utf8(head).unwrap_or_default();
    text.split("\r\n").skip(1).filter_map(move |line| {
        let rest = line.get(name.len()..)?;
        line[..name.len()]
            .eq_ignore_ascii_case(name)
            .then(|| rest.strip_prefix(':'))?
            .map(str::trim)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_answered_acknowledged_and_ended() {
        let phone = |index, is_secure| {
            let address = "10.79.0.1:40000".parse().unwrap();
            Phone { thread: 3, index, address, is_secure }
        };
        let (caller, callee) = (phone(1, false), phone(2, true));
        let invite = caller.invite(7, &user(3, 2));
        assert!(invite.starts_with("INVITE sip:u3-2@"), "{invite}");
        let routed = invite.replacen(
            "Via",
            "Record-Route: <sip:a;lr>\r\nRecord-Route: <sip:b;lr>\r\nVia",
            1,
        );
        let answer = callee.answer(routed.as_bytes()).unwrap();
        assert_eq!(response(answer.as_bytes()), Some((200, "INVITE", Some(7))));
        let both = caller.acknowledge_and_end(7, answer.as_bytes()).unwrap();
        assert!(
            both.starts_with(
                "ACK sip:u3-2@10.79.0.1:40000;transport=tls SIP/2.0\r\nVia: SIP/2.0/TCP"
            ),
            "{both}"
        );
        assert!(both.contains("Route: <sip:b;lr>\r\nRoute: <sip:a;lr>\r\n"), "{both}");
        assert!(both.contains(";tag=u\r\n") && both.contains("CSeq: 2 BYE\r\n"), "{both}");
        assert_eq!(callee.answer(both.as_bytes()), None);
        let bye = &both[both.find("BYE sip").unwrap()..];
        let answer = callee.answer(bye.as_bytes()).unwrap();
        assert_eq!(response(answer.as_bytes()), Some((200, "BYE", Some(7))));
        assert_eq!(answer.matches(";tag=u").count(), 1);
        assert!(caller.register().contains("Contact: <sip:u3-1@10.79.0.1:40000;transport=tcp>"));
    }
}
