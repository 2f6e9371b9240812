//! Timers: the end of bindings, and keep-alives for those behind NAT.

use core::net::SocketAddr;

use smallvec::SmallVec;

use super::layer::Location;
use crate::rewrite::output::{Full, Output};
use crate::route::tables::Tables;
use crate::settings::KeepAlive;
use crate::transaction::Tick;

/// Timers that are taken from the wheel before the first of them is looked into.
const TICKS_AT_ONCE: usize = 16;
/// No timer is set further ahead than ticks can tell, twelve days: it fires then and is set again.
const AHEAD_MS_MAX: u64 = 1 << 30;
/// RFC 5626 section 3.5.1.
const CRLF: &[u8] = b"\r\n\r\n";

/// An OPTIONS to a binding, which says all that it must and no more. Its answer is dropped: it has opened
/// the NAT by then.
fn write_options(uri: &[u8], listen: SocketAddr, mark: u64, out: &mut Output) -> Result<(), Full> {
    out.push(b"OPTIONS ")?;
    out.push(uri)?;
    out.push_fmt(format_args!(
        " SIP/2.0\r\nVia: SIP/2.0/UDP {listen};branch=z9hG4bK-keep-{mark:016x};rport\r\n\
         Max-Forwards: 1\r\nFrom: <sip:{listen}>;tag=keep-{mark:016x}\r\nTo: <"
    ))?;
    out.push(uri)?;
    out.push_fmt(format_args!(
        ">\r\nCall-ID: keep-{mark:016x}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    ))
}

impl Location {
    /// Does what is due, in pieces: each timer and each step of the wheel costs one of `budget`. Gives
    /// whether something is left to do, after the outbox has been emptied.
    pub fn expire(&mut self, budget: u32, tables: &Tables) -> bool {
        let mut left = budget;
        while left > 0 {
            if self.outbox.is_crowded() {
                return true;
            }
            // Some at once, so that their records come from memory side by side.
            let mut due = SmallVec::<[u32; TICKS_AT_ONCE]>::new();
            while due.len() < TICKS_AT_ONCE
                && let Some(slot) = self.wheel.next(self.tick(), &mut left)
            {
                core::hint::black_box(self.table.touch_binding(slot));
                due.push(slot);
            }
            if due.is_empty() {
                break;
            }
            for &slot in &due {
                if let Some(binding) = self.table.binding(slot) {
                    core::hint::black_box(self.table.first_of(binding.aor));
                }
            }
            for slot in due {
                self.fire(slot, tables);
            }
        }
        left == 0
    }

    /// The timer of a binding; it may be early, since it stays when a binding is refreshed.
    fn fire(&mut self, slot: u32, tables: &Tables) {
        let Some(binding) = self.table.binding(slot) else { return };
        if binding.expires_ms <= self.now_ms {
            let aor = binding.aor;
            self.remove(slot);
            self.counts.expired += 1;
            self.changed(aor);
            return;
        }
        if binding.is_flow {
            self.keep_alive(slot, tables);
        }
        self.arm_anew(slot, tables);
    }

    fn keep_alive(&mut self, slot: u32, tables: &Tables) {
        let Some(binding) = self.table.binding(slot) else { return };
        let (target, leave_from) = (binding.source(), binding.listen);
        let sent = match tables.registrar().keepalive {
            KeepAlive::Off => return,
            KeepAlive::Crlf => self.outbox.push(target, leave_from, |out| out.push(CRLF)),
            KeepAlive::Options => {
                self.scratch.clear();
                binding
                    .text(binding.text_length(), &self.texts)
                    .for_each(|part| self.scratch.extend_from_slice(part));
                let uri = self.scratch.get(..usize::from(binding.uri_length)).unwrap_or_default();
                let mark = binding.uri ^ self.now_ms;
                let listen = tables.listen_point(leave_from).address;
                self.outbox.push(target, leave_from, |out| write_options(uri, listen, mark, out))
            }
        };
        self.counts.keepalives += u64::from(sent.is_some());
    }

    /// Sets the timer of a binding that has none.
    pub(super) fn arm_anew(&mut self, slot: u32, tables: &Tables) {
        let due = self.due(slot, tables);
        if let Some(binding) = self.table.binding_mut(slot) {
            binding.timer = due;
            self.wheel.settle(slot, due);
        }
    }

    /// The same for one that is set, which is left as it is unless it is too late.
    #[inline]
    pub(super) fn arm_sooner(&mut self, slot: u32, tables: &Tables) {
        let due = self.due(slot, tables);
        if let Some(binding) = self.table.binding_mut(slot)
            && due.since(binding.timer) < 0
        {
            binding.timer = due;
            self.wheel.settle(slot, due);
        }
    }

    /// When the timer of a binding must fire.
    #[inline]
    fn due(&self, slot: u32, tables: &Tables) -> Tick {
        let Some(binding) = self.table.binding(slot) else { return self.tick() };
        let settings = tables.registrar();
        let mut due = binding.expires_ms.min(self.now_ms + AHEAD_MS_MAX);
        if binding.is_flow && settings.keepalive != KeepAlive::Off {
            due = due.min(self.now_ms + u64::from(settings.keepalive_s) * 1000);
        }
        Tick::of_ms(due)
    }
}
