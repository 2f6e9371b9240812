//! Digest authentication between a phone and the appliance: RFC 3261 section 22, RFC 7616, RFC 8760.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{from_uac, headers, settings, text};
use md5::{Digest as _, Md5};
use sha2::Sha256;
use sip_core::{
    Action, Arrival, AuthSettings, Authenticated, Choices, Credentials, CredentialsBuilder, Demand,
    Digest, DigestAlgorithm, DigestSizes, EditList, Headers, ListenId, Message, Output,
    RequestRoute, Rule, Settings, Share, Tables, consume_credentials, parse, rewrite_request,
    route_request,
};

const REALM: &str = "example.com";
const SECRET: [u8; 16] = *b"fedcba9876543210";

/// The appliance, with the users alice and bob.
struct Appliance {
    tables: Tables,
    digest: Digest,
    credentials: Credentials,
    now_ms: u64,
}

fn hash(algorithm: DigestAlgorithm, text: &str) -> String {
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap();
    let hex = |bytes: &[u8]| {
        bytes.iter().flat_map(|byte| [byte >> 4, byte & 15].map(digit)).collect::<String>()
    };
    match algorithm {
        DigestAlgorithm::Md5 => hex(&Md5::digest(text)),
        DigestAlgorithm::Sha256 => hex(&Sha256::digest(text)),
    }
}

fn users(with_sha256: bool) -> Credentials {
    let mut builder = CredentialsBuilder::new(&SECRET, 0);
    builder.realm(REALM);
    for user in ["alice", "bob", "q\"uote"] {
        let ha1 = format!("{user}:{REALM}:{user}'s secret");
        let sha256 = with_sha256.then(|| Sha256::digest(&ha1).into());
        builder.user(user.as_bytes(), Some(Md5::digest(&ha1).into()), sha256).unwrap();
    }
    builder.finish().unwrap()
}

impl Appliance {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut AuthSettings)) -> Self {
        let rule = |action| Rule { auth: Some(REALM.into()), ..Rule::always(action) };
        let mut settings = Settings {
            rules: vec![rule(Action::Register), rule(Action::Forward("uas".into()))],
            ..settings()
        };
        settings.auth.realms = vec![REALM.into()];
        change(&mut settings.auth);
        let sizes = DigestSizes { nonces: 1_000, failures: 100 };
        let mut appliance = Self {
            tables: Tables::build(&settings).unwrap(),
            digest: Digest::new(sizes, 0, &SECRET),
            credentials: users(true),
            now_ms: 0,
        };
        appliance.pass(1_000_000);
        appliance
    }

    fn pass(&mut self, ms: u64) {
        self.now_ms += ms;
        self.digest.set_time(self.now_ms);
    }

    /// What is known about the sender, and the user; and the challenge, if there is one.
    fn take(&mut self, message: &str, arrival: &Arrival) -> (Authenticated, String) {
        let (mut headers, mut route) = (Headers::default(), RequestRoute::default());
        let Ok(Message::Request(request)) = parse(message.as_bytes(), &mut headers) else {
            unreachable!("{message}");
        };
        let mut choices = Choices::with_room(Share::default(), 1);
        route_request(&request, &self.tables, arrival, &mut choices, &mut route).unwrap();
        let realm = self.tables.realm(request.method(), route.reason).unwrap();
        let demand = Demand {
            request: &request,
            route: &route,
            realm,
            credentials: &self.credentials,
            tables: &self.tables,
            arrival,
        };
        let answer = self.digest.check(&demand);
        match answer {
            Authenticated::User(user) => (answer, text(user.of(message.as_bytes()))),
            Authenticated::Challenge { stale } => {
                let mut out = Output::new();
                let to = self.digest.write_challenge(&demand, stale, &mut out).unwrap();
                assert_eq!(to, arrival.source);
                (answer, text(out.bytes()))
            }
            _ => (answer, String::new()),
        }
    }

    fn ask(&mut self, phone: &Phone, message: &str) -> Authenticated {
        self.take(message, &phone.arrival).0
    }

    /// Takes a request without credentials; the phone learns the nonce.
    fn challenge(&mut self, phone: &mut Phone) -> String {
        let (answer, challenge) = self.take(&phone.request(""), &phone.arrival);
        assert_eq!(answer, Authenticated::Challenge { stale: false });
        phone.learn(&challenge);
        challenge
    }
}

