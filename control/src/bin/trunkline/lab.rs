//! `trunkline lab`

mod hosts;

use crate::Failure;
use clap::{Subcommand, ValueEnum};
use control::config::Config;
use control::dataplane_link::status_blocking;
use control::lab::call::{self, CallOptions, Family, Flows};
use control::lab::topology::{self, Topology};
use control::lab::{self, Host};
use control::status_report::{StatusReport, grouped};
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;

/// A small network on this machine, with the appliance in the middle
///
/// Network namespaces tl-uac (callers), tl-sut (the appliance, on AF_XDP ports) and tl-uas
/// (servers), joined by veth pairs. Nothing outside them is touched. With --topology there are several
/// appliances in two stages, an engine and a switch between them.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  trunkline lab demo                                up, ten seconds of calls, report, down
  trunkline lab up --queues 2 --rss
  trunkline lab call --rate 2000 --seconds 5 --flows many
  trunkline lab exec uac -- ping -c 3 10.77.1.1
  trunkline lab exec uas -- tcpdump -ni eth0 udp
  trunkline lab exec uac -- sipsak -U -x 60 -s sip:alice@lab.test -p 10.77.1.1
  trunkline lab down

Several hosts:
  trunkline lab up --topology s3p3
  trunkline lab host list
  trunkline lab host kill p2
  trunkline lab link cut f1 p3
  trunkline lab exec f1 -- tcpdump -ni eth0 udp")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make the network and start the appliance in it
    #[command(after_help = "\
Without --config a configuration is made: it listens on udp 10.77.1.1, 10.77.2.1, fd77:1::1 and
fd77:2::1, port 5060, lets phones register as users of lab.test and call each other there, and
forwards every other request to 10.77.2.2:5060 or [fd77:2::2]:5060.

veth has no RSS: the kernel of the sender chooses the queue, each flow its own. With --rss a BPF program in
tl-uac and tl-uas hashes each frame that leaves (Toeplitz) and looks its queue up in a table:
  trunkline rss show --port uac0 --socket /run/trunkline/lab/api.sock
  trunkline rss apply plan.json --port uac0 --socket /run/trunkline/lab/api.sock

With --topology there are one to three stateless first-stage appliances f1 to f3 (10.79.0.11 ..), one to three
second-stage appliances p1 to p3 (10.79.0.21 ..) that register users of lab.test, a Redis Cluster on d1 to d3
(10.79.0.31 ..), and the generators uac (10.79.0.101) and uas (10.79.0.102). With b3 there is no first stage: phones
speak to p1 to p3, each of which gives the others what is theirs.")]
    Up(UpCommand),
    /// Run a command in a host of the lab; its exit status is ours
    #[command(after_help = "\
Examples:
  trunkline lab exec uac -- ping -c 3 10.77.1.1
  trunkline lab exec uas -- sipp -sn uas -i 10.77.2.2 -p 5060
  trunkline lab exec sut -- ip neighbour")]
    Exec {
        /// uac, sut or uas; with --topology any name of `trunkline lab host list`
        host: String,
        /// The command and its arguments
        #[arg(last = true, required = true, value_name = "COMMAND")]
        command: Vec<OsString>,
    },
    /// Show hosts, processes and the data plane's counters
    Status,
    /// Show the hosts of a topology, and have them die, stand still, be cut off, become slow, get well
    Host(hosts::HostArguments),
    /// Cut and heal the way between two hosts of a topology
    Link(hosts::LinkArguments),
    /// Stop the appliance and remove the network; also after a crash, also when nothing is up
    Down,
    /// Place calls through the appliance with SIPp and report
    #[command(after_help = "\
Exit status: 0 when every call succeeded and every packet is accounted for, 1 otherwise.")]
    Call(Call),
    /// Up, call, down: the whole thing in one command
    Demo(Demo),
}

#[derive(clap::Args)]
struct UpCommand {
    #[command(flatten)]
    up: Up,
    /// Several hosts: first-stage and second-stage appliances, 1 to 3 of each, as in s3p3, or of both, as in b3
    #[arg(long, value_name = "sNpM|bN", conflicts_with_all = ["config", "queues", "rss"])]
    topology: Option<Topology>,
}

