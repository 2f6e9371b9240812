//! What each port is and was granted, for people.

use control_api::status::PortStatus;
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

fn or_none(text: &str) -> String {
    if text.is_empty() { "none".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
