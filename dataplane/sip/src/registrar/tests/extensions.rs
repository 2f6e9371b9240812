//! Path, Service-Route, flows, GRUUs and phones behind NAT (RFCs 3327, 3608, 5626, 5627).

use super::*;
use crate::rewrite::flow::{Flow, push_path};
use crate::transaction::LostFlow;

/// RFC 3327 section 5.3: the Path is kept, and given back to who understands it.
#[test]
fn a_path_is_stored_and_returned_on_request() {
    let mut registrar = Registrar::new();
    let path = "Path: <sip:10.0.0.8;lr>\r\nPath: <sip:10.0.0.9;lr>\r\n";
    let answer = registrar.register(1, &format!("{path}Supported: path\r\n{PHONE}"));
    assert!(answer.contains("Path: <sip:10.0.0.8;lr>, <sip:10.0.0.9;lr>\r\n"), "{answer}");
    let answer = registrar.register(2, &format!("{path}{PHONE}"));
    assert!(status(&answer) == "200 OK" && !answer.contains("Path:"), "{answer}");
    let target = registrar.target("sip:alice@example.com");
    assert_eq!(target.0.next_hop, "10.0.0.8:5060".parse().unwrap());
    assert_eq!(target.1, "<sip:10.0.0.8;lr>, <sip:10.0.0.9;lr>");
}

/// RFC 3608 section 6.3.
#[test]
fn a_service_route_is_given() {
    let mut registrar = Registrar::with(|settings| {
        settings.service_route =
            vec!["sip:p1.example.com;lr".into(), "sip:p2.example.com;lr".into()];
    });
    let answer = registrar.register(1, PHONE);
    let routes =
        "Service-Route: <sip:p1.example.com;lr>\r\nService-Route: <sip:p2.example.com;lr>\r\n";
    assert!(answer.contains(routes), "{answer}");
}

/// RFC 5626 section 6.
#[test]
fn a_flow_is_known_by_instance_and_reg_id() {
    let mut registrar = Registrar::new();
    let answer = registrar.register(1, &format!("Supported: path, outbound\r\n{FLOW}1\r\n"));
    assert!(answer.contains("Require: outbound\r\nFlow-Timer: 120\r\n"), "{answer}");
    assert!(answer.contains(";+sip.instance=\"<urn:uuid:1>\";reg-id=1\r\n"), "{answer}");
    // Another port, the same flow; another reg-id, another flow.
    let moved = FLOW.replace("10.9.9.9", "10.9.9.9:5070");
    let answer = registrar.register(2, &format!("Supported: outbound\r\n{moved}1\r\n"));
    assert_eq!(answer.matches("Contact:").count(), 1, "{answer}");
    let answer = registrar.register(3, &format!("Supported: outbound\r\n{FLOW}2\r\n"));
    assert_eq!(answer.matches("Contact:").count(), 2, "{answer}");
    let (target, _) = registrar.target("sip:alice@example.com");
    assert!(target.is_flow && target.group == 1 && target.leave_from == Some(ListenId(0)));
    assert_eq!(target.next_hop, "192.0.2.7:5060".parse().unwrap());
    // Without the option tag the reg-id does not count.
    let answer = registrar.register(4, &format!("{FLOW}3\r\n"));
    assert!(!answer.contains("Require: outbound") && !answer.contains("reg-id=3"), "{answer}");
}

/// RFC 5626 sections 6 and 11.6.
#[test]
fn a_first_hop_without_outbound_is_refused() {
    let mut registrar = Registrar::new();
    let hop = "Via: SIP/2.0/UDP 10.9.9.9;branch=z9hG4bKx\r\n";
    let answer = registrar.register(1, &format!("{hop}Supported: outbound\r\n{FLOW}1\r\n"));
    assert_eq!(status(&answer), "439 First Hop Lacks Outbound Support");
    let path = "Path: <sip:10.0.0.8;lr>, <sip:10.0.0.9;lr;ob>\r\n";
    let answer = registrar.register(2, &format!("{hop}{path}Supported: outbound\r\n{FLOW}1\r\n"));
    assert!(status(&answer) == "200 OK" && answer.contains("Require: outbound"), "{answer}");
    let (target, _) = registrar.target("sip:alice@example.com");
    assert!(!target.is_flow);
    let two = format!("Supported: outbound\r\n{FLOW}1, <sip:alice@192.0.2.7>\r\n");
    assert!(status(&registrar.register(3, &two)).starts_with("400"));
    // A reg-id without instance is ignored.
    let answer =
        registrar.register(4, "Supported: outbound\r\nContact: <sip:alice@192.0.2.7>;reg-id=1\r\n");
    assert!(status(&answer) == "200 OK" && !answer.contains("Require:"), "{answer}");
}

