//! The store of bindings under blows: processes that are killed while users register. What had its 200 must
//! be there.

use crate::lab::{Lab, text, trunkline};
use crate::phone::{DOMAIN, Phone};
use control::location::store::Store;
use serde_json::Value;
use sip_core::record::{BindingView, write};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant, SystemTime};

/// Kills in a plain run. `TRUNKLINE_KILLS=50` is what the project promises.
const KILLS: u32 = 10;
/// Users that register, one after the other and again.
pub(crate) const USERS: u32 = 2_000;
/// REGISTER requests that are on their way at a time.
const WINDOW: usize = 64;

/// Who registers, for as long as he lives: gives for each user the highest CSeq that had its 200.
pub(crate) struct Load {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<HashMap<String, u32>>,
}

impl Load {
    /// CSeqs count up from `first`.
    pub(crate) fn start(first: u32) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&is_over);
        Self { is_over, thread: std::thread::spawn(move || register_until(&until, first)) }
    }

    pub(crate) fn stop(self) -> HashMap<String, u32> {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().expect("the load ends")
    }
}

fn user(cseq: u32) -> String {
    format!("user{}", cseq.wrapping_mul(2_654_435_761) % USERS)
}

fn register_until(is_over: &AtomicBool, first: u32) -> HashMap<String, u32> {
    let phone = Phone::caller("load", 5999);
    let (mut answered, mut waiting, mut cseq) = (HashMap::new(), 0, first);
    while !is_over.load(Ordering::Relaxed) {
        while waiting < WINDOW {
            phone.send(&request(&user(cseq), cseq));
            (cseq, waiting) = (cseq + 1, waiting + 1);
        }
        // What is lost is lost: users register again anyway.
        let Some(answer) = phone.hear_for(Duration::from_millis(100)) else {
            waiting = 0;
            continue;
        };
        waiting = waiting.saturating_sub(1);
        if answer.status() == Some(200) {
            let newest: &mut u32 = answered.entry(user(answer.cseq())).or_default();
            *newest = (*newest).max(answer.cseq());
        }
    }
    // What is still on its way counts as well.
    while let Some(answer) = phone.hear_for(Duration::from_millis(50)) {
        if answer.status() == Some(200) {
            let newest: &mut u32 = answered.entry(user(answer.cseq())).or_default();
            *newest = (*newest).max(answer.cseq());
        }
    }
    answered
}

fn request(user: &str, cseq: u32) -> String {
    format!(
        "REGISTER sip:{DOMAIN} SIP/2.0\nVia: SIP/2.0/UDP 10.77.1.2:5999;branch=z9hG4bK-{cseq};rport\n\
         Max-Forwards: 70\nFrom: <sip:{user}@{DOMAIN}>;tag=1\nTo: <sip:{user}@{DOMAIN}>\n\
         Call-ID: {user}\nCSeq: {cseq} REGISTER\nContact: <sip:{user}@10.77.1.2:5999>\n\
         Expires: 3600\nContent-Length: 0\n\n"
    )
}

/// The lab with this much more of configuration, and its state where it is said.
pub(crate) fn lab(state: &Path, more: &str) -> (Lab, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let machine = nic_config::Machine::probe().expect("a machine");
    let lcores: Vec<_> = machine.lcores.into_keys().collect();
    let config = control::lab::default_config(1, &lcores).expect("a configuration");
    let config = config
        .lines()
        .map(|line| {
            if line.starts_with("state_directory") {
                format!("state_directory = \"{}\"\n", state.display())
            } else {
                format!("{line}\n")
            }
        })
        .collect::<String>();
    let file = folder.path().join("trunkline.toml");
    std::fs::write(&file, config + more).expect("a configuration");
    let lab = Lab::up_with(&["--config", &file.display().to_string()]);
    wait_for("what is stored is loaded", || store()["is_loaded"] == true);
    (lab, folder)
}

pub(crate) fn status() -> Value {
    let output = trunkline(&["status", "--json", "--socket", "/run/trunkline/lab/dataplane.sock"]);
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

pub(crate) fn store() -> Value {
    status()["store"].clone()
}

#[track_caller]
pub(crate) fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(30), "not within 30 s: {what}");
        sleep(Duration::from_millis(20));
    }
}

