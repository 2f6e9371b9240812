//! The members of destination sets, for people and as JSON.

use crate::dataplane_link;
use control_api::operator::MemberReport;
use control_api::status::Status;
use std::fmt::{self, Write};
use std::path::Path;

/// The members with what the data plane at this socket has heard of their load; without it, when it is away.
pub(crate) async fn with_loads(
    mut members: Vec<MemberReport>,
    dataplane: &Path,
) -> Vec<MemberReport> {
    if let Ok(status) = dataplane_link::status(dataplane).await {
        set_loads(&mut members, &status);
    }
    members
}

/// Adds what the data plane has heard of the load of members.
pub(crate) fn set_loads(members: &mut [MemberReport], status: &Status) {
    for member in members {
        let heard = status.member_loads.iter().find(|load| load.member == member.address);
        member.load = heard.map(|heard| heard.load);
    }
}

/// The members of all sets, ready to be shown.
#[derive(Clone, Debug)]
pub struct MemberTable<'a>(pub &'a [MemberReport]);

impl fmt::Display for MemberTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |least: usize, text: fn(&MemberReport) -> String| {
            self.0.iter().map(|member| text(member).len()).fold(least, usize::max)
        };
        let set = width(3, |member| member.set.clone());
        let address = width(6, |member| member.address.to_string());
        let is_asked = self.0.iter().any(|member| member.load.is_some());
        let loads = if is_asked {
            format!("  {:>5}  {:>9}  {:>9}", "fewer", "diverted", "refused")
        } else {
            String::new()
        };
        let mut lines = format!(
            "{:<set$}  {:<address$}  {:<8}  {:<6}  {:>8}{loads}  why\n",
            "set", "member", "state", "in use", "since"
        );
        for member in self.0 {
            let load = if is_asked { load(member) } else { String::new() };
            let in_use = if member.is_in_use { "yes" } else { "no" };
            let _ = writeln!(
                lines,
                "{:<set$}  {:<address$}  {:<8}  {in_use:<6}  {:>8}{load}  {}",
                member.set,
                member.address.to_string(),
                member.state.name(),
                lasted(member.for_ms),
                member.reason
            );
        }
        f.write_str(&lines)
    }
}

/// What a member wants fewer, and what became of that.
fn load(member: &MemberReport) -> String {
    let Some(load) = member.load else { return format!("  {:>5}  {:>9}  {:>9}", "-", "-", "-") };
    let fewer = format!("{} %", load.percent);
    format!("  {fewer:>5}  {:>9}  {:>9}", load.diverted, load.refused)
}

/// How long something has lasted, in the unit that people would choose.
fn lasted(ms: u64) -> String {
    let seconds = ms / 1_000;
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::{MemberTable, lasted};
    use control_api::operator::{MemberReport, MemberState};
    use control_api::status::MemberLoad;

    #[test]
    fn columns_fit_what_stands_in_them() {
        let member = |set: &str, address: &str, state, is_in_use, for_ms| MemberReport {
            set: set.into(),
            address: address.parse().unwrap(),
            state,
            is_in_use,
            for_ms,
            reason: "answered OPTIONS with 200".into(),
            load: None,
        };
        let mut members = [
            member("core", "192.0.2.1:5060", MemberState::Up, true, 5_000),
            member("a-long-name", "[2001:db8::1]:5060", MemberState::Draining, false, 7_300_000),
        ];
        let text = MemberTable(&members).to_string();
        let columns: Vec<_> = text.lines().map(|line| line.find(['w', 'a']).is_some()).collect();
        assert_eq!(columns.len(), 3);
        assert!(text.contains("draining  no           2 h  answered"), "{text}");
        assert!(text.contains("up        yes          5 s  answered"), "{text}");
        let load =
            MemberLoad { percent: 20, diverted: 7, refused: 1_234_567, ..MemberLoad::default() };
        members[0].load = Some(load);
        let text = MemberTable(&members).to_string();
        assert!(text.contains("5 s   20 %          7    1234567  answered"), "{text}");
        assert!(text.contains("2 h      -          -          -  answered"), "{text}");
    }

    #[test]
    fn time_is_told_in_the_unit_people_would_choose() {
        for (ms, text) in [(999, "0 s"), (119_000, "119 s"), (120_000, "2 min")] {
            assert_eq!(lasted(ms), text);
        }
        assert_eq!(lasted(7_200_000), "2 h");
        assert_eq!(lasted(400_000_000), "4 days");
    }
}
