//! Transactions over connections: what the transport repeats itself is not repeated, and messages say what they go
//! over.

use super::proxy::{CALLER, Proxy, kinds, only, request, settings};
use sip_core::{Fork, ListenId, ListenPoint, Settings, Transport};

/// Callers by `caller`, the other side by `callee`.
fn over(caller: Transport, callee: Transport) -> Settings {
    let mut settings = settings(Fork::No);
    for (index, transport) in [caller, callee].into_iter().enumerate() {
        let address = settings.listen[index].address;
        settings.listen[index].transport = transport;
        // Both have UDP, too, as most do.
        if transport.is_connection() {
            settings.listen.push(ListenPoint::udp(address));
        }
    }
    settings.sets[0].members.iter_mut().for_each(|member| member.transport = callee);
    settings.sets[0].members.truncate(1);
    settings
}

#[test]
fn a_caller_with_a_connection_is_found_by_it() {
    let mut proxy = Proxy::new(&over(Transport::Tcp, Transport::Tls));
    let mut invite = request("INVITE", "c").replace("SIP/2.0/UDP", "SIP/2.0/TCP");
    invite = invite.replace(";rport", "");
    let sent = proxy.receive(CALLER, &invite);
    assert_eq!(only(&sent, "100").to, CALLER);
    let invite = only(&sent, "INVITE");
    assert!(invite.text.contains("Via: SIP/2.0/TLS 10.77.2.1:5060;branch="), "{}", invite.text);
    let came = CALLER.rsplit_once(':').unwrap();
    let marked = format!(";received={};rport={}", came.0, came.1);
    assert!(invite.text.contains(&marked), "{}", invite.text);
    let routes: Vec<_> =
        invite.text.lines().filter(|line| line.starts_with("Record-Route: ")).collect();
    assert!(routes[0].starts_with("Record-Route: <sip:10.77.2.1:5060;transport=tls;lr;tl="));
    assert!(routes[1].starts_with("Record-Route: <sip:10.77.1.1:5060;transport=tcp;lr;tl="));
    // The flow of the caller stands beneath them (RFC 5626 section 5.3.2).
    assert!(routes[2].starts_with("Record-Route: <sip:tlf0a4d0102"), "{routes:?}");
    let ok = proxy.receive(&invite.to, &invite.response("200 OK"));
    assert_eq!(only(&ok, "200").to, CALLER);
}

#[test]
fn rfc5923_over_tls_our_via_says_alias() {
    for (transport, says) in [(Transport::Tls, true), (Transport::Tcp, false)] {
        let mut proxy = Proxy::new(&over(Transport::Udp, transport));
        let sent = proxy.receive(CALLER, &request("INVITE", "c"));
        let invite = only(&sent, "INVITE");
        let via = invite.text.lines().find(|line| line.starts_with("Via: ")).unwrap();
        assert_eq!(via.ends_with(";alias"), says, "{via}");
        let ok = proxy.receive(&invite.to, &invite.response("200 OK"));
        assert_eq!(only(&ok, "200").to, CALLER);
    }
}

#[test]
fn secure_websocket_is_websocket_in_a_uri() {
    let mut proxy = Proxy::new(&over(Transport::Wss, Transport::Udp));
    let invite = request("INVITE", "c").replace("SIP/2.0/UDP", "SIP/2.0/WSS");
    let sent = proxy.receive(CALLER, &invite);
    let text = &only(&sent, "INVITE").text;
    let mut routes = text.lines().filter(|line| line.starts_with("Record-Route: "));
    assert!(routes.next().is_some_and(|line| line.contains("<sip:10.77.2.1:5060;lr;")), "{text}");
    assert!(
        routes.all(|line| line.contains("@10.77.1.1:5060;transport=ws;lr")
            || line.contains("<sip:10.77.1.1:5060;transport=ws;lr;")),
        "{text}"
    );
}

