//! The systems under test: each started, pinned, asked what it uses, and stopped in the same way.

mod kamailio;
mod socket_floor;
mod testpmd;
mod trunkline;
mod usage;

use crate::load::DOMAIN;
use crate::network::{DIRECTORY, Host, Network, core_list};
use anyhow::{Context, Result, anyhow, bail};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::File;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
pub(crate) use usage::Usage;

/// What can be measured.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SystemKind {
    /// This appliance, on an AF_XDP port.
    Trunkline,
    /// Kamailio 5.6, tuned.
    Kamailio,
    /// OpenSIPS, where a binary is there.
    Opensips,
    /// `trunkline-bench forward`: the least that any proxy on kernel sockets does.
    SocketFloor,
    /// dpdk-testpmd, which sends every frame back: the most that DPDK does over this wire.
    Testpmd,
}

/// What a system is asked to do.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Work {
    /// Forward to one callee without transactions.
    Stateless,
    /// Forward to one callee with transactions (100, retransmissions, CANCEL) and Record-Route.
    Stateful,
    /// Accept registrations into memory.
    Register,
    /// The same, after digest authentication.
    RegisterDigest,
    /// Spread calls over four callees by a hash over the Call-ID, without transactions.
    Dispatcher,
}

impl fmt::Display for SystemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        value_name(self, f)
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        value_name(self, f)
    }
}

/// The name on the command line and in JSON; they are the same.
fn value_name(value: &impl ValueEnum, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    value.to_possible_value().map_or(Ok(()), |value| f.pad(value.get_name()))
}

/// Why a system does not run.
#[derive(Debug)]
pub(crate) enum StartError {
    /// It is not there, or cannot do this work: to be printed as missing, with this reason.
    Missing(String),
    /// It should have started and did not.
    Failed(anyhow::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(why) => write!(f, "missing: {why}"),
            Self::Failed(error) => write!(f, "{error:#}"),
        }
    }
}

impl std::error::Error for StartError {}

impl From<anyhow::Error> for StartError {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

/// How long a system may take until it answers.
const START_MAX: Duration = Duration::from_secs(20);
/// How long a system may take to stop before it is killed.
const STOP_MAX: Duration = Duration::from_secs(8);
/// How long a system may take to rest after that.
const REST_MAX: Duration = Duration::from_secs(10);
/// How long it is watched to see whether it rests.
const REST_WINDOW: Duration = Duration::from_millis(300);
/// CPU time, beside that of one core for each of its own, that a system at rest may take, in cores.
const REST_SHARE: f64 = 0.15;
/// Where the probe asks from, apart from every caller.
const PROBE_PORT: u16 = 5_999;

/// Starts `kind` on `cores` of the network's far end, to do `work`, and returns once it answers and rests.
///
/// The thread that calls this must live as long as the system: see [`Network::command_in`].
///
/// # Errors
/// [`StartError::Missing`] when it is not there or cannot do this; otherwise what went wrong, with
/// the system's own last words.
pub(crate) fn start(
    kind: SystemKind,
    work: Work,
    network: &Network,
    cores: &[u16],
) -> Result<System, StartError> {
    if cores.is_empty() || cores.len() > usize::from(network.queues()) {
        let (cores, queues) = (core_list(cores), network.queues());
        return Err(anyhow!("core(s) {cores} and {queues} queue(s): one to each").into());
    }
    network.receive_on(Host::Sut, cores)?;
    let place = Place { network, cores, directory: fresh_directory(kind)? };
    let started = match kind {
        SystemKind::Trunkline => trunkline::start(work, &place),
        SystemKind::Kamailio => kamailio::start(work, &place),
        SystemKind::Opensips => Err(missing_opensips()),
        SystemKind::SocketFloor => socket_floor::start(work, &place),
        SystemKind::Testpmd => testpmd::start(work, &place),
    };
    let mut system = started.inspect_err(|_| drop(std::fs::remove_dir_all(&place.directory)))?;
    system.wait_until_it_answers(network)?;
    system.wait_until_it_rests()?;
    // An XDP program is there by now, and with it the threads that poll.
    network.receive_on(Host::Sut, cores)?;
    Ok(system)
}

/// Debian 12 has no package of it, so there was nothing to write and prove a configuration with.
fn missing_opensips() -> StartError {
    let installed = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|p| p.join("opensips").is_file()));
    StartError::Missing(if installed {
        "OpenSIPS is installed, but no configuration of it was ever proved here".to_owned()
    } else {
        "no opensips on this machine".to_owned()
    })
}

/// Where a system starts.
struct Place<'a> {
    network: &'a Network,
    cores: &'a [u16],
    directory: PathBuf,
}

impl Place<'_> {
    /// The command that runs `program` on the system's cores in its namespace and directory, its
    /// output in a log.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Result<Command> {
        self.command_on(program, self.cores)
    }

    /// The same on other cores.
    fn command_on(&self, program: impl AsRef<std::ffi::OsStr>, cores: &[u16]) -> Result<Command> {
        let log = File::create(self.log())?;
        let mut command = self.network.command_in(Host::Sut, program, cores);
        command.current_dir(&self.directory).stdin(Stdio::null());
        command.stdout(log.try_clone()?).stderr(log);
        Ok(command)
    }

    fn log(&self) -> PathBuf {
        self.directory.join("log")
    }
}

