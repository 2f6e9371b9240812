//! Hugepages for the length of a run: DPDK is measured as servers run it.

use std::fs::{read_to_string, write};
use std::path::{Path, PathBuf};

const FOLDER: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB";
/// Pages of 2 MiB that a run wants free: the pipeline's pool, or testpmd's, and the capture.
const WANTED: u64 = 256;

/// What was reserved, to be given back.
pub(crate) struct Reserved {
    before: Option<u64>,
}

/// Reserves hugepages where too few are free. Without the privilege, or the memory, the run goes on
/// without; the report says which it was.
pub(crate) fn reserve() -> Reserved {
    let (Some(total), Some(free)) = (read("nr_hugepages"), read("free_hugepages")) else {
        return Reserved { before: None };
    };
    if free >= WANTED || write(path("nr_hugepages"), (total + WANTED - free).to_string()).is_err() {
        return Reserved { before: None };
    }
    Reserved { before: Some(total) }
}

/// Hugepages that nobody uses, in MiB.
pub(crate) fn free_megabytes() -> u64 {
    read("free_hugepages").unwrap_or(0) * 2
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            // Nothing better can be done with a failure here than what the operator sees in /proc/meminfo.
            let _ = write(path("nr_hugepages"), before.to_string());
        }
    }
}

fn path(name: &str) -> PathBuf {
    Path::new(FOLDER).join(name)
}

fn read(name: &str) -> Option<u64> {
    read_to_string(path(name)).ok()?.trim().parse().ok()
}
