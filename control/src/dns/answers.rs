//! What is known of names, and for how long.

use super::Plan;
use super::locate::{Located, locate};
use super::records::Records;
use crate::limits::{NAME_FAILED, NAME_MAX_WAIT, NAME_STALE, NAME_STALE_AFTER};
use anyhow::{Context, Result};
use control_api::{NameAsked, NameReply, NamesStatus, Resolved};
use lru::LruCache;
use std::num::NonZeroUsize;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::time::timeout;
use tracing::warn;

/// The answers, and who finds new ones.
#[derive(Debug)]
pub(super) struct Answers(Mutex<State>);

#[derive(Debug)]
struct State {
    plan: Plan,
    records: Option<Arc<Records>>,
    known: LruCache<NameAsked, Known>,
    /// All but what [`Answers::status`] looks up.
    counts: NamesStatus,
}

/// An answer that was given.
#[derive(Clone, Debug)]
struct Known {
    outcome: Resolved,
    until: Instant,
}

impl Answers {
    pub(super) fn new(plan: Plan) -> Self {
        let known = LruCache::new(room(&plan));
        Self(Mutex::new(State { plan, records: None, known, counts: NamesStatus::default() }))
    }

    /// Goes on by another plan. What is known must be asked again, and helps while nobody answers.
    pub(super) fn follow(&self, plan: Plan) {
        let records = Records::new(&plan);
        self.with(|state| {
            let now = Instant::now();
            for (_, known) in &mut state.known {
                known.until = known.until.min(now);
            }
            state.known.resize(room(&plan));
            state.plan = plan;
            if let Some(before) = state.records.take() {
                state.counts.queries += before.queries.load(Ordering::Relaxed);
            }
            match records {
                Ok(records) => state.records = Some(Arc::new(records)),
                Err(error) => state.trouble(&error),
            }
        });
    }

    pub(super) fn set_linked(&self, is_linked: bool) {
        self.with(|state| state.counts.is_linked = is_linked);
    }

    pub(super) fn status(&self) -> NamesStatus {
        self.with(|state| {
            let records = state.records.as_ref();
            let queries = records.map_or(0, |records| records.queries.load(Ordering::Relaxed));
            NamesStatus {
                servers: records.map(|records| records.servers.clone()).unwrap_or_default(),
                cached: state.known.len() as u64,
                queries: state.counts.queries + queries,
                ..state.counts.clone()
            }
        })
    }

    /// The answer to a question, if it is known.
    pub(super) fn known(&self, asked: &NameAsked) -> Option<NameReply> {
        self.with(|state| {
            state.counts.questions += 1;
            let known = state.known.get(asked)?;
            let left = known.until.checked_duration_since(Instant::now())?;
            let reply = state.plan.reply(asked.clone(), known.outcome.clone(), left);
            state.counts.hits += 1;
            Some(reply)
        })
    }

    /// Finds the answer to a question, or after a while gives what was known before and goes on looking for
    /// it (RFC 8767 section 5).
    pub(super) async fn find(self: Arc<Self>, asked: NameAsked) -> NameReply {
        let Some(stale) = self.stale(&asked) else {
            let found = Arc::clone(&self).look(asked.clone()).await;
            return found.unwrap_or_else(|| self.failed(asked));
        };
        let mut looking = tokio::spawn(Arc::clone(&self).look(asked));
        if let Ok(Ok(Some(found))) = timeout(NAME_STALE_AFTER, &mut looking).await {
            return found;
        }
        self.with(|state| state.counts.stale += 1);
        stale
    }

    fn failed(&self, asked: NameAsked) -> NameReply {
        self.with(|state| {
            state.counts.failed += 1;
            state.plan.reply(asked, Resolved::Failed, NAME_FAILED)
        })
    }

    /// What was known, as an answer that counts for a short while.
    fn stale(&self, asked: &NameAsked) -> Option<NameReply> {
        self.with(|state| {
            let known = state.known.peek(asked)?;
            let is_of_use = matches!(known.outcome, Resolved::Found(_))
                && known.until + state.plan.stale() > Instant::now();
            let reply = || state.plan.reply(asked.clone(), known.outcome.clone(), NAME_STALE);
            is_of_use.then(reply)
        })
    }

    /// Asks the name servers; none when none of them can say anything.
    async fn look(self: Arc<Self>, asked: NameAsked) -> Option<NameReply> {
        let (records, transports) =
            self.with(|state| (state.records.clone(), state.plan.transports.clone()));
        let located: Result<Located> = async {
            let records = records.context("no name server is known")?;
            let located = timeout(NAME_MAX_WAIT, locate(&records, &asked, &transports)).await;
            located.with_context(|| format!("no name server answers for {}", asked.name))?
        }
        .await;
        match located {
            Ok(located) => Some(self.learn(asked, located)),
            Err(error) => {
                self.with(|state| state.trouble(&error));
                None
            }
        }
    }

    fn learn(&self, asked: NameAsked, located: Located) -> NameReply {
        self.with(|state| {
            let Located { addresses, ttl } = located;
            let outcome = if addresses.is_empty() {
                state.counts.negative += 1;
                Resolved::NoSuchName
            } else {
                state.counts.found += 1;
                Resolved::Found(addresses)
            };
            // What the resolver had in its memory may end at this moment.
            let ttl = ttl.max(Duration::from_secs(1));
            let known = Known { outcome: outcome.clone(), until: Instant::now() + ttl };
            state.known.put(asked.clone(), known);
            state.plan.reply(asked, outcome, ttl)
        })
    }

    fn with<R>(&self, act: impl FnOnce(&mut State) -> R) -> R {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn trouble(&mut self, error: &anyhow::Error) {
        self.counts.trouble = format!("{error:#}");
        warn!("names: {}", self.counts.trouble);
    }
}

impl Plan {
    fn stale(&self) -> Duration {
        Duration::from_secs(self.dns.stale_seconds.into())
    }

    fn reply(&self, asked: NameAsked, outcome: Resolved, ttl: Duration) -> NameReply {
        let millis = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        NameReply { asked, outcome, ttl_ms: millis(ttl), stale_ms: millis(self.stale()) }
    }
}

fn room(plan: &Plan) -> NonZeroUsize {
    let names = usize::try_from(plan.dns.names).unwrap_or(usize::MAX);
    NonZeroUsize::new(names).unwrap_or(NonZeroUsize::MIN)
}

#[cfg(test)]
mod tests;
