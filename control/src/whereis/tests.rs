//! Messages at the appliance of the lab.

use super::{Appliance, Fate};
use crate::config::Config;
use crate::health::Impaired;
use control_api::operator::MemberState;
use sip_core::Transport;
use std::path::Path;

const CONFIG: &str = r#"
[appliance]
record_route = true
domains = ["example.com"]

[[ports]]
name = "a"
interface = "lo"

[[listen]]
address = "127.0.0.1:5060"

[[listen]]
address = "[::1]:5060"

[[destination_sets]]
name = "core"
members = [{ address = "127.0.0.2:5060" }, { address = "127.0.0.3:5060" }]

[[routes]]
match = { methods = ["REGISTER"] }
reject = { code = 403, reason = "Register elsewhere" }

[[routes]]
match = { user_prefixes = ["bob"] }
forward = "core"
"#;

fn message(method: &str, user: &str) -> String {
    format!(
        "{method} sip:{user}@example.com SIP/2.0\r\n\
         Via: SIP/2.0/UDP 127.0.0.9;branch=z9hG4bK1\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:alice@example.com>;tag=1\r\n\
         To: <sip:{user}@example.com>\r\n\
         Call-ID: a84b4c76e66710\r\n\
         CSeq: 1 {method}\r\n\r\n"
    )
}

fn ask(message: &str, impaired: &[Impaired]) -> super::Answer {
    ask_with(CONFIG, message, impaired)
}

fn ask_with(config: &str, message: &str, impaired: &[Impaired]) -> super::Answer {
    let config = Config::parse(config, Path::new("")).unwrap();
    let appliance = Appliance::new(&config, [7; 16], impaired).unwrap();
    let from = "127.0.0.9:5060".parse().unwrap();
    let listen = appliance.listen(Transport::Udp, from, None).unwrap();
    appliance.ask(message.as_bytes(), from, listen)
}

#[test]
fn a_forwarded_request_says_why() {
    let answer = ask(&message("INVITE", "bob"), &[]);
    assert_eq!(answer.rules[0].misses.as_deref(), Some("methods: this is INVITE"));
    assert_eq!(answer.rules[1].misses, None);
    let member = answer.member.clone().unwrap();
    assert_eq!((member.set.as_str(), member.of, member.hashed), ("core", 2, "Call-ID"));
    let Fate::Forwarded { next_hop, leaves_from, .. } = answer.fate else { panic!("{answer}") };
    assert_eq!(next_hop, member.address);
    assert_eq!(leaves_from, Some("127.0.0.1:5060".parse().unwrap()));
    assert!(answer.rewritten.contains("\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK-tl"));
    let said = answer.to_string();
    assert!(said.contains("next hop     127.0.0."), "{said}");
}

#[test]
fn a_request_of_a_stateful_route_gets_a_transaction() {
    let config = CONFIG.replace("forward = \"core\"", "forward = \"core\"\nstateful = true");
    let answer = ask_with(&config, &message("INVITE", "bob"), &[]);
    assert!(answer.transaction && answer.to_string().contains("transaction  yes"), "{answer}");
    // An ACK of its own is that of a 2xx, which ends no transaction of ours.
    assert!(!ask_with(&config, &message("ACK", "bob"), &[]).transaction);
    assert!(!ask(&message("INVITE", "bob"), &[]).transaction);
}

#[test]
fn registrations_and_located_requests_are_explained() {
    let routes = "\
[[routes]]
register = true
auth = \"example.com\"

[[routes]]
locate = true

[[auth.realms]]
name = \"example.com\"
file = \"users.csv\"

[[routes]]
match = { methods = [\"REG";
    let config = CONFIG.replacen("[[routes]]\nmatch = { methods = [\"REG", routes, 1);
    let message = |method, user| message(method, user).replacen(&format!("sip:{user}@"), "sip:", 1);
    let answer = ask_with(&config, &message("REGISTER", "bob"), &[]);
    assert_eq!(answer.fate, Fate::Registered, "{answer}");
    assert_eq!(answer.realm.as_deref(), Some("example.com"));
    assert!(
        answer.to_string().contains("credentials  of realm example.com come first"),
        "{answer}"
    );
    let answer = ask_with(&config, &super::tests::message("INVITE", "bob"), &[]);
    assert_eq!(answer.rules[0].misses.as_deref(), Some("methods: this is INVITE"));
    assert_eq!(answer.fate, Fate::Located { uri: "sip:bob@example.com".into() }, "{answer}");
    assert!(answer.transaction && answer.realm.is_none(), "{answer}");
}

#[test]
fn a_drained_member_gets_nothing() {
    let member = ask(&message("INVITE", "bob"), &[]).member.unwrap().address;
    let drained = [Impaired { set: "core".into(), address: member, state: MemberState::Draining }];
    assert_ne!(ask(&message("INVITE", "bob"), &drained).member.unwrap().address, member);
}

#[test]
fn refusals_and_drops_are_named() {
    let answer = ask(&message("REGISTER", "bob"), &[]);
    assert_eq!(answer.rules[0].misses, None);
    assert!(answer.to_string().contains("answered     SIP/2.0 403 Register elsewhere"), "{answer}");
    let answer = ask(&message("INVITE", "carol"), &[]);
    assert_eq!(answer.rules[1].misses.as_deref(), Some("user_prefixes: the user is carol"));
    assert!(answer.to_string().contains("404 Not Found"), "{answer}");
    let answer = ask(&message("ACK", "carol"), &[]);
    assert!(answer.to_string().contains("dropped      ack_unanswerable: An ACK"), "{answer}");
    let answer = ask("hello", &[]);
    assert!(answer.to_string().contains("no valid SIP"), "{answer}");
}

#[test]
fn the_listen_point_must_be_plain() {
    let config = Config::parse(CONFIG, Path::new("")).unwrap();
    let appliance = Appliance::new(&config, [7; 16], &[]).unwrap();
    let from = "127.0.0.9:5060".parse().unwrap();
    let error =
        appliance.listen(Transport::Udp, from, Some("127.0.0.1:9".parse().unwrap())).unwrap_err();
    let said = "127.0.0.1:9 is no listen point, but 127.0.0.1:5060, [::1]:5060";
    assert_eq!(error.to_string(), said);
}

#[test]
fn messages_of_connections_come_and_go_over_theirs() {
    let with_tcp = CONFIG.replacen(
        "[[listen]]",
        "[[listen]]\naddress = \"127.0.0.1:5060\"\ntransport = \"tcp\"\n\n[[listen]]",
        1,
    );
    let config = Config::parse(&with_tcp, Path::new("")).unwrap();
    let appliance = Appliance::new(&config, [7; 16], &[]).unwrap();
    let from = "127.0.0.9:40000".parse().unwrap();
    let listen = appliance.listen(Transport::Tcp, from, None).unwrap();
    let request = message("INVITE", "bob").replace("SIP/2.0/UDP", "SIP/2.0/TCP");
    let answer = appliance.ask(request.as_bytes(), from, listen);
    let said = answer.to_string();
    assert!(said.contains("at listen point 127.0.0.1:5060 over TCP"), "{said}");
    let Fate::Forwarded { transport, .. } = answer.fate else { panic!("{answer}") };
    assert_eq!(transport, Transport::Udp, "the members of the set are on UDP");
    let error = appliance.listen(Transport::Tls, from, None).unwrap_err();
    assert_eq!(error.to_string(), "no listen point speaks TLS");
}
