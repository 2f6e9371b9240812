//! One frame of the live view of a port.

use super::{FlowLine, QueueLoad, View};
use crate::top::{as_text, rate, table};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::text::Line;
use ratatui::widgets::{Paragraph, Table};

/// Characters of the longest bar.
const BAR: f64 = 40.0;

/// Draws what happens on a port.
pub fn draw(frame: &mut Frame<'_>, view: &View) {
    let head = heading(view);
    let rows = |count: usize| u16::try_from(count).unwrap_or(u16::MAX);
    let heights = [
        Constraint::Length(rows(head.len())),
        Constraint::Length(rows(view.queues.len() + 2)),
        Constraint::Min(2),
    ];
    let [top, queues, flows] = Layout::vertical(heights).areas(frame.area());
    frame.render_widget(Paragraph::new(head), top);
    frame.render_widget(queue_table(view), queues);
    frame.render_widget(flow_table(view), flows);
}

/// One frame as text.
///
/// # Errors
/// None that a picture in memory has.
pub fn once(view: &View, size: (u16, u16)) -> anyhow::Result<String> {
    as_text(size, |frame| draw(frame, view))
}

fn heading(view: &View) -> Vec<Line<'static>> {
    let View { port, seconds, flow_seconds, max_over_mean, .. } = view;
    let driver = view.driver.as_ref().map_or_else(String::new, |driver| format!(", {driver}"));
    let mut lines = vec![
        Line::from(format!(
            "port {port}{driver}   queues over {seconds:.1} s, flows over {flow_seconds:.0} s   q quits"
        )),
        Line::from(format!("max/mean {max_over_mean:.2} of what the queues received")),
    ];
    match (&view.plan, &view.no_plan) {
        (Some(plan), _) => lines.push(Line::from(format!(
            "a plan that keeps the key: max/mean {:.2} -> {:.2} by {} entries; best possible {:.2}; {} elephants",
            plan.before, plan.after, plan.entries_changed, plan.best_possible, plan.elephants
        ))),
        (None, Some(reason)) => lines.push(Line::from(format!("no plan: {reason}"))),
        (None, None) => {}
    }
    if let Some(rebalance) = &view.rebalance {
        let (state, rounds, entries) = (&rebalance.state, rebalance.rounds, rebalance.entries);
        lines.push(Line::from(format!(
            "rebalance: {state}; {entries} entries moved in {rounds} rounds, {} failures",
            rebalance.failures
        )));
        if let Some(last) = &rebalance.last {
            let ago = last.seconds_ago;
            lines.push(Line::from(format!("last moved {ago} s ago: {}", last.reason)));
        }
    }
    lines.push(Line::default());
    lines
}

fn queue_table(view: &View) -> Table<'static> {
    let fullest = view.queues.iter().map(|queue| queue.of_mean).fold(0.0, f64::max);
    let row = |queue: &QueueLoad| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a length of 0 to BAR"
        )]
        let bar = (queue.of_mean / fullest.max(1.0) * BAR).round() as usize;
        vec![
            queue.queue.to_string(),
            queue.lcore.to_string(),
            rate(queue.messages),
            format!("{:.2}", queue.of_mean),
            format!("{:.1} %", 100.0 * queue.busy),
            format!("{:.2}", queue.per_burst),
            "#".repeat(bar),
        ]
    };
    let names = ["queue", "lcore", "received/s", "of mean", "busy", "messages/burst", ""];
    let rows = view.queues.iter().map(row).collect();
    table(&names, &[6, 6, 14, 8, 8, 15, 42], rows)
}

fn flow_table(view: &View) -> Table<'static> {
    let is_elephant = |flow: &FlowLine| view.queues.len() > 1 && flow.of_mean > 1.0;
    let row = |flow: &FlowLine| {
        let FlowLine { rate: of, share, of_mean } = flow;
        vec![
            rate(of.messages),
            format!("{:.1} %", 100.0 * share),
            format!("{of_mean:.2}"),
            of.queue.to_string(),
            format!("{} -> {}", of.source, of.destination),
            if is_elephant(flow) { "elephant: no table can split it" } else { "" }.to_owned(),
        ]
    };
    let mut rows: Vec<_> = view.flows.iter().map(row).collect();
    if view.other_flows > 0 {
        let (others, messages) = (view.other_flows, rate(view.other_messages));
        let none = String::new;
        rows.push(vec![
            messages,
            none(),
            none(),
            none(),
            format!("{others} further flows"),
            none(),
        ]);
    }
    let names = ["messages/s", "share", "of mean", "queue", "flow", ""];
    // Addresses begin with digits and yet stand to the left.
    for row in &mut rows {
        row[4].insert(0, ' ');
    }
    table(&names, &[14, 8, 8, 6, 52, 32], rows)
}

#[cfg(test)]
mod tests {
    use super::super::tests::looks;
    use super::{View, once};
    use control_api::status::{RebalanceRound, RebalanceStatus};

    #[test]
    fn a_frame_shows_queues_flows_the_plan_and_what_moved() {
        let [before, mut after] = looks();
        after.counters.status.rebalances.push(RebalanceStatus {
            port: "core".into(),
            state: "even".into(),
            rounds: 2,
            entries: 5,
            last: Some(RebalanceRound {
                seconds_ago: 7,
                reason: "the fullest queue had 1.60".into(),
                ..RebalanceRound::default()
            }),
            ..RebalanceStatus::default()
        });
        after.flows.flows[0].messages = 50_000.0;
        let view = View::between(&before, &after);
        let text = once(&view, (132, 30)).unwrap();
        for expected in [
            "port core, net_ice   queues over 2.0 s, flows over 30 s",
            "a plan that keeps the key: max/mean ",
            "rebalance: even; 5 entries moved in 2 rounds, 0 failures",
            "last moved 7 s ago: the fullest queue had 1.60",
            "########",
            "192.0.2.",
            ":5060 -> 198.51.100.1:5060",
            "elephant: no table can split it",
        ] {
            assert!(text.contains(expected), "{expected} is missing in\n{text}");
        }
    }
}
