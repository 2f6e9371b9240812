//! What systemd is told: that we are ready, that we read the configuration again, that we live. Nothing happens
//! where it has not asked (`NOTIFY_SOCKET`).

use sd_notify::NotifyState;
use std::time::Duration;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// The service does its work; `status` stands in `systemctl status`.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// A reload begins; [`ready`] ends it.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// The end has begun.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// The process does its work still.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// When to say that we live: twice in the time after which systemd would kill us. Without a watchdog once a
/// minute, which it ignores.
pub fn heartbeat() -> Interval {
    let patience = sd_notify::watchdog_enabled().unwrap_or(Duration::from_mins(2));
    let mut beats = interval(patience / 2);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beats
}

fn tell(states: &[NotifyState<'_>]) {
    // Nobody listens, or nobody will for long: the work is not worse for that.
    let _ = sd_notify::notify(states);
}
