//! Members that say how many requests fewer they want (RFC 7339), and get fewer.

use crate::lab::{Lab, text, trunkline};
use crate::phone::{Phone, Received};
use serde_json::Value;
use std::time::{Duration, Instant};

/// Two members, of which each is asked; and a route to them.
const SET: &str = "[[destination_sets]]\nname = \"asked\"\noverload_control = true\nprobe = false\n\
    members = [{ address = \"10.77.2.2:5081\" }, { address = \"10.77.2.2:5082\" }]\n\n\
    [[routes]]\nmatch = { user_prefixes = [\"asked\"] }\nforward = \"asked\"\nstateful = true\n\n";
/// What our Via has that asks.
const ASK: &str = ";oc;oc-algo=\"loss\"";
/// Where callers of the lab send their requests for the set.
const URI: &str = "sip:asked@10.77.1.1";
/// Requests of each round.
const REQUESTS: u32 = 400;

/// The two members, and how many requests each has had.
struct Members {
    phones: [Phone; 2],
    /// What the first one writes in place of the question.
    told: String,
}

impl Members {
    fn new() -> Self {
        let phones = [5081, 5082].map(|port| Phone::callee("asked", port));
        Self { phones, told: ASK.to_owned() }
    }

    /// Answers a request as the one of them that has it; which one.
    fn answer(&self, request: &Received, index: usize) -> usize {
        let mut request = request.clone();
        if index == 0 {
            assert!(request.value("Via").ends_with(ASK), "{}", request.0);
            request.0 = request.0.replacen(ASK, &self.told, 1);
        }
        self.phones[index].answers(&request, "200 OK", "");
        index
    }

    /// Has `caller` send requests, one after the other; how many came to each of them, and to none.
    fn share(&self, caller: &Phone, requests: u32) -> [u32; 3] {
        let mut counts = [0; 3];
        for _ in 0..requests {
            let sent = caller.asks("MESSAGE", URI, "");
            counts[self.serve(caller, &sent)] += 1;
        }
        counts
    }

    /// Has `caller` send requests until the first of them has been heard to want so many per cent fewer.
    fn share_until(&self, caller: &Phone, percent: u64) {
        for _ in 0..200 {
            self.share(caller, 1);
            if load().0 == percent {
                return;
            }
        }
        panic!("the first member is not heard: {:?}", load());
    }

    /// Serves until `sent` is answered: by which of them, or 2 for neither.
    fn serve(&self, caller: &Phone, sent: &Received) -> usize {
        let (deadline, mut by) = (Instant::now() + Duration::from_secs(4), 2);
        while Instant::now() < deadline {
            for (index, phone) in self.phones.iter().enumerate() {
                if let Some(request) = phone.hear_for(Duration::from_micros(100)) {
                    let answered = self.answer(&request, index);
                    if request.value("Call-ID") == sent.value("Call-ID") {
                        by = answered;
                    }
                }
            }
            let Some(response) = caller.hear_for(Duration::from_micros(200)) else { continue };
            if response.value("Call-ID") != sent.value("Call-ID") {
                continue;
            }
            let status = response.status();
            assert_eq!(status, Some(if by == 2 { 503 } else { 200 }), "{}", response.0);
            assert!(!response.0.contains("oc=") && !response.0.contains("Retry-After"));
            return by;
        }
        panic!("nobody answers\n{}", sent.0);
    }
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn a_member_gets_as_many_requests_fewer_as_it_asks_for() {
    let lab = Lab::up(1);
    lab.reconfigure(|config| {
        let (general, routes) = config.split_once("# Phones register").expect("routes");
        [general, SET, "# Phones register", routes].concat()
    });
    let (caller, mut members) = (Phone::caller("caller", 5071), Members::new());
    let [first, second, none] = members.share(&caller, REQUESTS);
    assert!(first.abs_diff(second) < REQUESTS / 4 && none == 0, "{first} {second} {none}");

    // Of two hundred that it would get it wants a fifth; the other one has the rest.
    members.told = ";oc=80;oc-algo=\"loss\";oc-validity=600000;oc-seq=1.0".to_owned();
    members.share_until(&caller, 80);
    let [first, second, none] = members.share(&caller, REQUESTS);
    assert!((15..=75).contains(&first) && none == 0, "{first} {second} {none}");
    assert_eq!(first + second, REQUESTS);
    let (percent, diverted, refused) = load();
    assert!(percent == 80 && diverted > 90 && refused == 0, "{percent} {diverted} {refused}");
    let shown = trunkline(&["destinations", "--socket", "/run/trunkline/lab/control.sock"]);
    assert!(text(&shown).contains("80 %"), "{}", text(&shown));

    // It is alone: what it does not want is refused. When its time is over it has everything again.
    let drained = trunkline(&[
        "drain",
        "asked",
        "10.77.2.2:5082",
        "--socket",
        "/run/trunkline/lab/control.sock",
    ]);
    assert!(drained.status.success(), "{}", text(&drained));
    // What looks new may be a copy of what left before the change, for so long.
    std::thread::sleep(Duration::from_millis(4_500));
    let [first, second, none] = members.share(&caller, REQUESTS);
    assert!(first.abs_diff(REQUESTS / 5) < 40 && second == 0, "{first} {second} {none}");
    assert_eq!(first + none, REQUESTS);
    members.told = ";oc=100;oc-algo=\"loss\";oc-validity=2000;oc-seq=2.0".to_owned();
    members.share_until(&caller, 100);
    std::thread::sleep(Duration::from_millis(2_100));
    members.told = ASK.to_owned();
    assert_eq!(members.share(&caller, REQUESTS), [REQUESTS, 0, 0]);
    assert_eq!(load().0, 0);
    let status = lab.status();
    assert_eq!(status["conserved"], true, "{status:#}");
}

/// What `trunkline destinations` says of the first member: how many per cent fewer it wants, and what became of them.
fn load() -> (u64, u64, u64) {
    let shown =
        trunkline(&["destinations", "--json", "--socket", "/run/trunkline/lab/control.sock"]);
    let members: Value = serde_json::from_slice(&shown.stdout).expect("members");
    let members = members.as_array().expect("a list");
    let first = members.iter().find(|member| member["address"] == "10.77.2.2:5081");
    let load = &first.expect("the first member")["load"];
    let number = |name: &str| load[name].as_u64().unwrap_or_else(|| panic!("{load:#}"));
    (number("percent"), number("diverted"), number("refused"))
}