/// What the store has: the newest CSeq of each user.
pub(crate) fn stored(state: &Path) -> HashMap<String, u32> {
    let output = trunkline(&[
        "location",
        "dump",
        "--socket",
        "/run/trunkline/lab/control.sock",
        "--state",
        &state.display().to_string(),
    ]);
    assert!(output.status.success(), "{}", text(&output));
    let lines = String::from_utf8(output.stdout).expect("JSON");
    let read = |line: &str| {
        let line: Value = serde_json::from_str(line).expect("a line of JSON");
        let user = line["aor"].as_str().and_then(|aor| aor.split('@').next()).expect("an AoR");
        let bindings = line["bindings"].as_array().expect("bindings");
        let cseq = bindings.iter().filter_map(|one| one["cseq"].as_u64()).max().expect("a CSeq");
        (user.to_owned(), u32::try_from(cseq).expect("a CSeq"))
    };
    lines.lines().map(read).collect()
}

/// Asserts that the store has what was answered, or what came later, and that the workers have it too.
#[track_caller]
pub(crate) fn assert_all_there(state: &Path, answered: &HashMap<String, u32>, round: &str) {
    let stored = stored(state);
    for (user, cseq) in answered {
        let found = stored.get(user).copied();
        assert!(
            found >= Some(*cseq),
            "{round}: {user} had its 200 for {cseq}, stored is {found:?}"
        );
    }
    let aors: u64 = status()["workers"]
        .as_array()
        .map(|workers| workers.iter().filter_map(|w| w["location"]["bindings"].as_u64()).sum())
        .unwrap_or_default();
    assert!(aors >= answered.len() as u64, "{round}: {aors} of {} in the workers", answered.len());
}

fn pid_of_control() -> u64 {
    let pid = std::fs::read_to_string("/run/trunkline/lab/control.pid").unwrap_or_default();
    pid.trim().parse().unwrap_or_default()
}

