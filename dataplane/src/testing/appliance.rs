//! A whole worker over queues in memory, set up as in the lab: two ports, both families, callers
//! on the first, callees on the second.

use crate::decode::DecodeRules;
use crate::fib::{Fib, Link, Neighbour, NextHop};
use crate::handoff::Handoff;
use crate::mailbox::{Command, Epoch, Event, ServiceEnd, mailbox};
use crate::packet::MemoryPacket;
use crate::packet_io::MemoryQueues;
use crate::probe::NoProbe;
use crate::spill::Spill;
use crate::stats::QueueCounters;
use crate::worker::{Worker, WorkerPort};
use control_api::status::{KERNEL_PORT, QueueStatus};
use core::net::IpAddr;
use sip_core::{
    Action, DestinationSet, Fork, ListenPoint, Maddr, Member, Network, Oversize, Relay, Rule,
    Settings, Tables, TransactionSizes,
};
use std::sync::Arc;

/// Interface index of the port towards the callers.
pub const CALLERS: u32 = 11;
/// Interface index of the port towards the callees.
pub const CALLEES: u32 = 12;

/// A worker with memory queues and its mailbox.
pub struct Appliance {
    /// The worker itself.
    pub worker: Worker<MemoryQueues>,
    /// The service core's end of its mailbox.
    pub service: ServiceEnd,
    counters: Vec<Arc<QueueCounters>>,
}

impl Default for Appliance {
    /// With the lab's settings and every neighbour known.
    fn default() -> Self {
        let appliance = Self::bare(DecodeRules { verify_checksums: true });
        appliance.command(Command::Fib(Arc::new(lab_fib(1, [0, 1], true))));
        appliance.command(Command::Epoch(Arc::new(lab_epoch(&lab_settings()))));
        appliance.settled()
    }
}

impl Appliance {
    /// Without configuration and routes.
    pub fn bare(rules: DecodeRules) -> Self {
        Self::new(rules, quanta::Clock::new(), Handoff::default())
    }

    /// As the default one, on ports whose NICs compute checksums.
    #[must_use]
    pub fn on_computing_ports() -> Self {
        let rules = DecodeRules { verify_checksums: true };
        let io = MemoryQueues { computes_checksums: true, ..MemoryQueues::new(2) };
        let appliance = Self::over(io, rules, quanta::Clock::new(), Handoff::default());
        appliance.command(Command::Fib(Arc::new(lab_fib(1, [0, 1], true))));
        appliance.command(Command::Epoch(Arc::new(lab_epoch(&lab_settings()))));
        appliance.settled()
    }

    /// Several workers that hand messages over to each other and have room for transactions, with these
    /// settings and every neighbour known.
    pub fn team(
        workers: u8,
        settings: &Settings,
        sizes: TransactionSizes,
        clock: &quanta::Clock,
    ) -> Vec<Self> {
        let member = |(handoff, number)| {
            let rules = DecodeRules { verify_checksums: true };
            let mut appliance = Self::new(rules, clock.clone(), handoff);
            appliance.worker = appliance.worker.with_transactions(sizes, number, 1);
            appliance.command(Command::Fib(Arc::new(lab_fib(1, [0, 1], true))));
            appliance.command(Command::Epoch(Arc::new(lab_epoch(settings))));
            appliance.settled()
        };
        Handoff::for_workers(workers.into()).into_iter().zip(0..).map(member).collect()
    }

    /// Several workers that keep no state with these settings and can spill work to each other, with every neighbour known.
    pub fn spilling_team(workers: usize, settings: &Settings) -> Vec<Self> {
        let member = |(handoff, spill)| {
            let rules = DecodeRules { verify_checksums: true };
            let mut appliance = Self::new(rules, quanta::Clock::new(), handoff);
            appliance.worker = appliance.worker.spilling(spill);
            appliance.command(Command::Fib(Arc::new(lab_fib(1, [0, 1], true))));
            appliance.command(Command::Epoch(Arc::new(lab_epoch(settings))));
            appliance.settled()
        };
        let handoffs = Handoff::for_workers(workers).into_iter();
        handoffs.zip(Spill::for_workers(workers)).map(member).collect()
    }

