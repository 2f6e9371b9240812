//! The lab: a small network on one machine, with the appliance in the middle.
//!
//! ```text
//!   tl-uac                     tl-sut                      tl-uas
//!   eth0 10.77.1.2/24 ---- uac0 10.77.1.1/24
//!        fd77:1::2/64           fd77:1::1/64
//!                          uas0 10.77.2.1/24 ---- eth0 10.77.2.2/24
//!                               fd77:2::1/64           fd77:2::2/64
//! ```
//!
//! Three network namespaces joined by veth pairs. The appliance runs in `tl-sut` on AF_XDP ports.
//! Callers live in `tl-uac`, servers in `tl-uas`; neither has a route to the other but through the
//! appliance's SIP. With `--topology` there are [several appliances](topology) instead.

pub mod call;
pub mod certificate;
mod network;
mod report;
mod settings;
mod shell;
mod sipp;
pub mod topology;

pub use settings::{DOMAIN, default_config};

use crate::config::{Appliance, Config};
use crate::dataplane_link;
use crate::operator::connections_blocking;
use crate::process::{beside_us, end, is_alive, last_lines, read_pid};
use anyhow::{Context, Result, bail};
use control_api::status::Status;
use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Where everything about the lab lies while it is up.
pub const DIRECTORY: &str = "/run/trunkline/lab";
/// Most queues per port: the lab is for functions, not for speed.
pub const QUEUES_MAX: u16 = 8;
/// How long data plane and control may take until both answer.
const START_MAX: Duration = Duration::from_secs(20);
/// How long the supervisor may take to stop both: it allows each its own time to drain.
const STOP_MAX: Duration = Duration::from_secs(12);

/// How long other processes in the lab's namespaces get after SIGTERM.
const KILL_AFTER: Duration = Duration::from_secs(5);

/// A host of the lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// Where callers live.
    Uac,
    /// The appliance: the system under test.
    Sut,
    /// Where servers live.
    Uas,
}

impl Host {
    /// All three, in the order of a call.
    pub const ALL: [Self; 3] = [Self::Uac, Self::Sut, Self::Uas];

    /// The name in commands.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uac => "uac",
            Self::Sut => "sut",
            Self::Uas => "uas",
        }
    }

    /// The network namespace.
    pub fn namespace(self) -> &'static str {
        match self {
            Self::Uac => "tl-uac",
            Self::Sut => "tl-sut",
            Self::Uas => "tl-uas",
        }
    }
}

impl std::str::FromStr for Host {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|h| h.name() == text || h.namespace() == text);
        found.ok_or_else(|| format!("no host `{text}` in the lab: uac, sut or uas"))
    }
}

/// The effective configuration of the lab.
pub fn config_path() -> PathBuf {
    Path::new(DIRECTORY).join("trunkline.toml")
}

/// The supervisor's pid file.
fn supervisor_pid_path() -> PathBuf {
    Path::new(DIRECTORY).join("supervisor.pid")
}

/// Whether anything of the lab is there, whole or not, with one appliance or several.
pub fn is_up() -> bool {
    namespaces().iter().any(|namespace| network::exists(namespace))
}

/// Every namespace that a lab may have.
fn namespaces() -> Vec<String> {
    let mut all: Vec<_> = Host::ALL.map(|host| host.namespace().to_owned()).into();
    all.extend(topology::namespaces());
    all.sort();
    all.dedup();
    all
}

/// Makes the network, starts the appliance and waits until data plane and control both answer. With `rss` the ports
/// have RSS. `progress` is told each step. On failure everything is taken down again.
///
/// # Errors
/// What failed, with the last lines of the logs when the appliance did.
pub fn up(
    config: Option<&Path>,
    queues: u16,
    rss: bool,
    progress: &mut dyn FnMut(&str),
) -> Result<Status> {
    if is_up() {
        bail!("the lab is up already: `trunkline lab down` removes it");
    }
    // Configurations of the lab name it.
    certificate::make(Path::new(DIRECTORY))?;
    // Whatever is wrong with the file is said before any network is made.
    let text = match config {
        Some(path) => std::fs::read_to_string(path).with_context(|| path.display().to_string())?,
        None => default_config(queues, &lcores()?)?,
    };
    let queues = match config {
        Some(path) => queues_of(&Config::load(path)?).max(queues),
        None => queues,
    };
    let result = start(&text, queues, rss, progress);
    if result.is_err() {
        progress("taking the lab down again");
        down()?;
    }
    result
}

fn start(text: &str, queues: u16, rss: bool, progress: &mut dyn FnMut(&str)) -> Result<Status> {
    std::fs::create_dir_all(DIRECTORY).context(DIRECTORY)?;
    std::fs::write(config_path(), text).context("the effective configuration")?;
    let config = Config::load(&config_path())?;
    progress(&format!("network: tl-uac, tl-sut and tl-uas, {queues} queue(s) per interface"));
    network::make(queues)?;
    if rss {
        progress("RSS: played by BPF in tl-uac and tl-uas, queues in turn");
        network::spread(queues)?;
    }
    progress("appliance: data plane and control in tl-sut");
    let directory = Path::new(DIRECTORY);
    let supervisor = start_supervisor(Host::Sut.namespace(), &config_path(), directory)?;
    std::fs::write(supervisor_pid_path(), supervisor.to_string())?;
    let status = wait_until_ready(&config.appliance, supervisor, directory, START_MAX)?;
    progress(&format!("ready: epoch {} in force", status.epoch));
    Ok(status)
}

