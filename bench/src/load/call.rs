//! The record of one call, and what must be true of a message that belongs to it.

use super::counts::Wrong;
use super::identity::Identity;
use super::reader::{Arrived, ID_LEN, parameter};
use super::script::{Kind, MESSAGES_MAX, Message, Method, Side};
use super::template::{BRANCH_PREFIX, FROM_TAG_PREFIX, TO_TAG_PREFIX, USER_LEN};
use super::wire::Local;
use core::net::SocketAddr;

/// One call.
#[derive(Debug, Default)]
pub(crate) struct Call {
    /// How often the record was used before.
    pub(crate) generation: u32,
    /// Whether the call is going on.
    pub(crate) open: bool,
    /// Index of its script.
    pub(crate) script: u8,
    /// Which of our addresses is the caller.
    pub(crate) caller: Local,
    /// Which of our addresses the target chose as the callee.
    pub(crate) callee: Local,
    /// Where the callee's responses go.
    pub(crate) hop: Option<SocketAddr>,
    /// The call's digits.
    pub(crate) id: [u8; ID_LEN],
    /// The user's digits.
    pub(crate) user: [u8; USER_LEN],
    /// Messages that have arrived, a bit per index.
    pub(crate) arrived_mask: u32,
    /// How often each message was sent, up to 255.
    pub(crate) sent: [u8; MESSAGES_MAX],
    /// How often each message arrived, up to 255.
    pub(crate) arrived: [u8; MESSAGES_MAX],
    /// When each message was due to be sent for the first time, in nanoseconds of the run's clock.
    pub(crate) due: [u64; MESSAGES_MAX],
    /// What every response to the INVITE repeats of it.
    pub(crate) repeated: Vec<u8>,
    /// Route lines of the dialog, or the Authorization line.
    pub(crate) lines: Vec<u8>,
    /// The callee's Contact, if a proxy has recorded its route.
    pub(crate) remote_target: Vec<u8>,
}

impl Call {
    /// Makes the record that of a new call; buffers stay.
    pub(crate) fn begin(&mut self, identity: Identity, script: u8, user: u32, caller: Local) {
        self.open = true;
        self.script = script;
        self.caller = caller;
        self.callee = Local::MAX;
        self.hop = None;
        self.id = identity.digits();
        let mut rest = user;
        for digit in self.user.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        self.arrived_mask = 0;
        self.sent = [0; MESSAGES_MAX];
        self.arrived = [0; MESSAGES_MAX];
        self.repeated.clear();
        self.lines.clear();
        self.remote_target.clear();
    }

    /// Notes the arrival of a message; true when it is the first.
    pub(crate) fn arrive(&mut self, index: usize) -> bool {
        let first = self.arrived_mask & 1 << index == 0;
        self.arrived_mask |= 1 << index;
        self.arrived[index] = self.arrived[index].saturating_add(1);
        first
    }

    /// Whether a message that its sender repeats has been answered (RFC 3261 17.1.1.2, 17.1.2.2,
    /// 13.3.1.4).
    pub(crate) fn is_answered(&self, index: usize, messages: &[Message]) -> bool {
        let asked = messages[index].kind;
        self.has_arrived(index, messages, |kind| match asked {
            Kind::Request(method) => kind.is_final() && kind.method() == method,
            Kind::Response(..) => kind == Kind::Request(Method::Ack),
        })
    }

    /// Whether a provisional response to the request with this index has arrived.
    pub(crate) fn is_proceeding(&self, index: usize, messages: &[Message]) -> bool {
        self.has_arrived(index, messages, Kind::is_provisional)
    }

    fn has_arrived(
        &self,
        index: usize,
        messages: &[Message],
        wanted: impl Fn(Kind) -> bool,
    ) -> bool {
        messages.iter().enumerate().any(|(other, message)| {
            message.cseq == messages[index].cseq
                && self.arrived_mask & 1 << other != 0
                && wanted(message.kind)
        })
    }

    /// Whether some message was sent whose answer is still to come; a call that rings waits for its user.
    pub(crate) fn is_waiting(&self, messages: &[Message]) -> bool {
        messages.iter().enumerate().any(|(index, message)| {
            self.sent[index] > 0
                && message.kind.is_retransmitted()
                && !self.is_answered(index, messages)
                && !self.is_proceeding(index, messages)
        })
    }

