//! The thread that speaks with the engine: connects, says that this node is there, writes, follows, and answers who
//! asks for bindings; when the connection fails, all over again.

use super::engine::{Engine, Lease};
use super::fields::unix_ms;
use super::follower::{Follower, read, read_all};
use super::hub::{Hub, Source};
use super::picture::{Node, Picture};
use super::presence;
use super::share::ShareOf;
use super::writer::write;
use crate::limits::{CLOCKS_APART, ENGINE_RETRY_FIRST, ENGINE_RETRY_MAX, LEASE, LEASE_EVERY};
use crate::location::keeper::Piece;
use anyhow::{Error, Result, anyhow, ensure};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use sip_core::record::records;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

/// What is asked of the engine's bindings.
pub(super) enum Ask {
    /// The record of an AoR.
    Get(String, oneshot::Sender<Result<Option<Vec<u8>>>>),
    /// All records.
    All(mpsc::Sender<Piece>),
    /// Those of AoRs that this node holds, for workers that have begun anew.
    Share(mpsc::Sender<Piece>),
    /// The end of that, as soon as the engine answers: workers that have begun without get their share as
    /// replacements.
    Late(mpsc::Sender<Piece>),
}

/// Who this node is.
pub(super) struct Who {
    pub(super) instance: String,
    pub(super) fingerprint: String,
    pub(super) started_unix_ms: u64,
}

/// Works until nobody can ask any more.
pub(super) async fn run(
    hub: Arc<Hub>,
    who: Who,
    share_of: ShareOf,
    mut asks: mpsc::UnboundedReceiver<Ask>,
) {
    let mut follower = Follower::new(share_of, &hub);
    let mut pause = ENGINE_RETRY_FIRST;
    let mut late = Vec::new();
    loop {
        let ended = session(&hub, &who, &mut follower, &mut asks, &mut late, &mut pause).await;
        let Err(error) = ended else { return };
        hub.picture.send_modify(Picture::lose_engine);
        hub.set_trouble(Source::Connection, Some(format!("{error:#}")));
        let wake = Instant::now() + pause;
        pause = (pause * 2).min(ENGINE_RETRY_MAX);
        loop {
            let ask = tokio::select! {
                () = tokio::time::sleep_until(wake) => break,
                ask = asks.recv() => ask,
            };
            match ask {
                None => return,
                Some(Ask::Late(pieces)) => late.push(pieces),
                Some(Ask::Get(_, answer)) => {
                    let _ = answer.send(Err(anyhow!("the engine does not answer: {error:#}")));
                }
                // Whose pieces end without a mark knows that reading has failed.
                Some(Ask::All(_) | Ask::Share(_)) => {}
            }
        }
    }
}

/// One connection; ends well when nobody can ask any more.
async fn session(
    hub: &Arc<Hub>,
    who: &Who,
    follower: &mut Follower,
    asks: &mut mpsc::UnboundedReceiver<Ask>,
    late: &mut Vec<mpsc::Sender<Piece>>,
    pause: &mut Duration,
) -> Result<()> {
    let engine = Engine::connect(&hub.cluster).await?;
    let engine_ms = lease(hub, who, &engine).await?;
    compare_clocks(engine_ms);
    follower.begin(&engine).await?;
    hub.picture.send_modify(|picture| picture.is_connected = true);
    hub.set_trouble(Source::Connection, None);
    *pause = ENGINE_RETRY_FIRST;
    info!(name = hub.cluster.name, node = hub.node, "cluster: connected to the engine");
    for pieces in late.drain(..) {
        begin_late(hub, &pieces);
    }
    tokio::select! {
        error = keep_lease(hub, who, &engine) => Err(error),
        error = write(hub, &engine) => Err(error),
        never = follower.follow(hub, &engine) => never,
        () = answer(hub, &engine, asks) => Ok(()),
    }
}

