//! `trunkline-bench connections`: phones by the hundred thousand, each with a connection that stands.
//!
//! ```text
//!   tlb-gen                                                     tlb-sut
//!   client thread 0, 10.79.0.1 ── some thousand connections ──► trunkline-control, connection threads
//!   client thread 1, 10.79.0.2 ──             "            ──►        │ ▲
//!   ...                                                         trunkline-dataplane, one worker
//! ```

mod appliance;
mod client;
mod clients;
mod dialog;
mod memory;
mod peer;
mod report;

use crate::disturbance::Watch;
use crate::interrupt::Interrupt;
use crate::json;
use crate::machine::{self, Machine};
use crate::network::{Host, Network, SIP};
use crate::system::System;
use anyhow::{Context, Result, ensure};
use client::Order;
use clients::Clients;
use memory::Memory;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use report::{Response, Stood};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Connections among which the first calls are made.
const FEW: usize = 1_000;
/// Connections on which requests are pipelined, and for how long.
const PIPELINES: usize = 100;
/// See [`PIPELINES`].
const PIPELINE_TIME: Duration = Duration::from_secs(5);
/// File descriptors of a thread beside its connections.
const BESIDE: usize = 512;
/// Most connection threads of control.
const THREADS_MAX: usize = control_api::connection::THREADS_MAX as usize;
/// Pause before memory is read: what has ended is given back by then.
const SETTLED: Duration = Duration::from_secs(2);

/// Have phones connect, register and call each other over their connections, by the hundred thousand
///
/// Starts the appliance on one end of a wire and phones on the other. Some of them connect over TCP and register,
/// and call each other at random while keep-alives (RFC 5626) run: INVITE, 200, ACK, BYE, 200, all over standing
/// connections. Then all the others come, all connections are kept alive once, and calls are made again at the same
/// rate. At last phones come over TLS, for what their connections cost.
#[derive(clap::Args)]
#[command(after_help = "\
What is printed, and stands in the JSON file:
  connections   TCP connections that were registered, kept alive, and between which calls were made
  response_ms   INVITE sent to 200 received, among the first 1,000 and among all: median, 95 and 99 of 100
  user_bytes_per_idle_tcp_connection, user_bytes_per_idle_tls_connection
                memory that the appliance's processes took more for each that stood without a word
  user_bytes_per_registered_tcp_connection
                the same once all had registered: with the binding in the data plane
  pipelined_requests_per_second
                OPTIONS that the worker answered, over 100 connections with 16 on their way on each
  kernel_bytes_per_connection
                of one end: half of what the kernel's slabs and sockets grew by, since both ends are here
  disturbed     whether others used the machine during the calls

Each client thread and each connection thread has a table of file descriptors of its own: the hard limit of
open files (ulimit -Hn) bounds a thread, and decides how many there are. 420,000 connections need some 6 GiB.

Examples:
  trunkline-bench connections
  trunkline-bench connections --connections 20000 --tls 2000 --seconds 5

Exit status: 0 when all stood and no call failed, 1 otherwise, 2 when it could not be measured.")]
pub(crate) struct Arguments {
    /// TCP connections
    #[arg(long, default_value_t = 420_000, value_parser = clap::value_parser!(u32).range(1_000..=1_000_000))]
    connections: u32,
    /// TLS connections, beside them
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(0..=500_000))]
    tls: u32,
    /// Calls a second
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    rate: u32,
    /// How long calls are made, each of the two times
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// Threads of control and of the clients, each with a part of the connections; without it as many as the
    /// limit of open files asks for
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: Option<u16>,
    /// Where the result is written
    #[arg(long, value_name = "FILE", default_value = "target/bench/connections.json")]
    json: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// What could not be started; a connection that broke or an answer that did not come.
