//! Which event loop answers messages over standing TCP connections at the least cost: mio (epoll), tokio
//! (epoll), or compio (io_uring)?
//!
//! One thread on core 1 serves all connections; one on core 0 keeps so many requests on their way, each on
//! another connection. All loops take turns, so that a disturbance meets them alike.

mod client;
mod servers;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Bytes of a request and of its answer: those of a REGISTER and its 200.
pub const REQUEST: usize = 450;
pub const ANSWER: usize = 350;

/// Compare event loops on the connections of a SIP server
///
/// Prints for each loop the messages per second that the pair of threads reached and the CPU time of the serving
/// thread for each, medians of all rounds, and the ratio to mio.
#[derive(Parser)]
struct Arguments {
    /// Connections that stand
    #[arg(long, default_value_t = 1_000)]
    connections: usize,
    /// Requests on their way at one time
    #[arg(long, default_value_t = 64)]
    window: usize,
    /// Seconds of each round of each loop
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

type Serve = fn(TcpListener, &AtomicBool) -> Result<()>;

const LOOPS: [(&str, Serve); 3] =
    [("mio", servers::mio), ("tokio", servers::tokio), ("compio", servers::compio)];

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(
        (1..=arguments.connections).contains(&arguments.window),
        "--window: 1 to --connections"
    );
    ensure!(core_affinity::set_for_current(core_affinity::CoreId { id: 0 }), "no core 0");
    let mut found: Vec<[Vec<f64>; 2]> = LOOPS.iter().map(|_| Default::default()).collect();
    for round in 1..=arguments.rounds {
        eprintln!("round {round} of {}", arguments.rounds);
        for ((name, serve), found) in LOOPS.iter().zip(&mut found) {
            let [rate, cpu] = measure(*serve, &arguments).with_context(|| *name)?;
            found[0].push(rate);
            found[1].push(cpu);
        }
    }
    println!("{:<8} {:>12} {:>16} {:>6}", "loop", "messages/s", "us CPU/message", "ratio");
    let base = median(&mut found[0][1]);
    for ((name, _), [rates, cpu]) in LOOPS.iter().zip(&mut found) {
        let (rate, cpu) = (median(rates), median(cpu));
        println!("{name:<8} {rate:>12.0} {cpu:>16.2} {:>6.2}", cpu / base);
    }
    Ok(())
}

/// Messages per second, and microseconds of the serving thread for each.
fn measure(serve: Serve, arguments: &Arguments) -> Result<[f64; 2]> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address: SocketAddr = listener.local_addr()?;
    let stop = Arc::new(AtomicBool::new(false));
    let server = thread::spawn({
        let stop = Arc::clone(&stop);
        move || {
            core_affinity::set_for_current(core_affinity::CoreId { id: 1 });
            let before = cpu_us();
            serve(listener, &stop).map(|()| cpu_us() - before)
        }
    });
    let time = Duration::from_secs_f64(arguments.seconds);
    let answered = client::run(address, arguments.connections, arguments.window, time);
    stop.store(true, Ordering::Relaxed);
    let cpu = server.join().expect("the server does not panic")?;
    let (count, seconds) = answered?;
    Ok([count as f64 / seconds, cpu / count as f64])
}

/// CPU time of this thread, in microseconds.
fn cpu_us() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).expect("a thread knows its own time");
    (usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
