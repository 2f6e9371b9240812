//! Host names, for people.

use crate::status_report::grouped;
use control_api::NamesStatus;
use control_api::status::WorkerStatus;
use std::fmt;

/// What control and the workers did about names, in a few lines.
#[derive(Clone, Copy, Debug)]
pub struct NamesSummary<'a> {
    /// Control's part.
    pub control: &'a NamesStatus,
    /// The workers' part.
    pub workers: &'a [WorkerStatus],
}

impl NamesSummary<'_> {
    /// Whether any request went to a name.
    pub fn is_of_interest(&self) -> bool {
        let is_used = |worker: &WorkerStatus| worker.names.hits > 0 || worker.names.waited > 0;
        self.control.questions > 0 || self.workers.iter().any(is_used)
    }
}

impl fmt::Display for NamesSummary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { control, workers } = self;
        let servers: Vec<_> = control.servers.iter().map(ToString::to_string).collect();
        let servers = if servers.is_empty() { "NONE".to_owned() } else { servers.join(", ") };
        let linked = if control.is_linked { "" } else { "; THE DATA PLANE CANNOT ASK" };
        writeln!(f, "names        servers {servers}{linked}")?;
        let [questions, hits, queries, found, negative, stale, failed, cached] = [
            control.questions,
            control.hits,
            control.queries,
            control.found,
            control.negative,
            control.stale,
            control.failed,
            control.cached,
        ]
        .map(grouped);
        writeln!(
            f,
            "control: {questions} questions, {hits} answered from memory, {found} found by {queries} queries, \
             {negative} lead nowhere, {stale} stale, {failed} failed; {cached} in memory"
        )?;
        writeln!(
            f,
            "{:<12} {:>8} {:>12} {:>8} {:>10} {:>8} {:>10} {:>8} {:>8} {:>9}",
            "lcore",
            "cached",
            "known",
            "stale",
            "waited",
            "wait",
            "nowhere",
            "failed",
            "full",
            "too late"
        )?;
        for WorkerStatus { lcore, names, .. } in *workers {
            let [cached, hits, stale, waited, waiting] =
                [names.cached, names.hits, names.stale, names.waited, names.waiting].map(grouped);
            let [nowhere, failed, full, late] =
                [names.no_such_name, names.failed, names.refused_full, names.timed_out]
                    .map(grouped);
            writeln!(
                f,
                "{lcore:<12} {cached:>8} {hits:>12} {stale:>8} {waited:>10} {waiting:>8} {nowhere:>10} \
                 {failed:>8} {full:>8} {late:>9}"
            )?;
        }
        if !control.trouble.is_empty() {
            writeln!(f, "last trouble: {}", control.trouble)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use control_api::status::NameStatus;

    #[test]
    fn a_summary_says_who_is_asked_and_what_came_of_it() {
        let control = NamesStatus {
            servers: vec!["192.0.2.53:53".parse().unwrap()],
            questions: 1_234,
            stale: 2,
            trouble: "no name server answers".into(),
            ..NamesStatus::default()
        };
        let names = NameStatus { timed_out: 7, ..NameStatus::default() };
        let workers = [WorkerStatus { lcore: 3, names, ..WorkerStatus::default() }];
        let summary = NamesSummary { control: &control, workers: &workers };
        let text = summary.to_string();
        assert!(summary.is_of_interest());
        assert!(text.starts_with("names        servers 192.0.2.53:53; THE DATA PLANE"), "{text}");
        assert!(text.contains("1,234 questions") && text.contains("2 stale"), "{text}");
        assert!(text.ends_with("7\nlast trouble: no name server answers\n"), "{text}");
    }
}