#[test]
fn over_a_connection_nothing_is_sent_twice() {
    let mut proxy = Proxy::new(&over(Transport::Udp, Transport::Tcp));
    let invite = only(&proxy.receive(CALLER, &request("INVITE", "c")), "INVITE").clone();
    let sent = proxy.wait(32_100);
    assert_eq!(sent.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [32_000], "timer B");
    assert_eq!(sent[0].1.kind(), "408");
    assert!(invite.text.contains("Via: SIP/2.0/TCP "), "{}", invite.text);

    let mut proxy = Proxy::new(&over(Transport::Wss, Transport::Udp));
    let invite = only(&proxy.receive(CALLER, &request("INVITE", "c")), "INVITE").clone();
    let busy = proxy.receive(&invite.to, &invite.response("486 Busy Here"));
    assert_eq!(kinds(&busy), ["486", "ACK"]);
    assert_eq!(proxy.wait(40_000), [], "no timer G");
    assert_eq!(proxy.counts().alive, 0);
}

/// RFC 3261 section 17.2.2: timers J and K are 0, so the whole transaction ends with the response that it passes on.
#[test]
fn the_response_that_ends_a_transaction_goes_upstream() {
    let mut proxy = Proxy::new(&over(Transport::Tcp, Transport::Tcp));
    for (method, response) in [("OPTIONS", "200 OK"), ("MESSAGE", "486 Busy Here")] {
        let sent = proxy.receive(CALLER, &request(method, "c"));
        let forwarded = only(&sent, method).clone();
        let answer = proxy.receive(&forwarded.to, &forwarded.response(response));
        assert_eq!(only(&answer, &response[..3]).to, CALLER);
        assert_eq!(proxy.counts().alive, 0);
    }
}

/// RFC 3261 section 18.1.1.
#[test]
fn a_large_request_goes_over_tcp_where_that_is_taken() {
    let mut settings = over(Transport::Udp, Transport::Udp);
    let address = settings.listen[1].address;
    settings.listen.push(ListenPoint { address, transport: Transport::Tcp });
    settings.sets[0].members[0].large_over_tcp = true;
    let mut proxy = Proxy::new(&settings);
    let route = |proxy: &Proxy, request: &str| proxy.transport_of(request);
    let small = request("INVITE", "c");
    let large = small.replace("\r\n\r\n", &format!("\r\nSubject: {}\r\n\r\n", "x".repeat(1_000)));
    assert_eq!(route(&proxy, &small), Transport::Udp);
    assert_eq!(route(&proxy, &large), Transport::Tcp);
    settings.sets[0].members[0].large_over_tcp = false;
    proxy = Proxy::new(&settings);
    assert_eq!(route(&proxy, &large), Transport::Udp);
}

/// The same section: a member that turns out not to take TCP gets it by UDP.
#[test]
fn a_large_request_goes_by_udp_where_tcp_is_refused() {
    let mut settings = over(Transport::Udp, Transport::Udp);
    let address = settings.listen[1].address;
    settings.listen.push(ListenPoint { address, transport: Transport::Tcp });
    settings.sets[0].members[0].large_over_tcp = true;
    let mut proxy = Proxy::new(&settings);
    proxy.ways.tcp = Some(ListenId(2));
    let padding = format!("\r\nSubject: {}\r\n\r\n", "x".repeat(1_000));
    let large = request("INVITE", "c").replace("\r\n\r\n", &padding);
    let first = only(&proxy.receive(CALLER, &large), "INVITE").clone();
    assert!(first.text.contains("Via: SIP/2.0/TCP 10.77.2.1:5060;"), "{}", first.text);
    let again = proxy.unreachable(&first.text);
    assert_eq!(kinds(&again), ["INVITE"]);
    assert_eq!(again[0].to, first.to);
    let text = &again[0].text;
    assert!(text.contains("Via: SIP/2.0/UDP 10.77.2.1:5060;") && !text.contains("/TCP"), "{text}");
    assert!(!text.contains("transport=tcp"), "{text}");
    // Nobody there by UDP either.
    assert_eq!(kinds(&proxy.unreachable(text)), ["500"]);
    assert_eq!(proxy.unreachable(&first.text), []);
}
