//! SIPp scenarios in a few words: what a caller and a callee send and expect, in turn.

use crate::lab::{Lab, text};
use crate::running::Running;
use std::fmt::Write;
use std::fs::{read_to_string, write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// One step of a scenario.
#[derive(Clone, Copy)]
pub(crate) enum Step {
    /// The caller sends this request, again until an answer comes. An ACK is that of the INVITE's own
    /// transaction, for a final response other than 2xx (RFC 3261 section 17.1.1.3).
    Send(&'static str),
    /// The caller sends the INVITE once more, as if nothing had come back.
    Again,
    /// The caller sends this request within the dialog.
    Within(&'static str),
    /// The caller gets a response with this status; 100 and 180 may come before it.
    Got(u16),
    /// The caller sends a REGISTER of its own user with these header lines.
    Registers(&'static str),
    /// The caller gets a response with this status, in which the header of this name fits the expression.
    GotLine(u16, &'static str, &'static str),
    /// The callee gets this request.
    Asked(&'static str),
    /// The callee gets this request, or something else.
    MayBeAsked(&'static str),
    /// The callee gets an ACK that its neighbour made: no other Via is beneath the topmost.
    AskedAckOfProxy,
    /// The callee answers the INVITE with this status and reason.
    Answer(&'static str),
    /// The callee answers the request that came last with this status and reason.
    Confirm(&'static str),
    /// Nothing happens for so many milliseconds.
    Wait(u32),
}

use Step::{
    Again, Answer, Asked, AskedAckOfProxy, Confirm, Got, GotLine, MayBeAsked, Registers, Send,
    Wait, Within,
};

/// Socket buffers of SIPp, in bytes: all that the kernel allows by default.
const BUFFER: &str = "212992";

/// The step as SIPp reads it.
fn element(step: Step) -> String {
    match step {
        Send("ACK") | Again => {
            send(&request(if matches!(step, Again) { "INVITE" } else { "ACK" }), "")
        }
        Send(method) => send(&request(method), " retrans=\"500\""),
        Within("ACK") => send(&within("ACK", 1), ""),
        Within(method) => send(&within(method, 2), " retrans=\"500\""),
        Got(status) => {
            let before = [100, 180].into_iter().filter(|other| *other != status && status > 100);
            let optional = |code| format!("<recv response=\"{code}\" optional=\"true\"/>");
            let route_set = if status == 200 { " rrs=\"true\"" } else { "" };
            let optional: String = before.map(optional).collect();
            format!("{optional}<recv response=\"{status}\"{route_set}/>")
        }
        Registers(lines) => send(&registration(lines), " retrans=\"500\""),
        GotLine(status, name, expression) => format!(
            "<recv response=\"{status}\"><action><ereg regexp=\"{expression}\" search_in=\"hdr\" \
             header=\"{name}:\" check_it=\"true\" assign_to=\"line\"/></action></recv>"
        ),
        Asked("INVITE") => received("INVITE", &[via(1, "ours", ""), via(2, "theirs", "")].concat()),
        Asked(method) => received(method, ""),
        MayBeAsked(method) => format!("<recv request=\"{method}\" optional=\"true\"/>"),
        AskedAckOfProxy => received("ACK", &via(2, "theirs", " check_it_inverse=\"true\"")),
        Answer(status) => {
            let again = if status.starts_with('1') { "" } else { " retrans=\"500\"" };
            let message = format!(
                "SIP/2.0 {status}\nVia: [$ours]\nVia: [$theirs]\n[last_Record-Route:]\n[last_From:]\n\
                 [last_To:];tag=[pid]-[call_number]\n[last_Call-ID:]\nCSeq: 1 INVITE\n\
                 Contact: <sip:bob@[local_ip]:[local_port]>\nContent-Length: 0"
            );
            send(&message, again)
        }
        Confirm(status) => {
            let copied = "[last_Via:]\n[last_From:]\n[last_To:]\n[last_Call-ID:]\n[last_CSeq:]";
            send(&format!("SIP/2.0 {status}\n{copied}\nContent-Length: 0"), "")
        }
        Wait(milliseconds) => format!("<pause milliseconds=\"{milliseconds}\"/>"),
    }
}

fn send(message: &str, attributes: &str) -> String {
    format!("<send{attributes}><![CDATA[\n\n{message}\n\n]]></send>")
}

fn received(method: &str, actions: &str) -> String {
    format!("<recv request=\"{method}\"><action>{actions}</action></recv>")
}

/// Keeps the n-th Via in a variable: a response to the INVITE needs them after a CANCEL has come.
fn via(number: u8, variable: &str, attributes: &str) -> String {
    format!(
        "<ereg regexp=\"SIP/2.0/UDP.*\" search_in=\"hdr\" header=\"Via:\" occurrence=\"{number}\" \
         assign_to=\"{variable}\"{attributes}/>"
    )
}

/// A request of the INVITE's transaction: ACK and CANCEL have its branch.
fn request(method: &str) -> String {
    format!(
        "{method} sip:[service]@[remote_ip]:[remote_port] SIP/2.0\n\
         Via: SIP/2.0/UDP [local_ip]:[local_port];branch=z9hG4bK-[pid]-[call_number]\n\
         From: <sip:alice@[local_ip]:[local_port]>;tag=[call_number]\n\
         To: <sip:[service]@[remote_ip]:[remote_port]>[peer_tag_param]\n\
         Call-ID: [call_id]\nCSeq: 1 {method}\n\
         Contact: <sip:alice@[local_ip]:[local_port]>\nMax-Forwards: 70\nContent-Length: 0"
    )
    // The peer's tag is known once a response came; a CANCEL has none (section 9.1).
    .replace(if method == "CANCEL" { "[peer_tag_param]" } else { "\0" }, "")
}

/// Each call of a scenario has a user of its own.
fn registration(lines: &str) -> String {
    let lines: String = lines.lines().flat_map(|line| [line, "\n"]).collect();
    format!(
        "REGISTER sip:lab.test SIP/2.0\n\
         Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch]\n\
         From: <sip:sipp[call_number]@lab.test>;tag=[call_number]\n\
         To: <sip:sipp[call_number]@lab.test>\n\
         Call-ID: [call_id]\nCSeq: [cseq] REGISTER\nMax-Forwards: 70\n{lines}Content-Length: 0"
    )
}

fn within(method: &str, number: u8) -> String {
    format!(
        "{method} [next_url] SIP/2.0\n\
         Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch]\n[routes]\n\
         From: <sip:alice@[local_ip]:[local_port]>;tag=[call_number]\n\
         To: <sip:[service]@[remote_ip]:[remote_port]>[peer_tag_param]\n\
         Call-ID: [call_id]\nCSeq: {number} {method}\nMax-Forwards: 70\nContent-Length: 0"
    )
}

/// Writes a scenario to `folder`.
fn scenario(folder: &Path, name: &str, steps: &[Step]) -> PathBuf {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"us-ascii\"?>\n<scenario>\n");
    for step in steps {
        let _ = writeln!(xml, "{}", element(*step));
    }
    // SIPp refuses variables that nobody reads.
    for (variable, all) in [("\"ours\"", "ours,theirs"), ("\"line\"", "line")] {
        if xml.contains(variable) {
            let _ = writeln!(xml, "<Reference variables=\"{all}\"/>");
        }
    }
    xml.push_str("</scenario>\n");
    let path = folder.join(format!("{name}.xml"));
    write(&path, xml).expect("a scenario");
    path
}

/// A callee on 10.77.2.2 that takes so many calls.
pub(crate) struct Callee {
    running: Running,
    log: PathBuf,
}

impl Callee {
    /// Starts it at `port`.
    pub(crate) fn start(lab: &Lab, folder: &Path, port: &str, calls: u32, steps: &[Step]) -> Self {
        let file = scenario(folder, &format!("callee-{port}"), steps).display().to_string();
        let (log, calls) = (folder.join(format!("callee-{port}.log")), calls.to_string());
        let errors = folder.join(format!("callee-{port}.err")).display().to_string();
        let command = ["timeout", "40", "sipp", "-sf", &file, "-i", "10.77.2.2", "-p", port];
        let rest = ["-bind_local", "-nostdin", "-m", &calls, "-buff_size", BUFFER];
        let trace = ["-trace_err", "-error_file", &errors];
        let running = Running::start("uas", &log, &[&command[..], &rest[..], &trace[..]].concat());
        let bound = format!(":{:04X}", port.parse::<u16>().expect("a port"));
        let listens = || {
            let sockets = lab.exec("uas", &["cat", "/proc/net/udp"]);
            String::from_utf8_lossy(&sockets.stdout).contains(&bound)
        };
        let start = Instant::now();
        while !listens() {
            assert!(start.elapsed() < Duration::from_secs(5), "no SIPp listens at {port}");
            sleep(Duration::from_millis(20));
        }
        Self { running, log }
    }

    /// Waits until all its calls went through the whole scenario.
    pub(crate) fn passed(mut self) {
        let start = Instant::now();
        loop {
            // 0: every call succeeded (sipp(1)).
            if let Some(status) = self.running.0.try_wait().expect("a child") {
                return assert!(status.success(), "callee: {status}\n{}", self.said());
            }
            assert!(start.elapsed() < Duration::from_secs(20), "callee waits\n{}", self.said());
            sleep(Duration::from_millis(20));
        }
    }

    fn said(&self) -> String {
        let errors = read_to_string(self.log.with_extension("err")).unwrap_or_default();
        let log = read_to_string(&self.log).unwrap_or_default();
        let tail: Vec<_> = log.lines().rev().take(40).collect();
        let tail: Vec<_> = tail.into_iter().rev().collect();
        format!("{errors}\n{}", tail.join("\n"))
    }
}

/// Places calls to `user`, so many of them and so many a second; each must go through all steps.
pub(crate) fn call(lab: &Lab, folder: &Path, user: &str, pace: [u32; 2], steps: &[Step]) {
    call_at(lab, folder, (user, "[remote_ip]:[remote_port]"), pace, steps);
}

/// The same to a user at some host, by way of the appliance.
pub(crate) fn call_at(
    lab: &Lab,
    folder: &Path,
    (user, host): (&str, &str),
    [calls, rate]: [u32; 2],
    steps: &[Step],
) {
    let file = scenario(folder, "caller", steps);
    let scenario = read_to_string(&file).expect("the scenario");
    write(&file, scenario.replace("[remote_ip]:[remote_port]", host)).expect("a scenario");
    let file = file.display().to_string();
    let errors = folder.join("caller.err");
    let _ = std::fs::remove_file(&errors);
    let (calls, rate) = (calls.to_string(), rate.to_string());
    let error_file = errors.display().to_string();
    let command = ["timeout", "40", "sipp", "10.77.1.1:5060", "-sf", &file, "-s", user];
    let rest = ["-i", "10.77.1.2", "-p", "5060", "-r", &rate, "-m", &calls, "-nostdin"];
    let limits = ["-buff_size", BUFFER, "-timeout", "30", "-trace_err", "-error_file", &error_file];
    let output = lab.exec("uac", &[&command[..], &rest[..], &limits[..]].concat());
    let said = read_to_string(&errors).unwrap_or_default();
    assert!(output.status.success(), "{user}: {}\n{said}", text(&output));
}
