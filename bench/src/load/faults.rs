//! A wire that loses, doubles and swaps datagrams on purpose: the proof that the report tells them apart.

use super::wire::{Local, NotTaken, Outbox, Wire};
use anyhow::Result;
use core::net::SocketAddr;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

/// Shares of arriving datagrams that meet each fault, 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Faults {
    /// Lost.
    pub(crate) loss: f64,
    /// Delivered twice.
    pub(crate) duplicate: f64,
    /// Held back until the next one has been delivered.
    pub(crate) reorder: f64,
}

/// How often each was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Injected {
    /// Datagrams lost.
    pub(crate) lost: u64,
    /// Datagrams delivered twice.
    pub(crate) duplicated: u64,
    /// Datagrams held back.
    pub(crate) reordered: u64,
}

/// The wire inside, with faults on what it receives.
pub(crate) struct FaultyWire<W> {
    inner: W,
    faults: Faults,
    random: SmallRng,
    held: Option<(Local, SocketAddr, Vec<u8>)>,
    /// What was done so far.
    pub(crate) injected: Injected,
}

impl<W> FaultyWire<W> {
    /// The same seed gives the same faults to the same datagrams.
    pub(crate) fn new(inner: W, faults: Faults, seed: u64) -> Self {
        let random = SmallRng::seed_from_u64(seed);
        Self { inner, faults, random, held: None, injected: Injected::default() }
    }

    /// The wire without its faults.
    pub(crate) fn inner(&mut self) -> &mut W {
        &mut self.inner
    }
}

impl<W: Wire> Wire for FaultyWire<W> {
    fn receive(&mut self, deliver: &mut dyn FnMut(Local, SocketAddr, &[u8])) -> Result<usize> {
        let Self { inner, faults, random, held, injected } = self;
        let count = inner.receive(&mut |local, source, bytes| {
            let dice: f64 = random.random();
            if dice < faults.loss {
                injected.lost += 1;
                return;
            }
            if dice < faults.loss + faults.reorder && held.is_none() {
                injected.reordered += 1;
                *held = Some((local, source, bytes.to_vec()));
                return;
            }
            deliver(local, source, bytes);
            if dice > 1.0 - faults.duplicate {
                injected.duplicated += 1;
                deliver(local, source, bytes);
            }
            if let Some((local, source, bytes)) = held.take() {
                deliver(local, source, &bytes);
            }
        })?;
        if count == 0
            && let Some((local, source, bytes)) = held.take()
        {
            deliver(local, source, &bytes);
        }
        Ok(count)
    }

    fn send(&mut self, outbox: &Outbox) -> Result<NotTaken> {
        self.inner.send(outbox)
    }

    fn wait(&mut self, nanoseconds: u64) {
        self.inner.wait(nanoseconds);
    }
}
