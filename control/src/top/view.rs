//! One frame of the live view.

use super::Rates;
use super::rates::Work;
use crate::status_report::grouped;
use control_api::operator::{MemberReport, MemberState};
use control_api::status::{STAGES, Status};
use ratatui::backend::TestBackend;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Cell, Paragraph, Row, Table};
use ratatui::{Frame, Terminal};

/// Draws what happened, and the members that are not simply in use (none when control does not answer).
pub fn draw(frame: &mut Frame<'_>, rates: &Rates, members: Option<&[MemberReport]>) {
    let (queues, workers) = (rates.queues().len(), rates.now.workers.len());
    let rows = |count: usize| u16::try_from(count + 2).unwrap_or(u16::MAX);
    let impaired = impaired(members);
    let heights = [
        Constraint::Length(3),
        Constraint::Length(rows(rates.lcores().len())),
        Constraint::Length(rows(rates.stages().len())),
        Constraint::Length(rows(queues)),
        Constraint::Length(rows(workers)),
        Constraint::Length(rows(impaired.len())),
        Constraint::Min(2),
    ];
    let [head, lcores, stages, queues, workers, members_area, drops] =
        Layout::vertical(heights).areas(frame.area());
    frame.render_widget(Paragraph::new(heading(rates)), head);
    frame.render_widget(lcore_table(rates), lcores);
    frame.render_widget(stage_table(rates), stages);
    frame.render_widget(queue_table(rates), queues);
    frame.render_widget(worker_table(rates), workers);
    frame.render_widget(table(&["member", "state", "why"], &[32, 10, 60], impaired), members_area);
    frame.render_widget(drop_table(rates), drops);
}

/// One frame as text, without colours and empty lines at the end.
///
/// # Errors
/// None that a picture in memory has.
pub fn once(
    rates: &Rates,
    members: Option<&[MemberReport]>,
    size: (u16, u16),
) -> anyhow::Result<String> {
    as_text(size, |frame| draw(frame, rates, members))
}

/// What `draw` draws on so many columns and lines, without colours and empty lines at the end.
pub(crate) fn as_text(
    (width, height): (u16, u16),
    draw: impl FnOnce(&mut Frame<'_>),
) -> anyhow::Result<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height))?;
    terminal.draw(draw)?;
    let buffer = terminal.backend().buffer();
    let line = |y: u16| {
        let cells = (0..width).filter_map(|x| buffer.cell((x, y)));
        let text: String = cells.map(ratatui::buffer::Cell::symbol).collect();
        text.trim_end().to_owned()
    };
    let lines: Vec<_> = (0..height).map(line).collect();
    Ok(lines.join("\n").trim_end().to_owned())
}

fn heading(rates: &Rates) -> Vec<Line<'static>> {
    let Status { pid, epoch, mbufs_in_use, mbufs_total, .. } = &rates.now;
    let unaccounted: i128 = rates.now.queues.iter().map(|queue| queue.unaccounted().abs()).sum();
    let law = match unaccounted {
        0 => "every packet accounted for".to_owned(),
        count => format!("{count} PACKETS NOT ACCOUNTED FOR"),
    };
    let (used, total) = (grouped((*mbufs_in_use).into()), grouped((*mbufs_total).into()));
    let seconds = rates.time.as_secs_f64();
    vec![
        Line::from(format!("trunkline  data plane pid {pid}, epoch {epoch}   {law}")),
        Line::from(format!("mbufs {used} of {total}   rates over {seconds:.1} s   q quits")),
        Line::default(),
    ]
}

fn lcore_table(rates: &Rates) -> Table<'static> {
    let names = ["lcore", "busy", "messages/s", "bursts/s", "messages/burst", "ns/message"];
    let row = |(lcore, work): &(u16, Work)| {
        vec![
            lcore.to_string(),
            format!("{:.1} %", 100.0 * work.busy),
            rate(work.messages),
            rate(work.bursts),
            format!("{:.2}", work.per_burst),
            format!("{:.0}", work.ns_per_message),
        ]
    };
    let rows = rates.lcores().iter().map(row).collect();
    table(&names, &[8, 9, 14, 14, 16, 12], rows)
}

/// Nanoseconds for each message, in the order in which it meets the stages.
fn stage_table(rates: &Rates) -> Table<'static> {
    let names: Vec<_> = ["ns by stage"].into_iter().chain(STAGES).collect();
    let rows = rates.stages().into_iter().map(|(lcore, stages)| {
        let first = std::iter::once(format!("lcore {lcore}"));
        first.chain(stages.iter().map(|ns| format!("{ns:.0}"))).collect()
    });
    let widths = [12, 8, 8, 8, 8, 8, 9, 10, 12, 8, 8, 9];
    table(&names, &widths, rows.collect())
}

fn queue_table(rates: &Rates) -> Table<'static> {
    let names = [
        "port",
        "queue",
        "lcore",
        "received/s",
        "transmitted/s",
        "dropped/s",
        "messages/burst",
        "ns/message",
    ];
    let rows = rates.queues().into_iter().map(|(queue, work)| {
        vec![
            queue.port.clone(),
            queue.queue.to_string(),
            queue.lcore.to_string(),
            rate(work.messages),
            rate(work.transmitted),
            rate(work.dropped),
            format!("{:.2}", work.per_burst),
            format!("{:.0}", work.ns_per_message),
        ]
    });
    table(&names, &[12, 6, 6, 14, 14, 12, 16, 12], rows.collect())
}

