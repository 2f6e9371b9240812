//! The appliance's own steps, each called as the worker calls it.

use super::cases::{Work, repeat};
use super::messages::Arrived;
use crate::corpus::{CALLEE, CALLEE_SIDE};
use core::cell::RefCell;
use core::net::{IpAddr, SocketAddr};
use dataplane::decode::DecodeRules;
use dataplane::encode::Egress;
use dataplane::fib::{AdjacencyCache, Lookup};
use dataplane::packet::{MemoryPacket, PacketBuf};
use dataplane::testing::appliance::{lab_fib, lab_settings};
use sip_core::{
    Arrival, Choices, EditList, Headers, ListenId, Message, Output, Request, RequestRoute,
    Response, ResponseRoute, Settings, Tables, rewrite_request, rewrite_response, route_request,
    route_response,
};
use std::hint::black_box;

const WELL_FORMED: &str = "a message of the corpus";

/// Ethernet, IP and UDP headers, checksums included.
pub(super) fn decode(arrived: &Arrived) -> Work {
    let frame = arrived.frame.clone();
    let rules = DecodeRules { verify_checksums: true };
    repeat(move || {
        let _ = black_box(&dataplane::decode::decode(black_box(&frame), rules));
    })
}

/// Where each header is, and that the mandatory ones are there.
pub(super) fn parse(arrived: &Arrived) -> Work {
    let message = arrived.message();
    repeat(move || {
        let mut headers = Headers::default();
        let _ = black_box(&sip_core::parse(black_box(message), &mut headers));
    })
}

/// Where the message goes.
pub(super) fn route(arrived: &Arrived) -> Work {
    let setting = Setting::new(arrived);
    let mut route = RequestRoute::default();
    match parsed(arrived.message()) {
        Message::Request(request) => repeat(move || {
            setting.route_request(black_box(&request), black_box(&mut route));
        }),
        Message::Response(response) => repeat(move || {
            let _ = black_box(&setting.route_response(black_box(&response)));
        }),
    }
}

/// The edits and, from them, the new beginning of the message.
pub(super) fn rewrite(arrived: &Arrived) -> Work {
    let setting = Setting::new(arrived);
    let message = arrived.message();
    let mut writer = Writer::new(message);
    match parsed(message) {
        Message::Request(request) => {
            let mut route = RequestRoute::default();
            setting.route_request(&request, &mut route);
            repeat(move || {
                setting.rewrite_request(black_box(&request), &route, &mut writer.edits);
                writer.write();
            })
        }
        Message::Response(response) => {
            let route = setting.route_response(&response);
            repeat(move || {
                rewrite_response(black_box(&response), &route, &mut writer.edits);
                writer.write();
            })
        }
    }
}

/// Parse, route and rewrite with the new beginning written out: all that SIP asks of the worker.
pub(super) fn forward(arrived: &Arrived) -> Work {
    let setting = Setting::new(arrived);
    let mut writer = Writer::new(arrived.message());
    repeat(move || {
        let Writer { copies, turn, edits, .. } = &mut writer;
        let (mut headers, mut route) = (Headers::default(), RequestRoute::default());
        // By reference, as the worker does: a result that is moved makes its reader wait.
        match &sip_core::parse(black_box(&copies[*turn]), &mut headers) {
            Ok(Message::Request(request)) => {
                setting.route_request(request, &mut route);
                setting.rewrite_request(request, &route, edits);
            }
            Ok(Message::Response(response)) => {
                rewrite_response(response, &setting.route_response(response), edits);
            }
            Err(error) => unreachable!("{WELL_FORMED}: {error:?}"),
        }
        writer.write();
    })
}

/// The headers of the frame that leaves, checksums included, around a message whose body stays.
pub(super) fn encode(arrived: &Arrived) -> Work {
    let setting = Setting::new(arrived);
    let message = arrived.message();
    let mut writer = Writer::new(message);
    if let Message::Request(request) = parsed(message) {
        let mut route = RequestRoute::default();
        setting.route_request(&request, &mut route);
        setting.rewrite_request(&request, &route, &mut writer.edits);
    }
    let replaced = writer.write();
    let payload = &arrived.datagram.payload;
    let kept = payload.start + replaced..payload.end;
    let mut packet = MemoryPacket::new(&arrived.frame);
    let window = packet.buffer().1;
    let egress = egress();
    repeat(move || {
        packet.set_window(window.clone());
        let encoded = dataplane::encode::encode(
            &mut packet,
            black_box(writer.prefix.bytes()),
            kept.clone(),
            &egress,
            dataplane::encode::ChecksumPorts::default(),
        );
        black_box(encoded).expect("it fits");
    })
}

