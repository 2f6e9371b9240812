//! Requests that go to the bindings of a user (RFC 3261 section 16.5, RFC 5626 section 5.3).

use super::proxy::{CALLER, Proxy, Sent, kinds, only, request, settings};
use sip_core::{Action, Fork, Rule, Settings};

const PHONES: [&str; 3] = ["10.77.2.2:5060", "10.77.2.3:5060", "10.77.2.4:5060"];

fn proxy() -> Proxy {
    let rules = vec![Rule::always(Action::Register), Rule::always(Action::Locate)];
    Proxy::new(&Settings { rules, ..settings(Fork::No) })
}

/// Bob registers `contact` from a phone, with more header lines.
fn register(proxy: &mut Proxy, phone: &str, contact: &str, lines: &str) {
    let text = format!(
        "REGISTER sip:example.com SIP/2.0\r\n\
         Via: SIP/2.0/UDP {phone};branch=z9hG4bK{contact_hash};rport\r\n\
         From: <sip:bob@example.com>;tag=r\r\nTo: <sip:bob@example.com>\r\n\
         Call-ID: register-{phone}\r\nCSeq: 1 REGISTER\r\nMax-Forwards: 70\r\n\
         Contact: {contact}\r\n{lines}Content-Length: 0\r\n\r\n",
        contact_hash = phone.replace([':', '.'], ""),
    );
    let sent = proxy.receive(phone, &text);
    assert_eq!(kinds(&sent), ["200"], "{sent:#?}");
}

fn to<'a>(sent: &'a [Sent], phone: &str) -> &'a Sent {
    sent.iter().find(|one| one.to == phone).unwrap_or_else(|| panic!("none to {phone}: {sent:#?}"))
}

#[test]
fn bindings_of_the_same_q_ring_together_and_lower_ones_later() {
    let mut proxy = proxy();
    for (phone, q) in PHONES.iter().zip(["1.0", "1.0", "0.5"]) {
        register(&mut proxy, phone, &format!("<sip:bob@{phone};line=1>;q={q}"), "");
    }
    let sent = proxy.receive(CALLER, &request("INVITE", "c"));
    assert_eq!(kinds(&sent), ["INVITE", "100", "INVITE"]);
    for phone in &PHONES[..2] {
        let line = format!("INVITE sip:bob@{phone};line=1 SIP/2.0\r\n");
        assert!(to(&sent, phone).text.starts_with(&line));
    }
    let busy = to(&sent, PHONES[0]).response("486 Busy Here");
    assert_eq!(kinds(&proxy.receive(PHONES[0], &busy)), ["ACK"]);
    let busy = to(&sent, PHONES[1]).response("486 Busy Here");
    let next = proxy.receive(PHONES[1], &busy);
    let ringing = only(&next, "INVITE");
    assert_eq!(ringing.to, PHONES[2]);
    let answered = proxy.receive(PHONES[2], &ringing.response("200 OK"));
    assert_eq!(kinds(&answered), ["200"]);
}

#[test]
fn of_an_instance_one_flow_is_asked_and_another_when_that_is_gone() {
    for (status, asks_another) in [("430 Flow Failed", true), ("486 Busy Here", false)] {
        let mut proxy = proxy();
        for (phone, id) in PHONES[..2].iter().zip(1..) {
            let instance = "+sip.instance=\"<urn:uuid:0>\"";
            let contact = format!("<sip:bob@10.77.2.9;ob>;{instance};reg-id={id}");
            register(&mut proxy, phone, &contact, "Supported: outbound, path\r\n");
            proxy.wait(2_000);
        }
        let sent = proxy.receive(CALLER, &request("INVITE", "c"));
        // The newest flow is asked.
        let first = only(&sent, "INVITE");
        assert_eq!(first.to, PHONES[1]);
        let next = proxy.receive(PHONES[1], &first.response(status));
        let another = next.iter().find(|one| one.kind() == "INVITE");
        assert_eq!(another.map(|one| &*one.to), asks_another.then_some(PHONES[0]), "{next:#?}");
    }
}

#[test]
fn a_silent_flow_is_given_up_for_another() {
    let mut proxy = proxy();
    for (phone, id) in PHONES[..2].iter().zip(1..) {
        let contact = format!("<sip:bob@10.77.2.9;ob>;+sip.instance=\"<urn:uuid:0>\";reg-id={id}");
        register(&mut proxy, phone, &contact, "Supported: outbound, path\r\n");
        proxy.wait(2_000);
    }
    assert_eq!(only(&proxy.receive(CALLER, &request("INVITE", "c")), "INVITE").to, PHONES[1]);
    let later = proxy.wait(4_100);
    assert!(later.iter().any(|(at, one)| one.to == PHONES[0] && *at >= 4_000), "{later:#?}");
}

