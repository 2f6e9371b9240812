//! Stores that could not be read. They are never overwritten: they lie beside the new one until an operator
//! takes them away.

use std::fs;
use std::io::Result;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Between the name of the store and the second of 1970 in which it was put aside.
const MARK: &str = ".unreadable-";

/// Puts what lies at `store` aside; gives its new place.
pub(super) fn put_aside(store: &Path) -> Result<PathBuf> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut second = now.as_secs();
    let place_of = |second| PathBuf::from(format!("{}{MARK}{second}", store.display()));
    while place_of(second).exists() {
        second += 1;
    }
    let place = place_of(second);
    fs::rename(store, &place)?;
    Ok(place)
}

/// The newest store that lies aside.
pub(super) fn newest(store: &Path) -> Option<PathBuf> {
    let name = format!("{}{MARK}", store.file_name()?.to_string_lossy());
    let entries = fs::read_dir(store.parent()?).ok()?.flatten();
    let aside = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(&name));
    aside.map(|entry| entry.path()).max()
}

#[cfg(test)]
mod tests {
    use super::{newest, put_aside};

    #[test]
    fn each_has_a_place_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("location");
        assert_eq!(newest(&store), None);
        let mut places = Vec::new();
        for content in ["one", "two"] {
            std::fs::write(&store, content).unwrap();
            let place = put_aside(&store).unwrap();
            assert_eq!(std::fs::read_to_string(&place).unwrap(), content);
            assert_eq!(newest(&store), Some(place.clone()));
            places.push(place);
        }
        assert!(!store.exists() && places[0] != places[1]);
        assert!(put_aside(&store).is_err());
    }
}