pub(crate) fn run(arguments: &Arguments) -> Result<std::process::ExitCode> {
    let interrupt = Interrupt::listen()?;
    let (tcp, tls) = (arguments.connections as usize, arguments.tls as usize);
    let threads = threads(tcp + tls, arguments.threads)?;
    let network = Network::up(1)?;
    network.add_clients(threads)?;
    let room = tcp + tls + 2 * threads;
    let (system, tls_config) = appliance::start(&network, room, threads)?;
    eprintln!(
        "{} answers on {SIP}; {threads} threads of clients, {threads} of connections",
        system.version()
    );
    let mut clients = Clients::start(threads, interrupt)?;
    let run = Run { arguments, network: &network, system: &system, threads };

    let few = run.connect(&mut clients, FEW)?;
    clients.all("registered", &Order::Register)?;
    let begin = Instant::now();
    let pipeline = Order::Pipeline(PIPELINES.div_ceil(threads), PIPELINE_TIME);
    clients.all("pipelined", &pipeline)?;
    let pipelining = begin.elapsed();
    let response_few = run.call(&mut clients, few)?;
    let at_few = run.settled()?;

    let (begin, all) = (Instant::now(), run.connect(&mut clients, tcp)?);
    let connecting = begin.elapsed();
    let at_all = run.settled()?;
    let begin = Instant::now();
    clients.all("registered", &Order::Register)?;
    let registering = begin.elapsed();
    let at_registered = run.settled()?;
    let begin = Instant::now();
    clients.all("kept alive", &Order::KeepAlive)?;
    let keeping = begin.elapsed();
    let response_all = run.call(&mut clients, all)?;

    let (mut secure, mut at_tls) = (0, None);
    if tls > 0 {
        let before = run.settled()?;
        let to = Order::Connect((all + tls).div_ceil(threads), appliance::TLS, Some(tls_config));
        clients.all("connected", &to)?;
        secure = clients.connected() - all;
        let each = run.settled()?.since(before, secure);
        at_tls = Some(each.control + each.dataplane);
    }
    let (idle, registered) =
        (at_all.since(at_few, all - few), at_registered.since(at_few, all - few));
    let stood = Stood {
        command: machine::command(),
        machine: Machine::this()?.to_string(),
        version: system.version().to_owned(),
        threads,
        connections: all,
        tls_connections: secure,
        user_bytes_per_idle_tcp_connection: idle.control + idle.dataplane,
        user_bytes_per_registered_tcp_connection: registered.control + registered.dataplane,
        control_bytes_per_registered_tcp_connection: registered.control,
        user_bytes_per_idle_tls_connection: at_tls,
        kernel_bytes_per_connection: idle.kernel / 2,
        connects_per_second: rate(all - few, connecting),
        registrations_per_second: rate(all - few, registering),
        keep_alives_per_second: rate(all, keeping),
        pipelined_requests_per_second: rate(clients.answers(), pipelining),
        response_ms: report::Responses::new(response_few, response_all),
    };
    drop(clients);
    if let Some(directory) = arguments.json.parent().filter(|path| !path.as_os_str().is_empty()) {
        std::fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    }
    json::write(&stood, arguments.json.to_str().context("a file name that is no text")?)?;
    stood.print();
    Ok(u8::from(!stood.is_good()).into())
}

/// What the steps of a run have in common.
struct Run<'a> {
    arguments: &'a Arguments,
    network: &'a Network,
    system: &'a System,
    threads: usize,
}

impl Run<'_> {
    /// Has so many connections in all, or a few more, the same number in each thread; gives how many.
    fn connect(&self, clients: &mut Clients, count: usize) -> Result<usize> {
        let each = count.div_ceil(self.threads);
        clients.all("connected", &Order::Connect(each, SIP, None))?;
        Ok(each * self.threads)
    }

    /// Makes calls for the time that was asked for.
    fn call(&self, clients: &mut Clients, connections: usize) -> Result<Response> {
        #[expect(clippy::cast_precision_loss, reason = "some threads")]
        let rate = f64::from(self.arguments.rate) / self.threads as f64;
        let length = Duration::from_secs(self.arguments.seconds);
        let cores: Vec<u16> = vec![0, 1];
        let watch = Watch::start(&cores)?;
        let outcome = clients.all("calls", &Order::Call { rate, length, threads: self.threads })?;
        let mut ours = self.system.pids()?;
        ours.extend(self.network.pids(Host::Generator)?);
        Ok(Response::new(connections, &outcome, watch.finish(&ours)?))
    }

    /// Memory, once what has ended is given back.
    fn settled(&self) -> Result<Memory> {
        std::thread::sleep(SETTLED);
        Memory::read(self.system)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a report")]
fn rate(count: usize, time: Duration) -> f64 {
    (count as f64 / time.as_secs_f64()).round()
}

/// How many threads there have to be for so many connections, with the limit of open files as high as it goes.
fn threads(connections: usize, wanted: Option<u16>) -> Result<usize> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    let room = usize::try_from(hard)?.saturating_sub(BESIDE);
    // As control counts: chance gives some threads more than their share.
    let needed = (connections + connections / 16).div_ceil(room.max(1)).max(1);
    let threads = wanted.map_or(needed, usize::from);
    ensure!(
        threads >= needed && needed <= THREADS_MAX,
        "{connections} connections need {needed} threads of {room} each, and {THREADS_MAX} are possible: \
         raise the limit of open files (ulimit -n)"
    );
    Ok(threads)
}
