//! One kernel socket on each listen point. Through them comes what the kernel put together from
//! fragments (and what the XDP program left to it), through them leaves what is larger than the MTU,
//! and they collect the ICMP errors of everything that was sent from the listen points.

use super::connections::Connections;
use super::icmp::{self, IcmpError, Told};
use super::listen_socket::bind_patiently;
use super::pace::Pace;
use super::path_mtu::PathMtuTable;
use super::unreachable::UnreachableHosts;
use crate::fib::{Fib, PathMtus};
use crate::limits::{BIND_RETRY, PATH_MTU_AGE, PATH_MTU_PAUSE, SEND_ATTEMPTS_MAX, SOCKET_BATCH};
use crate::mailbox::{Command, ServiceEnd};
use crate::parcel::{Errand, Parcel, service_parcels};
use control_api::status::KernelStatus;
use control_api::{UnreachableHost, UnreachableSign};
use core::hash::BuildHasher;
use core::net::SocketAddr;
use hashbrown::{DefaultHashBuilder, HashMap};
use sip_core::Transport;
use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, spawn_local, yield_now};
use tokio::time::{Instant, sleep, timeout};

/// The kernel sockets and all that they tell.
pub(super) struct KernelSockets {
    workers: Vec<ServiceEnd>,
    pub(super) connections: Connections,
    free: RefCell<Vec<Parcel>>,
    /// Workers have been looked at: there may be parcels again, for one that was behind.
    pub(super) home: Notify,
    /// How often workers are looked at.
    pub(super) pace: Pace,
    listen: RefCell<HashMap<SocketAddr, ListenPoint>>,
    fib: RefCell<Option<Arc<Fib>>>,
    unreachable: RefCell<UnreachableHosts>,
    path_mtus: RefCell<PathMtuTable>,
    has_new_path: Notify,
    counters: Cell<KernelStatus>,
    hasher: DefaultHashBuilder,
}

/// The task that serves a listen point, and its socket once that is bound.
struct ListenPoint {
    task: AbortHandle,
    socket: Option<Rc<UdpSocket>>,
}

impl KernelSockets {
    /// Without any socket yet.
    pub(super) fn new(workers: Vec<ServiceEnd>) -> Rc<Self> {
        Rc::new(Self {
            workers,
            connections: Connections::default(),
            free: RefCell::new(service_parcels()),
            home: Notify::new(),
            pace: Pace::new(),
            listen: RefCell::default(),
            fib: RefCell::default(),
            unreachable: RefCell::default(),
            path_mtus: RefCell::default(),
            has_new_path: Notify::new(),
            counters: Cell::default(),
            hasher: DefaultHashBuilder::default(),
        })
    }

    /// Serves exactly these listen points from now on, each as soon as its address is there.
    pub(super) fn listen_on(self: &Rc<Self>, points: &[SocketAddr]) {
        let mut listen = self.listen.borrow_mut();
        listen.retain(|address, point| {
            let stays = points.contains(address);
            if !stays {
                point.task.abort();
            }
            stays
        });
        for &address in points {
            listen.entry(address).or_insert_with(|| {
                let task = spawn_local(Rc::clone(self).serve(address)).abort_handle();
                ListenPoint { task, socket: None }
            });
        }
    }

    /// Notes where messages go, for judging what ICMP says about paths.
    pub(super) fn set_fib(&self, fib: Arc<Fib>) {
        self.fib.replace(Some(fib));
    }

    /// Does the errands of the parcels that a worker has sent. Gives whether there were any.
    pub(super) fn take_parcels(&self, worker: usize) -> bool {
        let mut has_found = false;
        while let Some(mut parcel) = self.workers[worker].parcels.next() {
            has_found = true;
            match parcel.errand {
                Errand::Send(origin) => {
                    let is_sent = if parcel.transport.is_connection() {
                        self.connections.send(&parcel)
                    } else {
                        self.send(&parcel)
                    };
                    self.count(|counters| {
                        if is_sent { counters.sent += 1 } else { counters.send_failed += 1 }
                    });
                    parcel.errand = Errand::Sent(origin, is_sent);
                    self.workers[worker].parcels.send(parcel);
                }
                Errand::HandOver(owner) if usize::from(owner) < self.workers.len() => {
                    parcel.errand = Errand::HandedIn;
                    self.workers[usize::from(owner)].parcels.send(parcel);
                }
                _ => {
                    self.free.borrow_mut().push(parcel);
                }
            }
        }
        // The worker may have caught up even when it has sent nothing.
        self.home.notify_waiters();
        has_found
    }

    /// The signs of unreachable hosts since the last call.
    pub(super) fn take_unreachable(&self) -> Vec<UnreachableHost> {
        self.unreachable.borrow_mut().take()
    }

    /// Notes that a message did not reach this host.
    pub(super) fn note_unreachable(&self, host: SocketAddr, sign: UnreachableSign) -> bool {
        self.unreachable.borrow_mut().note(host, sign)
    }

    /// A reading of all counters.
    pub(super) fn status(&self) -> KernelStatus {
        let open = self.listen.borrow().values().filter(|point| point.socket.is_some()).count();
        KernelStatus {
            sockets: u32::try_from(open).unwrap_or(u32::MAX),
            path_mtus: u32::try_from(self.path_mtus.borrow().len()).unwrap_or(u32::MAX),
            ..self.counters.get()
        }
    }

