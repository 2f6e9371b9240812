//! The control process: configuration in, epochs out, and an answer for what reaches the kernel.

use crate::api::Sources;
use crate::api::server::ApiServer;
use crate::audit::Audit;
use crate::cluster::{EngineKeeper, Identity, Replacements, ShareOf};
use crate::config::{Config, ConfigError};
use crate::configuration::history::History;
use crate::configuration::manager::{Extent, Manager, Source, Wish, Wished, Wishes};
use crate::configuration::{Loaded, Running};
use crate::connections::Connections;
use crate::credentials;
use crate::dns::Names;
use crate::health::Monitor;
use crate::leaving::Leaving;
use crate::limits::PIECES_AHEAD;
use crate::live::Live;
use crate::location;
use crate::location::keeper::KeeperHandle;
use crate::location::stored::StoredBindings;
use crate::operator::{self, Answers};
use crate::process;
use crate::publisher::{News, Served, publish};
use crate::state::{self, State};
use crate::systemd;
use anyhow::{Context, Result};
use serde_json::json;
use sip_core::Store;
use std::fs::File;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tracing::{error, info};

/// A control process with its configuration, ready to run.
#[derive(Debug)]
pub struct Service {
    running: Running,
    state: State,
    history: History,
    audit: Audit,
    /// Held for as long as the process lives: one control process per run directory.
    _lock: File,
}

impl Service {
    /// Takes what the process needs for itself. `loaded` is in force from now on; when it is not what stands in its
    /// file, `broken` says why.
    ///
    /// # Errors
    /// Another control process on the same run directory; a directory that cannot be used.
    pub fn new(loaded: Loaded, broken: Option<&ConfigError>) -> Result<Self> {
        let appliance = &loaded.config.appliance;
        let lock = process::lock(&appliance.run_directory, "control")?;
        let directory = appliance.state_directory.clone();
        let state = State::open(&directory, appliance.secret_file.as_deref())?;
        let (history, audit) = (History::open(&directory)?, Audit::open(&directory)?);
        let running = Running::at_start(loaded, broken, &history)?;
        Ok(Self { running, state, history, audit, _lock: lock })
    }

    /// Runs until SIGTERM or SIGINT; SIGHUP reads the configuration again.
    ///
    /// # Errors
    /// Only what makes going on pointless, such as a full state directory.
    pub async fn run(self) -> Result<()> {
        self.say_start();
        let Self { running, state, history, audit, _lock } = self;
        let (wishes, wished) = Wishes::channel();
        let (manager, tasks) = start(running, state, history, audit, wishes).await?;
        systemd::ready(&status(&manager));
        let ended = serve(manager, wished, tasks).await;
        systemd::stopping();
        ended
    }

    /// Says what is in force, and loudly when it is not what the file says.
    fn say_start(&self) {
        let Running { generation, broken_file, .. } = &self.running;
        let (number, file) = (generation.number, generation.file.display());
        match broken_file {
            None => info!(generation = number, "{file} is in force"),
            Some(mistakes) => error!(
                "{file} IS BROKEN: generation {number} of {} is in force instead, the last good one. Correct the \
                 file and reload:\n{mistakes}",
                generation.since
            ),
        }
        let detail = json!({ "generation": number, "note": broken_file });
        let outcome = if broken_file.is_some() { "refused" } else { "done" };
        self.audit.write("start", "start", outcome, detail);
    }
}

/// What runs beside the loop, and ends the process when it ends.
struct Tasks {
    publishing: JoinHandle<Result<()>>,
    answering: JoinHandle<Result<()>>,
}

