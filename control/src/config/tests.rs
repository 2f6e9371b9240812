//! What is read, and what is refused in which words.

use super::{Action, Config, Level, explain_routes};
use crate::dataplane_link::Link;
use crate::testing::Peer;
use control_api::{FromDataplane, ToDataplane};
use sip_core as sip;
use std::time::Instant;

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

fn parsed(text: &str) -> Result<Config, Vec<super::Mistake>> {
    Config::parse(text, std::path::Path::new(""))
}

fn refusals(text: &str) -> Vec<String> {
    let mistakes = parsed(text).unwrap_err();
    let line = |m: &super::Mistake| format!("{}|{}|{}", m.line.unwrap_or(0), m.setting, m.problem);
    mistakes.iter().map(line).collect()
}

#[test]
fn a_whole_file_becomes_settings() {
    let config = parsed(WHOLE).unwrap();
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
    let honours = parsed(&honours).unwrap().to_settings([7; 16]);
    assert_eq!(honours.maddr, sip::Maddr::Honour);
    assert_eq!(settings.listen[0].address, "192.0.2.1:5060".parse().unwrap());
    assert_eq!(settings.sets[0].members.iter().map(|m| m.weight).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(settings.rules[0].sources, ["203.0.113.0/24".parse::<sip::Network>().unwrap()]);
    assert!(matches!(settings.rules[0].action, sip::Action::Reject { code: 403, .. }));
}

#[test]
fn routes_are_explained_in_words() {
    let words = explain_routes(&parsed(WHOLE).unwrap());
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

#[test]
fn destination_sets_and_headers_become_settings() {
    let text = WHOLE
        .replace("name = \"core\"", "name = \"core\"\nalgorithm = \"maglev\"\nhash = \"to-user\"")
        .replace("weight = 3", "weight = 3, priority = 2, backup = true, capacity = 500")
        .replace(
            "user_prefixes = [\"00\"]",
            "headers = [{ name = \"User-Agent\", contains = \"scanner\" }]",
        );
    let config = parsed(&text).unwrap();
    let settings = config.to_settings([0; 16]);
    let set = &settings.sets[0];
    assert_eq!((set.algorithm, set.hash), (sip::Algorithm::Maglev, sip::HashKey::ToUser));
    let member = set.members[1];
    assert_eq!((member.priority, member.backup, member.capacity), (2, true, 500));
    let test = sip::HeaderTest::Contains("scanner".into());
    let header = sip::HeaderMatch { name: "User-Agent".into(), test };
    assert_eq!(settings.rules[0].headers, [header]);
    let words = explain_routes(&config);
    assert!(words.contains("with User-Agent: …scanner… is answered with 403"), "{words}");
    assert!(words.contains("198.51.100.2:5060 as backup up to 500/s)"), "{words}");

    let wrong = |from: &str, to: &str| refusals(&text.replacen(from, to, 1)).remove(0);
    let refusal = wrong("\"maglev\"", "\"magelv\"");
    assert!(refusal.ends_with("allowed here: rendezvous, maglev, round-robin"), "{refusal}");
    let refusal = wrong("\"to-user\"", "\"to-usr\"");
    assert!(refusal.contains("did you mean `to-user`?"), "{refusal}");
    let refusal = wrong("= 500", "= 2000000");
    assert!(
        refusal.contains("destination_sets[0].members[1].capacity|2000000 is more"),
        "{refusal}"
    );
    let refusal = wrong("contains = \"scanner\"", "contains = \"a\", is = \"b\"");
    assert!(refusal.contains("takes at most one of is, begins_with, contains"), "{refusal}");
    let refusal = wrong("contains = \"scanner\"", "contains = \"\"");
    assert!(refusal.contains("routes[0].match.headers[0]|has 0 bytes"), "{refusal}");
}

#[test]
fn workers_may_have_ports_of_their_own() {
    let with = |ports: &str| {
        WHOLE.replace("[log]", &format!("[transactions]\nvia_ports = {ports}\n\n[log]"))
    };
    let workers = parsed(WHOLE).unwrap().nic.lcores.workers.len();
    let ports: Vec<usize> = (5_070..).take(workers).collect();
    let config = parsed(&with(&format!("{ports:?}"))).unwrap();
    let settings = config.to_settings([0; 16]);
    assert_eq!(settings.via_ports.len(), workers);
    let own = settings.listen.iter().filter(|one| one.address.port() == 5_070);
    let own: Vec<_> = own.map(|one| one.address.to_string()).collect();
    assert!(own.contains(&"192.0.2.1:5070".to_owned()), "{own:?}");
    let many = refusals(&with("[5070, 5071, 5072, 5073, 5074, 5075, 5076, 5077, 5078]"));
    assert!(many[0].contains("transactions.via_ports|9 port(s) for"), "{many:?}");
    let twice = with("[5070, 5070]").replace("workers = [1]", "workers = [1, 2]");
    let twice = refusals(&twice);
    assert!(twice[0].contains("5070 is no port of its own") && twice.len() == 1, "{twice:?}");
    let taken: Vec<usize> = (5_060..).take(workers).collect();
    let taken = refusals(&with(&format!("{taken:?}")));
    assert!(taken[0].contains("192.0.2.1:5060 stands under [[listen]]"), "{taken:?}");
    assert_eq!(taken.len(), 1, "{taken:?}");
}

#[test]
fn stateful_routes_and_timers_become_settings() {
    let text = WHOLE
        .replace("[log]", "[transactions]\nt1_ms = 100\nt2_ms = 400\n\n[log]")
        .replace("forward = \"core\"", "forward = \"core\"\nstateful = true\nfork = \"parallel\"");
    let config = parsed(&text).unwrap();
    let settings = config.to_settings([0; 16]);
    assert_eq!(settings.rules[0].relay, sip::Relay::Stateless);
    assert_eq!(settings.rules[1].relay, sip::Relay::Stateful(sip::Fork::Parallel));
    let timers = settings.transactions;
    assert_eq!((timers.t1_ms, timers.t2_ms, timers.timer_c_ms), (100, 400, 200_000));
    let default = parsed(WHOLE).unwrap().to_settings([0; 16]).transactions;
    assert_eq!(default, sip::TransactionSettings::default());
    let words = |text: &str| explain_routes(&parsed(text).unwrap());
    let wanted =
        "198.51.100.2:5060 75 %), with a transaction that asks all members of a tier at once";
    assert!(words(&text).contains(wanted), "{}", words(&text));
    let one = text.replace("\nfork = \"parallel\"", "");
    assert!(words(&one).contains("with a transaction that tries another member when one fails"));
    let relay = one.replace("forward = \"core\"", "relay = true");
    assert!(
        words(&relay).contains("of its Request-URI, with a transaction\n"),
        "{}",
        words(&relay)
    );

    let refusal = |from: &str, to: &str| refusals(&text.replacen(from, to, 1)).remove(0);
    for (from, to, expected) in [
        ("stateful = true\n", "", "25|routes[1]|fork needs a transaction: write stateful = true"),
        ("\"parallel\"", "\"paralel\"", "29|routes[1].fork|unknown value `paralel`: did you mean"),
        ("forward = \"core\"", "relay = true", "25|routes[1].fork|only the members of a set"),
        ("t1_ms = 100", "t1_ms = 5", "31|transactions.t1_ms|5 ms; 10 to 10000 ms are possible"),
        ("t2_ms = 400", "t2_ms = 50", "31|transactions.t2_ms|50 ms; 100 (T1) to 60000 ms"),
        ("t2_ms = 400", "timer_c_seconds = 0", "31|transactions.timer_c_seconds|0 ms; 1000 to"),
        ("t2_ms = 400", "failover_ms = 6401", "31|transactions.failover_ms|6401 ms; 0 to 6400 (64"),
        ("t2_ms = 400", "attempts = 9", "31|transactions.attempts|9; 1 to 8 destinations"),
        ("t2_ms = 400", "merged = \"drop\"", "33|transactions.merged|unknown value `drop`"),
        (
            "t2_ms = 400",
            "t2ms = 400",
            "33|transactions.t2ms|unknown key `t2ms`: did you mean `t2_ms`?",
        ),
        ("[log]", "[memory]\ntransactions = 0\n[log]", "25|routes[1].stateful|workers have no"),
        ("[log]", "[memory]\ntransactions = -1\n[log]", "36|memory.transactions|-1 for each"),
    ] {
        let refusal = refusal(from, to);
        assert!(refusal.starts_with(expected), "{to}: {refusal}");
    }
    let asking = text.replace("name = \"core\"\n", "name = \"core\"\noverload_control = true\n");
    assert!(parsed(&asking).unwrap().to_settings([0; 16]).sets[0].overload_control);
    assert!(words(&asking).contains("75 %; each is asked how many requests it wants)"));
    let nobody = asking.replace("stateful = true\nfork = \"parallel\"\n", "");
    let refusal = refusals(&nobody).remove(0);
    assert!(refusal.contains("destination_sets[0].overload_control|only requests"), "{refusal}");
    let reject = WHOLE.replace("reject =", "stateful = true\nreject =");
    let expected = "21|routes[0].stateful|a rejected request is answered at once; leave it out";
    assert_eq!(refusals(&reject), [expected]);
}

const REGISTRAR: &str = r#"
[[routes]]
register = true
auth = "example.com"

[[routes]]
locate = true

[registrar]
min_expires_s = 30
contacts_per_aor = 4
nat = "always"
keepalive = "options"
service_route = ["sip:192.0.2.1;lr"]
durability = "memory"

[auth]
algorithms = ["SHA-256"]
blocked = "forbid"

[[auth.realms]]
name = "example.com"
file = "users.csv"

[[auth.realms]]
name = "staff"
database = "staff.db"
query = "SELECT name, ha1 FROM users"
"#;

#[test]
fn the_registrar_and_realms_become_settings() {
    let text = [WHOLE, REGISTRAR].concat();
    let config = parsed(&text).unwrap();
    let settings = config.to_settings([0; 16]);
    assert_eq!(settings.rules[2].action, sip::Action::Register);
    assert_eq!(settings.rules[2].auth.as_deref(), Some("example.com"));
    assert_eq!((&settings.rules[3].action, &settings.rules[3].auth), (&sip::Action::Locate, &None));
    let registrar = &settings.registrar;
    assert_eq!((registrar.min_expires_s, registrar.max_expires_s), (30, 7_200));
    assert_eq!((registrar.nat, registrar.keepalive), (sip::Nat::Always, sip::KeepAlive::Options));
    assert_eq!(registrar.durability, sip::Durability::Memory);
    assert_eq!(settings.auth.realms, ["example.com", "staff"]);
    assert_eq!(settings.auth.algorithms, [sip::DigestAlgorithm::Sha256]);
    assert_eq!(config.auth.realms[0].name, "example.com");
    let default = parsed(WHOLE).unwrap().to_settings([0; 16]);
    assert_eq!(default.registrar, sip::RegistrarSettings::default());
    assert_eq!(default.auth, sip::AuthSettings::default());
    let words = explain_routes(&config);
    let wanted =
        "3. REGISTER of our domains is answered from location, for users of example.com with";
    assert!(words.contains(wanted), "{words}");
    assert!(
        words.contains("4. any request but REGISTER for a user of our domains goes"),
        "{words}"
    );
}

/// What is changed in the file, to what, and how the refusal begins.
const REGISTRAR_MISTAKES: &[(&str, &str, &str)] = &[
    ("auth = \"example.com\"", "auth = \"example.org\"", "32|routes[2].auth|there is no realm"),
    ("locate = true", "locate = true\nfork = \"serial\"", "36|routes[3]|fork is for sets"),
    ("locate = true", "locate = true\nstateful = true", "36|routes[3].stateful|leave it out"),
    ("locate = true", "locate = true\nrelay = true", "36|routes[3]|needs exactly one of"),
    ("locate = true", "locate = true\nlocat = true", "38|routes[3].locat|unknown key `locat`: did"),
    ("min_expires_s = 30", "min_expires_s = 0", "39|registrar.min_expires_s|0 s; 1 to 3600 s are"),
    ("min_expires_s = 30", "max_expires_s = 59", "39|registrar.max_expires_s|59 s; 60 to"),
    (
        "min_expires_s = 30",
        "default_expires_s = 9000",
        "39|registrar.default_expires_s|9000 s; 60 to 7200",
    ),
    (
        "min_expires_s = 30",
        "min_expire_s = 30",
        "40|registrar.min_expire_s|unknown key `min_expire_s`: did you mean `min_expires_s`?",
    ),
    (
        "contacts_per_aor = 4",
        "contacts_per_aor = 17",
        "39|registrar.contacts_per_aor|17 bindings; 1 to 16",
    ),
    (
        "contacts_per_aor = 4",
        "contacts_per_aor = 300",
        "41|registrar.contacts_per_aor|300 is out of range",
    ),
    ("contacts_per_aor = 4", "keepalive_s = 4", "39|registrar.keepalive_s|4 s; 5 to 600 s are"),
    ("\"always\"", "\"alway\"", "42|registrar.nat|unknown value `alway`: did you mean `always`?"),
    (
        "sip:192.0.2.1;lr",
        "sip:192.0.2.1",
        "39|registrar.service_route[0]|\"sip:192.0.2.1\" is no SIP",
    ),
    ("\"memory\"", "\"disk\"", "45|registrar.durability|unknown value `disk`"),
    (
        "\"memory\"",
        "\"flushed\"\nstore = \"none\"",
        "39|registrar.store|without a store nothing is",
    ),
    ("\"memory\"", "\"memory\"\nstore = \"nothing\"", "46|registrar.store|unknown value `nothing`"),
    ("[\"SHA-256\"]", "[]", "47|auth.algorithms|there is none"),
    (
        "[\"SHA-256\"]",
        "[\"SHA256\"]",
        "48|auth.algorithms[0]|unknown value `SHA256`: did you mean `SHA-256`?",
    ),
    ("blocked = \"forbid\"", "nonce_s = 9", "47|auth.nonce_s|9 s; 10 to 86400 are"),
    (
        "name = \"staff\"",
        "name = \"example.com\"",
        "47|auth.realms[1].name|\"example.com\" stands twice",
    ),
    ("name = \"staff\"", "name = \"a\\\"b\"", "47|auth.realms[1].name|\"a\\\"b\" holds a quote"),
    ("file = \"users.csv\"", "", "51|auth.realms[0]|needs exactly one of file"),
    (
        "[registrar]",
        "[memory]\naors = 0\n[registrar]",
        "32|routes[2].register|workers have no memory",
    ),
    ("[registrar]", "[memory]\ntransactions = 0\n[registrar]", "36|routes[3].locate|each request"),
    (
        "domains = [\"example.com\"]\nrecord",
        "record",
        "31|routes[2].register|users are registered at a domain",
    ),
    (
        "register = true",
        "register = true\nmatch = { domains = [\"example.org\"] }",
        "32|routes[2].match.domains|\"example.org\" is none of ours",
    ),
];

#[test]
fn mistakes_about_the_registrar_and_realms_say_what_to_do() {
    let text = [WHOLE, REGISTRAR].concat();
    let refusal = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        refusals(&text.replacen(from, to, 1)).remove(0)
    };
    for (from, to, expected) in REGISTRAR_MISTAKES {
        let refusal = refusal(from, to);
        assert!(refusal.starts_with(expected), "{to}: {refusal}");
    }
}

const PREFIXES: &str = r#"
[[prefix_tables]]
name = "numbers"
file = "prefixes.csv"

[[routes]]
forward_by_prefix = "numbers"
"#;

#[test]
fn prefix_tables_are_read_from_their_files() {
    let directory = tempfile::tempdir().unwrap();
    let text = [WHOLE, PREFIXES].concat();
    let with_file = |content: &str| {
        std::fs::write(directory.path().join("prefixes.csv"), content).unwrap();
        Config::parse(&text, directory.path())
    };
    let config = with_file("# numbers\n+49,core\n\n +4930 , core \n").unwrap();
    let settings = config.to_settings([0; 16]);
    let entries: Vec<_> = settings.prefix_tables[0].entries().collect();
    assert_eq!(entries, [("+49", 0), ("+4930", 0)]);
    assert_eq!(settings.rules[2].action, sip::Action::ForwardByPrefix("numbers".into()));
    assert!(
        explain_routes(&config).contains("3. any request is forwarded to the set that numbers")
    );

    let cases = [
        ("+49,core\n+49;core\n", "/prefixes.csv:2: is not `prefix,set`"),
        (",core", "/prefixes.csv:1: has no prefix before the comma"),
        ("+49,", "/prefixes.csv:1: has no set behind the comma"),
        ("+4,core\n+49,cores", "/prefixes.csv:2: there is no destination set \"cores\""),
        ("+49,core\n\n+49,core", "/prefixes.csv:3: \"+49\" stands twice"),
    ];
    for (content, expected) in cases {
        let mistakes = with_file(content).unwrap_err();
        let mistake = &mistakes[0];
        assert!(mistake.problem.ends_with(expected), "{mistake:?}");
        assert!(mistake.setting.starts_with("prefix_tables[0]") && mistake.line == Some(32));
    }
    assert_eq!(with_file(&"x\n".repeat(30)).unwrap_err().len(), 11);
    let gone = Config::parse(&text, &directory.path().join("no")).unwrap_err();
    assert!(gone[0].problem.contains("cannot be read"), "{gone:?}");
}

/// `cargo test --release -p control --lib a_million_prefixes -- --nocapture` prints the times.
#[tokio::test]
#[expect(clippy::print_stdout, reason = "figures for people")]
async fn a_million_prefixes_pass_from_the_file_to_the_router() {
    let directory = tempfile::tempdir().unwrap();
    let line = |n: u32| format!("+{},core\n", 1_000_000_000_u64 + u64::from(n) * 7_919);
    let content: String = (0..1_000_000).map(line).collect();
    std::fs::write(directory.path().join("prefixes.csv"), content).unwrap();
    let start = Instant::now();
    let config = Config::parse(&[WHOLE, PREFIXES].concat(), directory.path()).unwrap();
    println!("read, checked and built: {:.0?}", start.elapsed());
    let settings = config.to_settings([0; 16]);
    let hello = FromDataplane::Hello { api_version: control_api::API_VERSION, epoch: 0 };
    let peer = Peer::with_answers(vec![hello, FromDataplane::Applied { epoch: 1 }]);
    let mut link = Link::connect(peer.path()).await.unwrap();
    let start = Instant::now();
    link.apply(1, &settings).await.unwrap();
    println!("sent over the management socket and read: {:.0?}", start.elapsed());
    let asked = peer.asked.lock().unwrap();
    let Some(ToDataplane::Apply { settings: arrived, .. }) = asked.last() else { unreachable!() };
    assert_eq!(*arrived, settings);
    let start = Instant::now();
    let tables = sip::Tables::build(arrived).unwrap();
    println!("built by the data plane: {:.0?}", start.elapsed());
    assert_eq!(tables.prefix_set(0, b"+10000079191"), Some(0));
    assert_eq!(tables.prefix_set(0, b"+1000007918"), None);
}

#[test]
fn who_shares_users_is_checked() {
    let whole = WHOLE
        .replace("record_route = true", "secret_file = \"/etc/cluster.secret\"")
        .replace("name = \"core\"\n", "name = \"core\"\nhash = \"aor\"\n");
    let cluster = "[cluster]\nname = \"east\"\nmembers = \"core\"\nmember = \"198.51.100.1:5060\"\n\
                   engine = [\"192.0.2.31:6379\"]\n";
    let text = whole.clone() + cluster;
    let read = parsed(&text).unwrap().cluster.unwrap();
    assert_eq!((read.copies, read.engine.len(), read.node), (2, 1, None));
    assert_eq!(parsed(&whole).unwrap().cluster, None);
    let refused = |from: &str, to: &str, why: &str| {
        let changed = text.replace(from, to);
        assert_ne!(changed, text);
        let said = refusals(&changed);
        assert!(said.len() == 1 && said[0].contains(why), "{said:?}");
    };
    refused(
        "members = \"core\"",
        "members = \"cor\"",
        "cluster.members|there is no destination set",
    );
    refused("hash = \"aor\"", "hash = \"source\"", "does not choose by the user");
    refused(
        "member = \"198.51.100.1",
        "member = \"198.51.100.9",
        "but 198.51.100.1:5060, 198.51.100.2:5060",
    );
    refused("secret_file = \"/etc/cluster.secret\"", "", "name appliance.secret_file");
    refused("name = \"east\"", "name = \"ea st\"", "cluster.name|`ea st` is no name");
    refused("6379", "redis", "is no address and port, such as 192.0.2.31:6379");
    refused("[\"192.0.2.31:6379\"]", "[]", "1 to 16 nodes can be named");
    refused("name = \"east\"", "name = \"east\"\ncopies = 17", "1 to 16 is allowed nodes");
    refused("name = \"east\"", "name = \"east\"\nusername = \"x\"", "needs cluster.password_file");
    refused(
        "[log]",
        "[registrar]\nstore = \"none\"\ndurability = \"memory\"\n[log]",
        "leave one of both out",
    );
}

#[test]
fn addresses_that_several_appliances_have_are_checked() {
    let whole = WHOLE
        .replace("[[listen]]", "[[listen]]\naddress = \"192.0.2.10:5060\"\n[[listen]]")
        .replace(
            "record_route = true",
            "secret_file = \"/etc/cluster.secret\"\nshared_addresses = [\"192.0.2.10\"]",
        );
    let settings = parsed(&whole).unwrap().to_settings([0; 16]);
    assert_eq!(settings.shared, ["192.0.2.10".parse::<std::net::IpAddr>().unwrap()]);
    let cases = [
        (
            "[\"192.0.2.10\"]",
            "[\"192.0.2.10:5060\"]",
            "`192.0.2.10:5060` is no address without a port",
        ),
        ("[\"192.0.2.10\"]", "[\"192.0.2.9\"]", "no [[listen]] has the address 192.0.2.9"),
        ("secret_file = \"/etc/cluster.secret\"\n", "", "name appliance.secret_file"),
        ("[\"192.0.2.10\"]", "[\"192.0.2.1\"]", "listen[1].address|is shared: write the shared"),
    ];
    for (from, to, why) in cases {
        let said = refusals(&whole.replace(from, to));
        assert!(said.len() == 1 && said[0].contains(why), "{said:?}");
    }
}
