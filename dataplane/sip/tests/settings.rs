//! Wrong settings are refused with one line that names the setting and says what to do.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{always, set, settings};
use sip_core::{
    Action, AuthSettings, DigestAlgorithm, Fork, ListenId, ListenPoint, RegistrarSettings, Relay,
    Rule, Settings, Tables, TransactionSettings, Transport,
};

#[track_caller]
fn refused(settings: &Settings, expected: &str) {
    assert_eq!(Tables::build(settings).unwrap_err().to_string(), expected);
}

fn listening(addresses: &[&str]) -> Settings {
    let point = |at: &&str| ListenPoint::udp(at.parse().unwrap());
    Settings { listen: addresses.iter().map(point).collect(), ..settings() }
}

fn with_rule(rule: Rule) -> Settings {
    Settings { rules: vec![always(Action::RequestUri), rule], ..settings() }
}

#[test]
fn listen_points() {
    refused(
        &listening(&[]),
        "listen: there is no listen point; name at least one address and port",
    );
    refused(
        &listening(&["10.0.0.1:5060", "10.0.0.1:5060"]),
        "listen[1].address: 10.0.0.1:5060 stands twice for udp",
    );
    refused(
        &listening(&["0.0.0.0:5060"]),
        "listen[0].address: 0.0.0.0:5060 is not the address of one host; name that",
    );
    refused(&listening(&["10.0.0.1:0"]), "listen[0].address: 10.0.0.1:0 has port 0; SIP uses 5060");
    let many: Vec<_> = (1..=65).map(|host| format!("10.0.0.{host}:5060")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    refused(&listening(&many), "listen: 65 entries, at most 64 are possible");
}

#[test]
fn destination_sets() {
    let sets = |members| Settings { sets: vec![set("uas", members)], ..settings() };
    refused(
        &sets(&[("10.77.1.1:5060", 1)]),
        "destination_sets[0].members[0].address: 10.77.1.1:5060 is our own listen point; \
         only a set with hash = \"aor\" can have us as a member",
    );
    refused(
        &sets(&[("10.0.0.1:5060", 1), ("10.0.0.1:5060", 2)]),
        "destination_sets[0].members[1].address: 10.0.0.1:5060 stands twice",
    );
    let twice = Settings { sets: vec![set("uas", &[]), set("uas", &[])], ..settings() };
    refused(&twice, "destination_sets[1].name: \"uas\" stands twice");
}

#[test]
fn authentication() {
    let with = |change: fn(&mut AuthSettings)| {
        let mut settings = settings();
        change(&mut settings.auth);
        settings
    };
    refused(
        &with(|auth| auth.realms = vec!["a".into(), "b\"".into()]),
        r#"auth.realms[1].name: "b\"" holds a quote, a backslash or a control character; leave it out"#,
    );
    refused(
        &with(|auth| auth.realms = vec!["a".into(), "a".into()]),
        "auth.realms[1].name: \"a\" stands twice",
    );
    refused(
        &with(|auth| auth.realms = vec![String::new()]),
        "auth.realms[0].name: it has 0 bytes; 1 to 256 are possible",
    );
    refused(
        &with(|auth| auth.algorithms.clear()),
        "auth.algorithms: there is none; name \"SHA-256\", \"MD5\" or both",
    );
    refused(
        &with(|auth| auth.algorithms.push(DigestAlgorithm::Sha256)),
        "auth.algorithms: \"SHA-256\" stands twice",
    );
    refused(&with(|auth| auth.nonce_s = 5), "auth.nonce_s: 5 s; 10 to 86400 are possible");
    refused(&with(|auth| auth.block_s = 0), "auth.block_s: 0 s; 1 to 86400 are possible");
}

#[test]
fn rules() {
    refused(
        &with_rule(always(Action::Forward("uass".into()))),
        "routes[1].forward: there is no destination set \"uass\" (known: \"uas\")",
    );
    refused(
        &with_rule(Rule { methods: vec!["ACK".into()], ..always(Action::RequestUri) }),
        "routes[1].methods[0]: ACK goes where its INVITE went; leave it out",
    );
    refused(
        &with_rule(Rule { methods: vec!["invite".into()], ..always(Action::RequestUri) }),
        "routes[1].methods[0]: \"invite\" is written \"INVITE\" on the wire",
    );
    refused(
        &with_rule(Rule { domains: vec!["ex ample".into()], ..always(Action::RequestUri) }),
        "routes[1].domains[0]: \"ex ample\" is neither a host name nor an IP address",
    );
    refused(
        &with_rule(always(Action::Reject { code: 200, reason: "OK".into() })),
        "routes[1].reject.code: 200 is not a final refusal; use 300 to 699",
    );
    refused(
        &with_rule(always(Action::Reject { code: 403, reason: "a\r\nVia: x".into() })),
        "routes[1].reject.reason: has line breaks or more than 128 bytes",
    );
}

#[test]
fn rules_that_keep_state() {
    let stateful =
        |action, fork| with_rule(Rule { relay: Relay::Stateful(fork), ..always(action) });
    refused(
        &stateful(Action::Reject { code: 403, reason: "No".into() }, Fork::No),
        "routes[1].stateful: a rejected request is answered at once; leave it out",
    );
    refused(
        &stateful(Action::RequestUri, Fork::Serial),
        "routes[1].fork: only the members of a set can be forked to; use forward or forward_by_prefix",
    );
    assert!(Tables::build(&stateful(Action::Forward("uas".into()), Fork::Parallel)).is_ok());
}

#[test]
fn timers() {
    let wrong = |transactions: TransactionSettings, expected: &str| {
        refused(&Settings { transactions, ..settings() }, expected);
    };
    let usual = TransactionSettings::default();
    wrong(
        TransactionSettings { t1_ms: 9, ..usual },
        "transactions.t1_ms: 9 ms; 10 to 10000 ms are possible",
    );
    wrong(
        TransactionSettings { t2_ms: 499, ..usual },
        "transactions.t2_ms: 499 ms; 500 (T1) to 60000 ms are possible",
    );
    wrong(
        TransactionSettings { t4_ms: 60_001, ..usual },
        "transactions.t4_ms: 60001 ms; 0 to 60000 ms are possible",
    );
    wrong(
        TransactionSettings { timer_c_ms: 999, ..usual },
        "transactions.timer_c_ms: 999 ms; 1000 to 3600000 ms are possible",
    );
    wrong(
        TransactionSettings { failover_ms: 32_001, ..usual },
        "transactions.failover_ms: 32001 ms; 0 to 32000 (64 T1) ms are possible",
    );
    wrong(
        TransactionSettings { attempts: 0, ..usual },
        "transactions.attempts: 0; 1 to 8 destinations can be tried",
    );
}

#[test]
fn domains() {
    let domains = vec!["example.com".into(), "Example.COM.".into()];
    refused(&Settings { domains, ..settings() }, "domains[1]: \"Example.COM.\" stands twice");
}

#[test]
fn listen_points_are_found_by_address_and_by_source() {
    let tables = Tables::build(&listening(&[
        "10.0.0.1:5060",
        "10.0.0.1:5070",
        "10.0.0.2:5060",
        "[fd77::1]:5060",
    ]))
    .unwrap();
    let id = |at: &str| tables.listen_id(at.parse().unwrap()).map(|id| id.0);
    assert_eq!(id("10.0.0.1:5070"), Some(1));
    assert_eq!(id("[fd77::1]:5060"), Some(3));
    assert_eq!(id("10.0.0.1:5061"), None);
    assert_eq!(id("[::ffff:10.0.0.1]:5060"), None);
    let egress = |ip: &str, port| {
        tables.listen_for(Transport::Udp, ip.parse().unwrap(), port).map(|id| id.0)
    };
    assert_eq!(egress("10.0.0.1", 5070), Some(1));
    assert_eq!(egress("10.0.0.2", 5070), Some(2));
    assert_eq!(egress("10.0.0.3", 5060), None);
}

#[test]
fn what_comes_to_a_shared_address_leaves_from_there() {
    let mut settings = listening(&[
        "10.0.0.10:5060",
        "10.0.0.10:5070",
        "10.0.1.10:5060",
        "10.0.0.11:5060",
        "[fd77::11]:5060",
    ]);
    let address = "10.0.0.11:5060".parse().unwrap();
    settings.listen.push(ListenPoint { address, transport: Transport::Tcp });
    settings.shared = ["10.0.0.10", "10.0.1.10"].map(|ip| ip.parse().unwrap()).to_vec();
    let tables = Tables::build(&settings).unwrap();
    let onward = |came, transport, source: &str, port| {
        tables.listen_onward(ListenId(came), transport, source.parse().unwrap(), port).unwrap().0
    };
    assert_eq!(onward(0, Transport::Udp, "10.0.0.11", 5060), 0);
    assert_eq!(onward(0, Transport::Udp, "10.0.0.11", 5070), 1);
    assert_eq!(onward(3, Transport::Udp, "10.0.0.11", 5060), 3, "its own address");
    assert_eq!(onward(0, Transport::Udp, "fd77::11", 5060), 4, "another family");
    assert_eq!(onward(0, Transport::Tcp, "10.0.0.11", 5060), 5, "nothing shared for TCP");
    assert_eq!(onward(0, Transport::Udp, "10.0.1.10", 5060), 2, "the route says which of them");
}

#[test]
fn shared_addresses_of_two_families_go_together_by_their_place() {
    let mut settings = listening(&[
        "10.0.0.10:5060",
        "10.0.1.10:5060",
        "[fd77::10]:5060",
        "10.0.0.11:5060",
        "[fd77::11]:5060",
    ]);
    settings.shared = ["10.0.0.10", "fd77::10", "10.0.1.10"].map(|ip| ip.parse().unwrap()).to_vec();
    let tables = Tables::build(&settings).unwrap();
    let onward = |came, source: &str| {
        let source = source.parse().unwrap();
        tables.listen_onward(ListenId(came), Transport::Udp, source, 5060).unwrap().0
    };
    assert_eq!((onward(2, "10.0.0.11"), onward(2, "fd77::11")), (0, 2));
    assert_eq!((onward(0, "fd77::11"), onward(0, "10.0.0.11")), (2, 0));
    assert_eq!((onward(1, "fd77::11"), onward(1, "10.0.0.11")), (4, 1), "it has none beside it");
    assert_eq!((onward(3, "fd77::11"), onward(4, "10.0.0.11")), (4, 3), "not shared");
    assert_eq!(onward(2, "10.0.1.10"), 1, "the route says which of them");
}

#[test]
fn each_worker_has_a_port_of_its_own_at_every_address() {
    let points = ["10.0.0.1:5060", "10.0.0.1:5070", "10.0.0.1:5071", "10.0.0.2:5060"];
    let build = |points: &[&str], via_ports: &[u16]| {
        Tables::build(&Settings { via_ports: via_ports.to_vec(), ..listening(points) })
    };
    let tables = build(&points[..3], &[5071, 5070]).unwrap();
    assert_eq!([0, 1, 2].map(|worker| tables.via_port(worker)), [Some(5071), Some(5070), None]);
    let why = |points: &[&str], ports: &[u16]| build(points, ports).unwrap_err().to_string();
    for (points, ports, wanted) in [
        (&points[..], &[5070][..], "via_ports[0]: nothing listens at 10.0.0.2:5070 over udp"),
        (&points[..3], &[5070, 5070], "via_ports[1]: 5070 stands twice"),
        (&points[1..3], &[5070, 5071], "10.0.0.1 has no port over udp that is not for Vias alone"),
    ] {
        let line = why(points, ports);
        assert!(line.contains(wanted), "{line}");
    }
}

#[test]
fn the_registrar() {
    let default = RegistrarSettings::default;
    let with = |registrar| Settings { registrar, ..settings() };
    let cases = [
        (
            RegistrarSettings { min_expires_s: 3_601, ..default() },
            "registrar.min_expires_s: 3601 s; 1 to 3600 s are possible",
        ),
        (
            RegistrarSettings { max_expires_s: 50, ..default() },
            "registrar.max_expires_s: 50 s; 60 to 31536000 s are possible",
        ),
        (
            RegistrarSettings { default_expires_s: 59, ..default() },
            "registrar.default_expires_s: 59 s; 60 to 7200 s are possible",
        ),
        (
            RegistrarSettings { contacts_per_aor: 0, ..default() },
            "registrar.contacts_per_aor: 0 bindings; 1 to 16 bindings are possible",
        ),
        (
            RegistrarSettings { flush_patience_ms: 60_001, ..default() },
            "registrar.flush_patience_ms: 60001 ms; 0 to 60000 ms are possible",
        ),
        (
            RegistrarSettings { service_route: vec!["sip:10.0.0.1?a=b".into()], ..default() },
            "registrar.service_route[0]: \"sip:10.0.0.1?a=b\" is no SIP URI with lr, such as \
             sip:192.0.2.1;lr",
        ),
    ];
    for (registrar, expected) in cases {
        refused(&with(registrar), expected);
    }
    let service_route = vec!["sip:edge@example.com:5061;lr".into(), "sip:[fd77::1];lr".into()];
    assert!(Tables::build(&with(RegistrarSettings { service_route, ..default() })).is_ok());
}

#[test]
fn rules_name_a_realm() {
    let rule = Rule { auth: Some("b".into()), ..Rule::always(Action::Register) };
    let auth = AuthSettings { realms: vec!["a".into()], ..AuthSettings::default() };
    let unknown = Settings { auth, ..with_rule(rule) };
    refused(&unknown, "routes[1].auth: there is no realm \"b\" (known: \"a\")");
}
