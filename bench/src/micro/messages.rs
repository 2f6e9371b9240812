//! One Proxy-200 call of the corpus, as its messages arrive at the appliance.

use crate::corpus;
use dataplane::decode::{Datagram, DecodeRules, decode};
use dataplane::testing::appliance::Appliance;

/// Messages of a call, in the order in which the corpus gives them.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Invite,
    Trying,
    Ringing,
    Ok,
    Ack,
    Bye,
}

/// The frames of one call.
pub(crate) struct Messages {
    frames: Vec<Vec<u8>>,
}

/// A frame that arrived, with its headers read.
pub(crate) struct Arrived {
    pub(crate) frame: Vec<u8>,
    pub(crate) datagram: Datagram,
}

impl Messages {
    pub(crate) fn new() -> Self {
        Self { frames: corpus::proxy_200(&mut Appliance::default(), 1) }
    }

    /// The frame of `step`.
    pub(crate) fn arrived(&self, step: Step) -> Arrived {
        let frame = self.frames[step as usize].clone();
        let rules = DecodeRules { verify_checksums: true };
        let datagram = decode(&frame, rules).expect("a frame of the corpus decodes");
        Arrived { frame, datagram }
    }
}

impl Arrived {
    /// The SIP message, for the whole run: what is parsed borrows from it.
    pub(crate) fn message(&self) -> &'static [u8] {
        Vec::leak(self.frame[self.datagram.payload.clone()].to_vec())
    }

    /// An HTTP request with the header lines and the body of the message, and as long.
    pub(crate) fn as_http_request(&self) -> Vec<u8> {
        let message = std::str::from_utf8(self.message()).expect("the corpus is ASCII");
        let (line, rest) = message.split_once("\r\n").expect("a start line");
        let padding = "s".repeat(line.len() - "POST / HTTP/1.1".len());
        format!("POST /{padding} HTTP/1.1\r\n{rest}").into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_are_what_their_names_say() {
        let messages = Messages::new();
        let expected = [
            (Step::Invite, "INVITE "),
            (Step::Trying, "SIP/2.0 100 "),
            (Step::Ringing, "SIP/2.0 180 "),
            (Step::Ok, "SIP/2.0 200 "),
            (Step::Ack, "ACK "),
            (Step::Bye, "BYE "),
        ];
        for (step, start) in expected {
            assert!(messages.arrived(step).message().starts_with(start.as_bytes()), "{step:?}");
        }
        let invite = messages.arrived(Step::Invite);
        assert_eq!(invite.message().len(), corpus::INVITE_BYTES);
        assert_eq!(invite.as_http_request().len(), corpus::INVITE_BYTES);
    }
}
