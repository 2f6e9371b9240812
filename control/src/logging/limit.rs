//! Lines of one kind, which is one place in the source, are limited in number: what repeats a thousand times a
//! second would hide all else and fill the disk.

use crate::config::{Log, LogFormat};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tracing::callsite::Identifier;
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Filter};

/// For how long lines are counted together.
const WINDOW: Duration = Duration::from_secs(10);

/// Counts lines of each kind and stops those beyond the limit. Copies share the count.
#[derive(Clone, Debug)]
pub(super) struct Limit(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Lines of one kind in a window; 0: no limit.
    most: AtomicU16,
    format: LogFormat,
    /// There are as many kinds as places in the source that log.
    kinds: Mutex<HashMap<Identifier, Window>>,
}

/// The lines of one kind in its newest window.
#[derive(Debug)]
struct Window {
    began: Instant,
    written: u16,
    left_out: u64,
}

impl Limit {
    pub(super) fn new(log: Log) -> Self {
        let most = AtomicU16::new(log.lines_per_10_s);
        Self(Arc::new(Shared { most, format: log.format, kinds: Mutex::default() }))
    }

    pub(super) fn set(&self, most: u16) {
        self.0.most.store(most, Ordering::Relaxed);
    }

    /// Whether one more line of this kind is written at `now`, and how many of the window before were left
    /// out, which has not been said yet.
    fn count(&self, kind: Identifier, now: Instant) -> (bool, u64) {
        let most = self.0.most.load(Ordering::Relaxed);
        if most == 0 {
            return (true, 0);
        }
        let mut kinds = self.0.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = Window { began: now, written: 0, left_out: 0 };
        let window = kinds.entry(kind).or_insert(fresh);
        let mut left_out = 0;
        if now.duration_since(window.began) >= WINDOW {
            left_out = window.left_out;
            *window = Window { began: now, written: 0, left_out: 0 };
        }
        let is_written = window.written < most;
        if is_written {
            window.written += 1;
        } else {
            window.left_out += 1;
        }
        (is_written, left_out)
    }
}

impl<S: Subscriber> Filter<S> for Limit {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn callsite_enabled(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        let metadata = event.metadata();
        let (is_written, left_out) = self.count(metadata.callsite(), Instant::now());
        if left_out > 0 {
            say(left_out, metadata, self.0.format);
        }
        is_written
    }
}

/// An event within an event would be lost: it goes where lines go.
fn say(left_out: u64, metadata: &Metadata<'_>, format: LogFormat) {
    let place = format!("{}:{}", metadata.file().unwrap_or(""), metadata.line().unwrap_or(0));
    let message = format!("{left_out} more log lines like the next one were left out");
    match format {
        LogFormat::Text => eprintln!("{message} ({place})"),
        LogFormat::Json => {
            let level = metadata.level().as_str();
            let line = serde_json::json!({ "level": level, "message": message, "left_out": left_out, "place": place });
            eprintln!("{line}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Limit, WINDOW};
    use crate::config::Log;
    use std::time::Instant;
    use tracing::Callsite;
    use tracing::callsite::DefaultCallsite;

    #[test]
    fn lines_beyond_the_limit_are_counted() {
        static PLACE: DefaultCallsite = DefaultCallsite::new(&META);
        static META: tracing::Metadata<'static> = tracing::metadata! {
            name: "place",
            target: "test",
            level: tracing::Level::INFO,
            fields: &[],
            callsite: &PLACE,
            kind: tracing::metadata::Kind::EVENT
        };
        let (limit, kind, now) = (
            Limit::new(Log { lines_per_10_s: 2, ..Log::default() }),
            PLACE.metadata().callsite(),
            Instant::now(),
        );
        assert_eq!(limit.count(kind.clone(), now), (true, 0));
        assert_eq!(limit.count(kind.clone(), now), (true, 0));
        assert_eq!(limit.count(kind.clone(), now), (false, 0));
        assert_eq!(limit.count(kind.clone(), now), (false, 0));
        let later = now + WINDOW;
        assert_eq!(limit.count(kind.clone(), later), (true, 2));
        limit.set(0);
        assert!((0..9).all(|_| limit.count(kind.clone(), later).0));
    }
}