/// The next hop's MAC addresses, known from the message before.
pub(super) fn adjacency_hit(_: &Arrived) -> Work {
    let fib = lab_fib(1, [0, 1], true);
    let mut cache = AdjacencyCache::new();
    let callee = address(CALLEE).ip();
    repeat(move || {
        let _ = black_box(&cache.lookup(&fib, black_box(callee)));
    })
}

/// Longest prefix match and neighbour: the first message to a destination after a change.
pub(super) fn fib_lookup(_: &Arrived) -> Work {
    let fib = lab_fib(1, [0, 1], true);
    let callee: IpAddr = address(CALLEE).ip();
    repeat(move || {
        let _ = black_box(&fib.lookup(black_box(callee)));
    })
}

/// What a message is decided by, as in the lab.
pub(super) struct Setting {
    /// What it is routed by.
    pub(super) tables: Tables,
    arrival: Arrival,
    leave_from: ListenId,
    choices: RefCell<Choices>,
}

impl Setting {
    fn new(arrived: &Arrived) -> Self {
        Self::with(arrived, &lab_settings())
    }

    /// With other settings, of which the listen points are the lab's.
    pub(super) fn with(arrived: &Arrived, settings: &Settings) -> Self {
        let tables = Tables::build(settings).expect("the settings are right");
        let listen = tables.listen_id(arrived.datagram.target).expect("a frame to the appliance");
        let leave_from = tables.listen_id(address(CALLEE_SIDE)).expect("a listen point");
        let arrival = Arrival { source: arrived.datagram.source, listen };
        Self { tables, arrival, leave_from, choices: RefCell::default() }
    }

    #[inline]
    /// Where it goes, which it does.
    pub(super) fn route_request(&self, request: &Request, route: &mut RequestRoute) {
        let choices = &mut self.choices.borrow_mut();
        route_request(request, &self.tables, &self.arrival, choices, route)
            .expect("it is forwarded");
    }

    #[inline]
    fn route_response(&self, response: &Response) -> ResponseRoute {
        route_response(response, &self.tables).expect("it is forwarded")
    }

    #[inline]
    fn rewrite_request(&self, request: &Request, route: &RequestRoute, edits: &mut EditList) {
        rewrite_request(request, route, &self.tables, &self.arrival, self.leave_from, edits);
    }
}

/// What the worker keeps between messages, and the message in two copies used by turns: the
/// patch is undone in one while the next message is parsed from the other, as no frame is parsed twice.
struct Writer {
    edits: EditList,
    prefix: Output,
    copies: [Vec<u8>; 2],
    turn: usize,
    /// Where Max-Forwards has its value, which the worker counts down in place.
    patched: Option<(usize, [u8; 2])>,
}

impl Writer {
    fn new(message: &[u8]) -> Self {
        const NAME: &[u8] = b"Max-Forwards: ";
        let found = message.windows(NAME.len()).position(|window| window == NAME);
        let value = found.map(|at| (at + NAME.len(), [b'7', b'0']));
        Self {
            edits: EditList::new(),
            prefix: Output::new(),
            copies: [message.to_vec(), message.to_vec()],
            turn: 0,
            patched: value,
        }
    }

    /// Applies the edits and gives how many bytes of the message the prefix replaces.
    #[inline]
    fn write(&mut self) -> usize {
        let message = &mut self.copies[self.turn];
        self.edits.patch(message);
        self.prefix.clear();
        let replaced = self.edits.emit_prefix(message, &mut self.prefix).expect("it fits");
        black_box(self.prefix.bytes());
        if let Some((at, value)) = self.patched {
            message[at..at + 2].copy_from_slice(&value);
        }
        self.turn ^= 1;
        replaced
    }
}

/// The message with its headers found, for the whole run.
pub(super) fn parsed(message: &'static [u8]) -> Message<'static> {
    let headers = Box::leak(Box::new(Headers::default()));
    sip_core::parse(message, headers).expect(WELL_FORMED)
}

fn egress() -> Egress {
    let target = address(CALLEE);
    let Lookup::Ready(adjacency) = lab_fib(1, [0, 1], true).lookup(target.ip()) else {
        unreachable!("the lab's neighbours are known")
    };
    Egress::over_udp(address(CALLEE_SIDE), target, adjacency)
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address of the corpus")
}
