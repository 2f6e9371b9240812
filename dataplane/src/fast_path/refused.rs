//! What becomes of a message that goes no further: which reply, or which reason to drop it.

use crate::verdict::Verdict;
use control_api::DropReason;
use sip_core::stun::StunDrop;
use sip_core::{Refusal, Reply, SipDrop};

/// Why a request is not forwarded.
pub(super) enum Refused {
    Reply(Reply),
    Verdict(Verdict),
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Reply(reply) => Self::Reply(reply),
            Refusal::Drop(reason) => Self::Verdict(sip_drop(reason)),
        }
    }
}

pub(super) fn sip_drop(reason: SipDrop) -> Verdict {
    Verdict::Drop(match reason {
        SipDrop::SipMalformed => DropReason::SipMalformed,
        SipDrop::AckUnanswerable => DropReason::AckUnanswerable,
        SipDrop::ReplyTooLarge => DropReason::EgressTooLarge,
        SipDrop::ResponseMalformed => DropReason::ResponseMalformed,
        SipDrop::ResponseNotOurs => DropReason::ResponseNotOurs,
        SipDrop::ResponseForged => DropReason::ResponseForged,
        SipDrop::ResponseStale => DropReason::ResponseStale,
        SipDrop::ResponseNoVia => DropReason::ResponseNoVia,
        SipDrop::ResponseUnroutable => DropReason::ResponseUnroutable,
    })
}

pub(super) fn stun_drop(reason: StunDrop) -> Verdict {
    Verdict::Drop(match reason {
        StunDrop::Malformed => DropReason::StunMalformed,
        StunDrop::Indication => DropReason::Keepalive,
        StunDrop::ReplyTooLarge => DropReason::EgressTooLarge,
    })
}
