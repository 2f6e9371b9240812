//! What control and the data plane say to each other, and the list of reasons by which the data
//! plane accounts for every packet.
//!
//! Plain types without I/O: the two processes bring their own sockets. [`API_VERSION`] rises with
//! every change of [`message`], [`connection`], [`names`], [`location`], [`operator`], [`rss`] or [`reasons`]; a peer of another version is refused, never guessed at.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod connection;
pub mod credentials;
pub mod frame;
pub mod location;
pub mod message;
pub mod names;
pub mod operator;
pub mod reasons;
pub mod rss;
pub mod status;

pub use credentials::{CredentialsPiece, UserSecrets};
pub use location::{FromLocation, ToLocation};
pub use message::{
    BannedSource, FromDataplane, MemberStatus, ToDataplane, UnreachableHost, UnreachableSign,
};
pub use names::{FromNames, NameAsked, NameReply, NamesStatus, Resolved, ResolvedAddress, ToNames};
pub use reasons::DropReason;
pub use rss::{FlowRate, PortFlows, PortRss, RssAction, RssRequest};

/// Version of the messages in this crate. Both sides send it first.
pub const API_VERSION: u16 = 16;
