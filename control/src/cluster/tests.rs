//! Nodes without a data plane over a real Redis Cluster.

#[path = "../../tests/common/redis_cluster.rs"]
mod redis_cluster;

use super::engine::Engine;
use super::fields::Change;
use super::keys::shard_of;
use super::share::Share;
use super::{Asker, EngineKeeper, ForWorkers, Identity, Picture, Replacements, ShareOf};
use crate::config::Cluster;
use crate::health::{Impaired, States};
use crate::location::json::{AorLine, BindingLine, lines};
use crate::location::keeper::{Changes, Confirm, KeeperHandle, Piece};
use control_api::operator::MemberState;
use redis_cluster::{RedisCluster, RedisServer};
use sip_core::record::records;
use sip_core::{DestinationSet, HashKey, Member, Settings};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);
/// The user of most tests.
const ALICE: &str = "alice@example.com";

/// A node, with what its data plane would hear.
struct Node {
    keeper: KeeperHandle,
    replaced: Replacements,
    states: watch::Sender<States>,
    _settings: watch::Sender<Arc<Settings>>,
    confirm: Confirm,
    confirmed: mpsc::UnboundedReceiver<(u16, u64)>,
    /// Of the last replacement that its workers have seen.
    seen: u64,
    number: u64,
    picture: watch::Receiver<Picture>,
}

fn member(index: u8) -> SocketAddr {
    format!("192.0.2.{}:5060", 20 + index).parse().unwrap()
}

fn cluster(engine: &RedisCluster, name: &str, copies: u8) -> Cluster {
    Cluster {
        name: name.into(),
        node: None,
        members: "users".into(),
        member: None,
        copies,
        engine: engine.addresses(),
        username: None,
        password_file: None,
    }
}

/// Three members share users.
fn settings(secret: [u8; 16]) -> Settings {
    let set = DestinationSet {
        name: "users".into(),
        hash: HashKey::Aor,
        members: (0..3).map(|index| Member::new(member(index))).collect(),
        ..DestinationSet::default()
    };
    Settings { secret, sets: vec![set], ..Settings::default() }
}

/// A user whom this member gets.
fn user_of(engine: &RedisCluster, index: u8) -> String {
    let share = Share::new(&cluster(engine, "", 1), &settings([7; 16]), &[]).unwrap();
    let mut users = (0..).map(|user| format!("u{user}@example.com"));
    users.find(|aor| share.holders(aor)[0] == member(index)).unwrap()
}

impl Node {
    fn start(cluster: Cluster, index: u8) -> Self {
        Self::with(cluster, index, (&format!("s{index}"), &format!("i{index}")), [7; 16])
    }

    fn with(cluster: Cluster, index: u8, (node, instance): (&str, &str), secret: [u8; 16]) -> Self {
        let (sender, settings) = watch::channel(Arc::new(settings(secret)));
        let (states, receiver) = watch::channel(States::default());
        let cluster = Cluster { member: Some(member(index)), ..cluster };
        let identity = Identity { node: node.into(), instance: instance.into(), secret };
        let share_of = ShareOf { settings, states: receiver };
        let (keeper, replaced) = EngineKeeper::start(cluster, identity, share_of).unwrap();
        let picture = keeper.picture();
        let (confirm, confirmed) = mpsc::unbounded_channel();
        Self {
            keeper: KeeperHandle::engine(keeper),
            replaced,
            states,
            _settings: sender,
            confirm,
            confirmed,
            seen: 0,
            number: 0,
            picture,
        }
    }

    async fn connected(mut self) -> Self {
        self.wait(|picture| picture.is_connected).await;
        self
    }

    async fn wait(&mut self, holds: impl FnMut(&Picture) -> bool) -> Picture {
        let found = timeout(PATIENCE, self.picture.wait_for(holds)).await;
        found.expect("in time").expect("the keeper runs").clone()
    }

    async fn trouble(&mut self) -> String {
        let picture = self.wait(|picture| picture.trouble.is_some()).await;
        picture.trouble.unwrap()
    }

    /// Its workers tell of records.
    fn tell(&mut self, records: Vec<u8>) {
        self.number += 1;
        let changes = Changes { records, replaced: self.seen };
        self.keeper.commit((0, self.number), changes, self.confirm.clone());
    }

