//! The preflight: what on this server would keep a data plane from starting, or from being fast, and the command that
//! mends it.
//!
//! 1. [`server`] reads `/proc` and `/sys`, below a root of the caller's choice, so that a tree taken from another server
//!    does as well.
//! 2. [`nic`] and [`ethtool`] read what there is to know about one NIC.
//! 3. The checks, one module for each area, are pure functions over both.
//!
//! Nothing is changed, and nothing but files and what `ethtool` prints is read.

mod cores;
pub mod ethtool;
mod hugepages;
mod interrupts;
mod iommu;
mod links;
pub mod nic;
mod numa;
mod offloads;
mod queues;
pub mod server;

use serde::Serialize;

use crate::plan::{PlanError, plan};
use crate::settings::{Device, NicSettings, PortSettings};
use ethtool::Ask;
use nic::Nic;
use server::Server;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Could be better.
    Advice,
    /// Costs throughput, or sends traffic where it should not go.
    Warning,
    /// The data plane does not start, or messages are lost.
    Fault,
}

impl Level {
    /// All of them, the worst first.
    pub const ALL: [Self; 4] = [Self::Fault, Self::Warning, Self::Advice, Self::Ok];

    /// As it is printed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Advice => "advice",
            Self::Warning => "warning",
            Self::Fault => "fault",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub level: Level,
    /// Plan, hugepages, iommu, driver, link, numa, cores, interrupts, queues, rss, offloads or granted.
    pub area: &'static str,
    /// What was seen.
    pub seen: String,
    /// What comes of it; empty when all is well.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub effect: String,
    /// The command that mends it, or the setting; empty where there is none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mend: String,
}

/// Findings of one area, as its check writes them down.
struct Findings {
    area: &'static str,
    list: Vec<Finding>,
}

impl Findings {
    fn of(area: &'static str) -> Self {
        Self { area, list: Vec::new() }
    }

    fn ok(&mut self, seen: impl Into<String>) {
        self.add(Level::Ok, seen, "", "");
    }

    fn add(
        &mut self,
        level: Level,
        seen: impl Into<String>,
        effect: impl Into<String>,
        mend: impl Into<String>,
    ) {
        let (seen, effect, mend) = (seen.into(), effect.into(), mend.into());
        self.list.push(Finding { level, area: self.area, seen, effect, mend });
    }
}

/// What is looked at, and what for.
#[derive(Clone, Copy, Debug)]
struct Case<'a> {
    server: &'a Server,
    nics: &'a [Nic],
    /// The hardware part of a configuration, when there is one.
    settings: Option<&'a NicSettings>,
}

impl<'a> Case<'a> {
    /// The lcores of the workers; none without a configuration.
    fn workers(&self) -> &'a [u16] {
        self.settings.map_or(&[], |settings| &settings.lcores.workers)
    }

    /// The ports of the configuration.
    fn ports(&self) -> &'a [PortSettings] {
        self.settings.map_or(&[], |settings| &settings.ports)
    }

    /// The port that a NIC is for.
    fn port_of(&self, nic: &Nic) -> Option<&'a PortSettings> {
        self.ports().iter().find(|port| match &port.device {
            Device::Interface(name) => nic.interface.as_ref() == Some(name),
            Device::Pci(address) => nic.pci.as_deref() == Some(&address.to_ascii_lowercase()),
            Device::Vdev(_) => false,
        })
    }

    /// Whether workers poll without a pause, so that anything else on their cores costs frames.
    fn is_polling(&self) -> bool {
        self.settings.is_some_and(|settings| settings.lcores.idle == crate::settings::Idle::Poll)
    }
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What the server has.
    pub server: Server,
    /// The NICs that were looked at.
    pub nics: Vec<Nic>,
    /// What the ports of the data plane that runs were granted; empty when none runs.
    pub granted: Vec<Granted>,
    /// The worst first; within a level in the order of the areas.
    pub findings: Vec<Finding>,
}

/// What a driver of DPDK's granted a port at its start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Granted {
    /// Name of the port.
    pub name: String,
    /// DPDK's driver.
    pub driver: String,
    /// What RSS hashes.
    pub rss_fields: Vec<String>,
    /// Offloads that are on.
    pub offloads: Vec<String>,
    /// Whether the NIC computes the UDP checksums of what we send.
    pub nic_checksums: bool,
}