/// RFC 5626 section 5.3: a flow that has failed is forgotten.
#[test]
fn a_failed_flow_is_forgotten() {
    let mut registrar = Registrar::new();
    registrar.register(1, &format!("Supported: outbound\r\n{FLOW}1\r\n"));
    let request = b"INVITE sip:alice@10.9.9.9 SIP/2.0\r\nTo: <sip:alice@example.com>\r\n\r\n";
    let lost = LostFlow {
        request,
        next_hop: "192.0.2.7:5060".parse().unwrap(),
        leave_from: ListenId(0),
        is_beyond: false,
    };
    let Registrar { location, tables, .. } = &mut registrar;
    let other = LostFlow { next_hop: "192.0.2.7:5061".parse().unwrap(), ..lost };
    assert!(!location.forget_flow(&other, tables));
    assert!(location.forget_flow(&lost, tables));
    assert!(!location.forget_flow(&lost, tables));
    assert_eq!(registrar.locate("sip:alice@example.com").0, Located::NotRegistered);
}

/// RFC 3327: a node that is edge proxy and registrar at one time has bindings that were registered through itself.
#[test]
fn a_path_of_our_own_is_the_flow_that_it_names() {
    let flow = Flow { address: "192.0.2.44:40000".parse().unwrap(), listen: ListenId(0) };
    let mut registrar = Registrar::new();
    let mut out = Output::new();
    push_path(flow, false, ListenId(0), &registrar.tables, &mut out).unwrap();
    let path = String::from_utf8(out.bytes().to_vec()).unwrap();
    registrar.register(1, &format!("{path}{PHONE}"));
    let (target, route) = registrar.target("sip:alice@example.com");
    assert_eq!((target.next_hop, target.leave_from), (flow.address, Some(flow.listen)));
    assert!(target.is_flow && route.is_empty(), "{route}");
    let two = path.replace(">\r\n", ">, <sip:10.9.9.9;lr>\r\n");
    registrar.register(2, &format!("{two}{PHONE}"));
    let (target, route) = registrar.target("sip:alice@example.com");
    assert_eq!((target.next_hop, route.as_str()), (flow.address, "<sip:10.9.9.9;lr>"));
    // One that we did not give leads nowhere.
    registrar.register(3, &format!("{}{PHONE}", path.replace("tlp", "tlpc")));
    assert_eq!(registrar.locate("sip:alice@example.com").0, Located::NotRegistered);
}

/// RFC 5627 sections 5.1 to 5.3.
#[test]
fn gruus_lead_to_their_instance_until_it_goes() {
    let mut registrar = Registrar::new();
    let two = "Supported: gruu\r\nContact: <sip:a@192.0.2.7>;+sip.instance=\"<urn:uuid:1>\"\r\n\
               Contact: <sip:a@192.0.2.8>;+sip.instance=\"<urn:uuid:2>\"\r\nContact: <sip:a@192.0.2.9>\r\n";
    let answer = registrar.register(1, two);
    let of = |answer: &str, name: &str, contact: &str| {
        let line = answer.lines().find(|line| line.contains(contact)).unwrap();
        let start = line.find(name).unwrap() + name.len() + 2;
        line[start..].split('"').next().unwrap().to_owned()
    };
    let public = of(&answer, "pub-gruu", "192.0.2.8");
    assert_eq!(public, "sip:alice@example.com;gr=urn:uuid:2");
    let temporary = of(&answer, "temp-gruu", "192.0.2.8");
    assert!(temporary.starts_with("sip:tgruu.") && temporary.ends_with("@example.com;gr"));
    assert!(!temporary.contains("alice"));
    let contact = vec!["sip:a@192.0.2.8".to_owned()];
    assert_eq!(registrar.locate(&public), (Located::Found, contact.clone()));
    assert_eq!(registrar.locate(&temporary), (Located::Found, contact.clone()));
    // Each REGISTER has a new one, and the old one stays good.
    let answer = registrar.register(2, two);
    let next = of(&answer, "temp-gruu", "192.0.2.8");
    assert_ne!(temporary, next);
    assert_eq!(registrar.locate(&temporary).1, contact);
    // With another Call-ID the old ones end.
    let (_, answer) = registrar.send(&register("alice", "b", 1, two), None);
    assert_eq!(registrar.locate(&temporary).0, Located::NotRegistered);
    assert_eq!(registrar.locate(&of(&answer, "temp-gruu", "192.0.2.8")).1, contact);
    for forged in ["sip:tgruu.AAAA@example.com;gr", "sip:alice@example.com;gr"] {
        assert_eq!(registrar.locate(forged).0, Located::Unknown, "{forged}");
    }
    assert_eq!(registrar.locate("sip:alice@example.com;gr=urn:uuid:3").0, Located::NotRegistered);
}

