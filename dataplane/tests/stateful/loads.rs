//! Members of a destination set say how many requests fewer they want (RFC 7339), through whole workers.

use crate::team::{CALLEE, CALLER, Sent, Team, US, US_AT_CALLEE, answer, invite};
use control_api::status::MemberLoad;
use dataplane::load_counters::load_of;
use dataplane::testing::appliance::lab_settings_stateful;
use sip_core::{Member, Settings, Tables, TransactionSizes};
use std::time::Duration;

const ASK: &str = ";oc;oc-algo=\"loss\"";
const TOLD: &str = ";oc=100;oc-algo=\"loss\";oc-validity=2000;oc-seq=1.0";
/// The second member: it is on the callers' side, so that the port tells where a request went.
const BESIDE: &str = "10.77.1.2:5070";

/// The lab with a set of two members that are asked.
fn settings() -> Settings {
    let mut settings = lab_settings_stateful();
    settings.sets[0].members.push(Member::new(BESIDE.parse().expect("an address")));
    settings.sets[0].overload_control = true;
    settings
}

fn team(workers: u8) -> Team {
    Team::with(workers, &settings(), TransactionSizes { transactions: 512, buffers: 8_192 })
}

/// The INVITE in what left, and by which port.
fn invite_in(sent: &Sent) -> Option<&(usize, String)> {
    sent.iter().find(|(_, message)| message.starts_with("INVITE "))
}

/// The first of the calls from `call` on whose INVITE this worker sends by `port`.
fn send_by(team: &mut Team, worker: usize, port: usize, call: u32) -> String {
    for call in call..call + 50 {
        let sent = team.deliver(worker, CALLER, US, invite(call).as_bytes());
        if let Some((_, invite)) = invite_in(&sent).filter(|(by, _)| *by == port) {
            return invite.clone();
        }
    }
    panic!("no call leaves by port {port}");
}

/// What is known of the first member.
fn load(team: &mut Team) -> MemberLoad {
    let none = team.wait(Duration::ZERO);
    assert!(none.is_empty(), "{none:?}");
    let tables = Tables::build(&settings()).expect("the settings are right");
    let members = tables.asked_members().find(|(_, member)| member.to_string() == CALLEE);
    let (place, member) = members.expect("it is asked");
    let counters = team.workers.iter().map(|one| &one.service.counters.loads);
    load_of(member, place, 30 * 24 * 3_600_000, counters).load
}

#[test]
fn the_worker_hears_whose_request_it_was() {
    let mut team = team(2);
    let invite_out = send_by(&mut team, 1, 1, 1);
    assert!(invite_out.contains(&format!("{ASK}\r\n")), "{invite_out}");
    // The response comes to the other one, which hands it over.
    let ringing = answer(&invite_out, "180 Ringing").replace(ASK, TOLD);
    let passed = team.deliver(0, CALLEE, US_AT_CALLEE, ringing.as_bytes());
    assert!(passed[0].1.starts_with("SIP/2.0 180") && !passed[0].1.contains("oc="), "{passed:?}");
    for call in 100..150 {
        let sent = team.deliver(1, CALLER, US, invite(call).as_bytes());
        assert_eq!(invite_in(&sent).map(|(port, _)| *port), Some(0), "{sent:?}");
    }
    send_by(&mut team, 0, 1, 200);
    let known = load(&mut team);
    assert_eq!((known.percent, known.heard, known.refused), (100, 1, 0));
    assert!((5..45).contains(&known.diverted), "{known:?}");
    team.wait(Duration::from_millis(1_999));
    send_by(&mut team, 0, 1, 300);
    team.wait(Duration::from_millis(1));
    send_by(&mut team, 1, 1, 400);
}

#[test]
fn who_wants_nothing_is_not_asked_instead_of_one_that_failed() {
    let mut team = team(1);
    let told = send_by(&mut team, 0, 1, 1);
    let other = send_by(&mut team, 0, 0, 100);
    // Before it says so it is: the other one has failed.
    let failed = answer(&other, "503 Service Unavailable");
    let sent = team.deliver(0, BESIDE, US, failed.as_bytes());
    assert_eq!(invite_in(&sent).map(|(port, _)| *port), Some(1), "{sent:?}");
    let trying = answer(&told, "100 Trying").replace(ASK, TOLD);
    assert!(team.deliver(0, CALLEE, US_AT_CALLEE, trying.as_bytes()).is_empty());
    let other = send_by(&mut team, 0, 0, 200);
    let failed = answer(&other, "503 Service Unavailable");
    let sent = team.deliver(0, BESIDE, US, failed.as_bytes());
    assert_eq!(invite_in(&sent), None, "{sent:?}");
    assert!(sent.iter().any(|(_, message)| message.starts_with("SIP/2.0 500")), "{sent:?}");
}
