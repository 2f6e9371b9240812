//! Calls with transactions: losses repaired, calls cancelled, refused, forked, and sent elsewhere when a
//! destination fails.

use crate::lab::{Lab, assert_passed, text};
use crate::sipp::Step::{
    Again, Answer, Asked, AskedAckOfProxy, Confirm, Got, MayBeAsked, Send, Wait, Within,
};
use crate::sipp::{Callee, Step, call};
use std::fmt::Write;
use std::path::Path;

/// Calls of each scenario.
const CALLS: u32 = 50;
/// The same, and how many are placed in a second.
const PACE: [u32; 2] = [CALLS, 100];
/// Calls of a run in which their number counts, and how many are placed in a second.
const MANY: [u32; 2] = [20_000, 5_000];

/// A member of a set: its port, and its priority.
type Member = (u16, u8);

/// Users, how their requests fork, and the members of their sets. Nobody listens at 5091, and what goes
/// to 5099 is lost.
const SETS: [(&str, &str, &[Member]); 5] = [
    ("fork", "parallel", &[(5081, 0), (5082, 0), (5083, 0)]),
    ("hunt", "serial", &[(5081, 0), (5082, 1)]),
    ("closed", "no", &[(5091, 0), (5060, 1)]),
    ("silent", "no", &[(5099, 0), (5060, 1)]),
    ("nobody", "no", &[(5099, 0)]),
];

/// What the caller does in a call that goes well.
const WHOLE: [Step; 6] =
    [Send("INVITE"), Got(100), Got(200), Within("ACK"), Within("BYE"), Got(200)];

/// What the callee does.
const ANSWERS: [Step; 7] = [
    Asked("INVITE"),
    Answer("180 Ringing"),
    Wait(100),
    Answer("200 OK"),
    Asked("ACK"),
    Asked("BYE"),
    Confirm("200 OK"),
];

/// What a callee does that rings until it is cancelled.
const CANCELLED: [Step; 6] = [
    Asked("INVITE"),
    Answer("180 Ringing"),
    Asked("CANCEL"),
    Confirm("200 OK"),
    Answer("487 Request Terminated"),
    AskedAckOfProxy,
];

/// A lab whose routes are all stateful, with the sets above, and this T1 in milliseconds.
pub(crate) fn stateful(t1_ms: u32, transactions: u32) -> (Lab, tempfile::TempDir) {
    stateful_on(1, t1_ms, transactions)
}

/// The same with so many queues.
fn stateful_on(queues: u16, t1_ms: u32, transactions: u32) -> (Lab, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let machine = nic_config::Machine::probe().expect("a machine");
    let lcores: Vec<_> = machine.lcores.into_keys().collect();
    let config = control::lab::default_config(queues, &lcores).expect("the lab's configuration");
    let config = transactions_on_all_routes(&config);
    let (general, routes) = config.split_once("# The user part").expect("routes");
    let mut sets = String::new();
    for (user, fork, members) in SETS {
        let member = |(port, priority): &Member| {
            format!("{{ address = \"10.77.2.2:{port}\", priority = {priority} }}")
        };
        let members: Vec<_> = members.iter().map(member).collect();
        let _ = write!(
            sets,
            "[[destination_sets]]\nname = \"{user}\"\nprobe = false\nmembers = [{}]\n\n\
             [[routes]]\nmatch = {{ user_prefixes = [\"{user}\"] }}\nforward = \"{user}\"\n\
             stateful = true\nfork = \"{fork}\"\n\n",
            members.join(", ")
        );
    }
    let timers = format!("\n[transactions]\nt1_ms = {t1_ms}\nfailover_ms = 300\n");
    let memory = format!("\n[memory]\ntransactions = {transactions}\n");
    let file = folder.path().join("trunkline.toml");
    let all = [general, sets.as_str(), "# The user part", routes, &timers, &memory].concat();
    std::fs::write(&file, all).expect("a configuration");
    let lab = Lab::up_with(&["--config", &file.display().to_string()]);
    // Datagrams to this port are lost without an error.
    filter(&lab, "uas", "ingress", "udp dport 5099 drop");
    (lab, folder)
}

/// The lab's configuration with transactions for all that it forwards.
pub(crate) fn transactions_on_all_routes(config: &str) -> String {
    config.replace("\nforward = ", "\nstateful = true\nforward = ")
}

