//! Disks that are full and disks that fail, under the store of bindings.

use crate::lab::text;
use crate::store::{Load, USERS, assert_all_there, lab, status, store, stored, wait_for};
use control::location::json::lines;
use control::location::store::Store;
use std::collections::HashMap;
use std::fs::File;
use std::path::PathBuf;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

#[track_caller]
fn run(command: &[&str]) {
    let output = Command::new(command[0]).args(&command[1..]).output().expect(command[0]);
    assert!(output.status.success(), "{command:?}: {}", text(&output));
}

/// A small file system of its own, gone with this.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Of this size, such as `48m`.
    fn new(size: &str) -> Self {
        let path = PathBuf::from("/run/trunkline-e2e-disk");
        std::fs::create_dir_all(&path).expect("a folder");
        let disk = Self(path);
        let size = format!("size={size}");
        run(&["mount", "-t", "tmpfs", "-o", &size, "tmpfs", &disk.0.display().to_string()]);
        disk
    }

    /// Takes all the room that is left.
    fn fill(&self) {
        let zeros = vec![0; 1 << 20];
        let mut ballast = std::fs::File::create(self.0.join("ballast")).expect("a file");
        while std::io::Write::write_all(&mut ballast, &zeros).is_ok() {}
    }

    fn empty(&self) {
        std::fs::remove_file(self.0.join("ballast")).expect("the ballast goes");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// A disk whose writes fail while the file system below it has no room: an ext4 on a loop device. It has no
/// journal, so that it can be written again afterwards, as a disk that was away for a moment.
struct FailingDisk {
    path: PathBuf,
    below: SmallDisk,
}

impl FailingDisk {
    fn new() -> Self {
        let disk = Self { path: "/run/trunkline-e2e-loop".into(), below: SmallDisk::new("24m") };
        let image = disk.image();
        let file = File::create(&image).expect("an image");
        file.set_len(256 << 20).expect("an image with holes");
        let options = ["-q", "-F", "-O", "^has_journal", "-N", "1024", "-m", "0", "-e", "continue"];
        run(&[&["mkfs.ext4"], &options[..], &[&image]].concat());
        std::fs::create_dir_all(&disk.path).expect("a folder");
        disk.mount();
        disk
    }

    fn image(&self) -> String {
        self.below.0.join("disk").display().to_string()
    }

    /// The loop device goes with the mount.
    fn mount(&self) {
        run(&["mount", "-o", "loop", &self.image(), &self.path.display().to_string()]);
    }

    fn unmount(&self) {
        run(&["umount", &self.path.display().to_string()]);
    }
}

impl Drop for FailingDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.path).status();
        let _ = std::fs::remove_dir(&self.path);
    }
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn a_full_disk_costs_no_answer_and_is_caught_up_with() {
    let disk = SmallDisk::new("48m");
    let (_lab, _folder) = lab(&disk.0, "\n[registrar]\ndurability = \"flushed\"\n");
    disk.fill();
    let load = Load::start(1);
    wait_for("the data plane says that it is degraded", || store()["degraded"].is_object());
    let reason = store()["degraded"]["reason"].to_string();
    assert!(reason.contains("store"), "{reason}");
    let refreshed = || status()["workers"][0]["location"]["refreshed"].as_u64();
    let before = refreshed();
    wait_for("users register on", || refreshed() > before.map(|count| count + 1_000));
    assert!(store()["degraded"].is_object(), "the disk is still full");
    disk.empty();
    wait_for("the store is well", || store()["degraded"].is_null());
    let answered = load.stop();
    wait_for("it has caught up", || {
        let status = status();
        status["store"]["unconfirmed"] == 0 && status["workers"][0]["location"]["waiting"] == 0
    });
    assert_eq!(answered.len(), USERS as usize);
    assert_all_there(&disk.0, &answered, "after the disk was full");
}

/// Has users register for a moment while the disk fails; gives what was answered.
fn fail_and_come_back(disk: &FailingDisk, first: u32) -> HashMap<String, u32> {
    let load = Load::start(first);
    sleep(Duration::from_millis(500));
    disk.below.fill();
    wait_for("the data plane says that it is degraded", || store()["degraded"].is_object());
    println!("degraded: {}", store()["degraded"]["reason"]);
    let refreshed = || status()["workers"][0]["location"]["refreshed"].as_u64();
    let before = refreshed();
    wait_for("users register on", || refreshed() > before.map(|count| count + 1_000));
    assert!(store()["degraded"].is_object(), "the disk still fails");
    disk.below.empty();
    wait_for("the store is well", || store()["degraded"].is_null());
    let answered = load.stop();
    wait_for("it has caught up", || {
        let status = status();
        status["store"]["unconfirmed"] == 0 && status["workers"][0]["location"]["waiting"] == 0
    });
    answered
}

#[test]
#[ignore = "needs root, loop devices and the lab: make e2e"]
fn a_disk_that_fails_costs_no_answer_and_is_caught_up_with() {
    let disk = FailingDisk::new();
    let (lab, _folder) = lab(&disk.path, "\n[registrar]\ndurability = \"flushed\"\n");
    let mut answered = HashMap::new();
    for round in 0..3 {
        answered.extend(fail_and_come_back(&disk, 1 + round * 10_000_000));
        assert_all_there(&disk.path, &answered, "after the disk has failed");
    }
    let log = std::fs::read_to_string("/run/trunkline/lab/control.log").expect("a log");
    assert!(log.contains("the store takes nothing"), "an fsync has failed:\n{log}");
    assert_eq!(store()["set_aside"], "", "nothing was broken by it");
    drop(lab);
    // It is on the disk and not only in the kernel's memory.
    disk.unmount();
    disk.mount();
    let store = Store::open(&control::location::ask::directory(&disk.path)).expect("the store");
    for (user, cseq) in &answered {
        let record = store.get(&format!("{user}@{}", crate::phone::DOMAIN)).expect("it reads");
        let found = lines(&record.unwrap_or_default()).expect("a record");
        let found = found.first().map(|line| line.bindings[0].cseq);
        assert!(found >= Some(*cseq), "{user} had its 200 for {cseq}, on the disk is {found:?}");
    }
    drop(store);
    disk.unmount();
}

/// The mount point of a disk that was taken away is no place for a store.
#[test]
#[ignore = "needs root, loop devices and the lab: make e2e"]
fn a_disk_that_is_gone_is_waited_for() {
    let disk = SmallDisk::new("48m");
    let state = disk.0.join("state");
    let (_lab, _folder) = lab(&state, "\n[registrar]\ndurability = \"flushed\"\n");
    let load = Load::start(1);
    sleep(Duration::from_millis(500));
    // As if the disk was no more mounted, and its last write had failed.
    let away = disk.0.join("away");
    std::fs::rename(&state, &away).expect("the state goes");
    disk.fill();
    wait_for("the data plane says that it is degraded", || store()["degraded"].is_object());
    disk.empty();
    wait_for("it says what is gone", || {
        store()["degraded"]["reason"].to_string().contains("is gone")
    });
    assert!(!state.join("location").exists(), "nothing is begun in its place");
    let _ = std::fs::remove_dir_all(&state);
    std::fs::rename(&away, &state).expect("the state is back");
    wait_for("the store is well", || store()["degraded"].is_null());
    let answered = load.stop();
    wait_for("it has caught up", || {
        let status = status();
        status["store"]["unconfirmed"] == 0 && status["workers"][0]["location"]["waiting"] == 0
    });
    assert_all_there(&state, &answered, "after the disk was gone");
    assert!(!stored(&state).is_empty());
}
