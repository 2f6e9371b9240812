//! Several appliances in two stages: users are called through any of them, and hosts die and get well.

use crate::lab::{binary, text, trunkline};
use crate::phone::{Dialog, Phone, Received};
use serde_json::Value;
use std::process::{Command, Output};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long anything may take on a machine that does other work beside.
const PATIENCE: Duration = Duration::from_secs(30);

/// A lab with several hosts, while this value lives.
pub(crate) struct Cluster(());

impl Cluster {
    pub(crate) fn up(topology: &str) -> Self {
        trunkline(&["lab", "down"]);
        let cluster = Self(());
        let output = trunkline(&["lab", "up", "--topology", topology]);
        assert!(output.status.success(), "{}", text(&output));
        cluster
    }

    /// `trunkline lab host WHAT NAME`, which must succeed.
    #[track_caller]
    pub(crate) fn host(&self, what: &str, name: &str) {
        let output = self.lab(&["host", what, name]);
        assert!(output.status.success(), "{what} {name}: {}", text(&output));
    }

    #[expect(clippy::unused_self, reason = "needs a lab that is up")]
    pub(crate) fn lab(&self, arguments: &[&str]) -> Output {
        trunkline(&[&["lab"], arguments].concat())
    }

    /// A host in `trunkline lab host list --json`.
    fn state(&self, name: &str) -> Value {
        let output = self.lab(&["host", "list", "--json"]);
        let list: Value = parsed(&output);
        let hosts = list["hosts"].as_array().expect("hosts");
        hosts.iter().find(|host| host["host"] == name).expect(name).clone()
    }

    /// Whether a host has an answer to ping from another one.
    fn pings(&self, from: &str, address: &str) -> bool {
        self.lab(&["exec", from, "--", "ping", "-c", "1", "-W", "1", address]).status.success()
    }

    /// `trunkline cluster` as a node sees it.
    #[expect(clippy::unused_self, reason = "needs a lab that is up")]
    pub(crate) fn of(&self, node: &str, arguments: &[&str]) -> Output {
        let socket = format!("/run/trunkline/lab/{node}/run/api.sock");
        trunkline(&[&["cluster"], arguments, &["--socket", &socket]].concat())
    }

    /// `trunkline status --json` of an appliance.
    #[expect(clippy::unused_self, reason = "needs a lab that is up")]
    pub(crate) fn status(&self, node: &str) -> Value {
        let socket = format!("/run/trunkline/lab/{node}/run/dataplane.sock");
        parsed(&trunkline(&["status", "--json", "--socket", &socket]))
    }

    /// Whether a second-stage node sees that all of them are up.
    fn sees_all_up(&self, node: &str) -> bool {
        let shares: Value = parsed(&self.of(node, &["shares", "--json"]));
        shares.as_array().is_some_and(|all| all.iter().all(|member| member["state"] == "up"))
    }

    /// Whether the first stage sends to all members of its set.
    #[expect(clippy::unused_self, reason = "needs a lab that is up")]
    fn uses_all(&self) -> bool {
        let socket = "/run/trunkline/lab/f1/run/control.sock";
        let members = parsed(&trunkline(&["destinations", "--json", "--socket", socket]));
        members.as_array().is_some_and(|all| all.iter().all(|one| one["is_in_use"] == true))
    }

    /// Waits until each of these second-stage nodes knows what its share is. Whoever was up first has seen the others
    /// down, and keeps what it took meanwhile.
    #[track_caller]
    fn settles(&self, nodes: &[&str]) {
        until("all see that all are up", || nodes.iter().all(|node| self.sees_all_up(node)));
        // So long they take what looks new for what they had already answered.
        sleep(Duration::from_secs(4));
    }

    /// Messages that an appliance has received.
    pub(crate) fn received(&self, node: &str) -> u64 {
        self.status(node)["total"]["received"].as_u64().expect("a count")
    }

