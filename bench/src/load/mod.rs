//! `trunkline-bench load`: an open-loop generator that plays callers and callees at once.
//!
//! [`script`] says who sends what after what; [`template`] makes the messages and [`reader`] reads what
//! comes back; [`engine`] keeps the calls; a [`wire`] carries datagrams; [`drive`] joins them in time.

mod arrivals;
mod call;
mod counts;
mod digest;
mod drive;
mod engine;
mod faults;
mod identity;
mod latency;
mod options;
mod port;
mod reader;
mod report;
mod script;
mod sockets;
mod streams;
mod template;
#[cfg(test)]
mod tests;
mod timers;
mod wire;

pub(crate) use options::Arguments;
pub(crate) use report::{LoadReport, grouped};
pub(crate) use script::Scenario;
pub(crate) use template::{DOMAIN, PASSWORD};

use crate::disturbance::{Disturbance, Watch};
use crate::interrupt::Interrupt;
use crate::json;
use crate::network::{CALLEE_PORT, CALLER_PORT};
use crate::search;
use anyhow::{Context, Result, bail, ensure};
use arrivals::Arrivals;
use call::Path;
use core::net::SocketAddr;
use drive::{Driven, drive};
use engine::{Engine, Setup};
use faults::{Faults, FaultyWire, Injected};
use options::WireKind;
use script::Shape;
use sockets::SocketWire;
use std::net::UdpSocket;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};
use streams::StreamWire;
use template::Frame;
use wire::Wire;

