//! Host names as next hops (RFC 3263): the addresses of one are asked one after the other.

use super::proxy::{CALLEES, CALLER, Proxy, Sent, kinds, only, request, settings};
use sip_core::{
    Action, Fork, ListenPoint, NameAnswer, NameOutcome, NameQuestion, NameTarget, Relay, Rule,
    Settings, Transport,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Requests for other domains go where their Request-URI says.
fn relay(relay: Relay) -> Settings {
    let rule = Rule { relay, ..Rule::always(Action::RequestUri) };
    Settings { domains: vec![], rules: vec![rule], ..settings(Fork::No) }
}

/// What the name of the Request-URI leads to: address, priority and weight.
fn found(targets: &[(&str, u16, u16)]) -> NameOutcome {
    let target = |&(at, priority, weight): &(&str, u16, u16)| {
        NameTarget::new(at.parse().unwrap(), Transport::Udp, priority, weight)
    };
    NameOutcome::Found(targets.iter().map(target).collect())
}

fn knowing(settings: &Settings, outcome: NameOutcome) -> Proxy {
    let mut proxy = Proxy::new(settings);
    proxy.names.learn(answer(outcome));
    proxy
}

fn answer(outcome: NameOutcome) -> Arc<NameAnswer> {
    let question = NameQuestion::new(b"example.com", 0, None).unwrap();
    Arc::new(NameAnswer { question, outcome, ttl_ms: 3_600_000, stale_ms: 0 })
}

fn three() -> NameOutcome {
    found(&[(CALLEES[1], 2, 0), (CALLEES[0], 1, 0), (CALLEES[2], 3, 0)])
}

#[test]
fn a_name_that_is_not_known_is_asked_for() {
    let mut proxy = Proxy::new(&relay(Relay::Stateful(Fork::No)));
    let invite = request("INVITE", "c");
    assert_eq!(proxy.receive(CALLER, &invite), []);
    let wanted = proxy.names.take_wanted().unwrap();
    assert_eq!(wanted.name(), b"example.com");
    assert_eq!(proxy.counts().opened, 0, "it has no transaction before");
    proxy.names.learn(answer(three()));
    let sent = proxy.receive(CALLER, &invite);
    assert_eq!(kinds(&sent), ["INVITE", "100"]);
    assert_eq!(only(&sent, "INVITE").to, CALLEES[0]);
}

/// RFC 3263 section 4.3.
#[test]
fn a_503_an_icmp_error_and_silence_bring_in_the_next_address() {
    let mut proxy = knowing(&relay(Relay::Stateful(Fork::No)), three());
    let first = only(&proxy.receive(CALLER, &request("INVITE", "c")), "INVITE").clone();
    assert_eq!(first.to, CALLEES[0]);
    let sent = proxy.receive(&first.to, &first.response("503 Service Unavailable"));
    assert_eq!(kinds(&sent), ["ACK", "INVITE"]);
    let second = only(&sent, "INVITE").clone();
    assert_eq!(second.to, CALLEES[1]);
    let branch = |sent: &Sent| sent.header("Via").to_owned();
    assert_ne!(branch(&first), branch(&second), "a new branch for each");
    let third = only(&proxy.unreachable(&second.text), "INVITE").clone();
    assert_eq!(third.to, CALLEES[2]);
    let ok = proxy.receive(&third.to, &third.response("200 OK"));
    assert_eq!(only(&ok, "200").to, CALLER);
    assert_eq!(proxy.counts().failed_over, 2);

    let mut proxy = knowing(&relay(Relay::Stateful(Fork::No)), three());
    proxy.receive(CALLER, &request("INVITE", "c"));
    let sent = proxy.wait(4_100);
    let next: Vec<_> = sent.iter().filter(|(_, sent)| sent.to == CALLEES[1]).collect();
    assert_eq!((next.len(), next[0].1.kind().as_str()), (1, "INVITE"), "{sent:#?}");
}

#[test]
fn with_all_addresses_failed_the_caller_hears_of_it() {
    let settings = relay(Relay::Stateful(Fork::No));
    let mut proxy = knowing(&settings, found(&[(CALLEES[0], 0, 0), (CALLEES[1], 0, 0)]));
    let mut sent = proxy.receive(CALLER, &request("INVITE", "c"));
    for _ in 0..2 {
        let invite = only(&sent, "INVITE").clone();
        sent = proxy.receive(&invite.to, &invite.response("503 Service Unavailable"));
    }
    assert_eq!(kinds(&sent), ["ACK", "500"]);
    // A refusal of the callee is no failure of its server.
    let mut proxy = knowing(&settings, three());
    let invite = only(&proxy.receive(CALLER, &request("INVITE", "c")), "INVITE").clone();
    let sent = proxy.receive(&invite.to, &invite.response("486 Busy Here"));
    assert_eq!(kinds(&sent), ["486", "ACK"]);
    // A dead one is passed over at once.
    let mut proxy = knowing(&settings, three());
    proxy.ways.dead.push(CALLEES[0].parse().unwrap());
    let sent = proxy.receive(CALLER, &request("INVITE", "c"));
    assert_eq!(only(&sent, "INVITE").to, CALLEES[1]);
}

/// RFC 2782, and RFC 3263 section 4.4: the same for all messages of a transaction.
#[test]
fn without_transactions_shares_follow_weights_and_a_transaction_stays_where_it_is() {
    let outcome = found(&[(CALLEES[0], 1, 30), (CALLEES[1], 1, 10), (CALLEES[2], 9, 60)]);
    let mut proxy = knowing(&relay(Relay::Stateless), outcome);
    let mut shares = BTreeMap::<String, u32>::new();
    for call in 0..2_000 {
        let call = format!("c{call}");
        let to = |proxy: &mut Proxy, method: &str| {
            only(&proxy.receive(CALLER, &request(method, &call)), method).to.clone()
        };
        let first = to(&mut proxy, "INVITE");
        assert_eq!(to(&mut proxy, "CANCEL"), first);
        assert_eq!(to(&mut proxy, "ACK"), first);
        *shares.entry(first).or_default() += 1;
    }
    let share = |at: &str| shares.get(at).copied().unwrap_or(0);
    assert!((1_400..1_600).contains(&share(CALLEES[0])), "{shares:?}");
    assert_eq!(share(CALLEES[0]) + share(CALLEES[1]), 2_000, "{shares:?}");
}

#[test]
fn what_dns_says_makes_us_send_neither_to_ourselves_nor_to_networks() {
    let mut settings = relay(Relay::Stateless);
    let ask = |outcome: NameOutcome, settings: &Settings| {
        let sent = knowing(settings, outcome).receive(CALLER, &request("OPTIONS", "c"));
        sent[0].text.lines().next().unwrap().to_owned()
    };
    let loops = found(&[("10.77.2.1:5060", 0, 0)]);
    assert_eq!(ask(loops, &settings), "SIP/2.0 482 Loop Detected");
    let network = found(&[("224.0.0.1:5060", 0, 0), ("255.255.255.255:5060", 0, 0)]);
    assert_eq!(ask(network, &settings), "SIP/2.0 503 Transport Not Available");
    // No listen point has IPv6.
    let six = found(&[("[2001:db8::1]:5060", 0, 0)]);
    assert_eq!(ask(six.clone(), &settings), "SIP/2.0 503 Transport Not Available");
    settings.listen.push(ListenPoint::udp("[2001:db8::9]:5060".parse().unwrap()));
    assert_eq!(ask(six, &settings), "OPTIONS sip:bob@example.com SIP/2.0");
    assert_eq!(ask(NameOutcome::NoSuchName, &settings), "SIP/2.0 404 No Such Host");
    assert_eq!(ask(NameOutcome::Failed, &settings), "SIP/2.0 503 Next Hop Not Resolved");
}
