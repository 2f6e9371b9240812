//! What the software says about queues is what the NIC does, and what is in the NIC can be changed under calls.

use crate::appliance::Appliance;
use crate::frames::{Flow, Kind, flows};
use crate::guest::{Guest, QUEUES, RING};
use crate::network::Network;
use nic_config::rss::{Reta, RssKey, Spread};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// 10,000 flows in all.
const FLOWS: [(Kind, usize); 4] =
    [(Kind::Ipv4, 4_000), (Kind::Ipv6, 3_000), (Kind::Vlan, 2_000), (Kind::Fragment, 1_000)];
/// Frames under way: a ring has room for them whatever the guest's workers do meanwhile.
const BURST: usize = RING * 3 / 4;
/// Calls of the live change, and how many begin in a second.
const CALLS: u32 = 1_000;
const CALLS_PER_SECOND: u32 = 40;
/// INVITE, 180, 200, ACK, BYE, 200: each arrives once.
const MESSAGES: u64 = 6;
/// How often key and table change at least while they are placed.
const CHANGES_MIN: usize = 4;

/// One boot serves all: it takes longer than most of them.
#[test]
#[ignore = "needs root and QEMU: make test-nic"]
fn a_nic_with_rss() {
    let network = Network::make();
    // No pattern in them: flows reach the right queues only if every bit is right.
    let mut random = SmallRng::seed_from_u64(7);
    let key = RssKey::new(random.random::<[u8; 40]>()).expect("40 bytes");
    let entries = (0..128).map(|_| random.random_range(0..QUEUES)).collect();
    let reta = Reta::new(entries).expect("a table");
    let mut appliance = Appliance::start(Guest::boot(&network), &key, &reta);
    what_the_configuration_says_is_in_the_port(&mut appliance, &key, &reta);
    flows_reach_the_queues_that_the_software_names(&network, &mut appliance, &FLOWS);
    what_does_not_fit_changes_nothing(&mut appliance);
    key_and_table_change_under_calls(&network, &mut appliance);
    appliance.start_with_rebalance();
    entries_move_under_calls_while_queues_are_uneven(&network, &mut appliance);
    appliance.start_on_kernel_driver();
    the_same_under_its_kernel_driver(&network, &mut appliance);
}

fn what_the_configuration_says_is_in_the_port(
    appliance: &mut Appliance,
    key: &RssKey,
    reta: &Reta,
) {
    let shown = appliance.rss("show --port nic");
    assert_eq!(shown["driver"], "net_virtio");
    assert_eq!(shown["key"], key.to_string());
    assert_eq!(shown["reta"], serde_json::json!(reta.entries()));
    assert_eq!(shown["fields"], "ipv4,ipv6,ipv4-udp,ipv6-udp");
    assert_eq!((&shown["queues"], &shown["undo_steps"]), (&QUEUES.into(), &0.into()));
}

/// The flows that are to reach one queue are sent, and no other queue may get anything.
fn flows_reach_the_queues_that_the_software_names(
    network: &Network,
    appliance: &mut Appliance,
    kinds: &[(Kind, usize)],
) {
    let spread = appliance.spread();
    let mut received = appliance.received();
    for &(kind, count) in kinds {
        let flows = flows(kind, count, count as u64);
        for queue in 0..QUEUES {
            let frames = frames_for(queue, &flows, &spread);
            assert!(frames.len() > count / 4, "{} of {count} for queue {queue}", frames.len());
            for burst in frames.chunks(BURST) {
                let mut expected = received.clone();
                expected[usize::from(queue)] += burst.len() as u64;
                network.send(burst);
                let start = Instant::now();
                while received != expected {
                    let late = start.elapsed() > Duration::from_secs(20);
                    assert!(!late, "{kind:?}, queue {queue}: {received:?}, not {expected:?}");
                    received = appliance.received();
                }
            }
        }
        eprintln!("{count} flows of {kind:?}: each on the queue that the software names");
    }
}

/// All entries name one queue at first; the heaviest, with all that the server says, moves to the other.
fn entries_move_under_calls_while_queues_are_uneven(network: &Network, appliance: &mut Appliance) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut calls = network.calls(folder.path(), CALLS_PER_SECOND, CALLS);
    while !calls.have_ended() {
        sleep(Duration::from_millis(500));
    }
    let (successful, failed) = calls.counts();
    let (received, found) = (appliance.received(), appliance.rebalances());
    eprintln!("{successful} calls, {failed} failed; messages by queue: {received:?}; {found}");
    assert_eq!((successful, failed), (CALLS.into(), 0));
    assert_eq!(received.iter().sum::<u64>(), u64::from(CALLS) * MESSAGES);
    assert!(found["rounds"].as_u64() > Some(0) && found["failures"] == 0, "{found}");
    assert!(received[1] > u64::from(CALLS), "{received:?}");
    let logged = appliance.guest.run("grep -c 'RSS entry moved: ' /run/log/dataplane.log");
    assert_eq!(logged.trim(), found["entries"].to_string());
}

