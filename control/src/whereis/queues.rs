//! On which queue and lcore a datagram arrives, as far as anybody but the NIC can tell.

use nic_config::NicPlan;
use nic_config::plan::Rss;
use serde::Serialize;
use sip_core::Transport;

/// Where datagrams of one port arrive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PortQueues {
    /// Name of the port.
    pub port: String,
    /// The queue and the lcore that polls it; more than one when the hardware or the kernel chooses.
    pub queues: Vec<(u16, u16)>,
    /// Who chooses.
    pub chosen_by: &'static str,
}

/// The queues of each port of the plan that datagrams arrive at. What comes over connections arrives at none.
pub fn queues(plan: &NicPlan, transport: Transport) -> Vec<PortQueues> {
    if transport.is_connection() {
        return Vec::new();
    }
    let port = |port: &nic_config::plan::PortPlan| PortQueues {
        port: port.name.clone(),
        queues: plan
            .workers
            .iter()
            .filter(|worker| worker.queue < port.queues)
            .map(|worker| (worker.queue, worker.lcore))
            .collect(),
        chosen_by: match port.rss {
            Rss::Off => "it has one queue",
            Rss::Port => "the NIC chooses by RSS over addresses and ports",
            Rss::Interface => "the interface's kernel driver chooses: see ethtool -x",
        },
    };
    plan.ports.iter().map(port).collect()
}
