//! The service core of the test: it swaps tables without a pause, carries large messages, and ends the process
//! when every worker has done enough.

use super::calls::{Load, settings};
use control_api::DropReason;
use control_api::status::QueueStatus;
use dataplane::mailbox::{Command, Event, ServiceEnd};
use dataplane::parcel::{Errand, Parcel, service_parcels};
use dataplane::stats::QueueCounters;
use dataplane::testing::appliance::{lab_epoch, lab_fib};
use sip_core::quoted_branch;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Messages that each worker must take in all.
const MESSAGES: u64 = 1_000_000;
/// Time for all of it; the cores may be busy with something else, too.
const PATIENCE: Duration = Duration::from_mins(1);

type Worker = (ServiceEnd, Arc<QueueCounters>);

/// Serves the workers until the end of the process.
pub(crate) fn run(workers: &[Worker], load: &Load) {
    let began = Instant::now();
    let mut free = service_parcels();
    let (mut swaps, mut parcels, mut flows) = (0, 0, 0);
    loop {
        for (number, (service, _)) in (1..).zip(workers) {
            swaps += swap_tables(service, swaps + number, &mut flows);
            parcels += carry_parcels(service, &mut free, load);
            if let Some(quoted) = quoted_branch(&load.ours) {
                service.offer(Command::Unreachable(quoted));
            }
        }
        std::thread::sleep(Duration::from_millis(1));
        let status: Vec<_> = workers.iter().map(|(_, queue)| queue.status("calls", 0, 0)).collect();
        // A table of flows comes once in a second, and fast cores have done the rest before.
        let is_done =
            swaps > 20 && parcels > 20 && flows > 0 && status.iter().all(has_done_everything);
        if is_done || began.elapsed() > PATIENCE {
            println!(
                "{swaps} swaps of tables, {parcels} large messages, {flows} tables of flows, {}",
                describe(&status)
            );
            std::process::exit(i32::from(!is_done));
        }
    }
}

/// Gives the tables that the worker has handed back, but for those of flows, which go to it again.
fn swap_tables(service: &ServiceEnd, generation: u64, flows: &mut u64) -> u64 {
    let _ = service.send(Command::Fib(Arc::new(lab_fib(generation, [0, 0], true))));
    let _ = service.send(Command::Epoch(Arc::new(lab_epoch(&settings()))));
    let mut swaps = 0;
    while let Some(event) = service.next() {
        match event {
            Event::Applied { .. } | Event::Retired(_) => swaps += 1,
            Event::Flows(mut table) => {
                *flows += u64::from(table.counts().next().is_some());
                table.clear();
                let _ = service.send(Command::Flows(table));
            }
            _ => {}
        }
    }
    swaps
}

/// Gives the number of messages that a worker has sent through the kernel.
fn carry_parcels(service: &ServiceEnd, free: &mut Vec<Parcel>, load: &Load) -> u64 {
    let mut sent = 0;
    while let Some(mut parcel) = service.parcels.next() {
        if let Errand::Send(origin) = parcel.errand {
            sent += 1;
            parcel.errand = Errand::Sent(origin, true);
            service.parcels.send(parcel);
        } else {
            free.push(parcel);
        }
    }
    if let Some(mut parcel) = free.pop() {
        let addresses = ["10.77.1.2:5060", "10.77.1.1:5060"];
        let [source, target] = addresses.map(|address| address.parse().expect("an address"));
        let message = &load.large[free.len() % 2];
        parcel.room()[..message.len()].copy_from_slice(message);
        parcel.set_received(message.len(), source, target, sip_core::Transport::Udp);
        service.parcels.send(parcel);
    }
    sent
}

fn has_done_everything(queue: &QueueStatus) -> bool {
    queue.received > MESSAGES
        && queue.forwarded > 0
        && queue.absorbed > 0
        && queue.originated > 0
        && queue.handed_off > 0
        && queue.handed_in > 0
}

fn describe(status: &[QueueStatus]) -> String {
    let one = |queue: &QueueStatus| {
        let drops = DropReason::ALL.iter().zip(&queue.dropped).filter(|(_, count)| **count > 0);
        let drops: Vec<_> = drops.map(|(reason, count)| (reason.name(), *count)).collect();
        format!(
            "[{} received, {} forwarded, {} absorbed, {} originated, {} handed off, {} in, {drops:?}]",
            queue.received,
            queue.forwarded,
            queue.absorbed,
            queue.originated,
            queue.handed_off,
            queue.handed_in,
        )
    };
    status.iter().map(one).collect::<Vec<_>>().join(" ")
}