    /// Waits until the engine has all of it.
    async fn flushed(&mut self) {
        loop {
            let confirmed = timeout(PATIENCE, self.confirmed.recv()).await.expect("in time");
            if confirmed == Some((0, self.number)) {
                return;
            }
        }
    }

    async fn register(&mut self, bindings: &[(&str, u64, u32)]) {
        self.tell(record(ALICE, bindings));
        self.flushed().await;
    }

    /// Contacts and CSeq of a user, as the engine has them.
    async fn get(&self, aor: &str) -> Vec<(String, u32)> {
        let record = self.keeper.get(aor.into()).await.unwrap().unwrap_or_default();
        shown(&record).remove(aor).unwrap_or_default()
    }

    /// What the workers are given before this question is answered.
    async fn answered(&mut self, asker: Asker) -> Vec<u8> {
        let mut given = Vec::new();
        let wait = async {
            loop {
                match self.replaced.recv().await.expect("the keeper runs") {
                    ForWorkers::Replace { number, records } => {
                        self.seen = number;
                        given.extend(records);
                    }
                    ForWorkers::Answer(askers) if askers.contains(&asker) => return,
                    ForWorkers::Answer(_) => {}
                }
            }
        };
        timeout(PATIENCE, wait).await.expect("it is answered in time");
        given
    }

    /// What the workers are given in place of what they have of Alice, until it is this.
    async fn replaced(&mut self, expected: &[(&str, u32)]) {
        self.hears(ALICE, expected).await;
    }

    /// What the workers are given in place of what they have of a user, until it is this.
    async fn hears(&mut self, aor: &str, expected: &[(&str, u32)]) {
        let expected: Vec<_> =
            expected.iter().map(|(uri, cseq)| (String::from(*uri), *cseq)).collect();
        let wait = async {
            loop {
                let said = self.replaced.recv().await.expect("the keeper runs");
                let ForWorkers::Replace { number, records } = said else { continue };
                assert!(number > self.seen);
                self.seen = number;
                if shown(&records).remove(aor) == Some(expected.clone()) {
                    return;
                }
            }
        };
        timeout(PATIENCE, wait).await.expect("it comes in time");
    }
}

fn binding(uri: &str, call: u64, cseq: u32) -> BindingLine {
    let ends = super::fields::unix_ms() + 600_000;
    BindingLine { cseq, call_id_hash: call, ..BindingLine::plain(uri, ends) }
}

fn record(aor: &str, bindings: &[(&str, u64, u32)]) -> Vec<u8> {
    let bindings = bindings.iter().map(|(uri, call, cseq)| binding(uri, *call, *cseq)).collect();
    let mut bytes = Vec::new();
    AorLine { aor: aor.into(), bindings }.write(&mut bytes).unwrap();
    bytes
}

/// Contacts and CSeqs of each user.
fn shown(bytes: &[u8]) -> BTreeMap<String, Vec<(String, u32)>> {
    let lines = lines(bytes).unwrap().into_iter();
    let all = lines.map(|line| {
        let mut bindings: Vec<_> =
            line.bindings.into_iter().map(|one| (one.uri, one.cseq)).collect();
        bindings.sort();
        (line.aor, bindings)
    });
    all.collect()
}

fn only(uri: &str, cseq: u32) -> Vec<(String, u32)> {
    vec![(uri.to_owned(), cseq)]
}

#[tokio::test]
async fn the_newer_version_stays_in_whatever_order_they_come() {
    let engine = RedisCluster::shared();
    let mut one = Node::start(cluster(&engine, "versions", 3), 0).connected().await;
    let mut other = Node::start(cluster(&engine, "versions", 3), 1).connected().await;
    one.register(&[("sip:1", 1, 5)]).await;
    other.register(&[("sip:1", 1, 3)]).await;
    assert_eq!(one.get(ALICE).await, only("sip:1", 5));
    other.replaced(&[("sip:1", 5)]).await;
    other.register(&[("sip:1", 1, 6)]).await;
    assert_eq!(one.get(ALICE).await, only("sip:1", 6));
    one.replaced(&[("sip:1", 6)]).await;
    // A phone that has started again counts anew, with another Call-ID.
    one.register(&[("sip:1", 2, 1)]).await;
    assert_eq!(other.get(ALICE).await, only("sip:1", 1));
}

