//! What other nodes have changed, on its way to the workers; and shares that this node is to hold from now on.
//!
//! The logs of all shards are read ten times a second. A blocking read would have to have a connection for each shard,
//! since a command of the engine cannot name keys of two slots. One task does all of it, one thing after the other, so
//! that of two states of an AoR the workers always get the later one last.

use super::engine::{Engine, Entries, Position, shards};
use super::fields::millis;
use super::hub::{ForWorkers, Hub};
use super::keys::{SHARDS, shard_of};
use super::picture::Load;
use super::share::{Share, ShareOf};
use crate::limits::{FOLLOW_EVERY, FOLLOW_MAX, FOLLOW_PATIENCE, SCRIPT_AORS, SHADOW_SWEEP};
use anyhow::{Error, Result};
use control_api::location::RECORDS_MAX;
use futures_util::future::{join_all, try_join_all};
use sip_core::record::records;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{debug, info};

/// What outlives a connection.
pub(super) struct Follower {
    share_of: ShareOf,
    share: Option<Share>,
    /// How far each log was read; none before it was looked at.
    positions: [Option<Position>; SHARDS as usize],
    loading: Option<Loading>,
    /// Since when some log has not been read to its end.
    behind_since: Option<Instant>,
    swept: Instant,
}

/// A load of AoRs that workers have not, or not as they are.
struct Loading {
    /// Where the next page of each shard begins that is not done.
    cursors: BTreeMap<u8, u64>,
    /// What this node held before: that is left out.
    before: Option<Share>,
    since: Instant,
    aors: u64,
}

impl Follower {
    pub(super) fn new(mut share_of: ShareOf, hub: &Hub) -> Self {
        let share = share_of.now(&hub.cluster);
        hub.share.send_replace(share.clone());
        Self {
            share_of,
            share,
            positions: [None; SHARDS as usize],
            loading: None,
            behind_since: None,
            swept: Instant::now(),
        }
    }

    /// Whether this node holds an AoR.
    pub(super) fn holds(&self, aor: &str) -> bool {
        self.share.as_ref().is_some_and(|share| share.has(aor))
    }

    /// Remembers where the logs end, of those that were not looked at: what is read from now on is at least as new.
    ///
    /// # Errors
    /// A shard that does not answer.
    pub(super) async fn begin(&mut self, engine: &Engine) -> Result<()> {
        let new = shards().filter(|shard| self.positions[usize::from(*shard)].is_none());
        let looks = new.map(async |shard| {
            Ok::<_, anyhow::Error>((shard, engine.follow(shard, None, None).await?.last))
        });
        for (shard, last) in try_join_all(looks).await? {
            self.positions[usize::from(shard)] = Some(last);
        }
        Ok(())
    }

    /// Follows for as long as the connection lasts.
    pub(super) async fn follow(&mut self, hub: &Hub, engine: &Engine) -> ! {
        loop {
            self.look_at_share(hub);
            look_up(hub, engine).await;
            let is_behind = match self.turn(hub, engine).await {
                Ok(is_behind) => is_behind,
                Err(error) => {
                    debug!("cluster: {error:#}");
                    self.behind_since.get_or_insert_with(Instant::now);
                    false
                }
            };
            if self.swept.elapsed() > SHADOW_SWEEP {
                hub.sweep();
                self.swept = Instant::now();
            }
            let lag = self.behind_since.map_or(0, |since| millis(since.elapsed()));
            hub.picture
                .send_if_modified(|picture| std::mem::replace(&mut picture.lag_ms, lag) != lag);
            hub.set_whole(self.loading.is_none() && self.behind_since.is_none());
            let wake = Instant::now() + if is_behind { Duration::ZERO } else { FOLLOW_EVERY };
            while Instant::now() < wake
                && timeout_at(wake, hub.has_lookups.notified()).await.is_ok()
            {
                look_up(hub, engine).await;
            }
        }
    }

    /// Begins a load when the share has changed or all is wanted.
    fn look_at_share(&mut self, hub: &Hub) {
        if hub.takes_all() {
            self.load(hub, None);
        }
        if !self.share_of.has_changed() {
            return;
        }
        let new = self.share_of.now(&hub.cluster);
        let Some(new) = new else { return }; // Without such a set nobody says what to hold.
        let old = self.share.replace(new.clone());
        hub.share.send_replace(Some(new.clone()));
        match old {
            Some(old) if old.is(&new) => {}
            old => {
                let members: Vec<_> = new.up().iter().map(ToString::to_string).collect();
                info!("cluster: members that share users now: {}", members.join(", "));
                self.load(hub, old);
            }
        }
    }

