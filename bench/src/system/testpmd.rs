//! dpdk-testpmd in `5tswap` mode: each frame goes back to its sender, with addresses and ports swapped.
//! No SIP is read, so this is the most that DPDK does over this wire.

use super::{Place, StartError, System, Work};
use crate::hugepages;
use crate::network::{Host, Network};
use anyhow::{Context, Result};
use std::process::{Command, Stdio};

/// Packet buffers: the descriptors of 2 x 2,048 per queue, bursts and caches.
const MBUFS_PER_QUEUE: usize = 8_192;
/// Memory of DPDK in MiB: the buffers of eight queues.
const MEMORY_MB: u64 = 256;

pub(super) fn start(work: Work, place: &Place<'_>) -> Result<System, StartError> {
    if work != Work::Stateless {
        return Err(StartError::Missing(format!("testpmd reads no SIP: there is no {work} in it")));
    }
    let Some(version) = version() else {
        return Err(StartError::Missing("dpdk-testpmd: install Debian's package dpdk-dev".into()));
    };
    // A swapped frame keeps its UDP checksum, and the kernel drops one that was left to a NIC.
    let whole = WholeChecksums::new(place.network)?;
    let reserved = hugepages::reserve();
    let ports = place.cores.len();
    let service = super::trunkline::service_core(place.cores);
    // EAL's lcore i on the i-th core: the first is its main thread, which forwards nothing.
    let cores = [&[service], place.cores].concat();
    let lcores: Vec<String> = cores.iter().enumerate().map(|(i, c)| format!("{i}@{c}")).collect();
    let mut command =
        place.command_on("dpdk-testpmd", &super::trunkline::all_cores(place.cores))?;
    command.args(["--lcores", &lcores.join(","), "--no-pci", "--no-telemetry"]);
    // A port per queue: the driver refuses several queues of veth in one port, since veth counts its
    // queues as receive and transmit channels and not as combined ones.
    let interface = Host::Sut.interface();
    for queue in 0..ports {
        let port = format!("net_af_xdp{queue},iface={interface},start_queue={queue},queue_count=1");
        command.args(["--vdev", &format!("{port},busy_budget=0")]);
    }
    // With virtual addresses the pool is one piece of memory, which AF_XDP asks for.
    command.args(["--iova-mode=va", "-m", &MEMORY_MB.to_string()]);
    let huge = hugepages::free_megabytes() >= MEMORY_MB;
    command.arg(if huge { "--in-memory" } else { "--no-huge" });
    command.args(["--", "--forward-mode=5tswap", "--auto-start"]);
    command.args(["--no-lsc-interrupt", "--stats-period=3600"]);
    command.args(["--port-topology=loop", &format!("--nb-cores={ports}")]);
    command.arg(format!("--total-num-mbufs={}", MBUFS_PER_QUEUE * ports));
    Ok(System::spawn(command, place, version, Some(Box::new((whole, reserved))))?)
}

/// `dpdk-testpmd 22.11.11`, if it is installed.
fn version() -> Option<String> {
    let mut command = Command::new("dpdk-testpmd");
    // With -v EAL says its version first; --help ends it there.
    let output = command.args(["-v", "--help"]).stdin(Stdio::null()).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let version = text.split("'DPDK ").nth(1)?.split('\'').next()?;
    Some(format!("dpdk-testpmd {version}"))
}

/// The generator computes UDP checksums itself, while this lives.
struct WholeChecksums {
    restore: Command,
}

impl WholeChecksums {
    fn new(network: &Network) -> Result<Self> {
        network.offload_checksums(Host::Generator, false).context("checksums of the generator")?;
        let mut restore = Command::new("ip");
        let (namespace, interface) = (Host::Generator.namespace(), Host::Generator.interface());
        restore.args(["netns", "exec", namespace, "ethtool", "-K", interface, "tx", "on"]);
        Ok(Self { restore })
    }
}

impl Drop for WholeChecksums {
    fn drop(&mut self) {
        let _ = self.restore.stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}
