//! The network of a comparison: the generator on one side of a wire, the system under test on the
//! other.
//!
//! ```text
//!   tlb-gen                                            tlb-sut
//!   gen0 10.78.1.2/24 ------- one veth pair --------- sut0 10.78.1.1/24
//!   callers on UDP 6000.., callees on UDP 7000..      SIP on UDP 5060
//! ```
//!
//! IPv4 only. Every system is measured over this same wire; [`receive`] says on whose core its kernel
//! work is done.

mod receive;
mod sysctl;

pub(crate) use receive::poll_on;

use crate::shell::run;
use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::sched::{CloneFlags, setns};
use std::ffi::OsStr;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use sysctl::Sysctls;

/// The address of the system under test.
pub(crate) const SUT_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 78, 1, 1);
/// The address of the generator: callers and callees.
pub(crate) const GENERATOR_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 78, 1, 2);
/// Where the system under test takes SIP.
pub(crate) const SIP: SocketAddrV4 = SocketAddrV4::new(SUT_ADDRESS, 5060);
/// UDP port of the first caller; further callers follow it.
pub(crate) const CALLER_PORT: u16 = 6_000;
/// UDP port of the first callee; further callees follow it.
pub(crate) const CALLEE_PORT: u16 = 7_000;
/// The network of clients with many connections: one host for each thread of them, from .0.1 on, behind the generator.
pub(crate) const CLIENTS_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 79, 0, 0);
/// Most queue pairs of the wire.
pub(crate) const QUEUES_MAX: u16 = 64;
/// Everything about a run that must lie in a file while it goes on.
pub(crate) const DIRECTORY: &str = "/run/trunkline-bench";

/// One end of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// Callers and callees.
    Generator,
    /// The system under test.
    Sut,
}

impl Host {
    /// Both ends.
    const ALL: [Self; 2] = [Self::Generator, Self::Sut];

    /// The network namespace.
    pub(crate) fn namespace(self) -> &'static str {
        match self {
            Self::Generator => "tlb-gen",
            Self::Sut => "tlb-sut",
        }
    }

    /// Its end of the wire.
    pub(crate) fn interface(self) -> &'static str {
        match self {
            Self::Generator => "gen0",
            Self::Sut => "sut0",
        }
    }

    /// Its IPv4 address.
    pub(crate) fn address(self) -> Ipv4Addr {
        match self {
            Self::Generator => GENERATOR_ADDRESS,
            Self::Sut => SUT_ADDRESS,
        }
    }

    /// Its MAC address: locally administered, and known beforehand to who builds frames.
    pub(crate) fn mac(self) -> &'static str {
        match self {
            Self::Generator => "02:00:0a:4e:01:02",
            Self::Sut => "02:00:0a:4e:01:01",
        }
    }

    fn peer(self) -> Self {
        match self {
            Self::Generator => Self::Sut,
            Self::Sut => Self::Generator,
        }
    }

    /// The file that setns(2) takes.
    pub(crate) fn file(self) -> PathBuf {
        Path::new("/run/netns").join(self.namespace())
    }
}

/// The network, while this value lives.
#[derive(Debug)]
pub(crate) struct Network {
    queues: u16,
    _sysctls: Sysctls,
    /// Held while the network is up: there is one on a machine.
    _lock: File,
}

impl Network {
    /// Makes both namespaces and the wire between them, with `queues` queue pairs (1 to
    /// [`QUEUES_MAX`]), and receives on core 0 at both ends until [`Network::receive_on`] says
    /// otherwise. What a killed run left is removed first.
    ///
    /// # Errors
    /// Without root; when another bench runs; when processes of an earlier one still live in a
    /// namespace, with their ids.
    pub(crate) fn up(queues: u16) -> Result<Self> {
        ensure!(control::process::is_root(), "network namespaces need root: run it as root");
        ensure!(
            (1..=QUEUES_MAX).contains(&queues),
            "{queues} queues: 1 to {QUEUES_MAX} are possible"
        );
        let lock = control::process::lock(Path::new(DIRECTORY), "bench")?;
        Host::ALL.into_iter().try_for_each(remove_leftover)?;
        // Made first, so that a failure below takes down what there is by then.
        let network = Self { queues, _sysctls: Sysctls::raise(), _lock: lock };
        make(queues)?;
        for host in Host::ALL {
            network.receive_on(host, &[0])?;
        }
        Ok(network)
    }

    /// Queue pairs of the wire.
    pub(crate) fn queues(&self) -> u16 {
        self.queues
    }

