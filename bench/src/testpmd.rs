//! `dpdk-testpmd` in `macswap` mode on the same capture: what DPDK itself can do on one core here,
//! and so the mark that the pipeline is held against.

use anyhow::{Context, Result, bail};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// testpmd's own default takes 400 MB; the capture and two bursts need a fraction of this.
const MBUFS: u32 = 4_095;

/// Packets per second that `dpdk-testpmd` swaps the MAC addresses of, on lcore `lcore`.
///
/// # Errors
/// When testpmd is missing, fails, or prints no rate.
pub(crate) fn macswap(
    capture: &Path,
    main: u16,
    lcore: u16,
    memory: &[String],
    seconds: u64,
) -> Result<f64> {
    let vdev = format!("net_pcap0,rx_pcap={},infinite_rx=1", capture.display());
    let prefix = format!("trunkline-testpmd-{}", std::process::id());
    let mut testpmd = Command::new("dpdk-testpmd")
        .args(["-l", &format!("{main},{lcore}"), "--main-lcore", &main.to_string()])
        .args(["--vdev", &vdev, "--no-pci", "--no-telemetry"])
        .arg(format!("--file-prefix={prefix}"))
        .args(memory)
        .args(["--", "-i", "--nb-cores=1", "--forward-mode=macswap", "--no-lsc-interrupt"])
        .arg(format!("--total-num-mbufs={MBUFS}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start dpdk-testpmd; install Debian's package dpdk-dev")?;
    let mut commands = testpmd.stdin.take().context("testpmd has no input")?;
    commands.write_all(b"start\n")?;
    sleep(Duration::from_secs(2)); // Start of EAL and warm-up.
    commands.write_all(b"show port stats 0\n")?;
    sleep(Duration::from_secs(seconds));
    commands.write_all(b"show port stats 0\nstop\nquit\n")?;
    drop(commands);
    let mut output = String::new();
    testpmd.stdout.take().context("testpmd has no output")?.read_to_string(&mut output)?;
    let status = testpmd.wait()?;
    let _ = std::fs::remove_dir_all(Path::new("/var/run/dpdk").join(&prefix)); // DPDK leaves it.
    // The rate counts from the statistics before, so the second one is over `seconds`.
    let mut rates = output.lines().filter_map(|line| {
        line.split_once("Rx-pps:")?.1.split_whitespace().next()?.parse::<f64>().ok()
    });
    match rates.next_back() {
        Some(rate) if rate > 0.0 => Ok(rate),
        _ => bail!("dpdk-testpmd ended with {status} and no packet rate; it said:\n{output}"),
    }
}
