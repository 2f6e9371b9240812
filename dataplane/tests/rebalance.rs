//! Live rebalance on a DPDK port: `net_null` has no traffic, but all calls of a redirection table. What the workers would
//! count is played.

use anyhow::{Context, Result};
use control_api::status::RebalanceStatus;
use control_api::{PortRss, RssAction, RssRequest};
use dataplane::decode::Datagram;
use dataplane::flows::{FlowKey, FlowTable};
use dataplane::mailbox::{Event, WorkerEnd, mailbox};
use dataplane::rss::RssDevice;
use dataplane::service::{RssEntry, Service, ServiceParts};
use dataplane::testing::lcore::run_on_lcores;
use nic_config::machine::Machine;
use nic_config::plan::NicPlan;
use nic_config::rss::rebalance::Rebalance;
use nic_config::rss::{Fields, Function, Reta, RssKey, Spread, Tuple};
use nic_config::settings::NicSettings;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, sleep};

const QUEUES: u16 = 2;
const PATIENCE: Duration = Duration::from_secs(40);
/// A worker hands a table over each second; here it is less, so that the test is over sooner.
const TABLE: Duration = Duration::from_millis(100);

/// What the port had at each step.
struct Seen {
    before: PortRss,
    after: PortRss,
    status: RebalanceStatus,
    undone: PortRss,
    then: RebalanceStatus,
}

#[test]
fn entries_of_an_uneven_port_move_and_one_undo_takes_all_back() -> Result<()> {
    let seen = run_on_lcores(&plan()?, Path::new(""), |worker, _queues| {
        (worker == 0).then(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            LocalSet::new().block_on(&runtime, observe())
        })
    })?;
    let seen = seen.into_iter().next().flatten().context("the first lcore looked")??;
    let Seen { before, after, status, undone, then } = seen;
    let last = status.last.clone().context("something moved")?;
    assert!(!last.moves.is_empty() && status.entries >= last.moves.len() as u64, "{status:?}");
    assert!(last.reason.contains("of the mean load for 5 s; it ran empty"), "{}", last.reason);
    let mut expected = before.reta.clone();
    for moved in &last.moves {
        assert_eq!((moved.from, moved.to), (0, 1));
        expected[usize::from(moved.entry)] = moved.to;
    }
    assert_eq!((status.rounds, &after.reta, &after.key), (1, &expected, &before.key));
    assert_eq!((after.undo_steps, undone.undo_steps), (2, 1));
    assert_eq!(undone.reta, before.reta);
    assert!(then.state.starts_with("held: its moves were undone"), "{}", then.state);
    assert_eq!((then.rounds, then.failures), (1, 0));
    Ok(())
}

fn plan() -> Result<NicPlan> {
    let text = format!(
        "[[ports]]\nname = \"core\"\nvdev = \"net_null0\"\nqueues = {QUEUES}\n\
         rss_rebalance = {{ for_seconds = 5, entries = 64 }}\n[lcores]\nworkers = [0, 1]\nservice = 0\n"
    );
    Ok(nic_config::plan::plan(&NicSettings::from_toml(&text)?, &Machine::probe()?)?)
}

async fn observe() -> Result<Seen> {
    let (workers, ends): (Vec<_>, Vec<_>) = (0..QUEUES).map(|_| mailbox()).unzip();
    let asked = Rebalance { for_seconds: 5, entries: 64, ..Rebalance::default() };
    let entry = RssEntry::new("core".to_owned(), QUEUES, RssDevice::Eal("net_null0".to_owned()));
    let service = Service::new(ServiceParts {
        workers: ends,
        lcores: vec![0, 1],
        queues: vec![],
        filters: vec![],
        rss: vec![entry.kept_even(Some(asked))],
        hugepages: false,
        ports: vec![],
        mbufs_total: 0,
        allow_faults: false,
        secret: [7; 16],
        record_owner: Box::new(|_| None),
        drain: Arc::default(),
    });
    let ask = |action| {
        service.rss(RssRequest { port: None, action }).map_err(|error| anyhow::anyhow!("{error}"))
    };
    let reta = Some(Reta::in_turn(128, QUEUES)?.entries().to_vec());
    let before = ask(RssAction::Apply { key: None, reta })?;
    let (one, two) = (Rc::clone(&service), Rc::clone(&service));
    spawn_local(async move { one.serve_workers(|_| {}).await });
    spawn_local(async move { two.rebalance().await });
    let status = play(&service, &workers, |status| status.rounds > 0).await?;
    let after = ask(RssAction::Show)?;
    let undone = ask(RssAction::Undo)?;
    let then = play(&service, &workers, |status| status.state.starts_with("held")).await?;
    Ok(Seen { before, after, status, undone, then })
}

/// Lets the workers count until the port is as it is wanted.
async fn play(
    service: &Service,
    workers: &[WorkerEnd],
    is_enough: impl Fn(&RebalanceStatus) -> bool,
) -> Result<RebalanceStatus> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status = service.status().rebalances.pop().context("the port is kept even")?;
        if is_enough(&status) {
            return Ok(status);
        }
        anyhow::ensure!(Instant::now() < deadline, "{status:?}");
        let show = RssRequest { port: None, action: RssAction::Show };
        let shown = service.rss(show).map_err(|error| anyhow::anyhow!("{error}"))?;
        for (queue, worker) in (0..).zip(workers) {
            while worker.next().is_some() {}
            worker.send(Event::Flows(Box::new(counted(&shown, queue)?)));
        }
        sleep(TABLE).await;
    }
}

/// What the worker of a queue counts: those peers send much that began on the first queue.
fn counted(shown: &PortRss, queue: u16) -> Result<FlowTable> {
    let key = RssKey::new(shown.key.clone().context("it shows its key")?)?;
    let spread = |reta| Spread::new(Function::Toeplitz, Fields::default(), &key, reta);
    let now = spread(Reta::new(shown.reta.clone())?);
    let at_first = spread(Reta::in_turn(128, QUEUES)?);
    let mut table = FlowTable::default();
    for peer in 1..=100 {
        let (source, target) = (([192, 0, 2, peer], 5060).into(), ([198, 51, 100, 1], 5060).into());
        let tuple = Tuple::new(source, target)?;
        if now.queue(&tuple).queue == queue {
            let messages = if at_first.queue(&tuple).queue == 0 { 90 } else { 30 };
            let datagram = Datagram { source, target, payload: 0..0 };
            table.add(FlowKey::of(0, &datagram), messages, 500 * u64::from(messages), 0);
        }
    }
    Ok(table)
}
