//! Connections that came in and that requests of ours go over, too (RFC 5923 section 5: the alias table).

use crate::limits::ALIASES_MAX;
use sip_core::Transport;
use std::collections::HashMap;
use std::net::SocketAddr;

/// One end at a listen point: transport, listen point, other end.
pub(super) type End = (Transport, SocketAddr, SocketAddr);

/// What control has said of connections that are open.
#[derive(Debug, Default)]
pub(super) struct Aliases {
    /// The other ends of connections by the addresses that they advertise.
    by_advertised: HashMap<End, SocketAddr>,
    /// The other way round.
    advertised: HashMap<End, SocketAddr>,
}

impl Aliases {
    /// The other end of the connection by which `to` is reached without a new one.
    pub(super) fn find(&self, to: End) -> Option<SocketAddr> {
        self.by_advertised.get(&to).copied()
    }

    /// The connection with `remote` goes by this address, too; the newest one that says so counts. With
    /// [`ALIASES_MAX`] of them no more are learnt, and connections are opened.
    pub(super) fn learn(&mut self, advertised: End, remote: SocketAddr) {
        let (transport, local, address) = advertised;
        let connection = (transport, local, remote);
        self.forget(connection);
        if self.by_advertised.len() >= ALIASES_MAX && !self.by_advertised.contains_key(&advertised)
        {
            return;
        }
        if let Some(old) = self.by_advertised.insert(advertised, remote) {
            self.advertised.remove(&(transport, local, old));
        }
        self.advertised.insert(connection, address);
    }

    /// The connection is no more.
    pub(super) fn forget(&mut self, connection: End) {
        let (transport, local, _) = connection;
        if let Some(address) = self.advertised.remove(&connection) {
            self.by_advertised.remove(&(transport, local, address));
        }
    }

    /// All connections with such other ends are no more.
    pub(super) fn forget_all(&mut self, is_gone: impl Fn(SocketAddr) -> bool) {
        self.by_advertised.retain(|_, remote| !is_gone(*remote));
        self.advertised.retain(|(_, _, remote), _| !is_gone(*remote));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(other: &str) -> End {
        (Transport::Tls, "192.0.2.1:5061".parse().unwrap(), other.parse().unwrap())
    }

    #[test]
    fn the_newest_connection_counts_and_one_that_ended_is_forgotten() {
        let (one, two) = ("192.0.2.9:40001", "192.0.2.9:40002");
        let [advertised, other] = ["192.0.2.9:5061", "192.0.2.9:5062"].map(end);
        let mut aliases = Aliases::default();
        assert_eq!(aliases.find(advertised), None);
        aliases.learn(advertised, one.parse().unwrap());
        aliases.learn(advertised, two.parse().unwrap());
        aliases.forget(end(one));
        assert_eq!(aliases.find(advertised), two.parse().ok());
        aliases.learn(other, two.parse().unwrap());
        assert_eq!((aliases.find(advertised), aliases.find(other)), (None, two.parse().ok()));
        aliases.forget(end(two));
        assert_eq!(aliases.find(other), None);
        aliases.learn(advertised, one.parse().unwrap());
        aliases.forget_all(|remote| remote.port() == 40_001);
        assert_eq!(aliases.find(advertised), None);
        assert!(aliases.advertised.is_empty());
    }
}
