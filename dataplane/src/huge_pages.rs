//! Huge pages for tables in ordinary memory: a transaction is looked up among gigabytes, and with pages of
//! 4 KiB finding the page takes as long as reading what is on it.
//!
//! DPDK has its own hugepages, which the plan reserves. Ours are transparent ones, which the kernel gives to whoever
//! asks (`madvise`, the setting of most systems); the C library asks for us when its tunable says so at
//! the start of the process.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Where the C library reads its tunables (glibc manual, "Memory Allocation Tunables").
const TUNABLES: &str = "GLIBC_TUNABLES";
/// Large allocations are advised to be in huge pages.
const ADVISE: &str = "glibc.malloc.hugetlb=1";

/// Starts this program anew, in the same process, so that its large tables lie in transparent huge pages.
/// Comes back in the program that was started, and where tunables have been set by somebody who knows better.
///
/// # Errors
/// When the program cannot be started anew; it can go on as it is.
pub fn ask_for_huge_pages() -> io::Result<()> {
    if std::env::var_os(TUNABLES).is_some() {
        return Ok(());
    }
    let program = std::env::current_exe()?;
    let arguments = std::env::args_os().skip(1);
    Err(Command::new(program).args(arguments).env(TUNABLES, ADVISE).exec())
}