    /// Users of a second-stage node.
    pub(crate) fn users(&self, node: &str) -> u64 {
        self.status(node)["workers"][0]["location"]["aors"].as_u64().expect("a count")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let logs = "cd /run/trunkline/lab && tail -n 20 */logs/*.log; cd -; true";
            let _ = Command::new("sh").args(["-c", logs]).status();
            let list = Command::new(binary("trunkline")).args(["lab", "host", "list"]).output();
            eprintln!("{}", list.map_or_else(|error| error.to_string(), |output| text(&output)));
        }
        trunkline(&["lab", "down"]);
    }
}

/// What a command printed as JSON.
#[track_caller]
pub(crate) fn parsed(output: &Output) -> Value {
    let value = serde_json::from_slice(&output.stdout);
    value.unwrap_or_else(|error| panic!("no JSON ({error}): {}", text(output)))
}

/// Waits until it is so.
#[track_caller]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "not within {} s: {what}", PATIENCE.as_secs());
        sleep(Duration::from_millis(50));
    }
}

/// Registers until it is answered with 200: a node that starts says 503, one that died nothing.
#[track_caller]
pub(crate) fn registers(phone: &Phone) {
    until(&format!("{} registers", phone.user), || {
        let lines = format!("Contact: <{}>\nExpires: 600", phone.contact());
        phone.register(&lines).status() == Some(200)
    });
}

/// Calls until the callee has been reached and the call has ended.
#[track_caller]
pub(crate) fn calls(caller: &Phone, callee: &Phone) {
    until(&format!("{} calls {}", caller.at, callee.user), || call(caller, callee).is_some());
}

