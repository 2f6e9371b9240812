//! The copy of a response that goes on: without our Via (RFC 3261 section 16.7 step 3).

use super::edit::EditList;
use crate::message::Response;
use crate::route::response::ResponseRoute;

/// Records the edits that turn `response` into the copy to forward. `edits` is cleared first.
#[inline]
pub fn rewrite_response(response: &Response<'_>, route: &ResponseRoute, edits: &mut EditList) {
    edits.clear();
    super::request::drop_leading_crlf(response.line, edits);
    edits.delete(route.cut);
}
