//! Trunkline itself: `trunkline run` with one AF_XDP port on the wire.

use super::{Place, StartError, System, Work};
use crate::hugepages;
use crate::load::{DOMAIN, PASSWORD};
use crate::network::{CALLEE_PORT, GENERATOR_ADDRESS, Host, SIP};
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a worker does after an empty poll. On this wire the kernel thread that brings the packets runs on
/// the worker's core, so the worker gives way to it: at 200,000 requests/s `yield` lost none, `sleep`
/// (50 µs, for laptops) some 0.9 %, and before the thread had its priority `poll` lost 14 %. On a NIC,
/// where nothing but the worker runs there, it is `poll`.
const IDLE: &str = "yield";
/// The same where a worker shares its core.
const IDLE_BESIDE_OTHERS: &str = "sleep";
/// More connections than a run has at one time.
const CONNECTIONS: u32 = 16_384;
/// Transactions of a worker when there are any: two for each call, for 32 s each, at 65,000 calls/s.
const TRANSACTIONS: u32 = 1 << 22;
/// Blocks of 128 bytes for them. Of a call that was answered only the response to the BYE is kept, in four.
const MESSAGE_BUFFERS: u32 = 3 * TRANSACTIONS;
/// Users that register, and that have a password: those of a search of a million.
const USERS: u32 = 1_000_000;
/// Their file.
const USERS_FILE: &str = "users.csv";
/// Members of the destination set of [`Work::Dispatcher`].
const MEMBERS: u16 = 4;

pub(super) fn start(work: Work, place: &Place<'_>) -> Result<System, StartError> {
    if work == Work::RegisterDigest {
        write_users(&place.directory.join(USERS_FILE)).context("the users")?;
    }
    launch(place, &config(place, work))
}

/// Starts it with this configuration.
pub(super) fn launch(place: &Place<'_>, config: &str) -> Result<System, StartError> {
    let binary = binary()?;
    let file = place.directory.join("trunkline.toml");
    std::fs::write(&file, config).context("the configuration")?;
    let reserved = hugepages::reserve();
    let mut command = place.command_on(&binary, &all_cores(place.cores))?;
    command.args(["run", "--config"]).arg(&file).arg("--log-directory").arg(&place.directory);
    let mut system = System::spawn(command, place, version(&binary)?, Some(Box::new(reserved)))?;
    system.logs.extend(["control.log", "dataplane.log"].map(|log| place.directory.join(log)));
    Ok(system)
}

/// `trunkline` beside us, or in `TRUNKLINE_BIN_DIR`.
fn binary() -> Result<PathBuf> {
    let Some(folder) = std::env::var_os("TRUNKLINE_BIN_DIR") else {
        return control::process::beside_us("trunkline");
    };
    let path = PathBuf::from(folder).join("trunkline");
    if !path.is_file() {
        bail!("TRUNKLINE_BIN_DIR: there is no {}", path.display());
    }
    Ok(path)
}

/// `trunkline 0.1.0`
fn version(binary: &Path) -> Result<String> {
    let said = Command::new(binary).arg("--version").output().context("trunkline --version")?;
    let said = String::from_utf8_lossy(&said.stdout);
    Ok(format!("trunkline {}", said.split_whitespace().last().unwrap_or("of no version")))
}

/// The core for what does not forward: one that no worker has, when there is one.
pub(super) fn service_core(workers: &[u16]) -> u16 {
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    let count = u16::try_from(count).unwrap_or(u16::MAX);
    // Core 0 is the generator's: rather a third one.
    let mut others = (1..count).chain([0]).filter(|core| !workers.contains(core));
    others.next().unwrap_or(0)
}

/// The workers' cores and the one for the rest.
pub(super) fn all_cores(workers: &[u16]) -> Vec<u16> {
    let service = service_core(workers);
    let extra = (!workers.contains(&service)).then_some(service);
    workers.iter().copied().chain(extra).collect()
}

/// The users of the generator, with their password.
fn write_users(path: &Path) -> Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for user in 0..USERS {
        writeln!(file, "c{user:07},{PASSWORD}")?;
    }
    Ok(file.flush()?)
}

/// The sections that differ from work to work.
fn sections(work: Work) -> String {
    // As the peers: bindings in memory only, with no store behind them; MD5 only.
    let registrar = format!(
        "[registrar]\nstore = \"none\"\ndurability = \"memory\"\n\n[memory]\naors = {USERS}\n\n[[routes]]\nregister = true\n"
    );
    match work {
        Work::Stateless | Work::Dispatcher => String::new(),
        Work::Stateful => format!(
            "[memory]\ntransactions = {TRANSACTIONS}\nmessage_buffers = {MESSAGE_BUFFERS}\n"
        ),
        Work::Register | Work::RegisterTcp | Work::RegisterTcpEach => registrar,
        Work::RegisterDigest => format!(
            "{registrar}auth = \"{DOMAIN}\"\n\n[auth]\nalgorithms = [\"MD5\"]\n\n\
             [[auth.realms]]\nname = \"{DOMAIN}\"\nfile = \"{USERS_FILE}\"\n"
        ),
    }
}

/// Where connections are taken, and by whom: on the workers' cores, so that the system has no more cores than its
/// peers, though the relay between the two is the service core's.
fn connections(place: &Place<'_>, work: Work) -> String {
    if !work.is_over_tcp() {
        return String::new();
    }
    let (count, cores) = (place.cores.len(), place.cores);
    format!(
        "[connections]\nthreads = {count}\ncores = {cores:?}\nconnections = {CONNECTIONS}\n\n\
         [[listen]]\naddress = \"{SIP}\"\ntransport = \"tcp\"\n"
    )
}

fn config(place: &Place<'_>, work: Work) -> String {
    let is_stateful = work == Work::Stateful;
    let members = if work == Work::Dispatcher { MEMBERS } else { 1 };
    let directory = place.directory.display();
    let (interface, queues) = (Host::Sut.interface(), place.cores.len());
    let (workers, service) = (place.cores, service_core(place.cores));
    let ports = CALLEE_PORT..CALLEE_PORT + members;
    let members: Vec<String> =
        ports.map(|port| format!("{{ address = \"{GENERATOR_ADDRESS}:{port}\" }}")).collect();
    let members = members.join(", ");
    let sections = sections(work) + &connections(place, work);
    let idle = if work.is_over_tcp() { IDLE_BESIDE_OTHERS } else { IDLE };
    format!(
        r#"[appliance]
name = "bench"
domains = ["{DOMAIN}"]
record_route = {is_stateful} # as the peers: without state, requests of a dialog come by their domain
run_directory = "{directory}/run"
state_directory = "{directory}/state"

[lcores]
workers = {workers:?}
service = {service}
idle = "{idle}"

[[ports]]
name = "wire"
interface = "{interface}"
queues = {queues}
verify_checksums = false # a veth peer leaves them to a NIC; the kernel does not verify these either

[[listen]]
address = "{SIP}"

[[destination_sets]]
name = "callees"
members = [{members}]
probe = false # peers are measured without probes, too

{sections}
[[routes]]
forward = "callees"
stateful = {is_stateful}
"#
    )
}

#[cfg(test)]
mod tests {
    use super::{all_cores, service_core};

    #[test]
    fn the_rest_stays_off_the_workers_where_it_can() {
        let count = u16::try_from(std::thread::available_parallelism().unwrap().get()).unwrap();
        let every: Vec<u16> = (0..count).collect();
        assert_eq!(service_core(&every), 0);
        assert_eq!(all_cores(&every), every);
        assert_eq!(all_cores(&[count]), [count, service_core(&[count])]);
    }
}
