//! Drives the engine over a wire, in real time, on one core.

use super::engine::Engine;
use super::wire::{Outbox, Wire};
use crate::interrupt::Interrupt;
use anyhow::Result;
use std::time::{Duration, Instant};

/// Shorter waits are not worth a system call.
const WAIT_MIN: u64 = 20_000;
/// Longest wait, so that an interruption is noticed.
const WAIT_MAX: u64 = 1_000_000;
/// How long the wire is still read after the last call, for duplicates that come late.
const STRAGGLERS: Duration = Duration::from_millis(120);

/// How a run went, seen from the clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Driven {
    /// From the first call to the last message.
    pub(crate) elapsed: Duration,
    /// Share of that time in which the generator was not waiting, 0 to 1.
    pub(crate) busy: f64,
}

/// Runs until all calls are over, until `limit`, or until the user asks to end. `progress` is called
/// once a second.
///
/// # Errors
/// What the wire cannot do.
pub(crate) fn drive<W: Wire>(
    engine: &mut Engine,
    wire: &mut W,
    limit: Duration,
    interrupt: &Interrupt,
    progress: &mut dyn FnMut(&Engine, Duration),
) -> Result<Driven> {
    let start = Instant::now();
    let mut outbox = Outbox::default();
    let mut waited = 0;
    let mut next_progress = Duration::from_secs(1);
    let mut done_at = None;
    loop {
        let now = nanoseconds(start.elapsed());
        let received = wire.receive(&mut |local, source, datagram| {
            engine.receive(now, local, source, datagram, &mut outbox);
        })?;
        let elapsed = start.elapsed();
        let now = nanoseconds(elapsed);
        engine.advance(now, &mut outbox);
        let sent = outbox.len();
        if sent > 0 {
            let not_taken = wire.send(&outbox)?;
            engine.counts.not_taken += not_taken.by_system;
            engine.counts.blocked += not_taken.by_target;
            outbox.clear();
        }
        if elapsed >= next_progress {
            progress(engine, elapsed);
            next_progress += Duration::from_secs(1);
        }
        if elapsed > limit || interrupt.is_set() {
            break;
        }
        if received + sent == 0 {
            if engine.is_done() && elapsed >= *done_at.get_or_insert(elapsed) + STRAGGLERS {
                break;
            }
            let pause = engine.next_due().map_or(WAIT_MAX, |due| due.saturating_sub(now));
            if pause >= WAIT_MIN {
                let begin = Instant::now();
                wire.wait(pause.min(WAIT_MAX));
                waited += nanoseconds(begin.elapsed());
            }
        }
    }
    let elapsed = start.elapsed();
    engine.finish(nanoseconds(elapsed));
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    let busy = 1.0 - waited as f64 / elapsed.as_nanos() as f64;
    Ok(Driven { elapsed, busy })
}

#[expect(clippy::cast_possible_truncation, reason = "runs are shorter than 500 years")]
fn nanoseconds(time: Duration) -> u64 {
    time.as_nanos() as u64
}
