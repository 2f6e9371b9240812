//! Random calls through several workers and a bad network, in virtual time; and responses that nobody
//! has asked for.
//!
//! Calls run in worlds of up to 20,000, each of its own seed, which decides everything in it: how many
//! workers there are, how bad the network is, which callees are dead, the settings of the transactions. A
//! fault names the seed and prints what happened to its call. The same world again, or a long run:
//!
//! ```text
//! TRUNKLINE_SEED=123 cargo test -p sip-core --release --test simulation
//! TRUNKLINE_CALLS=1000000 cargo test -p sip-core --release --test simulation -- --nocapture
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod agenda;
mod call;
mod callee;
mod caller;
mod checks;
mod forged;
mod network;
mod plan;
mod proxy;
mod script;
mod text;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use world::{Fault, Run, Summary, World};

/// Calls of one world.
const CALLS: u32 = 20_000;

/// Calls that begin in a second.
const RATE: u32 = 1_000;

fn from_environment<T: std::str::FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

/// Another one each time.
pub(crate) fn fresh_seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() << 16
}

/// Runs worlds of this seed and those after it, as many as the CPUs will.
fn simulate(seed: u64, calls: u32) {
    let begin = Instant::now();
    println!("seed {seed}: {calls} calls");
    let (next, total) = (AtomicU32::new(0), Mutex::new(Summary::default()));
    let worlds = calls.div_ceil(CALLS);
    let work = || {
        loop {
            let world = next.fetch_add(1, Ordering::Relaxed);
            if world >= worlds {
                return;
            }
            let calls = CALLS.min(calls - world * CALLS);
            let run = Run { seed: seed + u64::from(world), calls, rate: RATE, trace: None };
            match World::new(run).run() {
                Ok(summary) => *total.lock().unwrap() += summary,
                Err(fault) => explain(run, &fault),
            }
        }
    };
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        (0..threads).for_each(|_| drop(scope.spawn(work)));
    });
    println!("{:.1?}: {:#?}", begin.elapsed(), total.into_inner().unwrap());
}

/// Runs the world once more, for a trace of the call.
fn explain(run: Run, fault: &Fault) {
    let again = World::new(Run { trace: fault.call, ..run }).run();
    let trace = again.map_err(|fault| fault.trace).err().unwrap_or_default();
    let Run { seed, calls, .. } = run;
    panic!(
        "{}, in call {:?}:\n{trace}\nthe same again:\nTRUNKLINE_SEED={seed} TRUNKLINE_CALLS={calls} \
         cargo test -p sip-core --release --test simulation",
        fault.what, fault.call
    );
}

#[test]
fn calls_of_a_fixed_seed() {
    simulate(13, CALLS);
}

#[test]
fn calls_of_a_fresh_seed() {
    let seed = from_environment("TRUNKLINE_SEED").unwrap_or_else(fresh_seed);
    simulate(seed, from_environment("TRUNKLINE_CALLS").unwrap_or(CALLS));
}
