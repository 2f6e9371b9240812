//! RSS on the lab's veth pairs: flows go where the software says, and key and table change under calls.

use crate::lab::{Lab, SERVER, binary, text, trunkline};
use crate::phone::socket_in;
use crate::running::Running;
use crate::stateful::transactions_on_all_routes;
use nic_config::rss::{Fields, Function, Reta, RssKey, Spread, Tuple};
use rand::RngExt;
use serde_json::{Value, json};
use std::fmt::Write;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const API: &str = "/run/trunkline/lab/api.sock";

/// Callers, by port, and the calls each places in a second: two of them have four fifths.
const CALLERS: [(u16, u64); 6] =
    [(5071, 120), (5072, 120), (5073, 20), (5074, 20), (5075, 10), (5076, 10)];
/// How long they do.
const SECONDS: u64 = 14;
/// Changes of key and table meanwhile.
const CHANGES: usize = 12;

/// `trunkline rss` with the lab's control.
pub(crate) fn rss(arguments: &[&str], plan: &str) -> Output {
    let mut command = Command::new(binary("trunkline"));
    command.arg("rss").args(arguments).args(["--socket", API]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("trunkline starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(plan.as_bytes()).expect("a plan");
    drop(stdin);
    child.wait_with_output().expect("trunkline ends")
}

fn apply(plan: &Value) -> Output {
    rss(&["apply", "-", "--port", "uac0"], &plan.to_string())
}

/// What is in force at a port.
fn shown(port: &str) -> (RssKey, Reta) {
    let output = rss(&["show", "--port", port, "--json"], "");
    assert!(output.status.success(), "{}", text(&output));
    let shown: Value = serde_json::from_slice(&output.stdout).expect("a port");
    let key = shown["key"].as_str().expect("a key").parse().expect("a key");
    let reta = serde_json::from_value(shown["reta"].clone()).expect("a table");
    (key, Reta::new(reta).expect("a table"))
}

/// What each of two queues of the callers' port has received.
fn received(lab: &Lab) -> [u64; 2] {
    let status = lab.status();
    let queues = status["queues"].as_array().expect("queues");
    [0, 1].map(|queue| {
        let is_it = |entry: &&Value| entry["port"] == "uac0" && entry["queue"] == queue;
        let entry = queues.iter().find(is_it).expect("the queue");
        entry["received"].as_u64().expect("a count")
    })
}

fn random_plan() -> Value {
    let mut random = rand::rng();
    let key = RssKey::new(random.random::<[u8; 40]>()).expect("40 bytes");
    let reta: Vec<u16> = (0..128).map(|_| random.random_range(0..2)).collect();
    json!({ "key": key.to_string(), "reta": reta })
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn flows_reach_the_queue_that_the_software_names() {
    let lab = Lab::up_with(&["--queues", "2", "--rss"]);
    let families = [("10.77.1.2", "10.77.1.1:5060"), ("[fd77:1::2]", "[fd77:1::1]:5060")];
    for round in 0..3 {
        if round > 0 {
            let output = apply(&random_plan());
            assert!(output.status.success(), "{}", text(&output));
        }
        let (key, reta) = shown("uac0");
        let spread = Spread::new(Function::Toeplitz, Fields::default(), &key, reta);
        for (from, to) in families {
            let to: SocketAddr = to.parse().expect("an address");
            let sockets = (6_000..6_100).map(|port| {
                let at: SocketAddr = format!("{from}:{port}").parse().expect("an address");
                let queue = spread.queue(&Tuple::new(at, to).expect("one family")).queue;
                (queue, socket_in("tl-uac", at))
            });
            let sockets: Vec<_> = sockets.collect();
            for queue in [0, 1] {
                let flows: Vec<_> = sockets.iter().filter(|flow| flow.0 == queue).collect();
                assert!(flows.len() > 20, "{} of 100 flows on queue {queue}", flows.len());
                let before = received(&lab);
                for (_, socket) in &flows {
                    socket.send_to(b"\r\n\r\n", to).expect("sent");
                }
                let mut expected = before;
                expected[usize::from(queue)] += flows.len() as u64;
                wait_until(|| received(&lab).iter().sum::<u64>() >= expected.iter().sum());
                assert_eq!(received(&lab), expected, "round {round}, {to}, queue {queue}");
            }
        }
    }
    let output = apply(&json!({ "reta": vec![2; 128] }));
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains("there are queues 0 to 1"), "{}", text(&output));
}

fn wait_until(is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() && start.elapsed() < Duration::from_secs(5) {
        sleep(Duration::from_millis(20));
    }
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn key_and_table_change_under_calls_and_none_fails() {
    let lab = Lab::up_with(&["--queues", "2", "--rss"]);
    calls_while_plans_change(&lab);
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn key_and_table_change_under_calls_with_transactions_and_none_fails() {
    let lab = Lab::up_with(&["--queues", "2", "--rss"]);
    lab.reconfigure(transactions_on_all_routes);
    calls_while_plans_change(&lab);
    let status = lab.status();
    let handed_off = status["total"]["handed_off"].as_u64();
    assert!(handed_off > Some(0), "{status:#}");
}

/// Plans for a skewed list of callers, sees that the queues have what the plan says, changes key and table again and
/// again, and comes back to the plan.
fn calls_while_plans_change(lab: &Lab) {
    let folder = tempfile::tempdir().expect("a folder");
    let first = shown("uac0");
    let plan = plan_for_callers(folder.path());
    let output = apply(&plan);
    assert!(output.status.success(), "{}", text(&output));

    let answering = ["sipp", "-sf", SERVER, "-i", "10.77.2.2", "-p", "5060", "-nostdin"];
    let _answering = Running::start("uas", &folder.path().join("uas.log"), &answering);
    sleep(Duration::from_secs(1));
    let callers: Vec<_> = CALLERS.iter().map(|caller| start(folder.path(), *caller)).collect();
    sleep(Duration::from_secs(1));
    assert_as_planned(lab, &plan, Duration::from_secs(3));
    let began = received(lab);
    for _ in 0..CHANGES {
        let output = apply(&random_plan());
        assert!(output.status.success(), "{}", text(&output));
        sleep(Duration::from_millis(400));
    }
    let ended = received(lab);
    assert!(ended[0] > began[0] && ended[1] > began[1], "{began:?} {ended:?}");
    let output = apply(&plan);
    assert!(output.status.success(), "{}", text(&output));
    assert_as_planned(lab, &plan, Duration::from_secs(3));

    for mut caller in callers {
        let status = caller.0.wait().expect("SIPp ends");
        // 0: every call succeeded (sipp(1)).
        assert!(status.success(), "{status}: {}", logs(folder.path()));
    }
    for _ in 0..CHANGES + 2 {
        let output = rss(&["undo", "--port", "uac0"], "");
        assert!(output.status.success(), "{}", text(&output));
    }
    assert_eq!(shown("uac0"), first);
    let status = lab.status();
    assert_eq!(status["conserved"], true, "{status:#}");
}

/// `trunkline rss plan` for these callers.
fn plan_for_callers(folder: &std::path::Path) -> Value {
    let mut list = "source,source_port,destination,destination_port,weight\n".to_owned();
    for (port, rate) in CALLERS {
        let _ = writeln!(list, "10.77.1.2,{port},10.77.1.1,5060,{rate}");
    }
    let file = folder.join("callers.csv");
    std::fs::write(&file, list).expect("a peer list");
    let file = file.display().to_string();
    let output = trunkline(&["rss", "plan", "--queues", "2", "--peers", &file, "--json", "-"]);
    let plan: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("no plan ({error}): {}", text(&output)));
    for outcome in ["after", "best_possible"] {
        assert_eq!(plan[outcome]["max_over_mean"], 1.0, "{plan:#}");
    }
    plan
}

/// SIPp with one port, which is one flow.
fn start(folder: &std::path::Path, (port, rate): (u16, u64)) -> Running {
    let [rate, calls, port] = [rate, rate * SECONDS, port.into()].map(|number| number.to_string());
    let command = [
        ["sipp", "10.77.1.1:5060", "-nostdin", "-sn", "uac"],
        ["-i", "10.77.1.2", "-p", &port, "-t"],
        ["u1", "-r", &rate, "-m", &calls],
        ["-d", "100", "-timeout", "60", "-timeout_error"],
    ];
    Running::start("uac", &folder.join(format!("{port}.log")), command.as_flattened())
}

fn assert_as_planned(lab: &Lab, plan: &Value, during: Duration) {
    let before = received(lab);
    sleep(during);
    let after = received(lab);
    let loads: Vec<f64> =
        serde_json::from_value(plan["after"]["queue_loads"].clone()).expect("loads");
    let counts = [0, 1].map(|queue| after[queue] - before[queue]);
    #[expect(clippy::cast_precision_loss, reason = "some thousand messages")]
    let share = counts[0] as f64 / (counts[0] + counts[1]) as f64;
    let planned = loads[0] / (loads[0] + loads[1]);
    assert!((share - planned).abs() < 0.03, "{counts:?} messages, planned {loads:?}");
}

/// What the callers said last.
fn logs(folder: &std::path::Path) -> String {
    let tail = |(port, _): (u16, u64)| {
        let log = std::fs::read_to_string(folder.join(format!("{port}.log"))).unwrap_or_default();
        let lines: Vec<_> = log.lines().rev().take(45).collect();
        lines.into_iter().rev().fold(String::new(), |text, line| text + line + "\n")
    };
    CALLERS.map(tail).concat()
}
