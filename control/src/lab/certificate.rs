//! The certificate of the lab's appliance: its own authority, good for its names and addresses.

use super::settings::DOMAIN;
use anyhow::{Context, Result};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Certificate, in the directory of the lab; clients may take it for their authority.
pub const CERTIFICATE: &str = "cert.pem";
/// Its private key.
pub const KEY: &str = "key.pem";

/// What the certificate is good for: the addresses of the appliance and of both hosts.
const ADDRESSES: [&str; 6] =
    ["10.77.1.1", "10.77.2.1", "fd77:1::1", "fd77:2::1", "10.77.1.2", "10.77.2.2"];

/// Makes both files in this directory, and the directory.
///
/// # Errors
/// A file that cannot be written.
pub fn make(directory: &Path) -> Result<()> {
    let names = [DOMAIN].into_iter().chain(ADDRESSES).map(str::to_owned);
    let made = rcgen::generate_simple_self_signed(names.collect::<Vec<_>>())?;
    std::fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    write(&directory.join(CERTIFICATE), &made.cert.pem(), 0o644)?;
    write(&directory.join(KEY), &made.signing_key.serialize_pem(), 0o600)
}

fn write(path: &Path, text: &str, mode: u32) -> Result<()> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(mode).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.with_context(|| format!("{} cannot be written", path.display()))
}
