//! Flows as the workers of an appliance count them now.

use control_api::PortFlows;
use nic_config::rss::Tuple;
use nic_config::rss::planner::Flow;
use std::net::IpAddr;

/// The flows to these addresses, or to all when there are none; their weights are messages or bytes each second.
pub fn flows(now: &PortFlows, by_bytes: bool, to: &[IpAddr]) -> Vec<Flow> {
    let counted =
        now.flows.iter().filter(|flow| to.is_empty() || to.contains(&flow.destination.ip()));
    let flows = counted.filter_map(|flow| {
        // Both ends stood in one datagram.
        let tuple = Tuple::new(flow.source, flow.destination).ok()?;
        Some(Flow { tuple, weight: if by_bytes { flow.bytes } else { flow.messages } })
    });
    flows.filter(|flow| flow.weight > 0.0).collect()
}

#[cfg(test)]
mod tests {
    use super::flows;
    use control_api::{FlowRate, PortFlows};

    #[test]
    fn rates_become_weights() {
        let rate = |source: &str, destination: &str, messages| FlowRate {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            queue: 0,
            messages,
            bytes: 500.0 * messages,
        };
        let now = PortFlows {
            flows: vec![
                rate("192.0.2.1:5060", "198.51.100.1:5060", 70.0),
                rate("[2001:db8::1]:5060", "[2001:db8::2]:5060", 30.0),
                rate("192.0.2.2:5060", "198.51.100.1:5060", 0.0),
            ],
            ..PortFlows::default()
        };
        let shown = |by_bytes, to: &[_]| -> Vec<_> {
            let flows = flows(&now, by_bytes, to);
            flows.iter().map(|flow| (flow.tuple.source().port(), flow.weight)).collect()
        };
        assert_eq!(shown(false, &[]), [(5060, 70.0), (5060, 30.0)]);
        assert_eq!(shown(true, &["2001:db8::2".parse().unwrap()]), [(5060, 15_000.0)]);
    }
}
