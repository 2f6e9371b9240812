//! A key and a table put into a port: written, read back, compared, and taken back when anything of it fails.

use super::{Fields, Reta, RssError, RssKey};
use std::fmt::{self, Display, Formatter};
use std::io;
use thiserror::Error;

/// What a port has in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InPort {
    /// The key; some kernel drivers keep it to themselves.
    pub key: Option<RssKey>,
    /// The table.
    pub reta: Reta,
    /// What is hashed, where the driver says it.
    pub fields: Option<Fields>,
}

/// What is to be changed; what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: Option<RssKey>,
    /// The table.
    pub reta: Option<Reta>,
    /// What is hashed.
    pub fields: Option<Fields>,
}

/// A port whose RSS can be read and written, by DPDK or by the kernel.
pub trait RssPort {
    /// Receive queues.
    fn queues(&self) -> u16;

    /// What is in force.
    ///
    /// # Errors
    /// What the driver says.
    fn read(&self) -> io::Result<InPort>;

    /// Writes what differs between `before`, which is in force, and `wanted`.
    ///
    /// # Errors
    /// What the driver says, and of which part; what was written before that stays.
    fn write(&mut self, before: &InPort, wanted: &InPort) -> Result<(), WriteError>;
}

/// A part of what a port has in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The key.
    Key,
    /// The table.
    Reta,
    /// What is hashed.
    Fields,
}

impl Display for Part {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key => "key",
            Self::Reta => "table",
            Self::Fields => "hash fields",
        })
    }
}

/// A part that the driver did not take.
#[derive(Debug)]
pub struct WriteError {
    /// Which.
    pub part: Part,
    /// What the driver said.
    pub error: io::Error,
}

/// Why nothing was changed.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "the message of each variant says it")]
pub enum ApplyError {
    #[error("the plan has neither a key nor a table")]
    Empty,
    #[error("the driver shows no RSS key and table, so nothing can be changed: {0}")]
    NoRss(#[source] io::Error),
    #[error("the key has {given} bytes; this port takes {wanted}")]
    KeyLength { given: usize, wanted: usize },
    #[error(
        "the driver keeps its key to itself, so it could not be put back; plan with --keep-key"
    )]
    HiddenKey,
    #[error(
        "the table has {given} entries; this port has {wanted}: plan with --reta-size {wanted}"
    )]
    RetaSize { given: usize, wanted: usize },
    #[error(transparent)]
    Rss(#[from] RssError),
    #[error("the driver refused the {part}: {error}; {after}")]
    Refused { part: Part, error: io::Error, after: After },
    #[error("the driver took the {part} and shows another one; {after}")]
    Mismatch { part: Part, after: After },
    #[error("the driver took it, and then could not be read: {error}; {after}")]
    Unreadable { error: io::Error, after: After },
}

/// How the port was left after a failure.
#[derive(Debug)]
pub enum After {
    /// As it was: written back, read and compared.
    AsItWas,
    /// It could not be put back.
    Changed(String),
}

impl Display for After {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::AsItWas => f.write_str("the port is as it was"),
            Self::Changed(why) => write!(f, "AND THE PORT COULD NOT BE PUT BACK: {why}"),
        }
    }
}

/// What was in force before, and what is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Before.
    pub before: InPort,
    /// Now, as it was read back.
    pub after: InPort,
}

impl Applied {
    /// Entries of the table that changed.
    pub fn entries_changed(&self) -> usize {
        let pairs = self.before.reta.entries().iter().zip(self.after.reta.entries());
        pairs.filter(|(before, after)| before != after).count()
    }
}

/// Changes what is in force, whole or not at all.
///
/// # Errors
/// What does not fit the port, before anything is written. After a refusal or when the driver shows something else
/// than was written, the port is put back, and the error says whether that worked.
pub fn apply(port: &mut dyn RssPort, change: &Change) -> Result<Applied, ApplyError> {
    let before = port.read().map_err(ApplyError::NoRss)?;
    let wanted = wanted(&before, change, port.queues())?;
    match put(port, &before, &wanted) {
        Ok(after) => Ok(Applied { before, after }),
        Err(failed) => {
            let after = put_back(port, &before);
            Err(match failed {
                Failed::Refused(WriteError { part, error }) => {
                    ApplyError::Refused { part, error, after }
                }
                Failed::Mismatch(part) => ApplyError::Mismatch { part, after },
                Failed::Unreadable(error) => ApplyError::Unreadable { error, after },
            })
        }
    }
}

/// What is to be in force, if the port can have it.
fn wanted(before: &InPort, change: &Change, queues: u16) -> Result<InPort, ApplyError> {
    let mut wanted = before.clone();
    if change == &Change::default() {
        return Err(ApplyError::Empty);
    }
    if let Some(key) = &change.key {
        let known = before.key.as_ref().ok_or(ApplyError::HiddenKey)?;
        let (given, length) = (key.bytes().len(), known.bytes().len());
        if given != length {
            return Err(ApplyError::KeyLength { given, wanted: length });
        }
        wanted.key = Some(key.clone());
    }
    if let Some(reta) = &change.reta {
        let (given, size) = (reta.entries().len(), before.reta.entries().len());
        if given != size {
            return Err(ApplyError::RetaSize { given, wanted: size });
        }
        reta.check(queues)?;
        wanted.reta = reta.clone();
    }
    if let Some(fields) = change.fields {
        wanted.fields = Some(fields);
    }
    Ok(wanted)
}

enum Failed {
    Refused(WriteError),
    Mismatch(Part),
    Unreadable(io::Error),
}

impl Display for Failed {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(WriteError { part, error }) => write!(f, "{part} refused: {error}"),
            Self::Mismatch(part) => write!(f, "the driver shows another {part}"),
            Self::Unreadable(error) => write!(f, "the driver cannot be read: {error}"),
        }
    }
}

/// Writes, reads back and compares.
fn put(port: &mut dyn RssPort, before: &InPort, wanted: &InPort) -> Result<InPort, Failed> {
    port.write(before, wanted).map_err(Failed::Refused)?;
    let shown = port.read().map_err(Failed::Unreadable)?;
    let is_same = [
        (Part::Key, shown.key == wanted.key),
        (Part::Reta, shown.reta == wanted.reta),
        (Part::Fields, shown.fields == wanted.fields),
    ];
    match is_same.into_iter().find(|(_, is_same)| !is_same) {
        Some((part, _)) => Err(Failed::Mismatch(part)),
        None => Ok(shown),
    }
}

fn put_back(port: &mut dyn RssPort, before: &InPort) -> After {
    // Nobody knows how far the driver came; what it shows is the best there is.
    let now = match port.read() {
        Ok(now) if now == *before => return After::AsItWas,
        Ok(now) => now,
        Err(error) => return After::Changed(Failed::Unreadable(error).to_string()),
    };
    match put(port, &now, before) {
        Ok(_) => After::AsItWas,
        Err(failed) => After::Changed(failed.to_string()),
    }
}

#[cfg(test)]
mod tests;
