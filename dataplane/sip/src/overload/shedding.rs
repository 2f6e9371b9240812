//! How much new work is taken while there is more than can be done.
//!
//! What tells overload is a queue that stands, as in CoDel (RFC 8289): a burst of messages fills a queue for a
//! moment, and that is what queues are for; only one that never ran empty for a whole interval has more coming than
//! going. Then new work is taken in part only. The part shrinks as long as the queue stands for longer than the
//! target, and grows while it runs empty, a little at a time, until all is taken again:
//!
//! ```text
//!              stands for an interval
//!   taking all ──────────────────────► shedding: each target time the queue
//!        ▲                              stood for more than a target ─► take less
//!        └──── all is taken again ────  ran empty ───────────────────► take more
//! ```
//!
//! INVITE and REGISTER outside of dialogs are shed first. Only when hardly any of them is taken, other requests
//! outside of dialogs are. Nothing else is ever shed: it is part of work that has been begun (RFC 7339 section
//! 5.10.1). Which ones are taken, the hash of their topmost Via decides, so that a retransmission meets the same
//! fate as what it repeats while the part does not change.

use super::plan::OverloadPlan;
use super::sort::{Kind, is_usual_first, sort};
use crate::rewrite::feedback::{Feedback, VALIDITY_MS};
use crate::settings::Transport;

/// All of something that is taken in part.
const ALL: u32 = 1 << 16;

/// The least of INVITE and REGISTER that is taken: below that, other requests are shed too.
const LEAST: u32 = ALL / 256;

/// For so many messages that are taken one may be answered with 503: an answer costs about twice what it takes to
/// forward a message (`trunkline-bench micro`), and its ACK as much as a drop; what is spent on that is not done for
/// calls. Who gets none sends the request again.
const MESSAGES_PER_ANSWER: u32 = 128;

/// Parts grow for at most so many target times that were missed while nothing came.
const MISSED_MAX: u64 = 1_024;

/// For how long after a 503 its ACK may come, ns: twice T1 and some.
const ACK_NS: u64 = 2_000_000_000;

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It is taken.
    Take,
    /// It is answered with 503.
    Answer {
        /// Retry-After, in seconds.
        retry_after_s: u16,
        /// What the tag of To is made of: by it the ACK is known.
        tag: u64,
        /// What the client is told, if it has asked to be.
        feedback: Option<Feedback>,
    },
    /// It is dropped: there were too many to answer.
    Drop,
    /// It is the ACK of such an answer.
    Acknowledged,
}

/// What is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SheddingCounts {
    /// How often shedding began.
    pub episodes: u64,
    /// Requests answered with 503.
    pub answered: u64,
    /// Requests dropped without an answer.
    pub unanswered: u64,
    /// ACK to those answers.
    pub acknowledged: u64,
}

/// The state of one worker.
#[derive(Debug)]
pub(super) struct Shedding {
    /// Since when no queue ran empty; [`NEVER`] while they do.
    stands_since_ns: u64,
    /// Whether new work is taken in part only.
    is_active: bool,
    /// The part of INVITE and REGISTER that is taken, of [`ALL`].
    first: u32,
    /// The part of other requests outside of dialogs.
    other: u32,
    next_ns: u64,
    acks_until_ns: u64,
    /// Until when clients believe what they were told.
    told_until_ns: u64,
    now_ns: u64,
    /// When the parts were last reckoned, and how much of the time since was spent on messages.
    reckoned_ns: u64,
    busy_ns: u64,
    /// Messages taken since the parts were last reckoned.
    taken: u32,
    /// 503 that may still be sent until they are again.
    answers: u32,
    pub(super) counts: SheddingCounts,
}

const NEVER: u64 = u64::MAX;

impl Default for Shedding {
    fn default() -> Self {
        Self {
            stands_since_ns: NEVER,
            is_active: false,
            first: ALL,
            other: ALL,
            next_ns: 0,
            acks_until_ns: 0,
            told_until_ns: 0,
            now_ns: 0,
            reckoned_ns: 0,
            busy_ns: 0,
            taken: 0,
            answers: 0,
            counts: SheddingCounts::default(),
        }
    }
}

impl Shedding {
    /// A queue gave as much as could be taken at once: more is waiting there.
    #[inline]
    pub(super) fn note_full(&mut self, now_ns: u64) {
        self.stands_since_ns = self.stands_since_ns.min(now_ns);
    }

    /// All queues ran empty.
    #[inline]
    pub(super) fn note_empty(&mut self) {
        self.stands_since_ns = NEVER;
    }

    /// Reckons anew what is taken, when it is time to: to be called before the messages of a burst.
    #[inline]
    pub(super) fn set_time(&mut self, now_ns: u64, plan: &OverloadPlan) {
        self.now_ns = now_ns;
        if self.is_active || self.stands_since_ns != NEVER {
            self.reckon(plan);
        }
    }