    /// Begins a load of what this node holds and did not hold `before`.
    fn load(&mut self, hub: &Hub, before: Option<Share>) {
        // One that is under way began with an older share: all is looked at then.
        let before = if self.loading.is_some() { None } else { before };
        hub.set_whole(false);
        let cursors = shards().map(|shard| (shard, 0)).collect();
        self.loading = Some(Loading { cursors, before, since: Instant::now(), aors: 0 });
    }

    /// Reads what is new in the logs, and a page of what is being loaded; gives whether there is more.
    async fn turn(&mut self, hub: &Hub, engine: &Engine) -> Result<bool> {
        hub.begin_reading();
        let read = join_all(shards().map(|shard| {
            let behind = self.positions[usize::from(shard)].unwrap_or_default();
            let look =
                timeout(FOLLOW_PATIENCE, engine.follow(shard, Some(behind), hub.made(shard)));
            async move { (shard, look.await.map_err(Error::from).flatten()) }
        }));
        let (mut aors, mut positions, mut failed) = (BTreeSet::new(), vec![], None);
        for (shard, read) in read.await {
            match read {
                Ok(read) => {
                    let position = self.take(hub, shard, &read, &mut aors);
                    positions.push((shard, position, read.changed.len()));
                }
                Err(error) => failed = Some(error),
            }
        }
        aors.extend(hub.again());
        let followed = give(hub, engine, aors).await?;
        let is_full = |(_, _, count): &(u8, Position, usize)| *count >= usize::from(FOLLOW_MAX);
        let is_behind = positions.iter().any(is_full);
        for (shard, position, _) in positions {
            self.positions[usize::from(shard)] = Some(position);
        }
        if followed > 0 {
            hub.picture.send_modify(|picture| picture.followed += followed);
        }
        if let Some(error) = failed {
            return Err(error);
        }
        if is_behind {
            self.behind_since.get_or_insert_with(Instant::now);
        } else {
            self.behind_since = None;
        }
        let has_more = self.load_page(hub, engine).await?;
        Ok(is_behind || has_more)
    }

    /// Adds the AoRs of a log that workers have or are to have to `aors`; gives how far it is read then.
    fn take(
        &mut self,
        hub: &Hub,
        shard: u8,
        read: &Entries,
        aors: &mut BTreeSet<String>,
    ) -> Position {
        let behind = self.positions[usize::from(shard)].unwrap_or_default();
        let is_trimmed = read.first > behind && behind != Position::default();
        let is_lost = read.lost.is_some() || read.last < behind;
        if is_trimmed && !read.changed.is_empty() || is_lost {
            // We were away for too long, or another node of the engine has taken over and lacks what we have seen.
            info!(
                shard,
                "cluster: a log does not go on where it was read to: the shard is read again"
            );
            let loading = self.loading.get_or_insert_with(|| Loading {
                cursors: BTreeMap::new(),
                before: None,
                since: Instant::now(),
                aors: 0,
            });
            loading.cursors.insert(shard, 0);
            loading.before = None;
            hub.write_again(shard);
            return read.last;
        }
        for (_, aor, node) in &read.changed {
            if *node != hub.node && (self.holds(aor) || hub.has(aor)) {
                aors.insert(aor.clone());
            }
        }
        read.changed.last().map_or(behind, |(position, ..)| *position)
    }

    /// Loads a page of each shard; gives whether there is more.
    async fn load_page(&mut self, hub: &Hub, engine: &Engine) -> Result<bool> {
        let Some(loading) = &self.loading else { return Ok(false) };
        if loading.aors == 0 && loading.cursors.values().all(|cursor| *cursor == 0) {
            info!("cluster: the share of this node is being loaded");
        }
        let pages = loading.cursors.iter().map(|(shard, cursor)| engine.page(*shard, *cursor));
        let pages = try_join_all(pages).await?;
        let is_wanted = |aor: &String| {
            let is_known = loading.before.as_ref().is_some_and(|before| before.has(aor));
            (self.holds(aor) && !is_known) || (loading.before.is_none() && hub.has(aor))
        };
        let aors = pages.iter().flat_map(|(_, aors)| aors).filter(|aor| is_wanted(aor)).cloned();
        let given = give(hub, engine, aors.collect()).await?;
        let Some(loading) = &mut self.loading else { return Ok(false) };
        loading.aors += given;
        let shards: Vec<_> = loading.cursors.keys().copied().collect();
        for (shard, (next, _)) in shards.into_iter().zip(pages) {
            match next {
                0 => drop(loading.cursors.remove(&shard)),
                next => drop(loading.cursors.insert(shard, next)),
            }
        }
        let load = Load { aors: loading.aors, for_ms: millis(loading.since.elapsed()) };
        let has_more = !loading.cursors.is_empty();
        if !has_more {
            self.loading = None;
            info!(aors = load.aors, ms = load.for_ms, "cluster: the share of this node is loaded");
        }
        hub.picture.send_modify(|picture| {
            if has_more {
                picture.load = Some(load);
            } else {
                picture.end_load(load);
            }
        });
        Ok(has_more)
    }
}

