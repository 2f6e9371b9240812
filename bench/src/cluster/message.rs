//! What phones and callers say, and what they hear.

use std::fmt::Write;
use std::net::SocketAddr;

/// The domain whose users register.
pub(super) const DOMAIN: &str = control::lab::DOMAIN;

/// A flow of a user: the user's number, and which of its flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Flow {
    pub(super) user: u32,
    pub(super) flow: u8,
}

/// A Contact: a flow, and how often its phone has moved before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Contact {
    pub(super) flow: Flow,
    pub(super) generation: u32,
}

impl Contact {
    /// The user part by which a phone knows which of its Contacts is meant.
    pub(super) fn user_part(self) -> String {
        format!("u{}-{}-{}", self.flow.user, self.flow.flow, self.generation)
    }

    /// From text that begins with such a user part.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let end = text.find(['@', ';', '>']).unwrap_or(text.len());
        let mut numbers = text.get(..end)?.strip_prefix('u')?.split('-');
        let user = numbers.next()?.parse().ok()?;
        let flow = numbers.next()?.parse().ok()?;
        let generation = numbers.next()?.parse().ok()?;
        Some(Self { flow: Flow { user, flow }, generation })
    }
}

/// The address-of-record of a user.
pub(super) fn aor(user: u32) -> String {
    format!("sip:user{user}@{DOMAIN}")
}

