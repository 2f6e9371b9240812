//! The start of the data plane, in order: settings → plan → locks → ports → service core → workers → wait.

use crate::handoff::Handoff;
use crate::limits::SOURCES;
use crate::mailbox::{ServiceEnd, WorkerEnd, mailbox};
use crate::mbuf::DpdkQueues;
use crate::poll_loop::PollLoop;
use crate::probe::SampleClock;
use crate::rss::{RssDevice, fields_of};
use crate::service::{self, Drain, PortFilter, QueueInfo, RssEntry, ServiceParts};
use crate::spill::Spill;
use crate::stats::QueueCounters;
use crate::worker::{Worker, WorkerPort};
use crate::{decode::DecodeRules, kernel::PortInterface};
use anyhow::{Context, Result};
use capsule::Runtime;
use capsule::UnixSignal;
use control_api::status::{KERNEL_PORT, PortStatus};
use core::net::SocketAddr;
use nic_config::cleanup::remove_leftovers;
use nic_config::location::LocationCapacity;
use nic_config::lock::InstanceLock;
use nic_config::machine::Machine;
use nic_config::plan::{NicPlan, PortPlan};
use nic_config::registrar::{FAILURES, NONCES};
use nic_config::settings::NicSettings;
use nic_config::{eal, xdp};
use serde::Deserialize;
use sip_core::record::RecordOwners;
use sip_core::{Digest, DigestSizes, LocationSizes, Share, TransactionSizes};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{SystemTime, UNIX_EPOCH};

/// Where the management socket and the XDP object lie, unless `[appliance] run_directory` says otherwise.
const RUN_DIRECTORY: &str = "/run/trunkline";

/// Runs the data plane until SIGTERM or SIGINT.
///
/// # Errors
/// One line that names the setting, or what the machine lacks, and what to do.
pub fn run(config: &Path, allow_faults: bool) -> Result<()> {
    let (text, settings) = read(config)?;
    let plan = nic_config::plan::plan(&settings, &Machine::probe()?)?;
    for warning in &plan.warnings {
        tracing::warn!("{warning}");
    }
    let run_directory = run_directory(&text)?;
    std::fs::create_dir_all(&run_directory)
        .with_context(|| format!("cannot create {}", run_directory.display()))?;
    let lock = InstanceLock::acquire(&plan)?;
    for leftover in remove_leftovers(&plan, &lock)? {
        tracing::warn!("removed what an earlier run left: {leftover}");
    }
    let ended = run_ports(&plan, &run_directory, allow_faults);
    remove_leftovers(&plan, &lock)?;
    ended
}

/// The text of the configuration and what concerns us in it; when it is broken, that of the last one that control
/// had in force.
fn read(config: &Path) -> Result<(String, NicSettings)> {
    let load = |path: &Path| {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let settings = NicSettings::from_toml(&text)
            .map_err(|error| anyhow::anyhow!("{}: {}", path.display(), one_line(&error, &text)));
        anyhow::Ok((text, settings))
    };
    let (text, settings) = load(config)?;
    let broken = match settings {
        Ok(settings) => return Ok((text, settings)),
        Err(broken) => broken,
    };
    let Some(kept) = nic_config::last_good::find(config, &text) else { return Err(broken) };
    tracing::error!("THE FILE IS BROKEN, {} is used instead: {broken}", kept.display());
    let (text, settings) = load(&kept)?;
    Ok((text, settings?))
}

/// Starts the ports and all that works on them, and waits for the end.
fn run_ports(plan: &NicPlan, run_directory: &Path, allow_faults: bool) -> Result<()> {
    let object = xdp::write_object(run_directory)?;
    crate::rss::write_to_interfaces(plan)?;
    let mut runtime = build_runtime(plan, &object)?;
    crate::rss::write_at_start(plan);
    let filters = open_filters(plan)?;
    let queues = Queues::new(plan);
    let drain = Arc::new(Drain::default());
    let socket = run_directory.join("dataplane.sock");
    let secret = random_bytes()?;
    let owners = RecordOwners::new(&secret, u8::try_from(plan.workers.len())?);
    let parts = ServiceParts {
        workers: queues.workers.iter().map(|(_, service)| service.clone()).collect(),
        lcores: plan.workers.iter().map(|worker| worker.lcore).collect(),
        queues: queues.infos(plan),
        filters,
        rss: plan.ports.iter().map(rss_entry).collect(),
        hugepages: plan.memory.hugepages,
        ports: plan.ports.iter().map(granted).collect(),
        mbufs_total: plan.memory.pool.mbufs * plan.memory.pools,
        allow_faults,
        secret,
        record_owner: Box::new(move |record| owners.of(record)),
        drain: Arc::clone(&drain),
    };
    start_service(plan, parts, socket)?;
    install_workers(&mut runtime, plan, queues, secret)?;
    stop_on_signal(&mut runtime, drain);
    tracing::info!("{plan}");
    runtime.execute().context("the poll-mode runtime failed")
}

