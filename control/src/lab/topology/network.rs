//! The switch, and a cable from each host to it.

use super::SWITCH;
use super::plan::Node;
use crate::lab::network::{add, shorten_fragment_times};
use crate::lab::shell::run_with_input;
use anyhow::Result;

/// Makes the switch and these hosts, connected.
pub(super) fn make(hosts: &[Node]) -> Result<()> {
    add(SWITCH)?;
    ip(SWITCH, "link add br0 type bridge\nlink set br0 up\nlink set lo up\n")?;
    for node in hosts {
        add(&node.namespace())?;
        if node.is_appliance() {
            shorten_fragment_times(&node.namespace())?;
        }
    }
    let batch: String = hosts.iter().map(|node| pair(*node)).collect();
    run_with_input("ip", &["-batch", "-"], &batch)?;
    let line = |node: &Node| format!("link set {} master br0 up\n", node.name());
    let batch: String = hosts.iter().map(line).collect();
    ip(SWITCH, &batch)?;
    hosts.iter().try_for_each(|node| bring_up(*node))
}

/// The cable: `eth0` at the host, and a port of its name at the switch. One queue at each end.
fn pair(node: Node) -> String {
    format!(
        "link add eth0 netns {} numrxqueues 1 numtxqueues 1 type veth \
         peer name {} netns {SWITCH} numrxqueues 1 numtxqueues 1\n",
        node.namespace(),
        node.name()
    )
}

fn bring_up(node: Node) -> Result<()> {
    let (v4, v6) = (node.v4(), node.v6());
    let batch = format!(
        "link set lo up\n\
         address add {v4}/24 dev eth0\n\
         address add {v6}/64 dev eth0 nodad\n\
         link set eth0 up\n"
    );
    ip(&node.namespace(), &batch)
}

/// Runs these lines of `ip` in a namespace.
pub(super) fn ip(namespace: &str, lines: &str) -> Result<()> {
    run_with_input("ip", &["-n", namespace, "-batch", "-"], lines).map(drop)
}