    /// One whose clock stands still until the test moves it, with these settings, room for a thousand sources and
    /// every neighbour known.
    pub fn with_clock(settings: &Settings, clock: &quanta::Clock) -> Self {
        let rules = DecodeRules { verify_checksums: true };
        let mut appliance = Self::new(rules, clock.clone(), Handoff::default());
        appliance.worker = appliance.worker.with_sources(1_000, &settings.secret);
        appliance.command(Command::Fib(Arc::new(lab_fib(1, [0, 1], true))));
        appliance.command(Command::Epoch(Arc::new(lab_epoch(settings))));
        appliance.settled()
    }

    fn new(rules: DecodeRules, clock: quanta::Clock, handoff: Handoff<MemoryPacket>) -> Self {
        Self::over(MemoryQueues::new(2), rules, clock, handoff)
    }

    fn over(
        io: MemoryQueues,
        rules: DecodeRules,
        clock: quanta::Clock,
        handoff: Handoff<MemoryPacket>,
    ) -> Self {
        let (worker_end, service) = mailbox();
        let counters: Vec<Arc<QueueCounters>> = (0..2).map(|_| Arc::default()).collect();
        let ports = counters
            .iter()
            .map(|counters| WorkerPort { rules, counters: Arc::clone(counters) })
            .collect();
        let worker = Worker::new(io, ports, worker_end, clock, NoProbe);
        Self { worker: worker.beside(handoff), service, counters }
    }

    /// Puts a command into the mailbox.
    ///
    /// # Panics
    /// When the mailbox is full.
    pub fn command(&self, command: Command) {
        assert!(self.service.send(command).is_ok(), "the mailbox is full");
    }

    /// Lets the worker look into its mailbox, and forgets its answers.
    #[must_use]
    pub fn settled(mut self) -> Self {
        self.worker.attend();
        while self.service.next().is_some() {}
        self
    }

    /// Receives `frame` on the port of its side and gives what was sent in answer or onward, on
    /// whichever port.
    pub fn forward(&mut self, frame: &[u8]) -> Option<MemoryPacket> {
        let port = usize::from(!frame_is_from_callers(frame));
        self.worker.io_mut().rx[port].push_back(MemoryPacket::new(frame));
        self.worker.run_once();
        self.sent().pop().map(|(_, packet)| packet)
    }

    /// Takes everything sent so far, with the index of its port.
    pub fn sent(&mut self) -> Vec<(usize, MemoryPacket)> {
        let ports = self.worker.io_mut().tx.iter_mut().enumerate();
        ports.flat_map(|(port, frames)| frames.drain(..).map(move |frame| (port, frame))).collect()
    }

    /// The neighbours that the worker asked for since the last call.
    pub fn resolve_requests(&mut self) -> Vec<NextHop> {
        let events = std::iter::from_fn(|| self.service.next());
        let wanted = events.filter_map(|event| match event {
            Event::Resolve(next_hop) => Some(next_hop),
            _ => None,
        });
        wanted.collect()
    }

    /// The counters of the two queue pairs, and of the worker's way through the kernel.
    pub fn status(&self) -> Vec<QueueStatus> {
        let names = ["uac", "uas", KERNEL_PORT];
        let counters = self.counters.iter().chain([self.service.parcels.counters()]);
        counters.zip(names).map(|(counters, name)| counters.status(name, 0, 1)).collect()
    }
}

fn frame_is_from_callers(frame: &[u8]) -> bool {
    let is_from = |at: usize, network: &[u8]| frame.get(at..at + network.len()) == Some(network);
    is_from(26, &[10, 77, 1]) || is_from(22, &[0xfd, 0x77, 0, 1])
}

