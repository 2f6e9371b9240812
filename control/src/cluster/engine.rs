//! The engine: a Redis Cluster, asked by scripts of one shard each.

use super::fields::{Change, millis, to_record, unix_ms};
use super::keys::{Keys, SHARDS};
use super::picture::Node;
use crate::limits::{ENGINE_ANSWER_MAX, FOLLOW_MAX, LEASE, SHARD_LOG, SHARD_PAGE, TOMBSTONE};
use anyhow::{Context, Result, anyhow, bail};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{FromRedisValue, Script, ScriptInvocation, Value};
use std::sync::LazyLock;
use tokio::time::timeout;

use super::diagnosis::diagnose;
use crate::config::Cluster;

static WRITE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("write.lua")));
static READ: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("read.lua")));
static FOLLOW: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("follow.lua")));
static LEASE_SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lease.lua")));

/// A connection to the engine. It is many: one to each of its nodes, on which questions go out one behind the other.
#[derive(Clone)]
pub(super) struct Engine {
    connection: ClusterConnection,
    keys: Keys,
}

/// What stands in a log behind a position.
#[derive(Debug, Default)]
pub(super) struct Entries {
    /// The oldest entry that is there.
    pub(super) first: Position,
    /// The newest one.
    pub(super) last: Position,
    /// An entry that was there, and is not: a master has died with it.
    pub(super) lost: Option<Position>,
    /// AoR and node, with the place of each.
    pub(super) changed: Vec<(Position, String, String)>,
}

/// The place of an entry in a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position(u64, u64);

impl Position {
    fn read(text: &str) -> Result<Self> {
        let parts =
            text.split_once('-').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        parts.map(|(ms, number)| Self(ms, number)).context("the engine gave no position")
    }

    /// None where it is before all entries.
    fn at_entry(self) -> Option<Self> {
        (self != Self::default()).then_some(self)
    }

    fn text(self) -> String {
        format!("{}-{}", self.0, self.1)
    }
}

/// What a node hears when it says that it is there.
pub(super) enum Lease {
    /// The engine's time in milliseconds, and all nodes.
    Held(u64, Vec<Node>),
    /// Another node has its name.
    NameTaken(Node),
    /// The others have another secret.
    OtherSecret,
}

impl Engine {
    /// Connects to the engine.
    ///
    /// # Errors
    /// One line that says what is wrong and what to do.
    pub(super) async fn connect(cluster: &Cluster) -> Result<Self> {
        let password = password(cluster)?;
        let nodes = cluster.engine.iter().map(|node| format!("redis://{node}"));
        let mut builder = ClusterClient::builder(nodes)
            .connection_timeout(ENGINE_ANSWER_MAX / 3)
            // Less than we wait: then it asks who has the slots now, and tries there.
            .response_timeout(ENGINE_ANSWER_MAX / 2)
            .retries(3)
            .min_retry_wait(20)
            .max_retry_wait(300);
        if let Some(username) = &cluster.username {
            builder = builder.username(username);
        }
        if let Some(password) = &password {
            builder = builder.password(password);
        }
        let client = builder.build()?;
        let connected = timeout(ENGINE_ANSWER_MAX, client.get_async_connection()).await;
        let error = match connected {
            Ok(Ok(connection)) => return Ok(Self { connection, keys: Keys::new(cluster) }),
            Ok(Err(error)) => anyhow!("{error}"),
            Err(_) => anyhow!("it does not answer"),
        };
        Err(diagnose(cluster, password.as_deref()).await.unwrap_or(error))
    }

    /// Writes changes of AoRs of one shard, each field that is newer than what is there. Gives how many fields were
    /// written, how many were older, and the last entry of the log that this has made.
    pub(super) async fn write(
        &self,
        shard: u8,
        node: &str,
        aors: &[(String, Vec<Change>)],
    ) -> Result<(u64, u64, Option<Position>)> {
        let now = unix_ms();
        let mut call = WRITE.prepare_invoke();
        call.key(self.keys.log(shard)).key(self.keys.index(shard));
        for (aor, _) in aors {
            call.key(self.keys.aor(shard, aor));
        }
        call.arg(node).arg(millis(TOMBSTONE)).arg(SHARD_LOG);
        for (aor, changes) in aors {
            let left = |change: &Change| {
                change.live.as_ref().map_or(Some(0), |live| {
                    let left = live.expires_unix_ms.saturating_sub(now);
                    (left > 0).then_some(left)
                })
            };
            let alive: Vec<_> =
                changes.iter().filter_map(|change| Some((change, left(change)?))).collect();
            call.arg(aor).arg(alive.len());
            for (change, left) in alive {
                call.arg(&change.id[..]).arg(change.age_ms()).arg(left);
                match &change.live {
                    Some(live) => {
                        let hash = live.call.to_be_bytes();
                        call.arg(live.cseq).arg(&hash[..]).arg(&live.record[..])
                    }
                    None => call.arg(0).arg(&[0_u8; 8][..]).arg(""),
                };
            }
        }
        let (written, refused, logged): (_, _, String) = self.call(&call).await?;
        Ok((written, refused, Position::read(&logged)?.at_entry()))
    }

