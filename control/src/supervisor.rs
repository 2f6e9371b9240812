//! `trunkline run`: starts data plane and control, and starts either again when it dies.

use crate::limits::{DRAIN_MAX, QUICK_DEATH, QUICK_DEATHS_MAX, RESTART_FIRST, RESTART_SLOW};
use crate::process::{self, terminate};
use anyhow::{Context, Result};
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

/// Exit status by which a process says that its configuration was refused.
pub const REFUSED: u8 = 2;

/// What to run, and where its output goes.
#[derive(Clone, Debug)]
pub struct Supervisor {
    /// The configuration file, given to both processes.
    pub config: PathBuf,
    /// Where `dataplane.pid` and `control.pid` are kept, locked by `process::lock`.
    pub run_directory: PathBuf,
    /// Directory of `dataplane.log` and `control.log`; without it both write to our own output.
    pub log_directory: Option<PathBuf>,
}

/// How a supervised process ended for good.
enum End {
    /// It was told to stop and did.
    Stopped,
    /// It refused its configuration.
    Refused,
}

/// Keeps a program in a task of its own, which says so on `over` when it is over for good.
fn keep_in_task(
    program: Program,
    over: mpsc::Sender<()>,
) -> (JoinHandle<Result<End>>, watch::Sender<bool>) {
    let (stop, stops) = watch::channel(false);
    let task = tokio::spawn(async move {
        let end = program.keep(stops).await;
        // Nobody listens any more once the other one is over.
        let _ = over.send(()).await;
        end
    });
    (task, stop)
}

/// One of the two processes.
#[derive(Debug)]
struct Program {
    name: &'static str,
    path: PathBuf,
    config: PathBuf,
    pid_file: PathBuf,
    log: Option<PathBuf>,
}

impl Supervisor {
    /// Runs both processes until SIGTERM or SIGINT, or until one refuses the configuration. The data
    /// plane stops first, so that control answers what reaches the kernel meanwhile. SIGHUP goes to
    /// control. Gives the exit status of this process: 0, or [`REFUSED`].
    ///
    /// # Errors
    /// A process that cannot be started, a directory that cannot be made.
    pub async fn run(&self) -> Result<u8> {
        let mut signals = Signals::listen()?;
        let (over, mut first_over) = mpsc::channel(2);
        let (dataplane, stop_dataplane) = keep_in_task(self.program("dataplane")?, over.clone());
        let control = self.program("control")?;
        let control_pid = control.pid_file.clone();
        let (control, stop_control) = keep_in_task(control, over);
        tokio::select! {
            () = signals.until_stop(&control_pid) => info!("stopping"),
            _ = first_over.recv() => {}
        }
        stop_dataplane.send_replace(true);
        let dataplane = dataplane.await?;
        stop_control.send_replace(true);
        let ends = [dataplane?, control.await??];
        let refused = ends.iter().any(|end| matches!(end, End::Refused));
        Ok(if refused { REFUSED } else { 0 })
    }

    fn program(&self, name: &'static str) -> Result<Program> {
        Ok(Program {
            name,
            path: process::beside_us(&format!("trunkline-{name}"))?,
            config: self.config.clone(),
            pid_file: self.run_directory.join(format!("{name}.pid")),
            log: self.log_directory.as_ref().map(|d| d.join(format!("{name}.log"))),
        })
    }
}

impl Program {
    /// Starts the process, again and again, until it is told to stop or refuses its configuration.
    async fn keep(&self, mut stop: watch::Receiver<bool>) -> Result<End> {
        let mut quick_deaths = 0;
        loop {
            let started = Instant::now();
            let mut child = self.start()?;
            let status = tokio::select! {
                status = child.wait() => status?,
                () = told(&mut stop) => {
                    self.stop(&mut child).await?;
                    return Ok(End::Stopped);
                }
            };
            self.forget_pid();
            if status.code() == Some(REFUSED.into()) {
                self.pass_on_refusal();
                return Ok(End::Refused);
            }
            let quick = started.elapsed() < QUICK_DEATH;
            quick_deaths = if quick { quick_deaths + 1 } else { 0 };
            let pause = if quick_deaths < QUICK_DEATHS_MAX { RESTART_FIRST } else { RESTART_SLOW };
            error!(
                "trunkline-{} died ({}) after {:.1} s: starting it again in {} ms",
                self.name,
                status,
                started.elapsed().as_secs_f64(),
                pause.as_millis()
            );
            tokio::select! {
                () = sleep(pause) => {}
                () = told(&mut stop) => return Ok(End::Stopped),
            }
        }
    }

    fn start(&self) -> Result<Child> {
        let mut command = Command::new(&self.path);
        command.arg("--config").arg(&self.config).stdin(Stdio::null()).kill_on_drop(true);
        if let Some(log) = &self.log {
            let file = open_log(log)?;
            command.stdout(file.try_clone()?).stderr(file);
        }
        // A group of its own: Ctrl-C in a terminal reaches us alone, and we stop both in order.
        let child = command
            .process_group(0)
            .spawn()
            .with_context(|| format!("{} cannot be started", self.path.display()))?;
        if let Some(pid) = child.id() {
            std::fs::write(&self.pid_file, pid.to_string())
                .with_context(|| self.pid_file.display().to_string())?;
            info!(pid, "trunkline-{} started", self.name);
        }
        Ok(child)
    }

    /// Asks the process to drain and end, and ends it when it does not.
    async fn stop(&self, child: &mut Child) -> Result<()> {
        if let Some(pid) = child.id() {
            terminate(pid);
        }
        let status = if let Ok(status) = timeout(DRAIN_MAX, child.wait()).await {
            status?
        } else {
            warn!("trunkline-{} did not end within {} s: killed", self.name, DRAIN_MAX.as_secs());
            child.kill().await?;
            child.wait().await?
        };
        self.forget_pid();
        info!("trunkline-{} stopped ({})", self.name, status);
        Ok(())
    }

    fn forget_pid(&self) {
        // Already gone is as good.
        let _ = std::fs::remove_file(&self.pid_file);
    }

    /// Says that it is over, with the line by which the process said why when that went to a file.
    fn pass_on_refusal(&self) {
        let said = self.log.as_deref().map(|log| process::last_lines(log, 1));
        let why = said.map_or_else(String::new, |line| format!(": {line}"));
        error!("trunkline-{} refused to start{why}", self.name);
    }
}

/// Waits until `stop` says so, or until nobody can say it any more.
async fn told(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

fn open_log(path: &Path) -> Result<File> {
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.with_context(|| format!("log {} cannot be opened", path.display()))
}

/// The signals that reach a supervisor.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Returns at SIGTERM or SIGINT; sends each SIGHUP on to the process in `control_pid`.
    async fn until_stop(&mut self, control_pid: &Path) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => {
                    if let Some(pid) = process::read_pid(control_pid) {
                        process::reload(pid);
                    }
                }
            }
        }
    }
}
