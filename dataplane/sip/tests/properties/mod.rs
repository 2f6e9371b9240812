//! What holds for any datagram whatever. The fuzz targets look for bytes that break it; `seeds.rs`
//! asserts it for the seeds, the fixtures and everything they once found.
#![allow(dead_code, unreachable_pub, unused_imports, reason = "each target uses its part")]
#![allow(clippy::unwrap_used, reason = "a panic is what is looked for")]

mod parse;
mod rewrite;
mod route;
mod scan;
mod stun;

pub use parse::check as parse;
pub use rewrite::check as rewrite;
pub use route::check as route;
pub use scan::check as scan;
pub use stun::check as stun;

use sip_core::{
    Action, Arrival, DestinationSet, EditList, ListenId, ListenPoint, Maddr, Member, Output,
    Oversize, Rule, Settings, Tables,
};

/// The listen points of the appliance: the two families, and two of one family.
const LISTEN: [&str; 3] = ["10.77.1.1:5060", "10.77.2.1:5060", "[fd77:2::1]:5060"];

/// An appliance that forwards what `rules` say; without a rule everything relays.
struct Appliance {
    tables: Tables,
    arrivals: Vec<Arrival>,
}

impl Appliance {
    /// Forwards to a destination set.
    fn forwarding() -> Self {
        Self::new(Action::Forward("farm".into()), *b"0123456789abcdef")
    }

    /// Relays to Route or Request-URI.
    fn relaying() -> Self {
        Self::new(Action::RequestUri, *b"0123456789abcdef")
    }

    fn new(action: Action, secret: [u8; 16]) -> Self {
        let member = |at: &&str| Member::new(at.parse().unwrap());
        let settings = Settings {
            secret,
            domains: vec!["example.com".into()],
            listen: LISTEN.map(|at| ListenPoint { address: at.parse().unwrap() }).to_vec(),
            record_route: true,
            retry_after_seconds: 5,
            maddr: Maddr::Refuse,
            oversize: Oversize::Fragment,
            prefix_tables: vec![],
            sets: vec![DestinationSet {
                name: "farm".into(),
                members: ["10.77.2.2:5060", "10.77.2.3:5070", "[fd77:2::2]:5060"]
                    .iter()
                    .map(member)
                    .collect(),
                ..DestinationSet::default()
            }],
            rules: vec![Rule::always(action)],
        };
        let arrival = |source: &str, listen| Arrival { source: source.parse().unwrap(), listen };
        Self {
            tables: Tables::build(&settings).unwrap(),
            arrivals: vec![
                arrival("10.77.1.2:5060", ListenId(0)),
                arrival("[fd77:2::9]:40000", ListenId(2)),
            ],
        }
    }
}

/// `message` with its edits; `None` when the result does not fit a datagram.
fn applied(edits: &EditList, message: &[u8]) -> Option<Vec<u8>> {
    let mut patched = message.to_vec();
    edits.patch(&mut patched);
    let mut out = Output::new();
    let replaced = edits.emit_prefix(&patched, &mut out).ok()?;
    let grown = out.len().cast_signed() - replaced.cast_signed();
    assert_eq!(grown, edits.growth(), "growth is what the edits say");
    let whole = [out.bytes(), &patched[replaced..]].concat();
    (whole.len() <= sip_core::limits::MESSAGE_MAX).then_some(whole)
}

/// Bytes as text, for the message of an assertion.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
