//! What holds for any datagram whatever. The fuzz targets look for bytes that break it; `seeds.rs`
//! asserts it for the seeds, the fixtures and everything they once found.
#![allow(dead_code, unreachable_pub, unused_imports, reason = "each target uses its part")]
#![allow(clippy::unwrap_used, reason = "a panic is what is looked for")]

mod digest;
mod frame;
mod parse;
mod register;
mod rewrite;
mod route;
mod scan;
mod stun;

pub use digest::check as digest;
pub use frame::check as frame;
pub use parse::check as parse;
pub use register::check as register;
pub use rewrite::check as rewrite;
pub use route::check as route;
pub use scan::check as scan;
pub use stun::check as stun;

use sip_core::{
    Action, Algorithm, Arrival, AuthSettings, DestinationSet, EditList, HashKey, HeaderMatch,
    HeaderTest, ListenId, ListenPoint, Maddr, Member, Output, Oversize, PrefixTable, Rule,
    Settings, Tables,
};

/// The listen points of the appliance: the two families, and two of one family.
const LISTEN: [&str; 3] = ["10.77.1.1:5060", "10.77.2.1:5060", "[fd77:2::1]:5060"];
/// The realm of which credentials are asked for.
const REALM: &str = "example.com";
const SECRET: [u8; 16] = *b"0123456789abcdef";

/// An appliance and two ways into it.
struct Appliance {
    tables: Tables,
    arrivals: Vec<Arrival>,
}

impl Appliance {
    /// Forwards everything to a destination set.
    fn forwarding() -> Self {
        Self::new(vec![Rule::always(Action::Forward("farm".into()))], SECRET)
    }

    /// Relays everything to Route or Request-URI.
    fn relaying() -> Self {
        Self::new(vec![Rule::always(Action::RequestUri)], SECRET)
    }

    /// Has a rule of every kind.
    fn choosing() -> Self {
        let registers = Action::Reject { code: 403, reason: "Elsewhere".into() };
        let header = HeaderMatch { name: "s".into(), test: HeaderTest::Contains("urgent".into()) };
        let rules = vec![
            Rule { methods: vec!["REGISTER".into()], ..Rule::always(registers) },
            Rule { headers: vec![header], ..Rule::always(Action::Forward("farm".into())) },
            Rule {
                domains: vec!["example.com".into(), "[fd77::9]".into()],
                user_prefixes: vec!["bob".into(), "+49".into()],
                ..Rule::always(Action::Forward("users".into()))
            },
            Rule::always(Action::ForwardByPrefix("numbers".into())),
            Rule {
                sources: vec!["fd77::/16".parse().unwrap()],
                ..Rule::always(Action::RequestUri)
            },
        ];
        Self::new(rules, SECRET)
    }

    /// Asks everybody for credentials.
    fn asking() -> Self {
        let rule = |action| Rule { auth: Some(REALM.into()), ..Rule::always(action) };
        let actions = [Action::Register, Action::Locate, Action::RequestUri];
        Self::new(actions.map(rule).to_vec(), SECRET)
    }

    fn new(rules: Vec<Rule>, secret: [u8; 16]) -> Self {
        let set = |name: &str, algorithm, hash| DestinationSet {
            name: name.into(),
            algorithm,
            hash,
            overload_control: false,
            members: ["10.77.2.2:5060", "10.77.2.3:5070", "[fd77:2::2]:5060"]
                .map(|at| Member::new(at.parse().unwrap()))
                .to_vec(),
        };
        let mut numbers = PrefixTable::new("numbers", vec!["farm".into(), "users".into()]);
        for (prefix, set) in [("+4930", 0), ("1", 1), ("bo", 1)] {
            assert!(numbers.push(prefix, set));
        }
        let auth = AuthSettings { realms: vec![REALM.into()], ..AuthSettings::default() };
        let settings = Settings {
            auth,
            secret,
            domains: vec!["example.com".into()],
            listen: LISTEN.map(|at| ListenPoint::udp(at.parse().unwrap())).to_vec(),
            record_route: true,
            retry_after_seconds: 5,
            maddr: Maddr::Refuse,
            oversize: Oversize::Fragment,
            prefix_tables: vec![numbers],
            sets: vec![
                set("farm", Algorithm::Rendezvous, HashKey::CallId),
                set("users", Algorithm::Maglev, HashKey::FromUser),
            ],
            rules,
            ..Settings::default()
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