#[tokio::test]
async fn a_worker_is_given_a_user_of_others_before_its_question_is_answered() {
    let engine = RedisCluster::shared();
    let mut has = Node::start(cluster(&engine, "asked", 3), 0).connected().await;
    let (own, others) = (user_of(&engine, 1), user_of(&engine, 2));
    let mut node = Node::start(cluster(&engine, "asked", 1), 1).connected().await;
    let asker = |number| Asker { worker: 0, number };
    let has_share = async {
        while !node.keeper.ask_for(own.clone(), asker(1)) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, has_share).await.expect("it says at once that there is no such user");
    has.tell(record(&others, &[("sip:2", 1, 1)]));
    has.flushed().await;
    assert!(!node.keeper.ask_for(others.clone(), asker(2)));
    assert!(!node.keeper.ask_for(others.clone(), asker(3)));
    let records = node.answered(asker(3)).await;
    assert_eq!(shown(&records)[&others], only("sip:2", 1));
    // From now on it is followed.
    has.tell(record(&others, &[("sip:2", 1, 2)]));
    has.flushed().await;
    node.hears(&others, &[("sip:2", 2)]).await;
}

#[tokio::test]
async fn a_master_that_is_silent_holds_up_no_question_for_the_users_of_another() {
    let engine = RedisCluster::start(0, None);
    let mut has = Node::start(cluster(&engine, "silent", 3), 0).connected().await;
    let mut node = Node::start(cluster(&engine, "silent", 1), 1).connected().await;
    let users: Vec<String> = (0..64).map(|user| format!("u{user}@example.com")).collect();
    has.tell(users.iter().flat_map(|aor| record(aor, &[("sip:1", 1, 1)])).collect());
    has.flushed().await;
    let at = |master: usize| {
        let keys = engine.cli(master, &["KEYS", "*:a:*"]);
        // What the node holds itself it has been given.
        let share = Share::new(&cluster(&engine, "", 1), &settings([7; 16]), &[]).unwrap();
        let aors = keys.lines().filter_map(|key| key.split_once(":a:")).map(|(_, aor)| aor);
        let mut others = aors.filter(|aor| share.holders(aor)[0] != member(1));
        others.next().expect("one of 64").to_owned()
    };
    let (silent, other) = (at(0), at(1));
    let asker = |number| Asker { worker: 0, number };
    engine.signal(0..1, "STOP");
    assert!(!node.keeper.ask_for(silent.clone(), asker(1)));
    assert!(!node.keeper.ask_for(other.clone(), asker(2)));
    let records = node.answered(asker(2)).await;
    assert_eq!(shown(&records)[&other], only("sip:1", 1));
    assert!(!shown(&records).contains_key(&silent));
    engine.signal(0..1, "CONT");
    let is_told = async {
        // On a busy machine the first question may be over by now.
        while node.keeper.ask_for(silent.clone(), asker(3))
            || timeout(Duration::from_secs(5), node.hears(&silent, &[("sip:1", 1)])).await.is_err()
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, is_told).await.expect("it is answered when the master goes on");
}

#[tokio::test]
async fn a_change_that_an_older_state_has_overtaken_is_given_again() {
    let engine = RedisCluster::shared();
    let mut node = Node::start(cluster(&engine, "overtaken", 3), 0).connected().await;
    node.register(&[("sip:1", 1, 1), ("sip:2", 2, 1)]).await;
    let before = node.seen;
    // One of two is refreshed: the engine has more than was told, so that the node reads it.
    node.register(&[("sip:1", 1, 2), ("sip:2", 2, 1)]).await;
    node.replaced(&[("sip:1", 2), ("sip:2", 1)]).await;
    // The worker had told of newer ones before that came, and has lost them with it.
    node.seen = before;
    node.register(&[("sip:1", 1, 3), ("sip:2", 2, 2)]).await;
    node.replaced(&[("sip:1", 3), ("sip:2", 2)]).await;
}

