//! As a client of overload control (RFC 7339): members say how many requests fewer they want, and get fewer.

use super::proxy::{CALLEES, CALLER, Proxy, Sent, kinds, only, request, settings};
use sip_core::{Fork, Member, MemberLoad, Owner, Settings};

const ASK: &str = ";oc;oc-algo=\"loss\"";

/// A proxy whose set has so many of the callees, each of which is asked.
fn asking(members: usize) -> Proxy {
    let mut settings = settings(Fork::No);
    settings.sets[0].overload_control = true;
    settings.sets[0].members.truncate(members);
    Proxy::new(&settings)
}

/// An answer to `invite` whose Via has `told` in place of the question.
fn telling(invite: &Sent, status: &str, told: &str) -> String {
    invite.response(status).replacen(ASK, told, 1)
}

/// Has the callee at `to` say `told` in an answer to some call.
fn tell(proxy: &mut Proxy, to: &str, told: &str) {
    for call in 0..100 {
        let sent = proxy.receive(
            CALLER,
            &request("OPTIONS", &format!("tell{call}at{}", proxy.counts().opened)),
        );
        if let Some(asked) = sent.iter().find(|one| one.to == to) {
            let answered = proxy.receive(to, &telling(asked, "200 OK", told));
            assert_eq!(kinds(&answered), ["200"]);
            assert!(!answered[0].text.contains("oc="), "{}", answered[0].text);
            return;
        }
    }
    panic!("nothing goes to {to}");
}

/// Where `count` new requests of this method went: to each of the callees, and to nobody.
fn spread(proxy: &mut Proxy, method: &str, count: usize) -> ([usize; 3], usize) {
    let (mut to, mut refused) = ([0; 3], 0);
    for call in 0..count {
        let call = format!("{method}{call}at{}", proxy.now_ms);
        let sent = proxy.receive(CALLER, &request(method, &call));
        if let Some(one) = sent.iter().find(|one| one.to != CALLER) {
            to[CALLEES.iter().position(|at| *at == one.to).unwrap()] += 1;
            proxy.receive(&one.to, &one.response("486 Busy Here"));
            if method == "INVITE" {
                proxy.receive(CALLER, &request("ACK", &call));
            }
        } else {
            let reply = only(&sent, "503");
            assert!(reply.text.starts_with("SIP/2.0 503 Destination Overloaded\r\n"));
            assert!(!reply.text.contains("Retry-After"), "{}", reply.text);
            refused += 1;
        }
    }
    (to, refused)
}

/// Room for all of them.
fn large(mut settings: Settings, members: usize) -> Proxy {
    settings.sets[0].overload_control = true;
    settings.sets[0].members.truncate(members);
    Proxy::sized(&settings, sip_core::TransactionSizes { transactions: 16_384, buffers: 131_072 })
}

#[test]
fn our_via_asks_and_comes_back_as_it_was_written_or_filled_in() {
    let mut proxy = asking(1);
    let sent = proxy.receive(CALLER, &request("INVITE", "c"));
    let invite = only(&sent, "INVITE");
    let via = invite.header("Via");
    assert!(via.ends_with(ASK) && via.matches("oc").count() == 2, "{via}");
    assert_eq!(kinds(&proxy.receive(&invite.to, &invite.response("180 Ringing"))), ["180"]);
    let filled = ";oc=20;oc-algo=\"loss\";oc-validity=1000;oc-seq=1.1;received=10.77.2.1";
    let answered = proxy.receive(&invite.to, &telling(invite, "183 Progress", filled));
    assert_eq!(kinds(&answered), ["183"]);
    // In one line with the Via beneath it.
    let theirs = "Via: SIP/2.0/UDP 10.77.1.2:5060;branch=z9hG4bKcINVITE\r\n";
    let separate = invite.response("183 Progress");
    let value = theirs.strip_prefix("Via: ").unwrap();
    let joined = separate.replace(theirs, "").replacen(ASK, &format!("{ASK}, {}", value.trim()), 1);
    assert_eq!(joined.matches("Via:").count(), 1, "{joined}");
    assert_eq!(kinds(&proxy.receive(&invite.to, &joined)), ["183"]);
    // ACK and CANCEL have the same Via (RFC 3261 sections 9.1, 17.1.1.3).
    let sent = proxy.receive(&invite.to, &invite.response("486 Busy Here"));
    assert_eq!(only(&sent, "ACK").header("Via"), via);
    let other = Proxy::new(&settings(Fork::No)).receive(CALLER, &request("INVITE", "c"));
    assert!(!only(&other, "INVITE").text.contains(";oc"), "nobody else is asked");
}

