//! `trunkline top`: what the data plane does now, as rates between two snapshots.

mod rates;
mod view;

pub use rates::{Moment, Rates};
pub(crate) use view::{as_text, rate, table};
pub use view::{draw, once};
