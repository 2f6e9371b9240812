//! Where a request for an AoR goes: a copy of its bindings, in the order in which they are asked.

use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::limits::{BINDING_TEXT_MAX, CONTACTS_MAX};
use crate::message::{Method, Span};
use crate::rewrite::flow::push_target_lines;
use crate::rewrite::output::Output;
use crate::route::request::RequestRoute;
use crate::route::tables::Tables;
use crate::settings::{ListenId, Transport};
use crate::transaction;

/// The bindings that a request goes to, the best first. One can be used over and over.
#[derive(Debug)]
pub struct Targets {
    pub(super) text: Vec<u8>,
    pub(super) targets: Vec<Target>,
}

/// One binding to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where the request goes next.
    pub next_hop: SocketAddr,
    /// What it goes over.
    pub transport: Transport,
    /// The listen point that it must leave from: the one that a flow came in by. None: any.
    pub leave_from: Option<ListenId>,
    /// Preference in thousandths, 0 to 1000: those with the same are asked at one time (RFC 3261
    /// section 16.6).
    pub q: u16,
    /// Contact URI, in [`Targets::text`]; it becomes the Request-URI.
    pub uri: Span,
    /// Value of the Route header to be put before all others, from Path (RFC 3327 section 5.4), in
    /// [`Targets::text`]; empty when there is none.
    pub route: Span,
    /// Those with the same number are flows to one instance, of which one is asked, and another one only when
    /// that flow has failed (RFC 5626 section 7); 0 for others.
    pub group: u8,
    /// It is reached where it registered from.
    pub is_flow: bool,
    /// When its binding ends, by the clock of the worker.
    pub(super) expires_ms: u64,
}

impl Default for Targets {
    fn default() -> Self {
        Self::new()
    }
}

impl Targets {
    /// No targets, and room for those of any AoR: the only allocation in its life.
    pub fn new() -> Self {
        Self {
            text: Vec::with_capacity(CONTACTS_MAX * BINDING_TEXT_MAX),
            targets: Vec::with_capacity(CONTACTS_MAX),
        }
    }

    /// How many there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.targets.len()
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// One of them, the best first.
    #[inline]
    pub fn get(&self, index: usize) -> Option<Target> {
        self.targets.get(index).copied()
    }

    /// A part of their texts.
    #[inline]
    pub fn text(&self, span: Span) -> &[u8] {
        span.of(&self.text)
    }

    /// One of them with its texts, as transactions keep it.
    pub(crate) fn target(&self, index: usize) -> Option<transaction::Target<'_>> {
        let one = self.get(index)?;
        let Target { next_hop, transport, leave_from, q, group, is_flow, .. } = one;
        let (uri, route) = (self.text(one.uri), self.text(one.route));
        Some(transaction::Target { next_hop, transport, leave_from, q, group, is_flow, uri, route })
    }

    /// Has a request go to the first of them.
    pub fn aim(&self, route: &mut RequestRoute) {
        if let Some(first) = self.get(0) {
            (route.next_hop, route.leave_from) = (first.next_hop, first.leave_from);
            route.transport = first.transport;
        }
    }

    /// Writes the header lines that a request gets for the first of them alone into `out`, which is cleared
    /// first: see [`push_target_lines`]. It leaves from the first of the listen points and came in by the
    /// second.
    pub fn write_lines(
        &self,
        method: Method,
        listen: [ListenId; 2],
        tables: &Tables,
        out: &mut Output,
    ) {
        out.clear();
        let records_route = tables.records_route() && method.opens_dialog();
        if let Some(first) = self.target(0)
            && push_target_lines(&first, records_route, listen, tables, out).is_err()
        {
            out.clear();
        }
    }

    /// Forgets them.
    #[inline]
    pub fn clear(&mut self) {
        self.text.clear();
        self.targets.clear();
    }

    /// Puts them in order: by preference, and of an instance the flow first that will last longest, which
    /// is the one that was registered last.
    pub(super) fn sort(&mut self) {
        if self.targets.len() > 1 {
            let key =
                |one: &Target| (core::cmp::Reverse(one.q), core::cmp::Reverse(one.expires_ms));
            self.targets.sort_unstable_by_key(key);
        }
    }
}
