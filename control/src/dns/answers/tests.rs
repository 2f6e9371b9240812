//! Questions against a name server on loopback.

use crate::dns::testing::{Mood, NameServer, ask, asked};
use control_api::{NameReply, Resolved};
use sip_core::Transport;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::sleep;

/// `address transport priority weight` of each address.
fn addresses(reply: &NameReply) -> Vec<String> {
    let Resolved::Found(all) = &reply.outcome else { return vec![format!("{:?}", reply.outcome)] };
    let line = |one: &control_api::ResolvedAddress| {
        let transport = Transport::of_number(one.transport).unwrap().name();
        format!("{} {transport} {} {}", one.address, one.priority, one.weight)
    };
    all.iter().map(line).collect()
}

#[tokio::test]
async fn naptr_srv_and_addresses_in_the_order_of_rfc_3263() {
    let server = NameServer::start().await;
    server.zone.set(
        300,
        &[
            "full.test NAPTR 20 0 \"s\" \"SIP+D2U\" \"\" _sip._udp.full.test",
            "full.test NAPTR 10 0 \"s\" \"SIP+D2T\" \"\" _sip._tcp.full.test",
            "full.test NAPTR 5 0 \"s\" \"SIPS+D2T\" \"\" _sips._tcp.full.test",
            "full.test NAPTR 1 0 \"u\" \"E2U+sip\" \"!x!y!\" .",
            "_sip._tcp.full.test SRV 1 1 5070 one.test",
            "_sip._udp.full.test SRV 7 30 5060 one.test",
            "_sip._udp.full.test SRV 7 10 5062 two.test",
            "_sip._udp.full.test SRV 2 0 5064 two.test",
            "one.test A 192.0.2.1",
            "two.test A 192.0.2.2",
            "two.test AAAA 2001:db8::2",
            "srv.test A 192.0.2.99",
            "_sip._udp.srv.test SRV 0 0 5080 one.test",
            "_sip._tcp.srv.test SRV 0 0 5080 two.test",
            "off.test A 192.0.2.99",
            "_sip._udp.off.test SRV 0 0 0 .",
        ],
    );
    let answers = server.answers(|_| {});
    let found = async |name: &str, port, transport| {
        addresses(&ask(&answers, asked(name, port, transport)).await)
    };
    // TLS is not spoken here; NAPTR prefers TCP; the two of one priority share by weight.
    let full = [
        "192.0.2.1:5070 tcp 0 1",
        "192.0.2.2:5064 udp 2 0",
        "[2001:db8::2]:5064 udp 3 0",
        "192.0.2.1:5060 udp 4 30",
        "192.0.2.2:5062 udp 4 5",
        "[2001:db8::2]:5062 udp 5 5",
    ];
    assert_eq!(found("full.test", 0, None).await, full);
    let srv = ["192.0.2.1:5080 udp 0 0", "192.0.2.2:5080 tcp 2 0", "[2001:db8::2]:5080 tcp 3 0"];
    assert_eq!(found("srv.test", 0, None).await, srv);
    assert_eq!(found("srv.test", 0, Some(Transport::Udp)).await, srv[..1]);
    assert_eq!(found("srv.test", 5060, None).await, ["192.0.2.99:5060 udp 0 0"]);
    assert_eq!(found("one.test", 0, None).await, ["192.0.2.1:5060 udp 0 0"]);
    assert_eq!(found("one.test", 0, Some(Transport::Tcp)).await, ["192.0.2.1:5060 tcp 0 0"]);
    assert_eq!(found("one.test", 0, Some(Transport::Tls)).await, ["192.0.2.1:5061 tls 0 0"]);
    // There is no such service, says the domain: its web server is not called.
    assert_eq!(found("off.test", 0, None).await, ["NoSuchName"]);
    assert_eq!(found("none.test", 0, None).await, ["NoSuchName"]);
    let status = answers.status();
    assert_eq!((status.questions, status.found, status.negative), (9, 7, 2));
}

#[tokio::test]
async fn answers_count_for_their_ttl_within_bounds() {
    let server = NameServer::start().await;
    server.zone.set(1, &["a.test A 192.0.2.1"]);
    let answers = server.answers(|dns| dns.ttl_max_seconds = 30);
    let question = || asked("a.test", 5060, None);
    let reply = ask(&answers, question()).await;
    assert!(reply.ttl_ms <= 1_000 && reply.ttl_ms > 900, "{reply:?}");
    server.zone.set(86_400, &["a.test A 192.0.2.2"]);
    let queries = server.zone.queries.load(Ordering::Relaxed);
    assert_eq!(addresses(&ask(&answers, question()).await), ["192.0.2.1:5060 udp 0 0"]);
    assert_eq!(server.zone.queries.load(Ordering::Relaxed), queries, "it is remembered");
    sleep(Duration::from_millis(1_100)).await;
    let reply = ask(&answers, question()).await;
    assert_eq!(addresses(&reply), ["192.0.2.2:5060 udp 0 0"]);
    assert!(reply.ttl_ms <= 30_000 && reply.ttl_ms > 29_000, "{reply:?}");
    let none = ask(&answers, asked("none.test", 5060, None)).await;
    assert_eq!((&none.outcome, none.ttl_ms), (&Resolved::NoSuchName, 2_000), "as its SOA says");
    assert_eq!(answers.status().hits, 1);
}

#[tokio::test]
async fn an_old_answer_serves_while_no_server_says_anything() {
    let server = NameServer::start().await;
    server.zone.set(1, &["a.test A 192.0.2.1"]);
    let answers = server.answers(|_| {});
    let question = || asked("a.test", 5060, None);
    ask(&answers, question()).await;
    sleep(Duration::from_millis(1_100)).await;
    for mood in [Mood::Silent, Mood::Ill] {
        server.zone.set_mood(mood);
        let reply = ask(&answers, question()).await;
        assert_eq!(addresses(&reply), ["192.0.2.1:5060 udp 0 0"]);
        assert_eq!(reply.ttl_ms, 30_000);
        let failed = ask(&answers, asked("b.test", 5060, None)).await;
        assert_eq!(failed.outcome, Resolved::Failed);
    }
    let status = answers.status();
    assert_eq!((status.stale, status.failed), (2, 2));
    assert!(!status.trouble.is_empty());
    server.zone.set_mood(Mood::Well);
    server.zone.set(1, &["b.test A 192.0.2.1"]);
    assert_eq!(ask(&answers, question()).await.outcome, Resolved::NoSuchName, "no failure");
}

#[tokio::test]
async fn nothing_is_stale_where_that_is_not_wanted() {
    let server = NameServer::start().await;
    server.zone.set(1, &["a.test A 192.0.2.1"]);
    let answers = server.answers(|dns| dns.stale_seconds = 0);
    ask(&answers, asked("a.test", 5060, None)).await;
    sleep(Duration::from_millis(1_100)).await;
    server.zone.set_mood(Mood::Silent);
    assert_eq!(ask(&answers, asked("a.test", 5060, None)).await.outcome, Resolved::Failed);
}
