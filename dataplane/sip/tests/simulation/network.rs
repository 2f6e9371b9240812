//! A network that loses, doubles and delays datagrams, so that they overtake each other.

use std::net::SocketAddr;

use rand::rngs::SmallRng;
use rand::{Rng, RngExt};

/// A datagram on its way.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) source: SocketAddr,
    pub(crate) target: SocketAddr,
    pub(crate) bytes: Vec<u8>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Network {
    /// Of 1000 datagrams, those that are lost.
    pub(crate) lost: u32,
    /// Of 1000 datagrams, those that arrive twice.
    pub(crate) doubled: u32,
    /// Of 1000 datagrams, those that take up to 2 s instead of up to 20 ms.
    pub(crate) slow: u32,
}

impl Network {
    /// One of those that the simulation uses.
    pub(crate) fn random(rng: &mut SmallRng) -> Self {
        Self {
            lost: [0, 10, 30][rng.random_range(0..3)],
            doubled: rng.random_range(0..20),
            slow: rng.random_range(0..20),
        }
    }

    /// After how many milliseconds a datagram arrives, each time that it does.
    pub(crate) fn carry(&self, rng: &mut SmallRng) -> impl Iterator<Item = u64> + use<> {
        let copies =
            if in_1000(rng, self.lost) { 0 } else { 1 + usize::from(in_1000(rng, self.doubled)) };
        let mut delays = [0; 2];
        for delay in &mut delays[..copies] {
            let longest = if in_1000(rng, self.slow) { 2_000 } else { 20 };
            *delay = rng.random_range(1..=longest);
        }
        delays.into_iter().take(copies)
    }
}

/// Whether what happens so often in 1000 cases happens.
pub(crate) fn in_1000(rng: &mut impl Rng, cases: u32) -> bool {
    rng.random_range(0..1000) < cases
}
