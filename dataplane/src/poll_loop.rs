//! The worker as capsule runs it: a pipeline that polls for some thousand rounds, then lets the
//! executor look at its own affairs.

use crate::limits::{EXECUTOR_ROUNDS, IDLE_SLEEP_US};
use crate::packet_io::PacketIo;
use crate::probe::Probe;
use crate::worker::Worker;
use capsule::batch::Pipeline;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use nic_config::settings::Idle;

/// Drives a worker until it is stopped.
pub struct PollLoop<Io: PacketIo, Pr: Probe> {
    worker: Worker<Io, Pr>,
    idle: Idle,
}

impl<Io: PacketIo, Pr: Probe> PollLoop<Io, Pr> {
    /// A loop that does `idle` after a round without frames.
    pub fn new(worker: Worker<Io, Pr>, idle: Idle) -> Self {
        Self { worker, idle }
    }

    /// One round. Gives false when the round found nothing and the worker has rested.
    fn round(&mut self) -> bool {
        if self.worker.run_once() || self.idle == Idle::Poll {
            return true;
        }
        // A worker that rests has time for its mailbox in every round.
        self.worker.attend();
        match self.idle {
            Idle::Sleep => std::thread::sleep(Duration::from_micros(IDLE_SLEEP_US)),
            _ => std::thread::yield_now(),
        }
        false
    }
}

impl<Io: PacketIo + Unpin, Pr: Probe + Unpin> Future for PollLoop<Io, Pr> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        for _ in 0..EXECUTOR_ROUNDS {
            let is_busy = this.round();
            if this.worker.is_stopped() {
                return Poll::Ready(());
            }
            if !is_busy {
                break;
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<Io: PacketIo + Unpin, Pr: Probe + Unpin> Pipeline for PollLoop<Io, Pr> {
    fn name(&self) -> &'static str {
        "sip"
    }

    fn run_once(&mut self) {
        self.worker.run_once();
    }
}
