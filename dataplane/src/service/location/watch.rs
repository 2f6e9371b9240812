//! Whether the store can be waited for.

use super::Service;
use crate::limits::STORE_WATCH;
use crate::mailbox::Command;
use core::time::Duration;
use sip_core::{RegistrarSettings, Store};
use tokio::time::{Instant, sleep};

/// What is wrong with the way to the store.
pub(in crate::service) struct Trouble {
    /// Since when control is away.
    away_since: Option<Instant>,
    /// What control says of its store.
    ill: Option<String>,
    /// Where an older store lies.
    pub(super) set_aside: Option<String>,
    /// Why, and since when, workers answer from memory.
    pub(super) degraded: Option<(String, Instant)>,
    /// How often that began.
    pub(super) degradations: u64,
    /// How long control and its store may take.
    patience: Duration,
    /// Whether any rule registers.
    is_used: bool,
    /// There is no store: nobody waits for it.
    pub(super) is_none: bool,
}

impl Trouble {
    pub(super) fn new() -> Self {
        Self {
            away_since: Some(Instant::now()),
            ill: None,
            set_aside: None,
            degraded: None,
            degradations: 0,
            patience: Duration::MAX,
            is_used: false,
            is_none: false,
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        self.away_since.is_none()
    }

    pub(super) fn connected(&mut self) {
        self.away_since = None;
    }

    pub(super) fn disconnected(&mut self) {
        self.away_since = Some(Instant::now());
        self.ill = None; // It will say so again.
    }

    /// Why nobody can wait for the store now, `oldest` being since when changes wait.
    fn reason(&self, oldest: Option<Instant>) -> Option<String> {
        let is_late = |since: &Instant| since.elapsed() > self.patience;
        let patience = self.patience.as_millis();
        if !self.is_used || self.is_none {
            None
        } else if self.ill.is_some() {
            self.ill.clone()
        } else if self.away_since.as_ref().is_some_and(is_late) {
            Some(format!("control has been away for more than {patience} ms"))
        } else if oldest.as_ref().is_some_and(is_late) {
            Some(format!("the store has confirmed nothing for more than {patience} ms"))
        } else {
            None
        }
    }
}

impl Service {
    /// A new epoch: whether any rule registers, and how long its answers wait for the store.
    pub(in crate::service) fn set_patience(&self, is_used: bool, settings: &RegistrarSettings) {
        let mut trouble = self.location().trouble.borrow_mut();
        (trouble.is_used, trouble.is_none) = (is_used, settings.store == Store::None);
        trouble.patience = Duration::from_millis(settings.flush_patience_ms.into());
    }

    /// For ever: tells the workers when they are to answer from memory, and when no more.
    pub(in crate::service) async fn watch_store(&self) -> ! {
        loop {
            self.judge_store().await;
            sleep(STORE_WATCH).await;
        }
    }

    /// The store takes nothing. What it holds is not waited for either: it comes when it can be read.
    pub(super) async fn store_ill(&self, reason: String) {
        self.location().trouble.borrow_mut().ill = Some(reason);
        self.judge_store().await;
        self.begin_without().await;
    }

    pub(super) async fn store_well(&self, set_aside: Option<String>) {
        {
            let mut trouble = self.location().trouble.borrow_mut();
            (trouble.ill, trouble.set_aside) = (None, set_aside);
        }
        self.judge_store().await;
    }

    async fn judge_store(&self) {
        let relay = self.location();
        let reason = relay.trouble.borrow().reason(relay.oldest());
        let has_changed = {
            let mut trouble = relay.trouble.borrow_mut();
            let was_degraded = trouble.degraded.is_some();
            match (reason, &mut trouble.degraded) {
                (Some(reason), Some((shown, _))) => *shown = reason,
                (Some(reason), none) => {
                    tracing::warn!("location store: {reason}: REGISTER is answered from memory");
                    *none = Some((reason, Instant::now()));
                    trouble.degradations += 1;
                }
                (None, Some((_, since))) => {
                    let seconds = since.elapsed().as_secs();
                    tracing::info!(seconds, "location store: confirms again");
                    trouble.degraded = None;
                }
                (None, None) => {}
            }
            (trouble.degraded.is_some() != was_degraded).then_some(!was_degraded)
        };
        if let Some(is_degraded) = has_changed {
            self.tell_workers(|| Command::FromMemory(is_degraded)).await;
        }
    }
}
