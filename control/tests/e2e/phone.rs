//! Phones in a few words: one sends what a test says and gives what comes, so that a test can be both
//! ends of a call and look at every line between.

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fmt::Write;
use std::fs::File;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The domain whose users register in the lab.
pub(crate) const DOMAIN: &str = control::lab::DOMAIN;

/// How long a message may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Numbers of branches, tags, Call-IDs and CSeqs: each new one is higher.
static NUMBER: AtomicU32 = AtomicU32::new(1);

fn number() -> u32 {
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

/// A UDP socket at an address of a user.
pub(crate) struct Phone {
    /// User part of its address-of-record.
    pub(crate) user: String,
    /// Where it is, as it knows itself.
    pub(crate) at: SocketAddr,
    socket: UdpSocket,
    proxy: SocketAddr,
}

/// A message that came.
#[derive(Clone, Debug)]
pub(crate) struct Received(pub(crate) String);

/// A call as one of its ends sees it.
#[derive(Clone, Debug)]
pub(crate) struct Dialog {
    target: String,
    routes: Vec<String>,
    from: String,
    to: String,
    call: String,
}

/// A socket in a network namespace. It stays there, whoever uses it.
pub(crate) fn socket_in(namespace: &str, at: SocketAddr) -> UdpSocket {
    let path = format!("/run/netns/{namespace}");
    let open = move || {
        let namespace = File::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let network = Some(LinkNameSpaceType::Network);
        move_into_link_name_space(namespace.as_fd(), network).expect("a namespace");
        UdpSocket::bind(at).unwrap_or_else(|error| panic!("{at}: {error}"))
    };
    // A thread of its own enters the namespace and ends there.
    std::thread::spawn(open).join().expect("a socket")
}

impl Phone {
    /// A phone of `user` in the namespace `tl-HOST`, whose outbound proxy is `proxy`.
    pub(crate) fn new(host: &str, at: &str, proxy: &str, user: &str) -> Self {
        let [at, proxy] = [at, proxy].map(|text| text.parse().expect("an address"));
        let socket = socket_in(&format!("tl-{host}"), at);
        Self { user: user.to_owned(), at, socket, proxy }
    }

    /// A phone on the callers' side of the lab.
    pub(crate) fn caller(user: &str, port: u16) -> Self {
        Self::new("uac", &format!("10.77.1.2:{port}"), "10.77.1.1:5060", user)
    }

    /// A phone on the servers' side of the lab.
    pub(crate) fn callee(user: &str, port: u16) -> Self {
        Self::new("uas", &format!("10.77.2.2:{port}"), "10.77.2.1:5060", user)
    }

    /// Its address-of-record.
    pub(crate) fn aor(&self) -> String {
        format!("sip:{}@{DOMAIN}", self.user)
    }

    /// The URI at which it thinks it can be reached.
    pub(crate) fn contact(&self) -> String {
        format!("sip:{}@{}", self.user, self.at)
    }

    /// Sends text to the proxy as it is, lines ended by LF alone.
    pub(crate) fn send(&self, text: &str) {
        self.send_to(text, self.proxy);
    }

    fn send_to(&self, text: &str, to: SocketAddr) {
        let message = text.replace('\n', "\r\n");
        self.socket.send_to(message.as_bytes(), to).expect("a datagram leaves");
    }

    /// The next message that is SIP; `None` when nothing comes for so long.
    pub(crate) fn hear_for(&self, patience: Duration) -> Option<Received> {
        let (start, mut buffer) = (Instant::now(), vec![0; 65_536]);
        loop {
            let left = patience.checked_sub(start.elapsed()).filter(|left| !left.is_zero())?;
            self.socket.set_read_timeout(Some(left)).expect("a timeout");
            let Ok(length) = self.socket.recv(&mut buffer) else { continue };
            let text = String::from_utf8_lossy(&buffer[..length]).replace("\r\n", "\n");
            if text.contains("SIP/2.0") {
                return Some(Received(text));
            }
        }
    }

    /// The next request with this method; other messages are passed over.
    #[track_caller]
    pub(crate) fn asked(&self, method: &str) -> Received {
        self.wait_for(method, |message| message.method() == Some(method))
    }

    /// The next response with this status; other messages are passed over, but no other final response.
    #[track_caller]
    pub(crate) fn got(&self, status: u16) -> Received {
        let wanted = |message: &Received| {
            let got = message.status();
            assert!(
                got.is_none_or(|got| got < 200 || got == status),
                "not {status}:\n{}",
                message.0
            );
            got == Some(status)
        };
        self.wait_for(&status.to_string(), wanted)
    }

    #[track_caller]
    fn wait_for(&self, what: &str, wanted: impl Fn(&Received) -> bool) -> Received {
        let start = Instant::now();
        while let Some(left) = PATIENCE.checked_sub(start.elapsed()) {
            let Some(message) = self.hear_for(left) else { break };
            if wanted(&message) {
                return message;
            }
        }
        panic!("{} at {} waits for {what}", self.user, self.at);
    }

    /// Asserts that no request with this method comes within this time.
    #[track_caller]
    pub(crate) fn not_asked(&self, method: &str, within: Duration) {
        let start = Instant::now();
        while let Some(left) = within.checked_sub(start.elapsed()) {
            let Some(message) = self.hear_for(left) else { return };
            assert_ne!(message.method(), Some(method), "{} is asked:\n{}", self.user, message.0);
        }
    }

    /// Sends a REGISTER with these header lines and gives the final response.
    #[track_caller]
    pub(crate) fn register(&self, lines: &str) -> Received {
        let call = format!("{}-{}", self.user, self.at.port());
        let request = self.registration(&call, number(), lines);
        // As any client, again after T1 when there is no answer (RFC 3261 section 17.1.2.2).
        for _ in 0..8 {
            self.send(&request);
            let cseq = Received(request.clone()).value("CSeq").to_owned();
            let start = Instant::now();
            while let Some(left) = Duration::from_millis(500).checked_sub(start.elapsed()) {
                let Some(message) = self.hear_for(left) else { break };
                let is_final = message.status().is_some_and(|status| status >= 200);
                if is_final && message.value("CSeq") == cseq {
                    return message;
                }
            }
        }
        panic!("{} at {} waits for an answer to REGISTER", self.user, self.at);
    }

    /// A REGISTER with this Call-ID and CSeq.
    pub(crate) fn registration(&self, call: &str, cseq: u32, lines: &str) -> String {
        let (aor, at, lines) = (self.aor(), self.at, ended(lines));
        format!(
            "REGISTER sip:{DOMAIN} SIP/2.0\nVia: SIP/2.0/UDP {at};rport;branch=z9hG4bK-{}\n\
             Max-Forwards: 70\nFrom: <{aor}>;tag={cseq}\nTo: <{aor}>\nCall-ID: {call}\n\
             CSeq: {cseq} REGISTER\n{lines}Content-Length: 0\n\n",
            number()
        )
    }

    /// Registers its contact with these parameters, for a minute.
    #[track_caller]
    pub(crate) fn registers(&self, parameters: &str) -> Received {
        let lines = format!("Contact: <{}>{parameters}\nExpires: 60", self.contact());
        let answer = self.register(&lines);
        assert_eq!(answer.status(), Some(200), "{}", answer.0);
        answer
    }

    /// Sends a request to `uri` that opens a dialog or stands alone, with these header lines; gives what it
    /// sent.
    pub(crate) fn asks(&self, method: &str, uri: &str, lines: &str) -> Received {
        let (aor, at, contact, lines) = (self.aor(), self.at, self.contact(), ended(lines));
        let cseq = number();
        let text = format!(
            "{method} {uri} SIP/2.0\nVia: SIP/2.0/UDP {at};rport;branch=z9hG4bK-{cseq}\nMax-Forwards: 70\n\
             From: <{aor}>;tag={cseq}\nTo: <{uri}>\nCall-ID: {cseq}-{}\nCSeq: {cseq} {method}\n\
             Contact: <{contact}>\n{lines}Content-Length: 0\n\n",
            std::process::id()
        );
        self.send(&text);
        Received(text)
    }

    /// The ACK of the INVITE's own transaction, for a final response other than 2xx.
    pub(crate) fn acknowledge(&self, invite: &Received, refusal: &Received) {
        let (uri, cseq) = (invite.uri(), invite.value("CSeq").replace("INVITE", "ACK"));
        let line = |name: &str, of: &Received| format!("{name}: {}\n", of.value(name));
        let [via, from, call] = ["Via", "From", "Call-ID"].map(|name| line(name, invite));
        let to = line("To", refusal);
        self.send(&format!(
            "ACK {uri} SIP/2.0\n{via}Max-Forwards: 70\n{from}{to}{call}CSeq: {cseq}\nContent-Length: 0\n\n"
        ));
    }

    /// Answers a request with a status and reason, these header lines and its own contact.
    pub(crate) fn answers(&self, request: &Received, status: &str, lines: &str) -> Received {
        let mut text = format!("SIP/2.0 {status}\n");
        for name in ["Via", "Record-Route", "From", "To", "Call-ID", "CSeq"] {
            for value in request.values(name) {
                let has_tag = name != "To" || value.contains(";tag=") || status.starts_with("100");
                let tag = if has_tag { String::new() } else { format!(";tag={}", self.at.port()) };
                let _ = writeln!(text, "{name}: {value}{tag}");
            }
        }
        let _ =
            write!(text, "Contact: <{}>\n{}Content-Length: 0\n\n", self.contact(), ended(lines));
        self.send_to(&text, request.sent_by().unwrap_or(self.proxy));
        Received(text)
    }

    /// Sends a request within a dialog; an ACK has the CSeq of the INVITE that it is for.
    pub(crate) fn asks_within(&self, dialog: &Dialog, method: &str, cseq: Option<u32>) {
        let Dialog { target, routes, from, to, call } = dialog;
        let (at, contact, next) = (self.at, self.contact(), number());
        let routes: Vec<_> = routes.iter().map(|route| format!("Route: {route}\n")).collect();
        let routes = routes.concat();
        self.send(&format!(
            "{method} {target} SIP/2.0\nVia: SIP/2.0/UDP {at};rport;branch=z9hG4bK-{next}\nMax-Forwards: 70\n\
             {routes}From: {from}\nTo: {to}\nCall-ID: {call}\nCSeq: {} {method}\nContact: <{contact}>\n\
             Content-Length: 0\n\n",
            cseq.unwrap_or(next)
        ));
    }

    /// Calls `uri`, which `callee` answers; both ends of the call.
    #[track_caller]
    pub(crate) fn calls(&self, uri: &str, callee: &Self) -> [Dialog; 2] {
        let sent = self.asks("INVITE", uri, "");
        let invite = callee.asked("INVITE");
        let answer = callee.answers(&invite, "200 OK", "");
        let dialog = Dialog::of_caller(&self.got(200));
        self.asks_within(&dialog, "ACK", Some(sent.cseq()));
        callee.asked("ACK");
        [dialog, Dialog::of_callee(&invite, &answer)]
    }

    /// Asks `other` within a dialog, which answers.
    #[track_caller]
    pub(crate) fn and_back(&self, method: &str, dialog: &Dialog, other: &Self) {
        self.asks_within(dialog, method, None);
        let request = other.asked(method);
        other.answers(&request, "200 OK", "");
        let answer = self.got(200);
        if method == "INVITE" {
            self.asks_within(dialog, "ACK", Some(answer.cseq()));
            other.asked("ACK");
        }
    }
}

/// Lines with an end to the last of them.
fn ended(lines: &str) -> String {
    lines.lines().flat_map(|line| [line, "\n"]).collect()
}

impl Dialog {
    /// From the 200 to the caller's INVITE.
    pub(crate) fn of_caller(answer: &Received) -> Self {
        let routes = answer.values("Record-Route").iter().rev().map(ToString::to_string).collect();
        let [from, to, call] = ["From", "To", "Call-ID"].map(|name| answer.value(name).to_owned());
        Self { target: answer.contact().to_owned(), routes, from, to, call }
    }

    /// From the INVITE and the answer that the callee gave.
    pub(crate) fn of_callee(invite: &Received, answer: &Received) -> Self {
        let routes = invite.values("Record-Route").iter().map(ToString::to_string).collect();
        let [to, from, call] = ["From", "To", "Call-ID"].map(|name| answer.value(name).to_owned());
        Self { target: invite.contact().to_owned(), routes, from, to, call }
    }
}

impl Received {
    /// Status of a response.
    pub(crate) fn status(&self) -> Option<u16> {
        self.0.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    /// Method of a request.
    pub(crate) fn method(&self) -> Option<&str> {
        self.0.split_once(' ').map(|(first, _)| first).filter(|first| *first != "SIP/2.0")
    }

    /// Where a request wants its response, if its topmost Via has an address and no `received`.
    fn sent_by(&self) -> Option<SocketAddr> {
        let via = self.values("Via").first().copied().filter(|via| !via.contains(";received="))?;
        via.split(' ').nth(1)?.split(';').next()?.parse().ok()
    }

    /// Request-URI of a request.
    pub(crate) fn uri(&self) -> &str {
        self.0.split(' ').nth(1).expect("a Request-URI")
    }

    /// The values of all lines with this name, those of one line apart.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        let lines = self.0.lines().filter_map(|line| line.split_once(": "));
        let of_name = lines.filter(|(line, _)| line.eq_ignore_ascii_case(name));
        let is_list = ["Contact", "Record-Route", "Route", "Path", "Via"].contains(&name);
        of_name
            .flat_map(|(_, value)| if is_list { list(value) } else { vec![value] })
            .map(str::trim)
            .collect()
    }

    /// The value of the first line with this name.
    #[track_caller]
    pub(crate) fn value(&self, name: &str) -> &str {
        self.values(name).first().unwrap_or_else(|| panic!("no {name} in\n{}", self.0))
    }

    /// The URI of the first Contact.
    #[track_caller]
    pub(crate) fn contact(&self) -> &str {
        let uri = self.value("Contact").split(['<', '>']).nth(1);
        uri.unwrap_or_else(|| panic!("no <Contact> in\n{}", self.0))
    }

    /// Number of the CSeq.
    #[track_caller]
    pub(crate) fn cseq(&self) -> u32 {
        let number = self.value("CSeq").split(' ').next().and_then(|number| number.parse().ok());
        number.unwrap_or_else(|| panic!("no CSeq in\n{}", self.0))
    }
}

/// The values of a comma list, outside of quotes and angle brackets.
fn list(text: &str) -> Vec<&str> {
    let (mut quoted, mut bracket) = (false, false);
    text.split(|letter| {
        match letter {
            '"' => quoted = !quoted,
            '<' if !quoted => bracket = true,
            '>' if !quoted => bracket = false,
            _ => {}
        }
        letter == ',' && !quoted && !bracket
    })
    .collect()
}