/// A phone that registers, or calls.
#[derive(Clone)]
struct Phone {
    arrival: Arrival,
    method: &'static str,
    user: &'static str,
    password: String,
    algorithm: DigestAlgorithm,
    nonce: String,
    count: u32,
    cseq: u32,
}

impl Phone {
    fn new(user: &'static str) -> Self {
        Self {
            arrival: from_uac(),
            method: "REGISTER",
            user,
            password: format!("{user}'s secret"),
            algorithm: DigestAlgorithm::Md5,
            nonce: String::new(),
            count: 0,
            cseq: 0,
        }
    }

    /// Takes the first line whose algorithm it knows, as RFC 8760 section 2.4 wants it.
    fn learn(&mut self, challenge: &str) {
        let name =
            if self.method == "REGISTER" { "WWW-Authenticate" } else { "Proxy-Authenticate" };
        let algorithm = self.algorithm_name();
        let lines = headers(challenge, name);
        let line = lines.iter().find(|line| line.contains(&format!("algorithm={algorithm}")));
        let line = line.unwrap_or_else(|| unreachable!("{challenge}"));
        let nonce = line.split("nonce=\"").nth(1).unwrap().split('"').next().unwrap();
        (self.nonce, self.count) = (nonce.to_owned(), 0);
    }

    fn algorithm_name(&self) -> &'static str {
        match self.algorithm {
            DigestAlgorithm::Md5 => "MD5",
            DigestAlgorithm::Sha256 => "SHA-256",
        }
    }

    fn request(&mut self, lines: &str) -> String {
        self.cseq += 1;
        let Self { method, user, cseq, .. } = &*self;
        let uri = self.uri();
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 10.77.1.2:5060;branch=z9hG4bK{cseq};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:{user}@example.com>;tag=1\r\nTo: <sip:{user}@example.com>\r\n\
             Call-ID: 1@phone\r\nCSeq: {cseq} {method}\r\nContact: <sip:{user}@10.77.1.2>\r\n{lines}\
             Content-Length: 0\r\n\r\n"
        )
    }

    fn uri(&self) -> &'static str {
        if self.method == "REGISTER" { "sip:example.com" } else { "sip:bob@example.com" }
    }

    /// Its next request with credentials.
    fn proved(&mut self) -> String {
        self.count += 1;
        let nc = format!("{:08x}", self.count);
        self.proved_with(&nc, self.uri())
    }

    fn proved_with(&mut self, nc: &str, uri: &str) -> String {
        let Self { user, nonce, password, algorithm, method, .. } = &*self;
        let ha1 = hash(*algorithm, &format!("{user}:{REALM}:{password}"));
        let ha2 = hash(*algorithm, &format!("{method}:{uri}"));
        let response = hash(*algorithm, &format!("{ha1}:{nonce}:{nc}:0a4f113b:auth:{ha2}"));
        let name = if *method == "REGISTER" { "Authorization" } else { "Proxy-Authorization" };
        let user = user.replace('"', "\\\"");
        let algorithm = self.algorithm_name();
        let line = format!(
            "{name}: Digest username=\"{user}\", realm=\"{REALM}\", nonce=\"{nonce}\", uri=\"{uri}\", \
             response=\"{response}\", algorithm={algorithm}, cnonce=\"0a4f113b\", qop=auth, nc={nc}\r\n"
        );
        self.request(&line)
    }
}

fn is_user(answer: Authenticated) -> bool {
    matches!(answer, Authenticated::User(_))
}

const STALE: Authenticated = Authenticated::Challenge { stale: true };
const ASK: Authenticated = Authenticated::Challenge { stale: false };

#[test]
fn a_phone_proves_itself_with_either_algorithm() {
    for algorithm in [DigestAlgorithm::Md5, DigestAlgorithm::Sha256] {
        for method in ["REGISTER", "INVITE"] {
            let mut appliance = Appliance::new();
            let mut phone = Phone { method, algorithm, ..Phone::new("alice") };
            appliance.challenge(&mut phone);
            for _ in 0..100 {
                let message = phone.proved();
                let (answer, user) = appliance.take(&message, &phone.arrival);
                assert!(is_user(answer), "{answer:?} {message}");
                assert_eq!(user, "alice");
            }
            assert_eq!(appliance.digest.counts().accepted, 100);
        }
    }
}