/// Drops what a rule of nftables says at the interface of a host, before its IP or after it: there,
/// senders are not told.
fn filter(lab: &Lab, host: &str, hook: &str, rule: &str) {
    let table = format!(
        "table netdev {hook} {{ chain drops {{ type filter hook {hook} device eth0 priority 0; {rule}; }}; }}"
    );
    let output = lab.exec(host, &["nft", &table]);
    assert!(output.status.success(), "{}", text(&output));
}

/// The transactions of all workers: a gauge or counter.
fn transactions(lab: &Lab, name: &str) -> u64 {
    let status = lab.status();
    let workers = status["workers"].as_array().expect("workers").clone();
    workers.iter().map(|worker| worker["transactions"][name].as_u64().expect(name)).sum()
}

/// Runs a callee at 5060 and calls it.
fn call_one(lab: &Lab, folder: &Path, user: &str, caller: &[Step], callee: &[Step]) {
    let running = Callee::start(lab, folder, "5060", CALLS, callee);
    call(lab, folder, user, PACE, caller);
    running.passed();
    lab.assert_conserved();
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn five_thousand_calls_a_second_with_transactions() {
    // Two transactions for each call, all of which are alive for 64 T1.
    let (lab, _folder) = stateful(500, 131_072);
    let [calls, rate] = MANY.map(|number| number.to_string());
    let report = lab.call(&["--calls", &calls, "--rate", &rate, "--flows", "one"]);
    assert_passed(&report, MANY[0].into());
    assert!(transactions(&lab, "opened") >= 2 * u64::from(MANY[0]), "{report:#}");
    assert_eq!(transactions(&lab, "refused_full"), 0);
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn responses_find_the_worker_that_sent_the_request() {
    let (lab, _folder) = stateful_on(2, 500, 65_536);
    // The callee answers from one port to one port: all its responses come to one queue. SIPp has 500
    // ports for the calls of a moment, and writes port 0 into the Via of others.
    let report = lab.call(&["--calls", "1000", "--rate", "500", "--flows", "many"]);
    assert_passed(&report, 1_000);
    let workers = report["dataplane"]["workers"].as_array().expect("workers").clone();
    let of = |what: &str| workers.iter().map(|worker| worker[what].as_u64().expect(what)).sum();
    let (off, into): (u64, u64) = (of("handed_off"), of("handed_in"));
    assert!(off > 500 && off == into, "{report:#}");
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn two_per_cent_of_loss_on_every_way_is_repaired() {
    let (lab, folder) = stateful(500, 131_072);
    for host in ["uac", "uas"] {
        for hook in ["ingress", "egress"] {
            filter(&lab, host, hook, "meta l4proto udp numgen random mod 100 < 2 drop");
        }
    }
    // SIPp's own callee gives a call up when both its 180 and its 200 are lost and the INVITE comes
    // again; this one answers that with its 200. It answers BYE for as long as BYE may come.
    let callee = [
        Asked("INVITE"),
        Answer("200 OK"),
        MayBeAsked("ACK"),
        Asked("BYE"),
        Confirm("200 OK"),
        Wait(32_000),
    ];
    let callee = Callee::start(&lab, folder.path(), "5060", MANY[0], &callee);
    let caller = [Send("INVITE"), Got(200), Within("ACK"), Within("BYE"), Got(200)];
    call(&lab, folder.path(), "bob", MANY, &caller);
    drop(callee);
    lab.assert_conserved();
    let calls = u64::from(MANY[0]);
    assert!(transactions(&lab, "retransmitted") > calls / 100);
    assert!(transactions(&lab, "requests_absorbed") > calls / 100);
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn a_call_is_cancelled_while_it_rings() {
    let (lab, folder) = stateful(500, 65_536);
    let caller = [
        Send("INVITE"),
        Got(100),
        Got(180),
        Wait(50),
        Send("CANCEL"),
        Got(200),
        Got(487),
        Send("ACK"),
    ];
    call_one(&lab, folder.path(), "bob", &caller, &CANCELLED);
    assert!(transactions(&lab, "cancelled") >= u64::from(CALLS));
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn a_callee_that_never_answers_gives_408() {
    let (lab, folder) = stateful(50, 65_536);
    call(&lab, folder.path(), "nobody", PACE, &[Send("INVITE"), Got(100), Got(408), Send("ACK")]);
    assert!(transactions(&lab, "timed_out") >= u64::from(CALLS));
    lab.assert_conserved();
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn a_callee_that_is_busy_gets_one_ack_and_it_is_ours() {
    let (lab, folder) = stateful(500, 65_536);
    let caller = [Send("INVITE"), Got(100), Got(486), Send("ACK")];
    let callee = [Asked("INVITE"), Answer("486 Busy Here"), AskedAckOfProxy, Wait(200)];
    call_one(&lab, folder.path(), "bob", &caller, &callee);
    assert!(transactions(&lab, "requests_absorbed") >= u64::from(CALLS), "the callers' ACKs");
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn of_three_callees_that_ring_one_answers_and_the_others_are_cancelled() {
    let (lab, folder) = stateful(500, 65_536);
    let folder = folder.path();
    let ringing = ["5082", "5083"].map(|port| Callee::start(&lab, folder, port, CALLS, &CANCELLED));
    let answering = Callee::start(&lab, folder, "5081", CALLS, &ANSWERS);
    call(&lab, folder, "fork", PACE, &WHOLE);
    answering.passed();
    ringing.into_iter().for_each(Callee::passed);
    assert_eq!(transactions(&lab, "cancelled"), 2 * u64::from(CALLS));
    lab.assert_conserved();
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn of_two_callees_the_second_is_asked_when_the_first_is_busy() {
    let (lab, folder) = stateful(500, 65_536);
    let folder = folder.path();
    let busy = [Asked("INVITE"), Answer("486 Busy Here"), AskedAckOfProxy];
    let busy = Callee::start(&lab, folder, "5081", CALLS, &busy);
    let answering = Callee::start(&lab, folder, "5082", CALLS, &ANSWERS);
    call(&lab, folder, "hunt", PACE, &WHOLE);
    busy.passed();
    answering.passed();
    lab.assert_conserved();
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn a_dead_destination_costs_a_moment_and_no_call() {
    let (lab, folder) = stateful(500, 65_536);
    for user in ["closed", "silent"] {
        let before = transactions(&lab, "failed_over");
        call_one(&lab, folder.path(), user, &WHOLE, &ANSWERS);
        assert!(transactions(&lab, "failed_over") - before >= u64::from(CALLS), "{user}");
    }
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn an_invite_that_comes_twice_reaches_the_callee_once() {
    let (lab, folder) = stateful(500, 65_536);
    let caller = [&[Send("INVITE"), Got(100), Again][..], &WHOLE[2..]].concat();
    call_one(&lab, folder.path(), "bob", &caller, &ANSWERS);
    let status = lab.status();
    let queues = status["queues"].as_array().expect("queues");
    let of = |port: &str, what: &str| -> u64 {
        let queues = queues.iter().filter(|queue| queue["port"] == port);
        queues.filter_map(|queue| queue[what].as_u64()).sum()
    };
    // INVITE, ACK and BYE of each caller go on. SIPp takes our second 100 for a retransmission and sends
    // the INVITE once more, until the callee says something.
    let calls = u64::from(CALLS);
    assert_eq!(of("uac0", "forwarded"), 3 * calls, "{status:#}");
    assert!(of("uac0", "absorbed") >= calls, "{status:#}");
    assert_eq!(of("uac0", "received"), 3 * calls + of("uac0", "absorbed"), "{status:#}");
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn a_full_table_refuses_what_needs_it_and_nothing_else() {
    let (lab, folder) = stateful(500, CALLS);
    lab.reconfigure(|config| {
        let plain = "[[routes]]\nmatch = { user_prefixes = [\"plain\"] }\nforward = \"uas\"\n\n";
        config.replacen("[[routes]]", &[plain, "[[routes]]"].concat(), 1)
    });
    let (refused, busy) = ([Send("INVITE"), Got(486), Send("ACK")], "486 Busy Here");
    // A refusal is remembered for 32 s.
    let callee = [Asked("INVITE"), Answer(busy), AskedAckOfProxy];
    call_one(&lab, folder.path(), "bob", &refused, &callee);
    call(&lab, folder.path(), "bob", PACE, &[Send("INVITE"), Got(503), Send("ACK")]);
    assert_eq!(transactions(&lab, "refused_full"), u64::from(CALLS));
    let callee = [Asked("INVITE"), Answer(busy), Asked("ACK")];
    call_one(&lab, folder.path(), "plain", &refused, &callee);
}
