//! Requests whose next hop is a host name (RFC 3263).

use super::{FastPath, Refused, Scratch, Way};
use crate::awaiting::{Awaited, Patience};
use crate::verdict::Verdict;
use sip_core::{Arrival, NotAimed, Reply, Request, RequestRoute};

impl FastPath {
    /// Says what messages may wait for from now on.
    pub fn set_patience(&mut self, patience: Patience) {
        self.scratch.patience = patience;
    }
}

impl Way<'_> {
    /// Finds the addresses to which the name leads. Whatever asks for credentials or refuses has done so before: who may
    /// not send a request makes nobody ask for its name.
    #[cold]
    pub(super) fn resolve(
        &self,
        request: &Request,
        arrival: &Arrival,
        route: &mut RequestRoute,
        scratch: &mut Scratch,
    ) -> Result<(), Refused> {
        let Scratch { names, hops, patience, .. } = scratch;
        names.aim(request, self.tables, arrival, route, hops).map_err(|why| match why {
            NotAimed::Refused(reply) => Refused::Reply(reply),
            NotAimed::Unknown if *patience == Patience::Nothing => {
                Refused::Reply(Reply::NextHopName)
            }
            NotAimed::Unknown => Refused::Verdict(Verdict::Await(Awaited::Name)),
        })
    }
}