/// Runs the generator and prints its report.
///
/// # Errors
/// One line that says what is missing.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    if arguments.self_test {
        return self_test(arguments);
    }
    if let Some(core) = arguments.core {
        let id = core_affinity::CoreId { id: core.into() };
        ensure!(core_affinity::set_for_current(id), "cannot run on core {core}: see nproc");
    }
    let report = execute(arguments)?;
    match arguments.json.as_deref() {
        Some(path) => json::write(&report, path)?,
        None => print!("{report}"),
    }
    Ok(if report.counts.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Finds the generator's own ceiling, by a search with trials straight from callers to callees.
fn self_test(arguments: &Arguments) -> Result<ExitCode> {
    let wire = match &arguments.wire {
        WireKind::Sockets => "sockets",
        WireKind::Ring => "ring",
        _ => bail!("the self-test knows the wires sockets and ring"),
    };
    search::self_test(arguments.scenario, wire, arguments.json.clone())?;
    Ok(ExitCode::SUCCESS)
}

/// One run.
///
/// # Errors
/// One line that says what is missing.
pub(crate) fn execute(arguments: &Arguments) -> Result<LoadReport> {
    ensure!(
        arguments.direct || arguments.wire != WireKind::Ring,
        "a ring leads nowhere but back: use it with --direct"
    );
    let is_stream = matches!(arguments.wire, WireKind::Streams(_));
    ensure!(
        !is_stream || !arguments.direct,
        "connections lead from callers to a target: name it with --target"
    );
    ensure!(
        arguments.settle < arguments.seconds,
        "--settle is a part of --seconds: name less than {} there",
        arguments.seconds
    );
    let locals = Locals::choose(arguments)?;
    let rate = arguments
        .scenario
        .calls_per_second(f64::from(arguments.users), arguments.compress)
        .unwrap_or(arguments.rate);
    let arrivals = Arrivals::new(arguments.arrivals, rate, arguments.seconds, arguments.seed);
    let engine = Engine::new(setup(arguments, &locals), arrivals);
    if !arguments.direct {
        arguments.target.iter().try_for_each(answers)?;
    }
    let overflows = overflows();
    let watch = Watch::start(&[arguments.core.unwrap_or(0)])?;
    let (engine, driven, injected) = match &arguments.wire {
        WireKind::Sockets => over(SocketWire::bind(&locals.addresses)?, arguments, engine)?,
        WireKind::Streams(reuse) => {
            let wire = StreamWire::new(*reuse, &locals.addresses, locals.callers)?;
            over(wire, arguments, engine)?
        }
        kind => {
            let core = arguments.core.unwrap_or(0);
            let options = arguments.clone();
            let (addresses, target) = (&locals.addresses, locals.targets[0]);
            let work = move |wire| over(wire, &options, engine);
            port::run_on_port(kind, core, addresses, target, work)?
        }
    };
    let disturbance = watch.finish(&[])?;
    let mut report = summarise(arguments, rate, &engine, driven, disturbance);
    report.injected = injected;
    report.overflows = self::overflows().saturating_sub(overflows);
    report.judge_generator();
    ensure!(
        engine.counts.received > 0,
        "nothing came back from {}: does it forward sip:...@bench.test to {}?",
        locals.targets[0],
        locals.addresses[locals.callers]
    );
    Ok(report)
}

/// The generator's addresses and those it sends to.
struct Locals {
    addresses: Vec<SocketAddr>,
    callers: usize,
    targets: Vec<SocketAddr>,
}

impl Locals {
    fn choose(arguments: &Arguments) -> Result<Self> {
        let towards = arguments.target.first().copied();
        let own = |port: u16| -> Result<SocketAddr> {
            let ip = match (towards, &arguments.wire) {
                (Some(target), _) => source_towards(target)?,
                // Loopback addresses are martians on a port (RFC 1122 3.2.1.3); these are for examples.
                (None, WireKind::Ring) => core::net::Ipv4Addr::new(192, 0, 2, 1).into(),
                (None, _) => core::net::Ipv4Addr::LOCALHOST.into(),
            };
            Ok(SocketAddr::new(ip, port))
        };
        let caller = arguments.caller.map_or_else(|| own(CALLER_PORT), Ok)?;
        let callee = arguments.callee.map_or_else(|| own(CALLEE_PORT), Ok)?;
        let callers = range(caller, arguments.flows)?;
        let callees = range(callee, arguments.callees)?;
        let targets = if arguments.direct { callees.clone() } else { arguments.target.clone() };
        let count = callers.len();
        Ok(Self { addresses: [callers, callees].concat(), callers: count, targets })
    }
}

/// `count` addresses with ports counted up.
fn range(first: SocketAddr, count: u16) -> Result<Vec<SocketAddr>> {
    let ports = first.port().checked_add(count - 1).context("ports end at 65535")?;
    Ok((first.port()..=ports).map(|port| SocketAddr::new(first.ip(), port)).collect())
}

/// The address that the kernel would send from.
fn source_towards(target: SocketAddr) -> Result<core::net::IpAddr> {
    let any: SocketAddr = if target.is_ipv4() { "0.0.0.0:0".parse()? } else { "[::]:0".parse()? };
    let socket = UdpSocket::bind(any)?;
    socket.connect(target).with_context(|| format!("{target} cannot be reached from here"))?;
    Ok(socket.local_addr()?.ip())
}

/// Sends a keep-alive (RFC 5626 3.5.1) and looks whether an ICMP error comes back.
fn answers(target: &SocketAddr) -> Result<()> {
    let socket = UdpSocket::bind(SocketAddr::new(source_towards(*target)?, 0))?;
    socket.connect(target)?;
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    let unreachable = || format!("nothing listens on {target}: start the target first");
    socket.send(b"\r\n\r\n").with_context(unreachable)?;
    match socket.recv(&mut [0; 64]) {
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => bail!(unreachable()),
        _ => Ok(()),
    }
}

fn setup(arguments: &Arguments, locals: &Locals) -> Setup {
    let shape = Shape {
        ring: Duration::from_millis(arguments.ring_ms.into()),
        hold: Duration::from_millis(arguments.hold_ms.into()),
        in_dialog: arguments.in_dialog.into(),
        compress: arguments.compress,
    };
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let patience = nanoseconds(arguments.patience);
    let t1 = u64::from(arguments.t1_ms) * 1_000_000;
    let is_stream = matches!(arguments.wire, WireKind::Streams(_));
    let frame = Frame::new(arguments.invite_bytes.into(), arguments.in_dialog_bytes.into());
    Setup {
        scripts: arguments.scenario.scripts(&shape),
        locals: locals.addresses.clone(),
        callers: locals.callers,
        targets: locals.targets.clone(),
        frame: if is_stream { frame.over_tcp() } else { frame },
        users: arguments.users,
        // RFC 3261 17.1.1.2: a reliable transport repeats by itself.
        t1: [if is_stream { patience } else { t1 }, t1],
        patience,
        carried: nanoseconds(arguments.settle)..nanoseconds(arguments.seconds),
        path: Path { hops: if arguments.direct { 0 } else { arguments.hops } },
        calls_max: arguments.calls_max,
        seed: arguments.seed,
        run: since_epoch.subsec_nanos() ^ std::process::id().rotate_left(16),
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked positive")]
fn nanoseconds(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

/// Drives the engine over a wire, with or without faults, and gives it back.
fn over(
    wire: impl Wire,
    arguments: &Arguments,
    mut engine: Engine,
) -> Result<(Engine, Driven, Option<Injected>)> {
    let interrupt = Interrupt::listen()?;
    let held = arguments.ring_ms + arguments.hold_ms;
    let limit = Duration::from_secs_f64(arguments.seconds + arguments.patience)
        + Duration::from_millis(held.into());
    let mut progress = |engine: &Engine, elapsed: Duration| {
        if !arguments.quiet {
            let counts = &engine.counts;
            eprintln!(
                "load: {:>4} s  {} calls begun, {} completed, {} failed, {} retransmissions",
                elapsed.as_secs(),
                counts.calls,
                counts.completed,
                counts.failed,
                counts.retransmissions
            );
        }
    };
    let faulty = arguments.inject != Faults::default();
    let mut wire = FaultyWire::new(wire, arguments.inject, arguments.seed);
    let driven = if faulty {
        drive(&mut engine, &mut wire, limit, &interrupt, &mut progress)?
    } else {
        drive(&mut engine, wire.inner(), limit, &interrupt, &mut progress)?
    };
    Ok((engine, driven, faulty.then_some(wire.injected)))
}

#[expect(clippy::cast_precision_loss, reason = "a report")]
fn summarise(
    arguments: &Arguments,
    rate: f64,
    engine: &Engine,
    driven: Driven,
    disturbance: Disturbance,
) -> LoadReport {
    let counts = engine.counts.clone();
    let seconds = arguments.seconds.min(driven.elapsed.as_secs_f64());
    let [message_latency, transaction_latency, lateness] = engine.latency.summaries();
    let is_users = arguments.scenario == Scenario::Users;
    LoadReport {
        scenario: arguments.scenario.to_string(),
        wire: arguments.wire.to_string(),
        offered_calls_per_second: rate,
        users: is_users.then(|| f64::from(arguments.users)),
        seconds,
        calls_per_second: counts.completed as f64 / seconds,
        carried_per_second: counts.carried as f64 / (seconds - arguments.settle).max(1e-3),
        messages_per_second: counts.received as f64 / seconds,
        failed_share: counts.failed as f64 / (counts.failed + counts.completed).max(1) as f64,
        counts,
        injected: None,
        message_latency,
        transaction_latency,
        lateness,
        overflows: 0,
        crowded: engine.crowded,
        generator_busy: driven.busy,
        disturbance,
        generator_limit: None,
    }
}

/// Datagrams that this network namespace's UDP sockets had no room for, since it exists.
fn overflows() -> u64 {
    let v4 = procfs::net::snmp().map_or(0, |snmp| snmp.udp_rcvbuf_errors);
    let v6 = procfs::net::snmp6().map_or(0, |snmp| snmp.udp_rcvbuf_errors);
    v4 + v6
}
