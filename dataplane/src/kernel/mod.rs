//! What the kernel knows about routes and neighbours, kept true in a [`Fib`].
//!
//! A port's interface keeps its kernel side: addresses, routes, ARP and neighbour discovery stay
//! with the kernel and the tools that people know. [`KernelWatch`] follows them over rtnetlink and
//! asks the kernel for neighbours that workers need. It runs on the service core.
//!
//! - Links, addresses and routes are dumped again after each change of any of them, a burst at a
//!   time. Events alone would not do: the kernel removes IPv4 routes in silence when a link goes
//!   down or an address leaves.
//! - Neighbour events are applied one by one; there are many and each says all.
//! - Workers' packets are invisible to the kernel, so it would never probe the neighbours that they
//!   use. The watch has it probe every neighbour of our links every few seconds, and ask at once
//!   for one that fell silent. So a changed MAC address is followed even without an announcement.
//!
//! Only the main table counts; policy rules, VRFs and encapsulations are not followed. Of a
//! multipath route, the first next hop over a link of ours that is up is taken.

mod decode;
pub mod limits;
mod neighbours;
mod sockets;
mod watcher;

use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::fib::{Fib, NextHop, PathMtus};
use limits::REQUESTS_MAX;
use watcher::Watcher;

/// The kernel interface of one of our ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortInterface {
    /// Index of our port.
    pub port: u8,
    /// Name of the interface in the current network namespace.
    pub name: String,
}

/// Why the watch cannot start, or has to begin anew.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The netlink socket could not be opened or configured.
    #[error("cannot open a netlink route socket: {0}")]
    Socket(#[from] std::io::Error),
    /// The kernel refused a dump.
    #[error("the kernel refused to list its {what}: {source}")]
    Dump {
        /// Links, addresses, routes or neighbours.
        what: &'static str,
        /// The kernel's answer.
        source: rtnetlink::Error,
    },
    /// A dump did not end.
    #[error("the kernel did not finish the list of its tables in {0} s")]
    DumpTimeout(u64),
    /// The main table is larger than we keep.
    #[error("the main routing table has more than {0} routes")]
    TooManyRoutes(usize),
    /// A port's interface is missing.
    #[error("port {port}: no interface named \"{name}\"; check the port's `interface` setting")]
    NoSuchInterface {
        /// Index of our port.
        port: u8,
        /// The name that was looked for.
        name: String,
    },
    /// The event socket ended.
    #[error("the netlink event socket was closed")]
    Closed,
}

/// Follows the kernel's tables from [`KernelWatch::start`] until it is dropped.
#[derive(Debug)]
pub struct KernelWatch {
    pictures: watch::Receiver<Arc<Fib>>,
    requests: mpsc::Sender<NextHop>,
    path_mtus: watch::Sender<Arc<PathMtus>>,
    task: JoinHandle<()>,
}

impl KernelWatch {
    /// Reads all tables of the current network namespace once and goes on to follow them in a task
    /// of the current tokio runtime.
    ///
    /// Each port needs an interface now. One that vanishes later makes its destinations
    /// [`NoRoute`](crate::fib::Lookup::NoRoute) until an interface of that name is back.
    pub async fn start(ports: Vec<PortInterface>) -> Result<Self, KernelError> {
        let (requests, waiting) = mpsc::channel(REQUESTS_MAX);
        let (path_mtus, paths) = watch::channel(Arc::default());
        let (watcher, pictures) = Watcher::start(ports, waiting, paths).await?;
        let task = tokio::spawn(watcher.run());
        Ok(Self { pictures, requests, path_mtus, task })
    }

    /// Makes what is known of the paths behind the first link a part of all pictures from now on.
    pub fn set_path_mtus(&self, path_mtus: Arc<PathMtus>) {
        self.path_mtus.send_replace(path_mtus);
    }

    /// The picture of the moment, and all that follow. Later ones replace each other unseen when
    /// the receiver is slow.
    pub fn pictures(&self) -> watch::Receiver<Arc<Fib>> {
        self.pictures.clone()
    }

    /// Has the kernel ask for the neighbour behind an
    /// [`Unresolved`](crate::fib::Lookup::Unresolved) or [`Failed`](crate::fib::Lookup::Failed)
    /// next hop; the answer comes as a new picture.
    ///
    /// Asking again while the kernel is at it, or within a second after a failure, costs nothing. A
    /// request that does not fit its bound is forgotten (`false`): ask again with the next message.
    pub fn resolve(&self, next_hop: NextHop) -> bool {
        self.requests.try_send(next_hop).is_ok()
    }
}

impl Drop for KernelWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}