#[tokio::test]
async fn a_write_that_was_held_back_undoes_nothing() {
    let engine = RedisCluster::shared();
    let connection = Engine::connect(&cluster(&engine, "late", 1)).await.unwrap();
    let long_ago = Instant::now().checked_sub(Duration::from_secs(20)).unwrap();
    let change = |call, cseq, since| {
        let bytes = record(ALICE, &[("sip:1", call, cseq)]);
        let record = records(&bytes).next().unwrap().unwrap();
        Change::live(ALICE, &record.bindings().next().unwrap(), since).unwrap()
    };
    let shard = shard_of(ALICE);
    let write = async |change: &Change| {
        let changes = [(ALICE.to_owned(), vec![change.clone()])];
        let (written, refused, _) = connection.write(shard, "s1", &changes).await.unwrap();
        (written, refused)
    };
    let now = change(1, 1, Instant::now());
    assert_eq!(write(&now).await, (1, 0));
    // The same again is neither.
    assert_eq!(write(&now).await, (0, 0));
    assert_eq!(write(&change(2, 9, long_ago)).await, (0, 1));
    // It was removed, not in the same millisecond, and what was said before comes later.
    tokio::time::sleep(Duration::from_millis(5)).await;
    let removed = Change::removed(now.id, Instant::now());
    assert_eq!(write(&removed).await, (1, 0));
    assert_eq!(write(&change(1, 2, long_ago)).await, (0, 1));
    assert_eq!(write(&Change::removed(now.id, long_ago)).await.0, 0);
    let read = connection.read(shard, &[ALICE.to_owned()]).await.unwrap();
    assert!(shown(&read[0])[ALICE].is_empty());
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(write(&change(1, 2, Instant::now())).await, (1, 0));
}

#[tokio::test]
async fn what_one_node_learns_or_forgets_the_other_gets() {
    let engine = RedisCluster::shared();
    let mut one = Node::start(cluster(&engine, "follow", 3), 0).connected().await;
    let mut other = Node::start(cluster(&engine, "follow", 3), 1).connected().await;
    one.register(&[("sip:1", 1, 1), ("sip:2", 2, 1)]).await;
    other.replaced(&[("sip:1", 1), ("sip:2", 1)]).await;
    other.register(&[("sip:1", 1, 1)]).await;
    one.replaced(&[("sip:1", 1)]).await;
    assert_eq!(one.get(ALICE).await, only("sip:1", 1));
    // Each adds one before it has heard of the other's: nobody takes anything away.
    one.tell(record(ALICE, &[("sip:1", 1, 1), ("sip:3", 3, 1)]));
    other.tell(record(ALICE, &[("sip:1", 1, 1), ("sip:4", 4, 1)]));
    one.flushed().await;
    other.flushed().await;
    let all = [("sip:1", 1), ("sip:3", 1), ("sip:4", 1)];
    one.replaced(&all).await;
    other.replaced(&all).await;
    other.register(&[]).await;
    one.replaced(&[]).await;
    assert!(one.get(ALICE).await.is_empty());
}

#[tokio::test]
async fn a_node_loads_its_share_and_that_of_one_that_has_gone() {
    let engine = RedisCluster::shared();
    let mut all = Node::start(cluster(&engine, "share", 3), 0).connected().await;
    let users: Vec<String> = (0..600).map(|user| format!("u{user}@example.com")).collect();
    let bytes: Vec<u8> = users.iter().flat_map(|aor| record(aor, &[("sip:1", 1, 1)])).collect();
    all.tell(bytes);
    all.flushed().await;
    let mut node = Node::start(cluster(&engine, "share", 1), 2).connected().await;
    let (mut pieces, mut held) = (node.keeper.load(), BTreeSet::new());
    while let Piece::Records(piece) = timeout(PATIENCE, pieces.recv()).await.unwrap().unwrap() {
        held.extend(shown(&piece).into_keys());
    }
    assert!((120..280).contains(&held.len()), "{}", held.len());
    let gone = Impaired { set: "users".into(), address: member(1), state: MemberState::Down };
    node.states.send_replace(Arc::new(vec![gone]));
    let loaded = node.wait(|picture| picture.last_load.is_some()).await.last_load.unwrap();
    let mut more = BTreeSet::new();
    while let Ok(ForWorkers::Replace { records, .. }) = node.replaced.try_recv() {
        more.extend(shown(&records).into_keys());
    }
    assert_eq!(loaded.aors, more.len() as u64);
    assert!((50..150).contains(&more.len()) && more.is_disjoint(&held), "{}", more.len());
    // What the other one says, too.
    let (mut dump, mut count) = (node.keeper.read(), 0);
    while let Piece::Records(piece) = timeout(PATIENCE, dump.recv()).await.unwrap().unwrap() {
        count += shown(&piece).len();
    }
    assert_eq!(count, users.len());
}

