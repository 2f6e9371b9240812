//! The properties that the fuzz targets look for, asserted for the seeds they start from and for
//! every fixture.

mod properties;

use std::path::{Path, PathBuf};

/// The files below `directory`.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries =
        std::fs::read_dir(directory).expect("there").map(|entry| entry.expect("there").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn properties_hold_for_seeds_and_fixtures() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = [files(&root.join("fuzz/seeds")), files(&root.join("tests/fixtures"))].concat();
    assert!(files.len() > 12, "{files:?}");
    for file in files {
        let datagram = std::fs::read(&file).unwrap();
        // Named when one of the assertions below fails.
        println!("{}", file.display());
        properties::parse(&datagram);
        properties::scan(&datagram);
        properties::frame(&datagram);
        properties::stun(&datagram);
        properties::route(&datagram);
        properties::rewrite(&datagram);
        properties::register(&datagram);
        properties::digest(&datagram);
    }
}