/// A REGISTER of one flow (RFC 5626 section 4.2), which takes the place of that flow's last Contact.
pub(super) fn register(
    at: SocketAddr,
    contact: Contact,
    branch: &str,
    cseq: u32,
    expires: u32,
) -> String {
    let Flow { user, flow } = contact.flow;
    let (aor, part, reg_id) = (aor(user), contact.user_part(), flow + 1);
    format!(
        "REGISTER sip:{DOMAIN} SIP/2.0\r\n\
         Via: SIP/2.0/UDP {at};rport;branch={branch}\r\n\
         Max-Forwards: 70\r\n\
         From: <{aor}>;tag={cseq}\r\n\
         To: <{aor}>\r\n\
         Call-ID: register-{user}-{flow}\r\n\
         CSeq: {cseq} REGISTER\r\n\
         Supported: outbound, path\r\n\
         Contact: <sip:{part}@{at}>;reg-id={reg_id};+sip.instance=\"<urn:uuid:00000000-0000-4000-8000-{user:012x}>\"\r\n\
         Expires: {expires}\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

/// An INVITE from `at` for a user. The branch is its Call-ID, too.
pub(super) fn invite(at: SocketAddr, user: u32, branch: &str) -> String {
    let aor = aor(user);
    format!(
        "INVITE {aor} SIP/2.0\r\n\
         Via: SIP/2.0/UDP {at};rport;branch={branch}\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:caller@{at}>;tag={branch}\r\n\
         To: <{aor}>\r\n\
         Call-ID: {branch}\r\n\
         CSeq: 1 INVITE\r\n\
         Contact: <sip:caller@{at}>\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

/// An OPTIONS to a first-stage node itself; the answer has its number in its branch.
pub(super) fn options(from: SocketAddr, to: SocketAddr, number: u32) -> String {
    format!(
        "OPTIONS sip:{to} SIP/2.0\r\n\
         Via: SIP/2.0/UDP {from};rport;branch=z9hG4bK-{number}-OPTIONS\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:caller@{from}>;tag={number}\r\n\
         To: <sip:{to}>\r\n\
         Call-ID: options-{number}\r\n\
         CSeq: 1 OPTIONS\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

/// ACK and BYE of the caller within the dialog that this 200 made; none when it has no Contact.
pub(super) fn ack_and_bye(at: SocketAddr, answer: &Message) -> Option<[String; 2]> {
    let target = answer.contact_uri()?;
    let (from, to, call) =
        (answer.header("From")?, answer.header("To")?, answer.header("Call-ID")?);
    let mut routes = String::new();
    let mut route_set = answer.headers("Record-Route");
    route_set.reverse();
    for route in route_set {
        let _ = write!(routes, "Route: {route}\r\n");
    }
    let request = |method: &str, cseq: u32| {
        format!(
            "{method} {target} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {at};rport;branch={call}-{method}\r\n\
             Max-Forwards: 70\r\n\
             {routes}From: {from}\r\nTo: {to}\r\nCall-ID: {call}\r\n\
             CSeq: {cseq} {method}\r\n\
             Content-Length: 0\r\n\r\n"
        )
    };
    Some([request("ACK", 1), request("BYE", 2)])
}

/// The ACK of the INVITE's own transaction (RFC 3261 section 17.1.1.3), for a refusal.
pub(super) fn acknowledge(invite: &str, refusal: &Message) -> Option<String> {
    let to = refusal.header("To")?;
    let line = |line: &str| match line.split_once(' ') {
        Some(("To:", _)) => format!("To: {to}"),
        Some(("CSeq:", _)) => "CSeq: 1 ACK".into(),
        Some(("INVITE", rest)) => format!("ACK {rest}"),
        _ => line.to_owned(),
    };
    let lines = invite.split("\r\n").filter(|line| !line.starts_with("Contact:"));
    Some(lines.map(line).collect::<Vec<_>>().join("\r\n"))
}

/// The 200 to a request; that of an INVITE has the Contact at which it came, so that the caller sees which one it was.
pub(super) fn ok(request: &Message, at: SocketAddr) -> String {
    let mut text = String::from("SIP/2.0 200 OK\r\n");
    for name in ["Via", "Record-Route", "From", "To", "Call-ID", "CSeq"] {
        for value in request.headers(name) {
            let tag = if name == "To" && !value.contains(";tag=") { ";tag=phone" } else { "" };
            let _ = write!(text, "{name}: {value}{tag}\r\n");
        }
    }
    if let Some(contact) = request.asked_contact() {
        let _ = write!(text, "Contact: <sip:{}@{at}>\r\n", contact.user_part());
    }
    text + "Content-Length: 0\r\n\r\n"
}

/// A message that came.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) text: String,
    /// Who sent it.
    pub(super) from: SocketAddr,
}

impl Message {
    /// Status of a response.
    pub(super) fn status(&self) -> Option<u16> {
        self.text.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    /// Method of a request.
    pub(super) fn method(&self) -> Option<&str> {
        self.text.split_once(' ').map(|(first, _)| first).filter(|first| *first != "SIP/2.0")
    }

    /// The Contact that a request asks for.
    pub(super) fn asked_contact(&self) -> Option<Contact> {
        Contact::parse(self.text.split(' ').nth(1)?.strip_prefix("sip:")?)
    }

    /// The Contact of whoever answered.
    pub(super) fn answering_contact(&self) -> Option<Contact> {
        Contact::parse(self.contact_uri()?.strip_prefix("sip:")?)
    }

    fn contact_uri(&self) -> Option<&str> {
        self.header("Contact")?.split(['<', '>']).nth(1)
    }

    /// The branch of the first Via.
    pub(super) fn branch(&self) -> Option<&str> {
        let (_, rest) = self.header("Via")?.split_once(";branch=")?;
        rest.split([';', ',']).next()
    }

    fn headers(&self, name: &str) -> Vec<&str> {
        let head = self.text.split("\r\n\r\n").next().unwrap_or_default();
        let lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
        let of_name = lines.filter(|(line, _)| line.eq_ignore_ascii_case(name));
        let values = of_name.flat_map(|(_, value)| match name {
            // No comma stands within what the appliances and these phones write there.
            "Record-Route" => value.split(',').collect(),
            _ => vec![value],
        });
        values.map(str::trim).collect()
    }

    /// The first value of this header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).first().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::{Contact, Flow, Message, ack_and_bye, acknowledge, invite, ok, register};

    const CONTACT: Contact = Contact { flow: Flow { user: 17, flow: 1 }, generation: 3 };

    fn message(text: String) -> Message {
        Message { text, from: "10.79.0.11:5060".parse().unwrap() }
    }

    #[test]
    fn a_contact_names_user_flow_and_generation() {
        let text = register("10.79.0.102:7000".parse().unwrap(), CONTACT, "z9hG4bK-1", 5, 60);
        let line = text.split("\r\n").find(|line| line.starts_with("Contact")).unwrap();
        assert!(line.starts_with("Contact: <sip:u17-1-3@10.79.0.102:7000>;reg-id=2;"), "{line}");
        assert_eq!(Contact::parse("u17-1-3@10.79.0.102"), Some(CONTACT));
        assert_eq!(Contact::parse("u17-1@10.79.0.102"), None);
        assert_eq!(Contact::parse("user17"), None);
    }

    #[test]
    fn a_call_is_answered_acknowledged_and_ended() {
        let [caller, phone] =
            ["10.79.0.101:7100", "10.79.0.102:7000"].map(|at| at.parse().unwrap());
        let sent = invite(caller, 17, "z9hG4bK-9-0");
        assert_eq!(message(sent.clone()).branch(), Some("z9hG4bK-9-0"));
        let came = sent
            .replace("INVITE sip:user17@lab.test", "INVITE sip:u17-1-3@10.79.0.102:7000;ob")
            .replace("Max-Forwards", "Record-Route: <sip:b;lr>, <sip:a;lr>\r\nMax-Forwards");
        let came = message(came);
        assert_eq!(
            (came.method(), came.status(), came.asked_contact()),
            (Some("INVITE"), None, Some(CONTACT))
        );
        let answer = message(ok(&came, phone));
        assert_eq!(
            (answer.method(), answer.status(), answer.answering_contact()),
            (None, Some(200), Some(CONTACT))
        );
        let [ack, bye] = ack_and_bye(caller, &answer).unwrap();
        assert!(ack.starts_with("ACK sip:u17-1-3@10.79.0.102:7000 SIP/2.0\r\n"), "{ack}");
        assert!(
            bye.contains("Route: <sip:a;lr>\r\nRoute: <sip:b;lr>\r\n")
                && bye.contains("CSeq: 2 BYE"),
            "{bye}"
        );
        let refusal = message(answer.text.replace("200 OK", "480 Not here"));
        let ack = acknowledge(&sent, &refusal).unwrap();
        assert!(ack.starts_with("ACK sip:user17@lab.test SIP/2.0\r\n"), "{ack}");
        assert!(
            ack.contains("To: <sip:user17@lab.test>;tag=phone") && ack.contains("CSeq: 1 ACK"),
            "{ack}"
        );
    }
}
