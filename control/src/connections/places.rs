//! How many connections there may be, of all and of one source.

use super::counters::Refusal;
use crate::config::Connections;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// The places of connections, shared by the acceptor and all connection threads.
#[derive(Debug, Default)]
pub(super) struct Places {
    taken: AtomicU32,
    /// Of sources for which there is a limit.
    sources: Mutex<HashMap<IpAddr, u32>>,
}

/// The place of one connection, for as long as it lives.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    source: Option<IpAddr>,
}

impl Places {
    /// A place for a connection that came from this address; `None` for one that we open.
    pub(super) fn take(
        self: &Arc<Self>,
        from: Option<IpAddr>,
        settings: &Connections,
    ) -> Result<Place, Refusal> {
        let more = |taken| (taken < settings.connections).then_some(taken + 1);
        self.taken.fetch_update(Relaxed, Relaxed, more).map_err(|_| Refusal::Full)?;
        let mut place = Place { places: Arc::clone(self), source: None };
        let is_trusted =
            |ip: IpAddr| settings.trusted.iter().any(|network| network.contains(ip.to_canonical()));
        if let Some(ip) = from.filter(|&ip| settings.per_source > 0 && !is_trusted(ip)) {
            let source = source_of(ip);
            let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
            let own = sources.entry(source).or_default();
            if *own >= settings.per_source {
                drop(sources);
                return Err(Refusal::Source);
            }
            *own += 1;
            place.source = Some(source);
        }
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken.fetch_sub(1, Relaxed);
        let Some(source) = self.source else { return };
        let mut sources = self.places.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = sources.get_mut(&source) {
            *own -= 1;
            if *own == 0 {
                sources.remove(&source);
            }
        }
    }
}

/// Who an address stands for: of IPv6 a customer gets a /64 at least (RFC 6177 section 2).
fn source_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
        ip @ IpAddr::V4(_) => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_taken_and_given_back() {
        let places = Arc::new(Places::default());
        let settings = Connections {
            connections: 4,
            per_source: 1,
            trusted: vec!["192.0.2.0/24".parse().unwrap()],
            ..Connections::default()
        };
        let take = |from: &str| places.take(Some(from.parse().unwrap()), &settings);
        let one = take("198.51.100.1").unwrap();
        assert_eq!(take("::ffff:198.51.100.1").unwrap_err(), Refusal::Source);
        let two = take("2001:db8::1").unwrap();
        assert_eq!(take("2001:db8::ffff:2").unwrap_err(), Refusal::Source);
        let trusted = (take("192.0.2.1").unwrap(), take("192.0.2.1").unwrap());
        assert_eq!(take("203.0.113.1").unwrap_err(), Refusal::Full);
        assert_eq!(places.take(None, &settings).unwrap_err(), Refusal::Full);
        drop((one, two, trusted));
        take("198.51.100.1").unwrap();
        assert!(places.sources.lock().unwrap().is_empty());
    }
}
