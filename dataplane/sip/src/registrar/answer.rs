//! The answers of the registrar.

use core::net::SocketAddr;

use super::contacts::{Plan, Wanted};
use super::headers::Options;
use super::{Asked, Done, Refused};
use crate::location::{Binding, Location, urn_of};
use crate::message::Span;
use crate::parse::header::HeaderId;
use crate::parse::name_addr::NameAddr;
use crate::parse::uri::Uri;
use crate::rewrite::answer::write_answer;
use crate::rewrite::output::{Full, Output};

/// Where the texts of a binding stand in a copy of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stored {
    pub(super) uri: Span,
    pub(super) instance: Span,
}

impl Location {
    /// 200 with all bindings of the AoR (RFC 3261 section 10.3 step 8).
    #[inline]
    pub(super) fn write_bindings(
        &mut self,
        asked: &Asked<'_>,
        done: &Done,
        out: &mut Output,
    ) -> Result<SocketAddr, Full> {
        self.next_gruu();
        let mut text = core::mem::take(&mut self.work.text);
        let lines = |out: &mut Output| {
            if let Some(aor) = done.aor {
                for (slot, binding) in self.table.bindings_of(aor) {
                    if binding.expires_ms > self.now_ms {
                        self.push_contact(asked, slot, binding, &mut text, out)?;
                    }
                }
            }
            asked.push_extensions(done, &self.work.path, out)
        };
        let Asked { request, route, tables, arrival, .. } = *asked;
        let to = write_answer(request, &route.via, (200, "OK"), tables, arrival, lines, out);
        self.work.text = text;
        to
    }

    /// A Contact line.
    #[inline]
    fn push_contact(
        &self,
        asked: &Asked<'_>,
        slot: u32,
        binding: &Binding,
        text: &mut alloc::vec::Vec<u8>,
        out: &mut Output,
    ) -> Result<(), Full> {
        let bytes = asked.request.bytes;
        // What the request has just said is at hand; the stored text is far.
        let said = self.work.wanted.iter().find(|one| {
            let is_its = match one.plan {
                Plan::Again(its) | Plan::Update { slot: its, .. } => its == slot,
                Plan::Add => one.instance_hash == binding.instance && one.reg_id == binding.reg_id,
                Plan::Nothing | Plan::Remove(_) => false,
            };
            is_its && one.uri_hash == binding.uri
        });
        let (uri, instance) = if let Some(Wanted { uri, instance, .. }) = said {
            (uri.of(bytes), instance.of(bytes))
        } else {
            let stored = self.copy_text(binding, text);
            (stored.uri.of(text), stored.instance.of(text))
        };
        let left_s = (binding.expires_ms - self.now_ms).div_ceil(1_000);
        out.push(b"Contact: <")?;
        out.push(uri)?;
        out.push(b">;expires=")?;
        push_decimal(out, left_s)?;
        if binding.q != 1_000 {
            out.push(b";q=0.")?;
            out.push(&three_digits(binding.q))?;
        }
        if !instance.is_empty() {
            out.push(b";+sip.instance=")?;
            out.push(instance)?;
        }
        if binding.reg_id != 0 {
            out.push(b";reg-id=")?;
            push_decimal(out, binding.reg_id.into())?;
        }
        if !instance.is_empty() && asked.wants_gruu() {
            self.push_gruus(asked, binding.call, instance, out)?;
        }
        out.push(b"\r\n")
    }

    /// The public GRUU of an instance, and a temporary one (RFC 5627 section 5.2).
    fn push_gruus(
        &self,
        asked: &Asked<'_>,
        call: u64,
        instance: &[u8],
        out: &mut Output,
    ) -> Result<(), Full> {
        let urn = urn_of(instance);
        let Some((user, host)) = asked.user_and_host().filter(|_| is_param_value(urn)) else {
            return Ok(());
        };
        for part in [b";pub-gruu=\"sip:", user, b"@", host, b";gr=", urn, b"\";temp-gruu=\"sip:"] {
            out.push(part)?;
        }
        self.push_temporary(asked.tables, call, instance, out)?;
        for part in [b"@", host, b";gr\""] {
            out.push(part)?;
        }
        Ok(())
    }

    /// Copies the text of a binding, and says where its parts are.
    pub(super) fn copy_text(&self, binding: &Binding, text: &mut alloc::vec::Vec<u8>) -> Stored {
        text.clear();
        self.text_of(binding).for_each(|part| text.extend_from_slice(part));
        let uri = Span::new(0, binding.uri_length.into());
        let end = uri.end() + usize::from(binding.instance_length);
        Stored { uri, instance: Span::new(uri.end(), end) }
    }

