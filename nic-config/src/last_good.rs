//! The last good configuration: what a process starts with when the file is broken.
//!
//! Control keeps each configuration that was in force as `N.toml` in the folder [`FOLDER`] of the state directory,
//! with [`HEAD`] and the name of the file that it came from in the first line.

use std::path::{Path, PathBuf};

/// Folder in the state directory.
pub const FOLDER: &str = "configurations";

/// How the first line begins, before the name of the file.
pub const HEAD: &str = "# of ";

/// The state directory where the file does not name another.
const STATE_DIRECTORY: &str = "/var/lib/trunkline";

/// The newest configuration that was kept of the broken file `config`, which has this `text`.
pub fn find(config: &Path, text: &str) -> Option<PathBuf> {
    let folder = state_directory(text).join(FOLDER);
    let numbers = std::fs::read_dir(&folder).ok()?.filter_map(|entry| number(&entry.ok()?.path()));
    let newest = folder.join(format!("{}.toml", numbers.max()?));
    let kept = std::fs::read_to_string(&newest).ok()?;
    // Another appliance may have used the same directory.
    let file = kept.lines().next()?.strip_prefix(HEAD)?;
    (Path::new(file) == absolute(config)).then_some(newest)
}

/// The name of a configuration file, from the root on, links followed.
pub fn absolute(config: &Path) -> PathBuf {
    std::fs::canonicalize(config).unwrap_or_else(|_| config.to_owned())
}

/// The number in the name of a kept configuration.
pub fn number(path: &Path) -> Option<u64> {
    let is_toml = path.extension().is_some_and(|extension| extension == "toml");
    path.file_stem().filter(|_| is_toml)?.to_str()?.parse().ok()
}

/// The state directory that a text names, which need not be TOML.
fn state_directory(text: &str) -> PathBuf {
    let value = |line: &str| {
        let value = line.trim().strip_prefix("state_directory")?.trim_start().strip_prefix('=')?;
        let value = value.trim_start();
        let quote = value.chars().next().filter(|first| matches!(first, '"' | '\''))?;
        let path = value[1..].split(quote).next()?;
        path.starts_with('/').then(|| PathBuf::from(path))
    };
    text.lines().find_map(value).unwrap_or_else(|| STATE_DIRECTORY.into())
}

#[cfg(test)]
mod tests {
    use super::{FOLDER, find, state_directory};
    use std::path::Path;

    #[test]
    fn the_state_directory_of_a_broken_text() {
        let text = "[appliance\n  state_directory = \"/x/y\" # there\n";
        assert_eq!(state_directory(text), Path::new("/x/y"));
        assert_eq!(state_directory("state_directory = x"), Path::new("/var/lib/trunkline"));
    }

    #[test]
    fn the_newest_of_the_same_file_is_found() {
        let directory = std::env::temp_dir().join(format!("last-good-{}", std::process::id()));
        let folder = directory.join(FOLDER);
        std::fs::create_dir_all(&folder).expect("a folder");
        let config = std::fs::canonicalize(&directory).expect("a path").join("t.toml");
        let text = format!("state_directory = \"{}\"\nx = = 1\n", directory.display());
        std::fs::write(&config, &text).expect("a file");
        assert_eq!(find(&config, &text), None);
        let kept = format!("# of {}\n", config.display());
        for number in ["9", "10"] {
            std::fs::write(folder.join(format!("{number}.toml")), &kept).expect("a file");
        }
        assert_eq!(find(&config, &text), Some(folder.join("10.toml")));
        assert_eq!(find(&directory.join("other.toml"), &text), None);
        std::fs::remove_dir_all(&directory).expect("it is there");
    }
}