    /// Copies of each message that were lost and that were too many, summed up.
    pub(crate) fn balance(&self, messages: &[Message]) -> (u64, u64) {
        let (mut lost, mut duplicates) = (0, 0);
        for (index, message) in messages.iter().enumerate() {
            let arrived = self.arrived[index];
            // What the target sends is not seen leaving: one for each time it was asked.
            let asked = message.after.map_or(0, |after| self.sent[after]);
            let sent = if message.from == Side::Target { asked } else { self.sent[index] };
            if message.from != Side::Target && message.to != Side::Target {
                lost += u64::from(sent.saturating_sub(arrived));
            }
            duplicates += u64::from(arrived.saturating_sub(sent));
        }
        (lost, duplicates)
    }

    /// Whether a message that was sent after this one, the same way and once each, came before it.
    pub(crate) fn was_overtaken(&self, index: usize, messages: &[Message]) -> bool {
        let this = &messages[index];
        let same_way = |other: &Message| other.from == this.from && other.to == this.to;
        self.sent[index] == 1
            && (index + 1..messages.len()).any(|later| {
                same_way(&messages[later])
                    && self.sent[later] == 1
                    && self.arrived_mask & 1 << later != 0
            })
    }
}

/// What is expected of the way between the two sides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path {
    /// Proxies that add a Via; 0 when the target passes datagrams on unchanged.
    pub(crate) hops: u32,
}

/// Checks a message against what was sent.
///
/// # Errors
/// The first thing that is wrong.
pub(crate) fn verify(
    datagram: &[u8],
    arrived: &Arrived,
    message: &Message,
    call: &Call,
    path: Path,
    body: &[u8],
) -> Result<(), Wrong> {
    if arrived.cseq != message.cseq {
        return Err(Wrong::Cseq);
    }
    let is_request = matches!(message.kind, Kind::Request(_));
    let by_target = message.from == Side::Target;
    if !(is_request && message.hop_by_hop) {
        vias(datagram, arrived, message, call, path)?;
    }
    let tag = |value: &core::ops::Range<usize>| parameter(&datagram[value.clone()], b"tag");
    let is = |tag: Option<&[u8]>, prefix: &[u8]| {
        tag.and_then(|tag| tag.strip_prefix(prefix)).is_some_and(|id| id == call.id)
    };
    if !is(tag(&arrived.from), FROM_TAG_PREFIX) {
        return Err(Wrong::Tags);
    }
    let to = tag(&arrived.to);
    let own_tag_allowed = by_target || message.hop_by_hop || message.kind.is_provisional();
    // A request without a dialog has no tag in To (RFC 3261 8.1.1.2).
    let tags_fit = is(to, TO_TAG_PREFIX) || own_tag_allowed || (is_request && to.is_none());
    if !tags_fit {
        return Err(Wrong::Tags);
    }
    if !by_target && !message.hop_by_hop && datagram[arrived.body.clone()] != *body {
        return Err(Wrong::Body);
    }
    if is_request && !message.hop_by_hop && arrived.max_forwards != Some(70 - path.hops) {
        return Err(Wrong::MaxForwards);
    }
    Ok(())
}

/// RFC 3261 16.6 item 8 and 16.7 item 3: each proxy puts its Via on top of a request and takes it
/// from a response.
fn vias(
    datagram: &[u8],
    arrived: &Arrived,
    message: &Message,
    call: &Call,
    path: Path,
) -> Result<(), Wrong> {
    let vias = arrived.vias.as_slice();
    let hops = if matches!(message.kind, Kind::Request(_)) { path.hops as usize } else { 0 };
    if vias.len() != hops + 1 {
        return Err(Wrong::Via);
    }
    let own = parameter(&datagram[vias[hops].clone()], b"branch");
    let id = own.and_then(|branch| branch.strip_prefix(BRANCH_PREFIX)).ok_or(Wrong::Branch)?;
    let fits = id.split_at_checked(ID_LEN).is_some_and(|(id, index)| {
        let index = core::str::from_utf8(index).ok().and_then(|index| index.parse().ok());
        id == call.id && index == Some(message.branch_of)
    });
    if fits { Ok(()) } else { Err(Wrong::Branch) }
}