fn rss_entry(port: &PortPlan) -> RssEntry {
    let entry = RssEntry::new(port.name.clone(), port.queues, RssDevice::of(port));
    entry.kept_even(port.rss_rebalance)
}

/// A mistake in the file as one line that names the place.
fn one_line(error: &toml::de::Error, text: &str) -> String {
    let start = error.span().map_or(0, |span| span.start);
    let line = text[..start.min(text.len())].matches('\n').count() + 1;
    format!("line {line}: {}", error.message().replace('\n', "; "))
}

#[derive(Default, Deserialize)]
struct RunDirectory {
    #[serde(default)]
    appliance: Appliance,
}

#[derive(Default, Deserialize)]
struct Appliance {
    run_directory: Option<PathBuf>,
}

/// `[appliance] run_directory`; the rest of the file is control's.
fn run_directory(text: &str) -> Result<PathBuf> {
    let settings: RunDirectory = toml::from_str(text)?;
    Ok(settings.appliance.run_directory.unwrap_or_else(|| RUN_DIRECTORY.into()))
}

/// EAL, mempools and ports, by capsule.
fn build_runtime(plan: &NicPlan, xdp_object: &Path) -> Result<Runtime> {
    crate::mbuf::set_profiles(plan);
    let config = eal::runtime_config(plan, xdp_object);
    let config = toml::from_str(&config).context("capsule refuses the plan")?;
    Runtime::build(config).context("EAL or a port did not start; its own message stands above")
}

/// What a port that has been configured is, and what its driver granted.
fn granted(port: &PortPlan) -> PortStatus {
    let id = capsule_ffi::port_by_name(&port.eal_device);
    let info = id.and_then(capsule_ffi::port_info);
    let grant = id.and_then(capsule_ffi::port_grant).unwrap_or_default();
    let [rx_offloads, tx_offloads] = grant.offload_names();
    let fields = fields_of(grant.rss_hf).to_string();
    PortStatus {
        name: port.name.clone(),
        driver: info.as_ref().map_or_else(String::new, |info| info.driver.clone()),
        mtu: grant.mtu,
        rss_fields: fields.split_terminator(',').map(str::to_owned).collect(),
        reta_size: info.as_ref().map_or(0, |info| info.reta_size),
        rss_key_bytes: info.as_ref().map_or(0, |info| info.rss_key_size),
        rx_offloads,
        tx_offloads,
        nic_checksums: grant.has_udp_checksum(),
    }
}

/// One filter for each port that shares its interface with the kernel; all of them empty.
fn open_filters(plan: &NicPlan) -> Result<Vec<Box<dyn PortFilter + Send>>> {
    let interfaces = plan.ports.iter().filter_map(|port| port.interface_name());
    interfaces
        .map(|interface| {
            let filter = xdp::SipFilter::find(interface)?;
            Ok(Box::new(filter) as Box<dyn PortFilter + Send>)
        })
        .collect()
}

impl PortFilter for xdp::SipFilter {
    fn set(&mut self, listen: &[SocketAddr]) -> Result<()> {
        Ok(Self::set(self, listen)?)
    }
}

/// The mailboxes and counters of every worker.
struct Queues {
    workers: Vec<(WorkerEnd, ServiceEnd)>,
    /// Per worker, per port.
    counters: Vec<Vec<Arc<QueueCounters>>>,
}

impl Queues {
    fn new(plan: &NicPlan) -> Self {
        let counters = || plan.ports.iter().map(|_| Arc::default()).collect();
        Self {
            workers: plan.workers.iter().map(|_| mailbox()).collect(),
            counters: plan.workers.iter().map(|_| counters()).collect(),
        }
    }

    /// Every queue pair, and for each worker what goes through the kernel.
    fn infos(&self, plan: &NicPlan) -> Vec<QueueInfo> {
        let kernel =
            plan.workers.iter().zip(&self.workers).map(|(worker, (_, service))| QueueInfo {
                port: KERNEL_PORT.to_owned(),
                queue: worker.queue,
                lcore: worker.lcore,
                counters: Arc::clone(service.parcels.counters()),
            });
        let pairs = plan.workers.iter().zip(&self.counters).flat_map(|(worker, counters)| {
            plan.ports.iter().zip(counters).map(|(port, counters)| QueueInfo {
                port: port.name.clone(),
                queue: worker.queue,
                lcore: worker.lcore,
                counters: Arc::clone(counters),
            })
        });
        pairs.chain(kernel).collect()
    }
}

