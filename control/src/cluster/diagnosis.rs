//! Why the engine cannot be used, asked of its nodes one by one.

use crate::config::Cluster;
use anyhow::{Error, Result, anyhow};
use redis::{Client, RedisError};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::timeout;

/// How long a node may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is wrong and what to do, in one line; none when each node by itself seems well.
pub(super) async fn diagnose(cluster: &Cluster, password: Option<&str>) -> Option<Error> {
    let mut unreachable = Vec::new();
    for node in &cluster.engine {
        let asked = ask(*node, cluster.username.as_deref(), password);
        match timeout(PATIENCE, asked).await.unwrap_or_else(|_| Err("does not answer".into())) {
            Ok(info) if info.contains("cluster_state:ok") => {}
            Ok(_) => {
                return Some(anyhow!(
                    "the engine is there, but its cluster is down (cluster_state:fail): look with \
                     `redis-cli --cluster check {node}`"
                ));
            }
            Err(why) => match explained(&why) {
                Some(what) => return Some(anyhow!("the engine at {node} {what}")),
                None => unreachable.push(format!("{node}: {why}")),
            },
        }
    }
    (unreachable.len() == cluster.engine.len()).then(|| {
        let nodes = unreachable.join("; ");
        anyhow!("no node of the engine answers ({nodes}): start it, or correct cluster.engine")
    })
}

async fn ask(
    node: SocketAddr,
    username: Option<&str>,
    password: Option<&str>,
) -> Result<String, String> {
    let said = |error: RedisError| error.to_string();
    let client = Client::open(format!("redis://{node}")).map_err(said)?;
    let mut connection = client.get_multiplexed_async_connection().await.map_err(said)?;
    if let Some(password) = password {
        let mut command = redis::cmd("AUTH");
        command.arg(username).arg(password);
        command.query_async::<()>(&mut connection).await.map_err(said)?;
    }
    redis::cmd("CLUSTER").arg("INFO").query_async(&mut connection).await.map_err(said)
}

/// What to do about an answer of the engine.
fn explained(why: &str) -> Option<&'static str> {
    if why.contains("NOAUTH") || why.contains("Authentication required") {
        return Some("wants a password: name its file in cluster.password_file");
    }
    if why.contains("NOPERM") {
        return Some("does not let this user do what is needed: give it all commands on its keys");
    }
    if ["WRONGPASS", "invalid username-password", "AUTH"].iter().any(|sign| why.contains(sign)) {
        return Some("refuses the password: correct cluster.username and cluster.password_file");
    }
    why.contains("cluster support disabled").then_some(
        "is no Redis Cluster: start its nodes with `cluster-enabled yes` and join them with \
         `redis-cli --cluster create`",
    )
}
