//! What was found.

use super::client::Outcome;
use crate::disturbance::Disturbance;
use serde::Serialize;

/// All of it.
#[derive(Debug, Serialize)]
pub(super) struct Stood {
    pub(super) command: String,
    pub(super) machine: String,
    pub(super) version: String,
    /// Of control, and of the clients.
    pub(super) threads: usize,
    /// TCP connections that were registered, kept alive and called.
    pub(super) connections: usize,
    pub(super) tls_connections: usize,
    /// Bytes of both processes.
    pub(super) user_bytes_per_idle_tcp_connection: i64,
    pub(super) user_bytes_per_registered_tcp_connection: i64,
    /// The part of control in that.
    pub(super) control_bytes_per_registered_tcp_connection: i64,
    /// None without any.
    pub(super) user_bytes_per_idle_tls_connection: Option<i64>,
    /// Of one end.
    pub(super) kernel_bytes_per_connection: i64,
    pub(super) connects_per_second: f64,
    pub(super) registrations_per_second: f64,
    pub(super) keep_alives_per_second: f64,
    pub(super) pipelined_requests_per_second: f64,
    pub(super) response_ms: Responses,
}

/// Response times, in milliseconds.
#[derive(Debug, Serialize)]
pub(super) struct Responses {
    pub(super) at_few: Response,
    pub(super) at_all: Response,
    /// The median among all over that among few.
    pub(super) median_ratio: f64,
    /// The same of 95 of 100.
    pub(super) p95_ratio: f64,
}

/// Calls among so many connections.
#[derive(Debug, Serialize)]
pub(super) struct Response {
    pub(super) connections: usize,
    pub(super) calls: u64,
    pub(super) failed: u64,
    pub(super) median: f64,
    pub(super) p95: f64,
    pub(super) p99: f64,
    /// Most that a call began after it was due.
    pub(super) latest_begin: f64,
    pub(super) disturbance: Disturbance,
}

impl Response {
    pub(super) fn new(connections: usize, outcome: &Outcome, disturbance: Disturbance) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "below a minute")]
        let at = |quantile| outcome.times.value_at_quantile(quantile) as f64 / 1e3;
        Self {
            connections,
            calls: outcome.times.len(),
            failed: outcome.failed,
            median: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
            latest_begin: outcome.late.as_secs_f64() * 1e3,
            disturbance,
        }
    }
}

impl Responses {
    pub(super) fn new(at_few: Response, at_all: Response) -> Self {
        let (median_ratio, p95_ratio) = (at_all.median / at_few.median, at_all.p95 / at_few.p95);
        Self { at_few, at_all, median_ratio, p95_ratio }
    }
}

impl Stood {
    /// Whether no call failed.
    pub(super) fn is_good(&self) -> bool {
        let Responses { at_few, at_all, .. } = &self.response_ms;
        at_few.failed + at_all.failed == 0 && at_few.calls > 0 && at_all.calls > 0
    }

    pub(super) fn print(&self) {
        println!("{} on {} connection threads, {}", self.version, self.threads, self.machine);
        println!(
            "  connections                    {:9}, and {} over TLS",
            self.connections, self.tls_connections
        );
        println!("  connects per second            {:9.0}", self.connects_per_second);
        println!("  registrations per second       {:9.0}", self.registrations_per_second);
        println!("  keep-alives per second         {:9.0}", self.keep_alives_per_second);
        println!("  pipelined requests per second  {:9.0}", self.pipelined_requests_per_second);
        println!("  bytes of an idle TCP connection {:8}", self.user_bytes_per_idle_tcp_connection);
        println!(
            "  the same, registered           {:9}, {} of them in control",
            self.user_bytes_per_registered_tcp_connection,
            self.control_bytes_per_registered_tcp_connection
        );
        if let Some(bytes) = self.user_bytes_per_idle_tls_connection {
            println!("  bytes of an idle TLS connection {bytes:8}");
        }
        println!("  bytes in the kernel, of one end {:8}", self.kernel_bytes_per_connection);
        let Responses { at_few, at_all, median_ratio, p95_ratio } = &self.response_ms;
        for at in [at_few, at_all] {
            println!(
                "  INVITE to 200 among {:7}: median {:.2} ms, 95 % {:.2} ms, 99 % {:.2} ms, {} calls, {} failed",
                at.connections, at.median, at.p95, at.p99, at.calls, at.failed
            );
            if let Some(reason) = &at.disturbance.reason {
                println!("    disturbed: {reason}");
            }
        }
        println!("  ratio: median {median_ratio:.2}, 95 % {p95_ratio:.2}");
    }
}
