//! A configuration comes into force whole or not at all.

use crate::api::Sources;
use crate::api::server::ApiServer;
use crate::audit::Audit;
use crate::configuration::history::History;
use crate::configuration::manager::{Extent, Manager, Source, Wish, Wishes};
use crate::configuration::report::{Report, Verdict};
use crate::configuration::{Loaded, Running};
use crate::connections::Connections;
use crate::dns::Names;
use crate::health::Monitor;
use crate::leaving::Leaving;
use crate::live::Live;
use crate::location::keeper::KeeperHandle;
use crate::location::stored::StoredBindings;
use crate::publisher::{News, Served, publish};
use crate::state::State;
use crate::testing::Peer;
use control_api::{API_VERSION, FromDataplane};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

#[path = "../../tests/common/broken.rs"]
mod broken;

/// Control with a data plane that gives prepared answers.
struct Bench {
    manager: Manager,
    file: PathBuf,
    directory: PathBuf,
    _peer: Peer,
}

impl Bench {
    /// `answers` come after Hello and the first epoch.
    async fn new(answers: Vec<FromDataplane>) -> Self {
        let mut all = vec![
            FromDataplane::Hello { api_version: API_VERSION, epoch: 0 },
            FromDataplane::Applied { epoch: 1 },
        ];
        all.extend(answers);
        let peer = Peer::with_answers(all);
        let directory = peer.path().parent().unwrap().to_owned();
        let file = directory.join("t.toml");
        std::fs::write(&file, good(&directory)).unwrap();
        let running = Running::at_start(
            Loaded::read(&file).unwrap(),
            None,
            &History::open(&directory).unwrap(),
        );
        let manager = manager(running.unwrap(), &peer).await;
        Self { manager, file, directory, _peer: peer }
    }

    fn change(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(&self.file).unwrap();
        assert!(text.contains(from));
        std::fs::write(&self.file, text.replace(from, to)).unwrap();
    }

    async fn wish(&mut self, source: Source, extent: Extent) -> Report {
        self.manager.take(Wish { source, extent, who: "uid 0 (root)".into() }).await
    }

    fn retry_after(&self) -> u16 {
        self.manager.running.borrow().loaded.config.appliance.retry_after
    }
}

/// As the process has it, but for the store and the users, for which this data plane has no answers.
async fn manager(running: Running, peer: &Peer) -> Manager {
    let directory = peer.path().parent().unwrap();
    let state = State::open(directory, None).unwrap();
    let (history, audit) = (History::open(directory).unwrap(), Audit::open(directory).unwrap());
    let (secret, config) = (state.secret(), running.loaded.config.clone());
    let (settings, published) = watch::channel(Arc::new(config.to_settings(secret)));
    let members = directory.join("members.json");
    let (monitor, handle, states) = Monitor::new(&config.destination_sets, members).unwrap();
    tokio::spawn(monitor.run());
    let (is_served, mut served) = watch::channel(Served { is_there: true, answer: None });
    let leaving = Leaving::new();
    let news = News { settings: published, states, leaving: leaving.subscribe() };
    tokio::spawn(publish(peer.path().to_owned(), state, news, handle.clone(), is_served));
    served.wait_for(|served| served.answer.is_some()).await.unwrap();
    let (running, in_force) = watch::channel(Arc::new(running));
    let sources = Sources {
        dataplane: peer.path().to_owned(),
        monitor: handle.clone(),
        realms: watch::channel(Vec::new()).1,
        bindings: StoredBindings::new(KeeperHandle::none(), mpsc::channel(1).0),
        running: in_force,
        wishes: Wishes::channel().0,
        connections: Connections::default(),
        names: Names::none(),
        history: history.clone(),
        audit: audit.clone(),
        leaving,
        secret,
    };
    let socket = directory.join("api.sock");
    let api = ApiServer::start(sources, &socket, &config.api).await.unwrap();
    let realms = watch::channel(Arc::default()).0;
    let live = Live {
        secret,
        settings,
        served,
        monitor: handle,
        realms,
        api,
        connections: Connections::default(),
        names: Names::none(),
        fallback: None,
    };
    Manager { running, live, history, audit }
}

fn good(directory: &std::path::Path) -> String {
    let directory = directory.display();
    format!(
        r#"[appliance]
name = "edge"
domains = ["example.com"]
record_route = true
retry_after = 5
maddr = "refuse"
oversize = "fragment"
run_directory = "{directory}"
state_directory = "{directory}"
[[ports]]
name = "outside"
interface = "eth1"
queues = 1
mtu = 1500
[lcores]
workers = [1]
service = 0
idle = "poll"
[memory]
hugepages = "auto"
transactions = 1000
aors = 1000
[[listen]]
address = "192.0.2.1:5060"
transport = "udp"
[[destination_sets]]
name = "core"
algorithm = "maglev"
hash = "call-id"
members = [{{ address = "192.0.2.2:5060", weight = 2 }}, {{ address = "192.0.2.3:5060" }}]
probe = false
all_down = "keep"
[[routes]]
match = {{ methods = ["REGISTER"], sources = ["10.0.0.0/8"] }}
reject = {{ code = 403, reason = "Forbidden" }}
[[routes]]
match = {{ domains = ["example.com"] }}
forward = "core"
stateful = true
[transactions]
t1_ms = 500
t2_ms = 4000
attempts = 3
in_dialog = true
[api]
socket_mode = "0600"
socket_role = "read"
[log]
level = "info"
format = "text"
lines_per_10_s = 50
"#
    )
}

fn applied(epoch: u64) -> FromDataplane {
    FromDataplane::Applied { epoch }
}

