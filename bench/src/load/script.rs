//! What callers and callees say to each other, as tables: who sends which message after which.

use std::fmt;
use std::time::Duration;

/// Most messages in one script: fixed, so that a call is one flat record.
pub(crate) const MESSAGES_MAX: usize = 24;

/// Most in-dialog requests per call; with their answers and the rest of the call they fit in
/// [`MESSAGES_MAX`].
pub(crate) const IN_DIALOG_MAX: usize = 8;

/// Who sends or receives a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The generator as UAC.
    Caller,
    /// The generator as UAS.
    Callee,
    /// The system under test itself.
    Target,
}

/// Methods that the scenarios use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// RFC 3261 13.
    Invite,
    /// RFC 3261 13.2.2.4 and 17.1.1.3.
    Ack,
    /// RFC 3261 15.
    Bye,
    /// RFC 3261 9.
    Cancel,
    /// RFC 3261 11.
    Options,
    /// RFC 3261 10.
    Register,
    /// RFC 6086, here as the in-dialog request that means nothing.
    Info,
}

impl Method {
    const ALL: [Self; 7] = [
        Self::Invite,
        Self::Ack,
        Self::Bye,
        Self::Cancel,
        Self::Options,
        Self::Register,
        Self::Info,
    ];

    /// The method's token.
    pub(crate) fn token(self) -> &'static str {
        match self {
            Self::Invite => "INVITE",
            Self::Ack => "ACK",
            Self::Bye => "BYE",
            Self::Cancel => "CANCEL",
            Self::Options => "OPTIONS",
            Self::Register => "REGISTER",
            Self::Info => "INFO",
        }
    }

    /// The method with this token.
    pub(crate) fn from_token(token: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.token().as_bytes() == token)
    }
}

/// What kind of message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A request.
    Request(Method),
    /// A response to a request of this method.
    Response(u16, Method),
}

impl Kind {
    /// The method of the CSeq.
    pub(crate) fn method(self) -> Method {
        match self {
            Self::Request(method) | Self::Response(_, method) => method,
        }
    }

    /// Whether it is a final response.
    pub(crate) fn is_final(self) -> bool {
        matches!(self, Self::Response(200.., _))
    }

    /// Whether it is a provisional response.
    pub(crate) fn is_provisional(self) -> bool {
        matches!(self, Self::Response(..200, _))
    }

    /// Whether its sender sends it again until it is answered: every request but ACK, and final
    /// responses to INVITE (RFC 3261 13.3.1.4, 17.2.1).
    pub(crate) fn is_retransmitted(self) -> bool {
        match self {
            Self::Request(method) => method != Method::Ack,
            Self::Response(status, method) => status >= 200 && method == Method::Invite,
        }
    }
}

/// How long a sender waits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Delay {
    /// Not at all.
    None,
    /// Always as long.
    Fixed(Duration),
    /// Log-normal with this mean and a standard deviation of the logarithm of 1: many short calls and
    /// a long tail, as telephone calls have.
    LogNormal(Duration),
}

/// One message of a script.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message {
    /// What it is.
    pub(crate) kind: Kind,
    /// CSeq number.
    pub(crate) cseq: u32,
    /// Its sender.
    pub(crate) from: Side,
    /// Its receiver.
    pub(crate) to: Side,
    /// The message whose arrival makes the sender send it; none for the first.
    pub(crate) after: Option<usize>,
    /// How long after that arrival.
    pub(crate) delay: Delay,
    /// Whether a stateful target answers it or makes it anew instead of relaying it (CANCEL, ACK to a
    /// failure), so that Via and tags may be the target's own (RFC 3261 16.10, 17.1.1.3).
    pub(crate) hop_by_hop: bool,
    /// The request whose branch it carries: its own index, but INVITE's for CANCEL and for the ACK to
    /// a failure.
    pub(crate) branch_of: usize,
}

/// A kind of call, from its first message to its last.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    /// Messages in an order in which each stands after what it waits for.
    pub(crate) messages: Vec<Message>,
    /// Which messages (bit per index) must have arrived for the call to be complete.
    pub(crate) done: u32,
    /// Share of calls that follow this script; the shares of a scenario add up to 1.
    pub(crate) share: f64,
}

