//! A tree of files from a text: one line for each file, link, or thing to remove.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

/// A tree in a folder of its own.
pub(crate) struct Tree(tempfile::TempDir);

impl Tree {
    /// Lays the lines of all texts, each over what is there:
    ///
    /// - `path = content` is a file; `\n` in it is a new line.
    /// - `path -> target` is a link.
    /// - `path !` is removed, with all that is in it.
    /// - `{0-3}` in a path makes four of them, and `@` in the content is the number, `@+8` one that is eight higher.
    pub(crate) fn of(texts: &[&str]) -> Self {
        let tree = Self(tempfile::tempdir().expect("a folder"));
        for line in texts.iter().flat_map(|text| text.lines()).map(str::trim) {
            if !line.is_empty() {
                tree.lay(line);
            }
        }
        tree
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    fn lay(&self, line: &str) {
        let Some((before, rest)) = line.split_once('{') else { return self.one(line) };
        let (range, after) = rest.split_once('}').expect("a range ends");
        let (first, last) = range.split_once('-').expect("two numbers");
        let number = |text: &str| text.parse::<u32>().expect("a number");
        for number in number(first)..=number(last) {
            let line = format!("{before}{number}{after}").replace("@+8", &(number + 8).to_string());
            self.one(&line.replace('@', &number.to_string()));
        }
    }

    fn one(&self, line: &str) {
        let (path, rest) = line.split_once(' ').unwrap_or_else(|| panic!("{line:?}"));
        let path = self.path().join(path);
        if rest == "!" {
            let removed =
                if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            return removed.unwrap_or_else(|error| panic!("{line}: {error}"));
        }
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        if let Some(target) = rest.strip_prefix("-> ") {
            let _ = fs::remove_file(&path);
            return symlink(target, &path).expect("a link");
        }
        let content = rest.strip_prefix('=').unwrap_or_else(|| panic!("{line:?}")).trim();
        fs::write(&path, content.replace("\\n", "\n") + "\n").expect("written");
    }
}