/// An empty directory for a system's files; what an earlier run left in it is gone.
fn fresh_directory(kind: SystemKind) -> Result<PathBuf> {
    let directory = Path::new(DIRECTORY).join(kind.to_string());
    if directory.exists() {
        std::fs::remove_dir_all(&directory).with_context(|| directory.display().to_string())?;
    }
    std::fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    Ok(directory)
}

/// What a system must not lose while it runs, dropped after it has ended.
type Held = Box<dyn std::any::Any>;

/// A system that runs, until this value is dropped.
pub(crate) struct System {
    child: Child,
    /// Whose own logs hold its last words.
    logs: Vec<PathBuf>,
    version: String,
    cores: Vec<u16>,
    directory: PathBuf,
    _held: Option<Held>,
}

impl System {
    fn spawn(
        mut command: Command,
        place: &Place<'_>,
        version: String,
        held: Option<Held>,
    ) -> Result<Self> {
        // A group of its own: Ctrl-C in a terminal reaches us alone.
        use std::os::unix::process::CommandExt;
        let child =
            command.process_group(0).spawn().context("`ip netns exec` cannot be started")?;
        Ok(Self {
            child,
            logs: vec![place.log()],
            version,
            cores: place.cores.to_vec(),
            directory: place.directory.clone(),
            _held: held,
        })
    }

    /// Name and version, as the system itself gives them.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Its processes.
    ///
    /// # Errors
    /// A `/proc` that cannot be read.
    pub(crate) fn pids(&self) -> Result<Vec<u32>> {
        usage::family(self.child.id())
    }

    /// What it has used since its start, and its cores since boot.
    ///
    /// # Errors
    /// When it has ended, with its last words.
    pub(crate) fn usage(&self) -> Result<Usage> {
        usage::read(self.child.id(), &self.cores).with_context(|| self.last_words())
    }

    /// Sends a request that no proxy may forward (Max-Forwards: 0) until something comes back: an
    /// answer, the request itself, or, from a forwarder that reads nothing, the request at the callee.
    fn wait_until_it_answers(&mut self, network: &Network) -> Result<()> {
        let probe = network.bind(Host::Generator, PROBE_PORT)?;
        let callee = network.bind(Host::Generator, crate::network::CALLEE_PORT)?;
        callee.set_nonblocking(true)?;
        probe.set_read_timeout(Some(Duration::from_millis(50)))?;
        let begin = Instant::now();
        loop {
            // Refused while nobody listens.
            let _ = probe.send_to(options().as_bytes(), crate::network::SIP);
            if received(&probe) || received(&callee) {
                break;
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended at once ({status})\n{}", self.last_words());
            }
            if begin.elapsed() > START_MAX {
                let seconds = START_MAX.as_secs();
                bail!("no answer after {seconds} s\n{}", self.last_words());
            }
        }
        // The rest of the probes, so that no measurement meets one.
        sleep(Duration::from_millis(100));
        Ok(())
    }

    /// What a system does after its first answer belongs to no trial, such as to put the passwords of a million
    /// users in place, and it may do it on the generator's core. One that polls keeps its own cores busy.
    fn wait_until_it_rests(&self) -> Result<()> {
        let at_rest = u32::try_from(self.cores.len()).map_or(f64::MAX, f64::from) + REST_SHARE;
        let begin = Instant::now();
        while begin.elapsed() < REST_MAX {
            let (before, start) = (self.usage()?.cpu_seconds, Instant::now());
            sleep(REST_WINDOW);
            let taken = self.usage()?.cpu_seconds - before;
            if taken / start.elapsed().as_secs_f64() < at_rest {
                break;
            }
        }
        Ok(())
    }

    fn last_words(&self) -> String {
        let tail = |log: &PathBuf| {
            let lines = control::process::last_lines(log, 10);
            let name = log.file_name().unwrap_or_default().to_string_lossy();
            (!lines.is_empty()).then(|| format!("--- the last lines of its {name}\n{lines}\n"))
        };
        self.logs.iter().filter_map(tail).collect()
    }
}

impl Drop for System {
    fn drop(&mut self) {
        let pids = self.pids().unwrap_or_default();
        control::process::terminate(self.child.id());
        let begin = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && begin.elapsed() < STOP_MAX {
            sleep(Duration::from_millis(10));
        }
        // Children that it left, and itself when it did not end.
        control::process::end(&pids, Duration::from_millis(100));
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Whether something came that is no 503, by which a system says that it is not ready: Trunkline's
/// control process answers so from its kernel socket while the data plane starts.
fn received(socket: &UdpSocket) -> bool {
    let mut buffer = [0; 2_048];
    let length = socket.recv(&mut buffer).unwrap_or(0);
    length > 0 && !buffer.starts_with(b"SIP/2.0 503")
}

fn options() -> String {
    let (sut, us) = (crate::network::SUT_ADDRESS, crate::network::GENERATOR_ADDRESS);
    format!(
        "OPTIONS sip:probe@{DOMAIN} SIP/2.0\r\n\
         Via: SIP/2.0/UDP {us}:{PROBE_PORT};branch=z9hG4bKprobe\r\n\
         Max-Forwards: 0\r\n\
         From: <sip:probe@{DOMAIN}>;tag=probe\r\n\
         To: <sip:probe@{DOMAIN}>\r\n\
         Call-ID: probe@{sut}\r\n\
         CSeq: 1 OPTIONS\r\n\
         Content-Length: 0\r\n\r\n"
    )
}