    /// A refusal, which is counted.
    #[cold]
    pub(super) fn write_refusal(
        &mut self,
        asked: &Asked<'_>,
        refused: Refused,
        out: &mut Output,
    ) -> Result<SocketAddr, Full> {
        let counts = &mut self.counts;
        let (status, count) = match refused {
            Refused::Malformed(reason) => ((400, reason), &mut counts.malformed),
            Refused::NotYours => ((403, "Forbidden"), &mut counts.forbidden),
            Refused::OverLimit(reason) => ((403, reason), &mut counts.over_limit),
            Refused::Unknown => ((404, "Not Found"), &mut counts.unknown),
            Refused::BadExtension => ((420, "Bad Extension"), &mut counts.unsupported),
            Refused::TooBrief => ((423, "Interval Too Brief"), &mut counts.too_brief),
            Refused::NoOutbound => {
                ((439, "First Hop Lacks Outbound Support"), &mut counts.unsupported)
            }
            Refused::OutOfOrder => ((500, "CSeq Out Of Order"), &mut counts.out_of_order),
            Refused::Full => ((503, "Location Full"), &mut counts.refused_full),
            Refused::Loading => ((503, "Location Loading"), &mut counts.loading),
        };
        *count += 1;
        let lines = |out: &mut Output| match refused {
            Refused::BadExtension => asked.push_unsupported(out),
            Refused::TooBrief => {
                out.push(b"Min-Expires: ")?;
                push_decimal(out, asked.tables.registrar().min_expires_s.into())?;
                out.push(b"\r\n")
            }
            Refused::Full | Refused::Loading => out.push(asked.tables.retry_after()),
            _ => Ok(()),
        };
        let Asked { request, route, tables, arrival, .. } = *asked;
        write_answer(request, &route.via, status, tables, arrival, lines, out)
    }
}

impl Asked<'_> {
    #[inline]
    fn wants_gruu(&self) -> bool {
        self.fields.supported.has(Options::GRUU) && self.tables.registrar().gruu
    }

    /// User and host of To, as written.
    fn user_and_host(&self) -> Option<(&[u8], &[u8])> {
        let (bytes, to) = (self.request.bytes, self.request.headers.value(HeaderId::To));
        let uri = NameAddr::parse(bytes, to.start(), to.end())?.uri;
        let uri = Uri::parse(bytes, uri)?;
        Some((uri.user.of(bytes), uri.host.of(bytes)))
    }

    /// Path (RFC 3327 section 5.3), Service-Route (RFC 3608 section 6.3), and what flows need (RFC 5626
    /// section 6).
    #[inline]
    fn push_extensions(&self, done: &Done, path: &[u8], out: &mut Output) -> Result<(), Full> {
        let settings = self.tables.registrar();
        if !path.is_empty() && self.fields.supported.has(Options::PATH) {
            out.push(b"Path: ")?;
            out.push(path)?;
            out.push(b"\r\n")?;
        }
        for uri in &settings.service_route {
            out.push(b"Service-Route: <")?;
            out.push(uri.as_bytes())?;
            out.push(b">\r\n")?;
        }
        if done.is_outbound {
            out.push(b"Require: outbound\r\n")?;
            if settings.flow_timer_s != 0 {
                out.push(b"Flow-Timer: ")?;
                push_decimal(out, settings.flow_timer_s.into())?;
                out.push(b"\r\n")?;
            }
        }
        Ok(())
    }
}

/// Whether a text can stand in a URI parameter as it is (RFC 3261 section 25.1, `paramchar`).
fn is_param_value(text: &[u8]) -> bool {
    let is_good = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.!~*'()[]/:&+$%".contains(byte);
    !text.is_empty() && text.iter().all(is_good)
}

/// A number in decimal.
#[inline]
fn push_decimal(out: &mut Output, number: u64) -> Result<(), Full> {
    let (mut digits, mut start, mut left) = ([0_u8; 20], 20, number);
    loop {
        start -= 1;
        if let Some(place) = digits.get_mut(start) {
            *place = b'0' + u8::try_from(left % 10).unwrap_or(0);
        }
        left /= 10;
        if left == 0 {
            break;
        }
    }
    out.push(digits.get(start..).unwrap_or_default())
}

/// The three digits of a number below 1000.
fn three_digits(number: u16) -> [u8; 3] {
    [100, 10, 1].map(|unit| b'0' + u8::try_from(number / unit % 10).unwrap_or(0))
}
