//! A proxy with transactions, and messages to and from it.

use sip_core::{
    Action, Arrival, Choices, DestinationSet, EditList, Egress, Fork, Headers, ListenId,
    ListenPoint, Located, Location, LocationSizes, Member, Message, NameHops, Names, NotAimed,
    Output, Owner, Recognised, Refusal, Registered, Relay, Reply, Request, RequestRoute, Response,
    ResponseFate, Rule, Settings, Tables, Targets, TransactionCounts, TransactionSizes,
    Transactions, Transport, begin_route, finish_route, parse, quoted_branch, rewrite_located,
    rewrite_request, rewrite_response, route_response, write_reply,
};
use std::net::SocketAddr;

pub const CALLER: &str = "10.77.1.2:5060";
pub const CALLEES: [&str; 3] = ["10.77.2.2:5060", "10.77.2.3:5060", "10.77.2.4:5060"];

/// A message that left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub to: String,
    pub text: String,
}

impl Sent {
    /// Method, or status code.
    pub fn kind(&self) -> String {
        let mut words = self.text.split(' ');
        match words.next().unwrap() {
            "SIP/2.0" => words.next().unwrap().to_owned(),
            method => method.to_owned(),
        }
    }

    /// What a header says that stands once.
    pub fn header(&self, name: &str) -> &str {
        let line = self.text.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.unwrap_or_else(|| panic!("no {name} in {}", self.text))
    }

    /// A response of its callee.
    pub fn response(&self, status: &str) -> String {
        self.response_with(status, "")
    }

    /// The same with more header lines.
    pub fn response_with(&self, status: &str, lines: &str) -> String {
        let mut text = format!("SIP/2.0 {status}\r\n");
        for line in self.text.lines() {
            let name = line.split(':').next().unwrap();
            if name == "To" && !line.contains("tag=") && !status.starts_with("100") {
                text += &[line, ";tag=", &self.to.replace([':', '.'], ""), "\r\n"].concat();
            } else if ["Via", "From", "To", "Call-ID", "CSeq", "Record-Route"].contains(&name) {
                text += &[line, "\r\n"].concat();
            }
        }
        text + lines + "Content-Length: 0\r\n\r\n"
    }
}

/// Who cannot be reached.
#[derive(Default)]
pub struct Ways {
    pub dead: Vec<SocketAddr>,
    /// Where connections of TCP leave from.
    pub tcp: Option<ListenId>,
}

impl Egress for Ways {
    fn listen_towards(
        &mut self,
        target: SocketAddr,
        transport: Transport,
        _prefer_port: u16,
        _arrived_at: ListenId,
    ) -> Option<ListenId> {
        if transport == Transport::Tcp && self.tcp.is_some() {
            return self.tcp;
        }
        let is_dead = self.dead.contains(&target);
        let is_caller = target.ip() == CALLER.parse::<SocketAddr>().unwrap().ip();
        (!is_dead).then_some(ListenId(u8::from(!is_caller)))
    }
}

pub struct Proxy {
    pub transactions: Transactions,
    pub tables: Tables,
    pub ways: Ways,
    pub now_ms: u64,
    pub location: Location,
    pub names: Names,
    pub choices: Choices,
}

pub fn settings(fork: Fork) -> Settings {
    let listen = ["10.77.1.1:5060", "10.77.2.1:5060"];
    let members = CALLEES.map(|at| Member::new(at.parse().unwrap()));
    let relay = Relay::Stateful(fork);
    Settings {
        secret: *b"0123456789abcdef",
        domains: vec!["example.com".into()],
        listen: listen.map(|at| ListenPoint::udp(at.parse().unwrap())).to_vec(),
        record_route: true,
        retry_after_seconds: 5,
        sets: vec![DestinationSet {
            name: "uas".into(),
            members: members.to_vec(),
            ..DestinationSet::default()
        }],
        rules: vec![Rule { relay, ..Rule::always(Action::Forward("uas".into())) }],
        ..Settings::default()
    }
}

fn location() -> Location {
    let sizes = LocationSizes { aors: 16, bindings: 64, text_blocks: 512 };
    let mut location = Location::new(sizes, 0, 1, [7; 16]);
    location.set_ready();
    location
}

impl Proxy {
    pub fn new(settings: &Settings) -> Self {
        Self::sized(settings, TransactionSizes { transactions: 64, buffers: 1_024 })
    }

    pub fn sized(settings: &Settings, sizes: TransactionSizes) -> Self {
        let mut proxy = Self {
            transactions: Transactions::new(sizes, 3, 0x5eed),
            tables: Tables::build(settings).unwrap(),
            ways: Ways::default(),
            now_ms: 0,
            location: location(),
            names: Names::new(7),
            choices: Choices::default(),
        };
        proxy.wait(1_000);
        proxy
    }