impl Report {
    /// Findings of one level.
    pub fn of(&self, level: Level) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |finding| finding.level == level)
    }

    /// Adds what the ports of a data plane that runs were granted.
    pub fn add_granted(&mut self, ports: Vec<Granted>) {
        let mut found = Findings::of("granted");
        for port in &ports {
            let Granted { name, driver, rss_fields, offloads, nic_checksums } = port;
            let or_none = |list: &[String]| match list {
                [] => "none".to_owned(),
                list => list.join(","),
            };
            let by = if *nic_checksums { "the NIC" } else { "software" };
            found.ok(format!(
                "port {name:?} runs on {driver}: RSS over {}, UDP checksums by {by}, offloads {}",
                or_none(rss_fields),
                or_none(offloads),
            ));
        }
        self.findings.append(&mut found.list);
        self.granted = ports;
    }

    /// Whether something is at fault.
    pub fn has_faults(&self) -> bool {
        self.of(Level::Fault).next().is_some()
    }
}

/// Looks at a server and the NICs of `settings`, or at those named, or at all that have hardware.
///
/// # Errors
/// The name of an interface that is not there.
pub fn examine(
    server: Server,
    settings: Option<&NicSettings>,
    interfaces: &[String],
    ask: Ask<'_>,
) -> Result<Report, String> {
    let nics = nics(&server, settings, interfaces, ask)?;
    let case = Case { server: &server, nics: &nics, settings };
    let checks = [
        planned(case),
        hugepages::check(case),
        iommu::check(case),
        links::check(case),
        numa::check(case),
        cores::check(case),
        interrupts::check(case),
        queues::check(case),
        offloads::check(case),
    ];
    let mut findings: Vec<_> = checks.into_iter().flatten().collect();
    findings.sort_by_key(|finding| core::cmp::Reverse(finding.level));
    Ok(Report { server, nics, granted: Vec::new(), findings })
}

fn nics(
    server: &Server,
    settings: Option<&NicSettings>,
    interfaces: &[String],
    ask: Ask<'_>,
) -> Result<Vec<Nic>, String> {
    let ports = settings.map_or(&[][..], |settings| &settings.ports);
    let interface = |name: &String| {
        let known = server.machine.interfaces.contains_key(name);
        let names = || server.machine.interfaces.keys().cloned().collect::<Vec<_>>().join(", ");
        if known {
            Ok(Nic::interface(server, name, ask))
        } else {
            Err(format!("{name}: no such interface; there are {}", names()))
        }
    };
    if !interfaces.is_empty() {
        return interfaces.iter().map(interface).collect();
    }
    if settings.is_some() {
        // What is not there is a fault of the plan.
        let nic = |port: &PortSettings| match &port.device {
            Device::Interface(name) => interface(name).ok(),
            Device::Pci(address) => Nic::pci(server, &address.to_ascii_lowercase()),
            Device::Vdev(_) => None,
        };
        return Ok(ports.iter().filter_map(nic).collect());
    }
    let names = server.machine.interfaces.keys();
    let found = names.map(|name| Nic::interface(server, name, ask));
    let mut found: Vec<_> = found.filter(|nic| nic.pci.is_some()).collect();
    let vfio =
        server.machine.pci.iter().filter(|(_, pci)| pci.driver.as_deref() == Some("vfio-pci"));
    found.extend(vfio.filter_map(|(address, _)| Nic::pci(server, address)));
    Ok(found)
}

/// Whether the data plane would start.
fn planned(case: Case<'_>) -> Vec<Finding> {
    let mut found = Findings::of("plan");
    let Some(settings) = case.settings else { return found.list };
    let mut machine = case.server.machine.clone();
    // The data plane gets its privileges from systemd, whoever asks here.
    machine.capabilities = crate::machine::Capabilities::ALL;
    match plan(settings, &machine) {
        Ok(plan) => {
            let (ports, workers) = (plan.ports.len(), plan.workers.len());
            found.ok(format!(
                "{ports} port(s) on {workers} worker(s), {} MiB",
                plan.memory.mebibytes
            ));
        }
        Err(error) => {
            let (seen, mend) = split(&error);
            found.add(Level::Fault, seen, "the data plane does not start", mend);
        }
    }
    found.list
}

/// What is wrong, and what the refusal says to do.
fn split(error: &PlanError) -> (String, String) {
    let text = error.to_string();
    match text.split_once("; ") {
        Some((seen, mend)) => (seen.to_owned(), mend.trim_start_matches("run: ").to_owned()),
        None => (text, String::new()),
    }
}

/// Numbers in the kernel's list form: `0-3,8`.
fn list(numbers: impl IntoIterator<Item = u16>) -> String {
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    let text = |(first, last): &(u16, u16)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    ranges.iter().map(text).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::list;

    #[test]
    fn lists_are_as_the_kernel_writes_them() {
        assert_eq!(list([2, 3, 4, 8, 10, 11]), "2-4,8,10-11");
        assert_eq!(list([]), "");
    }
}
