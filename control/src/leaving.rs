//! Whether the appliance is about to go (`trunkline leave`): until it is started again, or stays after all.

use crate::audit::Audit;
use crate::dataplane_link::status_blocking;
use crate::operator::leave_blocking;
use anyhow::{Result, bail};
use control_api::status::WorkerStatus;
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tracing::info;

/// Time between two looks at the transactions.
const LOOK: Duration = Duration::from_millis(200);

/// Says to the appliance with this management socket that it is about to go, gives others the time of `notice`, and waits
/// until no transaction waits for a final response.
///
/// # Errors
/// Control or the data plane does not answer; transactions that still wait after the time of `most`.
pub fn leave(socket: &Path, notice: Duration, most: Duration) -> Result<()> {
    leave_blocking(&socket.with_file_name("control.sock"), true)?;
    sleep(notice);
    let start = Instant::now();
    loop {
        let open =
            |worker: &WorkerStatus| worker.transactions.trying + worker.transactions.proceeding;
        let left: u64 = status_blocking(socket)?.workers.iter().map(open).sum();
        if left == 0 {
            return Ok(());
        }
        if start.elapsed() >= most {
            bail!(
                "{left} transactions still wait for a final response after {} s: calls that ring, perhaps. Stop it \
                 all the same, or wait longer",
                most.as_secs()
            );
        }
        sleep(LOOK);
    }
}

/// Says it, and asks for it.
#[derive(Clone, Debug)]
pub struct Leaving(Arc<watch::Sender<bool>>);

impl Leaving {
    /// One of an appliance that stays.
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    /// Who wants to hear of it.
    pub fn subscribe(&self) -> watch::Receiver<bool> {
        self.0.subscribe()
    }

    /// `who` says that the appliance is about to go, or is not any more.
    pub fn set(&self, is_leaving: bool, who: &str, audit: &Audit) {
        let has_changed = self.0.send_replace(is_leaving) != is_leaving;
        let outcome = if has_changed { "done" } else { "unchanged" };
        audit.write(who, if is_leaving { "leave" } else { "stay" }, outcome, json!({}));
        match (has_changed, is_leaving) {
            (true, true) => {
                info!("about to go: OPTIONS to us are answered with 503, all else is served");
            }
            (true, false) => info!("not about to go any more"),
            (false, _) => {}
        }
    }
}

impl Default for Leaving {
    fn default() -> Self {
        Self::new()
    }
}
