//! What operators may do with stored bindings.

use crate::cluster::Picture;
use crate::location::keeper::{KeeperHandle, NO_STORE, Piece, Pieces};
use control_api::operator::FromControl;
use tokio::sync::mpsc;

/// Where operators' commands ask for bindings.
#[derive(Clone, Debug)]
pub struct StoredBindings {
    keeper: KeeperHandle,
    workers: mpsc::Sender<Vec<u8>>,
}

impl StoredBindings {
    /// Over this keeper; what is restored also goes to `workers`.
    pub fn new(keeper: KeeperHandle, workers: mpsc::Sender<Vec<u8>>) -> Self {
        Self { keeper, workers }
    }

    /// What this node knows of the cluster; none when it shares bindings with nobody.
    pub fn picture(&self) -> Option<Picture> {
        self.keeper.picture().map(|picture| picture.borrow().clone())
    }

    /// The record of an AoR.
    pub async fn get(&self, aor: String) -> FromControl {
        match self.keeper.get(aor).await {
            Ok(record) => FromControl::Records { records: record.unwrap_or_default() },
            Err(error) => FromControl::Refused { reason: format!("{error:#}") },
        }
    }

    /// All records.
    pub fn all(&self) -> Reading {
        Reading { pieces: self.keeper.read(), is_whole: false, is_none: self.keeper.is_none() }
    }

    /// Stores records, and gives them to the workers that run. A data plane that is away gets them when it
    /// is back, if there is a store.
    pub async fn restore(&self, records: Vec<u8>) {
        self.keeper.restore(records.clone()).await;
        let _ = self.workers.send(records).await;
    }
}

/// All records, one piece after the other.
#[derive(Debug)]
pub struct Reading {
    pieces: Pieces,
    is_whole: bool,
    is_none: bool,
}

impl Reading {
    /// The next piece; none behind the last, or when reading has failed.
    pub async fn next(&mut self) -> Option<Vec<u8>> {
        match self.pieces.recv().await? {
            Piece::Records(records) => Some(records),
            Piece::End => {
                self.is_whole = true;
                None
            }
        }
    }

    /// What to say behind the last piece.
    pub fn end(self) -> FromControl {
        if self.is_none {
            return FromControl::Refused { reason: NO_STORE.into() };
        }
        if self.is_whole {
            return FromControl::Done;
        }
        FromControl::Refused { reason: "the location store cannot be read: see the log".into() }
    }
}
