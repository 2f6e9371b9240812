//! What a first stage costs: the messages of registrations and calls through one worker, by turns with the settings of a
//! first stage of so many members and with those of plain forwarding to one fixed place.

mod report;

use super::Arguments;
use super::lcore::{Rate, give_settings, poll, rate, worker_without_routes};
use super::measure::plan;
use crate::cluster::capture;
use crate::disturbance::Watch;
use crate::{hugepages, pcap};
use anyhow::{Context as _, Result, ensure};
use dataplane::mbuf::DpdkQueues;
use dataplane::probe::NoProbe;
use dataplane::stats::QueueCounters;
use dataplane::testing::{appliance::Appliance, appliance::lab_settings, lcore::run_on_lcores};
use report::FirstStageReport;
use sip_core::{Action, DestinationSet, HashKey, ListenPoint, Member, Rule, Settings};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Users whose messages are in the capture: few enough that it stays in the cache.
const USERS: u32 = 32;
/// Second-stage nodes among which the first stage chooses.
const MEMBERS: [u16; 3] = [1, 2, 3];
/// Rounds of all settings, one after the other; medians of them count.
const ROUNDS: u32 = 15;
/// A round gets this part of `--seconds` for each settings.
const PART: u32 = 3;

/// What the lcore found: the rates of all settings, plain forwarding first, in each round.
struct Found {
    rounds: Vec<[Rate; 1 + MEMBERS.len()]>,
    received: u64,
    forwarded: u64,
}

/// Runs the scenario.
///
/// # Errors
/// One line that says what is missing.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let lcores = &arguments.lcores[arguments.lcores.len() - 1..];
    let folder = tempfile::Builder::new().prefix("trunkline-bench-").tempdir()?;
    let file = folder.path().join("first-stage.pcap");
    let frames = capture::first_stage(&mut appliance(&first_stage(3)), USERS);
    pcap::write(&file, &frames)?;
    let _hugepages = hugepages::reserve();
    let plan = plan(lcores, &file)?;
    let watch = Watch::start(lcores)?;
    eprintln!("pipeline: {ROUNDS} rounds of plain forwarding and a first stage");
    let length = arguments.length() / PART;
    let found = run_on_lcores(&plan, Path::new(""), move |_, queues| work(queues, length))?;
    let found = found.into_iter().next().context("no lcore measured")?;
    let disturbance = watch.finish(&[])?;
    let (received, forwarded) = (found.received, found.forwarded);
    ensure!(received == forwarded, "{forwarded} of {received} messages were sent on");
    let report = FirstStageReport::new(&found, plan.memory.hugepages, disturbance);
    if let Some(path) = arguments.json.as_deref() {
        crate::json::write(&report, path)?;
    }
    if arguments.json.as_deref() != Some("-") {
        report::print(&report)?;
    }
    Ok(())
}

fn work(queues: DpdkQueues, length: Duration) -> Found {
    let clock = quanta::Clock::new();
    let counters: Arc<QueueCounters> = Arc::default();
    let (mut worker, service) = worker_without_routes(queues, &counters, &clock, NoProbe);
    let [one, two, three] = MEMBERS.map(first_stage);
    let all = [plain(), one, two, three];
    give_settings(&mut worker, &service, &all[0]);
    poll(&mut worker, length); // Warm-up.
    let mut round = || {
        all.each_ref().map(|settings| {
            give_settings(&mut worker, &service, settings);
            rate(&mut worker, &counters, length)
        })
    };
    let rounds = (0..ROUNDS).map(|_| round()).collect();
    Found { rounds, received: counters.received.get(), forwarded: counters.forwarded.get() }
}

/// Settings of a first-stage node with so many members.
fn first_stage(members: u16) -> Settings {
    let set = DestinationSet { hash: HashKey::Aor, ..set(members) };
    with(set, true)
}

/// Settings that forward the same to one fixed place.
fn plain() -> Settings {
    with(set(1), false)
}

fn set(members: u16) -> DestinationSet {
    let host = capture::SECOND_STAGE.parse::<core::net::SocketAddr>().expect("an address");
    let member = |number| Member::new((host.ip(), host.port() + number).into());
    DestinationSet {
        name: "users".to_owned(),
        members: (0..members).map(member).collect(),
        ..DestinationSet::default()
    }
}

fn with(set: DestinationSet, path: bool) -> Settings {
    Settings {
        domains: vec![control::lab::DOMAIN.to_owned()],
        listen: vec![ListenPoint::udp(capture::NODE.parse().expect("an address"))],
        rules: vec![Rule { path, ..Rule::always(Action::Forward(set.name.clone())) }],
        sets: vec![set],
        ..lab_settings()
    }
}

/// A worker in memory with these settings.
fn appliance(settings: &Settings) -> Appliance {
    Appliance::with_clock(settings, &quanta::Clock::new())
}

#[cfg(test)]
mod tests {
    use super::{MEMBERS, appliance, capture, first_stage, plain};
    use std::collections::BTreeSet;

    #[test]
    fn all_settings_forward_all_messages() {
        let frames = capture::first_stage(&mut appliance(&first_stage(3)), 4);
        assert_eq!(frames.len(), 4 * capture::MESSAGES.iter().sum::<usize>());
        for settings in MEMBERS.map(first_stage).iter().chain([&plain()]) {
            let mut appliance = appliance(settings);
            assert!(frames.iter().all(|frame| appliance.forward(frame).is_some()));
        }
    }

    #[test]
    fn a_first_stage_spreads_users_and_keeps_what_is_about_one_together() {
        use dataplane::packet::PacketBuf as _;
        let mut appliance = appliance(&first_stage(3));
        let frames = capture::first_stage(&mut appliance, 20);
        // REGISTER and INVITE of each user: the port that they leave for.
        let mut port = |frame: &Vec<u8>| {
            let sent = appliance.forward(frame).unwrap();
            u16::from_be_bytes([sent.frame()[36], sent.frame()[37]])
        };
        let ports: Vec<[u16; 2]> =
            frames.chunks(13).map(|user| [port(&user[0]), port(&user[2])]).collect();
        assert!(ports.iter().all(|[register, invite]| register == invite));
        assert_eq!(ports.iter().map(|[port, _]| *port).collect::<BTreeSet<_>>().len(), 3);
    }
}