/// A Contact that names another address than the source is reached by the source.
#[test]
fn who_is_behind_nat_is_reached_where_it_registers_from() {
    let contact = "Contact: <sip:alice@10.9.9.9:5070>\r\n";
    for (nat, is_flow) in [(Nat::Auto, true), (Nat::Always, true), (Nat::Never, false)] {
        let mut registrar = Registrar::with(|settings| settings.nat = nat);
        registrar.register(1, contact);
        let (target, _) = registrar.target("sip:alice@example.com");
        let expected = if is_flow { "192.0.2.7:5060" } else { "10.9.9.9:5070" };
        assert_eq!((target.next_hop, target.is_flow), (expected.parse().unwrap(), is_flow));
        // By a proxy it is not behind NAT.
        let answer = registrar.register(2, &format!("Path: <sip:10.0.0.8;lr>\r\n{contact}"));
        assert_eq!(status(&answer), "200 OK");
        let (target, _) = registrar.target("sip:alice@example.com");
        assert_eq!((target.next_hop, target.is_flow), ("10.0.0.8:5060".parse().unwrap(), false));
    }
    let mut registrar = Registrar::with(|settings| settings.nat = Nat::Auto);
    registrar.register(1, PHONE);
    assert!(!registrar.target("sip:alice@example.com").0.is_flow);
    registrar.register(2, "Contact: <sip:alice@phone.invalid>\r\n");
    assert_eq!(registrar.locate("sip:alice@example.com").1.len(), 2);
}

#[test]
fn bindings_behind_nat_are_kept_alive_until_they_are_over() {
    for keepalive in [KeepAlive::Crlf, KeepAlive::Options, KeepAlive::Off] {
        let mut registrar = Registrar::with(|settings| {
            (settings.keepalive, settings.keepalive_s) = (keepalive, 20);
        });
        registrar.register(1, "Contact: <sip:alice@10.9.9.9>;expires=70\r\n");
        registrar.send(&register("bob", "b", 1, &PHONE.replace("7>", "7>;expires=70")), None);
        let mut sent = Vec::new();
        for second in 0..100 {
            registrar.location.set_time(NOW_MS + second * 1_000, UNIX_MS + second * 1_000);
            while registrar.location.expire(64, &registrar.tables) {}
            while let Some(message) = registrar.location.outbox().take() {
                assert_eq!(message.target, "192.0.2.7:5060".parse().unwrap());
                sent.push(String::from_utf8(message.message.to_vec()).unwrap());
            }
        }
        let expected = if keepalive == KeepAlive::Off { 0 } else { 3 };
        assert_eq!(sent.len(), expected);
        if keepalive == KeepAlive::Options {
            let mut headers = Headers::default();
            assert!(parse(sent[0].as_bytes(), &mut headers).is_ok(), "{}", sent[0]);
            answers_are_known(&mut registrar, &sent[0]);
        }
        let counts = registrar.location.counts();
        assert_eq!((counts.bindings, counts.expired, counts.waiting), (0, 2, 2));
    }
}

/// The answer to a keep-alive is counted; what looks like one is not.
fn answers_are_known(registrar: &mut Registrar, options: &str) {
    let answer = options
        .replace("OPTIONS sip:alice@10.9.9.9 SIP/2.0", "SIP/2.0 200 OK")
        .replace("OPTIONS sip:bob@192.0.2.7 SIP/2.0", "SIP/2.0 200 OK")
        .replace(";rport", ";rport=5060;received=10.0.0.1");
    let mut take = |answer: &str| {
        let mut headers = Headers::default();
        let Ok(Message::Response(response)) = parse(answer.as_bytes(), &mut headers) else {
            panic!("{answer}")
        };
        registrar.location.take_keepalive_answer(&response, &registrar.tables)
    };
    assert!(take(&answer), "{answer}");
    assert!(!take(&answer.replace("branch=z9hG4bK-tlk", "branch=z9hG4bK-tlk0")));
    assert!(!take(&answer.replace("SIP/2.0 200 OK", "SIP/2.0 100 Trying")));
    assert!(!take(&answer.replace("From:", "Via: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bKx\r\nFrom:")));
    assert!(!take(&answer.replace("UDP 10.0.0.1:5060", "UDP 10.0.0.2:5060")));
    assert_eq!(registrar.location.counts().keepalives_answered, 1);
}
