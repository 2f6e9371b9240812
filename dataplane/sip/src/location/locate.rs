//! Where a user is (RFC 3261 section 16.5, RFC 5627 section 5.3).

use core::net::SocketAddr;

use super::aor::AorUri;
use super::binding::Binding;
use super::layer::{Location, urn_of};
use super::targets::{Target, Targets};
use crate::message::{Request, Span};
use crate::parse::error::ParseErrorKind;
use crate::parse::name_addr::NameAddr;
use crate::parse::scan;
use crate::parse::uri::Uri;
use crate::rewrite::flow::{Flow, Purpose, read_token};
use crate::route::tables::Tables;
use crate::route::target;
use crate::settings::Transport;

/// What came of a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Located {
    /// The targets are there.
    Found,
    /// 480: the user has no binding, or the instance that a GRUU names has none.
    NotRegistered,
    /// 404: it is no URI of a user of ours.
    Unknown,
    /// 503: not all bindings have been loaded yet.
    Loading,
}

/// Which bindings of an AoR are meant.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wanted {
    /// Hash of an instance; 0 for any.
    pub(super) instance: u64,
    /// Hash of the Call-ID that the instance must still be registered with.
    pub(super) call: Option<u64>,
    /// Hash of an instance that is the same in every process.
    pub(super) for_good: Option<u64>,
}

impl Location {
    /// Finds the bindings of `uri`, which is the Request-URI after Route preprocessing
    /// ([`RequestRoute::located`](crate::RequestRoute::located)), and puts them into `targets`, which is cleared
    /// first.
    pub fn locate(
        &mut self,
        request: &Request<'_>,
        uri: &AorUri,
        tables: &Tables,
        targets: &mut Targets,
    ) -> Located {
        targets.clear();
        if !self.is_ready() {
            self.counts.loading += 1;
            return Located::Loading;
        }
        let Ok((id, wanted)) = self.named_by(request.bytes, uri, tables) else {
            return Located::Unknown;
        };
        if let Some(aor) = self.table.find(id) {
            self.copy_bindings(aor, wanted, tables, targets);
        }
        if targets.is_empty() {
            self.counts.not_registered += 1;
            return Located::NotRegistered;
        }
        targets.sort();
        self.counts.located += 1;
        Located::Found
    }

    fn copy_bindings(&self, aor: u32, wanted: Wanted, tables: &Tables, targets: &mut Targets) {
        let mut groups = 0;
        for (slot, binding) in self.table.bindings_of(aor) {
            let is_meant = (wanted.instance == 0 || wanted.instance == binding.instance)
                && wanted.call.is_none_or(|call| call == binding.call);
            if binding.expires_ms <= self.now_ms || !is_meant {
                continue;
            }
            let start = targets.text.len();
            // The instance is seldom read; mostly nothing is behind it.
            let reads_all = binding.path_length != 0 || wanted.for_good.is_some();
            let length = if reads_all { binding.text_length() } else { binding.uri_length.into() };
            binding.text(length, &self.texts).for_each(|part| targets.text.extend_from_slice(part));
            if let Some(for_good) = wanted.for_good
                && for_good != self.instance_at(binding, start, &targets.text)
            {
                targets.text.truncate(start);
                continue;
            }
            match target(binding, start, tables, &targets.text) {
                Some(mut target) => {
                    if binding.reg_id != 0 {
                        target.group = self.group(aor, slot, &mut groups);
                    }
                    targets.targets.push(target);
                }
                None => targets.text.truncate(start),
            }
        }
    }

    /// The hash, for good, of the instance of a binding, whose text stands at `start` of `text`.
    fn instance_at(&self, binding: &Binding, start: usize, text: &[u8]) -> u64 {
        let start = start + usize::from(binding.uri_length);
        let instance = text.get(start..start + usize::from(binding.instance_length));
        self.hash_instance_for_good(urn_of(instance.unwrap_or_default()))
    }

    /// The number of a binding's instance: the place of its first binding in the list of the AoR.
    fn group(&self, aor: u32, slot: u32, groups: &mut u8) -> u8 {
        let Some(own) = self.table.binding(slot) else { return 0 };
        let same = |one: &Binding| one.reg_id != 0 && one.instance == own.instance;
        *groups = groups.saturating_add(1);
        let place = (1..).zip(self.table.bindings_of(aor)).find(|(_, (_, one))| same(one));
        place.map_or(*groups, |(place, _)| place)
    }
}

/// The target that a binding is, whose text stands at `start` of `text`.
#[inline]
fn target(binding: &Binding, start: usize, tables: &Tables, text: &[u8]) -> Option<Target> {
    let uri = Span::new(start, start + usize::from(binding.uri_length));
    let route_at = uri.end() + usize::from(binding.instance_length);
    let route = Span::new(route_at, route_at + usize::from(binding.path_length));
    let came = (binding.source(), tables.transport_of(binding.listen));
    let of_way = |(next_hop, transport)| Target {
        next_hop,
        transport,
        leave_from: binding.is_flow.then_some(binding.listen),
        q: binding.q,
        uri,
        route,
        group: 0,
        is_flow: binding.is_flow,
        expires_ms: binding.expires_ms,
    };
    let target = if route.is_empty() {
        let is_back = binding.is_flow || binding.is_at_source;
        of_way(if is_back { came } else { address(text, uri, tables)? })
    } else {
        let first = NameAddr::parse(text, route.start(), route.end())?;
        match address(text, first.uri, tables) {
            Some((at, _)) if tables.is_listen_address(at) => {
                let (flow, route) = own_flow(text, &first, route, tables)?;
                let way = (flow.address, tables.transport_of(flow.listen));
                Target { leave_from: Some(flow.listen), route, is_flow: true, ..of_way(way) }
            }
            _ if binding.is_flow => of_way(came),
            // A first hop that is a name is where the REGISTER came from.
            way => of_way(way.unwrap_or(came)),
        }
    };
    (!tables.is_listen_address(target.next_hop)).then_some(target)
}

/// The flow that a Path names whose `first` hop is us, and what stands behind that: a node of both stages has bindings
/// that were registered through itself.
#[cold]
fn own_flow(text: &[u8], first: &NameAddr, path: Span, tables: &Tables) -> Option<(Flow, Span)> {
    let uri = Uri::parse(text, first.uri)?;
    let (flow, purpose) = read_token(uri.user.of(text), &tables.keys).ok()??;
    let behind = scan::skip_lws(text, (first.end + 1).min(path.end()), path.end());
    (purpose == Purpose::Path).then_some((flow, Span::new(behind, path.end())))
}

/// Whether a URI leads to this address, whatever the settings say of `maddr`.
pub(crate) fn leads_to(uri: &[u8], source: (SocketAddr, Transport), tables: &Tables) -> bool {
    let span = Span::new(0, uri.len());
    let params = Uri::parse(uri, span).and_then(|parts| parts.params(uri));
    let has_maddr = params.is_none_or(|params| params.maddr.exists());
    !has_maddr && address(uri, span, tables) == Some(source)
}

/// Where a URI in `text` leads, and over what.
#[inline]
pub(crate) fn address(text: &[u8], uri: Span, tables: &Tables) -> Option<(SocketAddr, Transport)> {
    let parts = Uri::parse(text, uri)?;
    let params = parts.params(text)?;
    target::next_hop(text, &parts, &params, tables, ParseErrorKind::RequestUri).ok()?.address()
}
