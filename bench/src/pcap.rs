//! Writes a capture file in the classic pcap format, which DPDK's `net_pcap` reads.

use std::fs::File;
use std::io::{BufWriter, Result, Write};
use std::path::Path;

const MAGIC: u32 = 0xa1b2_c3d4;
const SNAP_LEN: u32 = 65_535;
const LINKTYPE_ETHERNET: u32 = 1;

/// Writes `frames` to `path`, all with time zero.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn write(path: &Path, frames: &[Vec<u8>]) -> Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    file.write_all(&MAGIC.to_ne_bytes())?;
    file.write_all(&2_u16.to_ne_bytes())?;
    file.write_all(&4_u16.to_ne_bytes())?;
    for word in [0, 0, SNAP_LEN, LINKTYPE_ETHERNET] {
        file.write_all(&word.to_ne_bytes())?;
    }
    for frame in frames {
        let length = u32::try_from(frame.len()).expect("a frame is smaller than 64 KiB");
        for word in [0, 0, length, length] {
            file.write_all(&word.to_ne_bytes())?;
        }
        file.write_all(frame)?;
    }
    file.flush()
}
