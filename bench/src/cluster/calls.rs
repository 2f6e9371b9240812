//! Calls that are up, and the BYE that ends each of them.

use super::generator::T1;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// T2 (RFC 3261 section 17.1.2.2), in milliseconds.
const T2: u64 = 4_000;

/// Calls that are up, by their Call-ID.
#[derive(Debug, Default)]
pub(super) struct Calls(BTreeMap<String, Call>);

/// A call that is up.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) user: u32,
    /// The first-stage node that the BYE goes to: it is in the dialog's route set.
    pub(super) node: usize,
    pub(super) to: SocketAddr,
    pub(super) bye: String,
    /// When the BYE is sent first, in milliseconds.
    pub(super) ends: u64,
    /// When it is sent next.
    pub(super) due: u64,
    /// Until the one after that.
    pub(super) interval: u64,
}

impl Call {
    /// Timer F (RFC 3261 section 17.1.2.2).
    fn gives_up(&self) -> u64 {
        self.ends + 64 * T1
    }
}

impl Calls {
    /// A call has begun, with this Call-ID.
    pub(super) fn begin(&mut self, id: String, call: Call) {
        self.0.insert(id, call);
    }

    /// How many are up.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The BYEs that are to be sent now, and where.
    pub(super) fn due(&mut self, now: u64) -> Vec<(String, SocketAddr)> {
        let mut all = Vec::new();
        for call in self.0.values_mut().filter(|call| call.due <= now) {
            all.push((call.bye.clone(), call.to));
            call.due = now + call.interval;
            call.interval = (call.interval * 2).min(T2);
        }
        all
    }

    /// A final response to the BYE of this Call-ID came.
    pub(super) fn ended(&mut self, id: &str) -> Option<Call> {
        self.0.remove(id)
    }

    /// Those whose BYE has had no answer for too long.
    pub(super) fn given_up(&mut self, now: u64) -> Vec<Call> {
        let gone: Vec<String> = self
            .0
            .iter()
            .filter(|(_, call)| call.gives_up() <= now)
            .map(|(id, _)| id.clone())
            .collect();
        gone.iter().filter_map(|id| self.0.remove(id)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Call, Calls};

    #[test]
    fn a_bye_is_sent_again_until_it_is_answered_or_given_up() {
        let call = |ends| Call {
            user: 1,
            node: 0,
            to: "10.79.0.11:5060".parse().unwrap(),
            bye: "BYE".into(),
            ends,
            due: ends,
            interval: 500,
        };
        let mut calls = Calls::default();
        calls.begin("a".into(), call(1_000));
        calls.begin("b".into(), call(2_000));
        assert!(calls.due(999).is_empty());
        let sent: Vec<u64> = (0..40_000).filter(|now| !calls.due(*now).is_empty()).collect();
        assert_eq!(
            sent[..8],
            [1_000, 1_500, 2_000, 2_500, 3_500, 4_500, 5_500, 8_500][..8].to_vec()
        );
        assert!(calls.ended("b").is_some() && calls.ended("b").is_none());
        assert!(calls.given_up(32_999).is_empty());
        assert_eq!((calls.given_up(33_000).len(), calls.len()), (1, 0));
    }
}