#[test]
fn the_challenge_names_what_it_must() {
    let mut appliance = Appliance::new();
    let challenge = appliance.challenge(&mut Phone::new("alice"));
    assert!(challenge.starts_with("SIP/2.0 401 Unauthorized\r\n"), "{challenge}");
    let lines = headers(&challenge, "WWW-Authenticate");
    assert_eq!(lines.len(), 2);
    let nonce = lines[0].split("nonce=\"").nth(1).unwrap().split('"').next().unwrap();
    let line = |algorithm| {
        format!("Digest realm=\"{REALM}\", nonce=\"{nonce}\", algorithm={algorithm}, qop=\"auth\"")
    };
    assert_eq!(lines, [line("SHA-256"), line("MD5")]);
    assert!(headers(&challenge, "To")[0].contains(";tag="));
    let mut caller = Phone { method: "INVITE", ..Phone::new("alice") };
    let challenge = appliance.challenge(&mut caller);
    assert!(challenge.starts_with("SIP/2.0 407 Proxy Authentication Required\r\n"), "{challenge}");
    assert_eq!(headers(&challenge, "Proxy-Authenticate").len(), 2);
}

#[test]
fn only_what_all_users_can_answer_is_offered() {
    let mut appliance = Appliance::new();
    appliance.credentials = users(false);
    let challenge = appliance.challenge(&mut Phone::new("alice"));
    let lines = headers(&challenge, "WWW-Authenticate");
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains("algorithm=MD5"), "{challenge}");
    let mut appliance = Appliance::with(|auth| auth.algorithms = vec![DigestAlgorithm::Sha256]);
    let mut phone = Phone { algorithm: DigestAlgorithm::Sha256, ..Phone::new("alice") };
    appliance.challenge(&mut phone);
    phone.algorithm = DigestAlgorithm::Md5;
    let message = phone.proved();
    assert_eq!(appliance.ask(&phone, &message), ASK, "MD5 is not offered");
}

#[test]
fn a_wrong_password_and_an_unknown_user_look_the_same() {
    let mut appliance = Appliance::new();
    let mut answers = Vec::new();
    for (user, password) in [("alice", "guess"), ("nobody", "guess")] {
        let mut phone = Phone { password: password.into(), ..Phone::new(user) };
        appliance.challenge(&mut phone);
        let message = phone.proved();
        let (answer, challenge) = appliance.take(&message, &phone.arrival);
        assert_eq!(answer, ASK);
        let lines = challenge.split("\r\n").filter(|line| !line.contains(user));
        let lines = lines.map(|line| line.split("nonce").next().unwrap().to_owned());
        answers.push(lines.collect::<Vec<_>>());
    }
    assert_eq!(answers[0].len(), answers[1].len());
    assert_eq!(answers[0][0], answers[1][0]);
    assert_eq!(answers[0][6..], answers[1][6..]);
    let counts = appliance.digest.counts();
    assert_eq!((counts.failed, counts.unknown_user), (2, 1));
}

#[test]
fn a_retransmission_is_taken_and_a_replay_is_not() {
    let mut appliance = Appliance::new();
    let mut phone = Phone::new("alice");
    appliance.challenge(&mut phone);
    let message = phone.proved();
    assert!(is_user(appliance.ask(&phone, &message)));
    assert!(is_user(appliance.ask(&phone, &message)), "the same once more");
    let elsewhere =
        message.replace("Contact: <sip:alice@10.77.1.2>", "Contact: <sip:alice@10.66.6.6>");
    assert_eq!(appliance.ask(&phone, &elsewhere), STALE);
    let other_source = Arrival { source: "10.66.6.6:5060".parse().unwrap(), listen: ListenId(0) };
    assert_eq!(appliance.take(&message, &other_source).0, STALE);
    let counts = appliance.digest.counts();
    assert_eq!((counts.accepted, counts.retransmitted, counts.replayed), (2, 1, 1));
}

