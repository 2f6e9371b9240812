//! Credentials: phones that prove who they are, and those that cannot.

use crate::lab::{Lab, text};
use crate::phone::{DOMAIN, Phone, Received};
use md5::{Digest as _, Md5};
use sha2::Sha256;
use std::fs::{read_to_string, write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A lab whose users prove who they are.
pub(crate) struct Site {
    pub(crate) lab: Lab,
    users: PathBuf,
    pub(crate) folder: tempfile::TempDir,
}

/// With these lines in `[auth]`; the user phoneN has the password secretN, for N to 99.
fn site(lines: &str) -> Site {
    let folder = tempfile::tempdir().expect("a folder");
    let users = folder.path().join("users.csv");
    write(&users, (0..100).map(user).collect::<String>()).expect("users");
    site_of(folder, lines, &format!("file = \"{}\"", users.display()))
}

/// With the users of this source, among them phone99 as above.
pub(crate) fn site_of(folder: tempfile::TempDir, lines: &str, source: &str) -> Site {
    let machine = nic_config::Machine::probe().expect("a machine");
    let lcores: Vec<_> = machine.lcores.into_keys().collect();
    let config = control::lab::default_config(1, &lcores).expect("the lab's configuration");
    let auth = format!("auth = \"{DOMAIN}\"");
    let config = config
        .replace("register = true", &format!("register = true\n{auth}"))
        .replace("locate = true", &format!("locate = true\n{auth}"))
        // Scanners know nothing but the address.
        .replace(
            &format!("domains = [\"{DOMAIN}\"] }}"),
            &format!("domains = [\"{DOMAIN}\", \"10.77.1.1\"] }}"),
        );
    let realm = format!("[[auth.realms]]\nname = \"{DOMAIN}\"\n{source}");
    let file = folder.path().join("trunkline.toml");
    write(&file, format!("{config}\n[auth]\n{lines}\n{realm}\n")).expect("a configuration");
    let lab = Lab::up_with(&["--config", &file.display().to_string()]);
    let phone = Phone::caller("phone99", 5998);
    until("ready to register", || registers(&phone, "secret99").status() == Some(200));
    Site { lab, users: folder.path().join("users.csv"), folder }
}

fn user(number: u32) -> String {
    format!("phone{number},secret{number}\n")
}

#[track_caller]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(10), "not {what} within 10 s");
        sleep(Duration::from_millis(100));
    }
}

/// What a phone learns from a challenge.
struct Challenge {
    nonce: String,
    algorithm: String,
}

/// The challenge with this algorithm.
#[track_caller]
fn challenge(answer: &Received, algorithm: &str) -> Challenge {
    assert_eq!(answer.status(), Some(401), "{}", answer.0);
    let lines = answer.values("WWW-Authenticate");
    let line = lines.iter().find(|line| line.contains(&format!("algorithm={algorithm},")));
    let line = line.unwrap_or_else(|| panic!("no {algorithm} in {lines:?}"));
    let nonce = line.split("nonce=\"").nth(1).and_then(|rest| rest.split('"').next());
    Challenge { nonce: nonce.expect("a nonce").to_owned(), algorithm: algorithm.to_owned() }
}

/// The n-th answer to a challenge.
fn proof(challenge: &Challenge, user: &str, realm: &str, password: &str, count: u32) -> String {
    let Challenge { nonce, algorithm } = challenge;
    let digit = |value: u8| char::from_digit(value.into(), 16).expect("a digit");
    let hex = |bytes: &[u8]| {
        bytes.iter().flat_map(|byte| [byte >> 4, byte & 15].map(digit)).collect::<String>()
    };
    let hash = |text: String| match algorithm.as_str() {
        "SHA-256" => hex(&Sha256::digest(text)),
        _ => hex(&Md5::digest(text)),
    };
    let ha1 = hash(format!("{user}:{realm}:{password}"));
    let ha2 = hash(format!("REGISTER:sip:{DOMAIN}"));
    let response = hash(format!("{ha1}:{nonce}:{count:08x}:c1:auth:{ha2}"));
    format!(
        "Authorization: Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"sip:{DOMAIN}\", \
         response=\"{response}\", algorithm={algorithm}, cnonce=\"c1\", qop=auth, nc={count:08x}\n"
    )
}