/// The lab's routing settings: prefix `six` crosses to IPv6, `four` to IPv4, else the caller's family.
pub fn lab_settings() -> Settings {
    let listen = ["10.77.1.1:5060", "10.77.2.1:5060", "[fd77:1::1]:5060", "[fd77:2::1]:5060"];
    let set = |name: &str, address: &str| DestinationSet {
        name: name.to_owned(),
        members: vec![Member::new(address.parse().expect("an address"))],
        ..DestinationSet::default()
    };
    let rule = |prefix: Option<&str>, source: Option<&str>, set: &str| Rule {
        user_prefixes: prefix.map(str::to_owned).into_iter().collect(),
        sources: source
            .map(|text| text.parse::<Network>().expect("a network"))
            .into_iter()
            .collect(),
        ..Rule::always(Action::Forward(set.to_owned()))
    };
    Settings {
        secret: *b"0123456789abcdef",
        domains: vec!["lab.example.com".to_owned()],
        listen: listen
            .iter()
            .map(|address| ListenPoint::udp(address.parse().expect("an address")))
            .collect(),
        record_route: true,
        retry_after_seconds: 5,
        maddr: Maddr::Refuse,
        oversize: Oversize::Fragment,
        prefix_tables: vec![],
        sets: vec![set("uas", "10.77.2.2:5060"), set("uas6", "[fd77:2::2]:5060")],
        rules: vec![
            rule(Some("six"), None, "uas6"),
            rule(Some("four"), None, "uas"),
            rule(None, Some("fd77::/16"), "uas6"),
            rule(None, None, "uas"),
        ],
        ..Settings::default()
    }
}

/// The same with a transaction for every request.
pub fn lab_settings_stateful() -> Settings {
    let mut settings = lab_settings();
    for rule in &mut settings.rules {
        rule.relay = Relay::Stateful(Fork::No);
    }
    settings
}

/// An epoch with these settings.
///
/// # Panics
/// When the settings are refused.
pub fn lab_epoch(settings: &Settings) -> Epoch {
    let tables = Tables::build(settings).expect("the settings are right");
    Epoch { number: 1, tables, oversize: settings.oversize }
}

/// The lab's routes as picture number `generation`; callers and callees on these two `ports`; with or without the MAC addresses of the two hosts.
pub fn lab_fib(generation: u64, ports: [u8; 2], has_neighbours: bool) -> Fib {
    fib_with(generation, ports, |_| has_neighbours.then_some(true))
}

/// The same, in which this host does not answer.
pub fn lab_fib_without(generation: u64, dead: &str) -> Fib {
    fib_with(generation, [0, 1], |host| Some(host != dead))
}

/// `answers` says of each host whether it does, if that is known.
fn fib_with(generation: u64, ports: [u8; 2], answers: impl Fn(&str) -> Option<bool>) -> Fib {
    let address = |text: &str| -> IpAddr { text.parse().expect("an address") };
    let link = |port: u8, ifindex: u32| Link {
        port,
        ifindex,
        vlan: None,
        mac: [2, 0, 0, 0, port, 1],
        mtu: 1500,
        up: true,
    };
    let mut fib = Fib::builder()
        .link(link(ports[0], CALLERS))
        .link(link(ports[1], CALLEES))
        .address(CALLERS, address("10.77.1.1"), 24)
        .address(CALLEES, address("10.77.2.1"), 24)
        .address(CALLERS, address("fd77:1::1"), 64)
        .address(CALLEES, address("fd77:2::1"), 64);
    let hosts = [
        (CALLERS, "10.77.1.2"),
        (CALLERS, "10.77.1.3"),
        (CALLERS, "fd77:1::2"),
        (CALLEES, "10.77.2.2"),
        (CALLEES, "fd77:2::2"),
    ];
    for (ifindex, host) in hosts {
        let mac = [2, 0, 0, 0, u8::from(ifindex != CALLERS), 2];
        let neighbour = |is_there| if is_there { Neighbour::Valid(mac) } else { Neighbour::Failed };
        if let Some(neighbour) = answers(host).map(neighbour) {
            fib = fib.neighbour(ifindex, address(host), neighbour);
        }
    }
    fib.build(generation)
}
