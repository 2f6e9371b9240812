//! A phone behind NAT, in a namespace of its own: it is reached as long as it is registered.

use crate::interop::kamailio;
use crate::lab::{Lab, text};
use crate::phone::{DOMAIN, Dialog, Phone};
use crate::registrar::{becomes, location, registrar};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

/// The namespace behind the NAT, which tl-uac is; gone when dropped.
struct Home(());

/// How long the NAT remembers a flow, in seconds.
const FORGETS_S: u64 = 7;

impl Home {
    fn new(lab: &Lab) -> Self {
        let _ = Command::new("ip").args(["netns", "delete", "tl-home"]).output();
        let home = Self(());
        for line in [
            "ip netns add tl-home",
            "ip link add home0 netns tl-uac type veth peer name eth0 netns tl-home",
            "ip -n tl-uac address add 192.168.7.1/24 dev home0",
            "ip -n tl-uac link set home0 up",
            "ip -n tl-home address add 192.168.7.2/24 dev eth0",
            "ip -n tl-home link set eth0 up",
            "ip -n tl-home link set lo up",
            "ip -n tl-home route add default via 192.168.7.1",
        ] {
            let words: Vec<_> = line.split(' ').collect();
            let output = Command::new(words[0]).args(&words[1..]).output().expect("ip runs");
            assert!(output.status.success(), "{line}: {}", text(&output));
        }
        // The port is another one outside, and only who was sent something may answer.
        let rules = "table ip home { chain out { type nat hook postrouting priority srcnat; \
                     ip saddr 192.168.7.0/24 udp sport 1-65535 masquerade to :30000-40000; }; }";
        let settings = format!(
            "cd /proc/sys/net && echo 1 > ipv4/ip_forward && cd netfilter && \
             echo {FORGETS_S} > nf_conntrack_udp_timeout && echo {FORGETS_S} > nf_conntrack_udp_timeout_stream"
        );
        for command in [&["nft", rules][..], &["sh", "-ec", &settings]] {
            let output = lab.exec("uac", command);
            assert!(output.status.success(), "{}", text(&output));
        }
        home
    }

    fn phone(user: &str) -> Phone {
        Phone::new("home", "192.168.7.2:5060", "10.77.1.1:5060", user)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", "tl-home"]).status();
    }
}