fn contact(phone: &Phone) -> String {
    format!("Contact: <{}>\nExpires: 60\n", phone.contact())
}

/// Registers with a password; the answer to the proof, or to the question.
pub(crate) fn registers(phone: &Phone, password: &str) -> Received {
    let answer = phone.register(&contact(phone));
    if answer.status() != Some(401) {
        return answer;
    }
    let challenge = challenge(&answer, "MD5");
    let proof = proof(&challenge, &phone.user, DOMAIN, password, 1);
    phone.register(&format!("{}{proof}", contact(phone)))
}

fn is_stale(answer: &Received) -> bool {
    answer.values("WWW-Authenticate").iter().all(|line| line.ends_with("stale=true"))
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn a_nonce_counts_up_and_is_good_for_its_client_alone() {
    let Site { lab, folder: _folder, .. } = site("");
    let phone = Phone::caller("phone1", 5061);
    for algorithm in ["MD5", "SHA-256"] {
        let asked = challenge(&phone.register(&contact(&phone)), algorithm);
        let lines = |count| {
            let proof = proof(&asked, "phone1", DOMAIN, "secret1", count);
            format!("{}{proof}", contact(&phone))
        };
        for count in 1..4 {
            assert_eq!(phone.register(&lines(count)).status(), Some(200), "{algorithm} {count}");
        }
        let replayed = phone.register(&lines(2));
        assert!(replayed.status() == Some(401) && is_stale(&replayed), "{}", replayed.0);
        // The same message once more is a retransmission.
        let message = phone.registration("again", 1, &lines(4));
        phone.send(&message);
        phone.got(200);
        phone.send(&message);
        phone.got(200);
        // Of another address it is none.
        let other = Phone::callee("phone1", 5061);
        let stolen = other.register(&lines(5));
        assert!(stolen.status() == Some(401) && is_stale(&stolen), "{}", stolen.0);
        assert_eq!(phone.register(&lines(5)).status(), Some(200));
    }
    let asked = challenge(&phone.register(&contact(&phone)), "MD5");
    let elsewhere = proof(&asked, "phone1", "other.test", "secret1", 1);
    let answer = phone.register(&format!("{}{elsewhere}", contact(&phone)));
    assert!(answer.status() == Some(401) && !is_stale(&answer), "{}", answer.0);
    let invented = Challenge { nonce: "AAAAAAAAAAAAAAAAAAAA".into(), algorithm: "MD5".into() };
    let invented = proof(&invented, "phone1", DOMAIN, "secret1", 1);
    assert!(is_stale(&phone.register(&format!("{}{invented}", contact(&phone)))));
    // Another's address-of-record is not his to register.
    let bob = Phone::caller("phone2", 5062);
    let asked = challenge(&bob.register(&contact(&bob)), "MD5");
    let as_another = proof(&asked, "phone1", DOMAIN, "secret1", 1);
    let answer = bob.register(&format!("{}{as_another}", contact(&bob)));
    assert_eq!(answer.status(), Some(403), "{}", answer.0);
    lab.assert_conserved();
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn users_come_and_go_without_a_restart() {
    let Site { lab, users, folder: _folder } =
        site("failures_per_source = 0\nfailures_per_user = 0");
    let [old, new] =
        [("phone1", 5061), ("added", 5062)].map(|(user, port)| Phone::caller(user, port));
    assert_eq!(registers(&new, "x").status(), Some(401));
    let before = read_to_string(&users).expect("users");
    write(&users, format!("{before}added,x\n")).expect("users");
    until("a user more", || {
        assert_eq!(registers(&old, "secret1").status(), Some(200), "meanwhile");
        registers(&new, "x").status() == Some(200)
    });
    // A mistake in the file changes nothing.
    write(&users, "added\n").expect("users");
    sleep(Duration::from_secs(2));
    assert_eq!(registers(&new, "x").status(), Some(200));
    write(&users, before).expect("users");
    until("a user less", || registers(&new, "x").status() == Some(401));
    assert_eq!(registers(&old, "secret1").status(), Some(200));
    lab.assert_conserved();
}

/// Registers every user in turn, as SIPp does it.
const SCENARIO: &str = r#"<?xml version="1.0" encoding="us-ascii"?>
<scenario><send retrans="500"><![CDATA[

REGISTER sip:DOMAIN SIP/2.0
Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch];rport
Max-Forwards: 70
From: <sip:[field0]@DOMAIN>;tag=[call_number]
To: <sip:[field0]@DOMAIN>
Call-ID: [call_id]
CSeq: 1 REGISTER
Contact: <sip:[field0]@[local_ip]:[local_port]>
Expires: 60
Content-Length: 0

]]></send><recv response="401" auth="true"/><send retrans="500"><![CDATA[

REGISTER sip:DOMAIN SIP/2.0
Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch];rport
Max-Forwards: 70
From: <sip:[field0]@DOMAIN>;tag=[call_number]
To: <sip:[field0]@DOMAIN>
Call-ID: [call_id]
CSeq: 2 REGISTER
[field1]
Contact: <sip:[field0]@[local_ip]:[local_port]>
Expires: 60
Content-Length: 0

]]></send><recv response="200"/></scenario>
"#;