    /// What it sends when it receives `text` from `source`.
    pub fn receive(&mut self, source: &str, text: &str) -> Vec<Sent> {
        let source: SocketAddr = source.parse().unwrap();
        let is_caller = source.ip() == CALLER.parse::<SocketAddr>().unwrap().ip();
        let arrival = Arrival { source, listen: ListenId(u8::from(!is_caller)) };
        let mut headers = Headers::default();
        let sent = match parse(text.as_bytes(), &mut headers).unwrap() {
            Message::Request(request) => self.take_request(&request, text, &arrival),
            Message::Response(response) => self.take_response(&response, text, source),
        };
        self.drain(sent)
    }

    fn take_request(&mut self, request: &Request, text: &str, arrival: &Arrival) -> Vec<Sent> {
        let mut route = RequestRoute::default();
        let Self { transactions, tables, ways, choices, location, names, .. } = self;
        begin_route(request, &mut route).unwrap();
        let recognised = transactions.recognise(request, &route, tables, arrival, ways);
        let Recognised::New(key) = recognised else { return Vec::new() };
        match finish_route(request, tables, arrival, choices, &mut route) {
            Ok(()) => {}
            Err(Refusal::Reply(reply)) => return vec![self.refuse(text, reply, arrival)],
            Err(refusal) => panic!("{refusal:?}: {text}"),
        }
        route.branch_from(key, arrival);
        if route.registers() {
            return vec![self.register(request, &route, arrival)];
        }
        let mut targets = Targets::new();
        if let Some(uri) = route.located() {
            let found = location.locate(request, &uri, tables, &mut targets);
            assert_eq!(found, Located::Found);
            targets.aim(&mut route);
        }
        let mut hops = NameHops::new();
        if route.host_name().is_some() {
            match names.aim(request, tables, arrival, &mut route, &mut hops) {
                Ok(()) => {}
                Err(NotAimed::Unknown) => return Vec::new(),
                Err(NotAimed::Refused(reply)) => return vec![self.refuse(text, reply, arrival)],
            }
        }
        let way = ways.listen_towards(route.next_hop, route.transport, 5060, arrival.listen);
        let leave_from = way.unwrap_or(arrival.listen);
        let mut edits = EditList::new();
        if !route.is_stateful() {
            rewrite_request(request, &route, tables, arrival, leave_from, &mut edits);
            return vec![emit(&edits, text, route.next_hop).0];
        }
        let id = match transactions.open(request, &mut route, tables, arrival, way) {
            Ok(id) => id,
            Err(reply) => return vec![self.refuse(text, reply, arrival)],
        };
        transactions.offer_hops(id, &hops, tables);
        if targets.is_empty() {
            rewrite_request(request, &route, tables, arrival, leave_from, &mut edits);
        } else {
            let (mut own, listen) = (Output::new(), [leave_from, arrival.listen]);
            targets.write_lines(request.method(), listen, tables, &mut own);
            transactions.offer(id, &targets, own.len(), tables);
            let (own, edits) = (own.bytes(), &mut edits);
            rewrite_located(request, &route, &targets, own, tables, arrival, leave_from, edits);
        }
        let (message, [start, rest]) = emit(&edits, text, route.next_hop);
        transactions.sent(id, &start, &rest, tables, ways);
        way.map(|_| message).into_iter().collect()
    }

    fn register(&mut self, request: &Request, route: &RequestRoute, arrival: &Arrival) -> Sent {
        let mut out = Output::new();
        let Self { location, tables, .. } = self;
        let registered = location.register(request, route, tables, arrival, None, &mut out);
        let text = String::from_utf8(out.bytes().to_vec()).unwrap();
        let Registered::Changed(to) = registered else { panic!("not registered: {text}") };
        Sent { to: to.to_string(), text }
    }

    fn take_response(&mut self, response: &Response, text: &str, source: SocketAddr) -> Vec<Sent> {
        let Self { transactions, tables, ways, location, choices, .. } = self;
        let mut edits = EditList::new();
        match transactions.owner(response, tables) {
            Owner::Stateless => {
                let route = route_response(response, tables).unwrap();
                rewrite_response(response, &route, &mut edits);
                vec![emit(&edits, text, route.next_hop).0]
            }
            Owner::Here(id) => {
                if response.status() == 430
                    && let Some(lost) = transactions.failed_flow(id)
                {
                    location.forget_flow(&lost, tables);
                }
                choices.hear(response, source, tables);
                let fate = transactions.response(id, response, tables, ways);
                let ResponseFate::Forward(route) = fate else { return Vec::new() };
                rewrite_response(response, &route, &mut edits);
                let (message, [start, rest]) = emit(&edits, text, route.next_hop);
                transactions.passed(id, response.status(), &start, &rest);
                vec![message]
            }
            other => panic!("{other:?}: {text}"),
        }
    }

