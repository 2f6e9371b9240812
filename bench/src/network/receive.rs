//! On whose core packets are received.
//!
//! A NIC interrupts the core of its receiver. veth does not: it hands the packet to the receiving stack
//! on the core that sent it, so that the generator's core would do the kernel's receive work of the
//! system under test, and the system would look cheaper than it is. Each end is therefore told its
//! cores:
//!
//! - **Without XDP** (kernel sockets) by RPS: the receive queues' `rps_cpus`. With several cores the
//!   kernel spreads flows (addresses and ports) over them, as RSS does; a generator that wants the
//!   spread calls from several ports.
//! - **With XDP** (AF_XDP ports of DPDK) RPS does nothing: the XDP program runs before it, in veth's NAPI
//!   poll, and that is raised on the sending core too. There the poll is moved into a kernel thread per
//!   queue (`threaded`), and thread i is pinned to core i. The kernel makes these threads together
//!   with the XDP program, so this can only be done once the program is on the interface. veth queues
//!   256 packets for its poll. The thread gets a real-time priority, so that it goes before a worker
//!   that polls on the same core, as the softirq of a NIC does; as an ordinary thread it waits out the
//!   worker's time slice and the 257th packet is lost.

use super::{Host, core_list};
use crate::shell::run;
use anyhow::{Context, Result};
use std::path::Path;

/// Receives on `cores` at the end of `host`.
pub(super) fn on_cores(host: Host, cores: &[u16]) -> Result<()> {
    let interface = host.interface();
    let mask = mask(cores);
    // `ip netns exec` mounts the sysfs of the namespace. Without NAPI, `threaded` cannot be written.
    let script = format!(
        "for queue in /sys/class/net/{interface}/queues/rx-*; do echo {mask} > $queue/rps_cpus; done; \
         echo 1 2>/dev/null > /sys/class/net/{interface}/threaded || true"
    );
    run("ip", &["netns", "exec", host.namespace(), "sh", "-ec", &script])
        .with_context(|| format!("receiving on core(s) {} in the kernel", core_list(cores)))?;
    pin_polls(interface, cores)
}

/// Polls `interface`, which is in this process's namespace and has an XDP program, on `cores`. A NIC
/// with interrupts of its own is left alone.
///
/// # Errors
/// When a kernel thread cannot be pinned.
pub(crate) fn poll_on(interface: &str, cores: &[u16]) -> Result<()> {
    let folder = Path::new("/sys/class/net").join(interface);
    if folder.join("device").exists() {
        return Ok(());
    }
    std::fs::write(folder.join("threaded"), "1")
        .with_context(|| format!("{interface}: polling in a kernel thread"))?;
    pin_polls(interface, cores)
}

fn pin_polls(interface: &str, cores: &[u16]) -> Result<()> {
    for (thread, core) in napi_threads(interface)?.into_iter().zip(cores.iter().cycle()) {
        let thread = thread.to_string();
        run("taskset", &["-p", "-c", &core.to_string(), &thread])?;
        run("chrt", &["--fifo", "-p", "1", &thread])?;
    }
    Ok(())
}

/// The kernel threads that poll `interface`, in the order of its queues.
pub(crate) fn napi_threads(interface: &str) -> Result<Vec<u32>> {
    let prefix = format!("napi/{interface}-");
    let mut threads: Vec<(u32, u32)> = procfs::process::all_processes()?
        .filter_map(|process| {
            let stat = process.ok()?.stat().ok()?;
            // NAPI ids rise as the queues are registered.
            let id = stat.comm.strip_prefix(&prefix)?.parse().ok()?;
            Some((id, u32::try_from(stat.pid).ok()?))
        })
        .collect();
    threads.sort_unstable();
    Ok(threads.into_iter().map(|(_, pid)| pid).collect())
}

/// `cores` as the kernel writes CPU masks: words of 32 bits in hexadecimal, highest first.
fn mask(cores: &[u16]) -> String {
    let words = cores.iter().max().map_or(1, |core| usize::from(core / 32) + 1);
    let mut mask = vec![0_u32; words];
    for core in cores {
        mask[usize::from(core / 32)] |= 1 << (core % 32);
    }
    mask.iter().rev().map(|word| format!("{word:08x}")).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::mask;

    #[test]
    fn masks_of_cores() {
        assert_eq!(mask(&[0]), "00000001");
        assert_eq!(mask(&[0, 1, 5]), "00000023");
        assert_eq!(mask(&[33]), "00000002,00000000");
    }
}