/// Both ends speak within the call, and either hangs up.
fn talk(caller: &Phone, callee: &Phone) {
    for hangs_up in [0, 1] {
        let calls = caller.calls(&callee.aor(), callee);
        // re-INVITE both ways, which a phone behind NAT gets at an address that none of its messages says.
        caller.and_back("INVITE", &calls[0], callee);
        callee.and_back("INVITE", &calls[1], caller);
        let [caller_end, callee_end]: &[Dialog; 2] = &calls;
        match hangs_up {
            0 => caller.and_back("BYE", caller_end, callee),
            _ => callee.and_back("BYE", callee_end, caller),
        }
    }
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn a_phone_behind_nat_is_called_and_calls() {
    let (lab, _folder) = registrar(1, "");
    let _home = Home::new(&lab);
    let (home, bob) = (Home::phone("alice"), Phone::callee("bob", 5071));
    home.registers("");
    bob.registers("");
    talk(&bob, &home);
    talk(&home, &bob);
    lab.assert_conserved();
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn keep_alives_keep_a_nat_open() {
    for keepalive in ["crlf", "options"] {
        let (lab, _folder) =
            registrar(1, &format!("keepalive = \"{keepalive}\"\nkeepalive_s = 5\n"));
        let _home = Home::new(&lab);
        let (home, bob) = (Home::phone("alice"), Phone::callee("bob", 5071));
        home.registers("");
        // Twice as long as the NAT remembers a flow in which nothing moves.
        let mut asked = 0;
        for _ in 0..2 * FORGETS_S {
            if let Some(message) = home.hear_for(Duration::from_secs(1)) {
                assert_eq!(message.method(), Some("OPTIONS"), "{}", message.0);
                home.answers(&message, "200 OK", "");
                asked += 1;
            }
        }
        assert_eq!(asked > 1, keepalive == "options", "{asked} OPTIONS");
        becomes(&lab, "keepalives_answered", asked);
        assert!(location(&lab, "keepalives") >= 2);
        assert_eq!(lab.status()["drops"].get("response_no_via"), None);
        talk(&bob, &home);
        lab.assert_conserved();
    }
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn without_keep_alives_the_nat_forgets() {
    let (lab, _folder) = registrar(1, "");
    let _home = Home::new(&lab);
    let (home, bob) = (Home::phone("alice"), Phone::callee("bob", 5071));
    home.registers("");
    sleep(Duration::from_secs(FORGETS_S + 3));
    let invite = bob.asks("INVITE", &home.aor(), "");
    home.not_asked("INVITE", Duration::from_secs(1));
    // The NAT says so, by an ICMP error.
    let refused =
        bob.hear_for(Duration::from_secs(2)).filter(|answer| answer.status() != Some(100));
    if let Some(refused) = refused.or_else(|| bob.hear_for(Duration::from_secs(2))) {
        bob.acknowledge(&invite, &refused);
    }
    // It was refused again as long as it did not acknowledge.
    while bob.hear_for(Duration::from_secs(1)).is_some() {}
    // A refresh opens it again.
    home.registers("");
    talk(&bob, &home);
}

/// A lab whose appliance is the edge proxy of the phones of a registrar at 10.77.2.2.
fn edge() -> (Lab, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let machine = nic_config::Machine::probe().expect("a machine");
    let lcores: Vec<_> = machine.lcores.into_keys().collect();
    let config = control::lab::default_config(1, &lcores).expect("the lab's configuration");
    let (before, _) = config.split_once("[[routes]]").expect("routes");
    let routes = format!(
        "[[routes]]\nmatch = {{ domains = [\"{DOMAIN}\"] }}\nforward = \"uas\"\npath = true\nstateful = true\n"
    );
    let file = folder.path().join("trunkline.toml");
    std::fs::write(&file, format!("{before}{routes}")).expect("a configuration");
    let lab = Lab::up_with(&["--config", &file.display().to_string()]);
    (lab, folder)
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn a_phone_behind_nat_registers_with_kamailio_through_us() {
    let (lab, folder) = edge();
    let registrar = include_str!("interop/registrar.cfg");
    let next = "10.77.2.1:5060";
    let _registrar = kamailio(&lab, folder.path(), registrar, ["uas", "10.77.2.2", next]);
    let _home = Home::new(&lab);
    let home = Home::phone("alice");
    // The other phone is in the network of the registrar.
    let bob = Phone::new("uas", "10.77.2.2:5071", "10.77.2.2:5060", "bob");
    let lines = format!("Contact: <{}>\nExpires: 60\nSupported: path", home.contact());
    let answer = home.register(&lines);
    assert_eq!(answer.status(), Some(200), "{}", answer.0);
    let path = answer.value("Path");
    assert!(path.starts_with("<sip:tlp") && path.ends_with("@10.77.2.1:5060;lr>"), "{path}");
    bob.registers("");
    talk(&bob, &home);
    talk(&home, &bob);
    // It knows nothing of Path and is reached all the same.
    home.registers("");
    talk(&bob, &home);
    // A flow (RFC 5626), of which we are the first hop.
    let instance = "+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000A95A0E128>\";reg-id=1";
    let lines =
        format!("Contact: <{}>;{instance}\nExpires: 60\nSupported: path, outbound", home.contact());
    let answer = home.register(&lines);
    assert_eq!(answer.status(), Some(200), "{}", answer.0);
    assert!(answer.value("Path").ends_with(";lr;ob>"), "{}", answer.0);
    talk(&bob, &home);
    lab.assert_conserved();
}