/// The most queue pairs that a port of this configuration asks for.
fn queues_of(config: &Config) -> u16 {
    config.nic.ports.iter().map(|port| port.queues).max().unwrap_or(1)
}

/// The lcores that this process may use, in ascending order.
fn lcores() -> Result<Vec<u16>> {
    let machine = nic_config::Machine::probe().context("this machine cannot be looked at")?;
    Ok(machine.lcores.into_keys().collect())
}

/// Starts an appliance in this namespace; its logs go to `logs`. Gives its supervisor.
fn start_supervisor(namespace: &str, config: &Path, logs: &Path) -> Result<u32> {
    let mut command = Command::new(beside_us("trunkline")?);
    command.arg("run").arg("--config").arg(config).arg("--log-directory").arg(logs);
    start_daemon(namespace, &command, &logs.join("supervisor.log"))
}

/// Starts this command in a namespace, with its output in `log`. Gives its process id.
fn start_daemon(namespace: &str, command: &Command, log: &Path) -> Result<u32> {
    let log = File::create(log).with_context(|| log.display().to_string())?;
    // A session of its own, so that it outlives the terminal. `ip` and `setsid` become the program
    // they start, so the process id stays the same.
    let child = Command::new("ip")
        .args(["netns", "exec", namespace, "setsid"])
        .arg(command.get_program())
        .args(command.get_args())
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("`ip netns exec` cannot be started: is iproute2 installed?")?;
    Ok(child.id())
}

/// Waits until data plane and control of an appliance both answer.
fn wait_until_ready(
    appliance: &Appliance,
    supervisor: u32,
    logs: &Path,
    patience: Duration,
) -> Result<Status> {
    let start = Instant::now();
    loop {
        let problem = match dataplane_link::status_blocking(&appliance.socket()) {
            // Only control can have brought an epoch. Its connections come to the data plane on their own.
            Ok(status) if status.epoch > 0 => {
                match connections_blocking(&appliance.control_socket(), 0) {
                    Ok(found) if found.threads.iter().all(|one| one.is_linked) => {
                        return Ok(status);
                    }
                    Ok(_) => String::from("connections have not reached the data plane"),
                    Err(error) => error.to_string(),
                }
            }
            Ok(_) => String::from("the data plane runs, but control has not published an epoch"),
            Err(error) => error.to_string(),
        };
        if !is_alive(supervisor) {
            bail!("the appliance did not start\n{}", last_words(logs));
        }
        if start.elapsed() > patience {
            bail!("not ready after {} s: {problem}\n{}", patience.as_secs(), last_words(logs));
        }
        sleep(Duration::from_millis(50));
    }
}

/// The last lines of each log of an appliance, under its name.
fn last_words(logs: &Path) -> String {
    let tail = |name| {
        let lines = last_lines(&logs.join(name), 10);
        (!lines.is_empty()).then(|| format!("--- the last lines of {name}\n{lines}\n"))
    };
    ["dataplane.log", "control.log", "supervisor.log"].into_iter().filter_map(tail).collect()
}

/// Stops the appliance and removes the network and all files of the lab, whatever state it is in.
/// Gives whether there was anything to remove.
///
/// # Errors
/// A namespace or directory that cannot be removed.
pub fn down() -> Result<bool> {
    let existed = is_up() || Path::new(DIRECTORY).exists();
    // The supervisor first: it would start again what we stop.
    if let Some(pid) = supervisor_pid() {
        end(&[pid], STOP_MAX);
    }
    if let Ok(topology) = topology::current() {
        topology.hosts().into_iter().try_for_each(topology::kill_all)?;
    }
    for namespace in namespaces().iter().filter(|namespace| network::exists(namespace)) {
        end(&network::pids(namespace)?, KILL_AFTER);
        network::remove(namespace)?;
    }
    if Path::new(DIRECTORY).exists() {
        std::fs::remove_dir_all(DIRECTORY).context(DIRECTORY)?;
    }
    Ok(existed)
}

/// The supervisor of the lab, if it runs: a process of this id in `tl-sut`.
pub fn supervisor_pid() -> Option<u32> {
    let pid = read_pid(&supervisor_pid_path())?;
    let in_namespace = network::pids(Host::Sut.namespace()).unwrap_or_default();
    in_namespace.contains(&pid).then_some(pid)
}

/// The command that runs `program` in a host of the lab.
pub fn command_in(host: Host, program: impl AsRef<OsStr>) -> Command {
    command_in_namespace(host.namespace(), program)
}

/// The command that runs `program` in this namespace.
pub fn command_in_namespace(namespace: &str, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace]).arg(program);
    command
}

/// The namespace of the host that has this name, in the lab that is up.
///
/// # Errors
/// When there is no such host, with the names that there are.
pub fn namespace_of(name: &str) -> Result<String, String> {
    match topology::current() {
        Ok(topology) => topology.host(name).map(topology::Node::namespace),
        Err(_) => name.parse().map(|host: Host| host.namespace().to_owned()),
    }
}

/// The processes in a namespace with their command names.
///
/// # Errors
/// When the namespace is not there.
pub fn processes(namespace: &str) -> Result<Vec<(u32, String)>> {
    let name = |pid: u32| {
        let comm = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        (pid, comm.trim().to_owned())
    };
    Ok(network::pids(namespace)?.into_iter().map(name).collect())
}
