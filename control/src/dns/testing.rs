//! A name server on loopback whose records change at a word.

use super::Plan;
use super::answers::Answers;
use crate::config::Dns;
use control_api::{NameAsked, NameReply};
use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, NAPTR, SOA, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record};
use sip_core::Transport;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::net::UdpSocket;

/// The server.
pub(super) struct NameServer {
    pub(super) address: SocketAddr,
    pub(super) zone: Arc<Zone>,
}

/// What it knows and how it behaves.
#[derive(Default)]
pub(super) struct Zone {
    records: Mutex<Vec<Record>>,
    mood: Mutex<Mood>,
    /// Queries that came.
    pub(super) queries: AtomicU64,
}

#[derive(Clone, Copy, Default, PartialEq)]
pub(super) enum Mood {
    #[default]
    Well,
    Silent,
    Ill,
}

impl NameServer {
    pub(super) async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (address, zone) = (socket.local_addr().unwrap(), Arc::<Zone>::default());
        let own = Arc::clone(&zone);
        tokio::spawn(async move {
            let mut packet = vec![0; 4096];
            loop {
                let (length, peer) = socket.recv_from(&mut packet).await.unwrap();
                let query = Message::from_vec(&packet[..length]).unwrap();
                if let Some(answer) = own.answer(&query) {
                    socket.send_to(&answer.to_vec().unwrap(), peer).await.unwrap();
                }
            }
        });
        Self { address, zone }
    }

    /// Answers by this server alone, with these changes of the settings.
    pub(super) fn answers(&self, change: impl FnOnce(&mut Dns)) -> Arc<Answers> {
        let mut dns = Dns {
            servers: vec![self.address],
            timeout_ms: 100,
            retries: 0,
            ttl_min_seconds: 1,
            ..Dns::default()
        };
        change(&mut dns);
        let transports = vec![Transport::Udp, Transport::Tcp];
        let answers =
            Arc::new(Answers::new(Plan { dns: dns.clone(), transports: transports.clone() }));
        answers.follow(Plan { dns, transports });
        answers
    }
}

impl Zone {
    /// Makes these its records: `name type data…`, all with this TTL.
    pub(super) fn set(&self, ttl: u32, lines: &[&str]) {
        let record = |line: &&str| {
            let (name, data) = line.split_once(' ').unwrap();
            Record::from_rdata(absolute(name), ttl, rdata(data))
        };
        *self.records.lock().unwrap() = lines.iter().map(record).collect();
    }

    pub(super) fn set_mood(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    fn answer(&self, query: &Message) -> Option<Message> {
        self.queries.fetch_add(1, Ordering::Relaxed);
        let mut answer = Message::response(query.metadata.id, OpCode::Query);
        let asked = query.queries.first()?.clone();
        match *self.mood.lock().unwrap() {
            Mood::Silent => return None,
            Mood::Ill => answer.metadata.response_code = ResponseCode::ServFail,
            Mood::Well => {
                let records = self.records.lock().unwrap();
                let same_name = || records.iter().filter(|record| record.name == *asked.name());
                let found = same_name().filter(|r| r.data.record_type() == asked.query_type());
                answer.add_answers(found.cloned());
                if same_name().next().is_none() {
                    answer.metadata.response_code = ResponseCode::NXDomain;
                }
                if answer.answers.is_empty() {
                    let soa = SOA::new(Name::root(), Name::root(), 1, 1, 1, 1, 2);
                    answer.add_authority(Record::from_rdata(Name::root(), 2, RData::SOA(soa)));
                }
            }
        }
        answer.add_query(asked);
        Some(answer)
    }
}

/// A question with a port, or 0, and perhaps a transport.
pub(super) fn asked(name: &str, port: u16, transport: Option<Transport>) -> NameAsked {
    NameAsked { name: name.into(), port, transport: transport.map(Transport::number) }
}

/// The answer, as the link gives it.
pub(super) async fn ask(answers: &Arc<Answers>, asked: NameAsked) -> NameReply {
    match answers.known(&asked) {
        Some(reply) => reply,
        None => Arc::clone(answers).find(asked).await,
    }
}

fn absolute(name: &str) -> Name {
    let mut name = Name::from_ascii(name).unwrap();
    name.set_fqdn(true);
    name
}

fn rdata(text: &str) -> RData {
    let words: Vec<_> = text.split(' ').collect();
    let number = |at: usize| words[at].parse::<u16>().unwrap();
    let bytes = |at: usize| words[at].trim_matches('"').as_bytes().into();
    match words[0] {
        "A" => RData::A(A(words[1].parse().unwrap())),
        "AAAA" => RData::AAAA(AAAA(words[1].parse().unwrap())),
        "SRV" => RData::SRV(SRV::new(number(1), number(2), number(3), absolute(words[4]))),
        "NAPTR" => RData::NAPTR(NAPTR::new(
            number(1),
            number(2),
            bytes(3),
            bytes(4),
            bytes(5),
            absolute(words[6]),
        )),
        other => panic!("{other}"),
    }
}
