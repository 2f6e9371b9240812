//! Bindings that several nodes share, in a Redis Cluster (docs/cluster.md, decision 33).
//!
//! ```text
//!  workers ── Changes ──► hub: shadow, what waits ──► writer ──► engine: {east:17}:a:AOR, {east:17}:log
//!     ▲                                                             │
//!     ├────── Replace ◄── what others changed, new shares ◄── follower
//!     └────── Answer ◄─── AoRs that a worker has asked for ◄─────┘
//! ```
//!
//! - [`session`] is the thread that speaks with the engine: connection, lease, questions.
//! - [`writer`] brings changes there, [`follower`] what others have changed here; [`hub`] is what they share.
//! - [`shadow`]: what the workers have, so that it is seen what was removed. [`share`]: what this node holds.
//! - [`lookups`]: AoRs that workers do not have, and others may.
//! - [`recent`]: what the engine got lately, and may lose.
//! - [`engine`]: its scripts; [`fields`], [`keys`]: how bindings lie there; [`diagnosis`]: why it cannot be used.
//! - [`picture`]: what this node knows of the cluster; [`presence`]: who comes and goes, for the log; [`report`]: for
//!   people.

mod diagnosis;
mod engine;
mod fields;
mod follower;
mod hub;
mod keys;
mod lookups;
mod picture;
mod presence;
mod recent;
pub mod report;
mod session;
mod shadow;
mod share;
mod writer;

pub use hub::ForWorkers;
pub use lookups::Asker;
pub use picture::{Load, Node, Picture};
pub use share::ShareOf;

use crate::config::Cluster;
use crate::limits::PIECES_AHEAD;
use crate::location::keeper::{Pieces, StoreState};
use anyhow::{Context, Result};
use fields::unix_ms;
use hub::Hub;
use session::{Ask, Who};
use std::fmt;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};

/// Replacements and answers for the workers, in their order.
pub type Replacements = mpsc::Receiver<ForWorkers>;

/// The keeper of bindings in the engine. It ends with the last of these.
#[derive(Clone)]
pub struct EngineKeeper {
    hub: Arc<Hub>,
    asks: mpsc::UnboundedSender<Ask>,
}

/// Who takes part.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Name of the node.
    pub node: String,
    /// What tells it from another one that has its name by mistake; the same after a restart.
    pub instance: String,
    /// The secret that all nodes share.
    pub secret: [u8; 16],
}

impl EngineKeeper {
    /// Starts the thread that speaks with the engine of `cluster`, which has at least one node.
    ///
    /// # Errors
    /// When there is no thread for it.
    pub fn start(
        cluster: Cluster,
        identity: Identity,
        share_of: ShareOf,
    ) -> Result<(Self, Replacements)> {
        let (sender, replacements) = mpsc::channel(PIECES_AHEAD);
        let (asks, asked) = mpsc::unbounded_channel();
        let state = watch::channel(StoreState::default()).0;
        let Identity { node, instance, secret } = identity;
        let hub = Arc::new(Hub::new(cluster, node, state, sender));
        let fingerprint = keys::fingerprint(&secret);
        let who = Who { instance, fingerprint, started_unix_ms: unix_ms() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let shared = Arc::clone(&hub);
        let work = move || runtime.block_on(session::run(shared, who, share_of, asked));
        std::thread::Builder::new().name("cluster".to_owned()).spawn(work)?;
        Ok((Self { hub, asks }, replacements))
    }

    /// How the engine is.
    pub fn state(&self) -> watch::Receiver<StoreState> {
        self.hub.state.subscribe()
    }

    /// What this node knows of the cluster.
    pub fn picture(&self) -> watch::Receiver<Picture> {
        self.hub.picture.subscribe()
    }

    /// Takes records of a worker that had seen the replacements up to `seen`; `confirm` is called when the engine has
    /// them.
    pub(crate) fn commit(&self, seen: u64, records: &[u8], confirm: Box<dyn FnOnce() + Send>) {
        self.hub.tell(records, seen, confirm);
    }

    /// Gives the engine what it has not, or has older.
    pub(crate) fn restore(&self, records: &[u8], confirm: Box<dyn FnOnce() + Send>) {
        self.hub.restore(records, confirm);
    }

    /// All records of the cluster.
    pub(crate) fn all(&self) -> Pieces {
        self.pieces(Ask::All)
    }

    /// Those that this node holds, for workers that have begun anew.
    pub(crate) fn share(&self) -> Pieces {
        self.pieces(Ask::Share)
    }

    /// Their end, when the engine answers; the records come as replacements.
    pub(crate) fn late(&self) -> Pieces {
        self.pieces(Ask::Late)
    }

    /// What the workers may have missed comes again, as replacements.
    pub(crate) fn again(&self) {
        self.hub.want_all();
    }

    /// See [`crate::location::keeper::KeeperHandle::ask_for`].
    pub(crate) fn ask_for(&self, aor: String, asker: Asker) -> bool {
        self.hub.ask_for(aor, asker)
    }

    /// The record of an AoR.
    ///
    /// # Errors
    /// The engine does not answer.
    pub(crate) async fn get(&self, aor: String) -> Result<Option<Vec<u8>>> {
        let (sender, answer) = oneshot::channel();
        let _ = self.asks.send(Ask::Get(aor, sender));
        answer.await.context("the engine does not answer")?
    }

    fn pieces(
        &self,
        ask: impl FnOnce(mpsc::Sender<crate::location::keeper::Piece>) -> Ask,
    ) -> Pieces {
        let (sender, pieces) = mpsc::channel(PIECES_AHEAD);
        let _ = self.asks.send(ask(sender));
        pieces
    }
}

impl fmt::Debug for EngineKeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineKeeper")
            .field("cluster", &self.hub.cluster.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
