//! Stored bindings in the hands of operators: backups restored while users register, and stores that cannot be
//! read.

use crate::lab::{text, trunkline};
use crate::phone::{DOMAIN, Phone};
use crate::registrar::bindings;
use crate::store::{Load, assert_all_there, fill, lab, status, store, stored, wait_for};
use control::location::ask::directory;
use control::location::json::{AorLine, BindingLine};
use control::location::store::Store;
use std::fs::{read_dir, read_to_string, write};
use std::path::Path;
use std::process::Output;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

/// Users of the backup who do not register meanwhile.
const OTHERS: u32 = 5_000;
/// Users who do, and have another phone in the backup.
const BOTH: u32 = 100;

/// Runs `trunkline location` against the lab.
#[track_caller]
fn location(state: &Path, arguments: &[&str]) -> Output {
    let state = state.display().to_string();
    let place = ["--socket", "/run/trunkline/lab/control.sock", "--state", &state];
    let output = trunkline(&[&["location"], arguments, &place[..]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", text(&output));
    output
}

/// A line of a backup: a user with one phone at 10.77.1.2, for an hour.
fn line(user: &str, port: u16) -> String {
    let ends = SystemTime::now() + Duration::from_hours(1);
    let ends = ends.duration_since(SystemTime::UNIX_EPOCH).expect("a time").as_millis();
    let binding = BindingLine {
        uri: format!("sip:{user}@10.77.1.2:{port}"),
        expires_unix_ms: u64::try_from(ends).expect("a time"),
        q: 1_000,
        source: format!("10.77.1.2:{port}").parse().expect("an address"),
        listen: "10.77.1.1:5060".parse().expect("an address"),
        is_flow: false,
        instance: String::new(),
        reg_id: 0,
        path: String::new(),
        cseq: 1,
        call_id_hash: 1,
        transport: sip_core::Transport::Udp,
    };
    let line = AorLine { aor: format!("{user}@{DOMAIN}"), bindings: vec![binding] };
    serde_json::to_string(&line).expect("JSON") + "\n"
}

fn known() -> u64 {
    status()["workers"][0]["location"]["bindings"].as_u64().unwrap_or_default()
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn a_backup_is_restored_while_users_register() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let (_lab, _folder) = lab(&state, "\n[registrar]\ndurability = \"flushed\"\n");
    let [backup, dump] = ["backup", "dump"].map(|name| folder.path().join(name));
    let [backup_file, dump_file] = [&backup, &dump].map(|path| path.display().to_string());
    let others = (0..OTHERS).map(|number| line(&format!("other{number}"), 5_098));
    let both = (0..BOTH).map(|number| line(&format!("user{number}"), 5_097));
    write(&backup, others.chain(both).collect::<String>()).expect("a backup");
    let load = Load::start(1);
    sleep(Duration::from_millis(500));
    let (mut restored, began) = (0, Instant::now());
    while began.elapsed() < Duration::from_secs(5) {
        location(&state, &["restore", &backup_file]);
        restored += 1;
        let shown = location(&state, &["show", &format!("other7@{DOMAIN}")]);
        assert!(text(&shown).contains("sip:other7@10.77.1.2:5098"), "{}", text(&shown));
        location(&state, &["dump", &dump_file]);
        let dumped = read_to_string(&dump).expect("a dump");
        assert!(dumped.lines().count() >= (OTHERS + BOTH) as usize);
        for dumped in dumped.lines() {
            serde_json::from_str::<AorLine>(dumped).expect("a whole line");
        }
    }
    let answered = load.stop();
    println!("restored {restored} times while {} users registered", answered.len());
    let is_stored = || {
        let status = status();
        status["store"]["unconfirmed"] == 0 && status["workers"][0]["location"]["waiting"] == 0
    };
    wait_for("all is stored", is_stored);
    assert_all_there(&state, &answered, "after the restores");
    let all = answered.len() as u64 + u64::from(OTHERS + BOTH);
    let assert_whole = |when: &str| {
        assert_eq!(known(), all, "{when}, in the workers");
        let stored = stored(&state);
        assert_eq!(stored.len() as u64, all - u64::from(BOTH), "{when}, in the store");
        let phone = Phone::caller("user7", 5996);
        let found = bindings(&phone.register(""));
        let found: Vec<_> = found.iter().map(|(uri, ..)| uri.rsplit(':').next()).collect();
        for port in ["5999", "5097"] {
            assert!(found.contains(&Some(port)), "{when}, user7 has {found:?}");
        }
    };
    assert_whole("after the restores");
    let pid = status()["pid"].as_u64().expect("a pid");
    let killed = std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status();
    assert!(killed.expect("kill runs").success());
    wait_for("another data plane is loaded", || {
        status()["pid"].as_u64().is_some_and(|now| now != pid) && store()["is_loaded"] == true
    });
    assert_whole("after a restart");
}

/// What `trunkline status` prints.
fn printed() -> String {
    text(&trunkline(&["status", "--socket", "/run/trunkline/lab/dataplane.sock"]))
}

fn log() -> String {
    read_to_string("/run/trunkline/lab/control.log").expect("a log")
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn a_store_that_is_broken_is_kept_and_a_new_one_begun() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 3] = [
        ("its mark is overwritten", |store| {
            write(store.join("version"), "garbage").expect("damage")
        }),
        ("its mark is gone", |store| std::fs::remove_file(store.join("version")).expect("damage")),
        ("a file stands there", |store| {
            std::fs::remove_dir_all(store).expect("damage");
            write(store, "something else").expect("damage");
        }),
    ];
    for (what, damage) in damages {
        let state = tempfile::tempdir().expect("a folder");
        fill(state.path(), 1_000);
        let place = directory(state.path());
        damage(&place);
        let before = names(&place);
        let (_lab, _folder) = lab(state.path(), "");
        let aside = store()["set_aside"].as_str().expect("a place").to_owned();
        assert!(aside.starts_with(&format!("{}.unreadable-", place.display())), "{what}: {aside}");
        assert_eq!(names(Path::new(&aside)), before, "{what}: all of it is kept");
        let printed = printed();
        assert!(printed.contains("location store: NEW") && printed.contains(&aside), "{printed}");
        assert!(log().contains("is kept as"), "{what}");
        let phone = Phone::caller("alice", 5061);
        phone.registers("");
        wait_for("it is stored", || stored(state.path()).contains_key("alice"));
    }
}

/// The names in a folder; none in a file.
fn names(folder: &Path) -> Vec<String> {
    let entries = read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.map(|one| one.file_name().to_string_lossy().into()).collect();
    names.sort();
    names
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn a_store_that_cannot_be_read_at_the_start_is_loaded_when_it_can() {
    let state = tempfile::tempdir().expect("a folder");
    fill(state.path(), 1_000);
    let held = Store::open(&directory(state.path())).expect("the store");
    let began = Instant::now();
    // Comes back when the workers answer.
    let (_lab, _folder) = lab(state.path(), "");
    assert!(began.elapsed() > Duration::from_secs(9), "they wait for it first");
    assert_eq!(store()["has_begun_without"], true);
    let reason = store()["degraded"]["reason"].to_string();
    assert!(reason.contains("another process has the store"), "{reason}");
    assert!(printed().contains("location store: NOT LOADED"), "{}", printed());
    assert!(log().contains("the workers begin without what is stored"));
    // Somebody whose other phone is stored.
    let phone = Phone::caller("user00000007", 5061);
    assert_eq!(bindings(&phone.registers("")).len(), 1);
    assert_eq!(known(), 1);
    drop(held);
    wait_for("it is loaded", || store()["has_begun_without"] == false);
    wait_for("the store is well", || store()["degraded"].is_null());
    assert_eq!(known(), 1_001);
    assert_eq!(bindings(&phone.register("")).len(), 2);
    let is_stored = || {
        let line = location(state.path(), &["show", &format!("user00000007@{DOMAIN}")]);
        let said = text(&line);
        said.contains("5061") && said.contains("sip:user00000007@10.0.0.7:5060")
    };
    wait_for("both are stored", is_stored);
}
