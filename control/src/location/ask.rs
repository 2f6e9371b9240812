//! Stored bindings, asked of control, or of the store itself while no control process has it.

use crate::limits::ANSWER_MAX;
use crate::location::store::Store;
use crate::operator::Channel;
use anyhow::{Context, Result, bail};
use control_api::location::RECORDS_MAX;
use control_api::operator::{FromControl, ToControl};
use std::path::{Path, PathBuf};
use tokio::time::timeout;

/// Where the bindings are.
#[derive(Clone, Debug)]
pub struct Place {
    /// Control's socket.
    pub socket: PathBuf,
    /// The state directory, for when nobody listens there.
    pub state: PathBuf,
}

/// Folder of the store in the state directory.
pub fn directory(state: &Path) -> PathBuf {
    state.join("location")
}

enum Source {
    Control(Channel),
    Store(Store),
}

impl Place {
    /// The record of an AoR; empty when there is none.
    ///
    /// # Errors
    /// Neither control nor the store can be asked.
    pub async fn get(&self, aor: String) -> Result<Vec<u8>> {
        match self.open().await? {
            Source::Store(store) => Ok(store.get(&aor)?.unwrap_or_default()),
            Source::Control(mut channel) => {
                channel.send(&ToControl::Bindings { aor }).await?;
                match answer(&mut channel).await? {
                    FromControl::Records { records } => Ok(records),
                    other => refusal(other),
                }
            }
        }
    }

    /// Gives all records to `take`, in pieces.
    ///
    /// # Errors
    /// As [`Self::get`]; what `take` says.
    pub async fn read(&self, mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        match self.open().await? {
            Source::Store(store) => store.pieces(RECORDS_MAX).try_for_each(|piece| take(&piece?)),
            Source::Control(mut channel) => {
                channel.send(&ToControl::AllBindings).await?;
                loop {
                    match answer(&mut channel).await? {
                        FromControl::Records { records } => take(&records)?,
                        FromControl::Done => return Ok(()),
                        other => return refusal(other),
                    }
                }
            }
        }
    }

    /// Stores records, in pieces that `next` gives.
    ///
    /// # Errors
    /// As [`Self::get`]; what `next` says.
    pub async fn restore(&self, mut next: impl FnMut() -> Result<Option<Vec<u8>>>) -> Result<()> {
        let mut source = self.open().await?;
        while let Some(records) = next()? {
            match &mut source {
                Source::Store(store) => {
                    store.commit([store.merged(&records)?.as_slice()].into_iter())?;
                }
                Source::Control(channel) => {
                    channel.send(&ToControl::Restore { records }).await?;
                    match answer(channel).await? {
                        FromControl::Done => {}
                        other => return refusal(other),
                    }
                }
            }
        }
        Ok(())
    }

    async fn open(&self) -> Result<Source> {
        match Channel::connect(&self.socket).await {
            Ok(channel) => Ok(Source::Control(channel)),
            Err(error) => {
                let directory = directory(&self.state);
                if !directory.is_dir() {
                    let directory = directory.display();
                    return Err(error.context(format!("and there is no store {directory}")));
                }
                // Nothing is put aside here: a command changes nothing that it was not told to.
                Ok(Source::Store(Store::open(&directory)?))
            }
        }
    }
}

async fn answer(channel: &mut Channel) -> Result<FromControl> {
    let answer = timeout(ANSWER_MAX, channel.receive()).await;
    answer.context("control does not answer: is the disk full?")??.context("control has gone away")
}

fn refusal<T>(answer: FromControl) -> Result<T> {
    match answer {
        FromControl::Refused { reason } => bail!(reason),
        _ => bail!("control answered out of turn"),
    }
}
