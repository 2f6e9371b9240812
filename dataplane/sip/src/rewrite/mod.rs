//! What a forwarded message looks like: edits against the received bytes, applied in one pass; and
//! the replies that we make ourselves.

pub(crate) mod answer;
pub(crate) mod branch;
pub(crate) mod edit;
pub(crate) mod feedback;
pub(crate) mod flow;
pub(crate) mod keyed_hash;
pub(crate) mod output;
pub(crate) mod received;
pub(crate) mod reply;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod told;
