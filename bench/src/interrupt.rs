//! Ctrl-C ends a run in order: what was started is stopped, what was made is removed.

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Set once the user has asked to end.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Takes SIGINT, SIGTERM and SIGHUP from now on. A second one ends the process at once.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn listen() -> Result<Self> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            // The first registered runs first: it sees what the second sets at the next signal.
            flag::register_conditional_shutdown(signal, 130, Arc::clone(&flag))
                .and_then(|_| flag::register(signal, Arc::clone(&flag)))
                .with_context(|| format!("signal {signal}"))?;
        }
        Ok(Self(flag))
    }

    /// Whether the user has asked to end.
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Sleeps for `length`, or until the user asks to end. Gives whether the user did.
    pub(crate) fn sleep(&self, length: Duration) -> bool {
        let begin = Instant::now();
        while !self.is_set() && begin.elapsed() < length {
            sleep(Duration::from_millis(20).min(length.saturating_sub(begin.elapsed())));
        }
        self.is_set()
    }
}