    /// The records of AoRs of one shard, times by our clock.
    pub(super) async fn read(&self, shard: u8, aors: &[String]) -> Result<Vec<Vec<u8>>> {
        let mut call = READ.prepare_invoke();
        for aor in aors {
            call.key(self.keys.aor(shard, aor));
        }
        let reply: Vec<Value> = self.call(&call).await?;
        let our_ms = unix_ms();
        let mut values = reply.into_iter();
        let Some(Value::Int(now)) = values.next() else { bail!("the engine gave no time") };
        let now = u64::try_from(now)?;
        let record = |(aor, value): (&String, Value)| {
            let fields: Vec<Vec<u8>> = redis::from_redis_value(value)?;
            let mut record = Vec::new();
            let values = fields.iter().skip(1).step_by(2).map(Vec::as_slice);
            to_record(aor, values, (now, our_ms), &mut record);
            Ok(record)
        };
        aors.iter().zip(values).map(record).collect()
    }

    /// What stands in the log of a shard behind a position; without one, only where it begins and ends. `made`: the last
    /// entry that this node has made.
    pub(super) async fn follow(
        &self,
        shard: u8,
        behind: Option<Position>,
        made: Option<Position>,
    ) -> Result<Entries> {
        let mut call = FOLLOW.prepare_invoke();
        call.key(self.keys.log(shard));
        call.arg(behind.map(Position::text).unwrap_or_default()).arg(FOLLOW_MAX);
        let reply: Vec<String> = self.call(call.arg(made.unwrap_or_default().text())).await?;
        let [first, last, lost, entries @ ..] = reply.as_slice() else {
            bail!("the engine gave no log");
        };
        let mut read = Entries {
            first: Position::read(first)?,
            last: Position::read(last)?,
            lost: Position::read(lost)?.at_entry(),
            changed: vec![],
        };
        for entry in entries.chunks_exact(3) {
            if let [id, aor, node] = entry {
                read.changed.push((Position::read(id)?, aor.clone(), node.clone()));
            }
        }
        Ok(read)
    }

    /// A page of the AoRs of a shard, and where the next one begins; 0 behind the last.
    pub(super) async fn page(&self, shard: u8, cursor: u64) -> Result<(u64, Vec<String>)> {
        let mut command = redis::cmd("ZSCAN");
        command.arg(self.keys.index(shard)).arg(cursor).arg("COUNT").arg(SHARD_PAGE);
        let mut connection = self.connection.clone();
        let answer = timeout(ENGINE_ANSWER_MAX, command.query_async(&mut connection)).await;
        let (next, scored): (u64, Vec<String>) = answer.context("the engine does not answer")??;
        Ok((next, scored.into_iter().step_by(2).collect()))
    }

    /// Says that this node is there.
    pub(super) async fn lease(&self, node: &Node, fingerprint: &str) -> Result<Lease> {
        let mut call = LEASE_SCRIPT.key(self.keys.nodes());
        call.key(self.keys.secret()).arg(&node.name).arg(&node.instance).arg(millis(LEASE));
        call.arg(fingerprint).arg(serde_json::to_string(node)?);
        let reply: Vec<Value> = self.call(&call).await?;
        let text = |value: &Value| redis::from_redis_value::<String>(value.clone());
        let number = |value: &Value| redis::from_redis_value::<u64>(value.clone());
        let [kind, rest @ ..] = reply.as_slice() else { bail!("the engine gave no lease") };
        match (text(kind)?.as_str(), rest) {
            ("secret", _) => Ok(Lease::OtherSecret),
            ("name", [shown, ..]) => {
                Ok(Lease::NameTaken(serde_json::from_str(&text(shown)?).unwrap_or_default()))
            }
            ("", [now, nodes @ ..]) => {
                let mut all = Vec::new();
                for entry in nodes.chunks_exact(3) {
                    // Of another version, perhaps.
                    if let [name, age, shown] = entry
                        && let Ok(node) = serde_json::from_str::<Node>(&text(shown)?)
                    {
                        all.push(Node { name: text(name)?, age_ms: number(age)?, ..node });
                    }
                }
                all.sort_by(|one, other| one.name.cmp(&other.name));
                Ok(Lease::Held(number(now)?, all))
            }
            _ => bail!("the engine gave no lease"),
        }
    }

    async fn call<T: FromRedisValue>(&self, call: &ScriptInvocation<'_>) -> Result<T> {
        let mut connection = self.connection.clone();
        let answer = timeout(ENGINE_ANSWER_MAX, call.invoke_async(&mut connection)).await;
        Ok(answer.context("the engine does not answer")??)
    }
}

/// All shards.
pub(super) fn shards() -> std::ops::Range<u8> {
    0..SHARDS
}

fn password(cluster: &Cluster) -> Result<Option<String>> {
    let Some(file) = &cluster.password_file else { return Ok(None) };
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("cluster.password_file {} cannot be read", file.display()))?;
    Ok(Some(text.trim().to_owned()))
}