/// Gives the workers what there is of the AoRs that they have asked for, and says so. A shard that does not answer does
/// not hold up the others; it is tried again for as long as the workers wait.
async fn look_up(hub: &Hub, engine: &Engine) {
    let asked = hub.take_lookups();
    if asked.is_empty() {
        return;
    }
    hub.begin_reading();
    let mut shards = BTreeMap::<u8, Vec<_>>::new();
    for (aor, lookup) in asked {
        shards.entry(shard_of(&aor)).or_default().push((aor, lookup));
    }
    let reads = shards.into_values().map(async |asked| {
        let read = read(engine, asked.iter().map(|(aor, _)| aor.clone()));
        (timeout(FOLLOW_PATIENCE, read).await.map_err(Error::from).flatten(), asked)
    });
    for (read, asked) in join_all(reads).await {
        let given = match read {
            Ok(read) => give_records(hub, read).await,
            Err(error) => Err(error),
        };
        let way = match given {
            Ok(_) => hub.replacements.reserve().await.map_err(Error::from),
            Err(error) => Err(error),
        };
        match way {
            Ok(way) => {
                let askers = asked.into_iter().flat_map(|(_, lookup)| lookup.askers);
                way.send(ForWorkers::Answer(askers.collect()));
            }
            Err(error) => {
                debug!("cluster: {error:#}");
                hub.put_back(asked);
            }
        }
    }
}

/// Reads AoRs and gives them to the workers; gives how many.
async fn give(hub: &Hub, engine: &Engine, aors: BTreeSet<String>) -> Result<u64> {
    if aors.is_empty() {
        return Ok(0);
    }
    give_records(hub, read(engine, aors).await?).await
}

async fn give_records(hub: &Hub, read: Vec<Vec<u8>>) -> Result<u64> {
    let mut given = 0;
    let mut message = Vec::with_capacity(RECORDS_MAX);
    for record in read {
        if message.len() + record.len() > RECORDS_MAX {
            given += send(hub, &mut message).await?;
        }
        message.extend_from_slice(&record);
    }
    Ok(given + send(hub, &mut message).await?)
}

async fn send(hub: &Hub, message: &mut Vec<u8>) -> Result<u64> {
    // A place first: what is said to be given must be given.
    let way = hub.replacements.reserve().await?;
    let given = hub.replace(way, message);
    message.clear();
    Ok(given)
}

/// The records of AoRs, all shards at once.
pub(super) async fn read(
    engine: &Engine,
    aors: impl IntoIterator<Item = String>,
) -> Result<Vec<Vec<u8>>> {
    let mut shards = BTreeMap::<u8, Vec<String>>::new();
    for aor in aors {
        shards.entry(shard_of(&aor)).or_default().push(aor);
    }
    let parts = shards
        .iter()
        .flat_map(|(shard, aors)| aors.chunks(SCRIPT_AORS).map(|some| engine.read(*shard, some)));
    Ok(try_join_all(parts).await?.into_iter().flatten().collect())
}

/// Reads all AoRs that `is_wanted`, page by page, and gives each page's records, one behind the other.
///
/// # Errors
/// A shard that does not answer; what `take` says.
pub(super) async fn read_all(
    engine: &Engine,
    is_wanted: impl Fn(&str) -> bool,
    mut take: impl AsyncFnMut(Vec<u8>) -> Result<()>,
) -> Result<()> {
    let mut cursors: BTreeMap<u8, u64> = shards().map(|shard| (shard, 0)).collect();
    while !cursors.is_empty() {
        let pages = cursors.iter().map(|(shard, cursor)| engine.page(*shard, *cursor));
        let pages = try_join_all(pages).await?;
        let aors = pages.iter().flat_map(|(_, aors)| aors).filter(|aor| is_wanted(aor)).cloned();
        let aors: BTreeSet<String> = aors.collect();
        let mut piece = Vec::with_capacity(RECORDS_MAX);
        for record in read(engine, aors).await? {
            // What has ended since stands in the index for a while.
            if records(&record).flatten().all(|record| record.is_deletion()) {
                continue;
            }
            if piece.len() + record.len() > RECORDS_MAX {
                take(std::mem::take(&mut piece)).await?;
            }
            piece.extend_from_slice(&record);
        }
        if !piece.is_empty() {
            take(piece).await?;
        }
        let shards: Vec<_> = cursors.keys().copied().collect();
        for (shard, (next, _)) in shards.into_iter().zip(pages) {
            match next {
                0 => drop(cursors.remove(&shard)),
                next => drop(cursors.insert(shard, next)),
            }
        }
    }
    Ok(())
}
