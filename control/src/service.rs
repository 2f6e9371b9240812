//! The control process: configuration in, epochs out, and an answer for what reaches the kernel.

use crate::config::Config;
use crate::connections::Connections;
use crate::credentials;
use crate::fallback::Fallback;
use crate::health::Monitor;
use crate::limits::PIECES_AHEAD;
use crate::location;
use crate::location::keeper::KeeperHandle;
use crate::location::stored::StoredBindings;
use crate::operator;
use crate::process;
use crate::publisher::{News, publish};
use crate::state::State;
use anyhow::Result;
use sip_core::{Settings, Store};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};

/// A control process with its configuration, ready to run.
#[derive(Debug)]
pub struct Service {
    path: PathBuf,
    config: Config,
    state: State,
    /// Held for as long as the process lives: one control process per run directory.
    _lock: File,
}

impl Service {
    /// Takes what the process needs for itself. `config` was read from `path`, from where SIGHUP
    /// reads it again.
    ///
    /// # Errors
    /// Another control process on the same run directory; a directory that cannot be used.
    pub fn new(path: &Path, config: Config) -> Result<Self> {
        let lock = process::lock(&config.appliance.run_directory, "control")?;
        let state = State::open(&config.appliance.state_directory)?;
        Ok(Self { path: path.to_owned(), config, state, _lock: lock })
    }

    /// Runs until SIGTERM or SIGINT; SIGHUP reads the configuration again.
    ///
    /// # Errors
    /// Only what makes going on pointless, such as a full state directory.
    pub async fn run(self) -> Result<()> {
        let Self { path, mut config, state, _lock } = self;
        let secret = state.secret();
        let (sender, settings) = watch::channel(Arc::new(config.to_settings(secret)));
        let members = config.appliance.state_directory.join("members.json");
        let (monitor, handle, states) = Monitor::new(&config.destination_sets, members)?;
        // Until we know better: a data plane that is there must not lose its listen points for a moment.
        let (news, (is_served, mut served)) = (News { settings, states }, watch::channel(true));
        let socket = config.appliance.socket();
        let (realms, users_of) = watch::channel(Arc::new(config.auth.realms.clone()));
        let (reports, reported) = watch::channel(Vec::new());
        tokio::spawn(credentials::publish(socket.clone(), users_of, reports));
        let publishing = publish(socket, state, news, handle.clone(), is_served);
        let listener = operator::bind(&config.appliance.control_socket())?;
        let keeper = keeper(&config)?;
        let (workers, restored) = mpsc::channel(PIECES_AHEAD);
        tokio::spawn(location::link::serve(config.appliance.socket(), keeper.clone(), restored));
        let bindings = StoredBindings::new(keeper, workers);
        let connections = Connections::default();
        connections.configure(&config, secret)?;
        let answering =
            operator::serve(listener, handle.clone(), bindings, reported, connections.clone());
        tokio::pin!(publishing, answering);
        tokio::spawn(monitor.run());
        let mut fallback = None;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        info!(name = config.appliance.name, "control runs");
        loop {
            tokio::select! {
                outcome = &mut publishing => return outcome,
                outcome = &mut answering => return outcome,
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                Ok(()) = served.changed() => {
                    let is_served = *served.borrow_and_update();
                    if is_served == fallback.is_some() {
                        let settings = (!is_served).then(|| config.to_settings(secret));
                        replace(&mut fallback, settings).await?;
                    }
                }
                _ = hangup.recv() => {
                    if let Some(new) = reload(&path, &config) {
                        if let Err(error) = connections.configure(&new, secret) {
                            error!("reload refused, the old configuration stays in force: {error:#}");
                            continue;
                        }
                        let settings = new.to_settings(secret);
                        if fallback.is_some() {
                            replace(&mut fallback, Some(settings.clone())).await?;
                        }
                        handle.configure(&new.destination_sets).await;
                        publish_if_changed(&sender, settings);
                        realms.send_replace(Arc::new(new.auth.realms.clone()));
                        config = new;
                    }
                }
            }
        }
        connections.stop();
        info!("control stops: the data plane goes on with its epoch");
        Ok(())
    }
}

/// The keeper of the store, or of nothing.
fn keeper(config: &Config) -> Result<KeeperHandle> {
    match config.registrar.store {
        Store::Disk => {
            KeeperHandle::start(&location::ask::directory(&config.appliance.state_directory))
        }
        Store::None => Ok(KeeperHandle::none()),
    }
}

/// Ends the old answers before the new ones begin, or leaves the listen points to the data plane.
async fn replace(fallback: &mut Option<Fallback>, settings: Option<Settings>) -> Result<()> {
    if let Some(old) = fallback.take() {
        old.stop().await;
    }
    *fallback = settings.map(|settings| Fallback::start(&settings)).transpose()?;
    Ok(())
}

/// The new configuration, when it is a good one.
fn reload(path: &Path, old: &Config) -> Option<Config> {
    let new = match Config::load(path) {
        Ok(new) => new,
        Err(error) => {
            error!("reload refused, the old configuration stays in force:\n{error}");
            return None;
        }
    };
    if new.registrar.store != old.registrar.store {
        // Workers would promise what this process does not keep.
        error!(
            "reload refused, the old configuration stays in force: [registrar] store changes at the next start"
        );
        return None;
    }
    if new.nic != old.nic {
        warn!("[[ports]], [lcores] and [memory] change at the next start of the data plane only");
    }
    let directories = |c: &Config| (c.appliance.socket(), c.appliance.state_directory.clone());
    if directories(&new) != directories(old) {
        warn!("run_directory and state_directory change at the next start only");
    }
    info!("configuration read again");
    Some(new)
}

fn publish_if_changed(sender: &watch::Sender<Arc<Settings>>, new: Settings) {
    let changed = sender.send_if_modified(|current| {
        let changed = **current != new;
        if changed {
            *current = Arc::new(new);
        }
        changed
    });
    if !changed {
        info!("nothing that the data plane must know has changed");
    }
}