#[test]
fn a_stale_nonce_costs_one_more_challenge() {
    let mut appliance = Appliance::new();
    let mut phone = Phone::new("alice");
    appliance.challenge(&mut phone);
    appliance.pass(300_001);
    let message = phone.proved();
    let (answer, challenge) = appliance.take(&message, &phone.arrival);
    assert_eq!(answer, STALE);
    assert!(
        headers(&challenge, "WWW-Authenticate").iter().all(|line| line.ends_with("stale=true"))
    );
    phone.learn(&challenge);
    let message = phone.proved();
    assert!(is_user(appliance.ask(&phone, &message)));
    // After a restart: the secret is another one.
    appliance.digest = Digest::new(DigestSizes::default(), 0, &[7; 16]);
    appliance.digest.set_time(appliance.now_ms);
    let message = phone.proved();
    assert_eq!(appliance.ask(&phone, &message), STALE);
    // With the counts lost, or the nonce made by another worker.
    phone.count = 5;
    appliance.challenge(&mut phone.clone());
    let message = phone.proved();
    assert_eq!(appliance.ask(&phone, &message), STALE);
    assert_eq!(appliance.digest.counts().failed, 0, "none of this counts as a failure");
}

#[test]
fn the_uri_must_mean_the_request_uri() {
    let mut appliance = Appliance::new();
    let mut phone = Phone { method: "INVITE", ..Phone::new("alice") };
    appliance.challenge(&mut phone);
    let message = phone.proved_with("00000001", "sip:carol@example.com");
    assert_eq!(appliance.ask(&phone, &message), Authenticated::Bad);
    let message = phone.proved_with("00000001", "sips:bob@EXAMPLE.COM:5061");
    assert!(is_user(appliance.ask(&phone, &message)));
}

#[test]
fn a_name_with_a_quote_is_found() {
    let mut appliance = Appliance::new();
    let mut phone = Phone::new("q\"uote");
    phone.nonce = {
        let mut other = Phone::new("alice");
        appliance.challenge(&mut other);
        other.nonce
    };
    let message = phone.proved().replace("sip:q\"uote", "sip:q");
    assert!(is_user(appliance.ask(&phone, &message)), "{message}");
}

#[test]
fn guessing_is_limited_by_source_and_by_user() {
    let mut appliance = Appliance::new();
    let mut tries = 0;
    let mut phone = Phone::new("alice");
    appliance.challenge(&mut phone);
    let mut guesser = Phone::new("alice");
    loop {
        let (answer, challenge) = appliance.take(&guesser.request(""), &guesser.arrival);
        if answer == Authenticated::Limited {
            break;
        }
        guesser.learn(&challenge);
        tries += 1;
        (guesser.user, guesser.password) = (["bob", "nobody"][tries % 2], tries.to_string());
        let message = guesser.proved();
        assert_eq!(appliance.ask(&guesser, &message), ASK);
    }
    assert_eq!(tries, 20);
    // The right password does not help either: it could be a guess.
    guesser = Phone { nonce: phone.nonce.clone(), ..Phone::new("alice") };
    let message = guesser.proved();
    assert_eq!(appliance.ask(&guesser, &message), Authenticated::Limited);
    appliance.pass(60_001);
    let message = phone.proved();
    assert!(is_user(appliance.ask(&phone, &message)));
}

#[test]
fn credentials_of_a_kind_that_is_not_offered_are_limited_too() {
    let mut appliance = Appliance::new();
    let mut guesser = Phone::new("alice");
    appliance.challenge(&mut guesser);
    for number in 0..20 {
        // As RFC 2069 had it.
        let message = guesser.proved().replace("qop=auth, ", "");
        assert_eq!(appliance.ask(&guesser, &message), ASK, "{number}");
    }
    let message = guesser.proved();
    assert_eq!(appliance.ask(&guesser, &message), Authenticated::Limited);
    assert_eq!(appliance.digest.counts().unproved, 21);
}