/// Starts all that works by itself, and what follows the configuration.
async fn start(
    running: Running,
    state: State,
    history: History,
    audit: Audit,
    wishes: Wishes,
) -> Result<(Manager, Tasks)> {
    let config = running.loaded.config.clone();
    let appliance = &config.appliance;
    let secret = state.secret();
    let (sender, settings) = watch::channel(Arc::new(config.to_settings(secret)));
    let members = appliance.state_directory.join("members.json");
    let (monitor, handle, states) = Monitor::new(&config.destination_sets, members)?;
    tokio::spawn(monitor.run());
    // Until we know better: a data plane that is there must not lose its listen points for a moment.
    let (is_served, served) = watch::channel(Served { is_there: true, answer: None });
    let (realms, users_of) = watch::channel(Arc::new(config.auth.realms.clone()));
    let (reports, users) = watch::channel(Vec::new());
    tokio::spawn(credentials::publish(appliance.socket(), users_of, reports));
    let share_of = ShareOf { settings: settings.clone(), states: states.clone() };
    let leaving = Leaving::new();
    let news = News { settings, states, leaving: leaving.subscribe() };
    let publishing = publish(appliance.socket(), state, news, handle.clone(), is_served);
    let listener = operator::bind(&appliance.control_socket())?;
    let (keeper, replaced) = keeper(&config, secret, share_of)?;
    let (workers, restored) = mpsc::channel(PIECES_AHEAD);
    tokio::spawn(location::link::serve(appliance.socket(), keeper.clone(), restored, replaced));
    let bindings = StoredBindings::new(keeper, workers);
    let connections = Connections::default();
    connections.configure(&config, secret)?;
    let names = Names::start(appliance.socket(), &config)?;
    let answers = Answers {
        names: names.clone(),
        monitor: handle.clone(),
        bindings: bindings.clone(),
        realms: users.clone(),
        connections: connections.clone(),
        dataplane: appliance.socket(),
        audit: audit.clone(),
        leaving: leaving.clone(),
    };
    let answering = operator::serve(listener, answers);
    let (running, in_force) = watch::channel(Arc::new(running));
    let sources = Sources {
        dataplane: appliance.socket(),
        monitor: handle.clone(),
        realms: users,
        bindings,
        running: in_force,
        wishes,
        connections: connections.clone(),
        names: names.clone(),
        history: history.clone(),
        audit: audit.clone(),
        leaving,
        secret,
    };
    let api = ApiServer::start(sources, &appliance.api_socket(), &config.api).await?;
    let live = Live {
        secret,
        settings: sender,
        served,
        monitor: handle,
        realms,
        api,
        connections,
        names,
        fallback: None,
    };
    let tasks = Tasks { publishing: tokio::spawn(publishing), answering: tokio::spawn(answering) };
    Ok((Manager { running, live, history, audit }, tasks))
}

/// The keeper of the store, of the engine, or of nothing; and what other nodes change.
fn keeper(
    config: &Config,
    secret: [u8; 16],
    share_of: ShareOf,
) -> Result<(KeeperHandle, Replacements)> {
    let directory = &config.appliance.state_directory;
    if let Some(cluster) = config.cluster.clone().filter(|cluster| !cluster.engine.is_empty()) {
        let node = cluster.node.clone().unwrap_or_else(|| config.appliance.name.clone());
        let identity = Identity { node, instance: state::instance(directory)?, secret };
        let (keeper, replaced) = EngineKeeper::start(cluster, identity, share_of)?;
        return Ok((KeeperHandle::engine(keeper), replaced));
    }
    // Nobody else changes anything.
    let replaced = mpsc::channel(1).1;
    let keeper = match config.registrar.store {
        Store::Disk => KeeperHandle::start(&location::ask::directory(directory))?,
        Store::None => KeeperHandle::none(),
    };
    Ok((keeper, replaced))
}

/// Takes wishes and signals until one of these ends it.
async fn serve(mut manager: Manager, mut wished: Wished, mut tasks: Tasks) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut heartbeat = systemd::heartbeat();
    let mut served = manager.live.served.clone();
    let name = manager.running.borrow().loaded.config.appliance.name.clone();
    info!(name, "control runs");
    loop {
        tokio::select! {
            ended = &mut tasks.publishing => return ended.context("the publisher ended")?,
            ended = &mut tasks.answering => return ended.context("control's socket ended")?,
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = heartbeat.tick() => systemd::alive(),
            Ok(()) = served.changed() => {
                let is_served = served.borrow_and_update().is_there;
                if is_served == manager.live.fallback.is_some() {
                    let running = manager.running.borrow().clone();
                    let config = (!is_served).then_some(&running.loaded.config);
                    manager.live.answer_instead(config).await?;
                }
            }
            Some((wish, answer)) = wished.recv() => {
                systemd::reloading();
                // Who asked may be gone.
                let _ = answer.send(manager.take(wish).await);
                systemd::ready(&status(&manager));
            }
            _ = hangup.recv() => {
                systemd::reloading();
                let who = "signal SIGHUP".to_owned();
                manager.take(Wish { source: Source::File, extent: Extent::Whole, who }).await;
                systemd::ready(&status(&manager));
            }
        }
    }
    manager.live.connections.stop();
    info!("control stops: the data plane goes on with its epoch");
    Ok(())
}

/// For `systemctl status`.
fn status(manager: &Manager) -> String {
    let running = manager.running.borrow();
    let number = running.generation.number;
    match &running.broken_file {
        None => format!("configuration generation {number}"),
        Some(_) => format!("THE CONFIGURATION FILE IS BROKEN: generation {number} is in force"),
    }
}

#[cfg(test)]
mod tests;
