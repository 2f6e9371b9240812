//! Receive side scaling in software: which queue a datagram reaches, and which key and table share
//! the load of known flows evenly.
//!
//! 1. [`tuple`]: the addresses and ports of a flow.
//! 2. [`fields`]: what of them a port hashes, and by which function.
//! 3. [`key`]: the secret of the Toeplitz hash.
//! 4. [`toeplitz`]: the hash by tables.
//! 5. [`reta`]: the table from hash to queue.
//! 6. [`spread`]: all of them together; "which queue does this flow reach" is [`Spread::queue`].
//! 7. [`bound`]: how even any assignment of whole flows to queues could be.
//! 8. [`balance`]: a table for given loads of its entries.
//! 9. [`planner`]: the search for a key and a table.
//! 10. [`rebalance`]: the few entries that move while packets flow.
//! 11. [`apply`]: both put into a port, read back and compared; [`kernel`] is the port of a kernel driver,
//!     [`veth`] plays RSS on a veth pair.
//! 12. [`via_ports`]: a port for each worker, to which its responses come back.
//!
//! A VLAN tag does not change the hash.

pub mod apply;
pub mod balance;
pub mod bound;
mod error;
pub mod fields;
pub mod kernel;
pub mod key;
pub mod planner;
pub mod rebalance;
pub mod reta;
pub mod spread;
pub mod toeplitz;
pub mod tuple;
pub mod veth;
pub mod via_ports;

pub use error::RssError;
pub use fields::{FieldSet, Fields, Function};
pub use key::RssKey;
pub use planner::{Limits, Plan, plan};
pub use reta::Reta;
pub use spread::Spread;
pub use tuple::Tuple;

/// No NIC that DPDK or Linux drives has more receive queues for one table.
pub const QUEUES_MAX: u16 = 512;