/// The scenarios that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Scenario {
    /// SIPstone's Proxy 200: INVITE 100 180 200 ACK BYE 200, through the target
    Proxy200,
    /// INVITE 100 180 CANCEL 200 487 ACK, through the target
    InviteCancel,
    /// OPTIONS 200, through the target
    Options,
    /// REGISTER 200, answered by the target
    Register,
    /// REGISTER 401 REGISTER 200 with digest authentication, answered by the target
    RegisterDigest,
    /// The users of SPEC SIP: they register, call, reach voicemail and cancel
    Users,
    /// INVITEs which something that sends every datagram back returns: measures a wire
    Echo,
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = clap::ValueEnum::to_possible_value(self).ok_or(fmt::Error)?;
        f.write_str(value.get_name())
    }
}

/// What can be set of a scenario.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// How long a callee rings.
    pub(crate) ring: Duration,
    /// How long a call lasts.
    pub(crate) hold: Duration,
    /// In-dialog requests between ACK and BYE, up to [`IN_DIALOG_MAX`].
    pub(crate) in_dialog: usize,
    /// How many times faster than real time the users of [`Scenario::Users`] live.
    pub(crate) compress: f64,
}

impl Scenario {
    /// The scripts of this scenario.
    pub(crate) fn scripts(self, shape: &Shape) -> Vec<Script> {
        let fixed = |time: Duration| if time.is_zero() { Delay::None } else { Delay::Fixed(time) };
        let (ring, hold) = (fixed(shape.ring), fixed(shape.hold));
        match self {
            Self::Proxy200 => vec![proxy_200(ring, hold, shape.in_dialog, 1.0)],
            Self::InviteCancel => vec![invite_cancel(ring, 1.0)],
            Self::Options => vec![options()],
            Self::Register => vec![register(false, 1.0)],
            Self::RegisterDigest => vec![register(true, 1.0)],
            Self::Users => users::scripts(shape),
            Self::Echo => vec![echo()],
        }
    }

    /// Calls per second that so many users make; for the other scenarios a user is a name only.
    pub(crate) fn calls_per_second(self, users: f64, compress: f64) -> Option<f64> {
        (self == Self::Users).then_some(users * users::EVENTS_PER_SECOND * compress)
    }
}

/// The model of SPEC SIP as the study of 2010 used it: what one user does on average.
mod users {
    use super::{Delay, Script, Shape, invite_cancel, proxy_200, register};
    use std::time::Duration;

    /// A user registers every 10 minutes.
    const REGISTRATIONS: f64 = 1.0 / 600.0;
    /// A user calls after an exponential think time of 1 hour.
    const CALLS: f64 = 1.0 / 3_600.0;
    /// Shares of calls that are answered, that reach voicemail and that the caller cancels.
    const ANSWERED: f64 = 0.65;
    const VOICEMAIL: f64 = 0.30;
    const CANCELLED: f64 = 0.05;
    const TALK: Duration = Duration::from_mins(5);
    const MESSAGE: Duration = Duration::from_secs(30);
    /// Seconds until a callee answers, or a caller gives up.
    const RING: Duration = Duration::from_secs(5);

    /// Registrations and calls that one user begins per second. Many users' independent events add
    /// up to a Poisson process.
    pub(super) const EVENTS_PER_SECOND: f64 = REGISTRATIONS + CALLS;

    pub(super) fn scripts(shape: &Shape) -> Vec<Script> {
        let share = |of_calls: f64| of_calls * CALLS / EVENTS_PER_SECOND;
        let scaled = |time: Duration| time.div_f64(shape.compress);
        let ring = Delay::Fixed(scaled(RING));
        vec![
            register(true, REGISTRATIONS / EVENTS_PER_SECOND),
            proxy_200(ring, Delay::LogNormal(scaled(TALK)), shape.in_dialog, share(ANSWERED)),
            proxy_200(ring, Delay::Fixed(scaled(MESSAGE)), shape.in_dialog, share(VOICEMAIL)),
            invite_cancel(ring, share(CANCELLED)),
        ]
    }
}

fn proxy_200(ring: Delay, hold: Delay, in_dialog: usize, share: f64) -> Script {
    let mut script = Writer::default();
    let invite = script.request(Method::Invite, None);
    script.response(100, invite);
    script.response(180, invite);
    let answer = script.response(200, invite);
    script.messages[answer].delay = ring;
    script.request(Method::Ack, Some(answer));
    let mut last = answer;
    for _ in 0..in_dialog.min(IN_DIALOG_MAX) {
        let info = script.request(Method::Info, Some(last));
        last = script.response(200, info);
    }
    let bye = script.request(Method::Bye, Some(last));
    script.messages[bye].delay = hold;
    let end = script.response(200, bye);
    script.end(&[answer, end], share)
}