#[tokio::test]
async fn wrong_set_ups_are_refused_with_a_line_that_helps() {
    let engine = RedisCluster::shared();
    let _first = Node::start(cluster(&engine, "wrong", 1), 0).connected().await;
    let mut twin = Node::with(cluster(&engine, "wrong", 1), 1, ("s0", "other"), [7; 16]);
    let said = twin.trouble().await;
    assert!(said.contains("is called s0 (member 192.0.2.20:5060, instance i0)"), "{said}");
    let mut stranger = Node::with(cluster(&engine, "wrong", 1), 2, ("s2", "i2"), [8; 16]);
    let said = stranger.trouble().await;
    assert!(said.contains("another secret") && said.contains("appliance.secret_file"), "{said}");
    let nobody =
        Cluster { engine: vec!["127.0.0.1:1".parse().unwrap()], ..cluster(&engine, "wrong", 1) };
    let said = Node::start(nobody, 2).trouble().await;
    assert!(said.contains("no node of the engine answers (127.0.0.1:1"), "{said}");
    let alone = RedisServer::start();
    let no_cluster = Cluster { engine: vec![alone.address()], ..cluster(&engine, "wrong", 1) };
    let said = Node::start(no_cluster, 2).trouble().await;
    assert!(said.contains("is no Redis Cluster"), "{said}");
    // The same instance again is no second node: it was started anew.
    let mut again = Node::with(cluster(&engine, "wrong", 1), 0, ("s0", "i0"), [7; 16]);
    let nodes = again.wait(|picture| picture.is_connected).await.nodes;
    assert_eq!(nodes.iter().filter(|node| node.is_there()).count(), 1);
}

#[tokio::test]
async fn a_wrong_password_is_told_and_mended_without_a_restart() {
    let engine = RedisCluster::start(0, Some("right"));
    let file = tempfile::NamedTempFile::new().unwrap();
    let with = |file: Option<&tempfile::NamedTempFile>| Cluster {
        password_file: file.map(|file| file.path().to_owned()),
        ..cluster(&engine, "password", 1)
    };
    let said = Node::start(with(None), 0).trouble().await;
    assert!(said.contains("wants a password") && said.contains("password_file"), "{said}");
    std::fs::write(file.path(), "wrong\n").unwrap();
    let mut node = Node::start(with(Some(&file)), 1);
    let said = node.trouble().await;
    assert!(said.contains("refuses the password"), "{said}");
    std::fs::write(file.path(), "right\n").unwrap();
    node.wait(|picture| picture.is_connected && picture.trouble.is_none()).await;
}

#[tokio::test]
async fn an_engine_that_was_away_gets_what_it_has_missed() {
    let engine = RedisCluster::start(1, None);
    let mut node = Node::start(cluster(&engine, "away", 1), 0).connected().await;
    node.register(&[("sip:1", 1, 1)]).await;
    engine.signal(0..6, "STOP");
    for cseq in 2..=50 {
        node.tell(record(ALICE, &[("sip:1", 1, cseq)]));
    }
    let state = node.keeper.state.clone();
    let said = node.trouble().await;
    assert!(said.contains("the engine"), "{said}");
    assert!(state.borrow().trouble.is_some() && node.confirmed.try_recv().is_err());
    node.wait(|picture| !picture.is_connected).await;
    let asker = Asker { worker: 0, number: 1 };
    assert!(node.keeper.ask_for("u1@x".into(), asker), "nobody waits for what cannot be read");
    engine.signal(0..6, "CONT");
    node.flushed().await;
    assert_eq!(node.get(ALICE).await, only("sip:1", 50));
    node.wait(|picture| picture.trouble.is_none()).await;
}

