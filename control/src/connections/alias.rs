//! Connections that are used in both directions (RFC 5923): a proxy that connects to us by TLS and says `alias` in its
//! Via gets our requests over the same connection.
//!
//! Who says so must be who it says (section 9.2): it has shown a certificate, `tls.client_ca` vouches for that, and
//! it names the address of the other end, which is all that we ask of a server that we connect to. The advertised
//! address is that one with the port of its sent-by. A sent-by that spells another address is not believed.

use super::connection::{Connection, Intake};
use super::thread::Thread;
use control_api::connection::{Kind, spelt};
use sip_core::{Transport, alias};
use std::net::SocketAddr;

/// Whether a connection goes by another address, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Also {
    /// Nobody has asked.
    #[default]
    Unknown,
    /// Who asked may not.
    Never,
    /// This one, which the data plane knows.
    At(SocketAddr),
}

impl Connection {
    /// Looks whether a message that has come asks for an alias, until one has.
    pub(super) fn look_for_alias(&mut self, message: &[u8], intake: &mut Intake<'_>) {
        if self.also != Also::Unknown || self.key.transport != Transport::Tls {
            return;
        }
        let Some(alias) = alias(message) else { return };
        let ip = self.key.remote.ip();
        let is_another = alias.address.is_some_and(|address| address != ip.to_canonical());
        // The certificate is looked at once, and only for who asks.
        if is_another || !self.stream.is_named(ip) {
            self.also = Also::Never;
            return;
        }
        let at = SocketAddr::new(ip, alias.port);
        self.also = Also::At(at);
        intake.link.announce(&self.key.record(Kind::Alias, &spelt(at)));
    }
}

impl Thread {
    /// Tells a data plane that is new all that the one before it knew.
    pub(super) fn announce_aliases(&mut self) {
        for (_, connection) in &self.connections {
            if let Also::At(address) = connection.also {
                self.link.announce(&connection.key.record(Kind::Alias, &spelt(address)));
            }
        }
    }
}
