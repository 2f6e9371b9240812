//! The namespaces and what joins them.

use super::Host;
use super::shell::{run, run_with_input};
use anyhow::{Context, Result, anyhow};
use nic_config::rss::veth::{Receiver, attach};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

/// Where `ip netns` keeps its namespaces.
const NAMESPACES: &str = "/run/netns";

/// Whether this namespace is there.
pub(super) fn exists(namespace: &str) -> bool {
    Path::new(NAMESPACES).join(namespace).exists()
}

/// The processes in this namespace.
pub(super) fn pids(namespace: &str) -> Result<Vec<u32>> {
    let output = run("ip", &["netns", "pids", namespace])?;
    Ok(output.split_whitespace().filter_map(|pid| pid.parse().ok()).collect())
}

/// Makes a namespace. Interfaces made in it have IPv6, without the second that the search for duplicate addresses
/// takes: the lab knows its addresses.
pub(super) fn add(namespace: &str) -> Result<()> {
    run("ip", &["netns", "add", namespace])?;
    let settings = "cd /proc/sys/net/ipv6/conf && for i in all default lo; do \
                    echo 0 > $i/disable_ipv6; echo 0 > $i/accept_dad; done";
    run("ip", &["netns", "exec", namespace, "sh", "-ec", settings]).map(drop)
}

/// Has fragments wait no longer than they need where an appliance runs. Those of one message arrive within
/// milliseconds; what is left of others makes room for new ones only when its time is over, which is 30 s by default.
pub(super) fn shorten_fragment_times(namespace: &str) -> Result<()> {
    let settings =
        "echo 3 > /proc/sys/net/ipv4/ipfrag_time; echo 3 > /proc/sys/net/ipv6/ip6frag_time";
    run("ip", &["netns", "exec", namespace, "sh", "-ec", settings]).map(drop)
}

/// Removes this namespace, and with it its interfaces.
pub(super) fn remove(namespace: &str) -> Result<()> {
    run("ip", &["netns", "delete", namespace]).map(drop)
}

/// Makes the three namespaces and the two veth pairs, with addresses, up.
pub(super) fn make(queues: u16) -> Result<()> {
    for host in Host::ALL {
        add(host.namespace())?;
    }
    let pair = |ours: &str, host: Host| {
        format!(
            "link add {ours} netns {} numrxqueues {queues} numtxqueues {queues} type veth \
             peer name eth0 netns {} numrxqueues {queues} numtxqueues {queues}\n",
            Host::Sut.namespace(),
            host.namespace()
        )
    };
    run_with_input("ip", &["-batch", "-"], &(pair("uac0", Host::Uac) + &pair("uas0", Host::Uas)))?;
    shorten_fragment_times(Host::Sut.namespace())?;
    bring_up(Host::Sut, &[("uac0", "10.77.1.1", "fd77:1::1"), ("uas0", "10.77.2.1", "fd77:2::1")])?;
    bring_up(Host::Uac, &[("eth0", "10.77.1.2", "fd77:1::2")])?;
    bring_up(Host::Uas, &[("eth0", "10.77.2.2", "fd77:2::2")])
}

fn bring_up(host: Host, interfaces: &[(&str, &str, &str)]) -> Result<()> {
    let lines = |(interface, v4, v6): &(&str, &str, &str)| {
        format!(
            "address add {v4}/24 dev {interface}\n\
             address add {v6}/64 dev {interface} nodad\n\
             link set {interface} up\n"
        )
    };
    let batch: String = interfaces.iter().map(lines).collect();
    let batch = format!("link set lo up\n{batch}");
    run_with_input("ip", &["-n", host.namespace(), "-batch", "-"], &batch).map(drop)
}

/// Has what the appliance's `queues` receive chosen by key and table, as a NIC with RSS does.
pub(super) fn spread(queues: u16) -> Result<()> {
    for (ours, host) in [("uac0", Host::Uac), ("uas0", Host::Uas)] {
        within(Host::Sut, || Receiver::here(ours, queues))
            .and_then(|receiver| within(host, || attach("eth0", receiver)))
            .with_context(|| format!("RSS for {ours} cannot be played in {}", host.namespace()))?;
    }
    Ok(())
}

/// Works in a thread of its own that enters the namespace of this host and ends there.
fn within<T: Send>(host: Host, work: impl FnOnce() -> io::Result<T> + Send) -> Result<T> {
    let enter = || {
        let namespace = File::open(Path::new(NAMESPACES).join(host.namespace()))?;
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
        work()
    };
    let ended = std::thread::scope(|scope| scope.spawn(enter).join());
    Ok(ended.map_err(|_| anyhow!("a thread panicked"))??)
}
