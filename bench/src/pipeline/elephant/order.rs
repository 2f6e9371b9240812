//! Numbers on the messages of each call as they are received, and a look at them as they leave, on whichever lcore.

use super::CALLS;
use crate::corpus::NUMBER;
use core::sync::atomic::{AtomicU64, Ordering};
use serde::Serialize;

/// Digits of a number.
const DIGITS: usize = 10;
/// The bytes of the UDP checksum in an untagged IPv4 frame without options: zeros say that there is none (RFC 768).
const UDP_CHECKSUM: core::ops::Range<usize> = 40..42;

/// What was seen of the order of calls.
#[derive(Debug)]
pub(super) struct Order {
    calls: Vec<Call>,
    left: AtomicU64,
    violations: AtomicU64,
}

/// The messages of one call, by their numbers.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Call {
    /// The next that will be received.
    received: AtomicU64,
    /// The last that was given to a transmit queue, and by which lcore.
    begun: AtomicU64,
    /// The last that a transmit queue has taken.
    done: AtomicU64,
}

impl Call {
    /// A transmit queue has taken this message.
    pub(super) fn has_left(&self, number: u64) {
        self.done.store(number, Ordering::SeqCst);
    }
}

/// The result of a check.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct OrderReport {
    pub(crate) calls: usize,
    /// Messages that left.
    pub(crate) messages: u64,
    /// Of these, how many a sibling took.
    pub(crate) spilled: u64,
    /// Messages that left before an earlier one of their call had been taken by its transmit queue.
    pub(crate) out_of_order: u64,
}

impl OrderReport {
    pub(crate) fn is_kept(&self) -> bool {
        self.out_of_order == 0
    }
}

impl Default for Order {
    fn default() -> Self {
        Self {
            calls: (0..CALLS).map(|_| Call::default()).collect(),
            left: AtomicU64::new(0),
            violations: AtomicU64::new(0),
        }
    }
}

impl Order {
    /// What has been seen; `spilled` is known to the workers.
    pub(super) fn report(&self, spilled: u64) -> OrderReport {
        OrderReport {
            calls: CALLS,
            messages: self.left.load(Ordering::SeqCst),
            spilled,
            out_of_order: self.violations.load(Ordering::SeqCst),
        }
    }

    /// Writes the next number of its call into a frame that was received. Only one lcore receives.
    pub(super) fn number(&self, frame: &mut [u8]) -> Option<()> {
        let call = self.call_of(frame)?;
        let number = call.received.load(Ordering::Relaxed);
        call.received.store(number + 1, Ordering::Relaxed);
        let at = behind(frame, NUMBER)?;
        let digits = format!("{number:010}");
        frame.get_mut(at..at + DIGITS)?.copy_from_slice(digits.as_bytes());
        frame.get_mut(UDP_CHECKSUM)?.fill(0);
        Some(())
    }

    /// A frame is about to leave by `lcore`. Gives its call and its number.
    pub(super) fn begin(&self, frame: &[u8], lcore: u8) -> Option<(&Call, u64)> {
        let call = self.call_of(frame)?;
        let number = digits(frame, behind(frame, NUMBER)?, DIGITS)?;
        let done = call.done.load(Ordering::SeqCst);
        let begun = call.begun.swap(number << 8 | u64::from(lcore), Ordering::SeqCst);
        let (last, by) = (begun >> 8, begun & 0xff);
        let is_overtaking = last > number || (by != u64::from(lcore) && done < last);
        self.violations.fetch_add(is_overtaking.into(), Ordering::SeqCst);
        self.left.fetch_add(1, Ordering::Relaxed);
        Some((call, number))
    }

    fn call_of(&self, frame: &[u8]) -> Option<&Call> {
        let number = digits(frame, behind(frame, "\r\nCall-ID: ")?, 6)?;
        self.calls.get(usize::try_from(number).ok()?)
    }
}

/// What follows `text` in a frame.
fn behind(frame: &[u8], text: &str) -> Option<usize> {
    Some(memchr::memmem::find(frame, text.as_bytes())? + text.len())
}

fn digits(frame: &[u8], at: usize, count: usize) -> Option<u64> {
    std::str::from_utf8(frame.get(at..at + count)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::Order;
    use crate::corpus::one_flow;
    use dataplane::testing::appliance::Appliance;

    #[test]
    fn what_overtakes_is_seen() {
        let mut frames = one_flow(&mut Appliance::default(), 2);
        let order = Order::default();
        for frame in &mut frames {
            order.number(frame).unwrap();
        }
        let calls: Vec<_> = frames.iter().step_by(2).collect();
        order.begin(calls[0], 0).unwrap();
        order.begin(calls[1], 0).unwrap();
        assert!(order.report(0).is_kept(), "one lcore has one queue");
        order.begin(calls[2], 1).unwrap();
        assert_eq!(order.report(0).out_of_order, 1, "the queue of the other has not taken it");
        let (call, number) = order.begin(calls[3], 1).unwrap();
        call.has_left(number);
        order.begin(calls[4], 0).unwrap();
        assert_eq!(order.report(0).out_of_order, 1);
        order.begin(calls[3], 0).unwrap();
        let report = order.report(7);
        assert_eq!((report.out_of_order, report.messages, report.spilled), (2, 6, 7));
    }
}
