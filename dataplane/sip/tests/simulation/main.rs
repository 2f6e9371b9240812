//! Random calls through several workers and a bad network, in virtual time.
//!
//! Every run follows from its seed. A fault names the seed and prints what happened to its call; the
//! same run again, or a larger one:
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
mod network;
mod plan;
mod proxy;
mod script;
mod text;
mod world;

use std::time::Instant;

use world::{Run, World};

/// Calls of a run where nothing else is asked for.
const CALLS: u32 = 20_000;

fn from_environment<T: std::str::FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

/// One run; a fault ends the test.
fn simulate(seed: u64) {
    let seed = from_environment("TRUNKLINE_SEED").unwrap_or(seed);
    let calls = from_environment("TRUNKLINE_CALLS").unwrap_or(CALLS);
    let run = Run { seed, calls, rate: 1_000, trace: None };
    let begin = Instant::now();
    println!("seed {seed}: {calls} calls");
    match World::new(run).run() {
        Ok(summary) => println!("seed {seed}: {:.1?}, {summary:?}", begin.elapsed()),
        Err(fault) => {
            // Once more, with a trace of the call.
            let again = World::new(Run { trace: fault.call, ..run }).run();
            let trace = again.map_err(|fault| fault.trace).err().unwrap_or_default();
            panic!(
                "{}, in call {:?}:\n{trace}\nthe same again:\nTRUNKLINE_SEED={seed} \
                 TRUNKLINE_CALLS={calls} cargo test -p sip-core --release --test simulation",
                fault.what, fault.call
            );
        }
    }
}

#[test]
fn calls_of_a_fixed_seed() {
    simulate(5);
}

#[test]
fn calls_of_a_fresh_seed() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    simulate(now.as_secs());
}