    /// Whether new work is taken in part only.
    #[inline]
    pub(super) fn is_shedding(&self) -> bool {
        self.is_active
    }

    /// Whether messages must be judged.
    #[inline]
    pub(super) fn judges(&self) -> bool {
        self.is_active || self.now_ns < self.acks_until_ns
    }

    /// The parts of INVITE and REGISTER, and of other requests outside of dialogs, that are taken: in thousandths.
    pub(super) fn parts(&self) -> [u64; 2] {
        [self.first, self.other].map(|part| u64::from(part) * 1_000 / u64::from(ALL))
    }

    /// For how long the queues have been standing.
    pub(super) fn stands_ns(&self) -> u64 {
        self.now_ns.saturating_sub(self.stands_since_ns)
    }

    /// So much of the time was spent on messages.
    #[inline]
    pub(super) fn note_busy(&mut self, spent_ns: u64) {
        self.busy_ns += spent_ns;
    }

    fn reckon(&mut self, plan: &OverloadPlan) {
        let stands_ns = self.stands_ns();
        if !self.is_active {
            if plan.target_ns == 0 || stands_ns < plan.interval_ns {
                return;
            }
            (self.is_active, self.next_ns) = (true, self.now_ns);
            (self.busy_ns, self.reckoned_ns) = (0, self.now_ns);
            self.counts.episodes += 1;
        }
        if plan.target_ns == 0 {
            return *self = Self { counts: self.counts, ..Self::default() };
        }
        if self.now_ns < self.next_ns {
            return;
        }
        let missed = (self.now_ns - self.next_ns) / plan.target_ns;
        self.next_ns = self.now_ns + plan.target_ns;
        self.told_until_ns = self.now_ns + VALIDITY_MS * 1_000_000;
        if stands_ns >= plan.target_ns {
            self.take_less(stands_ns >= 8 * plan.target_ns);
        } else {
            let idle = self.idle_part();
            for _ in 0..=missed.min(MISSED_MAX) {
                self.take_more(idle);
            }
        }
        (self.busy_ns, self.reckoned_ns) = (0, self.now_ns);
        self.answers = self.taken / MESSAGES_PER_ANSWER + 1;
        self.taken = 0;
    }

    /// By a sixteenth each time, so that little work is refused that could have been done; by a quarter while the
    /// queue has stood for long.
    fn take_less(&mut self, by_far: bool) {
        let part = if self.first > LEAST { &mut self.first } else { &mut self.other };
        *part -= if by_far { *part / 4 } else { part.div_ceil(16) };
        self.first = self.first.max(LEAST);
    }

    /// The part of the time since it was last reckoned in which there was nothing to do, of [`ALL`].
    fn idle_part(&self) -> u32 {
        let length_ns = (self.now_ns - self.reckoned_ns).max(1);
        let busy = self.busy_ns.min(length_ns) * u64::from(ALL) / length_ns;
        ALL - u32::try_from(busy).unwrap_or(ALL)
    }

    /// By a little, and by half of the part of the time that was idle: who was refused while calls that had been
    /// taken before came to their end is soon taken again. A thirty-second of the time stays free.
    fn take_more(&mut self, idle: u32) {
        let idle = idle.saturating_sub(ALL / 32) / 2;
        let more = |part: u32| {
            let by_idle = u64::from(part) * u64::from(idle) / u64::from(ALL);
            (part + part / 64 + ALL / 1_024 + u32::try_from(by_idle).unwrap_or(0)).min(ALL)
        };
        if self.other < ALL {
            self.other = more(self.other);
        } else {
            self.first = more(self.first);
            self.is_active = self.first < ALL;
        }
    }

    /// Whether a message is dropped without an answer. Of ten times as many calls as can be carried nine are dropped,
    /// each of them up to seven times (RFC 3261 section 17.1.1.2), so this must cost next to nothing.
    pub(super) fn skims(&mut self, message: &[u8], plan: &OverloadPlan) -> bool {
        if self.answers > 0 || self.first == ALL {
            return false;
        }
        let [mark_key, _] = &plan.keys;
        let part = u64::from(self.first);
        let is_shed = is_usual_first(message, |via| mark_key.hash(via) >> 48 >= part);
        self.counts.unanswered += u64::from(is_shed);
        is_shed
    }

