//! Location: which user is where (RFC 3261 section 10), for the AoRs that one worker owns.
//!
//! ```text
//!  index by keyed hash ──► AoR ──► binding ──► binding      one timer each
//!                           │         └──► texts: URI, instance, Path
//!                           └──► next changed AoR ──► …     what the store does not know yet
//! ```
//!
//! All of it is allocated at the start, so that nothing ever grows, moves or waits. An AoR that
//! changed is put once into the queue of changes, from which whole AoRs go to the store, oldest change first.

mod aor;
mod ask;
mod bind;
mod binding;
mod changes;
mod counts;
mod expire;
mod foresee;
mod gruu;
mod keep_alive;
mod layer;
mod load;
mod locate;
mod lost_flow;
mod owner;
pub mod record;
mod sources;
mod table;
mod targets;
mod temp_gruu;
mod texts;

pub use aor::{AorOwner, AorUri, NoAor};
pub use ask::AorQuestion;
pub use counts::{LoadCounts, LocationCounts};
pub use layer::{Location, LocationSizes};
pub use locate::Located;
pub use targets::{Target, Targets};

pub(crate) use aor::AorId;
pub(crate) use bind::fits;
pub(crate) use binding::{Binding, Contact};
pub(crate) use gruu::gr;
pub(crate) use layer::urn_of;
pub(crate) use locate::{address, leads_to};
pub(crate) use temp_gruu::GruuKey;
pub(crate) use texts::Said;
