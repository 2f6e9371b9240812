//! Processes by their id: signals, locks, pid files, log files.

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The program `name` in the directory of our own executable.
///
/// # Errors
/// When it is not there.
pub fn beside_us(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().context("our own executable")?;
    let path = own.with_file_name(name);
    if !path.is_file() {
        bail!("{} is missing: install it beside {}", path.display(), own.display());
    }
    Ok(path)
}

/// Makes the run directory and takes the lock of `role` in it, for as long as the file is open.
///
/// # Errors
/// Another process that holds it; a directory that cannot be used.
pub fn lock(run_directory: &Path, role: &str) -> Result<File> {
    let shown = run_directory.display();
    std::fs::create_dir_all(run_directory)
        .with_context(|| format!("run_directory {shown} cannot be made"))?;
    let path = run_directory.join(format!("{role}.lock"));
    let file = File::create(&path).with_context(|| path.display().to_string())?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!("another {role} process runs on {shown}: stop it first")
        }
        Err(TryLockError::Error(e)) => Err(e).with_context(|| path.display().to_string()),
    }
}

/// Whether we are root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Sends SIGTERM; nothing happens when the process is gone.
pub fn terminate(pid: u32) {
    send(pid, Signal::TERM);
}

/// Sends SIGHUP; nothing happens when the process is gone.
pub fn reload(pid: u32) {
    send(pid, Signal::HUP);
}

/// Sends SIGKILL; nothing happens when the process is gone.
pub fn kill(pid: u32) {
    send(pid, Signal::KILL);
}

/// Sends SIGSTOP: the process stands still until [`resume`].
pub fn pause(pid: u32) {
    send(pid, Signal::STOP);
}

/// Sends SIGCONT.
pub fn resume(pid: u32) {
    send(pid, Signal::CONT);
}

fn send(pid: u32, signal: Signal) {
    if let Some(pid) = to_pid(pid) {
        // The only error is that it is gone, which is what a signal was for, or soon will be.
        let _ = kill_process(pid, signal);
    }
}

/// Whether a process with this id runs; one that ended and that nobody waited for does not.
pub fn is_alive(pid: u32) -> bool {
    state(pid).is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// Whether some thread of a process runs. What a process has open is closed when its last one ends; the first one may
/// have ended long before.
pub fn has_threads(pid: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    threads > 1 || is_alive(pid)
}

/// Whether a process stands still since [`pause`].
pub fn is_paused(pid: u32) -> bool {
    state(pid) == Some('T')
}

/// The letter of a process's state; none when there is no such process.
fn state(pid: u32) -> Option<char> {
    stat(pid)?.chars().next()
}

/// The process that has started this one; none when there is no such process.
pub fn parent(pid: u32) -> Option<u32> {
    stat(pid)?.split(' ').nth(1)?.parse().ok()
}

/// `state ppid ...` of a process: what follows its name, which may hold anything (proc(5)).
fn stat(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ").map(|(_, rest)| rest.to_owned())
}

fn to_pid(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

/// Ends processes: SIGTERM, then SIGKILL for those that still live after `patience`.
pub fn end(pids: &[u32], patience: Duration) {
    for pid in pids {
        terminate(*pid);
    }
    wait_until_gone(pids, patience);
    for pid in pids {
        send(*pid, Signal::KILL);
    }
    wait_until_gone(pids, Duration::from_secs(1));
}

fn wait_until_gone(pids: &[u32], patience: Duration) {
    let start = Instant::now();
    while pids.iter().any(|pid| is_alive(*pid)) && start.elapsed() < patience {
        sleep(Duration::from_millis(10));
    }
}

/// The process id in a pid file; none when there is no such file or no number in it.
pub fn read_pid(path: &Path) -> Option<u32> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The last `count` lines of a text file; empty when it cannot be read.
pub fn last_lines(path: &Path, count: usize) -> String {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::{
        end, has_threads, is_alive, is_paused, kill, last_lines, lock, parent, pause, resume,
    };
    use std::process::Command;
    use std::thread::sleep;
    use std::time::Duration;

    #[test]
    fn last_lines_of_short_and_long_files() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "a\nb\nc\n").unwrap();
        assert_eq!(last_lines(file.path(), 2), "b\nc");
        assert_eq!(last_lines(file.path(), 9), "a\nb\nc");
        assert_eq!(last_lines("/nonexistent".as_ref(), 3), "");
    }

    #[test]
    fn a_lock_is_held_until_its_file_is_closed() {
        let directory = tempfile::tempdir().unwrap();
        let held = lock(directory.path(), "control").unwrap();
        let error = lock(directory.path(), "control").unwrap_err().to_string();
        assert!(error.contains("another control process"), "{error}");
        lock(directory.path(), "supervisor").unwrap();
        drop(held);
        // A child that another test is just starting holds a copy of the file until its exec.
        let again = || lock(directory.path(), "control").is_ok();
        for _ in 0..500 {
            if again() {
                return;
            }
            sleep(Duration::from_millis(10));
        }
        panic!("the lock is still held");
    }

    #[test]
    fn a_process_stands_still_and_goes_on() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = child.id();
        let becomes = |paused| {
            (0..500).any(|_| {
                sleep(Duration::from_millis(10));
                is_paused(pid) == paused
            })
        };
        assert_eq!(parent(pid), Some(std::process::id()));
        pause(pid);
        assert!(becomes(true) && is_alive(pid));
        resume(pid);
        assert!(becomes(false));
        assert!(has_threads(pid));
        kill(pid);
        assert_eq!(child.wait().unwrap().to_string(), "signal: 9 (SIGKILL)");
        assert!(!has_threads(pid));
    }

    #[test]
    fn a_process_is_ended() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = child.id();
        assert!(is_alive(pid));
        let reaper = std::thread::spawn(move || child.wait().unwrap());
        end(&[pid], Duration::from_secs(5));
        assert_eq!(reaper.join().unwrap().to_string(), "signal: 15 (SIGTERM)");
        assert!(!is_alive(pid));
    }
}
