//! Everything in this process that follows the configuration in force.

use crate::api::server::ApiServer;
use crate::config::{Config, Realm};
use crate::connections::Connections;
use crate::dns::Names;
use crate::fallback::Fallback;
use crate::health::MonitorHandle;
use crate::limits::IN_FORCE_MAX;
use crate::logging;
use crate::publisher::Served;
use anyhow::{Result, bail};
use sip_core::Settings;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::timeout;

/// What follows the configuration in force.
#[derive(Debug)]
pub struct Live {
    /// The key of branch checks.
    pub secret: [u8; 16],
    /// What the data plane gets.
    pub settings: watch::Sender<Arc<Settings>>,
    /// What it has.
    pub served: watch::Receiver<Served>,
    /// Who probes the members.
    pub monitor: MonitorHandle,
    /// Whose users are read.
    pub realms: watch::Sender<Arc<Vec<Realm>>>,
    /// Where operators ask.
    pub api: ApiServer,
    /// TCP, TLS and WebSocket.
    pub connections: Connections,
    /// Where host names lead.
    pub names: Names,
    /// Who answers while the data plane is away.
    pub fallback: Option<Fallback>,
}

impl Live {
    /// Puts `new` into force in place of `old`. Gives the epoch that every worker runs on; none while no data
    /// plane is there.
    ///
    /// # Errors
    /// What cannot be done, or what the data plane has against it. Then `old` is in force as before.
    pub async fn put_into_force(&mut self, old: &Config, new: &Config) -> Result<Option<u64>> {
        let listener = self.api.prepare(&new.api).await?;
        self.connections.configure(new, self.secret)?;
        self.monitor.configure(&new.destination_sets).await;
        let epoch = match self.publish(new).await {
            Ok(epoch) => epoch,
            Err(refused) => {
                self.monitor.configure(&old.destination_sets).await;
                // The old certificates could be read before; without them the new ones serve.
                let _ = self.connections.configure(old, self.secret);
                // It has the old ones still: this only stops us from offering the others again.
                self.settings.send_replace(Arc::new(old.to_settings(self.secret)));
                return Err(refused);
            }
        };
        if old.dns != new.dns || old.listen != new.listen {
            self.names.configure(new);
        }
        self.realms.send_replace(Arc::new(new.auth.realms.clone()));
        self.api.adopt(&new.api, listener);
        logging::apply(new.log);
        if self.fallback.is_some() {
            self.answer_instead(Some(new)).await?;
        }
        Ok(epoch)
    }

    /// Ends the old answers for what reaches the kernel before the new ones begin, or leaves the listen points to
    /// the data plane.
    ///
    /// # Errors
    /// Settings that the router refuses.
    pub async fn answer_instead(&mut self, config: Option<&Config>) -> Result<()> {
        if let Some(old) = self.fallback.take() {
            old.stop().await;
        }
        let settings = config.map(|config| config.to_settings(self.secret));
        self.fallback = settings.map(|settings| Fallback::start(&settings)).transpose()?;
        Ok(())
    }

    /// Gives the data plane what it must know, and waits until it has it.
    async fn publish(&mut self, new: &Config) -> Result<Option<u64>> {
        let mut wanted = Arc::new(new.to_settings(self.secret));
        self.settings.send_if_modified(|current| {
            if **current == *wanted {
                wanted = Arc::clone(current);
                return false;
            }
            *current = Arc::clone(&wanted);
            true
        });
        let is_about_it = |served: &Served| {
            let source = served.answer.as_ref().map(|(source, _)| source);
            !served.is_there || source.is_some_and(|source| Arc::ptr_eq(source, &wanted))
        };
        // In this time a data plane that hangs has been given up, too.
        let Ok(Ok(served)) = timeout(IN_FORCE_MAX, self.served.wait_for(is_about_it)).await else {
            return Ok(None);
        };
        match &served.answer {
            // Also when it has gone since: the epoch is what it comes back to.
            Some((source, answer)) if Arc::ptr_eq(source, &wanted) => match answer {
                Ok(epoch) => Ok(Some(*epoch)),
                Err(reason) => bail!("{reason}"),
            },
            _ => Ok(None),
        }
    }
}
