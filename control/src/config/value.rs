//! Single values of the file: each reader refuses what is not allowed and says what is.

use crate::limits::{
    CONNECTIONS_MAX, ENGINE_NODES_MAX, NAME_MAX, NAME_SERVERS_MAX, RETRY_AFTER_MAX,
};
use control_api::connection::THREADS_MAX;
use serde::de::{Deserialize, Deserializer, Error};
use sip_core::Network;
use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// A name for people: 1 to [`NAME_MAX`] letters, digits, `-`, `_` or `.`.
pub(super) fn name<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let name = String::deserialize(from)?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.len() > NAME_MAX || !name.chars().all(allowed) {
        return Err(D::Error::custom(format!(
            "`{name}` is no name: 1 to {NAME_MAX} letters, digits, `-`, `_` or `.` are allowed"
        )));
    }
    Ok(name)
}

/// The same, where it may be absent.
pub(super) fn some_name<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    name(from).map(Some)
}

/// Nodes that keep an AoR.
pub(super) fn copies<'de, D: Deserializer<'de>>(from: D) -> Result<u8, D::Error> {
    within(from, 1, 16, " nodes")
}

/// Nodes of a Redis Cluster.
pub(super) fn engine_nodes<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Vec<SocketAddr>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    if texts.is_empty() || texts.len() > ENGINE_NODES_MAX {
        return Err(D::Error::custom(format!("1 to {ENGINE_NODES_MAX} nodes can be named")));
    }
    let read = |text: &String| {
        text.parse().map_err(|_| {
            D::Error::custom(format!(
                "`{text}` is no address and port, such as 192.0.2.31:6379 or [2001:db8::31]:6379"
            ))
        })
    };
    texts.iter().map(read).collect()
}

/// Seconds from 0 to [`RETRY_AFTER_MAX`].
pub(super) fn retry_after<'de, D: Deserializer<'de>>(from: D) -> Result<u16, D::Error> {
    within(from, 0, RETRY_AFTER_MAX, " seconds")
}

/// A share among the members of a set: any 16-bit number.
pub(super) fn weight<'de, D: Deserializer<'de>>(from: D) -> Result<u16, D::Error> {
    within(from, 0, u16::MAX, "; 0 takes the member out of service")
}

/// Threads that have connections.
pub(super) fn connection_threads<'de, D: Deserializer<'de>>(from: D) -> Result<u8, D::Error> {
    within(from, 1, THREADS_MAX, " threads")
}

/// Connections at one time.
pub(super) fn connections<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    within(from, 1, CONNECTIONS_MAX, " connections")
}

/// Seconds from 1 to 300.
pub(super) fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    within(from, 1, 300, " seconds")
}

/// Seconds up to a day; 0 for no limit.
pub(super) fn idle_seconds<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    within(from, 0, 86_400, " seconds; 0 sets no limit")
}

/// Addresses of hosts.
pub(super) fn hosts<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<IpAddr>, D::Error> {
    let read = |text: &String| {
        text.parse().map_err(|_| {
            D::Error::custom(format!(
                "`{text}` is no address without a port, such as 192.0.2.10 or 2001:db8::10"
            ))
        })
    };
    Vec::<String>::deserialize(from)?.iter().map(read).collect()
}

/// Name servers, with port 53 where none is given.
pub(super) fn name_servers<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Vec<SocketAddr>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    if texts.len() > NAME_SERVERS_MAX {
        return Err(D::Error::custom(format!("at most {NAME_SERVERS_MAX} name servers are asked")));
    }
    let read = |text: &String| {
        let alone = || text.parse().map(|ip: IpAddr| SocketAddr::new(ip, 53));
        text.parse().or_else(|_| alone()).map_err(|_| {
            D::Error::custom(format!(
                "`{text}` is no name server, such as 192.0.2.53 or [2001:db8::53]:5353"
            ))
        })
    };
    texts.iter().map(read).collect()
}

/// Milliseconds for one query.
pub(super) fn dns_timeout<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    within(from, 50, 10_000, " milliseconds")
}

/// Repetitions of a query.
pub(super) fn dns_retries<'de, D: Deserializer<'de>>(from: D) -> Result<u8, D::Error> {
    within(from, 0, 5, " repetitions")
}

/// Seconds from 1 to an hour.
pub(super) fn up_to_an_hour<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    within(from, 1, 3_600, " seconds")
}

/// Seconds from 1 to a day.
pub(super) fn up_to_a_day<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    within(from, 1, 86_400, " seconds")
}

/// Seconds up to a week; 0 for not at all.
pub(super) fn up_to_a_week<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    within(from, 0, 604_800, " seconds; 0 for not at all")
}

/// Names in memory.
pub(super) fn names<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    within(from, 256, 1 << 20, " names")
}

/// Bytes that may wait to be read.
pub(super) fn receive_buffer<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    within(from, 1 << 14, 1 << 24, " bytes")
}

/// Bytes that may wait for one reader.
pub(super) fn write_buffer<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    within(from, 1 << 16, 1 << 24, " bytes")
}

#[expect(clippy::needless_pass_by_value, reason = "numbers")]
fn within<'de, D, T>(from: D, least: T, most: T, what: &str) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<i64> + PartialOrd + Display,
{
    let number = i64::deserialize(from)?;
    T::try_from(number).ok().filter(|n| (&least..=&most).contains(&n)).ok_or_else(|| {
        D::Error::custom(format!("{number} is out of range: {least} to {most} is allowed{what}"))
    })
}

/// A path from the root on.
pub(super) fn absolute<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
    let path = PathBuf::deserialize(from)?;
    if !path.is_absolute() {
        let shown = path.display();
        return Err(D::Error::custom(format!("`{shown}` must be an absolute path, from / on")));
    }
    Ok(path)
}

/// A file from the root on.
pub(super) fn some_absolute<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<PathBuf>, D::Error> {
    absolute(from).map(Some)
}

/// An IP address and a port.
pub(super) fn address<'de, D: Deserializer<'de>>(from: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(from)?;
    text.parse().map_err(|_| {
        D::Error::custom(format!(
            "`{text}` is no address and port, such as 192.0.2.1:5060 or [2001:db8::1]:5060"
        ))
    })
}

/// The same, where it may be absent.
pub(super) fn some_address<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<SocketAddr>, D::Error> {
    address(from).map(Some)
}

/// IP prefixes.
pub(super) fn networks<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Network>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    let read = |t: &String| t.parse().map_err(|e| D::Error::custom(format!("`{t}` is {e}")));
    texts.iter().map(read).collect()
}
