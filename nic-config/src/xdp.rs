//! The XDP program beside an AF_XDP port: SIP over UDP for our listen points goes to DPDK, all else
//! to the kernel (`xdp/sip_redirect.bpf.c`).
//!
//! DPDK's driver loads and attaches the program from the file that [`write_object`] makes. Then
//! [`SipFilter::find`] reaches the program's map through the interface, and [`SipFilter::set`] says
//! which addresses and ports are ours. Until then, and while no socket is there, everything goes to
//! the kernel.

mod filter;
mod netlink;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aya::programs::{ProgramInfo, loaded_programs};
use thiserror::Error;

pub use filter::{Outcomes, SipFilter};

/// Name of the program's function: how ours is told from another's.
const PROGRAM: &str = "sip_redirect";

/// The compiled program.
static OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/sip_redirect.o"));

/// Why the program could not be written, found, filled or removed.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "the message of each variant says it")]
pub enum XdpError {
    #[error("the XDP program cannot be written to {path}: {source}; check space and permissions")]
    Write { path: String, source: io::Error },
    #[error("the XDP program cannot be kept in {0}: DPDK takes no comma or space in its path")]
    Path(String),
    #[error(
        "interface {interface}: the kernel refused {action}: {source}; check that it exists and \
         that this process is root"
    )]
    Netlink { interface: String, action: &'static str, source: io::Error },
    #[error("interface {0}: no XDP program is attached; the AF_XDP port did not start")]
    NotAttached(String),
    #[error(
        "interface {interface}: the XDP program {name:?} is attached and not ours; remove it with: \
         ip link set dev {interface} xdp off"
    )]
    Foreign { interface: String, name: String },
    #[error("interface {interface}: BPF {object} cannot be reached: {reason}; start as root")]
    Bpf { interface: String, object: &'static str, reason: String },
    #[error("{0} listen points, more than {max}; lower the number of addresses and ports", max = crate::limits::LISTEN_POINTS_MAX)]
    TooManyListenPoints(usize),
}

/// Writes the program into `directory`, which must exist, for DPDK to load. An older file is
/// replaced in one step.
///
/// # Errors
///
/// When the file cannot be written, or DPDK could not be told its path.
pub fn write_object(directory: &Path) -> Result<PathBuf, XdpError> {
    let path = directory.join(format!("{PROGRAM}.o"));
    let shown = path.display().to_string();
    if shown.contains([',', ' ']) {
        return Err(XdpError::Path(shown));
    }
    let unfinished = directory.join(format!("{PROGRAM}.{}", std::process::id()));
    fs::write(&unfinished, OBJECT)
        .and_then(|()| fs::rename(&unfinished, &path))
        .map_err(|source| XdpError::Write { path: shown, source })?;
    Ok(path)
}

/// Removes our program from an interface, where a crash left it. Gives whether there was one.
///
/// Only the holder of the interface's [lock](crate::lock) may do this: otherwise the program may be
/// that of a running data plane.
///
/// # Errors
///
/// When another's program is attached, or the kernel refuses.
pub fn detach(interface: &str) -> Result<bool, XdpError> {
    let Some(attached) = netlink::attached(interface)? else { return Ok(false) };
    program(interface, attached.program)?;
    netlink::detach(interface, &attached)?;
    Ok(true)
}

/// Our program on the interface, by its id.
fn program(interface: &str, id: u32) -> Result<ProgramInfo, XdpError> {
    let failed = |reason: String| XdpError::Bpf {
        interface: interface.to_owned(),
        object: "program",
        reason,
    };
    // Other programs of the machine come and go while we look: only ours must be readable.
    let info = loaded_programs()
        .filter_map(Result::ok)
        .find(|info| info.id() == id)
        .ok_or_else(|| failed(format!("no program with id {id} among those visible here")))?;
    match info.name_as_str() {
        Some(PROGRAM) => Ok(info),
        name => {
            let name = name.unwrap_or("?").to_owned();
            Err(XdpError::Foreign { interface: interface.to_owned(), name })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_is_an_elf_file_with_btf_and_without_debug_information() {
        let directory = tempfile::tempdir().unwrap();
        let path = write_object(directory.path()).unwrap();
        assert_eq!(write_object(directory.path()).unwrap(), path);
        let object = fs::read(path).unwrap();
        let has = |name: &[u8]| object.windows(name.len()).any(|window| window == name);
        assert!(object.starts_with(b"\x7fELF"));
        assert!(has(b".BTF\0") && has(b"xsks_map\0") && !has(b".debug_info\0"));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_path_dpdk_cannot_take_is_refused() {
        let error = write_object(Path::new("/run/a,b")).unwrap_err();
        assert!(error.to_string().contains("no comma or space"));
    }

    #[test]
    fn a_missing_interface_is_an_error_with_its_name() {
        let error = detach("nic-none").unwrap_err().to_string();
        assert!(error.contains("interface nic-none"), "{error}");
    }
}