fn invite_cancel(ring: Delay, share: f64) -> Script {
    let mut script = Writer::default();
    let invite = script.request(Method::Invite, None);
    script.response(100, invite);
    let ringing = script.response(180, invite);
    let cancel = script.request(Method::Cancel, Some(ringing));
    let cancelled = script.response(200, cancel);
    let terminated = script.response(487, invite);
    let ack = script.request(Method::Ack, Some(terminated));
    script.messages[cancel].delay = ring;
    script.messages[terminated].after = Some(cancel);
    for index in [cancel, cancelled, ack] {
        script.messages[index].branch_of = invite;
        script.messages[index].hop_by_hop = true;
    }
    script.end(&[cancelled, terminated, ack], share)
}

fn options() -> Script {
    let mut script = Writer::default();
    let options = script.request(Method::Options, None);
    let end = script.response(200, options);
    script.end(&[end], 1.0)
}

fn register(digest: bool, share: f64) -> Script {
    let mut script = Writer::default();
    let mut request = script.request(Method::Register, None);
    if digest {
        let challenge = script.response(401, request);
        request = script.request(Method::Register, Some(challenge));
    }
    let end = script.response(200, request);
    for message in &mut script.messages {
        let side = |side| if side == Side::Callee { Side::Target } else { side };
        (message.from, message.to) = (side(message.from), side(message.to));
    }
    script.end(&[end], share)
}

fn echo() -> Script {
    let mut script = Writer::default();
    let invite = script.request(Method::Invite, None);
    script.messages[invite].to = Side::Caller;
    script.end(&[invite], 1.0)
}

/// Writes a script message by message.
#[derive(Default)]
struct Writer {
    messages: Vec<Message>,
    cseq: u32,
}

impl Writer {
    /// A request of the caller to the callee. ACK and CANCEL keep the number of their INVITE.
    fn request(&mut self, method: Method, after: Option<usize>) -> usize {
        if !matches!(method, Method::Ack | Method::Cancel) {
            self.cseq += 1;
        }
        self.messages.push(Message {
            kind: Kind::Request(method),
            cseq: self.cseq,
            from: Side::Caller,
            to: Side::Callee,
            after,
            delay: Delay::None,
            hop_by_hop: false,
            branch_of: self.messages.len(),
        });
        self.messages.len() - 1
    }

    /// The callee's answer to a request.
    fn response(&mut self, status: u16, request: usize) -> usize {
        let asked = self.messages[request];
        self.messages.push(Message {
            kind: Kind::Response(status, asked.kind.method()),
            from: asked.to,
            to: asked.from,
            after: Some(request),
            delay: Delay::None,
            branch_of: request,
            ..asked
        });
        self.messages.len() - 1
    }

    fn end(self, done: &[usize], share: f64) -> Script {
        assert!(self.messages.len() <= MESSAGES_MAX);
        let done = done.iter().fold(0, |mask, index| mask | (1 << index));
        Script { messages: self.messages, done, share }
    }
}

#[cfg(test)]
mod tests {
    use super::{IN_DIALOG_MAX, MESSAGES_MAX, Scenario, Shape};
    use clap::ValueEnum;
    use std::time::Duration;

    #[test]
    fn every_message_waits_for_one_that_reaches_its_sender() {
        let shape = Shape {
            ring: Duration::from_millis(1),
            hold: Duration::ZERO,
            in_dialog: IN_DIALOG_MAX,
            compress: 1.0,
        };
        for scenario in Scenario::value_variants() {
            let scripts = scenario.scripts(&shape);
            let shares: f64 = scripts.iter().map(|script| script.share).sum();
            assert!((shares - 1.0).abs() < 1e-9, "{scenario}: {shares}");
            for script in scripts {
                assert!(script.messages.len() <= MESSAGES_MAX);
                for (index, message) in script.messages.iter().enumerate() {
                    match message.after {
                        None => assert_eq!(index, 0, "{scenario}"),
                        Some(after) => {
                            assert!(after < index, "{scenario} {index}");
                            assert_eq!(script.messages[after].to, message.from, "{scenario}");
                        }
                    }
                }
            }
        }
    }
}
