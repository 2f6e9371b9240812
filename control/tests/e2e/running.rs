//! Programs on the hosts of the lab.

use crate::lab::binary;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A program on a host of the lab, ended when dropped.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    /// Starts it; what it says goes to `log`.
    pub(crate) fn start(host: &str, log: &Path, command: &[&str]) -> Self {
        let file = File::create(log).expect("a log");
        let mut lab = Command::new(binary("trunkline"));
        lab.args(["lab", "exec", host, "--"]).args(command).stdin(Stdio::null());
        lab.stdout(file.try_clone().expect("a log")).stderr(file);
        Self(lab.spawn().expect("trunkline starts"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.0.try_wait().is_ok_and(|status| status.is_some()) {
            return;
        }
        // A daemon has children that only SIGTERM takes along.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let start = Instant::now();
        while self.0.try_wait().is_ok_and(|status| status.is_none()) {
            if start.elapsed() > Duration::from_secs(3) {
                let _ = self.0.kill();
                let _ = self.0.wait();
                return;
            }
            sleep(Duration::from_millis(20));
        }
    }
}
