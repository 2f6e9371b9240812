//! The load scenario: how fast a worker takes in what was stored.

use super::super::super::Arguments;
use super::{KEY, check_memory, sizes_for};
use crate::disturbance::{Disturbance, Watch};
use anyhow::{Result, ensure};
use dataplane::huge_pages::ask_for_huge_pages;
use dataplane::testing::appliance::lab_settings;
use serde::Serialize;
use sip_core::record::{self, BindingView};
use sip_core::{LoadCounts, Location, Tables, Transport};
use std::io::Write;
use std::time::{Duration, Instant};

/// Bytes of a batch of records, as control sends them.
const BATCH: usize = 64 << 10;

/// The result of one run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct LoadReport {
    scenario: &'static str,
    /// Records taken in, of one binding each.
    aors: u64,
    /// Time of the worker.
    seconds: f64,
    aors_per_second: f64,
    bytes_per_record: f64,
    allocations_per_aor: f64,
    /// Until its memory was there.
    memory_seconds: f64,
    #[serde(flatten)]
    disturbance: Disturbance,
}

/// Runs the scenario.
///
/// # Errors
/// One line that says what is missing.
#[expect(clippy::cast_precision_loss, reason = "a report, not an account")]
pub(in crate::pipeline) fn run(arguments: &Arguments) -> Result<()> {
    ask_for_huge_pages()?;
    let (users, sizes) = (arguments.alive, sizes_for(arguments.alive));
    check_memory(sizes)?;
    let tables = Tables::build(&lab_settings())?;
    let watch = Watch::start(&arguments.lcores[..1])?;
    eprintln!("pipeline: {users} records are loaded");
    let began = Instant::now();
    let mut location = Location::new(sizes, 0, 1, KEY);
    let memory_seconds = began.elapsed().as_secs_f64();
    location.set_time(1, super::EPOCH_MS);
    let mut batch = Vec::with_capacity(2 * BATCH);
    let (mut loaded, mut bytes, mut time, mut allocations) = (0, 0, Duration::ZERO, 0);
    for user in 0..users {
        write_record(user, &mut batch)?;
        if batch.len() < BATCH && user + 1 < users {
            continue;
        }
        let mut taken = Ok(LoadCounts::default());
        let began = Instant::now();
        let counted = allocation_counter::measure(|| taken = location.load(&batch, &tables));
        time += began.elapsed();
        loaded += taken?.aors;
        allocations += counted.count_total;
        bytes += batch.len();
        batch.clear();
    }
    ensure!(loaded == u64::from(users), "{loaded} of {users} were loaded");
    let report = LoadReport {
        scenario: "load",
        aors: loaded,
        seconds: time.as_secs_f64(),
        aors_per_second: loaded as f64 / time.as_secs_f64(),
        bytes_per_record: bytes as f64 / loaded as f64,
        allocations_per_aor: allocations as f64 / loaded as f64,
        memory_seconds,
        disturbance: watch.finish(&[])?,
    };
    if let Some(path) = arguments.json.as_deref() {
        crate::json::write(&report, path)?;
    }
    if arguments.json.as_deref() != Some("-") {
        print(&report)?;
    }
    Ok(())
}

fn write_record(user: u32, batch: &mut Vec<u8>) -> Result<()> {
    let uri = format!("sip:u{user:08}@10.77.1.2:5060;transport=udp");
    let instance = format!("\"<urn:uuid:00000000-0000-1000-8000-0000{user:08}>\"");
    let binding = BindingView {
        uri: uri.as_bytes(),
        instance: instance.as_bytes(),
        path: b"",
        expires_unix_ms: super::EPOCH_MS + 3_600_000,
        call_id_hash: u64::from(user),
        cseq: 1,
        reg_id: 0,
        q: 1_000,
        is_flow: false,
        source: "10.77.1.2:5060".parse()?,
        listen: crate::corpus::CALLER_SIDE.parse()?,
        transport: Transport::Udp,
    };
    record::write(&format!("u{user:08}@example.com"), &[binding], batch)?;
    Ok(())
}

fn print(report: &LoadReport) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{} AoRs with one binding each loaded in {:.2} s of one worker: {:.2} million/s",
        report.aors,
        report.seconds,
        report.aors_per_second / 1e6
    )?;
    writeln!(
        out,
        "  {:.0} bytes per record, {:.4} allocations for each; its memory was there after {:.2} s",
        report.bytes_per_record, report.allocations_per_aor, report.memory_seconds
    )?;
    if let Some(reason) = &report.disturbance.reason {
        writeln!(out, "  DISTURBED: {reason}")?;
    }
    Ok(())
}
