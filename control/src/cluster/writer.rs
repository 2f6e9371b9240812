//! Changes on their way to the engine: round by round all that waits, all shards at once. So one change of an AoR never
//! overtakes another, and what comes during a round goes together in the next.

use super::engine::Engine;
use super::fields::Change;
use super::hub::{Hub, Source};
use super::keys::shard_of;
use crate::limits::{ENGINE_RETRY_FIRST, ENGINE_RETRY_MAX, LEASE, SCRIPT_AORS};
use anyhow::{Error, Result};
use futures_util::future::join_all;
use std::collections::BTreeMap;
use tokio::time::{Instant, sleep};

/// Writes for as long as the connection lasts; gives why that was, when nothing has helped for the time of a lease.
pub(super) async fn write(hub: &Hub, engine: &Engine) -> Error {
    let mut pause = ENGINE_RETRY_FIRST;
    let mut well = Instant::now();
    loop {
        let news = hub.has_changes.notified();
        if !hub.begin_round() {
            news.await;
            well = Instant::now();
            continue;
        }
        let failed = round(hub, engine).await;
        if hub.end_round() {
            hub.set_trouble(Source::Writing, None);
            (pause, well) = (ENGINE_RETRY_FIRST, Instant::now());
            continue;
        }
        if let Some(error) = failed {
            if well.elapsed() > LEASE {
                return error;
            }
            hub.set_trouble(Source::Writing, Some(format!("the engine takes nothing: {error:#}")));
        }
        sleep(pause).await;
        pause = (pause * 2).min(ENGINE_RETRY_MAX);
    }
}

/// Gives why some of it could not be written, if so.
async fn round(hub: &Hub, engine: &Engine) -> Option<Error> {
    let mut shards = BTreeMap::<u8, Vec<(String, Vec<Change>)>>::new();
    for (aor, changes) in hub.in_flight() {
        shards.entry(shard_of(&aor)).or_default().push((aor, changes));
    }
    let all = shards.iter().map(|(shard, aors)| write_shard(hub, engine, *shard, aors));
    join_all(all).await.into_iter().find_map(Result::err)
}

async fn write_shard(
    hub: &Hub,
    engine: &Engine,
    shard: u8,
    aors: &[(String, Vec<Change>)],
) -> Result<()> {
    for some in aors.chunks(SCRIPT_AORS) {
        let (written, refused, made) = engine.write(shard, &hub.node, some).await?;
        hub.written(shard, some.iter().map(|(aor, _)| aor), made);
        hub.picture.send_modify(|picture| {
            picture.written += written;
            picture.refused += refused;
        });
    }
    Ok(())
}
