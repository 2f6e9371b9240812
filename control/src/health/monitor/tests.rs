//! The monitor without its sockets: outcomes are given.

use super::super::machine::Outcome;
use super::Monitor;
use crate::config::{AllDown, DestinationSet, Probe};
use crate::testing::set;
use control_api::operator::MemberState::{Down, Draining, Probing, Up};
use control_api::operator::{MemberReport, MemberState};
use control_api::{UnreachableHost, UnreachableSign};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

fn address(host: u8) -> SocketAddr {
    ([192, 0, 2, host], 5060).into()
}

fn probed(name: &str, hosts: &[u8]) -> DestinationSet {
    let addresses: Vec<_> = hosts.iter().copied().map(address).collect();
    DestinationSet { probe: Some(Probe::default()), ..set(name, &addresses) }
}

fn monitor(sets: &[DestinationSet], directory: &Path) -> Monitor {
    Monitor::new(sets, directory.join("members.json")).unwrap().0
}

/// `count` probes of a host come to this.
fn probe(monitor: &mut Monitor, host: u8, count: usize, outcome: &Outcome) {
    for _ in 0..count {
        monitor.take_outcome((address(host), Probe::default()), outcome, Instant::now());
        monitor.publish();
    }
}

/// What the data plane was told.
fn told(monitor: &Monitor) -> Vec<(SocketAddr, MemberState)> {
    monitor.states.borrow().iter().map(|member| (member.address, member.state)).collect()
}

/// What operators see.
fn seen(monitor: &Monitor) -> Vec<(MemberState, bool)> {
    let of = |report: &MemberReport| (report.state, report.is_in_use);
    monitor.report(Instant::now()).iter().map(of).collect()
}

const WELL: Outcome = Outcome::Answered(200);
const SILENT: Outcome = Outcome::TimedOut;

#[test]
fn a_member_that_fails_goes_and_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let mut monitor = monitor(&[probed("core", &[1, 2])], directory.path());
    assert_eq!(told(&monitor), []);
    probe(&mut monitor, 1, 1, &WELL);
    probe(&mut monitor, 2, 3, &SILENT);
    assert_eq!(told(&monitor), [(address(2), Down)]);
    assert_eq!(seen(&monitor), [(Up, true), (Down, false)]);
    probe(&mut monitor, 2, 1, &WELL);
    assert_eq!(told(&monitor), [(address(2), Probing)]);
    probe(&mut monitor, 2, 1, &WELL);
    assert_eq!(told(&monitor), []);
}

#[test]
fn a_set_that_is_down_goes_on_unless_it_is_to_answer_503() {
    for (all_down, is_in_use) in [(AllDown::Keep, true), (AllDown::Unavailable, false)] {
        let directory = tempfile::tempdir().unwrap();
        let core = DestinationSet { all_down, ..probed("core", &[1, 2]) };
        let mut monitor = monitor(&[core], directory.path());
        probe(&mut monitor, 1, 3, &SILENT);
        probe(&mut monitor, 2, 3, &Outcome::Answered(503));
        assert_eq!(told(&monitor).is_empty(), is_in_use);
        assert_eq!(seen(&monitor), [(Down, is_in_use), (Down, is_in_use)]);
    }
}

#[test]
fn drained_members_stay_out_even_when_all_others_are_down() {
    let directory = tempfile::tempdir().unwrap();
    let mut monitor = monitor(&[probed("core", &[1, 2])], directory.path());
    monitor.drain("core".into(), address(1), true, Instant::now()).unwrap();
    probe(&mut monitor, 2, 3, &SILENT);
    assert_eq!(told(&monitor), [(address(1), Draining)]);
    monitor.drain("core".into(), address(1), false, Instant::now()).unwrap();
    monitor.publish();
    assert_eq!(told(&monitor), [(address(2), Down)]);
    let error = monitor.drain("core".into(), address(9), true, Instant::now()).unwrap_err();
    assert_eq!(error, "core has no member 192.0.2.9:5060, but 192.0.2.1:5060, 192.0.2.2:5060");
}

#[test]
fn a_restart_of_control_changes_nothing_before_it_has_probed() {
    let directory = tempfile::tempdir().unwrap();
    let sets = [probed("core", &[1, 2, 3])];
    let mut first = monitor(&sets, directory.path());
    probe(&mut first, 1, 1, &WELL);
    probe(&mut first, 2, 3, &SILENT);
    first.drain("core".into(), address(3), true, Instant::now()).unwrap();
    first.publish();
    let mut second = monitor(&sets, directory.path());
    assert_eq!(told(&second), [(address(2), Down), (address(3), Draining)]);
    probe(&mut second, 2, 2, &WELL);
    assert_eq!(seen(&second), [(Up, true), (Up, true), (Draining, false)]);
}

#[test]
fn a_new_configuration_keeps_the_health_of_those_that_stay() {
    let directory = tempfile::tempdir().unwrap();
    let mut monitor = monitor(&[probed("core", &[1, 2])], directory.path());
    probe(&mut monitor, 1, 1, &WELL);
    probe(&mut monitor, 2, 3, &SILENT);
    let off = DestinationSet { probe: None, ..probed("other", &[2]) };
    monitor.configure(vec![probed("core", &[1, 2, 4]), off], Instant::now());
    assert_eq!(seen(&monitor), [(Up, true), (Down, false), (Up, true), (Up, true)]);
}

#[test]
fn signs_of_the_own_kernel_count_and_icmp_hastens_the_probe() {
    let directory = tempfile::tempdir().unwrap();
    let mut monitor = monitor(&[probed("core", &[1, 2])], directory.path());
    probe(&mut monitor, 1, 1, &WELL);
    probe(&mut monitor, 2, 1, &WELL);
    let now = Instant::now();
    assert_eq!(monitor.take_due(now), []);
    let sign = |host, sign| UnreachableHost { address: address(host), sign, reports: 1 };
    monitor.take_signs(&[sign(1, UnreachableSign::Port)], now);
    assert_eq!(monitor.take_due(now), [(address(1), Probe::default())]);
    assert_eq!(monitor.take_due(now + Duration::from_secs(1)), [], "one probe at a time");
    for _ in 0..3 {
        monitor.take_signs(&[sign(2, UnreachableSign::Neighbour)], now);
    }
    assert_eq!(seen(&monitor), [(Up, true), (Down, false)]);
}
