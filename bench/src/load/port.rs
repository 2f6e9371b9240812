//! The wire over a DPDK port of the generator's own: a ring that loops back, or AF_XDP on an interface.

use super::options::WireKind;
use super::wire::{Local, NotTaken, Outbox, Wire};
use crate::network::poll_on;
use anyhow::{Context, Result, ensure};
use core::net::SocketAddr;
use dataplane::decode::{DecodeRules, decode};
use dataplane::encode::{Egress, encode};
use dataplane::fib::Adjacency;
use dataplane::limits::TX_BURST_MAX;
use dataplane::mbuf::{DpdkQueues, Frame};
use dataplane::packet::PacketBuf;
use dataplane::packet_io::{Burst, PacketIo, TxFrames};
use dataplane::testing::lcore::run_on_lcores;
use nic_config::machine::Machine;
use nic_config::plan::NicPlan;
use nic_config::settings::NicSettings;
use nic_config::xdp::{self, SipFilter};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

/// Bursts taken before the generator does something else.
const BURSTS_MAX: usize = 8;
/// Frames that may wait for room in the transmit queue.
const WAITING_MAX: usize = 8_192;
/// Largest IP packet sent: Ethernet's.
const MTU: u16 = 1_500;
/// Waits shorter than this are polled through.
const SLEEP_MIN: u64 = 100_000;

/// The generator's port.
pub(crate) struct PortWire {
    queues: DpdkQueues,
    locals: Vec<SocketAddr>,
    adjacency: Adjacency,
    rules: DecodeRules,
    burst: Burst<Frame>,
    waiting: VecDeque<Frame>,
}

/// Opens the port on `core` and lets `work` use it there.
///
/// # Errors
/// When the port cannot be had, or the way to the target is not known.
pub(crate) fn run_on_port<R: Send + 'static>(
    kind: &WireKind,
    core: u16,
    locals: &[SocketAddr],
    target: SocketAddr,
    work: impl FnOnce(PortWire) -> Result<R> + Send + 'static,
) -> Result<R> {
    let plan = plan(kind, core)?;
    let interface = match kind {
        WireKind::AfXdp(interface) => Some(interface.clone()),
        _ => None,
    };
    let adjacency = match &interface {
        Some(interface) => adjacency(interface, locals[0], target)?,
        None => Adjacency { mtu: MTU, source: locals[0].ip(), ..Adjacency::NOWHERE },
    };
    let object = interface.is_some().then(XdpObject::write).transpose()?;
    let path = object.as_ref().map(|object| object.path.clone()).unwrap_or_default();
    let locals = locals.to_vec();
    // What runs on the lcore may be called by any thread; it is called once.
    let work = Mutex::new(Some(work));
    let mut results = run_on_lcores(&plan, &path, move |_, queues| {
        let work = work.lock().ok().and_then(|mut work| work.take());
        let work = work.context("one lcore, one run")?;
        if let Some(interface) = &interface {
            // A veth or virtual interface leaves checksums to a NIC that is not there.
            SipFilter::find(interface)?.set(&locals)?;
            poll_on(interface, &[core])?;
        }
        let rules = DecodeRules { verify_checksums: interface.is_none() };
        work(PortWire {
            queues,
            locals: locals.clone(),
            adjacency,
            rules,
            burst: Burst::new(),
            waiting: VecDeque::with_capacity(WAITING_MAX),
        })
    })?;
    results.pop().context("the lcore gave no result")?
}

/// One port with one queue pair.
fn plan(kind: &WireKind, core: u16) -> Result<NicPlan> {
    let port = match kind {
        WireKind::AfXdp(interface) => format!("interface = \"{interface}\""),
        _ => "vdev = \"net_ring0\"".to_owned(),
    };
    let text = format!(
        "[[ports]]\nname = \"generator\"\n{port}\nqueues = 1\n\
         [lcores]\nworkers = [{core}]\nservice = {core}\n"
    );
    let machine = Machine::probe().context("cannot look at this machine")?;
    Ok(nic_config::plan::plan(&NicSettings::from_toml(&text)?, &machine)?)
}

