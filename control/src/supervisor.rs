//! `trunkline run`: starts data plane and control, and starts either again when it dies.

use crate::limits::{DRAIN_MAX, QUICK_DEATH, QUICK_DEATHS_MAX, RESTART_FIRST, RESTART_SLOW};
use crate::process::{self, terminate};
use anyhow::{Context, Result};
use std::ffi::OsString;
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
    arguments: Vec<OsString>,
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
            arguments: vec!["--config".into(), self.config.clone().into()],
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
        command.args(&self.arguments).stdin(Stdio::null()).kill_on_drop(true);
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

#[cfg(test)]
mod tests {
    use super::{End, Program};
    use std::path::Path;
    use std::time::{Duration, Instant};
    use tokio::sync::watch;
    use tokio::time::{sleep, timeout};

    /// A shell that runs `script` in place of one of our processes.
    fn shell(script: &str, directory: &Path) -> Program {
        Program {
            name: "dataplane",
            path: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            pid_file: directory.join("dataplane.pid"),
            log: Some(directory.join("dataplane.log")),
        }
    }

    #[tokio::test]
    async fn a_refusal_ends_it_and_is_repeated() {
        let directory = tempfile::tempdir().unwrap();
        let program = shell("echo file:3: no >&2; exit 2", directory.path());
        let (_stop, stops) = watch::channel(false);
        assert!(matches!(program.keep(stops).await.unwrap(), End::Refused));
        assert!(!program.pid_file.exists());
        let log = std::fs::read_to_string(directory.path().join("dataplane.log")).unwrap();
        assert_eq!(log, "file:3: no\n");
    }

    #[tokio::test]
    async fn death_is_followed_by_a_start_and_too_many_deaths_by_a_pause() {
        let directory = tempfile::tempdir().unwrap();
        let program = shell("echo started; kill -9 $$", directory.path());
        let log = directory.path().join("dataplane.log");
        let (stop, stops) = watch::channel(false);
        let task = tokio::spawn(async move { program.keep(stops).await });
        let starts = || std::fs::read_to_string(&log).map_or(0, |log| log.lines().count());
        let begin = Instant::now();
        while starts() < 3 && begin.elapsed() < Duration::from_secs(10) {
            sleep(Duration::from_millis(10)).await;
        }
        sleep(Duration::from_secs(1)).await;
        // At one start every 50 ms there would be twenty of them by now.
        assert!((3..=7).contains(&starts()), "{}", starts());
        stop.send_replace(true);
        assert!(matches!(task.await.unwrap().unwrap(), End::Stopped));
    }

    #[tokio::test]
    async fn it_stops_when_told() {
        let directory = tempfile::tempdir().unwrap();
        let program = shell("exec sleep 60", directory.path());
        let pid_file = program.pid_file.clone();
        let (stop, stops) = watch::channel(false);
        let task = tokio::spawn(async move { program.keep(stops).await });
        while crate::process::read_pid(&pid_file).is_none() {
            sleep(Duration::from_millis(10)).await;
        }
        stop.send_replace(true);
        let end = timeout(Duration::from_secs(4), task).await.expect("SIGTERM is enough");
        assert!(matches!(end.unwrap().unwrap(), End::Stopped));
        assert!(!pid_file.exists());
    }
}
