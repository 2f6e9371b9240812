//! The question (RFC 3261 section 22.2 and 22.3, RFC 8760 section 2.3).

use core::net::SocketAddr;

use super::{Demand, Digest, Role};
use crate::message::Method;
use crate::rewrite::answer::write_answer;
use crate::rewrite::output::Output;
use crate::route::outcome::SipDrop;
use crate::settings::DigestAlgorithm;

impl Digest {
    /// Writes 401 or 407 into `out`, which is cleared first: a line for each algorithm that all users of the
    /// realm can answer, the preferred one first, since clients take the first they know. Gives where it must
    /// be sent.
    ///
    /// # Errors
    /// When it does not fit, and for an ACK, which is never answered.
    pub fn write_challenge(
        &mut self,
        demand: &Demand<'_>,
        stale: bool,
        out: &mut Output,
    ) -> Result<SocketAddr, SipDrop> {
        let &Demand { request, route, tables, arrival, .. } = demand;
        if request.method() == Method::Ack {
            return Err(SipDrop::AckUnanswerable);
        }
        let realm = demand.realm();
        let (status, header): ((u16, &str), &[u8]) = match demand.role() {
            Role::Registrar => ((401, "Unauthorized"), b"WWW-Authenticate"),
            Role::Proxy => ((407, "Proxy Authentication Required"), b"Proxy-Authenticate"),
        };
        let nonce = self.nonces.issue(self.now_ms, arrival.source.ip(), realm.as_bytes());
        let end: &[u8] =
            if stale { b", qop=\"auth\", stale=true\r\n" } else { b", qop=\"auth\"\r\n" };
        let offered = tables.auth().algorithms.iter();
        let mut offered = offered.filter(|&&one| demand.credentials.serves(realm, one));
        let lines = |out: &mut Output| {
            offered.try_for_each(|algorithm| {
                let algorithm: &[u8] = match algorithm {
                    DigestAlgorithm::Sha256 => b"\", algorithm=SHA-256",
                    DigestAlgorithm::Md5 => b"\", algorithm=MD5",
                };
                let realm = realm.as_bytes();
                let parts =
                    [header, b": Digest realm=\"", realm, b"\", nonce=\"", &nonce, algorithm, end];
                parts.iter().try_for_each(|part| out.push(part))
            })
        };
        Ok(write_answer(request, &route.via, status, tables, arrival, lines, out)?)
    }
}
