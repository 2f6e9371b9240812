//! Honest callers, who obey RFC 3261, and callees, who take every call at once.
//!
//! ```text
//!   trying ── 100, 180 ──► ringing ── 200 ──► up ── hangs up ──► ending ── 200 ──► ended
//!      │ 64 T1                │ 503 …                               │ 64 T1, 4xx …
//!      ▼                      ▼                                     ▼
//!   given up               refused                                broken
//! ```

use super::super::sent::Sent;
use super::delays::{Delays, Due, Later};
use super::text::acknowledge;
use anyhow::{Result, bail};

/// Numbers from here on are those of who floods.
pub(super) const FLOOD: u32 = 50_000_000;
/// A call that takes longer to be set up is of no use to anybody.
pub(super) const PATIENCE_NS: u64 = 2_000_000_000;

/// How it stands with a call on the side of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Trying,
    Ringing,
    Up,
    Ending,
    Over,
}

/// A call.
#[derive(Clone, Copy, Debug)]
struct Call {
    born_ns: u64,
    state: State,
    /// Whether the callee has had its ACK.
    is_acknowledged: bool,
    /// The BYE of the caller, among the letters.
    bye: u32,
    /// The 200 of the callee.
    answer: u32,
}

/// No letter.
const NONE: u32 = u32::MAX;

/// A message that somebody sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Out {
    /// The INVITE of this caller.
    Invite(u32),
    /// The 180 of this call's callee.
    Ringing(u32),
    /// Its 200.
    Answer(u32),
    /// The BYE of this caller.
    Bye(u32),
    /// A letter of a caller, which is sent once.
    FromCaller(u32),
    /// The same of a callee.
    FromCallee(u32),
}

/// What is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Calls that began.
    pub(super) offered: u64,
    /// INVITEs of them, with those that were sent again.
    pub(super) invites: u64,
    /// Calls whose callee had the ACK within [`PATIENCE_NS`].
    pub(super) set_up: u64,
    /// Calls for which that took longer.
    pub(super) late: u64,
    /// Calls that were refused.
    pub(super) refused: u64,
    /// Callers who had no answer in 64 T1.
    pub(super) given_up: u64,
    /// Calls whose BYE was answered.
    pub(super) ended: u64,
    /// Calls that were up, and had no ACK or no answer to BYE in 64 T1, or a wrong one.
    pub(super) broken: u64,
    /// Messages within calls that were sent again.
    pub(super) repeated: u64,
}

impl Counts {
    /// What has been counted since `before`.
    pub(super) fn since(&self, before: &Self) -> Self {
        Self {
            offered: self.offered - before.offered,
            invites: self.invites - before.invites,
            set_up: self.set_up - before.set_up,
            late: self.late - before.late,
            refused: self.refused - before.refused,
            given_up: self.given_up - before.given_up,
            ended: self.ended - before.ended,
            broken: self.broken - before.broken,
            repeated: self.repeated - before.repeated,
        }
    }
}

/// All of them.
#[derive(Debug)]
pub(super) struct Calls {
    all: Vec<Call>,
    delays: Delays,
    letters: Vec<String>,
    free: Vec<u32>,
    /// What is to be sent now, the oldest first.
    pub(super) out: Vec<Out>,
    /// Calls that are up, or have an answer without ACK.
    pub(super) standing: u64,
    pub(super) counts: Counts,
    /// Callers who have no answer yet have given up.
    is_closed: bool,
}

impl Calls {
    /// Nobody calls; calls last for `hold_ns` on average.
    pub(super) fn new(hold_ns: u64) -> Self {
        Self {
            all: Vec::new(),
            delays: Delays::new(hold_ns),
            letters: Vec::new(),
            free: Vec::new(),
            out: Vec::new(),
            standing: 0,
            counts: Counts::default(),
            is_closed: false,
        }
    }

    /// A call begins.
    pub(super) fn begin(&mut self, now_ns: u64) {
        let number = u32::try_from(self.all.len()).unwrap_or(FLOOD);
        let state = State::Trying;
        self.all.push(Call {
            born_ns: now_ns,
            state,
            is_acknowledged: false,
            bye: NONE,
            answer: NONE,
        });
        self.counts.offered += 1;
        self.invite(number, now_ns, 0);
    }

