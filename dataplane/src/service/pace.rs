//! How often the service core looks at what the workers have for it.
//!
//! Workers make no system call, so none of them wakes it up. While messages go to and fro it looks ten times in a
//! millisecond; tokio's timers, which count milliseconds, cannot say that, but one of the kernel's can.

use anyhow::{Context, Result};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use std::cell::Cell;
use std::os::fd::OwnedFd;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use tokio::time::timeout;

/// Pause between two looks while there is nothing: the longest that a first packet to a new
/// neighbour waits for us, and a thousand wake-ups a second on a core that does little else.
pub(super) const IDLE_PAUSE: Duration = Duration::from_millis(1);
/// Pause while there is something: a message that goes through the kernel waits for two of them.
const BUSY_PAUSE_NS: i64 = 100_000;
/// So many short pauses follow the last sign of something: longer than a worker takes for its part.
const BUSY_LOOKS: u32 = 20;

/// The pauses of the one task that looks.
pub(super) struct Pace {
    /// None where the kernel has none: then all pauses are long.
    timer: Option<AsyncFd<OwnedFd>>,
    busy_looks: Cell<u32>,
    call: Notify,
}

impl Pace {
    /// To be made within the runtime that pauses.
    pub(super) fn new() -> Self {
        let timer = timer().inspect_err(|error| tracing::warn!("{error:#}")).ok();
        Self { timer, busy_looks: Cell::new(0), call: Notify::new() }
    }

    /// A worker was given something that comes back: it will be looked for soon.
    pub(super) fn expect(&self) {
        if self.busy_looks.replace(BUSY_LOOKS) == 0 {
            self.call.notify_one();
        }
    }

    /// Pauses after a look. `has_found` says whether there was something.
    pub(super) async fn pause(&self, has_found: bool) {
        let looks = if has_found { BUSY_LOOKS } else { self.busy_looks.get() };
        match &self.timer {
            Some(timer) if looks > 0 => {
                self.busy_looks.set(looks - 1);
                tick(timer).await;
            }
            _ => drop(timeout(IDLE_PAUSE, self.call.notified()).await),
        }
    }
}

#[expect(
    deprecated,
    reason = "what replaces it is unsafe, for files that may change; an OwnedFd does not"
)]
fn timer() -> Result<AsyncFd<OwnedFd>> {
    let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
    let timer = timerfd_create(TimerfdClockId::Monotonic, flags);
    let timer = timer.context("the service core has no short timer: messages take longer")?;
    AsyncFd::with_interest(timer, Interest::READABLE).context("a timer that cannot be awaited")
}

/// Waits for a short pause. The timer is never read: setting it anew takes back that it has expired.
async fn tick(timer: &AsyncFd<OwnedFd>) {
    let pause = Timespec { tv_sec: 0, tv_nsec: BUSY_PAUSE_NS };
    let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: pause };
    if timerfd_settime(timer.get_ref(), TimerfdTimerFlags::empty(), &once).is_ok()
        && let Ok(mut expired) = timer.readable().await
    {
        expired.clear_ready();
    }
}

#[cfg(test)]
mod tests {
    use super::{BUSY_LOOKS, IDLE_PAUSE, Pace};
    use std::time::Duration;
    use tokio::time::{sleep, timeout};

    #[tokio::test]
    async fn it_pauses_briefly_for_a_while_after_each_sign() {
        let pace = Pace::new();
        for _ in 0..2 {
            pace.expect();
            pace.pause(false).await;
            assert_eq!(pace.busy_looks.get(), BUSY_LOOKS - 1);
            for _ in 1..BUSY_LOOKS {
                pace.pause(false).await;
            }
            assert_eq!(pace.busy_looks.get(), 0);
            pace.pause(false).await;
        }
        pace.pause(true).await;
        assert_eq!(pace.busy_looks.get(), BUSY_LOOKS - 1);
    }

    #[tokio::test]
    async fn who_expects_something_ends_a_long_pause() {
        let pace = Pace::new();
        let call = async {
            sleep(IDLE_PAUSE / 2).await;
            pace.expect();
        };
        let both = async { tokio::join!(pace.pause(false), call) };
        timeout(Duration::from_secs(5), both).await.expect("the pause ends");
    }
}