/// Says that this node is there; gives the engine's time.
async fn lease(hub: &Hub, who: &Who, engine: &Engine) -> Result<u64> {
    let (aors, changes_waiting) = hub.counts();
    let node = Node {
        name: hub.node.clone(),
        age_ms: 0,
        member: hub.cluster.member,
        instance: who.instance.clone(),
        started_unix_ms: who.started_unix_ms,
        aors,
        changes_waiting,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    match engine.lease(&node, &who.fingerprint).await? {
        Lease::Held(now, nodes) => {
            presence::tell(&hub.node, &hub.picture.borrow().nodes, &nodes);
            hub.picture.send_modify(|picture| {
                picture.nodes = nodes;
                (picture.aors_held, picture.changes_waiting) = (aors, changes_waiting);
            });
            Ok(now)
        }
        Lease::NameTaken(other) => {
            let member = other.member.map_or("no member".to_owned(), |at| format!("member {at}"));
            Err(anyhow!(
                "another node of the cluster is called {} ({member}, instance {}): give each its own name in \
                 cluster.node or appliance.name",
                hub.node,
                other.instance
            ))
        }
        Lease::OtherSecret => Err(anyhow!(
            "the nodes of the cluster {} have another secret: give this one the same appliance.secret_file",
            hub.cluster.name
        )),
    }
}

/// Says so again and again; ends when that does not work for the time of a lease, or another has the name.
async fn keep_lease(hub: &Hub, who: &Who, engine: &Engine) -> Error {
    let mut last = Instant::now();
    loop {
        sleep(LEASE_EVERY).await;
        match lease(hub, who, engine).await {
            Ok(_) => last = Instant::now(),
            Err(error) if last.elapsed() > LEASE || !is_of_engine(&error) => return error,
            Err(error) => tracing::debug!("cluster: {error:#}"),
        }
    }
}

/// Whether the engine has failed, and not refused.
fn is_of_engine(error: &Error) -> bool {
    error
        .chain()
        .any(|cause| cause.is::<redis::RedisError>() || cause.is::<tokio::time::error::Elapsed>())
}

fn compare_clocks(engine_ms: u64) {
    let apart = Duration::from_millis(engine_ms.abs_diff(unix_ms()));
    if apart > CLOCKS_APART {
        let seconds = apart.as_secs();
        warn!(
            "cluster: the clocks of this machine and of the engine are {seconds} s apart: bindings are not harmed, \
             but set both by NTP"
        );
    }
}

/// Answers questions, side by side.
async fn answer(hub: &Hub, engine: &Engine, asks: &mut mpsc::UnboundedReceiver<Ask>) {
    let mut answers = FuturesUnordered::new();
    loop {
        tokio::select! {
            ask = asks.recv() => match ask {
                Some(ask) => answers.push(answer_one(hub, engine, ask)),
                None => return,
            },
            Some(()) = answers.next() => {}
        }
    }
}

async fn answer_one(hub: &Hub, engine: &Engine, ask: Ask) {
    match ask {
        Ask::Get(aor, answer) => {
            let is_there =
                |record: &Vec<u8>| records(record).flatten().any(|one| !one.is_deletion());
            let found = read(engine, [aor]).await;
            let _ = answer.send(found.map(|mut all| all.pop().filter(is_there)));
        }
        Ask::All(pieces) => read_pieces(engine, &pieces, |_| true, |_| {}).await,
        Ask::Share(pieces) => {
            hub.workers_are_empty();
            let share = hub.share.borrow().clone();
            let is_held = |aor: &str| share.as_ref().is_some_and(|share| share.has(aor));
            read_pieces(engine, &pieces, is_held, |piece| hub.loaded(piece)).await;
            // Tells when the workers have had it all.
            if let Ok(way) = hub.replacements.reserve().await {
                hub.replace(way, &[]);
            }
        }
        Ask::Late(pieces) => begin_late(hub, &pieces),
    }
}

async fn read_pieces(
    engine: &Engine,
    pieces: &mpsc::Sender<Piece>,
    is_wanted: impl Fn(&str) -> bool,
    see: impl Fn(&[u8]),
) {
    let ended = read_all(engine, is_wanted, async |piece| {
        see(&piece);
        let is_heard = pieces.send(Piece::Records(piece)).await.is_ok();
        ensure!(is_heard, "nobody listens any more");
        Ok(())
    });
    match ended.await {
        Ok(()) => _ = pieces.send(Piece::End).await,
        Err(error) => warn!("cluster: the bindings cannot be read: {error:#}"),
    }
}

fn begin_late(hub: &Hub, pieces: &mpsc::Sender<Piece>) {
    hub.workers_are_empty();
    hub.want_all();
    let _ = pieces.try_send(Piece::End);
}
