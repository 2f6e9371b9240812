//! The store of bindings. The workers of the data plane have the bindings and answer from them; here they
//! only outlive the process.
//!
//! - [`link`]: changes come from the data plane, and what is stored goes to it when it starts.
//! - [`keeper`]: the thread that owns the store; it commits in groups and confirms.
//! - [`store`]: the store itself.
//! - [`aside`]: stores that could not be read are kept; [`merge`]: what is restored takes nothing away.
//! - [`stored`]: what operators may do with it; [`ask`] is their side.
//! - [`json`]: records as lines of JSON, for people and for backups.

mod aside;
pub mod ask;
pub mod json;
pub mod keeper;
pub mod link;
mod merge;
pub mod store;
pub mod stored;