#[test]
fn a_dialog_finds_back_to_both_clients_behind_nat() {
    let mut proxy = proxy();
    let (phone, caller) = ("10.77.2.2:40000", "10.77.1.2:50000");
    register(&mut proxy, phone, "<sip:bob@192.168.0.5:5060>", "");
    let invite = request("INVITE", "c").replace("UDP 10.77.1.2:5060", "UDP 192.168.7.7:5060;rport");
    let sent = proxy.receive(caller, &invite);
    let ringing = only(&sent, "INVITE");
    assert_eq!(ringing.to, phone);
    let routes: Vec<&str> =
        ringing.text.lines().filter_map(|line| line.strip_prefix("Record-Route: ")).collect();
    assert_eq!(routes.len(), 4, "{routes:?}");
    let set: Vec<String> = routes.iter().rev().map(|one| format!("Route: {one}\r\n")).collect();
    let bye = request("BYE", "c")
        .replace("sip:bob@example.com SIP", "sip:bob@192.168.0.5:5060 SIP")
        .replace("Max-Forwards", &(set.concat() + "Max-Forwards"));
    let left = proxy.receive(caller, &bye);
    assert_eq!(only(&left, "BYE").to, phone);
    assert!(!only(&left, "BYE").text.contains("Route: <sip:tlf"));
    let set: Vec<String> = routes.iter().map(|one| format!("Route: {one}\r\n")).collect();
    let other_way = request("BYE", "c")
        .replace("z9hG4bKc", "z9hG4bKphone")
        .replace("UDP 10.77.1.2:5060", "UDP 192.168.0.5:5060;rport")
        .replace("sip:bob@example.com SIP", "sip:alice@192.168.7.7:5060 SIP")
        .replace("Max-Forwards", &(set.concat() + "Max-Forwards"));
    assert_eq!(only(&proxy.receive(phone, &other_way), "BYE").to, caller);
}

#[test]
fn a_path_becomes_the_route() {
    let mut proxy = proxy();
    let lines = "Path: <sip:10.77.2.9:5070;lr>\r\nSupported: path\r\n";
    register(&mut proxy, PHONES[0], "<sip:bob@192.168.0.5>;q=0.9", lines);
    register(&mut proxy, PHONES[1], &format!("<sip:bob@{}>;q=0.1", PHONES[1]), "");
    let sent = proxy.receive(CALLER, &request("INVITE", "c"));
    let first = only(&sent, "INVITE");
    assert_eq!((&*first.to, first.header("Route")), ("10.77.2.9:5070", "<sip:10.77.2.9:5070;lr>"));
    assert!(first.text.starts_with("INVITE sip:bob@192.168.0.5 SIP/2.0\r\n"));
    let next = proxy.receive("10.77.2.9:5070", &first.response("486 Busy Here"));
    let second = only(&next, "INVITE");
    assert_eq!(second.to, PHONES[1]);
    assert!(!second.text.contains("\r\nRoute:"), "{}", second.text);
}

/// RFC 5626 section 6: a network error takes the binding away; with none left the user is not there.
#[test]
fn when_no_flow_is_left_the_caller_hears_480() {
    for by_icmp in [false, true] {
        let mut proxy = proxy();
        for (phone, id) in PHONES[..2].iter().zip(1..) {
            let contact =
                format!("<sip:bob@10.77.2.9;ob>;+sip.instance=\"<urn:uuid:0>\";reg-id={id}");
            register(&mut proxy, phone, &contact, "Supported: outbound, path\r\n");
            proxy.wait(2_000);
        }
        let lose = |proxy: &mut Proxy, one: &Sent| {
            if by_icmp {
                return proxy.unreachable(&one.text);
            }
            proxy.receive(&one.to, &one.response("430 Flow Failed"))
        };
        let first = only(&proxy.receive(CALLER, &request("INVITE", "c")), "INVITE").clone();
        let second = only(&lose(&mut proxy, &first), "INVITE").clone();
        assert_eq!(proxy.location.counts().bindings, 1);
        let told = lose(&mut proxy, &second);
        assert_eq!(only(&told, "480").to, CALLER, "{told:#?}");
        let counts = proxy.location.counts();
        assert_eq!((counts.bindings, counts.flows_failed), (0, 2));
    }
}

/// What others say of the user counts for more than a flow that is no more.
#[test]
fn a_refusal_counts_for_more_than_a_lost_flow() {
    let mut proxy = proxy();
    for (phone, id) in PHONES[..2].iter().zip(1..) {
        let contact = format!("<sip:bob@10.77.2.9>;+sip.instance=\"<urn:uuid:{id}>\";reg-id=1");
        register(&mut proxy, phone, &contact, "Supported: outbound\r\n");
    }
    let sent = proxy.receive(CALLER, &request("INVITE", "c"));
    let busy = to(&sent, PHONES[0]).response("486 Busy Here");
    assert_eq!(kinds(&proxy.receive(PHONES[0], &busy)), ["ACK"]);
    let lost = to(&sent, PHONES[1]).response("430 Flow Failed");
    assert_eq!(only(&proxy.receive(PHONES[1], &lost), "486").to, CALLER);
    assert_eq!(proxy.location.counts().bindings, 1);
}

/// RFC 5626 section 5.3: an edge proxy names the flow of its client that has failed.
#[test]
fn the_flow_of_an_edge_proxy_is_forgotten_by_its_path() {
    let mut proxy = proxy();
    for (phone, id) in PHONES[..2].iter().zip(1..) {
        let contact = format!("<sip:bob@192.168.0.5>;+sip.instance=\"<urn:uuid:0>\";reg-id={id}");
        let path =
            format!("Path: <sip:flow{id}@10.77.2.9:5070;lr;ob>\r\nSupported: outbound, path\r\n");
        register(&mut proxy, phone, &contact, &path);
        proxy.wait(2_000);
    }
    let first = only(&proxy.receive(CALLER, &request("INVITE", "c")), "INVITE").clone();
    assert_eq!(first.header("Route"), "<sip:flow2@10.77.2.9:5070;lr;ob>");
    let next = proxy.receive(&first.to, &first.response("430 Flow Failed"));
    let second = only(&next, "INVITE").clone();
    assert_eq!(second.header("Route"), "<sip:flow1@10.77.2.9:5070;lr;ob>");
    assert_eq!(proxy.location.counts().bindings, 1);
    // That the edge proxy is away says nothing of its flows.
    assert_eq!(only(&proxy.unreachable(&second.text), "480").to, CALLER);
    assert_eq!(proxy.location.counts().bindings, 1);
}