    /// Hands every change of the path MTUs to `publish`, for ever.
    pub(super) async fn follow_path_mtus(&self, publish: impl Fn(Arc<PathMtus>)) -> ! {
        loop {
            let is_new = timeout(PATH_MTU_AGE / 60, self.has_new_path.notified()).await.is_ok();
            let has_expired = self.path_mtus.borrow_mut().expire(Instant::now());
            if is_new || has_expired {
                publish(Arc::new(self.path_mtus.borrow().snapshot()));
                sleep(PATH_MTU_PAUSE).await;
            }
        }
    }

    async fn serve(self: Rc<Self>, address: SocketAddr) {
        let socket = Rc::new(bind_patiently(address).await);
        if let Some(point) = self.listen.borrow_mut().get_mut(&address) {
            point.socket = Some(Rc::clone(&socket));
        }
        loop {
            match socket.ready(Interest::READABLE | Interest::ERROR).await {
                Ok(ready) if ready.is_error() => self.read_errors(&socket),
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%address, "kernel socket: {error}");
                    sleep(BIND_RETRY).await;
                }
            }
            self.receive(&socket, address);
            if self.free.borrow().is_empty() {
                self.home.notified().await;
            }
            yield_now().await;
        }
    }

    /// Hands datagrams to the workers, a flow always to the same one.
    fn receive(&self, socket: &UdpSocket, address: SocketAddr) {
        for _ in 0..SOCKET_BATCH {
            let Some(mut parcel) = self.free.borrow_mut().pop() else { return };
            match socket.try_recv_from(parcel.room()) {
                Ok((length, source)) => {
                    // Without scope and flow label, by which two addresses would differ.
                    let source = SocketAddr::new(source.ip(), source.port());
                    parcel.set_received(length, source, address, Transport::Udp);
                    self.give(parcel);
                    self.count(|counters| counters.received += 1);
                }
                Err(error) => {
                    self.free.borrow_mut().push(parcel);
                    if error.kind() == io::ErrorKind::WouldBlock {
                        return;
                    }
                    self.read_errors(socket); // The ICMP error of a message that we sent.
                }
            }
        }
    }

    /// Hands a parcel to the worker of its source.
    pub(super) fn give(&self, parcel: Parcel) {
        self.workers[self.worker_of(parcel.source)].parcels.send(parcel);
        self.pace.expect();
    }

    /// A parcel that is at home, for a message from this source, unless its worker should get no more.
    pub(super) fn take_free_for(&self, source: SocketAddr) -> Option<Parcel> {
        let is_behind = self.workers[self.worker_of(source)].parcels.is_behind();
        if is_behind { None } else { self.free.borrow_mut().pop() }
    }

    fn worker_of(&self, source: SocketAddr) -> usize {
        let worker = self.hasher.hash_one(source) % self.workers.len() as u64;
        #[expect(clippy::cast_possible_truncation, reason = "less than the workers")]
        let worker = worker as usize;
        worker
    }

    /// Gives a worker a command that matters less than others.
    pub(super) fn offer(&self, worker: u8, command: Command) -> bool {
        self.workers.get(usize::from(worker)).is_some_and(|worker| worker.offer(command))
    }

    fn send(&self, parcel: &Parcel) -> bool {
        let socket = self.listen.borrow().get(&parcel.source).and_then(|p| p.socket.clone());
        let Some(socket) = socket else { return false };
        for _ in 0..SEND_ATTEMPTS_MAX {
            match socket.try_send_to(parcel.message(), parcel.target) {
                Ok(_) => return true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                // It may be the ICMP error of an earlier message, to whomever.
                Err(_) => self.read_errors(&socket),
            }
        }
        false
    }

    fn read_errors(&self, socket: &UdpSocket) {
        for _ in 0..SOCKET_BATCH {
            match socket.try_io(Interest::ERROR, || icmp::next_error(socket.as_fd())) {
                Ok(Some(told)) => self.take_error(told),
                Ok(None) => self.count(|counters| counters.ignored += 1),
                Err(_) => return,
            }
        }
    }

    fn take_error(&self, Told { host, error, quoted }: Told) {
        let is_news = match error {
            IcmpError::Unreachable(sign) => {
                if let Some(quoted) = quoted {
                    // When it is not taken, a timer finds out.
                    let _ = self.offer(quoted.worker(), Command::Unreachable(quoted));
                }
                self.note_unreachable(host, sign)
            }
            IcmpError::TooBig(mtu) => self.learn_path_mtu(host, mtu),
            IcmpError::Other => false,
        };
        self.count(|counters| match error {
            _ if !is_news => counters.ignored += 1,
            IcmpError::Unreachable(_) => counters.unreachable += 1,
            _ => counters.too_big += 1,
        });
    }

    fn learn_path_mtu(&self, host: SocketAddr, mtu: u32) -> bool {
        let way_out = self.fib.borrow().as_ref().and_then(|fib| fib.way_out(host.ip()));
        let is_news = way_out.is_some_and(|way_out| {
            self.path_mtus.borrow_mut().learn(host.ip(), mtu, way_out.mtu, Instant::now())
        });
        if is_news {
            tracing::info!(host = %host.ip(), mtu, "a smaller path MTU");
            self.has_new_path.notify_one();
        }
        is_news
    }

    fn count(&self, change: impl FnOnce(&mut KernelStatus)) {
        let mut counters = self.counters.get();
        change(&mut counters);
        self.counters.set(counters);
    }
}

#[cfg(test)]
mod tests;