    /// What becomes of a message, while [`Self::judges`]. Over a connection nobody sends anything again, so there
    /// every refusal is said.
    pub(super) fn judge(
        &mut self,
        message: &[u8],
        transport: Transport,
        plan: &OverloadPlan,
    ) -> Judgement {
        let [mark_key, tag_key] = &plan.keys;
        let (via, part) = match sort(message) {
            Kind::First { via } => (via, self.first),
            Kind::Other { via } => (via, self.other),
            Kind::Acknowledgement { via, tag } if tag == tag_key.hash(via) => {
                self.counts.acknowledged += 1;
                return Judgement::Acknowledged;
            }
            Kind::Begun | Kind::Acknowledgement { .. } => {
                self.taken += 1;
                return Judgement::Take;
            }
        };
        let mark = mark_key.hash(via);
        if mark >> 48 < part.into() {
            self.taken += 1;
            return Judgement::Take;
        }
        match self.answers.checked_sub(1) {
            Some(answers) => self.answers = answers,
            None if transport.is_connection() => {}
            None => {
                self.counts.unanswered += 1;
                return Judgement::Drop;
            }
        }
        self.counts.answered += 1;
        self.acks_until_ns = self.now_ns + ACK_NS;
        Judgement::Answer {
            retry_after_s: plan.retry_after(mark),
            tag: tag_key.hash(via),
            feedback: self.feedback(plan),
        }
    }

    /// What clients are told now (RFC 7339): by how much they are to send less, and when that is over that they need
    /// not, until they have forgotten it by themselves.
    #[inline]
    pub(super) fn feedback(&self, plan: &OverloadPlan) -> Option<Feedback> {
        if !plan.feedback || self.now_ns >= self.told_until_ns {
            return None;
        }
        let percent = (ALL - self.first) * 100 / ALL;
        let percent = u8::try_from(percent).unwrap_or(100);
        Some(Feedback { percent, now_ms: self.now_ns / 1_000_000 })
    }
}

#[cfg(test)]
mod tests {
    use std::prelude::v1::*;

    use super::*;
    use crate::settings::{OverloadSettings, Settings};

    const MS: u64 = 1_000_000;

    fn plan() -> OverloadPlan {
        let overload = OverloadSettings { target_ms: 5, ..OverloadSettings::default() };
        OverloadPlan::new(&Settings { overload, ..Settings::default() }).unwrap()
    }

    fn request(method: &str, number: u64, to_tag: &str) -> Vec<u8> {
        let tag = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
        format!(
            "{method} sip:b@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK{number}\r\n\
             From: <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.com>{tag}\r\nCall-ID: {number}\r\n\r\n"
        )
        .into_bytes()
    }

    /// Lets queues stand, or run empty, for so many milliseconds, with a burst in each.
    fn run(shedding: &mut Shedding, stands: bool, [from_ms, to_ms]: [u64; 2]) {
        for now_ms in from_ms..to_ms {
            if stands {
                shedding.note_full(now_ms * MS);
            } else {
                shedding.note_empty();
            }
            shedding.set_time(now_ms * MS, &plan());
        }
    }

    /// How many of 1,000 new requests are taken.
    fn taken(shedding: &mut Shedding, method: &str) -> usize {
        let take = |n: &u64| {
            shedding.judge(&request(method, *n, ""), Transport::Udp, &plan()) == Judgement::Take
        };
        (0..1_000).filter(take).count()
    }

    #[test]
    fn a_queue_that_stands_for_an_interval_sheds() {
        let mut shedding = Shedding::default();
        run(&mut shedding, true, [1_000, 1_100]);
        assert!(!shedding.judges(), "a burst");
        run(&mut shedding, false, [1_100, 1_101]);
        run(&mut shedding, true, [1_101, 1_201]);
        assert!(!shedding.judges(), "another one");
        run(&mut shedding, true, [1_201, 1_215]);
        assert!(shedding.judges());
        let begun = taken(&mut shedding, "INVITE");
        assert!((200..800).contains(&begun), "{begun}");
        assert_eq!(taken(&mut shedding, "OPTIONS"), 1_000, "others come later");
    }

    #[test]
    fn other_requests_are_shed_last_and_taken_first() {
        let mut shedding = Shedding::default();
        run(&mut shedding, true, [1_000, 2_000]);
        assert!(taken(&mut shedding, "REGISTER") < 10 && taken(&mut shedding, "MESSAGE") < 100);
        for (method, tag) in [("INVITE", "7"), ("BYE", "7"), ("ACK", "7"), ("CANCEL", "")] {
            assert_eq!(
                shedding.judge(&request(method, 1, tag), Transport::Udp, &plan()),
                Judgement::Take
            );
        }
        assert_eq!(
            shedding.judge(b"SIP/2.0 200 OK\r\n\r\n", Transport::Udp, &plan()),
            Judgement::Take
        );
        run(&mut shedding, false, [2_000, 2_080]);
        assert!(taken(&mut shedding, "MESSAGE") > taken(&mut shedding, "INVITE"));
        run(&mut shedding, false, [2_080, 5_000]);
        assert_eq!(taken(&mut shedding, "INVITE"), 1_000);
        assert!(!shedding.judges(), "{shedding:?}");
        assert_eq!(shedding.feedback(&plan()).map(|feedback| feedback.percent), None);
        assert_eq!((shedding.counts.episodes, shedding.parts()), (1, [1_000, 1_000]));
    }