#[derive(clap::Args)]
struct Up {
    /// Use this configuration instead of a generated one
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Queue pairs per port, one lcore each (with --config: as the file has it)
    #[arg(long, value_name = "N", default_value_t = 1)]
    queues: u16,
    /// Have the ports choose queues by a key and a table, as a NIC with RSS: `trunkline rss` shows and changes them
    #[arg(long)]
    rss: bool,
}

#[derive(clap::Args)]
struct Call {
    /// Calls begun per second
    #[arg(long, value_name = "N", default_value_t = 1_000,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(call::RATE_MAX)))]
    rate: u32,
    /// How long calls are begun
    #[arg(long, value_name = "N", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    seconds: u32,
    /// How many calls (instead of rate times seconds)
    #[arg(long, value_name = "N",
          value_parser = clap::value_parser!(u64).range(1..=call::CALLS_MAX))]
    calls: Option<u64>,
    /// Address family of the caller
    #[arg(long, value_enum, default_value_t = FamilyArgument::V4)]
    family: FamilyArgument,
    /// Calls from one UDP port, or from one each, which spread over the queues
    #[arg(long, value_enum, default_value_t = FlowsArgument::Many)]
    flows: FlowsArgument,
    /// User part of the Request-URI: `four...` and `six...` choose the family of the server
    #[arg(long, value_name = "NAME", default_value = "service")]
    user: String,
    /// Where the packet capture goes [default: call.pcap in the lab's directory]
    #[arg(long, value_name = "FILE")]
    capture: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Demo {
    #[command(flatten)]
    up: Up,
    #[command(flatten)]
    call: Call,
    /// Leave the lab up afterwards
    #[arg(long)]
    keep: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum FamilyArgument {
    #[value(name = "4")]
    V4,
    #[value(name = "6")]
    V6,
}

#[derive(Clone, Copy, ValueEnum)]
enum FlowsArgument {
    One,
    Many,
}

impl Call {
    fn options(&self) -> CallOptions {
        CallOptions {
            rate: self.rate,
            calls: self.calls.unwrap_or_else(|| u64::from(self.rate) * u64::from(self.seconds)),
            family: match self.family {
                FamilyArgument::V4 => Family::V4,
                FamilyArgument::V6 => Family::V6,
            },
            flows: match self.flows {
                FlowsArgument::One => Flows::One,
                FlowsArgument::Many => Flows::Many,
            },
            user: self.user.clone(),
            capture: self.capture.clone(),
        }
    }
}

pub(crate) fn main(arguments: Arguments) -> Result<(), Failure> {
    crate::require_root("the lab")?;
    match arguments.command {
        Command::Up(UpCommand { topology: Some(topology), .. }) => hosts::up(topology),
        Command::Up(UpCommand { up: arguments, .. }) => {
            up(&arguments)?;
            crate::say(format!("\n{}", what_next()?));
            Ok(())
        }
        Command::Exec { host, command } => exec(&host, &command),
        Command::Status => status(),
        Command::Host(arguments) => hosts::host(&arguments),
        Command::Link(arguments) => hosts::link(&arguments),
        Command::Down => down(),
        Command::Call(arguments) => place_calls(&arguments),
        Command::Demo(arguments) => demo(arguments),
    }
}

/// Progress goes to standard error: standard output is for the report, which may be JSON.
fn progress(line: &str) {
    eprintln!("lab: {line}");
}

fn up(arguments: &Up) -> Result<(), Failure> {
    lab::up(arguments.config.as_deref(), arguments.queues, arguments.rss, &mut progress)?;
    Ok(())
}

fn what_next() -> Result<String, Failure> {
    let directory = lab::DIRECTORY;
    let config = lab::config_path();
    let socket = Config::load(&config)?.appliance.socket();
    Ok(format!(
        "\
  tl-uac   eth0  10.77.1.2  fd77:1::2   callers
  tl-sut   uac0  10.77.1.1  fd77:1::1   the appliance, on each address SIP over UDP and TCP on
           uas0  10.77.2.1  fd77:2::1   port 5060, TLS 5061, WebSocket 8080 and, over TLS, 8443
  tl-uas   eth0  10.77.2.2  fd77:2::2   servers, expected on port 5060

  configuration  {}
  socket         {}
  logs           {directory}/dataplane.log, control.log, supervisor.log

Try next:
  trunkline lab call --rate 2000 --seconds 5      calls, and a report
  trunkline lab status                            what every queue did
  trunkline lab exec uac -- ping -c 3 10.77.1.1   the kernel beside the data plane
  trunkline lab exec uas -- tcpdump -ni eth0 udp  what servers see
  trunkline lab down                              remove all of it

Phones register as users of {domain}, with outbound proxy 10.77.1.1 in tl-uac and 10.77.2.1 in tl-uas; in
the accounts file of a baresip: <sip:alice@{domain}>;regint=60;outbound=\"sip:10.77.1.1;lr\"
or, over TLS: <sip:alice@{domain};transport=tls>;regint=60;outbound=\"sip:10.77.1.1:5061;transport=tls;lr\"",
        config.display(),
        socket.display(),
        domain = lab::DOMAIN
    ))
}

fn exec(host: &str, command: &[OsString]) -> Result<(), Failure> {
    require_up()?;
    let namespace =
        lab::namespace_of(host).map_err(|error| Failure::wrong(format!("trunkline: {error}")))?;
    let Some((program, arguments)) = command.split_first() else {
        return Err(Failure::wrong("trunkline lab exec: name a command after --"));
    };
    let mut command = lab::command_in_namespace(&namespace, program);
    // Only returns when it fails.
    Err(command.args(arguments).exec().into())
}

fn require_up() -> Result<(), Failure> {
    if lab::is_up() {
        return Ok(());
    }
    Err(Failure::wrong("trunkline: the lab is not up: `trunkline lab up` starts it"))
}

fn status() -> Result<(), Failure> {
    require_up()?;
    if let Ok(topology) = topology::current() {
        return hosts::status(topology);
    }
    for host in Host::ALL {
        say_processes(host.namespace())?;
    }
    let socket = Config::load(&lab::config_path())?.appliance.socket();
    crate::say(format!("\n{}", StatusReport::new(&status_blocking(&socket)?)));
    Ok(())
}

/// One line: a namespace and what runs there.
fn say_processes(namespace: &str) -> Result<(), Failure> {
    let processes = lab::processes(namespace)?;
    let words = processes.iter().map(|(pid, name)| format!("{name} ({pid})"));
    let words = words.collect::<Vec<_>>().join(", ");
    crate::say(format!("{namespace:<8} {words}"));
    Ok(())
}

fn down() -> Result<(), Failure> {
    progress(if lab::down()? { "removed" } else { "nothing was up" });
    Ok(())
}

fn place_calls(arguments: &Call) -> Result<(), Failure> {
    let options = arguments.options();
    let (calls, rate) = (grouped(options.calls), grouped(options.rate.into()));
    progress(&format!("{calls} calls, {rate} per second"));
    let report = call::run(&options, &mut progress)?;
    if arguments.json {
        crate::say(serde_json::to_string_pretty(&report)?);
    } else {
        crate::say(format!("\n{report}"));
    }
    if report.passed() { Ok(()) } else { Err(Failure::silent(crate::FAILED)) }
}

fn demo(mut arguments: Demo) -> Result<(), Failure> {
    if let Ok(topology) = topology::current() {
        let what = format!(
            "trunkline: a lab with several hosts is up ({topology}): `trunkline lab down` removes it"
        );
        return Err(Failure::wrong(what));
    }
    let was_up = lab::is_up();
    if was_up {
        progress("up already, and stays up");
    } else {
        up(&arguments.up)?;
    }
    let keep = arguments.keep || was_up;
    if !keep && arguments.call.capture.is_none() {
        // The lab's directory goes with the lab.
        arguments.call.capture = Some(std::env::temp_dir().join("trunkline-call.pcap"));
    }
    let outcome = place_calls(&arguments.call);
    if keep && arguments.call.json {
        progress("stays up");
    } else if keep {
        crate::say(format!("\nThe lab stays up.\n\n{}", what_next()?));
    } else {
        lab::down()?;
    }
    outcome
}
