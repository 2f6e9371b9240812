//! The service core: everything of the data plane that may block, allocate or call the kernel.
//!
//! One thread, not poll-mode. It watches the kernel's routes and neighbours, speaks with control over the
//! management socket, hands epochs and routing tables to the workers and frees what they hand back. It owns
//! a kernel socket on every listen point, for what is larger than one frame and for what ICMP says, and it is the way
//! to the connections that control has.

mod aliases;
mod bans;
mod connections;
mod credentials;
mod flows;
mod icmp;
mod kernel_sockets;
mod link;
mod listen_socket;
mod location;
mod names;
mod pace;
mod path_mtu;
mod rebalance;
mod rss;
mod state;
mod unreachable;

pub use location::RecordOwner;
pub use rss::RssEntry;
pub use state::{Drain, PortFilter, QueueInfo, Service, ServiceParts};

use crate::kernel::{KernelWatch, PortInterface};
use anyhow::{Context, Result};
use std::path::Path;
use std::rc::Rc;
use std::sync::mpsc::SyncSender;
use tokio::task::LocalSet;
use tokio_seqpacket::UnixSeqpacketListener;

/// Runs the service core on the calling thread until the data plane has drained. Says on `ready`
/// whether it could start.
///
/// A failure later ends the whole process: workers without a service core would never learn of a
/// new neighbour. The supervisor starts the process again.
pub fn run(
    parts: ServiceParts,
    interfaces: Vec<PortInterface>,
    socket: &Path,
    ready: &SyncSender<Result<()>>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = runtime.context("cannot start the service core").and_then(|runtime| {
        LocalSet::new().block_on(&runtime, async {
            let watch = KernelWatch::start(interfaces).await?;
            let listener = link::bind(socket)?;
            let _ = ready.send(Ok(()));
            let folder = socket.parent().context("the sockets need a folder")?;
            serve(Service::new(parts), &watch, listener, folder).await
        })
    });
    if let Err(error) = ended
        && let Err(unsent) = ready.try_send(Err(error))
    {
        tracing::error!("the service core failed: {unsent}");
        std::process::abort();
    }
}

async fn serve(
    service: Rc<Service>,
    watch: &KernelWatch,
    listener: UnixSeqpacketListener,
    folder: &Path,
) -> Result<()> {
    tokio::select! {
        never = service.serve_workers(|next_hop| { watch.resolve(next_hop); }) => never,
        never = service.forget_in_time() => never,
        never = service.watch_store() => never,
        never = service.tell_systemd() => never,
        never = service.rebalance() => never,
        ended = follow_kernel(&service, watch) => ended,
        never = service.follow_path_mtus(|path_mtus| watch.set_path_mtus(path_mtus)) => never,
        ended = Rc::clone(&service).serve_links(listener) => ended,
        ended = service.serve_connections(folder) => ended,
        () = service.drain() => {
            // The runtime's own signal handler takes the second one as the end.
            let this = rustix::process::getpid();
            rustix::process::kill_process(this, rustix::process::Signal::TERM)
                .context("cannot signal the end")
        }
    }
}

/// Hands every new picture of routes and neighbours to the workers.
async fn follow_kernel(service: &Service, watch: &KernelWatch) -> Result<()> {
    let mut pictures = watch.pictures();
    loop {
        let fib = pictures.borrow_and_update().clone();
        service.publish_fib(fib).await;
        pictures.changed().await.context("the watch over routes and neighbours ended")?;
    }
}
