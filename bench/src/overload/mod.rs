//! `trunkline-bench overload`: what is left of the appliance when more comes than it can do.

mod cap;
pub(crate) mod flood;
mod report;

use crate::interrupt::Interrupt;
use crate::json;
use crate::load::{LoadReport, Scenario};
use crate::network::{CALLEE_PORT, CALLER_PORT, DIRECTORY, GENERATOR_ADDRESS, Host, Network, SIP};
use crate::shell;
use crate::system::{self, System, SystemKind, Work};
use anyhow::{Context, Result, bail, ensure};
use cap::Cap;
use report::{Flooded, Overloaded, Point};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The core of the worker, and that of the generator.
const CORES: [u16; 2] = [1, 0];
/// Where the flood comes from.
const FLOODER: &str = "10.78.1.3";
/// The first rate of the search for the capacity, in calls per second.
const FIRST_RATE: f64 = 250.0;
/// Length of its runs.
const SEARCH_SECONDS: u32 = 2;
/// Steps of the search once a rate was too much: it ends within 6 % of the truth.
const HALVES: u32 = 4;
/// Share of the calls that must complete at a rate that is carried.
const CARRIED: f64 = 0.995;

/// Offer more than the appliance can do
///
/// Finds how many calls per second the appliance carries, then offers as many, twice and ten times as many, with
/// shedding and without. Then it lets one address flood it with INVITEs and garbage, with ten times the messages of its
/// capacity, beside honest calls at half of it.
///
/// The generator is no faster than the appliance on a whole core, so the worker is slowed: of each period its thread
/// may run for 1 ms (cpu controller of cgroups). Everything that it does costs what it always costs; only the pauses
/// between are longer, and `overload.target_ms` is set to one and a half of them.
#[derive(clap::Args)]
#[command(after_help = "\
What is printed:
  offered    calls begun per second, also as a multiple of the capacity
  goodput    calls per second in which everything arrived as it should, and its share of the capacity
  refused    calls answered with 503
  silent     calls that had no answer in spite of retransmissions
  broken     calls that had been answered with 200 and did not end properly

Examples:
  trunkline-bench overload
  trunkline-bench overload --json target/bench/overload.json --plot target/bench/overload

Exit status: 0, or 2 when nothing could be measured.")]
pub(crate) struct Arguments {
    /// What the appliance does
    #[arg(long, value_enum, default_value_t = Work::Stateless)]
    work: Work,
    /// Milliseconds of which the worker may run for one
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(2..=100))]
    period_ms: u32,
    /// Length of each run
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(2..=60))]
    seconds: u32,
    /// Multiples of the capacity that are offered
    #[arg(long, value_delimiter = ',', default_value = "1,2,10")]
    factors: Vec<f64>,
    /// Without the runs that shed nothing
    #[arg(long)]
    only_shedding: bool,
    /// Write the result as JSON to this file; - for standard output instead of the report
    #[arg(long, value_name = "FILE")]
    json: Option<String>,
    /// Draw goodput against what was offered, as this file with .svg and .png
    #[arg(long, value_name = "STEM")]
    plot: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// When the system does not start, or carries nothing.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let interrupt = Interrupt::listen()?;
    let network = Network::up(1)?;
    shell::run(
        "ip",
        &[
            "-n",
            Host::Generator.namespace(),
            "address",
            "add",
            &format!("{FLOODER}/24"),
            "dev",
            Host::Generator.interface(),
        ],
    )?;
    let system = system::start(SystemKind::Trunkline, arguments.work, &network, &CORES[..1])?;
    let bench = Bench { arguments, network: &network, system: &system, interrupt };
    Bench::set_overload(0, "")?;
    let _cap = Cap::on_worker(&system.pids()?, CORES[0], arguments.period_ms)?;
    let capacity = bench.capacity()?;
    let mut result = Overloaded {
        version: system.version().to_owned(),
        work: arguments.work,
        period_ms: arguments.period_ms,
        seconds: arguments.seconds,
        capacity_calls_per_second: capacity,
        points: Vec::new(),
        flood: None,
    };
    let targets = [0, arguments.period_ms * 3 / 2];
    for target_ms in targets.into_iter().skip(usize::from(arguments.only_shedding)) {
        Bench::set_overload(target_ms, "")?;
        for factor in &arguments.factors {
            let report = bench.calls(capacity * factor, arguments.seconds)?;
            eprintln!(
                "{factor}x offered, {}",
                if target_ms > 0 { "shedding" } else { "without shedding" }
            );
            result.points.push(Point::new(target_ms > 0, *factor, capacity, &report));
        }
    }
    result.flood = Some(bench.flood(capacity)?);
    if let Some(stem) = &arguments.plot {
        report::plot(&result, stem)?;
    }
    if let Some(path) = arguments.json.as_deref() {
        return json::write(&result, path);
    }
    print!("{result}");
    Ok(())
}

