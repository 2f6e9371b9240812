//! Loop detection (RFC 3261 section 16.3 step 4), which costs nothing until a request has many Vias.
//!
//! A stateless branch is a hash of the Via beneath it, so that a request that comes back gets another
//! one: branches cannot tell a loop from a spiral. The number of turns can.

use super::tables::Tables;
use crate::limits::LOOP_PASSES_MAX;
use crate::message::Request;
use crate::parse::header::{HeaderId, HeaderLines};
use crate::parse::via::Via;

/// Whether `request` has come through us so often that it goes in circles.
#[cold]
pub(super) fn is_loop(request: &Request<'_>, tables: &Tables) -> bool {
    let bytes = request.bytes;
    let mut passes = 0;
    let mut lines = HeaderLines::new(bytes, request.line.end() + 2);
    while let Some(line) = lines.next_line() {
        let mut at = line.value.start();
        while line.id == HeaderId::Via
            && let Some(via) = Via::parse(bytes, at, line.value.end())
        {
            let is_ours = via.sent_by(bytes).is_some_and(|at| tables.is_listen_address(at));
            passes += u16::from(is_ours);
            at = via.end() + 1;
        }
    }
    passes >= LOOP_PASSES_MAX
}
