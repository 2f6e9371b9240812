//! How callees behave.

use rand::RngExt;
use rand::rngs::SmallRng;

/// What a callee does with an INVITE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Script {
    /// Rings and answers.
    Answer,
    /// Answers twice, as two telephones behind a proxy do that forks (RFC 3261 section 13.2.2.4).
    AnswerTwice,
    /// Answers, and then refuses.
    AnswerThenRefuse,
    /// Refuses with this status.
    Refuse(u16),
    /// Refuses with this status, and then with another.
    RefuseTwice(u16),
    /// Rings until it is cancelled.
    Ring,
    /// Rings until it is cancelled, and answers then: its user was quicker.
    AnswerWhenCancelled,
    /// Rings, and does not know CANCEL.
    Deaf,
    /// Says nothing at all.
    Silent,
}

impl Script {
    pub(crate) fn random(rng: &mut SmallRng) -> Self {
        match rng.random_range(0..100) {
            0..50 => Self::Answer,
            50..52 => Self::AnswerTwice,
            52..53 => Self::AnswerThenRefuse,
            53..83 => {
                let statuses =
                    [486, 486, 486, 486, 404, 503, 503, 302, 302, 600, 401, 407, 408, 500];
                Self::Refuse(statuses[rng.random_range(0..statuses.len())])
            }
            83..85 => Self::RefuseTwice(486),
            85..90 => Self::Ring,
            90..94 => Self::AnswerWhenCancelled,
            94..95 => Self::Deaf,
            _ => Self::Silent,
        }
    }

    /// After how many milliseconds of ringing it gives this final response by itself.
    pub(crate) fn verdict(self, rng: &mut SmallRng) -> Option<(u64, u16)> {
        match self {
            Self::Answer | Self::AnswerTwice | Self::AnswerThenRefuse => {
                Some((rng.random_range(0..8_000), 200))
            }
            Self::Refuse(status) | Self::RefuseTwice(status) => {
                Some((rng.random_range(0..3_000), status))
            }
            Self::Ring | Self::AnswerWhenCancelled | Self::Deaf | Self::Silent => None,
        }
    }

    /// Whether the rules promise it an ACK for its final response.
    pub(crate) fn keeps_rules(self) -> bool {
        !matches!(self, Self::AnswerThenRefuse | Self::Deaf)
    }
}
