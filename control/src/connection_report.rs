//! The connections of control, for people and as JSON.

use crate::status_report::grouped;
use control_api::operator::{ConnectionsStatus, Count};
use std::fmt::{self, Write};

/// What there is and what has been, in a few lines; nothing where no connections are configured.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionSummary<'a>(pub &'a ConnectionsStatus);

/// Connections one by one, and their sources.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionList<'a>(pub &'a ConnectionsStatus);

impl fmt::Display for ConnectionSummary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.0;
        if status.threads.is_empty() {
            return f.write_str("connections  none configured\n");
        }
        writeln!(
            f,
            "{:<12} {:>9} {:>11} {:>9} {:>13} {:>15} {:>13} {:>15}",
            "connections", "open", "accepted", "opened", "received", "bytes", "sent", "bytes"
        )?;
        for one in &status.transports {
            let counts = [one.open, one.accepted, one.opened];
            let traffic = [one.received, one.received_bytes, one.sent, one.sent_bytes];
            let [open, accepted, opened] = counts.map(grouped);
            let [received, received_bytes, sent, sent_bytes] = traffic.map(grouped);
            writeln!(
                f,
                "{:<12} {open:>9} {accepted:>11} {opened:>9} {received:>13} {received_bytes:>15} \
                 {sent:>13} {sent_bytes:>15}",
                one.transport
            )?;
        }
        let sum = |of: fn(&control_api::operator::ConnectionThread) -> u64| {
            grouped(status.threads.iter().map(of).sum())
        };
        let linked = status.threads.iter().filter(|thread| thread.is_linked).count();
        writeln!(
            f,
            "threads: {linked} of {} have the data plane; {} bytes wait for peers, {} for the data plane, \
             which was too slow {} times",
            status.threads.len(),
            sum(|thread| thread.waiting_bytes),
            sum(|thread| thread.link_waiting_bytes),
            grouped(status.congestions)
        )?;
        writeln!(
            f,
            "keep-alives answered: {}; messages not sent: {}; without the data plane: {} answered 503, {} dropped",
            grouped(status.pings),
            grouped(status.failed),
            grouped(status.unavailable),
            grouped(status.dropped)
        )?;
        writeln!(f, "ended: {}", counts(&status.ended))?;
        writeln!(f, "refused: {}", counts(&status.refused))
    }
}

impl fmt::Display for ConnectionList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.0;
        writeln!(
            f,
            "{:<9} {:<24} {:<24} {:<10} {:>12} {:>14}",
            "transport", "remote", "local", "stage", "age", "waiting bytes"
        )?;
        for one in &status.list {
            let age = format!("{} s", grouped(one.age_ms / 1_000));
            writeln!(
                f,
                "{:<9} {:<24} {:<24} {:<10} {age:>12} {:>14}",
                one.transport,
                one.remote.to_string(),
                one.local.to_string(),
                one.stage,
                grouped(one.waiting_bytes)
            )?;
        }
        if !status.sources.is_empty() {
            writeln!(f, "\n{:<39} {:>12}", "source", "connections")?;
        }
        for source in &status.sources {
            writeln!(f, "{:<39} {:>12}", source.address.to_string(), grouped(source.count))?;
        }
        Ok(())
    }
}

/// What has happened at all, in one line.
fn counts(counts: &[Count]) -> String {
    let mut line = String::new();
    for Count { reason, count } in counts.iter().filter(|one| one.count > 0) {
        let comma = if line.is_empty() { "" } else { ", " };
        let _ = write!(line, "{comma}{} {reason}", grouped(*count));
    }
    if line.is_empty() { "none".into() } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;
    use control_api::operator::{ConnectionThread, TransportStatus};

    #[test]
    fn a_summary_names_what_happened() {
        let status = ConnectionsStatus {
            threads: vec![ConnectionThread {
                is_linked: true,
                connections: 2,
                ..Default::default()
            }],
            transports: vec![TransportStatus {
                transport: "tcp".into(),
                open: 2,
                accepted: 1_234,
                ..TransportStatus::default()
            }],
            ended: vec![
                Count { reason: "peer".into(), count: 1_230 },
                Count { reason: "late".into(), count: 2 },
                Count { reason: "idle".into(), count: 0 },
            ],
            ..ConnectionsStatus::default()
        };
        let text = ConnectionSummary(&status).to_string();
        assert!(text.contains("ended: 1,230 peer, 2 late\nrefused: none\n"), "{text}");
        assert!(text.contains("1 of 1 have the data plane"), "{text}");
        assert!(ConnectionSummary(&ConnectionsStatus::default()).to_string().contains("none"));
    }
}