#[tokio::test]
async fn a_reload_is_in_force_when_the_data_plane_has_it_and_can_be_rolled_back() {
    let mut bench = Bench::new(vec![applied(2), applied(3)]).await;
    let report = bench.wish(Source::File, Extent::Whole).await;
    assert_eq!((report.verdict, report.generation, report.epoch), (Verdict::Unchanged, 1, Some(1)));
    bench.change("retry_after = 5", "retry_after = 7");
    let report = bench.wish(Source::File, Extent::DryRun).await;
    assert_eq!((report.verdict, report.generation), (Verdict::WouldChange, 1));
    assert_eq!(report.changes[0].to_string(), "~ appliance.retry_after: 5 -> 7");
    assert_eq!(bench.retry_after(), 5);
    let report = bench.wish(Source::File, Extent::Whole).await;
    assert_eq!((report.verdict, report.generation, report.epoch), (Verdict::InForce, 2, Some(2)));
    assert_eq!(bench.retry_after(), 7);
    let report = bench.wish(Source::Previous, Extent::Whole).await;
    assert_eq!((report.verdict, report.generation, report.epoch), (Verdict::InForce, 3, Some(3)));
    assert_eq!(bench.retry_after(), 5);
    let report = bench.wish(Source::Generation(9), Extent::Whole).await;
    assert_eq!(
        (report.verdict, report.note.unwrap().as_str()),
        (Verdict::Refused, "no generation 9: 1 to 3 are kept")
    );
    let audit = bench.manager.audit.last(9).unwrap();
    let seen: Vec<_> =
        audit.iter().map(|entry| (entry.what.as_str(), entry.outcome.as_str())).collect();
    assert_eq!(
        seen,
        [
            ("reload", "unchanged"),
            ("reload", "done"),
            ("rollback", "done"),
            ("rollback", "refused")
        ]
    );
}

#[tokio::test]
async fn what_needs_a_restart_is_refused_unless_the_rest_is_asked_for() {
    let mut bench = Bench::new(vec![applied(2)]).await;
    bench.change("aors = 1000", "aors = 2000");
    bench.change("retry_after = 5", "retry_after = 7");
    let report = bench.wish(Source::File, Extent::Whole).await;
    assert_eq!((report.verdict, report.generation), (Verdict::NeedsRestart, 1));
    assert!(report.line().contains("memory.aors"), "{}", report.line());
    assert_eq!(bench.retry_after(), 5);
    let report = bench.wish(Source::File, Extent::Partial).await;
    assert_eq!((report.verdict, report.epoch), (Verdict::InForce, Some(2)));
    assert_eq!(report.waiting, ["memory.aors"]);
    let running = bench.manager.running.borrow().clone();
    assert_eq!((bench.retry_after(), running.loaded.config.nic.memory.aors), (7, 1000));
    assert_eq!(running.waiting, ["memory.aors"]);
}

#[tokio::test]
async fn what_the_data_plane_refuses_leaves_the_old_one_in_force() {
    let refused = FromDataplane::Refused { epoch: 2, reason: "routes[0]: no".into() };
    let mut bench = Bench::new(vec![refused, applied(3), applied(4)]).await;
    bench.change("retry_after = 5", "retry_after = 7");
    let report = bench.wish(Source::File, Extent::Whole).await;
    assert_eq!((report.verdict, report.generation), (Verdict::Refused, 1));
    assert!(report.note.unwrap().contains("routes[0]: no"));
    assert_eq!(bench.retry_after(), 5);
    assert_eq!(bench.manager.history.list().len(), 1);
}

#[tokio::test]
async fn two_hundred_broken_files_are_refused_with_line_and_reason_and_change_nothing() {
    let mut bench = Bench::new(vec![]).await;
    let files = broken::broken(&good(&bench.directory));
    assert!(files.len() >= 200, "only {}", files.len());
    let (mut reasons, mut elsewhere) = (BTreeSet::new(), 0);
    for (text, line) in &files {
        std::fs::write(&bench.file, text).unwrap();
        let report = bench.wish(Source::File, Extent::Whole).await;
        assert_eq!((report.verdict, report.generation), (Verdict::Broken, 1), "{text}");
        let first = &report.mistakes[0];
        assert!(first.line.is_some() && !first.problem.is_empty(), "{first:?} in\n{text}");
        // An open bracket is found where something else begins.
        elsewhere += usize::from(first.line != Some(*line));
        reasons.insert(first.problem.clone());
    }
    assert!(elsewhere * 4 < files.len(), "{elsewhere} of {} name another line", files.len());
    assert!(reasons.len() > 20, "{reasons:?}");
    assert_eq!(bench.manager.history.list().len(), 1);
    assert_eq!(bench.manager.running.borrow().loaded.text, good(&bench.directory));
}

#[tokio::test]
async fn a_start_with_a_broken_file_takes_the_last_good_one() {
    let bench = Bench::new(vec![]).await;
    bench.change("[api]", "[api");
    let (loaded, broken) = Loaded::for_start(&bench.file).unwrap();
    assert_eq!(loaded.text, good(&bench.directory));
    let broken = broken.unwrap();
    assert!(broken.to_string().contains("t.toml:"), "{broken}");
    let running = Running::at_start(loaded, Some(&broken), &bench.manager.history).unwrap();
    assert_eq!((running.generation.number, running.broken_file.is_some()), (1, true));
    // Another file, or none, has no last good one.
    let other = bench.directory.join("other.toml");
    assert!(Loaded::for_start(&other).is_err());
    std::fs::copy(&bench.file, &other).unwrap();
    assert!(Loaded::for_start(&other).is_err());
}