/// By ethtool's ioctl and AF_XDP: a plan is put into the NIC, flows follow it, and it is taken back; what does not fit
/// changes nothing.
fn the_same_under_its_kernel_driver(network: &Network, appliance: &mut Appliance) {
    let before = appliance.rss("show --port nic");
    assert_eq!(before["driver"], "kernel interface eth0");
    let key = RssKey::symmetric(0x1234, 40).expect("40 bytes");
    let reta: Vec<_> = [1, 0, 1, 1].into_iter().cycle().take(128).collect();
    let plan = format!(r#"{{"key": "{key}", "reta": {reta:?}}}"#);
    let plan = appliance.guest.file("kernel-plan.json", &plan);
    let changed = appliance.rss(format_args!("apply {} --port nic", plan.display()));
    assert!(changed["key_changed"] == true && changed["entries_changed"] != 0, "{changed}");
    let shown = appliance.ethtool();
    assert!(shown.contains(&key.to_string()), "{shown}");
    flows_reach_the_queues_that_the_software_names(network, appliance, &[(Kind::Listen, 1_000)]);
    let far = appliance.guest.file("kernel-far.json", &format!(r#"{{"reta": {:?}}}"#, [2; 128]));
    let (said, status) = appliance.try_rss(format_args!("apply {} --port nic", far.display()));
    assert!(status == 2 && said.contains("names queue 2"), "{status}: {said}");
    assert_eq!(appliance.ethtool(), shown);
    let undone = appliance.rss("undo --port nic");
    assert_eq!((&undone["key"], &undone["reta"]), (&before["key"], &before["reta"]));
    eprintln!("under virtio_net, by ioctl: a plan was applied, followed and undone");
}

fn frames_for(queue: u16, flows: &[Flow], spread: &Spread) -> Vec<Vec<u8>> {
    let is_for = |flow: &&Flow| spread.queue(&flow.tuple).queue == queue;
    flows.iter().filter(is_for).map(|flow| flow.frame.clone()).collect()
}

fn what_does_not_fit_changes_nothing(appliance: &mut Appliance) {
    let before = appliance.rss("show --port nic");
    let long = format!(r#"{{"key": "{}"}}"#, vec!["6d"; 52].join(":"));
    let table = |entries: usize, queue: u16| format!(r#"{{"reta": {:?}}}"#, vec![queue; entries]);
    for (name, plan, wanted) in [
        ("long", long, "the key has 52 bytes; this port takes 40"),
        ("large", table(512, 0), "the table has 512 entries; this port has 128"),
        ("odd", table(100, 0), "the table has 100 entries"),
        ("far", table(128, QUEUES), "names queue 2, but there are queues 0 to 1"),
        ("empty", "{}".into(), "neither a key nor a table"),
        ("fields", r#"{"fields": "ipv4"}"#.into(), "plan again with --fields"),
        ("text", "no plan".into(), ""),
    ] {
        let file = appliance.guest.file(name, &plan);
        let (said, status) = appliance.try_rss(format_args!("apply {} --port nic", file.display()));
        assert!(status == 2 && said.contains(wanted), "{name}: {status}: {said}");
    }
    for (command, wanted) in [
        ("undo --port nic", "there is no change to undo"),
        ("undo --port other", "there is no port \"other\"; there are nic"),
    ] {
        let (said, status) = appliance.try_rss(command);
        assert!(status == 2 && said.contains(wanted), "{command}: {status}: {said}");
    }
    assert_eq!(appliance.rss("show --port nic"), before);
    eprintln!("what does not fit is refused and changes nothing");
}

/// Ends with the symmetric key in force and flows that follow it.
fn key_and_table_change_under_calls(network: &Network, appliance: &mut Appliance) {
    let before = appliance.rss("show --port nic");
    let plan = |key: &RssKey, turn: [u16; 4]| {
        let reta: Vec<_> = turn.into_iter().cycle().take(128).collect();
        format!(r#"{{"key": "{key}", "reta": {reta:?}}}"#)
    };
    let microsoft = RssKey::microsoft(40).expect("40 bytes");
    let plans = [
        plan(&microsoft, [0, 1, 0, 1]),
        plan(&RssKey::symmetric(0x1234, 40).expect("40 bytes"), [1, 0, 1, 1]),
        plan(&microsoft, [1, 1, 0, 0]),
    ];
    let files: Vec<_> = (0..)
        .zip(&plans)
        .map(|(number, plan)| appliance.guest.file(&format!("plan{number}.json"), plan))
        .collect();
    let received = appliance.received();
    let folder = tempfile::tempdir().expect("a folder");
    let mut calls = network.calls(folder.path(), CALLS_PER_SECOND, CALLS);
    sleep(Duration::from_secs(2));
    let mut changes = 0;
    for file in files.iter().cycle() {
        let changed = appliance.rss(format_args!("apply {} --port nic", file.display()));
        assert!(changed["key_changed"] == true && changed["entries_changed"] != 0, "{changed}");
        sleep(Duration::from_millis(500));
        let undone = appliance.rss("undo --port nic");
        assert_eq!((&undone["key"], &undone["reta"]), (&before["key"], &before["reta"]));
        sleep(Duration::from_millis(200));
        if calls.have_ended() {
            break;
        }
        changes += 2;
    }
    let now = appliance.received();
    let by_queue: Vec<_> = now.iter().zip(&received).map(|(now, before)| now - before).collect();
    let (successful, failed) = calls.counts();
    eprintln!(
        "{changes} changes, {successful} calls, {failed} failed; messages by queue: {by_queue:?}"
    );
    assert_eq!((successful, failed), (CALLS.into(), 0));
    assert_eq!(by_queue.iter().sum::<u64>(), u64::from(CALLS) * MESSAGES, "{by_queue:?}");
    assert!(changes >= CHANGES_MIN && by_queue.iter().all(|frames| *frames > 0), "{by_queue:?}");

    appliance.rss(format_args!("apply {} --port nic", files[1].display()));
    flows_reach_the_queues_that_the_software_names(network, appliance, &[(Kind::Ipv4, 1_000)]);
}