/// SIPp knows MD5 alone, and takes the first challenge whatever it is.
#[test]
#[ignore = "needs root and the lab: make e2e"]
fn sipp_registers_every_user_with_md5() {
    let Site { lab, folder, .. } = site("algorithms = [\"MD5\"]");
    let field = |number: u32| {
        let (user, password) = (format!("phone{number}"), format!("secret{number}"));
        format!("{user};[authentication username={user} password={password}]\n")
    };
    let fields: String = (0..100).map(field).collect();
    let [scenario, users] = ["register.xml", "fields.csv"].map(|name| folder.path().join(name));
    write(&scenario, SCENARIO.replace("DOMAIN", DOMAIN)).expect("a scenario");
    write(&users, format!("SEQUENTIAL\n{fields}")).expect("users");
    let path = |path: &Path| path.display().to_string();
    let (scenario, users) = (path(&scenario), path(&users));
    let command = ["timeout", "40", "sipp", "10.77.1.1:5060", "-sf", &scenario, "-inf", &users];
    let rest = ["-i", "10.77.1.2", "-p", "5060", "-r", "200", "-m", "400", "-nostdin"];
    let output = lab.exec("uac", &[&command[..], &rest[..], &["-timeout", "30"]].concat());
    assert!(output.status.success(), "{}", text(&output));
    lab.assert_conserved();
}

/// What the scanners of SIPVicious find: nobody.
#[test]
#[ignore = "needs root and the lab: make e2e"]
fn sipvicious_finds_no_user_and_no_password() {
    let Site { lab, folder, .. } = site("algorithms = [\"MD5\"]\nfailures_per_source = 5");
    let run =
        |command: &[&str]| text(&lab.exec("uac", &[&["timeout", "60"][..], command].concat()));
    let names = folder.path().join("names");
    write(&names, "phone1\nnobody\nphone2\n1000\n").expect("names");
    let names = names.display().to_string();
    for method in ["REGISTER", "INVITE", "OPTIONS"] {
        let said = run(&["svwar", "-m", method, "-d", &names, "10.77.1.1"]);
        assert!(!said.contains("phone1") && !said.contains("phone2"), "{method}: {said}");
    }
    let passwords = folder.path().join("passwords");
    let mut guesses: Vec<String> = (0..100).map(|number| format!("wrong{number}")).collect();
    guesses.push("secret1".into());
    write(&passwords, guesses.join("\n")).expect("passwords");
    let passwords = passwords.display().to_string();
    let said = run(&["svcrack", "-u", "phone1", "-d", &passwords, "10.77.1.1"]);
    assert!(!said.contains("secret1"), "{said}");
    // Whoever asks well is let guess a few times, in whatever name, and then his address is blocked.
    let guesses = (0..10).take_while(|number| {
        let phone = Phone::caller(&format!("phone{number}"), 5100 + number);
        phone.send(&phone.registration("guess", 1, &contact(&phone)));
        let Some(answer) = phone.hear_for(Duration::from_millis(500)) else { return false };
        let asked = challenge(&answer, "MD5");
        let proof = proof(&asked, &phone.user, DOMAIN, "wrong", 1);
        phone.register(&format!("{}{proof}", contact(&phone))).status() == Some(401)
    });
    assert!(guesses.count() <= 5, "{said}");
    let counted = lab.status()["workers"][0]["auth"]["limited"].as_u64();
    assert!(counted > Some(0), "{:#}", lab.status()["workers"]);
    lab.assert_conserved();
}
