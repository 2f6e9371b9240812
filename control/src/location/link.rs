//! The connection to the data plane for location.

use crate::cluster::{Asker, ForWorkers, Replacements};
use crate::dataplane_link::Link;
use crate::limits::{LOCATION_PATIENCE, LOCATION_RETRY, RECONNECT_FIRST, RECONNECT_MAX};
use crate::location::keeper::{Changes, Confirm, KeeperHandle, Piece, Pieces, StoreState};
use anyhow::{Context, Result, bail};
use control_api::location::ANSWERS_MAX;
use control_api::{FromDataplane, FromLocation, ToDataplane, ToLocation};
use std::path::{Path, PathBuf};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tracing::{error, info, warn};

/// Records for the workers that run, beside those of the start.
pub type Restored = mpsc::Receiver<Vec<u8>>;

/// Stores what the data plane behind `socket` sends and gives it what is stored, for ever.
pub async fn serve(
    socket: PathBuf,
    keeper: KeeperHandle,
    mut restored: Restored,
    mut replaced: Replacements,
) -> ! {
    let mut pause = RECONNECT_FIRST;
    // Something was restored that the workers have not got.
    let mut is_behind = false;
    loop {
        match attach(&socket, keeper.is_shared()).await {
            Ok((link, is_loaded)) => {
                pause = RECONNECT_FIRST;
                let has_all = is_loaded && !std::mem::take(&mut is_behind);
                let conversation = Conversation::new(link, &keeper, has_all);
                let ended = conversation.run(&mut restored, &mut replaced).await;
                if let Err(error) = ended {
                    warn!("location: {error:#}: connecting again");
                }
            }
            // The other connection has said so.
            Err(error) => tracing::debug!("location: {error:#}"),
        }
        let wake = Instant::now() + pause;
        loop {
            tokio::select! {
                Some(_) = restored.recv() => is_behind = true, // It is stored, and read when the data plane is back.
                Some(_) = replaced.recv() => {} // All of it comes again then.
                () = sleep_until(wake) => break,
            }
        }
        pause = (pause * 2).min(RECONNECT_MAX);
    }
}

/// A connection on which the data plane has answered `Attached`, and whether it has what is stored.
async fn attach(path: &Path, is_shared: bool) -> Result<(Link, bool)> {
    let mut link = Link::connect(path).await?;
    match link.ask(&ToDataplane::<()>::Location(ToLocation::Attach { is_shared })).await? {
        FromDataplane::Location(FromLocation::Attached { is_loaded }) => Ok((link, is_loaded)),
        _ => bail!("the data plane answered out of turn"),
    }
}

/// What is said on one connection.
struct Conversation<'a> {
    link: Link,
    keeper: &'a KeeperHandle,
    confirm: Confirm,
    confirmed: mpsc::UnboundedReceiver<(u16, u64)>,
    loading: Loading,
    store: watch::Receiver<StoreState>,
    /// When this began.
    since: Instant,
}

/// How far the workers have got what is stored.
enum Loading {
    /// It is being read and sent, since then.
    Reading(Pieces, Instant),
    /// It could not be read, and is tried again then; the first attempt began at the other time.
    Failed { again: Instant, since: Instant },
    /// They have begun without, and get it as soon as it can be read. A reading that fails is tried again
    /// then.
    Late { pieces: Pieces, again: Option<Instant> },
    /// They have it.
    Done,
}

enum Event {
    Said(Box<FromDataplane>),
    /// None when the reading has failed.
    Piece(Option<Piece>),
    Again,
    Confirmed((u16, u64)),
    Restored(Vec<u8>),
    Shared(ForWorkers),
    Store,
}

impl<'a> Conversation<'a> {
    fn new(link: Link, keeper: &'a KeeperHandle, is_loaded: bool) -> Self {
        let (confirm, confirmed) = mpsc::unbounded_channel();
        let loading =
            if is_loaded { Loading::Done } else { Loading::Reading(keeper.load(), Instant::now()) };
        if is_loaded {
            keeper.catch_up();
        }
        let mut store = keeper.state.clone();
        store.mark_changed();
        Self { link, keeper, confirm, confirmed, loading, store, since: Instant::now() }
    }

