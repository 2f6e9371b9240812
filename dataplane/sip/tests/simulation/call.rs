//! One call: what its caller and those who are called remember of it.

use std::net::SocketAddr;

use super::plan::{self, Kind};
use super::script::Script;

/// A call, or a request outside of one.
pub(crate) struct Call {
    pub(crate) number: u32,
    pub(crate) kind: Kind,
    pub(crate) started_ms: u64,
    /// When something last happened to it.
    pub(crate) touched_ms: u64,
    /// Requests that its endpoints sent.
    pub(crate) clients: Vec<Client>,
    /// Those whom its INVITE has reached.
    pub(crate) legs: Vec<Leg>,
    /// Whether its caller cancels before anything has come back.
    pub(crate) is_rude: bool,
    /// Whether its caller gives the ACK for a 2xx the branch of the INVITE, as RFC 2543 had it.
    pub(crate) is_old: bool,
    /// When the first callee has answered an OPTIONS with 200.
    pub(crate) options_answered_ms: Option<u64>,
}

/// Who sends a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Party {
    Caller,
    /// The one of this leg.
    Leg(usize),
}

/// A client transaction of an endpoint.
pub(crate) struct Client {
    pub(crate) method: &'static str,
    pub(crate) party: Party,
    pub(crate) message: Vec<u8>,
    pub(crate) since_ms: u64,
    pub(crate) interval_ms: u64,
    pub(crate) has_provisional: bool,
    /// Those that came, each once.
    pub(crate) finals: Vec<Final>,
    /// ACKs for 2xx, by the tag of those.
    pub(crate) acks: Vec<(String, Vec<u8>)>,
}

/// A final response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Final {
    pub(crate) status: u16,
    pub(crate) tag: String,
}

/// A callee with an INVITE.
pub(crate) struct Leg {
    pub(crate) host: u8,
    /// The branch of the INVITE.
    pub(crate) branch: String,
    /// The lines that its responses repeat.
    pub(crate) head: String,
    pub(crate) tag: String,
    /// What a request in the dialog is made of.
    pub(crate) dialog: Dialog,
    pub(crate) script: Script,
    pub(crate) state: LegState,
    pub(crate) was_cancelled: bool,
    /// The response that was sent last.
    pub(crate) last: Option<Vec<u8>>,
    /// When its final response was sent, and the next interval until it is sent again.
    pub(crate) answered_ms: u64,
    pub(crate) interval_ms: u64,
    pub(crate) is_acknowledged: bool,
    /// It has sent its final response for 64 T1 without getting an ACK.
    pub(crate) gave_up: bool,
}

/// How far a leg is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LegState {
    Ringing,
    /// The status of its final response.
    Final(u16),
}

/// A dialog as one of its ends knows it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dialog {
    pub(crate) remote_uri: String,
    pub(crate) routes: Vec<String>,
    /// From and To of a request from this end.
    pub(crate) from: String,
    pub(crate) to: String,
}

impl Call {
    /// The address of one of its ends.
    pub(crate) fn address(&self, party: Party) -> SocketAddr {
        match party {
            Party::Caller => plan::caller_address(self.number),
            Party::Leg(leg) => plan::callee_address(self.legs[leg].host),
        }
    }

    /// The leg of an INVITE with this branch.
    pub(crate) fn leg(&self, host: u8, branch: &str) -> Option<usize> {
        self.legs.iter().position(|leg| leg.host == host && leg.branch == branch)
    }

    /// The leg with this tag.
    pub(crate) fn leg_of_tag(&self, tag: &str) -> Option<usize> {
        self.legs.iter().position(|leg| leg.tag == tag)
    }

    /// The branch of its request with this index.
    pub(crate) fn branch(&self, client: usize) -> String {
        format!("z9hG4bK{}.{client}", self.number)
    }
}

impl Client {
    /// Takes a final response; gives whether it is another one than before.
    pub(crate) fn finish(&mut self, status: u16, tag: &str) -> bool {
        let one = Final { status, tag: tag.into() };
        let is_new = !self.finals.contains(&one);
        if is_new {
            self.finals.push(one);
        }
        is_new
    }
}
