//! NICs for operators: what a server lacks, and what each driver can do. The checks and the facts are those of
//! [`nic_config::doctor`] and [`nic_config::profile`].

mod doctor;
mod profiles;

pub use doctor::{InText, json};
pub use profiles::{List, Page};
