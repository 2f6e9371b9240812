//! The rows for people.

use super::Row;
use super::cases::{Case, Group};
use std::io::{Result, Write};

/// Prints the rows by group, the others with their ratios to ours.
///
/// # Errors
/// When standard output is closed.
pub(super) fn print(cases: &[&Case], rows: &[Row]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let ns_of = |name: &str| rows.iter().find(|row| row.name == name).map(|row| row.ns);
    let ours = [ns_of("parse_invite_600"), ns_of("forward_invite_600")];
    let groups = [
        (Group::Ours, "the appliance's steps"),
        (Group::Peer, "published Rust parsers on the same INVITE"),
        (Group::Mark, "the craft's marks"),
    ];
    writeln!(
        out,
        "{:<36} {:>9} {:>12} {:>11} {:>8} {:>8}",
        "per iteration", "ns", "instructions", "allocations", "/parse", "/forward"
    )?;
    for (group, title) in groups {
        let members = || cases.iter().zip(rows).filter(|(case, _)| case.group == group);
        if members().next().is_none() {
            continue;
        }
        writeln!(out, "{title}")?;
        for (_, row) in members() {
            let instructions = row.instructions.map_or("-".to_owned(), |count| count.to_string());
            let ratios = ours.map(|ns| match ns {
                Some(ns) if group != Group::Ours => format!("{:.2}", row.ns / ns),
                _ => String::new(),
            });
            let line = format!(
                "  {:<34} {:>9.1} {:>12} {:>11} {:>8} {:>8}",
                row.name, row.ns, instructions, row.allocations, ratios[0], ratios[1]
            );
            writeln!(out, "{}", line.trim_end())?;
        }
    }
    Ok(())
}