/// MAC addresses from here to an IPv4 neighbour.
fn adjacency(interface: &str, local: SocketAddr, target: SocketAddr) -> Result<Adjacency> {
    ensure!(target.is_ipv4(), "af_xdp: IPv4 targets only; kernel sockets know IPv6");
    let file = format!("/sys/class/net/{interface}/address");
    let own = std::fs::read_to_string(file).with_context(|| format!("no interface {interface}"))?;
    let own: Vec<u8> =
        own.trim().split(':').filter_map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
    let source_mac = own.try_into().ok().with_context(|| format!("{interface} has no MAC"))?;
    // The kernel finds the neighbour.
    std::net::UdpSocket::bind((local.ip(), 0))?.send_to(b"\r\n\r\n", target)?;
    std::thread::sleep(Duration::from_millis(100));
    let neighbours = procfs::net::arp()?;
    let found = neighbours.into_iter().find(|entry| target.ip() == entry.ip_address);
    let target_mac = found.and_then(|entry| entry.hw_address).with_context(|| {
        format!("{} does not answer ARP on {interface}: targets must be on its link", target.ip())
    })?;
    let source = local.ip();
    Ok(Adjacency { source_mac, target_mac, source, mtu: MTU, ..Adjacency::NOWHERE })
}

/// The XDP program's file, while EAL needs it.
struct XdpObject {
    directory: PathBuf,
    path: PathBuf,
}

impl XdpObject {
    fn write() -> Result<Self> {
        let name = format!("trunkline-bench-xdp-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory)?;
        let path = xdp::write_object(&directory)?;
        Ok(Self { directory, path })
    }
}

impl Drop for XdpObject {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl PortWire {
    /// Hands waiting frames to the transmit queue, as many as it takes.
    fn flush(&mut self) {
        while !self.waiting.is_empty() {
            let count = self.waiting.len().min(TX_BURST_MAX);
            let mut frames: TxFrames<Frame> = self.waiting.drain(..count).collect();
            self.queues.tx_burst(0, &mut frames);
            if !frames.is_empty() {
                for frame in frames.drain(..).rev() {
                    self.waiting.push_front(frame);
                }
                break;
            }
        }
    }
}

impl Wire for PortWire {
    fn receive(&mut self, deliver: &mut dyn FnMut(Local, SocketAddr, &[u8])) -> Result<usize> {
        self.flush();
        let mut total = 0;
        for _ in 0..BURSTS_MAX {
            self.queues.rx_burst(0, &mut self.burst);
            if self.burst.is_empty() {
                break;
            }
            total += self.burst.len();
            for frame in self.burst.drain(..) {
                let Ok(datagram) = decode(frame.frame(), self.rules) else { continue };
                let local = self.locals.iter().position(|local| *local == datagram.target);
                if let Some(local) = local.and_then(|local| Local::try_from(local).ok()) {
                    deliver(local, datagram.source, &frame.frame()[datagram.payload]);
                }
            }
        }
        Ok(total)
    }

    fn send(&mut self, outbox: &Outbox) -> Result<NotTaken> {
        let mut not_taken = NotTaken::default();
        for (datagram, bytes) in outbox.iter() {
            let frame = self.queues.allocate().filter(|_| self.waiting.len() < WAITING_MAX);
            let Some(mut frame) = frame else {
                not_taken.by_system += 1;
                continue;
            };
            let source = self.locals[usize::from(datagram.from)];
            let egress = Egress::over_udp(source, datagram.to, self.adjacency);
            match encode(&mut frame, bytes, 0..0, &egress) {
                Ok(()) => self.waiting.push_back(frame),
                Err(_) => not_taken.by_system += 1,
            }
        }
        self.flush();
        Ok(not_taken)
    }

    fn wait(&mut self, nanoseconds: u64) {
        // A port has nothing to wait for: it is asked again.
        if nanoseconds >= SLEEP_MIN {
            std::thread::sleep(Duration::from_nanos(SLEEP_MIN / 2));
        } else {
            core::hint::spin_loop();
        }
    }
}