#[tokio::test]
async fn a_master_that_dies_costs_nothing_but_time() {
    let engine = RedisCluster::start(1, None);
    let mut node = Node::start(cluster(&engine, "death", 1), 0).connected().await;
    node.register(&[("sip:1", 1, 1)]).await;
    engine.kill(0);
    let users = (0..200).flat_map(|user| record(&format!("u{user}@x"), &[("sip:1", 1, 1)]));
    node.tell(users.collect());
    node.flushed().await;
    node.wait(|picture| picture.trouble.is_none()).await;
    assert_eq!(node.get("u7@x").await, only("sip:1", 1));
}

#[tokio::test]
async fn what_a_master_took_with_it_is_written_again() {
    let engine = RedisCluster::start(1, None);
    let mut node = Node::start(cluster(&engine, "again", 1), 0).connected().await;
    node.register(&[("sip:1", 1, 1)]).await;
    // The replicas stand still, and the kernel keeps nothing for them.
    engine.signal(3..6, "STOP");
    for master in 0..3 {
        engine.cli(master, &["CLIENT", "KILL", "TYPE", "replica"]);
    }
    node.register(&[("sip:1", 1, 2)]).await;
    let has_alice = |master: &usize| !engine.cli(*master, &["KEYS", "*:a:*"]).trim().is_empty();
    engine.kill((0..3).find(has_alice).expect("a master has it"));
    engine.signal(3..6, "CONT");
    let is_there = async {
        let expected = Some(only("sip:1", 2));
        let stored = async || node.keeper.get(ALICE.into()).await.ok().flatten();
        while stored().await.and_then(|record| shown(&record).remove(ALICE)) != expected {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, is_there).await.expect("it is written again");
}

#[tokio::test]
async fn slots_that_move_to_another_master_take_their_users_along() {
    let engine = Arc::new(RedisCluster::start(0, None));
    let mut node = Node::start(cluster(&engine, "slots", 3), 0).connected().await;
    let mut other = Node::start(cluster(&engine, "slots", 3), 1).connected().await;
    let users: Vec<String> = (0..600).map(|user| format!("u{user}@example.com")).collect();
    let registered = |cseq| {
        let users = users.iter();
        users.flat_map(|aor| record(aor, &[("sip:1", 1, cseq)])).collect::<Vec<u8>>()
    };
    let moves = engine.clone();
    let moving = tokio::task::spawn_blocking(move || moves.move_slots(0, 1, 5_000));
    let mut cseq = 0;
    while cseq < 2 || !moving.is_finished() {
        cseq += 1;
        node.tell(registered(cseq));
        node.flushed().await;
    }
    moving.await.expect("slots move");
    for aor in &users {
        assert_eq!(node.get(aor).await, only("sip:1", cseq), "{aor}");
    }
    let mut missing: BTreeSet<_> = users.into_iter().collect();
    while !missing.is_empty() {
        let said = timeout(PATIENCE, other.replaced.recv()).await.expect("in time");
        let Some(ForWorkers::Replace { records, .. }) = said else { panic!("{said:?}") };
        for (aor, bindings) in shown(&records) {
            if bindings == only("sip:1", cseq) {
                missing.remove(&aor);
            }
        }
    }
}

/// Prints how fast bindings go into the engine and come from it.
#[tokio::test]
async fn figures() {
    const AORS: usize = 20_000;
    let engine = RedisCluster::shared();
    let mut node = Node::start(cluster(&engine, "figures", 3), 0).connected().await;
    let users: Vec<_> = (0..AORS)
        .map(|user| record(&format!("user{user}@example.com"), &[("sip:1", 1, 1)]))
        .collect();
    let start = Instant::now();
    for batch in users.chunks(200) {
        node.tell(batch.concat());
    }
    node.flushed().await;
    let written = start.elapsed();
    let start = Instant::now();
    let (mut pieces, mut count) = (node.keeper.load(), 0);
    while let Piece::Records(piece) = timeout(PATIENCE, pieces.recv()).await.unwrap().unwrap() {
        count += records(&piece).count();
    }
    assert_eq!(count, AORS);
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let rate = |time: Duration| AORS as f64 / time.as_secs_f64();
    println!("written: {:.0} AoRs/s; loaded: {:.0} AoRs/s", rate(written), rate(start.elapsed()));
}