#[test]
fn what_one_member_does_not_want_goes_to_another_that_wants_all() {
    let mut proxy = large(settings(Fork::No), 2);
    let (to, _) = spread(&mut proxy, "INVITE", 1_000);
    assert!(to[0].abs_diff(500) < 60 && to[0] + to[1] == 1_000, "{to:?}");
    proxy.wait(1);
    tell(&mut proxy, CALLEES[0], ";oc=60;oc-algo=\"loss\";oc-validity=5000;oc-seq=7.5");
    let (to, refused) = spread(&mut proxy, "INVITE", 1_000);
    assert!(to[0].abs_diff(200) < 50, "{to:?}");
    assert_eq!((to[0] + to[1], refused), (1_000, 0));
    let place = proxy.tables.asked_members().find(|(_, at)| at.to_string() == CALLEES[0]).unwrap();
    let MemberLoad { percent, heard, diverted, refused, .. } =
        proxy.choices.member_load(place.0, place.1);
    assert_eq!((percent, heard, refused), (60, 1, 0));
    assert!(diverted.abs_diff(300) < 60, "{diverted}");
    // The other one, too: nobody is left to give anything to.
    tell(&mut proxy, CALLEES[1], ";oc=30;oc-algo=\"loss\";oc-validity=5000;oc-seq=7.5");
    let (to, refused) = spread(&mut proxy, "REGISTER", 1_000);
    assert!(to[0].abs_diff(200) < 50 && to[1].abs_diff(350) < 50, "{to:?} {refused}");
    // Less is wanted of one, and then no less of the other; each says so in its own time.
    tell(&mut proxy, CALLEES[1], ";oc=0;oc-validity=5000;oc-seq=7.6");
    tell(&mut proxy, CALLEES[0], ";oc=100;oc-seq=8.0");
    let (to, refused) = spread(&mut proxy, "SUBSCRIBE", 1_000);
    assert_eq!((to, refused), ([0, 1_000, 0], 0));
    // Without a validity it is half a second (section 4.3).
    proxy.wait(499);
    assert_eq!(spread(&mut proxy, "INVITE", 100).0[0], 0);
    proxy.wait(1);
    assert!(spread(&mut proxy, "INVITE", 100).0[0] > 20);
}

#[test]
fn only_what_opens_something_is_kept_back() {
    let mut proxy = asking(1);
    let invite = only(&proxy.receive(CALLER, &request("INVITE", "c")), "INVITE").clone();
    proxy.receive(&invite.to, &invite.response("180 Ringing"));
    tell(&mut proxy, CALLEES[0], ";oc=100;oc-algo=\"loss\";oc-validity=600000;oc-seq=1.0");
    let refused = proxy.receive(CALLER, &request("INVITE", "d"));
    assert_eq!(kinds(&refused), ["503"]);
    // A copy of what was sent before is known, its CANCEL goes there, and so does the end of a call.
    assert_eq!(kinds(&proxy.receive(CALLER, &request("INVITE", "c"))), ["180"]);
    let sent = proxy.receive(CALLER, &request("CANCEL", "c"));
    assert_eq!(only(&sent, "CANCEL").to, CALLEES[0]);
    for method in ["BYE", "INFO", "INVITE"] {
        let within = request(method, "e")
            .replace("<sip:bob@example.com>\r\n", "<sip:bob@example.com>;tag=9\r\n");
        let sent = proxy.receive(CALLER, &within);
        assert_eq!(only(&sent, method).to, CALLEES[0], "{method}");
    }
    // An ACK that no transaction knows goes the way of its INVITE.
    assert_eq!(kinds(&proxy.receive(CALLER, &request("ACK", "f"))), ["ACK"]);
    assert_eq!(kinds(&proxy.receive(CALLER, &request("MESSAGE", "g"))), ["503"]);
}

#[test]
fn nobody_else_can_say_what_a_member_wants() {
    let mut proxy = asking(1);
    let invite = only(&proxy.receive(CALLER, &request("INVITE", "c")), "INVITE").clone();
    let told = ";oc=100;oc-algo=\"loss\";oc-validity=600000;oc-seq=1.0";
    // From another address, and from the member's in a response to nothing that we sent.
    let ringing = telling(&invite, "180 Ringing", told);
    for other in ["10.77.2.3:5060", "10.77.2.2:5061"] {
        assert_eq!(kinds(&proxy.receive(other, &ringing)), ["180"]);
    }
    let forged = ringing.replacen("-tl20300", "-tl20301", 1);
    assert_ne!(forged, ringing);
    assert_eq!(proxy.owner(&forged), Owner::Forged);
    assert_eq!(spread(&mut proxy, "INVITE", 20), ([20, 0, 0], 0));
    // The Via of somebody else beneath ours says nothing to us.
    let beneath =
        invite.response("180 Ringing").replace("z9hG4bKcINVITE", &format!("z9hG4bKcINVITE{told}"));
    assert_eq!(kinds(&proxy.receive(&invite.to, &beneath)), ["180"]);
    proxy.wait(1);
    assert_eq!(spread(&mut proxy, "INVITE", 20), ([20, 0, 0], 0));
    proxy.receive(&invite.to, &ringing);
    proxy.wait(1);
    assert_eq!(spread(&mut proxy, "INVITE", 20), ([0, 0, 0], 20));
}

#[test]
fn a_set_asks_only_where_a_transaction_hears_the_answer() {
    let mut settings = settings(Fork::No);
    settings.sets[0].overload_control = true;
    settings.rules[0].relay = sip_core::Relay::Stateless;
    let error = sip_core::Tables::build(&settings).unwrap_err().to_string();
    assert!(
        error.starts_with("destination_sets[0].overload_control: only requests with"),
        "{error}"
    );
    // An address that is in two sets has one load.
    settings.rules[0].relay = sip_core::Relay::Stateful(Fork::No);
    let mut other = settings.sets[0].clone();
    other.name = "other".into();
    other.members.push(Member::new("10.77.2.9:5060".parse().unwrap()));
    settings.sets.push(other);
    settings.rules.push(sip_core::Rule {
        relay: sip_core::Relay::Stateful(Fork::No),
        ..sip_core::Rule::always(sip_core::Action::Forward("other".into()))
    });
    let tables = sip_core::Tables::build(&settings).unwrap();
    assert_eq!(tables.asked_members().count(), 4);
    assert!(tables.keeps_time() && tables.asks_members());
}