fn kill(pids: &[u64]) {
    let pids: Vec<_> = pids.iter().map(u64::to_string).collect();
    let status = Command::new("kill").arg("-KILL").args(pids).status();
    assert!(status.expect("kill runs").success());
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn what_had_its_200_survives_any_kill() {
    let kills = std::env::var("TRUNKLINE_KILLS").ok().and_then(|text| text.parse().ok());
    let state = PathBuf::from("/run/trunkline/lab/state");
    let (_lab, _folder) = lab(&state, "\n[registrar]\ndurability = \"flushed\"\n");
    let (mut all, mut answered_in_all) = (HashMap::new(), 0);
    for round in 0..kills.unwrap_or(KILLS) {
        let load = Load::start(1 + round * 10_000_000);
        sleep(Duration::from_millis(200 + u64::from(round) * 7_919 % 900));
        let (dataplane, control) = (status()["pid"].as_u64().expect("a pid"), pid_of_control());
        let (name, pids) = match round % 3 {
            0 => ("data plane", vec![dataplane]),
            1 => ("control", vec![control]),
            _ => ("both", vec![dataplane, control]),
        };
        kill(&pids);
        if round % 3 == 1 {
            // The load goes on, and so do answers, when control is back.
            wait_for("another control", || ![0, control].contains(&pid_of_control()));
            sleep(Duration::from_millis(300));
        }
        let answered = load.stop();
        answered_in_all += answered.len();
        all.extend(answered);
        if round % 3 != 1 {
            wait_for("another data plane", || {
                status()["pid"].as_u64().is_some_and(|pid| pid != dataplane)
            });
        }
        wait_for("all is loaded", || {
            let store = store();
            store["is_loaded"] == true && store["is_connected"] == true && store["unconfirmed"] == 0
        });
        assert_all_there(&state, &all, &format!("round {round}, {name} killed"));
    }
    assert!(answered_in_all > 1_000, "too little to prove anything: {answered_in_all}");
    println!("{answered_in_all} users answered between the kills, {} different ones", all.len());
}

/// `store = "none"`: users are in the workers, nothing is on the disk, and who asks for it is told so.
#[test]
#[ignore = "needs root and the lab: make e2e"]
fn without_a_store_bindings_are_in_memory_only() {
    let state = PathBuf::from("/run/trunkline/lab/state");
    let none = "\n[registrar]\nstore = \"none\"\ndurability = \"memory\"\n";
    let (_lab, _folder) = lab(&state, none);
    let load = Load::start(1);
    sleep(Duration::from_millis(500));
    assert!(load.stop().len() > 100, "too few were answered");
    let status = status();
    assert_eq!(status["store"]["is_none"], true, "{status:#}");
    assert_eq!(status["store"]["confirmed"], 0, "{status:#}");
    let workers = status["workers"].as_array().expect("workers");
    assert!(workers.iter().all(|worker| worker["location"]["waiting"] == 0), "{status:#}");
    assert!(!state.join("location").exists(), "there is a store");
    let socket = ["--socket", "/run/trunkline/lab/control.sock"];
    let output = trunkline(&[&["location", "dump"][..], &socket].concat());
    assert!(text(&output).contains("store = \"none\""), "{}", text(&output));
    let table = trunkline(&["status", "--socket", "/run/trunkline/lab/dataplane.sock"]);
    assert!(text(&table).contains("location store: none, bindings"), "{}", text(&table));
}

/// Fills a store with users that have one binding each, as phones make them.
pub(crate) fn fill(state: &Path, users: u32) {
    let store = Store::open(&control::location::ask::directory(state)).expect("a store");
    let expires = SystemTime::now() + Duration::from_hours(1);
    let expires = expires.duration_since(SystemTime::UNIX_EPOCH).expect("a time").as_millis();
    let mut records = Vec::new();
    for user in 0..users {
        let address = format!("10.{}.{}.{}:5060", user >> 16, user >> 8 & 255, user & 255);
        let (uri, instance) = (
            format!("sip:user{user:08}@{address};transport=udp"),
            format!("\"<urn:uuid:00000000-0000-1000-8000-0000{user:08}>\""),
        );
        let binding = BindingView {
            uri: uri.as_bytes(),
            instance: instance.as_bytes(),
            path: b"",
            expires_unix_ms: u64::try_from(expires).expect("a time"),
            call_id_hash: user.into(),
            cseq: 1,
            reg_id: 0,
            q: 1_000,
            is_flow: false,
            source: address.parse().expect("an address"),
            listen: "10.77.1.1:5060".parse().expect("an address"),
            transport: sip_core::Transport::Udp,
        };
        write(&format!("user{user:08}@{DOMAIN}"), &[binding], &mut records).expect("a record");
        if records.len() > 8 << 20 {
            store.commit([records.as_slice()].into_iter()).expect("room");
            records.clear();
        }
    }
    store.commit([records.as_slice()].into_iter()).expect("room");
}

/// `TRUNKLINE_AORS=5000000` is what the project promises to load within 10 s; it needs 4 GB of memory.
#[test]
#[ignore = "needs root and the lab: make e2e"]
fn what_is_stored_is_loaded_soon() {
    let users = std::env::var("TRUNKLINE_AORS").ok().and_then(|text| text.parse().ok());
    let users = users.unwrap_or(200_000);
    let state = tempfile::tempdir().expect("a folder");
    let began = Instant::now();
    fill(state.path(), users);
    println!("stored {users} AoRs in {:.1} s", began.elapsed().as_secs_f64());
    let room = format!("\n[memory]\naors = {users}\nbindings = {users}\n");
    let began = Instant::now();
    let (_lab, _folder) = lab(state.path(), &room);
    println!("the lab was up and they were loaded after {:.1} s", began.elapsed().as_secs_f64());
    let log = std::fs::read_to_string("/run/trunkline/lab/control.log").expect("a log");
    let line = log.lines().find(|line| line.contains("bindings that were stored"));
    println!("{}", line.expect("control has said so"));
    assert_eq!(store()["loaded"], users);
    assert_eq!(store()["load_refused"], 0);
}

/// What it costs to wait for the disk; the figures are printed.
#[test]
#[ignore = "needs root and the lab: make e2e"]
fn flushed_costs_latency() {
    for durability in ["memory", "flushed"] {
        let state = tempfile::tempdir().expect("a folder");
        let more = format!("\n[registrar]\ndurability = \"{durability}\"\n");
        let (_lab, _folder) = lab(state.path(), &more);
        let phone = Phone::caller("one", 5999);
        let mut times: Vec<Duration> = (1..=500)
            .map(|cseq| {
                let began = Instant::now();
                phone.send(&request(&user(cseq), cseq));
                let answer = phone.hear_for(Duration::from_secs(5)).expect("an answer");
                assert_eq!(answer.status(), Some(200), "{}", answer.0);
                began.elapsed()
            })
            .collect();
        drop(phone);
        times.sort();
        let load = Load::start(1_000_000);
        let registered = || {
            let location = status()["workers"][0]["location"].clone();
            location["registered"].as_u64().unwrap_or(0)
                + location["refreshed"].as_u64().unwrap_or(0)
        };
        sleep(Duration::from_millis(500));
        let (began, before) = (Instant::now(), registered());
        sleep(Duration::from_secs(3));
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = (registered() - before) as f64 / began.elapsed().as_secs_f64();
        load.stop();
        println!(
            "{durability}: one after the other {:.2} ms in the middle, {:.2} ms for 99 %; \
             {WINDOW} at a time {rate:.0} per second",
            times[250].as_secs_f64() * 1e3,
            times[494].as_secs_f64() * 1e3,
        );
    }
}
