//! Key and table of a port, shown, changed and put back while workers poll. Flows that move come to another worker
//! from then on; its transactions are reached by hand-off, as those of any response that came to a sibling.

use super::Service;
use super::rebalance::Rebalancer;
use crate::limits::RSS_UNDO_MAX;
use crate::rss::RssDevice;
use control_api::{PortRss, RssAction, RssRequest};
use nic_config::rss::apply::{Applied, Change, InPort, RssPort, apply};
use nic_config::rss::rebalance::Rebalance;
use nic_config::rss::{Reta, RssError, RssKey};
use std::collections::VecDeque;

/// A port, and what it had before each change.
#[derive(Debug)]
pub struct RssEntry {
    /// Name from the configuration.
    pub name: String,
    /// Receive queues that workers poll.
    pub queues: u16,
    /// Where its RSS is.
    pub device: RssDevice,
    /// What keeps its queues even, where that is asked for.
    pub(super) rebalancer: Option<Rebalancer>,
    /// The last step of `undo` is what was there before the rebalancer moved entries.
    pub(super) undoes_moves: bool,
    /// The latest last.
    undo: VecDeque<InPort>,
}

impl RssEntry {
    /// A port that nobody has changed.
    pub fn new(name: String, queues: u16, device: RssDevice) -> Self {
        let (rebalancer, undoes_moves, undo) = (None, false, VecDeque::new());
        Self { name, queues, device, rebalancer, undoes_moves, undo }
    }

    /// The same port, whose queues are kept even where that is asked for.
    #[must_use]
    pub fn kept_even(mut self, asked: Option<Rebalance>) -> Self {
        self.rebalancer = asked.map(|asked| Rebalancer::new(&self.name, asked));
        self
    }

    /// Keeps what was there before a change.
    pub(super) fn remember(&mut self, before: InPort) {
        if self.undo.len() == RSS_UNDO_MAX {
            self.undo.pop_front();
        }
        self.undo.push_back(before);
    }

    /// An operator has changed the port, or put it back.
    fn changed_by_hand(&mut self, is_undo: bool) {
        let undid_moves = std::mem::take(&mut self.undoes_moves) && is_undo;
        if let Some(rebalancer) = &mut self.rebalancer {
            rebalancer.interrupt(undid_moves);
        }
    }

    fn answer(&mut self, action: RssAction) -> Result<PortRss, String> {
        let mut port = self.device.open(self.queues).map_err(|error| {
            format!(
                "port {:?}: {}: {error}; it has no RSS to show",
                self.name,
                self.device.driver()
            )
        })?;
        let named = |error: String| format!("port {:?}: {error}", self.name);
        match action {
            RssAction::Show => {
                let shown = port.read().map_err(|error| {
                    named(format!("{} shows no RSS: {error}", self.device.driver()))
                })?;
                Ok(self.report(shown))
            }
            RssAction::Apply { key, reta } => {
                let change = change(key, reta).map_err(|error| named(error.to_string()))?;
                let applied = changed(&mut *port, &change).map_err(named)?;
                self.remember(applied.before.clone());
                self.changed_by_hand(false);
                Ok(self.changed_report(applied))
            }
            RssAction::Undo => {
                let before = self.undo.back().cloned();
                let before = before.ok_or_else(|| named("there is no change to undo".into()))?;
                let change = Change { key: before.key, reta: Some(before.reta), fields: None };
                let applied = changed(&mut *port, &change).map_err(named)?;
                self.undo.pop_back();
                self.changed_by_hand(true);
                Ok(self.changed_report(applied))
            }
        }
    }

    fn changed_report(&self, applied: Applied) -> PortRss {
        let entries_changed = u16::try_from(applied.entries_changed()).unwrap_or(u16::MAX);
        let key_changed = applied.before.key != applied.after.key;
        tracing::info!(port = self.name, key_changed, entries_changed, "RSS changed");
        PortRss { key_changed, entries_changed, ..self.report(applied.after) }
    }

    fn report(&self, shown: InPort) -> PortRss {
        PortRss {
            port: self.name.clone(),
            driver: self.device.driver(),
            queues: self.queues,
            key: shown.key.map(|key| key.bytes().to_vec()),
            reta: shown.reta.entries().to_vec(),
            fields: shown.fields.map(|fields| fields.to_string()),
            undo_steps: u16::try_from(self.undo.len()).unwrap_or(u16::MAX),
            key_changed: false,
            entries_changed: 0,
        }
    }
}

fn change(key: Option<Vec<u8>>, reta: Option<Vec<u16>>) -> Result<Change, RssError> {
    let key = key.map(RssKey::new).transpose()?;
    Ok(Change { key, reta: reta.map(Reta::new).transpose()?, fields: None })
}

fn changed(port: &mut dyn RssPort, change: &Change) -> Result<Applied, String> {
    apply(port, change).map_err(|error| error.to_string())
}

impl Service {
    /// Shows or changes the RSS of a port.
    ///
    /// # Errors
    /// No such port, a driver without RSS, and what does not fit the port or was refused by its driver: then the
    /// port is as it was, or the error says otherwise.
    pub fn rss(&self, request: RssRequest) -> Result<PortRss, String> {
        let mut ports = self.rss_ports();
        let (index, _) = named(&ports, request.port.as_deref())?;
        ports[index].answer(request.action)
    }
}

/// The port of this name and its number; without a name the only one.
///
/// # Errors
/// No such port, or several.
pub(super) fn named<'p>(
    ports: &'p [RssEntry],
    name: Option<&str>,
) -> Result<(usize, &'p RssEntry), String> {
    let names = || ports.iter().map(|port| port.name.as_str()).collect::<Vec<_>>().join(", ");
    let found = match name {
        Some(name) => ports.iter().enumerate().find(|(_, port)| port.name == name),
        None if ports.len() == 1 => ports.iter().enumerate().next(),
        None => return Err(format!("which port? name one of {}", names())),
    };
    let name = name.unwrap_or_default();
    found.ok_or_else(|| format!("there is no port {name:?}; there are {}", names()))
}
