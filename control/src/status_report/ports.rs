//! What each port is and was granted, for people.

use control_api::status::{PortStatus, RebalanceStatus};
use std::fmt::Write;

/// One line for each port; nothing when there are none.
pub(super) fn table(ports: &[PortStatus]) -> String {
    let mut table = String::new();
    if ports.is_empty() {
        return table;
    }
    let head = ("port", "driver", "MTU", "RSS", "table", "UDP checksums", "other offloads");
    let (port, driver, mtu, rss, reta, checksums, others) = head;
    let _ = writeln!(
        table,
        "{port:<12} {driver:<14} {mtu:>5} {rss:<28} {reta:>5} {checksums:<14} {others}"
    );
    for port in ports {
        let PortStatus { name, driver, mtu, rss_fields, reta_size, .. } = port;
        let rss = or_none(&rss_fields.join(","));
        let checksums = if port.nic_checksums { "by the NIC" } else { "software" };
        let offloads = port.rx_offloads.iter().chain(&port.tx_offloads);
        let others: Vec<_> =
            offloads.filter(|name| *name != "udp_cksum").map(String::as_str).collect();
        let others = or_none(&others.join(","));
        let _ = writeln!(
            table,
            "{name:<12} {driver:<14} {mtu:>5} {rss:<28} {reta_size:>5} {checksums:<14} {others}"
        );
    }
    table
}

/// How the ports stand that are kept even; nothing when there are none.
pub(super) fn rebalance_table(ports: &[RebalanceStatus]) -> String {
    if ports.is_empty() {
        return String::new();
    }
    let mut table = format!(
        "{:<12} {:>8} {:>7} {:>8} {:>8}  state\n",
        "rebalance", "max/mean", "rounds", "entries", "failures"
    );
    for port in ports {
        let RebalanceStatus { port, max_over_mean, rounds, entries, failures, state, .. } = port;
        let _ = writeln!(
            table,
            "{port:<12} {max_over_mean:>8.2} {rounds:>7} {entries:>8} {failures:>8}  {state}"
        );
    }
    for RebalanceStatus { port, last, .. } in ports {
        let Some(last) = last else { continue };
        let moves =
            last.moves.iter().map(|one| format!("{} {} -> {}", one.entry, one.from, one.to));
        let (moves, ago, reason) =
            (moves.collect::<Vec<_>>().join(", "), last.seconds_ago, &last.reason);
        let _ = writeln!(table, "{port} {ago} s ago, entry and queues: {moves}; {reason}");
    }
    table
}

fn or_none(text: &str) -> String {
    if text.is_empty() { "none".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use control_api::status::{EntryMove, RebalanceRound};

    #[test]
    fn grants_stand_in_a_line() {
        let port = |name: &str, nic_checksums| PortStatus {
            name: name.into(),
            driver: "net_ice".into(),
            mtu: 1500,
            rss_fields: vec!["ipv4".into(), "ipv4-udp".into()],
            reta_size: 512,
            tx_offloads: vec!["udp_cksum".into(), "mbuf_fast_free".into()],
            nic_checksums,
            ..PortStatus::default()
        };
        let text = table(&[
            port("core", true),
            PortStatus { driver: "net_null".into(), ..port("edge", false) },
        ]);
        let lines: Vec<_> = text.lines().collect();
        assert!(
            lines[1].contains("ipv4,ipv4-udp")
                && lines[1].contains("by the NIC     mbuf_fast_free"),
            "{text}"
        );
        assert!(lines[2].contains("net_null") && lines[2].contains("software"), "{text}");
        assert_eq!(table(&[]), "");
    }

    #[test]
    fn what_was_moved_is_said_with_its_reason() {
        let moves = vec![EntryMove { entry: 17, from: 1, to: 0 }];
        let reason = "the fullest queue had 1.60 of the mean load for 30 s".to_owned();
        let status = RebalanceStatus {
            port: "core".into(),
            state: "even".into(),
            max_over_mean: 1.125,
            rounds: 3,
            entries: 7,
            last: Some(RebalanceRound { seconds_ago: 12, reason, moves }),
            ..RebalanceStatus::default()
        };
        let text = rebalance_table(&[status]);
        let lines: Vec<_> = text.lines().collect();
        let words: Vec<_> = lines[1].split_whitespace().collect();
        assert_eq!(words, ["core", "1.12", "3", "7", "0", "even"], "{text}");
        assert!(
            lines[2].starts_with("core 12 s ago, entry and queues: 17 1 -> 0; the fullest"),
            "{text}"
        );
        assert_eq!(rebalance_table(&[]), "");
    }
}
