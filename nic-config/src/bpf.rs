//! What is shared by those who reach BPF programs in the kernel.

use aya::maps::{MapData, MapError, MapInfo};
use std::error::Error;

/// The map of this name among those of a program.
pub(crate) fn map(ids: &[u32], name: &str) -> Result<MapData, MapError> {
    for id in ids {
        if MapInfo::from_id(*id)?.name_as_str() == Some(name) {
            return MapData::from_id(*id);
        }
    }
    Err(MapError::InvalidName { name: name.to_owned() })
}

/// An error with its causes, which aya keeps apart.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