/// Starts the service core's thread, pinned to its lcore, and waits until it is ready.
fn start_service(plan: &NicPlan, parts: ServiceParts, socket: PathBuf) -> Result<()> {
    let ports = plan.ports.iter().zip(0_u8..);
    let interfaces = ports
        .filter_map(|(port, index)| {
            let name = port.kernel_side()?.to_owned();
            Some(PortInterface { port: index, name })
        })
        .collect();
    let lcore = usize::from(plan.service);
    let (ready, is_ready) = mpsc::sync_channel(1);
    std::thread::Builder::new()
        .name("service".to_owned())
        .spawn(move || {
            core_affinity::set_for_current(core_affinity::CoreId { id: lcore });
            service::run(parts, interfaces, &socket, &ready);
        })
        .context("cannot start the service core's thread")?;
    is_ready.recv().context("the service core's thread ended")?
}

/// Puts a worker on each lcore of the plan.
fn install_workers(
    runtime: &mut Runtime,
    plan: &NicPlan,
    queues: Queues,
    secret: [u8; 16],
) -> Result<()> {
    let clock = quanta::Clock::new(); // Calibrated once, here; workers only read it.
    let share = Share { workers: u16::try_from(plan.workers.len())? };
    let handoffs = Handoff::for_workers(plan.workers.len());
    let mut spills = if plan.spill { Spill::for_workers(plan.workers.len()) } else { vec![] };
    spills.resize_with(plan.workers.len(), Spill::default);
    let sizes = TransactionSizes {
        transactions: plan.memory.transactions,
        buffers: plan.memory.message_buffers,
    };
    let boot = random_number()?;
    let LocationCapacity { aors, bindings, text_blocks } = plan.memory.location;
    let location = LocationSizes { aors, bindings, text_blocks };
    let digest = DigestSizes { nonces: NONCES, failures: FAILURES };
    let count = u8::try_from(plan.workers.len())?;
    let epoch_ms = epoch_ms(&clock)?;
    let rings = handoffs.into_iter().zip(spills);
    let workers = plan.workers.iter().zip(queues.workers).zip(queues.counters).zip(rings);
    for ((((lcore, (mailbox, _)), counters), rings), number) in workers.zip(0_u8..) {
        let io = DpdkQueues::open(plan, lcore.queue)?;
        let ports = plan.ports.iter().zip(counters).map(|(port, counters)| WorkerPort {
            rules: DecodeRules { verify_checksums: port.verify_checksums },
            counters,
        });
        let (ports, clock, idle) = (ports.collect(), clock.clone(), plan.idle);
        // capsule asks for `Sync`, though only the lcore's own thread takes what is in here.
        let parts = Mutex::new(Some((io, ports, mailbox, rings)));
        runtime.add_pipeline_to_core(usize::from(lcore.lcore), move |_queues| {
            let parts = parts.lock().ok().and_then(|mut parts| parts.take());
            let (io, ports, mailbox, (handoff, spill)) = parts.expect("an installer runs once");
            capsule_ffi::thread_register().expect("EAL has room for every lcore of the plan");
            let probe = SampleClock::new(clock.clone(), Arc::clone(&mailbox.counters));
            let worker = Worker::new(io, ports, mailbox, clock, probe);
            let worker = worker.sharing(share).beside(handoff).spilling(spill);
            let worker = worker.with_transactions(sizes, number, boot);
            let worker = worker.with_location(location, [number, count], secret, epoch_ms);
            let worker = worker.with_names(boot);
            let worker = worker.with_digest(Digest::new(digest, number, &secret));
            let worker = worker.with_sources(SOURCES, &secret).counting_flows(boot);
            PollLoop::new(worker, idle)
        })?;
    }
    Ok(())
}

/// Milliseconds from 1970 to the zero of the clock.
fn epoch_ms(clock: &quanta::Clock) -> Result<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    let running = clock.delta_as_nanos(0, clock.raw()) / 1_000_000;
    Ok(u64::try_from(now.as_millis())?.saturating_sub(running))
}

/// A number that nobody can guess, and that no earlier process had.
fn random_number() -> Result<u64> {
    random_bytes().map(u64::from_ne_bytes)
}

/// Bytes that nobody can guess.
fn random_bytes<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .context("/dev/urandom")?;
    Ok(bytes)
}

/// The first SIGTERM or SIGINT asks the service core to drain; it then signals the process once more, and
/// that ends the runtime. SIGHUP is control's business.
fn stop_on_signal(runtime: &mut Runtime, drain: Arc<Drain>) {
    runtime.set_on_signal(move |signal| match signal {
        UnixSignal::SIGHUP => false,
        UnixSignal::SIGINT | UnixSignal::SIGTERM => drain.is_done() || drain.request(),
    });
}
