//! The engine: a Redis Cluster of three masters, each with a replica on another host.

use super::plan::Node;
use crate::lab::shell::run;
use crate::lab::start_daemon;
use anyhow::{Context, Result, bail, ensure};

use std::path::PathBuf;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The port of the server that begins as a master.
pub(super) const MASTER: u16 = 6_379;
/// The port of the server that begins as a replica.
pub(super) const REPLICA: u16 = 6_380;
/// How long the cluster may take until it answers on a machine that is busy.
const START_MAX: Duration = Duration::from_mins(1);

/// Starts the servers of all these hosts and makes one cluster of them.
pub(super) fn up(hosts: &[Node]) -> Result<()> {
    hosts.iter().try_for_each(|node| launch(*node))?;
    hosts.iter().try_for_each(|node| wait_until_ready(*node))?;
    let Some(first) = hosts.first() else { return Ok(()) };
    let servers = [MASTER, REPLICA]
        .into_iter()
        .flat_map(|port| hosts.iter().map(move |node| format!("{}:{port}", node.v4())));
    let servers: Vec<_> = servers.collect();
    let namespace = first.namespace();
    let create = ["netns", "exec", &namespace, "redis-cli", "--cluster", "create"];
    // Masters are the first half. `redis-cli` gives each a replica with another address.
    let options = ["--cluster-replicas", "1", "--cluster-yes"];
    let arguments: Vec<&str> =
        create.into_iter().chain(servers.iter().map(String::as_str)).chain(options).collect();
    run("ip", &arguments)?;
    wait_until_agreed(hosts)
}

/// Starts both servers of a host; what they kept is there again.
pub(super) fn launch(node: Node) -> Result<()> {
    for port in [MASTER, REPLICA] {
        let directory = directory(node, port);
        std::fs::create_dir_all(&directory)?;
        let file = directory.join("redis.conf");
        std::fs::write(&file, settings(node, port))?;
        let mut server = Command::new("redis-server");
        server.arg(&file);
        start_daemon(&node.namespace(), &server, &node.logs().join(format!("{port}.log")))?;
    }
    Ok(())
}

/// Moves so many slots, with what is in them, from the first server of a host to that of another.
///
/// # Errors
/// When one of these does not become a master, or does not answer; what `redis-cli` says.
pub fn move_slots(from: Node, to: Node, count: u16) -> Result<()> {
    settle(&[from, to])?;
    let id = |node| ask(node, MASTER, "CLUSTER MYID").map(|id| id.trim().to_owned());
    let (from_id, to_id) = (id(from)?, id(to)?);
    let cluster = |what: &str, options: &[&str]| {
        let (namespace, at) = (from.namespace(), format!("{}:{MASTER}", from.v4()));
        let words = ["netns", "exec", &namespace, "redis-cli", "--cluster", what, &at];
        let output = Command::new("ip").args(words).args(options).output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let why: Vec<_> = said.lines().filter(|line| line.contains("ERR")).collect();
        let why = if why.is_empty() { said.as_str() } else { &why.join("; ") };
        ensure!(output.status.success(), "redis-cli --cluster {what} {at}: {why}");
        Ok(())
    };
    // Refused until all servers have heard of all that has changed.
    wait_for(|| cluster("check", &[]).is_ok()).context("the Redis Cluster is not whole")?;
    let count = count.to_string();
    let ends = ["--cluster-from", &from_id, "--cluster-to", &to_id];
    cluster("reshard", &[&ends[..], &["--cluster-slots", &count, "--cluster-yes"]].concat())
}

/// Waits until both servers of a host answer.
pub(super) fn wait_until_ready(node: Node) -> Result<()> {
    let answers = |port| ask(node, port, "PING").is_ok_and(|answer| answer.starts_with("PONG"));
    wait_for(|| [MASTER, REPLICA].into_iter().all(answers)).with_context(|| {
        let log = crate::process::last_lines(&node.logs().join(format!("{MASTER}.log")), 5);
        format!("Redis in {} does not answer: is redis-server installed?\n{log}", node.namespace())
    })
}

/// Waits until every server knows that the cluster is whole.
fn wait_until_agreed(hosts: &[Node]) -> Result<()> {
    let agrees = |node: &Node| {
        [MASTER, REPLICA].into_iter().all(|port| {
            let info = ask(*node, port, "CLUSTER INFO").unwrap_or_default();
            info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:6")
        })
    };
    wait_for(|| hosts.iter().all(agrees)).context("the Redis Cluster does not become whole")
}

/// Makes the first server of each of these hosts a master again, after its replica may have taken its place: with two
/// masters on one host, the loss of that host would leave no majority.
pub(super) fn settle(hosts: &[Node]) -> Result<()> {
    let is_master = |node: &Node| {
        let role = ask(*node, MASTER, "ROLE").unwrap_or_default();
        if !role.starts_with("master") {
            // Refused until its copy is whole: then it is asked again.
            let _ = ask(*node, MASTER, "CLUSTER FAILOVER");
        }
        role.starts_with("master")
    };
    wait_for(|| hosts.iter().all(is_master)).context("a server does not become a master again")?;
    wait_until_agreed(hosts)
}

fn wait_for(mut is_so: impl FnMut() -> bool) -> Result<()> {
    let start = Instant::now();
    while !is_so() {
        if start.elapsed() > START_MAX {
            bail!("not within {} s", START_MAX.as_secs());
        }
        sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// What a server answers to a command of words.
fn ask(node: Node, port: u16, command: &str) -> Result<String> {
    let port = port.to_string();
    let (namespace, address) = (node.namespace(), node.v4().to_string());
    let mut arguments = vec!["netns", "exec", &namespace, "redis-cli", "-h", &address, "-p", &port];
    arguments.extend(command.split(' '));
    run("ip", &arguments)
}

fn directory(node: Node, port: u16) -> PathBuf {
    node.directory().join(port.to_string())
}

/// A node that is silent for 1.5 s is taken for dead, so that its replica takes over within some 2 s.
fn settings(node: Node, port: u16) -> String {
    format!(
        "bind {address}\n\
         port {port}\n\
         protected-mode no\n\
         daemonize no\n\
         dir {directory}\n\
         save \"\"\n\
         appendonly yes\n\
         appendfsync everysec\n\
         cluster-enabled yes\n\
         cluster-config-file nodes.conf\n\
         cluster-node-timeout 1000\n\
         cluster-allow-replica-migration no\n",
        address = node.v4(),
        directory = directory(node, port).display(),
    )
}