    /// Callers who wait for an answer give up, so that only what stands goes on.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
    }

    /// When something is due next.
    pub(super) fn earliest(&self) -> Option<u64> {
        self.delays.earliest()
    }

    /// Does what is due at `now_ns`.
    pub(super) fn pass(&mut self, now_ns: u64) {
        while let Some(later) = self.delays.next(now_ns) {
            self.happen(later);
        }
    }

    /// What stands in a letter.
    pub(super) fn letter(&self, letter: u32) -> &str {
        &self.letters[letter as usize]
    }

    /// A letter that is sent once has been sent.
    pub(super) fn release(&mut self, letter: u32) {
        self.free.push(letter);
    }

    /// The 200 of a callee, unless its ACK has come.
    pub(super) fn answer(&self, call: u32) -> Option<&str> {
        let letter = self.all[call as usize].answer;
        (letter != NONE).then(|| self.letter(letter))
    }

    /// The BYE of a caller, unless it was answered.
    pub(super) fn bye(&self, call: u32) -> Option<&str> {
        let letter = self.all[call as usize].bye;
        (letter != NONE).then(|| self.letter(letter))
    }

    /// Somebody gets a message that the worker sent.
    ///
    /// # Errors
    /// When it makes no sense.
    pub(super) fn take(&mut self, message: &[u8], now_ns: u64) -> Result<()> {
        let sent = Sent::read(message)?;
        let number = u32::try_from(sent.number)?;
        let is_response = sent.start.starts_with("SIP/2.0 ");
        if number >= FLOOD {
            if sent.what() == "INVITE" {
                self.write(|text| sent.answer("403 Forbidden", text), Out::FromCallee);
            }
            return Ok(());
        }
        match sent.what() {
            "100" | "180" => {
                let call = &mut self.all[number as usize];
                if call.state == State::Trying {
                    call.state = State::Ringing;
                }
            }
            "INVITE" => self.ring(&sent, number, now_ns),
            "ACK" => self.confirm(number, now_ns),
            "BYE" => self.write(|text| sent.answer("200 OK", text), Out::FromCallee),
            "CANCEL" => {}
            "200" if sent.is_of_invite() => self.go_up(&sent, number, now_ns),
            _ if is_response && sent.is_of_invite() => self.refuse(&sent, number),
            status if is_response => self.end(number, status == "200"),
            _ => bail!("the appliance sent {:?}", sent.start),
        }
        Ok(())
    }

    fn invite(&mut self, number: u32, now_ns: u64, step: u8) {
        self.out.push(Out::Invite(number));
        self.counts.invites += 1;
        let goes_on = self.delays.again(now_ns, number, Due::Invite, step);
        self.counts.given_up += u64::from(!goes_on);
    }

    fn happen(&mut self, Later { at_ns, call: number, what, step }: Later) {
        let call = &mut self.all[number as usize];
        match what {
            Due::Invite if call.state != State::Trying || self.is_closed => {}
            Due::Invite => self.invite(number, at_ns, step),
            Due::Answer if call.answer == NONE => {}
            Due::Answer => {
                self.counts.repeated += 1;
                self.out.push(Out::Answer(number));
                if !self.delays.again(at_ns, number, Due::Answer, step) {
                    self.forget_answer(number);
                    self.counts.broken += 1;
                }
            }
            Due::HangUp => {
                call.state = State::Ending;
                self.out.push(Out::Bye(number));
                self.delays.again(at_ns, number, Due::Bye, 0);
            }
            Due::Bye if call.state != State::Ending => {}
            Due::Bye => {
                self.counts.repeated += 1;
                self.out.push(Out::Bye(number));
                if !self.delays.again(at_ns, number, Due::Bye, step) {
                    self.end(number, false);
                }
            }
        }
    }

    /// The callee answers.
    fn ring(&mut self, sent: &Sent<'_>, number: u32, now_ns: u64) {
        let call = &self.all[number as usize];
        if call.is_acknowledged {
            return;
        }
        if call.answer == NONE {
            let letter = self.take_letter();
            sent.answer("200 OK", &mut self.letters[letter as usize]);
            self.all[number as usize].answer = letter;
            self.standing += 1;
            self.delays.again(now_ns, number, Due::Answer, 0);
        }
        self.out.extend([Out::Ringing(number), Out::Answer(number)]);
    }

    /// The callee has the ACK.
    fn confirm(&mut self, number: u32, now_ns: u64) {
        let call = &mut self.all[number as usize];
        if call.is_acknowledged {
            return;
        }
        call.is_acknowledged = true;
        let is_soon = now_ns - call.born_ns <= PATIENCE_NS;
        self.counts.set_up += u64::from(is_soon);
        self.counts.late += u64::from(!is_soon);
        self.forget_answer(number);
    }

    fn forget_answer(&mut self, number: u32) {
        let call = &mut self.all[number as usize];
        let letter = core::mem::replace(&mut call.answer, NONE);
        if letter != NONE {
            self.free.push(letter);
            self.standing -= 1;
        }
    }

    /// The caller has the 200.
    fn go_up(&mut self, sent: &Sent<'_>, number: u32, now_ns: u64) {
        self.write(|text| sent.request("ACK", 1, text), Out::FromCaller);
        let is_first = matches!(self.all[number as usize].state, State::Trying | State::Ringing);
        if is_first {
            let letter = self.take_letter();
            sent.request("BYE", 2, &mut self.letters[letter as usize]);
            let call = &mut self.all[number as usize];
            (call.state, call.bye) = (State::Up, letter);
            self.standing += 1;
            self.delays.hold(now_ns, number);
        }
    }

    /// The caller is told that there is no call.
    fn refuse(&mut self, sent: &Sent<'_>, number: u32) {
        self.write(|text| acknowledge(sent, text), Out::FromCaller);
        let call = &mut self.all[number as usize];
        if matches!(call.state, State::Trying | State::Ringing) {
            call.state = State::Over;
            self.counts.refused += 1;
        }
    }

    /// The caller's BYE is answered, or it does not wait any longer.
    fn end(&mut self, number: u32, is_well: bool) {
        let call = &mut self.all[number as usize];
        if call.state != State::Ending {
            return;
        }
        call.state = State::Over;
        let letter = core::mem::replace(&mut call.bye, NONE);
        self.free.push(letter);
        self.standing -= 1;
        self.counts.ended += u64::from(is_well);
        self.counts.broken += u64::from(!is_well);
    }

    /// Writes a letter that is sent once.
    fn write(&mut self, write: impl FnOnce(&mut String), out: fn(u32) -> Out) {
        let letter = self.take_letter();
        write(&mut self.letters[letter as usize]);
        self.out.push(out(letter));
    }

    fn take_letter(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.letters.push(String::with_capacity(1_024));
            u32::try_from(self.letters.len() - 1).unwrap_or(NONE)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus;

    /// Takes what is to be sent.
    fn out(calls: &mut Calls) -> Vec<Out> {
        std::mem::take(&mut calls.out)
    }

    #[test]
    fn a_call_without_faults_is_set_up_and_ends() {
        let mut calls = Calls::new(10);
        calls.begin(0);
        assert_eq!(out(&mut calls), [Out::Invite(0)]);
        let invite = corpus::invite(0);
        calls.take(invite.as_bytes(), 1).unwrap();
        assert_eq!(out(&mut calls), [Out::Ringing(0), Out::Answer(0)]);
        let answer = calls.answer(0).unwrap().to_owned();
        calls.take(answer.as_bytes(), 2).unwrap();
        let [Out::FromCaller(ack)] = out(&mut calls)[..] else { panic!("no ACK") };
        let ack = calls.letter(ack).to_owned();
        calls.take(ack.as_bytes(), 3).unwrap();
        calls.pass(1_000_000);
        assert_eq!(out(&mut calls), [Out::Bye(0)]);
        let bye = calls.bye(0).unwrap().to_owned();
        calls.take(bye.as_bytes(), 1_000_001).unwrap();
        let [Out::FromCallee(answer)] = out(&mut calls)[..] else { panic!("no 200") };
        let answer = calls.letter(answer).to_owned();
        calls.take(answer.as_bytes(), 1_000_002).unwrap();
        let counts = Counts { offered: 1, invites: 1, set_up: 1, ended: 1, ..Counts::default() };
        assert_eq!((calls.counts, calls.standing), (counts, 0));
    }

    #[test]
    fn silence_is_answered_with_retransmissions_and_then_given_up() {
        let mut calls = Calls::new(10);
        calls.begin(0);
        while let Some(at_ns) = calls.earliest() {
            calls.pass(at_ns);
        }
        assert_eq!((calls.counts.invites, calls.counts.given_up), (7, 1));
        assert_eq!(calls.out.len(), 7);
    }

    #[test]
    fn a_call_that_is_refused_is_over() {
        let mut calls = Calls::new(10);
        calls.begin(0);
        let refusal = corpus::response(&corpus::invite(0), "503 Service Unavailable", true, 0);
        calls.take(refusal.as_bytes(), 1).unwrap();
        calls.pass(60_000_000_000);
        assert_eq!((calls.counts.invites, calls.counts.refused, calls.counts.given_up), (1, 1, 0));
        assert!(matches!(calls.out[..], [Out::Invite(0), Out::FromCaller(_)]));
    }
}