    #[test]
    fn a_quiet_time_counts_though_nothing_came() {
        let mut shedding = Shedding::default();
        run(&mut shedding, true, [1_000, 2_000]);
        shedding.note_empty();
        shedding.set_time(60_000 * MS, &plan());
        assert!(!shedding.judges() && shedding.parts() == [1_000, 1_000]);
    }

    #[test]
    fn what_is_dropped_at_a_glance_is_new_work_that_would_be_dropped() {
        let mut shedding = Shedding::default();
        let skims = |shedding: &mut Shedding, message: &[u8]| shedding.skims(message, &plan());
        assert!(!skims(&mut shedding, &request("INVITE", 1, "")), "nothing is shed");
        run(&mut shedding, true, [1_000, 1_108]);
        shedding.answers = 0;
        let mut dropped = 0;
        for number in 0..1_000 {
            let before = shedding.counts.unanswered;
            let is_shed = skims(&mut shedding, &request("INVITE", number, ""));
            assert_eq!(shedding.counts.unanswered - before, u64::from(is_shed));
            dropped += u32::from(is_shed);
            let judgement = shedding.judge(&request("INVITE", number, ""), Transport::Udp, &plan());
            assert_eq!(is_shed, judgement == Judgement::Drop, "{number}");
            for (method, tag) in [("INVITE", "7"), ("ACK", "7"), ("BYE", ""), ("CANCEL", "")] {
                assert!(!skims(&mut shedding, &request(method, number, tag)), "{method}");
            }
        }
        assert!((200..800).contains(&dropped), "{dropped}");
        shedding.answers = 1;
        assert!((0..1_000).all(|number| !skims(&mut shedding, &request("INVITE", number, ""))));
    }

    /// While calls that were taken before end, new work is taken again as fast as there is time for it.
    #[test]
    fn idle_time_is_soon_used() {
        let quick = |busy_ns: u64| {
            let mut shedding = Shedding::default();
            run(&mut shedding, true, [1_000, 1_130]);
            let [before, _] = shedding.parts();
            for now_ms in 1_130..1_150 {
                shedding.note_busy(busy_ns);
                run(&mut shedding, false, [now_ms, now_ms + 1]);
            }
            (before, shedding.parts()[0])
        };
        let (before, idle) = quick(0);
        let (_, busy) = quick(MS);
        assert!(before < 600 && idle >= (before * 4).min(1_000), "{before} {idle}");
        assert!(busy > before && busy < before * 16 / 10, "{before} {busy}");
    }

    #[test]
    fn answers_are_a_share_of_what_is_taken_and_their_ack_is_known() {
        let mut shedding = Shedding::default();
        run(&mut shedding, true, [1_000, 2_000]);
        for number in 0..10 * u64::from(MESSAGES_PER_ANSWER) {
            shedding.judge(&request("BYE", number, "1"), Transport::Udp, &plan());
        }
        run(&mut shedding, true, [2_000, 2_006]);
        let mut answered = 0;
        for number in 0..100 {
            let judgement = shedding.judge(&request("INVITE", number, ""), Transport::Udp, &plan());
            let Judgement::Answer { retry_after_s, tag, feedback } = judgement else { continue };
            assert!(feedback.is_some_and(|feedback| feedback.percent == 99), "{feedback:?}");
            answered += 1;
            assert!((4..=12).contains(&retry_after_s));
            let to_tag = format!("to-{tag:016x}");
            let ack = |to_tag| request("ACK", number, to_tag);
            assert_eq!(
                shedding.judge(&ack(&to_tag), Transport::Udp, &plan()),
                Judgement::Acknowledged
            );
            assert_eq!(
                shedding.judge(&ack("to-0000000000000000"), Transport::Udp, &plan()),
                Judgement::Take
            );
            let again = shedding.judge(&request("INVITE", number, ""), Transport::Udp, &plan());
            assert!(matches!(again, Judgement::Drop) || again == judgement);
        }
        assert!((1..=11).contains(&answered), "{answered}");
        let over_tcp = shedding.judge(&request("INVITE", 7, ""), Transport::Tcp, &plan());
        assert!(matches!(over_tcp, Judgement::Answer { .. }));
        let SheddingCounts { answered, unanswered, acknowledged, .. } = shedding.counts;
        assert!(answered <= 11 && unanswered > 80 && acknowledged > 0, "{:?}", shedding.counts);
    }
}