#[test]
fn who_has_proved_himself_goes_on_while_others_are_limited() {
    let mut appliance = Appliance::new();
    let mut phone = Phone::new("alice");
    appliance.challenge(&mut phone);
    let message = phone.proved();
    assert!(is_user(appliance.ask(&phone, &message)));
    for host in 0..10 {
        let source = format!("10.66.6.{host}:5060").parse().unwrap();
        let arrival = Arrival { source, listen: ListenId(0) };
        let mut guesser = Phone { arrival, password: String::new(), ..Phone::new("alice") };
        let (_, challenge) = appliance.take(&guesser.request(""), &arrival);
        guesser.learn(&challenge);
        let message = guesser.proved();
        assert_eq!(appliance.ask(&guesser, &message), ASK, "{host}");
    }
    let message = phone.proved();
    assert!(is_user(appliance.ask(&phone, &message)), "its nonce is proved");
    let mut fresh = Phone::new("alice");
    appliance.challenge(&mut fresh);
    let message = fresh.proved();
    assert_eq!(appliance.ask(&fresh, &message), Authenticated::Limited);
}

#[test]
fn one_good_account_does_not_free_a_guesser() {
    let mut appliance = Appliance::new();
    let mut mallory = Phone::new("bob");
    appliance.challenge(&mut mallory);
    let message = mallory.proved();
    assert!(is_user(appliance.ask(&mallory, &message)));
    for _ in 0..10 {
        let mut guess = Phone { user: "alice", password: String::new(), ..mallory.clone() };
        let message = guess.proved();
        assert_eq!(appliance.ask(&guess, &message), ASK);
    }
    let mut guess = Phone { user: "alice", ..mallory.clone() };
    let message = guess.proved();
    assert_eq!(appliance.ask(&guess, &message), Authenticated::Limited);
}

#[test]
fn nobody_is_refused_before_the_users_are_known() {
    let mut appliance = Appliance::new();
    appliance.credentials = Credentials::empty();
    let message = Phone::new("alice").request("");
    let (answer, _) = appliance.take(&message, &from_uac());
    assert_eq!(answer, Authenticated::Unready);
    assert_eq!(appliance.digest.counts().unready, 1);
    assert_eq!(
        appliance.tables.realm(sip_core::Method::Ack, sip_core::RouteReason::Register { rule: 0 }),
        None
    );
}

/// RFC 3261 section 22.3: credentials for our realm end here, those of other realms go on.
#[test]
fn credentials_for_us_go_no_further() {
    let appliance = Appliance::new();
    let line = |realm: &str| {
        format!(
            "Proxy-Authorization: Digest username=\"a\",\r\n realm=\"{realm}\", nonce=\"n\"\r\n"
        )
    };
    let (ours, other) = (line(REALM), line("example.net"));
    let basic = "Proxy-Authorization: Basic eA==\r\n";
    let own = ours.replace("Proxy-Authorization", "Authorization");
    for method in ["INVITE", "ACK"] {
        let message = format!(
            "{method} sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 10.77.1.2;branch=z9hG4bKx\r\n\
             {ours}Max-Forwards: 70\r\n{other}From: <sip:a@example.com>;tag=1\r\n{own}{basic}\
             To: <sip:bob@example.com>\r\nCall-ID: c\r\nCSeq: 1 {method}\r\n{ours}\
             Content-Length: 0\r\n\r\n"
        );
        let (mut headers, mut route) = (Headers::default(), RequestRoute::default());
        let Ok(Message::Request(request)) = parse(message.as_bytes(), &mut headers) else {
            unreachable!("{message}");
        };
        let (tables, arrival) = (&appliance.tables, from_uac());
        let mut choices = Choices::with_room(Share::default(), 1);
        route_request(&request, tables, &arrival, &mut choices, &mut route).unwrap();
        consume_credentials(&request, tables, &mut route);
        let mut edits = EditList::new();
        let egress = common::egress(route.next_hop);
        rewrite_request(&request, &route, tables, &arrival, egress, &mut edits);
        let sent = common::applied(&edits, message.as_bytes());
        assert!(
            !sent.contains(&format!(
                "Proxy-Authorization: Digest username=\"a\",\r\n realm=\"{REALM}\""
            )),
            "{sent}"
        );
        for stays in [&other, &own, basic] {
            assert!(sent.contains(stays), "{sent}");
        }
        assert!(sent.ends_with("CSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n") || method == "INVITE");
    }
}
