//! What is read, and what is refused in which words.

use super::{Action, Config, Level, explain_routes};
use sip_core as sip;

const WHOLE: &str = r#"
[appliance]
name = "edge-1"
domains = ["example.com"]
record_route = true

[[ports]]
name = "edge"
interface = "eth1"

[lcores]
workers = [1]

[[listen]]
address = "192.0.2.1:5060"

[[destination_sets]]
name = "core"
members = [{ address = "198.51.100.1:5060" }, { address = "198.51.100.2:5060", weight = 3 }]

[[routes]]
match = { methods = ["INVITE"], user_prefixes = ["00"], sources = ["203.0.113.0/24"] }
reject = { code = 403, reason = "No international calls" }

[[routes]]
match = { domains = ["example.com"] }
forward = "core"

[log]
level = "warn"
"#;

fn refusals(text: &str) -> Vec<String> {
    let mistakes = Config::parse(text).unwrap_err();
    let line = |m: &super::Mistake| format!("{}|{}|{}", m.line.unwrap_or(0), m.setting, m.problem);
    mistakes.iter().map(line).collect()
}

#[test]
fn a_whole_file_becomes_settings() {
    let config = Config::parse(WHOLE).unwrap();
    assert_eq!(config.log.level, Level::Warn);
    assert_eq!(config.appliance.socket().to_str(), Some("/run/trunkline/dataplane.sock"));
    assert_eq!(config.routes[1].action, Action::Forward("core".into()));
    let settings = config.to_settings([7; 16]);
    assert_eq!(settings.secret, [7; 16]);
    assert_eq!(settings.domains, ["example.com"]);
    assert!(settings.record_route);
    assert_eq!(settings.retry_after_seconds, 5);
    assert_eq!(settings.maddr, sip::Maddr::Refuse);
    let honours = WHOLE.replace("record_route = true", "maddr = \"honour\"");
    let honours = Config::parse(&honours).unwrap().to_settings([7; 16]);
    assert_eq!(honours.maddr, sip::Maddr::Honour);
    assert_eq!(settings.listen[0].address, "192.0.2.1:5060".parse().unwrap());
    assert_eq!(settings.sets[0].members.iter().map(|m| m.weight).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(settings.rules[0].sources, ["203.0.113.0/24".parse::<sip::Network>().unwrap()]);
    assert!(matches!(settings.rules[0].action, sip::Action::Reject { code: 403, .. }));
}

#[test]
fn routes_are_explained_in_words() {
    let words = explain_routes(&Config::parse(WHOLE).unwrap());
    let expected = "\
1. INVITE to a user beginning with 00 coming from 203.0.113.0/24 is answered with 403 No international calls
2. any request at example.com is forwarded to core (198.51.100.1:5060 25 %, 198.51.100.2:5060 75 %)";
    assert!(words.starts_with(expected), "{words}");
    assert_eq!(words.lines().count(), 3);
}

#[test]
fn each_mistake_names_line_setting_and_what_is_allowed() {
    let cases = [
        (
            "record_route = true",
            "recrod_route = true",
            "5|appliance.recrod_route|unknown key \
          `recrod_route`: did you mean `record_route`? allowed here: name, domains",
        ),
        ("record_route = true", "record_route = \"yes\"", "5|appliance.record_route|invalid type"),
        (
            "record_route = true",
            "maddr = \"honor\"",
            "5|appliance.maddr|unknown value `honor`: did you mean `honour`?",
        ),
        ("[lcores]", "[lcore]", "11||unknown section `lcore`: did you mean `lcores`?"),
        ("192.0.2.1:5060", "192.0.2.1", "15|listen[0].address|`192.0.2.1` is no address and port"),
        ("192.0.2.1:5060", "0.0.0.0:5060", "14|listen[0].address|0.0.0.0:5060 is not the"),
        (
            "weight = 3",
            "weight = 70000",
            "19|destination_sets[0].members[1].weight|70000 is out of",
        ),
        ("\"INVITE\"", "\"invite\"", "21|routes[0].match.methods[0]|\"invite\" is written"),
        ("\"INVITE\"", "\"ACK\"", "21|routes[0].match.methods[0]|ACK goes where"),
        ("203.0.113.0/24", "203.0.113.0/33", "22|routes[0].match.sources|`203.0.113.0/33` is not"),
        ("code = 403", "code = 200", "21|routes[0].reject.code|200 is not a final"),
        (
            "forward = \"core\"",
            "forward = \"cores\"",
            "25|routes[1].forward|there is no destination set \"cores\"",
        ),
        ("forward = \"core\"", "", "25|routes[1]|needs exactly one of"),
        ("\"warn\"", "\"warning\"", "30|log.level|unknown value `warning`: did you mean `warn`?"),
        ("interface = \"eth1\"", "queues = 1", "7|ports[0]|port \"edge\": set exactly one of"),
        ("[\"example.com\"]", "[\"exa mple\"]", "2|appliance.domains[0]|"),
        ("workers = [1]", "workers = 1]", "12||"),
    ];
    for (good, bad, expected) in cases {
        assert!(WHOLE.contains(good), "{good}");
        let refusals = refusals(&WHOLE.replacen(good, bad, 1));
        assert!(refusals[0].starts_with(expected), "{bad}:\n{}", refusals.join("\n"));
    }
}

#[test]
fn all_mistakes_are_reported_in_one_run() {
    let text = WHOLE
        .replace("record_route", "record")
        .replace("\"warn\"", "3")
        .replace("interface", "inteface");
    assert_eq!(refusals(&text).len(), 3);
}