    async fn run(mut self, restored: &mut Restored, replaced: &mut Replacements) -> Result<()> {
        loop {
            let is_loaded = matches!(self.loading, Loading::Late { .. } | Loading::Done);
            let event = tokio::select! {
                said = self.link.receive() => Event::Said(Box::new(said?)),
                piece = next_piece(&mut self.loading) => piece,
                Some(confirmed) = self.confirmed.recv() => Event::Confirmed(confirmed),
                Some(records) = restored.recv(), if is_loaded => Event::Restored(records),
                Some(shared) = replaced.recv(), if is_loaded => Event::Shared(shared),
                // Workers that wait for what is stored wait on while it can still be read.
                Ok(()) = self.store.changed(), if is_loaded => Event::Store,
            };
            match event {
                Event::Said(message) => self.hear(*message).await?,
                Event::Piece(piece) => self.load(piece).await?,
                Event::Again => {
                    self.loading = match self.loading {
                        Loading::Failed { since, .. } => {
                            Loading::Reading(self.keeper.load(), since)
                        }
                        _ => Loading::Late { pieces: self.keeper.read_late(), again: None },
                    };
                }
                Event::Confirmed((worker, number)) => {
                    self.say(ToLocation::Flushed { worker, number }).await?;
                }
                Event::Restored(records) => self.say(ToLocation::Load { records }).await?,
                Event::Shared(ForWorkers::Replace { number, records }) => {
                    self.say(ToLocation::Replace { number, records }).await?;
                }
                Event::Shared(ForWorkers::Answer(askers)) => self.answer(askers).await?,
                Event::Store => {
                    let StoreState { trouble, set_aside } = self.store.borrow_and_update().clone();
                    let message = match trouble {
                        Some(reason) => ToLocation::StoreIll { reason },
                        // What is stored is still to come.
                        None if !matches!(self.loading, Loading::Done) => continue,
                        None => ToLocation::StoreWell { set_aside },
                    };
                    self.say(message).await?;
                }
            }
        }
    }

    /// Tells workers that they have what there is.
    async fn answer(&self, mut askers: Vec<Asker>) -> Result<()> {
        askers.sort_unstable_by_key(|asker| asker.worker);
        for askers in askers.chunk_by(|one, other| one.worker == other.worker) {
            for askers in askers.chunks(ANSWERS_MAX) {
                let numbers = askers.iter().map(|asker| asker.number).collect();
                self.say(ToLocation::Answered { worker: askers[0].worker, numbers }).await?;
            }
        }
        Ok(())
    }

    async fn say(&self, message: ToLocation) -> Result<()> {
        Ok(self.link.send(&ToDataplane::<()>::Location(message)).await?)
    }

    async fn hear(&self, message: FromDataplane) -> Result<()> {
        match message {
            FromDataplane::Location(FromLocation::Changes {
                worker,
                number,
                replaced,
                records,
            }) => {
                let changes = Changes { records, replaced };
                self.keeper.commit((worker, number), changes, self.confirm.clone());
            }
            FromDataplane::Location(FromLocation::Asked { worker, number, aor }) => {
                let asker = Asker { worker, number };
                if self.keeper.ask_for(aor, asker) {
                    self.answer(vec![asker]).await?;
                }
            }
            FromDataplane::Location(FromLocation::Loaded { taken, expired, refused }) => {
                let ms = self.since.elapsed().as_millis();
                info!(
                    taken,
                    expired, refused, ms, "the workers have the bindings that were stored"
                );
                if refused > 0 {
                    warn!("{refused} stored AoRs found no room: raise [memory] aors and bindings");
                }
            }
            _ => bail!("the data plane answered out of turn"),
        }
        Ok(())
    }

    /// Sends a piece of what is stored; after the last one the workers answer.
    async fn load(&mut self, piece: Option<Piece>) -> Result<()> {
        match piece {
            Some(Piece::Records(records)) => {
                return self.say(ToLocation::Load { records }).await;
            }
            Some(Piece::End) => {
                self.loading = Loading::Done;
                self.store.mark_changed();
                return self.say(ToLocation::Loaded).await;
            }
            None => {}
        }
        let again = Instant::now() + LOCATION_RETRY;
        match &mut self.loading {
            Loading::Reading(_, since) if since.elapsed() < LOCATION_PATIENCE => {
                self.loading = Loading::Failed { again, since: *since };
            }
            Loading::Late { again, .. } => *again = Some(Instant::now() + LOCATION_PATIENCE),
            _ => {
                self.loading = Loading::Late { pieces: self.keeper.read_late(), again: None };
                let trouble = self.keeper.state.borrow().trouble.clone();
                let reason = trouble.unwrap_or_else(|| "the store cannot be read".to_owned());
                error!(
                    "{reason}: the workers begin without what is stored; users are unknown until they register \
                     again or the store can be read"
                );
                self.say(ToLocation::StoreIll { reason }).await.context("StoreIll")?;
            }
        }
        Ok(())
    }
}

async fn next_piece(loading: &mut Loading) -> Event {
    match loading {
        Loading::Reading(pieces, _) | Loading::Late { pieces, again: None } => {
            Event::Piece(pieces.recv().await)
        }
        Loading::Failed { again, .. } | Loading::Late { again: Some(again), .. } => {
            sleep_until(*again).await;
            Event::Again
        }
        Loading::Done => std::future::pending().await,
    }
}