    /// The command that runs `program` on `host`, on no other `cores` than these (see taskset(1)), for
    /// as long as the thread that starts it lives: SIGTERM then ends it, even after SIGKILL to us.
    /// `ip`, `taskset` and `setpriv` become the program, so that its process id is the child's.
    #[expect(clippy::unused_self, reason = "a host needs a network that is up")]
    pub(crate) fn command_in(
        &self,
        host: Host,
        program: impl AsRef<OsStr>,
        cores: &[u16],
    ) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", host.namespace(), "taskset", "-c", &core_list(cores)]);
        command.args(["setpriv", "--pdeathsig", "TERM"]).arg(program);
        command
    }

    /// The processes that run on `host` now.
    ///
    /// # Errors
    /// When `ip` fails.
    #[expect(clippy::unused_self, reason = "a host needs a network that is up")]
    pub(crate) fn pids(&self, host: Host) -> Result<Vec<u32>> {
        let pids = run("ip", &["netns", "pids", host.namespace()])?;
        Ok(pids.split_whitespace().flat_map(str::parse).collect())
    }

    /// A UDP socket of this process on `host`, bound to `port`.
    ///
    /// # Errors
    /// When the port is in use there.
    #[expect(clippy::unused_self, reason = "a host needs a network that is up")]
    pub(crate) fn bind(&self, host: Host, port: u16) -> Result<UdpSocket> {
        // A socket stays in the namespace it was made in; the thread that went there ends.
        let bind = move || -> Result<UdpSocket> {
            setns(File::open(host.file())?, CloneFlags::CLONE_NEWNET)?;
            Ok(UdpSocket::bind((host.address(), port))?)
        };
        let made = std::thread::spawn(bind).join().map_err(|_| anyhow!("a thread panicked"))?;
        made.with_context(|| format!("UDP {}:{port} in {}", host.address(), host.namespace()))
    }

    /// Gives the generator so many addresses more, from [`CLIENTS_ADDRESS`] on, and the system under test the way to them.
    ///
    /// # Errors
    /// When `ip` fails.
    #[expect(clippy::unused_self, reason = "a host needs a network that is up")]
    pub(crate) fn add_clients(&self, count: usize) -> Result<()> {
        let first = u32::from(CLIENTS_ADDRESS) + 1;
        let (generator, sut) = (Host::Generator, Host::Sut);
        for address in (first..).take(count).map(Ipv4Addr::from) {
            let (namespace, interface) = (generator.namespace(), generator.interface());
            words(&format!("-n {namespace} address add {address}/32 dev {interface}"))?;
        }
        // The kernel looks for a free port among the odd ones first, one after the other: these must be enough.
        let ports = "net.ipv4.ip_local_port_range=1024 65535";
        run("ip", &["netns", "exec", generator.namespace(), "sysctl", "-qw", ports])?;
        let (namespace, via) = (sut.namespace(), generator.address());
        words(&format!("-n {namespace} route add {CLIENTS_ADDRESS}/16 via {via}"))
    }

    /// Does the kernel's receive work of `host` on `cores`. To be called again once a program has put
    /// an XDP program on the interface of `host`: see [`receive`].
    ///
    /// # Errors
    /// When the kernel refuses.
    #[expect(clippy::unused_self, reason = "a host needs a network that is up")]
    pub(crate) fn receive_on(&self, host: Host, cores: &[u16]) -> Result<()> {
        receive::on_cores(host, cores)
    }

    /// Whether what `host` sends leaves with its UDP checksum to be filled in by a NIC (the default,
    /// and on veth by nobody), or whole.
    ///
    /// # Errors
    /// When ethtool fails.
    #[expect(clippy::unused_self, reason = "a host needs a network that is up")]
    pub(crate) fn offload_checksums(&self, host: Host, offload: bool) -> Result<()> {
        let state = if offload { "on" } else { "off" };
        let ethtool = ["ethtool", "-K", host.interface(), "tx", state];
        run("ip", &[&["netns", "exec", host.namespace()], &ethtool[..]].concat()).map(drop)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for host in Host::ALL.into_iter().filter(|host| host.file().exists()) {
            // The interfaces go with them. What fails here stands in the way of the next `up`, which
            // says so.
            let _ = run("ip", &["netns", "delete", host.namespace()]);
        }
    }
}

/// `[1, 2]` as taskset(1) wants it.
pub(crate) fn core_list(cores: &[u16]) -> String {
    cores.iter().map(u16::to_string).collect::<Vec<_>>().join(",")
}

fn remove_leftover(host: Host) -> Result<()> {
    if !host.file().exists() {
        return Ok(());
    }
    let pids = run("ip", &["netns", "pids", host.namespace()])?;
    let pids: Vec<&str> = pids.split_whitespace().collect();
    if !pids.is_empty() {
        let namespace = host.namespace();
        bail!("an earlier run still lives in {namespace}: end process(es) {}", pids.join(" "));
    }
    run("ip", &["netns", "delete", host.namespace()]).map(drop)
}

fn make(queues: u16) -> Result<()> {
    for host in Host::ALL {
        run("ip", &["netns", "add", host.namespace()])?;
        // No router solicitations on the wire: it carries IPv4 alone.
        let ipv6 = "net.ipv6.conf.default.disable_ipv6=1";
        // A connection for each transaction: its port may be used again a second after (tcp(7)).
        let [ports, reuse] =
            ["net.ipv4.ip_local_port_range=10000 65535", "net.ipv4.tcp_tw_reuse=1"];
        run("ip", &["netns", "exec", host.namespace(), "sysctl", "-qw", ipv6, ports, reuse])?;
    }
    let end = |host: Host| {
        let (interface, namespace, mac) = (host.interface(), host.namespace(), host.mac());
        format!(
            "{interface} address {mac} netns {namespace} numrxqueues {queues} numtxqueues {queues}"
        )
    };
    let (sut, generator) = (end(Host::Sut), end(Host::Generator));
    words(&format!("link add {sut} type veth peer name {generator}"))?;
    for host in Host::ALL {
        let (peer, namespace, interface) = (host.peer(), host.namespace(), host.interface());
        words(&format!("-n {namespace} link set lo up"))?;
        words(&format!("-n {namespace} address add {}/24 dev {interface}", host.address()))?;
        words(&format!("-n {namespace} link set {interface} up"))?;
        // No ARP during a measurement, and none for systems that do not speak it.
        let neighbour = format!("{} lladdr {} nud permanent", peer.address(), peer.mac());
        words(&format!("-n {namespace} neighbour replace {neighbour} dev {interface}"))?;
    }
    Ok(())
}

/// `ip` with these arguments.
fn words(line: &str) -> Result<()> {
    run("ip", &line.split_whitespace().collect::<Vec<_>>()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::core_list;

    #[test]
    fn cores_as_taskset_reads_them() {
        assert_eq!(core_list(&[0]), "0");
        assert_eq!(core_list(&[1, 2, 10]), "1,2,10");
    }
}