/// INVITE, 200, ACK, BYE, 200; none when something did not come. Nobody may say that the callee is not registered.
pub(crate) fn call(caller: &Phone, callee: &Phone) -> Option<()> {
    let second = Duration::from_secs(1);
    let hear = |phone: &Phone, wanted: &dyn Fn(&Received) -> bool| {
        let start = Instant::now();
        while let Some(left) = second.checked_sub(start.elapsed()) {
            let Some(message) = phone.hear_for(left) else { continue };
            assert_ne!(message.status(), Some(480), "{} is registered", callee.user);
            if wanted(&message) {
                return Some(message);
            }
        }
        None
    };
    let invite = caller.asks("INVITE", &callee.aor(), "");
    let same = |message: &Received| message.value("Call-ID") == invite.value("Call-ID");
    let asked = |method: &'static str| {
        move |message: &Received| message.method() == Some(method) && same(message)
    };
    let asked_of = |method| hear(callee, &asked(method));
    let came = asked_of("INVITE")?;
    callee.answers(&came, "200 OK", "");
    let answer = hear(caller, &|message| message.status() == Some(200) && same(message))?;
    let dialog = Dialog::of_caller(&answer);
    caller.asks_within(&dialog, "ACK", Some(invite.cseq()));
    asked_of("ACK")?;
    caller.asks_within(&dialog, "BYE", None);
    let bye = asked_of("BYE")?;
    callee.answers(&bye, "200 OK", "");
    let is_end = |message: &Received| {
        message.status() == Some(200) && message.value("CSeq").ends_with("BYE")
    };
    hear(caller, &|message| is_end(message) && same(message)).map(drop)
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn users_are_called_through_every_first_stage_node_and_still_when_a_second_stage_node_died() {
    let cluster = Cluster::up("s2p2");
    let proxies = ["10.79.0.11:5060", "10.79.0.12:5060"];
    let callee = |number: u16| {
        let (at, proxy) =
            (format!("10.79.0.102:{}", 6_000 + number), proxies[usize::from(number % 2)]);
        Phone::new("uas", &at, proxy, &format!("user{number}"))
    };
    let callees: Vec<_> = (0..16).map(callee).collect();
    let caller = |(number, proxy): (u16, &&str)| {
        Phone::new("uac", &format!("10.79.0.101:{}", 7_000 + number), proxy, "caller")
    };
    let callers: Vec<_> = (0..).zip(&proxies).map(caller).collect();
    let call_all = || {
        for caller in &callers {
            for callee in &callees {
                calls(caller, callee);
            }
        }
    };

    callees.iter().for_each(registers);
    // Each user is held by two nodes, of which one answered its REGISTER.
    until("both second-stage nodes have all users", || {
        [cluster.users("p1"), cluster.users("p2")] == [16, 16]
    });
    call_all();
    until("p1 sees that both are up and get half of the users each", || {
        let shares: Value = parsed(&cluster.of("p1", &["shares", "--json"]));
        let gets_half =
            |member: &Value| member["gets"].as_f64().is_some_and(|gets| (gets - 0.5).abs() < 0.03);
        shares.as_array().is_some_and(|members| members.iter().all(gets_half))
    });
    until("p1 knows where user3 is, and who has him", || {
        let user = text(&cluster.of("p1", &["where", "user3@lab.test"]));
        user.contains("stored: sip:user3@10.79.0.102:6003") && user.contains("(p2)")
    });

    cluster.host("kill", "p1");
    assert_eq!(cluster.state("p1")["state"], "dead");
    // Nobody registers again.
    call_all();
    until("p2 knows of both", || {
        let members = text(&cluster.of("p2", &["members"]));
        members.contains("p1") && members.contains("p2")
    });

    cluster.host("heal", "p1");
    assert_eq!(cluster.state("p1")["state"], "running");
    until("p1 has its users again", || cluster.users("p1") == 16);
    call_all();
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn nodes_of_both_stages_have_each_others_users_and_lose_none_with_one_of_them() {
    let cluster = Cluster::up("b3");
    let proxies = ["10.79.0.21:5060", "10.79.0.22:5060", "10.79.0.23:5060"];
    // Nobody has registered through p3, but it has users as the others.
    let callee = |number: u16| {
        let (at, proxy) =
            (format!("10.79.0.102:{}", 6_000 + number), proxies[usize::from(number % 2)]);
        Phone::new("uas", &at, proxy, &format!("user{number}"))
    };
    let callees: Vec<_> = (0..12).map(callee).collect();
    let caller = |(number, proxy): (u16, &&str)| {
        Phone::new("uac", &format!("10.79.0.101:{}", 7_000 + number), proxy, "caller")
    };
    let callers: Vec<_> = (0..).zip(&proxies).map(caller).collect();
    let call_all = |callers: &[Phone]| {
        for caller in callers {
            for callee in &callees {
                calls(caller, callee);
            }
        }
    };
    let users = || ["p1", "p2", "p3"].map(|node| cluster.users(node));

    cluster.settles(&["p1", "p2", "p3"]);
    callees.iter().for_each(registers);
    until("two of the three nodes have each user", || users().iter().sum::<u64>() == 24);
    assert!(users().iter().all(|users| *users > 0), "{:?}", users());
    call_all(&callers);

    cluster.host("kill", "p3");
    // Nobody registers again.
    call_all(&callers[..2]);
    until("the two that are left have everybody", || {
        ["p1", "p2"].map(|node| cluster.users(node)) == [12, 12]
    });
    cluster.host("heal", "p3");
    until("p3 has its users again", || cluster.users("p3") > 0);
    call_all(&callers);
    until("p1's log says that p3 has started again", || {
        let log = std::fs::read_to_string("/run/trunkline/lab/p1/logs/control.log");
        let line = "cluster: node p3 (member 10.79.0.23:5060) has started again";
        log.is_ok_and(|log| log.contains(line))
    });
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn a_user_is_reached_at_a_node_that_has_him_not_and_when_both_that_have_him_die() {
    let cluster = Cluster::up("s1p3");
    let callee = |number: u16| {
        let at = format!("10.79.0.102:{}", 6_000 + number);
        Phone::new("uas", &at, "10.79.0.11:5060", &format!("user{number}"))
    };
    let callees: Vec<_> = (0..12).map(callee).collect();
    cluster.settles(&["p1", "p2", "p3"]);
    until("f1 sends to all", || cluster.uses_all());
    callees.iter().for_each(registers);
    let users = || ["p1", "p2", "p3"].map(|node| cluster.users(node));
    until("two of the three nodes have each user", || users().iter().sum::<u64>() == 24);
    // As if the first stage had seen a loss before p3 itself.
    let direct = Phone::new("uac", "10.79.0.101:7000", "10.79.0.23:5060", "caller");
    for callee in &callees {
        assert!(call(&direct, callee).is_some(), "{}", callee.user);
    }
    assert_eq!(cluster.users("p3"), 12);
    let lookups = || cluster.status("p3")["workers"][0]["location"]["lookups"].as_u64();
    assert!(lookups() > Some(0));

    cluster.host("kill", "p1");
    cluster.host("kill", "p2");
    // Nobody registers again.
    let caller = Phone::new("uac", "10.79.0.101:7001", "10.79.0.11:5060", "caller");
    for callee in &callees {
        calls(&caller, callee);
    }
    let nobody = Phone::new("uas", "10.79.0.102:6100", "10.79.0.11:5060", "nobody");
    caller.asks("INVITE", &nobody.aor(), "");
    let refused = caller.hear_for(PATIENCE).expect("an answer");
    assert_eq!(refused.status(), Some(480));
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn hosts_and_links_are_cut_paused_slowed_and_healed() {
    let cluster = Cluster::up("s1p2");
    let [f1, p1, p2] = ["10.79.0.11", "10.79.0.21", "10.79.0.22"];

    cluster.host("cut", "p1");
    assert_eq!(cluster.state("p1")["is_cut"], true);
    assert!(!cluster.pings("f1", p1) && cluster.pings("f1", p2));
    cluster.host("slow", "p1");
    assert_eq!(cluster.state("p1")["is_slow"], true);
    cluster.host("heal", "p1");
    until("p1 is reached again", || cluster.pings("f1", p1));
    let state = cluster.state("p1");
    assert_eq!((&state["is_cut"], &state["is_slow"]), (&false.into(), &false.into()));

    assert!(cluster.lab(&["link", "cut", "f1", "p2"]).status.success());
    assert!(!cluster.pings("f1", p2) && !cluster.pings("p2", f1) && cluster.pings("uac", p2));
    assert!(cluster.lab(&["link", "heal", "p2", "f1"]).status.success());
    until("p2 is reached again", || cluster.pings("f1", p2));

    // It says that it is about to go, and stays after all.
    let f1_says = |command: &[&str]| {
        let socket = ["--socket", "/run/trunkline/lab/f1/run/dataplane.sock"];
        let output = trunkline(&[command, &socket].concat());
        (output.status.code(), text(&output))
    };
    assert_eq!(f1_says(&["leave", "--notice", "0"]).0, Some(0));
    until("f1 is about to go", || f1_says(&["health"]).1.contains("about to go"));
    assert!(f1_says(&["status"]).1.contains("about to go"));
    assert_eq!(f1_says(&["leave", "--undo"]).0, Some(0));
    until("f1 stays", || f1_says(&["health"]).0 == Some(0));

    cluster.host("pause", "f1");
    assert_eq!(cluster.state("f1")["state"], "paused");
    assert!(cluster.pings("uac", f1), "the kernel of a paused host answers");
    let phone = Phone::new("uas", "10.79.0.102:6000", "10.79.0.11:5060", "alice");
    phone.asks("OPTIONS", "sip:10.79.0.11", "");
    assert!(phone.hear_for(Duration::from_secs(1)).is_none());
    cluster.host("resume", "f1");
    registers(&phone);

    // The engine goes on without one of its hosts: a replica elsewhere takes over.
    cluster.host("kill", "d1");
    let words = ["--", "redis-cli", "-c", "-h", "10.79.0.32", "set"];
    for key in ["a", "b", "c", "d"] {
        until("the engine takes writes", || {
            let output = cluster.lab(&[&["exec", "p1"], &words[..], &[key, "1"]].concat());
            output.stdout.starts_with(b"OK")
        });
    }
    cluster.host("start", "d1");
    assert_eq!(cluster.state("d1")["state"], "running");

    let refused = cluster.lab(&["host", "kill", "p3"]);
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused));
    assert!(text(&refused).contains("no host `p3` in the lab: d1, "), "{}", text(&refused));
    // Whatever state it is in, it can be taken down.
    cluster.host("pause", "p1");
    cluster.host("kill", "d2");
    assert!(cluster.lab(&["down"]).status.success());
    assert!(!std::path::Path::new("/run/netns/tl-net").exists());
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn all_appliances_are_restarted_one_after_the_other_and_no_call_fails() {
    let seen = campaign(&["--rolling", "--topology", "s2p2"]);
    assert_eq!(seen["what"].as_array().map(Vec::len), Some(4), "{seen}");
    assert!(seen["calls"].as_u64() > Some(200), "{seen}");
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn slots_of_the_engine_move_under_calls_and_the_model_takes_what_was_seen() {
    let seen = campaign(&["--faults", "1", "--only", "slots", "--topology", "s1p2"]);
    assert!(seen["what"][0].as_str().is_some_and(|what| what.starts_with("slots d")), "{seen}");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), seen.to_string()).expect("written");
    let mut model = Command::new(binary("trunkline-bench"));
    let output = model.args(["reliability", "--faults"]).arg(file.path()).output();
    let output = output.expect("trunkline-bench starts");
    assert!(output.status.success() && text(&output).contains("s3p3"), "{}", text(&output));
}

/// `trunkline-bench cluster` with few users: no call and no binding may be lost.
#[track_caller]
fn campaign(arguments: &[&str]) -> Value {
    trunkline(&["lab", "down"]);
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name| folder.path().join(name).display().to_string();
    let (json, history) = (file("cluster.json"), file("history.jsonl"));
    let mut command = Command::new(binary("trunkline-bench"));
    command.arg("cluster").args(arguments).args(["--users", "20"]);
    command.args(["--register-rate", "5", "--call-rate", "10"]);
    let output = command.args(["--json", &json, "--history", &history]).output();
    let output = output.expect("trunkline-bench starts");
    // 1 says that some call took longer than it should, as may be on a busy machine.
    assert!(matches!(output.status.code(), Some(0 | 1)), "{}", text(&output));
    let seen = std::fs::read(&json).expect("written");
    let seen: Value = serde_json::from_slice(&seen).expect("JSON");
    for count in ["unreached_calls", "unended_calls", "lost_bindings"] {
        assert_eq!(seen[count], 0, "{seen}");
    }
    seen
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn a_clock_that_is_an_hour_ahead_is_told_and_harms_no_binding() {
    let cluster = Cluster::up("s1p2");
    cluster.host("kill", "p2");
    until("f1 sees that p2 is gone", || !cluster.uses_all());
    let directory = "/run/trunkline/lab/p2";
    let mut ahead = Command::new("ip");
    ahead.args(["netns", "exec", "tl-p2", "faketime", "-f", "+1h"]).arg(binary("trunkline"));
    ahead.args(["run", "--config", &format!("{directory}/trunkline.toml")]);
    ahead.args(["--log-directory", &format!("{directory}/logs")]);
    let mut ahead = ahead.spawn().expect("faketime is installed");
    let log =
        || std::fs::read_to_string(format!("{directory}/logs/control.log")).unwrap_or_default();
    until("p2 says what is wrong", || {
        log().contains("the clocks of this machine and of the engine are 3600 s apart")
            || log().contains("the clocks of this machine and of the engine are 3599 s apart")
    });
    let proxy = "10.79.0.11:5060";
    let callees: Vec<_> = (0..8)
        .map(|number| {
            let at = format!("10.79.0.102:{}", 6_000 + number);
            Phone::new("uas", &at, proxy, &format!("user{number}"))
        })
        .collect();
    let caller = Phone::new("uac", "10.79.0.101:7000", proxy, "caller");
    until("p2 is used", || cluster.uses_all());
    callees.iter().for_each(registers);
    until("both have all users", || [cluster.users("p1"), cluster.users("p2")] == [8, 8]);
    // What p1 took lives on at p2 as long as it is to, and the other way round.
    cluster.host("kill", "p1");
    for callee in &callees {
        calls(&caller, callee);
    }
    cluster.host("heal", "p1");
    until("p1 has them again", || cluster.users("p1") == 8);
    cluster.host("kill", "p2");
    for callee in &callees {
        calls(&caller, callee);
    }
    ahead.wait().expect("it was killed");
}
