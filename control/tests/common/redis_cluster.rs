//! A Redis Cluster on loopback, of processes of the test's own; they end with it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a cluster may take to come up on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// Three masters, and as many replicas for each as wished.
pub(crate) struct RedisCluster {
    folder: tempfile::TempDir,
    nodes: Vec<Node>,
    password: Option<String>,
}

struct Node {
    port: u16,
    bus: u16,
    process: Mutex<Option<Child>>,
}

impl RedisCluster {
    /// A cluster with so many replicas for each master, and a password if there is to be one.
    pub(crate) fn start(replicas: usize, password: Option<&str>) -> Self {
        // Between the choice of a port and its use another program may take it.
        let cluster = (0..5).find_map(|_| Self::servers(replicas, password));
        let cluster = cluster.expect("redis-server starts");
        let addresses = cluster.addresses().into_iter().map(|address| address.to_string());
        let mut create: Vec<String> = ["--cluster".into(), "create".into()].into();
        create.extend(addresses);
        create.extend(["--cluster-replicas".into(), replicas.to_string(), "--cluster-yes".into()]);
        let create: Vec<&str> = create.iter().map(String::as_str).collect();
        let said = cluster.cli(0, &create);
        assert!(said.contains("All 16384 slots covered"), "{said}");
        cluster.until(|node| cluster.cli(node, &["CLUSTER", "INFO"]).contains("cluster_state:ok"));
        let is_in_sync = |info: &str| {
            info.contains("master_link_status:up")
                || info.contains("role:master") && !info.contains("connected_slaves:0")
        };
        if replicas > 0 {
            cluster.until(|node| is_in_sync(&cluster.cli(node, &["INFO", "replication"])));
        }
        cluster
    }

    /// Servers that know nothing of each other; none when one does not answer soon.
    fn servers(replicas: usize, password: Option<&str>) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let nodes = (0..3 * (1 + replicas)).map(|_| Node::new()).collect();
        let cluster = Self { folder, nodes, password: password.map(str::to_owned) };
        (0..cluster.nodes.len()).for_each(|index| cluster.restart(index));
        let start = Instant::now();
        let answers = |node: usize| {
            while !cluster.cli(node, &["PING"]).contains("PONG") {
                if start.elapsed() > PATIENCE / 6 {
                    return false;
                }
                sleep(Duration::from_millis(50));
            }
            true
        };
        (0..cluster.nodes.len()).all(answers).then_some(cluster)
    }

    /// One without replicas that all tests of a process share as long as one of them runs.
    pub(crate) fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<RedisCluster>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let cluster = Arc::new(Self::start(0, None));
            *shared = Arc::downgrade(&cluster);
            cluster
        })
    }

    /// Where its nodes are; the masters of the beginning are the first three.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        let address = |node: &Node| SocketAddr::from((Ipv4Addr::LOCALHOST, node.port));
        self.nodes.iter().map(address).collect()
    }

    /// Starts a node that does not run.
    pub(crate) fn restart(&self, index: usize) {
        let node = &self.nodes[index];
        let folder: PathBuf = self.folder.path().join(node.port.to_string());
        std::fs::create_dir_all(&folder).expect("a folder");
        let mut command = Command::new("redis-server");
        command.args(["--port", &node.port.to_string(), "--bind", "127.0.0.1"]);
        command.args(["--cluster-enabled", "yes", "--cluster-port", &node.bus.to_string()]);
        command.args(["--cluster-node-timeout", "2000", "--appendonly", "yes", "--save", ""]);
        command.args(["--logfile", "log", "--dir"]).arg(&folder);
        if let Some(password) = &self.password {
            command.args(["--requirepass", password, "--masterauth", password]);
        }
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        *self.process(index) = Some(process.expect("redis-server is installed"));
    }

    /// Kills a node.
    pub(crate) fn kill(&self, index: usize) {
        if let Some(mut process) = self.process(index).take() {
            process.kill().and_then(|()| process.wait()).expect("it ran");
        }
    }

    /// Has nodes stand still (`STOP`), or go on (`CONT`).
    pub(crate) fn signal(&self, nodes: Range<usize>, signal: &str) {
        for index in nodes {
            if let Some(process) = &*self.process(index) {
                let id = process.id().to_string();
                let sent = Command::new("kill").args(["-s", signal, &id]).status();
                assert!(sent.expect("kill").success());
            }
        }
    }

    /// Moves so many slots from one master to another.
    pub(crate) fn move_slots(&self, from: usize, to: usize, count: usize) {
        let ids = [from, to].map(|node| self.cli(node, &["CLUSTER", "MYID"]).trim().to_owned());
        let (at, count) = (self.addresses()[from].to_string(), count.to_string());
        let whole = ["--cluster", "reshard", &at, "--cluster-slots", &count, "--cluster-yes"];
        let ends = ["--cluster-from", &ids[0], "--cluster-to", &ids[1]];
        let said = self.cli(0, &[&whole[..], &ends].concat());
        let check = self.cli(0, &["--cluster", "check", &at]);
        assert!(check.contains("All 16384 slots covered"), "{said}{check}");
    }

    /// What `redis-cli` says to a command for a node.
    pub(crate) fn cli(&self, index: usize, arguments: &[&str]) -> String {
        let mut command = Command::new("redis-cli");
        if arguments.first() != Some(&"--cluster") {
            command.args(["-p", &self.nodes[index].port.to_string()]);
        }
        if let Some(password) = &self.password {
            command.args(["--no-auth-warning", "-a", password]);
        }
        let output = command.args(arguments).output().expect("redis-cli is installed");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Waits until something holds for all nodes.
    fn until(&self, holds: impl Fn(usize) -> bool) {
        let start = Instant::now();
        for index in 0..self.nodes.len() {
            while !holds(index) {
                assert!(start.elapsed() < PATIENCE, "the engine of the test does not come up");
                sleep(Duration::from_millis(50));
            }
        }
    }

    fn process(&self, index: usize) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.nodes[index].process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A server alone, without cluster mode.
pub(crate) struct RedisServer(Child, u16);

impl RedisServer {
    pub(crate) fn start() -> Self {
        let port = free_port();
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let server = Self(process.expect("redis-server is installed"), port);
        let start = Instant::now();
        while TcpStream::connect(server.address()).is_err() {
            assert!(start.elapsed() < PATIENCE, "the server of the test does not come up");
            sleep(Duration::from_millis(20));
        }
        server
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.1))
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Node {
    fn new() -> Self {
        Self { port: free_port(), bus: free_port(), process: Mutex::new(None) }
    }
}

impl Drop for RedisCluster {
    fn drop(&mut self) {
        for index in 0..self.nodes.len() {
            if let Some(mut process) = self.process(index).take() {
                let _ = process.kill();
                let _ = process.wait();
            }
        }
    }
}

/// A port that nobody listens at, of those that the kernel gives to no connection by itself (ip(7),
/// `ip_local_port_range`), and no other test of this process has.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 16_000 + u16::try_from(std::process::id() % 200 * 60).expect("a small number");
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed) % 4_000;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}