/// What the runs have in common.
struct Bench<'a> {
    arguments: &'a Arguments,
    network: &'a Network,
    system: &'a System,
    interrupt: Interrupt,
}

impl Bench<'_> {
    /// Changes `[overload]` of the running appliance; 0 sheds nothing.
    fn set_overload(target_ms: u32, sources: &str) -> Result<()> {
        let directory = Path::new(DIRECTORY).join(SystemKind::Trunkline.to_string());
        let file = directory.join("trunkline.toml");
        let text = std::fs::read_to_string(&file).context("the appliance's configuration")?;
        let before = text.split("\n[overload]").next().unwrap_or_default();
        let interval_ms = target_ms.max(25) * 4;
        let text = format!(
            "{before}\n[overload]\ntarget_ms = {target_ms}\ninterval_ms = {interval_ms}\n\n{sources}"
        );
        std::fs::write(&file, text).context("the appliance's configuration")?;
        let program = control::process::beside_us("trunkline")?;
        let socket = directory.join("run/api.sock");
        let output = Command::new(program).args(["reload", "--socket"]).arg(socket).output()?;
        ensure!(
            output.status.success(),
            "reload: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(())
    }

    /// Calls per second that are carried: nearly all of them complete. Doubled until that fails, then by halves.
    fn capacity(&self) -> Result<f64> {
        let carries = |rate: f64| -> Result<bool> {
            let report = self.calls(rate, SEARCH_SECONDS)?;
            let is_carried = report.failed_share <= 1.0 - CARRIED;
            let verdict = if is_carried { "carried" } else { "too much" };
            eprintln!("{rate:.0} calls/s: {verdict}");
            Ok(is_carried)
        };
        let mut rate = FIRST_RATE;
        while carries(rate)? {
            rate *= 2.0;
        }
        ensure!(
            rate > FIRST_RATE,
            "not even {rate:.0} calls/s are carried: try a shorter --period-ms"
        );
        let (mut low, mut high) = (rate / 2.0, rate);
        for _ in 0..HALVES {
            let middle = f64::midpoint(low, high);
            if carries(middle)? { low = middle } else { high = middle }
        }
        Ok(low)
    }

    /// Places calls at this rate.
    fn calls(&self, rate: f64, seconds: u32) -> Result<LoadReport> {
        self.system.usage()?; // Is it alive?
        ensure!(!self.interrupt.is_set(), "interrupted");
        let output = self.load(rate, seconds)?.output().context("the generator")?;
        if !matches!(output.status.code(), Some(0 | 1)) {
            bail!("the generator: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        serde_json::from_slice(&output.stdout).context("the generator's report")
    }

    fn load(&self, rate: f64, seconds: u32) -> Result<Command> {
        let mut command = self.ourselves()?;
        command.args(["load", &Scenario::Proxy200.to_string(), "--quiet", "--json", "-"]);
        command.args(["--core", &CORES[1].to_string(), "--rate", &format!("{rate:.0}")]);
        command.args(["--seconds", &seconds.to_string()]);
        command.args(["--hold-ms", "1000", "--patience", "4", "--target", &SIP.to_string()]);
        command.args(["--caller", &format!("{GENERATOR_ADDRESS}:{CALLER_PORT}")]);
        command.args(["--callee", &format!("{GENERATOR_ADDRESS}:{CALLEE_PORT}")]);
        command.stdin(Stdio::null());
        Ok(command)
    }

    /// This program, in the generator's namespace.
    fn ourselves(&self) -> Result<Command> {
        let bench = std::env::current_exe().context("where is this program?")?;
        Ok(self.network.command_in(Host::Generator, bench, &CORES[1..]))
    }

    /// Honest calls at half the capacity beside a flood of ten times its messages, with and without limits.
    fn flood(&self, capacity: f64) -> Result<Flooded> {
        let honest = capacity / 2.0;
        // A call is six messages of its two sides.
        let rate = capacity * 6.0 * 10.0;
        let target_ms = self.arguments.period_ms * 3 / 2;
        let limits = "[overload.sources]\nrate = 100\nburst = 100\nban_after_seconds = 1\n";
        let mut shares = [0.0; 2];
        for (share, sources) in shares.iter_mut().zip(["", limits]) {
            Self::set_overload(target_ms, sources)?;
            let mut flood = self.ourselves()?;
            flood.args([
                "flood",
                "--from",
                &format!("{FLOODER}:6500"),
                "--rate",
                &rate.to_string(),
            ]);
            flood.args(["--seconds", &self.arguments.seconds.to_string()]);
            let mut flood = flood.stdin(Stdio::null()).spawn().context("the flood")?;
            let report = self.calls(honest, self.arguments.seconds);
            flood.wait()?;
            let report = report?;
            *share = 1.0 - report.failed_share;
        }
        let [without, with] = shares;
        Ok(Flooded {
            honest_calls_per_second: honest,
            flood_messages_per_second: rate,
            completed_share_without_limits: without,
            completed_share_with_limits: with,
        })
    }
}
