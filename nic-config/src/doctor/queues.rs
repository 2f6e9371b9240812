//! Rings, channels and RSS of kernel NICs against the port that is planned on them.

use super::ethtool::{Channels, Rings};
use super::nic::Nic;
use super::{Case, Finding, Findings, Level};
use crate::settings::{Device, PortSettings};

/// A burst of a millisecond at 2 million frames a second.
const RING_WANTED: u32 = 2048;

pub(super) fn check(case: Case<'_>) -> Vec<Finding> {
    let mut found = Findings::of("queues");
    for nic in case.nics {
        let port = case.port_of(nic);
        descriptors(nic, port, &mut found);
        if nic.interface.is_none() {
            continue;
        }
        if let Some(rings) = nic.ethtool.rings {
            ring(nic, rings, &mut found);
        }
        channels(case, nic, port, &mut found);
    }
    let mut rss = Findings::of("rss");
    for nic in case.nics.iter().filter(|nic| nic.interface.is_some()) {
        hashing(nic, case.port_of(nic), &mut rss);
    }
    for (port, nic) in case.nics.iter().filter_map(|nic| Some((case.port_of(nic)?, nic))) {
        pci_rss(nic, port, &mut rss);
    }
    found.list.append(&mut rss.list);
    found.list
}

fn ring(nic: &Nic, rings: Rings, found: &mut Findings) {
    let Rings { rx, rx_max, tx, tx_max } = rings;
    let name = &nic.name;
    let seen =
        format!("{name}: rings of {rx} rx (at most {rx_max}) and {tx} tx ({tx_max}) descriptors");
    let wanted = RING_WANTED.min(rx_max);
    if rx >= wanted {
        found.ok(seen);
        return;
    }
    let effect =
        "a burst that comes while the driver is late is lost (rx_missed, rx_out_of_buffer)";
    found.add(Level::Advice, seen, effect, format!("ethtool -G {name} rx {wanted}"));
}

/// What a port asks of a driver that has less.
fn descriptors(nic: &Nic, port: Option<&PortSettings>, found: &mut Findings) {
    let Some((port, profile)) = port.zip(nic.profile()) else { return };
    let most = profile.descriptors_max.unwrap_or(u16::MAX);
    let wanted = port.rx_descriptors.max(port.tx_descriptors);
    if matches!(port.device, Device::Pci(_)) && wanted > most {
        found.add(
            Level::Warning,
            format!("port {:?} wants {wanted} descriptors, {} has {most}", port.name, profile.name),
            "it gets fewer",
            format!("rx_descriptors = {most}, tx_descriptors = {most}"),
        );
    }
}

fn channels(case: Case<'_>, nic: &Nic, port: Option<&PortSettings>, found: &mut Findings) {
    let name = &nic.name;
    let real = case.server.machine.interfaces.get(name).map(|known| u32::from(known.rx_queues));
    let (have, most, set) = match (nic.ethtool.channels, real) {
        (Some(Channels { rx, rx_max, are_combined: true }), _) => (rx, rx_max, "combined"),
        (Some(Channels { rx, rx_max, .. }), _) => (rx, rx_max, "rx"),
        (None, Some(real)) => (real, real, "combined"),
        (None, None) => return,
    };
    let seen = format!("{name}: {have} receive queues of {most}");
    let Some(port) = port else {
        found.ok(seen);
        return;
    };
    let queues = u32::from(port.queues);
    let seen = format!("{seen}, port {:?} has {queues}", port.name);
    if have == queues {
        found.ok(seen);
    } else if have > queues {
        found.add(
            Level::Warning,
            seen,
            "RSS spreads over all of them, and SIP on the others goes to the kernel",
            format!("ethtool -L {name} {set} {queues}, or raise queues and lcores.workers"),
        );
    } else if most >= queues {
        let mend = format!("ethtool -L {name} {set} {queues}");
        found.add(Level::Fault, seen, "the data plane does not start", mend);
    } else {
        let mend = format!("queues = {most}, and as many lcores.workers");
        found.add(Level::Fault, seen, "the data plane does not start", mend);
    }
}

/// Whether flows spread at all.
fn hashing(nic: &Nic, port: Option<&PortSettings>, found: &mut Findings) {
    let name = &nic.name;
    let queues = port.map_or_else(
        || nic.ethtool.channels.map_or(1, |channels| channels.rx),
        |port| u32::from(port.queues),
    );
    match (nic.ethtool.reta, nic.ethtool.key_bytes) {
        (Some(entries), key) => {
            let key = key.map_or_else(
                || "a key that it hides".into(),
                |bytes| format!("a key of {bytes} bytes"),
            );
            found.ok(format!("{name}: table of {entries} entries, {key}"));
        }
        (None, _) if queues > 1 => found.add(
            Level::Advice,
            format!("{name}: its driver shows no RSS table"),
            "nobody can tell or change which queue a flow reaches",
            "count what arrives instead: trunkline status",
        ),
        (None, _) => found.ok(format!("{name}: no RSS table, and one queue needs none")),
    }
    let hashed = [("udp4", nic.ethtool.hashes_udp4_ports), ("udp6", nic.ethtool.hashes_udp6_ports)];
    let flows: Vec<_> =
        hashed.iter().filter(|(_, ports)| *ports == Some(false)).map(|(flow, _)| *flow).collect();
    if queues > 1 && !flows.is_empty() {
        let mend: Vec<_> = flows
            .iter()
            .map(|flow| format!("ethtool -N {name} rx-flow-hash {flow} sdfn"))
            .collect();
        found.add(
            Level::Warning,
            format!("{name} hashes addresses only for {}", flows.join(" and ")),
            "all flows of a peer reach one queue, whatever their ports",
            mend.join("; "),
        );
    }
}

/// RSS by DPDK, as far as the driver has it.
fn pci_rss(nic: &Nic, port: &PortSettings, found: &mut Findings) {
    let is_pci = matches!(port.device, Device::Pci(_));
    let Some(profile) = nic.profile().filter(|_| is_pci && port.queues > 1) else { return };
    let Some(rss) = profile.rss else { return };
    found.ok(format!(
        "{}: DPDK's {} has tables of {} entries, a key of {} bytes, and hashes {}",
        nic.name, profile.name, rss.reta, rss.key_bytes, rss.fields
    ));
    if profile.queues_max.is_some_and(|most| port.queues > most) {
        found.add(
            Level::Fault,
            format!(
                "port {:?} has {} queues, {} at most {:?}",
                port.name, port.queues, profile.name, profile.queues_max
            ),
            "the port does not start",
            "fewer queues and lcores.workers",
        );
    }
}
