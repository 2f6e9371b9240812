//! What becomes of bindings whose flow is no more (RFC 5626 section 6).

use super::aor::AorUri;
use super::binding::Binding;
use super::layer::Location;
use crate::message::{Arrival, Span};
use crate::parse::header::{HeaderId, HeaderLines};
use crate::parse::name_addr::NameAddr;
use crate::route::tables::Tables;
use crate::transaction::LostFlow;

impl Location {
    /// Takes the bindings away that are reached by a flow that is no more: those of the user whom the
    /// request was about. Others of the same flow go when a request finds out, or with their time. Gives whether
    /// there was one.
    #[cold]
    pub fn forget_flow(&mut self, lost: &LostFlow<'_>, tables: &Tables) -> bool {
        let Lines { to, route } = Lines::of(lost.request);
        let Some(to) = NameAddr::parse(lost.request, to.start(), to.end()) else { return false };
        let arrival = Arrival { source: lost.next_hop, listen: lost.leave_from };
        let Ok(uri) = AorUri::read(lost.request, to.uri, tables, &arrival) else { return false };
        let Ok((id, _)) = self.named_by(lost.request, &uri, tables) else { return false };
        let Some(aor) = self.table.find(id) else { return false };
        let mut found = false;
        while let Some(slot) = self.find_lost(aor, lost, route.of(lost.request)) {
            self.remove(slot);
            self.counts.flows_failed += 1;
            found = true;
        }
        if found {
            self.changed(aor, tables);
        }
        found
    }

    /// A binding that is reached by this flow: our own, or that of the edge proxy on its Path.
    fn find_lost(&mut self, aor: u32, lost: &LostFlow<'_>, route: &[u8]) -> Option<u32> {
        let mut path = core::mem::take(&mut self.scratch);
        let mut is_lost = |one: &Binding| {
            if one.path_length == 0 {
                return one.is_flow && one.source() == lost.next_hop;
            }
            path.clear();
            one.text(one.text_length(), &self.texts).for_each(|part| path.extend_from_slice(part));
            let start = usize::from(one.uri_length) + usize::from(one.instance_length);
            lost.is_beyond && one.reg_id != 0 && path.get(start..) == Some(route)
        };
        let found = self.table.bindings_of(aor).find(|(_, one)| is_lost(one));
        let found = found.map(|(slot, _)| slot);
        self.scratch = path;
        found
    }
}

/// Values of header lines in a request of ours: To, and the first Route, which is the Path of the binding if that
/// has one.
#[derive(Default)]
struct Lines {
    to: Span,
    route: Span,
}

impl Lines {
    fn of(request: &[u8]) -> Self {
        let start = request.windows(2).position(|pair| pair == b"\r\n").unwrap_or(0);
        let (mut lines, mut found) = (HeaderLines::new(request, start + 2), Self::default());
        while let Some(line) = lines.next_line() {
            match line.id {
                HeaderId::To => found.to = line.value,
                HeaderId::Route if found.route.is_empty() => found.route = line.value,
                _ => {}
            }
        }
        found
    }
}
