//! Puts a configuration into force: looks at all of it first, and changes nothing unless all of it can be changed.

use super::changes::Change;
use super::history::History;
use super::report::{Report, Verdict};
use super::restart::{differences, without_fixed};
use super::{Loaded, Running};
use crate::audit::Audit;
use crate::config::{Config, ConfigError};
use crate::live::Live;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{error, info};

/// A wish to change the configuration.
#[derive(Clone, Debug)]
pub struct Wish {
    /// What to change to.
    pub source: Source,
    /// How far to go.
    pub extent: Extent,
    /// Who wishes it, as the audit log names them.
    pub who: String,
}

/// Where the new configuration stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// In the file.
    File,
    /// Here.
    Text(String),
    /// In this generation.
    Generation(u64),
    /// In the generation before the one in force.
    Previous,
}

/// How far to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Only say what would change.
    DryRun,
    /// All or nothing.
    Whole,
    /// What can be changed now; what needs a restart waits for one.
    Partial,
}

/// Wishes on their way to the [`Manager`].
#[derive(Clone, Debug)]
pub struct Wishes(mpsc::Sender<(Wish, oneshot::Sender<Report>)>);

/// The other end of [`Wishes`].
pub type Wished = mpsc::Receiver<(Wish, oneshot::Sender<Report>)>;

impl Wishes {
    /// A way for wishes.
    pub fn channel() -> (Self, Wished) {
        let (sender, receiver) = mpsc::channel(crate::limits::CHANGES_WAITING_MAX);
        (Self(sender), receiver)
    }

    /// Says what became of a wish; none when control is ending.
    pub async fn ask(&self, wish: Wish) -> Option<Report> {
        let (answer, answered) = oneshot::channel();
        self.0.send((wish, answer)).await.ok()?;
        answered.await.ok()
    }
}

/// Owns the configuration in force.
#[derive(Debug)]
pub struct Manager {
    /// What the others see of it.
    pub running: watch::Sender<Arc<Running>>,
    /// Where it has an effect.
    pub live: Live,
    /// What was in force before.
    pub history: History,
    /// Where it is written down who changed what.
    pub audit: Audit,
}

impl Manager {
    /// Does what is wished, if it can be done, and writes down what became of it.
    pub async fn take(&mut self, wish: Wish) -> Report {
        let report = match self.find(&wish.source) {
            Ok(new) => self.change(new, &wish).await,
            Err(refused) => *refused,
        };
        if wish.extent != Extent::DryRun {
            self.write_down(&wish, &report);
        }
        report
    }

    /// The configuration that is wished.
    fn find(&self, source: &Source) -> Result<Loaded, Box<Report>> {
        let running = self.running.borrow().clone();
        let (file, number) = (&running.loaded.file, running.generation.number);
        let kept = |wanted: u64| -> Result<Result<Loaded, ConfigError>, Box<Report>> {
            let (_, text) = self.history.text(wanted).map_err(|error| {
                let note = Some(format!("{error:#}"));
                Box::new(Report { note, ..Report::new(Verdict::Refused, number) })
            })?;
            Ok(Loaded::parse(file, text))
        };
        let loaded = match source {
            Source::File => Loaded::read(file),
            Source::Text(text) => Loaded::parse(file, text.clone()),
            Source::Generation(wanted) => kept(*wanted)?,
            Source::Previous => kept(self.previous(number))?,
        };
        loaded.map_err(|error| Box::new(Report::broken(&error, number)))
    }

    /// The newest generation below `number`.
    fn previous(&self, number: u64) -> u64 {
        let before = self.history.list().into_iter().map(|generation| generation.number);
        before.filter(|before| *before < number).max().unwrap_or(0)
    }

    async fn change(&mut self, new: Loaded, wish: &Wish) -> Report {
        let running = self.running.borrow().clone();
        let number = running.generation.number;
        let changes = differences(&running.loaded, &new);
        let restarts: BTreeSet<String> = changes
            .iter()
            .filter(|change| change.restart.is_some())
            .map(|change: &Change| change.setting.clone())
            .collect();
        let is_same = changes.is_empty() && new.text == running.loaded.text;
        let report = |verdict| Report { changes: changes.clone(), ..Report::new(verdict, number) };
        match wish.extent {
            Extent::DryRun if is_same => return report(Verdict::Unchanged),
            Extent::DryRun => return report(Verdict::WouldChange),
            Extent::Whole if !restarts.is_empty() => {
                let note = Some(
                    "start the processes named above again with the new file, or ask for the rest alone (--partial)"
                        .to_owned(),
                );
                return Report { note, ..report(Verdict::NeedsRestart) };
            }
            Extent::Whole | Extent::Partial => {}
        }
        let config = without_fixed(&new.config, &running.loaded.config);
        let epoch = match self.live.put_into_force(&running.loaded.config, &config).await {
            Ok(epoch) => epoch,
            Err(why) => {
                return Report { note: Some(format!("{why:#}")), ..report(Verdict::Refused) };
            }
        };
        let verdict = if is_same { Verdict::Unchanged } else { Verdict::InForce };
        let waiting = restarts.into_iter().collect();
        let report = Report { epoch, waiting, ..report(verdict) };
        self.keep(&running, new, config, report, &wish.who)
    }

    /// Makes it the running one, and remembers it as the newest generation.
    fn keep(
        &self,
        running: &Running,
        new: Loaded,
        config: Config,
        mut report: Report,
        who: &str,
    ) -> Report {
        let mut next = running.clone();
        next.broken_file = None;
        next.waiting.clone_from(&report.waiting);
        if report.verdict == Verdict::InForce {
            match self.history.keep(&new.file, &new.text, who) {
                Ok(generation) => next.generation = generation,
                Err(error) => {
                    error!("in force, but not kept for rollback or the next start: {error:#}");
                    report.note = Some(format!("in force, but not kept: {error:#}"));
                }
            }
        }
        next.loaded = Loaded { config, ..new };
        report.generation = next.generation.number;
        self.running.send_replace(Arc::new(next));
        report
    }

    fn write_down(&self, wish: &Wish, report: &Report) {
        let what = match wish.source {
            Source::File | Source::Text(_) => "reload",
            Source::Generation(_) | Source::Previous => "rollback",
        };
        let outcome = match report.verdict {
            Verdict::InForce => "done",
            Verdict::Unchanged => "unchanged",
            _ => "refused",
        };
        let changes: Vec<_> = report.changes.iter().map(ToString::to_string).collect();
        let detail = json!({
            "generation": report.generation,
            "epoch": report.epoch,
            "changes": changes,
            "note": report.note,
        });
        self.audit.write(&wish.who, what, outcome, detail);
        if report.is_good() {
            info!(who = wish.who, "{what}: {}", report.line());
        } else {
            let note = report.note.as_deref().unwrap_or_default();
            error!(who = wish.who, "{what} {}\n{note}", report.line());
        }
    }
}
