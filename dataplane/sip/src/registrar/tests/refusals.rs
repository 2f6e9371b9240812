//! What the registrar refuses.

use super::*;

#[test]
fn what_is_not_for_us_is_refused() {
    let mut registrar = Registrar::new();
    let to = |uri: &str| {
        register("alice", "a", 1, PHONE)
            .replace("To: <sip:alice@example.com>", &format!("To: {uri}"))
    };
    for (uri, expected) in [
        ("<sip:alice@example.net>", "404"),
        ("<sip:example.com>", "404"),
        ("<tel:+1201555>", "404"),
        ("<sip:alice@>", "400"),
    ] {
        let (_, answer) = registrar.send(&to(uri), None);
        assert!(status(&answer).starts_with(expected), "{uri} {answer}");
    }
    let answer = registrar.register(1, &format!("Require: path, 100rel, foo\r\n{PHONE}"));
    assert_eq!(status(&answer), "420 Bad Extension");
    assert!(answer.contains("Unsupported: 100rel, foo\r\n"), "{answer}");
    for contact in [
        "<mailto:a@b.c>",
        "<sip:a@192.0.2.7?Subject=x>",
        "<sip:a@192.0.2.7>;q=2",
        "<sip:>",
        "<sip:a@192.0.2.7>, <sip:a@192.0.2.7>",
        "<sip:alice@example.com;gr=urn:x>",
    ] {
        let answer = registrar.register(1, &format!("Contact: {contact}\r\n"));
        assert!(status(&answer).starts_with("40"), "{contact} {answer}");
    }
    assert_eq!(registrar.location.counts().aors, 0);
}

/// RFC 3261 section 10.3 step 4: nobody registers for somebody else.
#[test]
fn the_proved_user_must_be_that_of_the_aor() {
    let mut registrar = Registrar::new();
    let message = register("alice", "a", 1, PHONE);
    for (user, expected) in [
        ("bob", "403"),
        ("alice@example.net", "403"),
        ("", "403"),
        ("alice", "200"),
        ("alice@example.com", "200"),
    ] {
        let (_, answer) = registrar.send(&message, Some(user));
        assert!(status(&answer).starts_with(expected), "{user} {answer}");
    }
}

#[test]
fn limits_hold_for_aors_and_sources() {
    let mut registrar = Registrar::with(|settings| {
        (settings.contacts_per_aor, settings.aors_per_source) = (2, 2);
    });
    registrar.register(1, "Contact: <sip:a@192.0.2.7>, <sip:a@192.0.2.8>\r\n");
    let answer = registrar.register(2, "Contact: <sip:a@192.0.2.9>\r\n");
    assert!(status(&answer).starts_with("403"), "{answer}");
    // One goes, one comes.
    let answer =
        registrar.register(3, "Contact: <sip:a@192.0.2.9>, <sip:a@192.0.2.8>;expires=0\r\n");
    assert_eq!(status(&answer), "200 OK");
    let (_, answer) = registrar.send(&register("bob", "b", 1, PHONE), None);
    assert_eq!(status(&answer), "200 OK");
    let (_, answer) = registrar.send(&register("carol", "c", 1, PHONE), None);
    assert!(status(&answer).starts_with("403"), "{answer}");
    assert_eq!(registrar.location.counts().over_limit, 2);
}

#[test]
fn without_room_nothing_changes() {
    let mut registrar = Registrar::new();
    for user in 0..64 {
        let (_, answer) = registrar.send(&register(&format!("u{user}"), "a", 1, PHONE), None);
        assert_eq!(status(&answer), "200 OK");
    }
    let answer = registrar.register(1, PHONE);
    assert!(answer.starts_with("SIP/2.0 503") && answer.contains("Retry-After: 5\r\n"), "{answer}");
    // Those that are there are refreshed.
    let (_, answer) = registrar.send(&register("u7", "a", 2, PHONE), None);
    assert_eq!(status(&answer), "200 OK");
    assert_eq!(registrar.location.counts().refused_full, 1);
}

#[test]
fn nothing_is_answered_before_all_is_loaded() {
    let mut registrar = Registrar::new();
    let sizes = LocationSizes { aors: 8, bindings: 8, text_blocks: 64 };
    registrar.location = Location::new(sizes, 0, 1, [1; 16]);
    assert!(registrar.register(1, PHONE).starts_with("SIP/2.0 503"));
    assert_eq!(registrar.locate("sip:alice@example.com").0, Located::Loading);
}