fn worker_table(rates: &Rates) -> Table<'static> {
    let names = [
        "worker",
        "transactions",
        "opened/s",
        "sent again/s",
        "timed out/s",
        "bindings",
        "registered/s",
        "timer lag",
        "spilled/s",
        "taken in/s",
    ];
    let rows = rates.since.workers.iter().map(|worker| {
        let (t, l) = (&worker.transactions, &worker.location);
        vec![
            format!("lcore {}", worker.lcore),
            grouped(t.alive),
            rate(rates.each_second(t.opened)),
            rate(rates.each_second(t.retransmitted)),
            rate(rates.each_second(t.timed_out)),
            grouped(l.bindings),
            rate(rates.each_second(l.registered + l.refreshed)),
            format!("{} ms", t.timer_lag_ms),
            rate(rates.each_second(worker.spilled)),
            rate(rates.each_second(worker.spilled_in)),
        ]
    });
    table(&names, &[10, 14, 12, 14, 13, 14, 14, 10, 12, 12], rows.collect())
}

fn drop_table(rates: &Rates) -> Table<'static> {
    let rows = rates.drops().into_iter().map(|(reason, now, total)| {
        vec![reason.name().to_owned(), rate(now), grouped(total), reason.help().to_owned()]
    });
    table(
        &["drops", "each second", "since start", "what moves it"],
        &[24, 13, 15, 80],
        rows.collect(),
    )
}

/// Members that are not simply in use.
fn impaired(members: Option<&[MemberReport]>) -> Vec<Vec<String>> {
    let Some(members) = members else {
        return vec![vec!["control does not answer".into(), String::new(), String::new()]];
    };
    let impaired = members.iter().filter(|member| member.state != MemberState::Up);
    let row = |member: &MemberReport| {
        let MemberReport { set, address, state, reason, .. } = member;
        vec![format!("{set} {address}"), state.name().to_owned(), reason.clone()]
    };
    impaired.map(row).collect()
}

/// A table whose numbers stand to the right under their names.
pub(crate) fn table(
    names: &[&'static str],
    widths: &[u16],
    rows: Vec<Vec<String>>,
) -> Table<'static> {
    let cell = |text: String| {
        let is_number = text.starts_with(|c: char| c.is_ascii_digit());
        let line = Line::from(text);
        Cell::from(if is_number { line.right_aligned() } else { line })
    };
    let header = names.iter().zip(first_kinds(&rows, names.len())).map(|(name, is_number)| {
        let line = Line::from(*name);
        Cell::from(if is_number { line.right_aligned() } else { line })
    });
    let style = Style::new().fg(Color::Cyan).add_modifier(Modifier::BOLD);
    let header = Row::new(header.collect::<Vec<_>>()).style(style);
    let rows = rows.into_iter().map(|row| Row::new(row.into_iter().map(cell).collect::<Vec<_>>()));
    let widths = widths.iter().map(|width| Constraint::Length(*width));
    Table::new(rows.collect::<Vec<_>>(), widths.collect::<Vec<_>>())
        .header(header)
        .column_spacing(1)
}

/// Whether each column of the first row holds a number.
fn first_kinds(rows: &[Vec<String>], columns: usize) -> Vec<bool> {
    let Some(first) = rows.first() else { return vec![false; columns] };
    first.iter().map(|text| text.starts_with(|c: char| c.is_ascii_digit())).collect()
}

/// A rate with commas; small ones with a decimal.
pub(crate) fn rate(number: f64) -> String {
    if number > 0.0 && number < 10.0 {
        return format!("{number:.1}");
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate is a small positive number"
    )]
    grouped(number.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::{once, rate};
    use crate::top::{Moment, Rates};
    use control_api::DropReason;
    use control_api::status::{QueueStatus, Status, WorkerStatus};
    use std::time::{Duration, Instant};

    #[test]
    fn a_frame_shows_cores_queues_workers_and_drops() {
        let status = |received: u64| {
            let mut dropped = vec![0; DropReason::COUNT];
            dropped[DropReason::NoRoute as usize] = received / 100;
            let queue = QueueStatus {
                port: "outside".into(),
                lcore: 2,
                received,
                forwarded: received - received / 100,
                dropped,
                bursts: received,
                busy_ns: received * 400,
                ..QueueStatus::default()
            };
            let worker = WorkerStatus { lcore: 2, ..WorkerStatus::default() };
            Status {
                pid: 42,
                epoch: 7,
                queues: vec![queue],
                workers: vec![worker],
                ..Status::default()
            }
        };
        let start = Instant::now();
        let before = Moment { status: status(1_000), at: start };
        let after = Moment { status: status(101_000), at: start + Duration::from_secs(1) };
        let text = once(&Rates::between(&before, &after), Some(&[]), (132, 24)).unwrap();
        for expected in [
            "pid 42, epoch 7",
            "every packet accounted for",
            "outside",
            "100,000",
            "400",
            "no_route",
            "1,000",
            DropReason::NoRoute.help(),
            "lcore 2",
        ] {
            assert!(text.contains(expected), "{expected} is missing in\n{text}");
        }
    }

    #[test]
    fn rates_are_short() {
        assert_eq!([rate(0.0), rate(0.25), rate(12.4), rate(1e6)], ["0", "0.2", "12", "1,000,000"]);
    }
}
