//! What connections cost, of the processes and of the kernel.

use crate::system::{System, memory};
use anyhow::{Context, Result};
use procfs::process::Process;

/// Bytes in use at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    /// Of control, which has the connections.
    pub(super) control: i64,
    /// Of the data plane, which has the bindings.
    pub(super) dataplane: i64,
    /// Of the kernel: slabs, and pages that sockets have for what waits in them. Both ends of all connections.
    pub(super) kernel: i64,
}

impl Memory {
    /// As it is now.
    ///
    /// # Errors
    /// When the appliance has ended; a `/proc` that cannot be read.
    pub(super) fn read(system: &System) -> Result<Self> {
        let (mut control, mut dataplane) = (0, 0);
        for pid in system.pids()? {
            let name = Process::new(i32::try_from(pid)?).and_then(|process| process.stat());
            let bytes = i64::try_from(memory(pid).unwrap_or(0))?;
            // As far as the kernel keeps names.
            match name.map(|stat| stat.comm).unwrap_or_default().as_str() {
                "trunkline-contr" => control += bytes,
                "trunkline-datap" => dataplane += bytes,
                _ => {}
            }
        }
        anyhow::ensure!(control > 0 && dataplane > 0, "the appliance has ended");
        Ok(Self { control, dataplane, kernel: slabs()? + sockets()? })
    }

    /// What has come since `before`, for each of so many.
    pub(super) fn since(self, before: Self, count: usize) -> Self {
        let count = i64::try_from(count.max(1)).unwrap_or(i64::MAX);
        Self {
            control: (self.control - before.control) / count,
            dataplane: (self.dataplane - before.dataplane) / count,
            kernel: (self.kernel - before.kernel) / count,
        }
    }
}

fn slabs() -> Result<i64> {
    let text = std::fs::read_to_string("/proc/meminfo").context("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Slab:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<i64>().ok());
    Ok(kib.context("/proc/meminfo has no Slab")? << 10)
}

/// Pages of TCP, of all namespaces (`mem` of /proc/net/sockstat).
fn sockets() -> Result<i64> {
    let text = std::fs::read_to_string("/proc/net/sockstat").context("/proc/net/sockstat")?;
    let line = text.lines().find(|line| line.starts_with("TCP:")).context("no TCP")?;
    let pages = line.split_whitespace().skip_while(|word| *word != "mem").nth(1);
    let pages: i64 = pages.and_then(|pages| pages.parse().ok()).context("no mem of TCP")?;
    Ok(pages * i64::try_from(procfs::page_size())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_has_slabs() {
        assert!(slabs().unwrap() > 1 << 20);
        assert!(sockets().unwrap() >= 0);
    }
}
