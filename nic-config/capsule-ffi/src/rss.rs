//! RSS of a port that has started: key, hash fields and redirection table, as its driver has them. Not for the
//! packet path; drivers allow these calls while other lcores poll.

use std::io;
use std::ptr;

use crate::bindings::{self, rte_eth_rss_conf, rte_eth_rss_reta_entry64};
use crate::port;

/// Bytes of a key where the driver does not say how many it wants.
const KEY_BYTES: u8 = 40;
/// Entries of one [`rte_eth_rss_reta_entry64`].
const GROUP: usize = bindings::RTE_ETH_RETA_GROUP_SIZE as usize;

/// Fields of a packet that the hash may cover: addresses, and ports of UDP.
pub const RSS_FIELDS: u64 = bindings::RSS_IP | bindings::RSS_UDP;

/// Key and `RTE_ETH_RSS_*` fields in force.
///
/// # Errors
/// What the driver says; `ENOTSUP` from one without RSS.
pub fn port_rss_hash(port: u16) -> io::Result<(Vec<u8>, u64)> {
    let mut key = vec![0; usize::from(key_bytes(port)?)];
    let mut conf = hash_conf(&mut key, 0);
    // SAFETY: `conf` and the key that it points to live until the call is over, and the key has the bytes that the
    // driver writes.
    let result = unsafe { bindings::rte_eth_dev_rss_hash_conf_get(port, &raw mut conf) };
    checked(result)?;
    Ok((key, conf.rss_hf))
}

/// Changes key and fields.
///
/// # Errors
/// A key of another length than the driver's, and what the driver says.
pub fn set_port_rss_hash(port: u16, key: &[u8], fields: u64) -> io::Result<()> {
    if key.len() != usize::from(key_bytes(port)?) {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let mut key = key.to_vec();
    let mut conf = hash_conf(&mut key, fields);
    // SAFETY: as above; drivers copy the key.
    checked(unsafe { bindings::rte_eth_dev_rss_hash_update(port, &raw mut conf) })
}

/// The redirection table in force, whole.
///
/// # Errors
/// What the driver says; `ENOTSUP` from one without such a table.
pub fn port_reta(port: u16) -> io::Result<Vec<u16>> {
    let size = reta_size(port)?;
    let mut groups = groups(&vec![0; usize::from(size)]);
    // SAFETY: as many groups as `size` entries take, alive until the call is over.
    checked(unsafe { bindings::rte_eth_dev_rss_reta_query(port, groups.as_mut_ptr(), size) })?;
    let entries = groups.iter().flat_map(|group| group.reta);
    Ok(entries.take(usize::from(size)).collect())
}

/// Changes the whole redirection table.
///
/// # Errors
/// A table of another size than the driver's, and what the driver says.
pub fn set_port_reta(port: u16, reta: &[u16]) -> io::Result<()> {
    let size = reta_size(port)?;
    if reta.len() != usize::from(size) {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let mut groups = groups(reta);
    // SAFETY: as above.
    checked(unsafe { bindings::rte_eth_dev_rss_reta_update(port, groups.as_mut_ptr(), size) })
}

fn key_bytes(port: u16) -> io::Result<u8> {
    let info = port::device_info(port).ok_or_else(no_device)?;
    Ok(if info.hash_key_size == 0 { KEY_BYTES } else { info.hash_key_size })
}

fn reta_size(port: u16) -> io::Result<u16> {
    match port::device_info(port).ok_or_else(no_device)?.reta_size {
        0 => Err(io::Error::from_raw_os_error(libc::ENOTSUP)),
        size => Ok(size),
    }
}

fn hash_conf(key: &mut [u8], fields: u64) -> rte_eth_rss_conf {
    rte_eth_rss_conf {
        rss_key: if key.is_empty() { ptr::null_mut() } else { key.as_mut_ptr() },
        rss_key_len: u8::try_from(key.len()).unwrap_or(u8::MAX),
        rss_hf: fields,
    }
}

/// A table in the form of DPDK's calls, every entry marked to be read or written.
fn groups(reta: &[u16]) -> Vec<rte_eth_rss_reta_entry64> {
    let group = |entries: &[u16]| {
        let mut group = rte_eth_rss_reta_entry64 {
            mask: u64::MAX >> (GROUP - entries.len()),
            ..Default::default()
        };
        group.reta[..entries.len()].copy_from_slice(entries);
        group
    };
    reta.chunks(GROUP).map(group).collect()
}

fn no_device() -> io::Error {
    io::Error::from_raw_os_error(libc::ENODEV)
}

fn checked(result: i32) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(-result)) }
}

#[cfg(test)]
mod tests {
    use super::groups;

    #[test]
    fn a_table_is_cut_into_groups_of_64() {
        let reta: Vec<u16> = (0..100).collect();
        let groups = groups(&reta);
        assert_eq!(groups.len(), 2);
        assert_eq!((groups[0].mask, groups[1].mask), (u64::MAX, (1 << 36) - 1));
        assert_eq!((groups[0].reta[63], groups[1].reta[35], groups[1].reta[36]), (63, 99, 0));
    }
}