    fn refuse(&self, text: &str, reply: Reply, arrival: &Arrival) -> Sent {
        let mut out = Output::new();
        let to = write_reply(text.as_bytes(), reply, &self.tables, arrival, &mut out).unwrap();
        Sent { to: to.to_string(), text: String::from_utf8(out.bytes().to_vec()).unwrap() }
    }

    /// What it would send a request over.
    pub fn transport_of(&self, text: &str) -> Transport {
        let arrival = Arrival { source: CALLER.parse().unwrap(), listen: ListenId(0) };
        let (mut headers, mut route) = (Headers::default(), RequestRoute::default());
        let Ok(Message::Request(request)) = parse(text.as_bytes(), &mut headers) else {
            panic!("{text}")
        };
        let choices = &mut Choices::default();
        begin_route(&request, &mut route).unwrap();
        finish_route(&request, &self.tables, &arrival, choices, &mut route).unwrap();
        route.transport
    }

    /// What it says of a response that it should not take.
    pub fn owner(&self, text: &str) -> Owner {
        let mut headers = Headers::default();
        match parse(text.as_bytes(), &mut headers) {
            Ok(Message::Response(response)) => self.transactions.owner(&response, &self.tables),
            _ => Owner::Stateless,
        }
    }

    /// What it sends in so many milliseconds, with the time of each.
    pub fn wait(&mut self, ms: u64) -> Vec<(u64, Sent)> {
        let mut all = Vec::new();
        let began = self.now_ms;
        for at in 1..=ms {
            self.now_ms = began + at;
            self.transactions.set_time(self.now_ms);
            self.choices.set_time(self.now_ms);
            self.location.set_time(self.now_ms, self.now_ms);
            self.names.set_time(self.now_ms);
            while self.transactions.expire(64, &self.tables, &mut self.ways) {}
            all.extend(self.drain(Vec::new()).into_iter().map(|sent| (at, sent)));
        }
        all
    }

    /// What it sends when an ICMP error quotes `text`.
    pub fn unreachable(&mut self, text: &str) -> Vec<Sent> {
        let quoted = quoted_branch(text.as_bytes()).unwrap();
        assert_eq!(quoted.worker(), 3);
        if let Some(lost) = self.transactions.unreachable_flow(quoted, &self.tables) {
            self.location.forget_flow(&lost, &self.tables);
        }
        self.transactions.unreachable(quoted, &self.tables, &mut self.ways);
        self.drain(Vec::new())
    }

    pub fn counts(&self) -> TransactionCounts {
        self.transactions.counts()
    }

    fn drain(&mut self, mut sent: Vec<Sent>) -> Vec<Sent> {
        while let Some(own) = self.transactions.outbox().take() {
            let text = String::from_utf8(own.message.to_vec()).unwrap();
            sent.push(Sent { to: own.target.to_string(), text });
        }
        sent
    }
}

fn emit(edits: &EditList, text: &str, to: SocketAddr) -> (Sent, [Vec<u8>; 2]) {
    let mut message = text.as_bytes().to_vec();
    edits.patch(&mut message);
    let mut out = Output::new();
    let replaced = edits.emit_prefix(&message, &mut out).unwrap();
    let parts = [out.bytes().to_vec(), message[replaced..].to_vec()];
    let text = String::from_utf8(parts.concat()).unwrap();
    (Sent { to: to.to_string(), text }, parts)
}

/// A request of the caller.
pub fn request(method: &str, call: &str) -> String {
    let cseq = if method == "BYE" { 2 } else { 1 };
    let via = if method == "CANCEL" || method == "ACK" { "INVITE" } else { method };
    format!(
        "{method} sip:bob@example.com SIP/2.0\r\n\
         Via: SIP/2.0/UDP 10.77.1.2:5060;branch=z9hG4bK{call}{via}\r\n\
         From: <sip:alice@example.com>;tag={call}\r\n\
         To: <sip:bob@example.com>\r\n\
         Call-ID: {call}\r\nCSeq: {cseq} {method}\r\nMax-Forwards: 70\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

/// The only one of its kind.
pub fn only<'a>(sent: &'a [Sent], kind: &str) -> &'a Sent {
    let mut fitting = sent.iter().filter(|one| one.kind() == kind);
    let found = fitting.next().unwrap_or_else(|| panic!("no {kind} among {sent:#?}"));
    assert!(fitting.next().is_none(), "more than one {kind} among {sent:#?}");
    found
}

pub fn kinds(sent: &[Sent]) -> Vec<String> {
    sent.iter().map(Sent::kind).collect()
}
