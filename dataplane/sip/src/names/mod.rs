//! Host names as next hops (RFC 3263): what is asked, what was answered, and what a worker remembers.
//!
//! ```text
//!  request ──► HostName ──► NameQuestion ──► Names ──┬─ known ──► the addresses in their order ──► sent on
//!                                                    ├─ unknown: the caller asks, and takes it again
//!                                                    └─ no such name, or nobody could say: refused
//! ```

mod answer;
mod cache;
mod question;

pub use answer::{NameAnswer, NameHops, NameOutcome, NameTarget};
pub use cache::{NameCounts, Names, NotAimed};
pub use question::{HostName, NameQuestion};
