//! The configuration: one TOML file, read strictly. Unknown keys are refused with the nearest known
//! name; a mistake names its line, its setting and what is allowed there.
//!
//! The data plane reads `[[ports]]`, `[lcores]` and `[memory]` of the same file at its start;
//! everything about SIP reaches it as an epoch, from control.

mod api;
mod auth;
mod checks;
mod cluster;
mod connections;
mod dns;
mod document;
mod error;
mod explain;
mod overload;
mod prefixes;
mod probe;
mod routes;
mod transactions;
mod value;

pub use api::{Api, Role, Token};
pub use auth::{Auth, CredentialFormat, CredentialSource, Realm, SUBSCRIBERS};
pub use cluster::Cluster;
pub use connections::{Connections, ServerCa, Tls, TlsName};
pub use dns::Dns;
pub use error::{ConfigError, Mistake};
pub use explain::explain_routes;
pub use overload::{Overload, Sources};
pub use prefixes::PrefixTable;
pub use probe::{AllDown, Probe};
pub use routes::{Action, DestinationSet, Header, Member, Reject, Route, RouteMatch};
pub use transactions::Transactions;

use document::Document;
use nic_config::settings::{LcoreSettings, MemorySettings, NicSettings, PortSettings};
use serde::Deserialize;
use sip_core::{
    ListenPoint, Maddr, Oversize, RegistrarSettings, Settings, SettingsError, Tables, Transport,
};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// A whole configuration file, validated.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `[appliance]`
    pub appliance: Appliance,
    /// `[[ports]]`, `[lcores]` and `[memory]`: what the data plane starts with.
    pub nic: NicSettings,
    /// `[[listen]]`: where SIP is received; at least one.
    pub listen: Vec<Listen>,
    /// `[[destination_sets]]`: groups of next hops that routes name.
    pub destination_sets: Vec<DestinationSet>,
    /// `[[prefix_tables]]`: number prefixes and the set of each.
    pub prefix_tables: Vec<PrefixTable>,
    /// `[[routes]]`: what to do with a request; the first that matches decides.
    pub routes: Vec<Route>,
    /// `[transactions]`: how requests of stateful routes are sent on.
    pub transactions: Transactions,
    /// `[registrar]`: how routes with `register` answer REGISTER.
    pub registrar: RegistrarSettings,
    /// `[auth]`: how routes with `auth` ask for credentials.
    pub auth: Auth,
    /// `[overload]`: what happens when more comes than can be done.
    pub overload: Overload,
    /// `[connections]`: TCP, TLS and WebSocket.
    pub connections: Connections,
    /// `[tls]`: certificates.
    pub tls: Tls,
    /// `[dns]`: host names as next hops.
    pub dns: Dns,
    /// `[cluster]`: bindings that several appliances share; none when it is absent.
    pub cluster: Option<Cluster>,
    /// `[api]`: who may ask control, and where.
    pub api: Api,
    /// `[log]`
    pub log: Log,
}

/// `[appliance]`: who we are and where our files lie.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Appliance {
    /// Name in logs and status. Default `trunkline`; 1 to 64 letters, digits, `-`, `_`, `.`.
    #[serde(deserialize_with = "value::name")]
    pub name: String,
    /// Host names for which we answer, beside the listen addresses. Default none; at most 4,096.
    pub domains: Vec<String>,
    /// Whether requests that open a dialog get our Record-Route, so that later requests of the call
    /// come through us too. Default false.
    pub record_route: bool,
    /// Retry-After in our 503 replies, in seconds. Default 5; 0 (leave the header out) to 3,600.
    #[serde(deserialize_with = "value::retry_after")]
    pub retry_after: u16,
    /// Whether `maddr` in a Via or URI sends messages elsewhere. Default `refuse`; or `honour`.
    pub maddr: Maddr,
    /// What happens to a message that is larger than the MTU of its way. Default `fragment`: it leaves in
    /// IP fragments; `refuse`: a request is answered with 513, a response dropped.
    pub oversize: Oversize,
    /// Directory of the management socket `dataplane.sock` and of process ids. Default
    /// `/run/trunkline`; absolute; one per appliance on a machine.
    #[serde(deserialize_with = "value::absolute")]
    pub run_directory: PathBuf,
    /// Directory of what must survive a restart: the generated secret, the epoch number. Default
    /// `/var/lib/trunkline`; absolute.
    #[serde(deserialize_with = "value::absolute")]
    pub state_directory: PathBuf,
    /// File with the secret that several appliances share: 32 hexadecimal digits. Default none: each has its own, in
    /// its state directory.
    #[serde(deserialize_with = "value::some_absolute")]
    pub secret_file: Option<PathBuf>,
    /// Addresses of listen points that other appliances have, too, in turn (VRRP) or at one time (anycast). Default
    /// none.
    #[serde(deserialize_with = "value::hosts")]
    pub shared_addresses: Vec<IpAddr>,
}

impl Default for Appliance {
    fn default() -> Self {
        Self {
            name: "trunkline".into(),
            domains: Vec::new(),
            record_route: false,
            retry_after: 5,
            maddr: Maddr::Refuse,
            oversize: Oversize::Fragment,
            run_directory: "/run/trunkline".into(),
            state_directory: "/var/lib/trunkline".into(),
            secret_file: None,
            shared_addresses: Vec::new(),
        }
    }
}

impl Appliance {
    /// The management socket, on which the data plane listens.
    pub fn socket(&self) -> PathBuf {
        self.run_directory.join("dataplane.sock")
    }

    /// Control's own socket, for operators.
    pub fn control_socket(&self) -> PathBuf {
        self.run_directory.join("control.sock")
    }

    /// Where control answers HTTP.
    pub fn api_socket(&self) -> PathBuf {
        self.run_directory.join("api.sock")
    }
}

/// `[[listen]]`: one address and port on which SIP is received.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// Transport: `udp` (default), `tcp`, `tls`, `ws` or `wss`.
    #[serde(default)]
    pub transport: Transport,
    /// Address and port, as they stand in our Via: `10.77.1.1:5060` or `[fd77:1::1]:5060`.
    /// Required; never a wildcard address, port 1 to 65,535.
    #[serde(deserialize_with = "value::address")]
    pub address: SocketAddr,
}

/// `[log]`: what goes to standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Least severe level that is written. Default `info`; `error`, `warn` or `info`.
    pub level: Level,
    /// How a line is written. Default `text`; or `json`: one object a line.
    pub format: LogFormat,
    /// Lines of one kind within ten seconds; what is beyond is counted and said once. Default 50; 0 (no limit)
    /// to 65,535.
    pub lines_per_10_s: u16,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: Level::Info, format: LogFormat::Text, lines_per_10_s: 50 }
    }
}

/// How a log line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for programs.
    Json,
}

/// How severe a log line is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// What needs a person.
    Error,
    /// What a person should know of.
    Warn,
    /// Starts, stops, epochs, connections.
    #[default]
    Info,
}

impl Level {
    /// The level as `tracing` knows it.
    pub fn as_tracing(self) -> tracing::Level {
        match self {
            Self::Error => tracing::Level::ERROR,
            Self::Warn => tracing::Level::WARN,
            Self::Info => tracing::Level::INFO,
        }
    }
}

impl Config {
    /// Reads and validates the file at `path`.
    ///
    /// # Errors
    /// Every mistake that was found, each with line, setting and what is allowed.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|e| ConfigError::whole(path.to_owned(), format!("cannot be read: {e}")))?;
        let directory = path.parent().unwrap_or(Path::new(""));
        Self::parse(&text, directory)
            .map_err(|mistakes| ConfigError { path: path.to_owned(), mistakes })
    }

    /// Reads and validates TOML text, and the files that it names beside `directory`.
    ///
    /// # Errors
    /// Every mistake that was found, in the order of their lines.
    pub fn parse(text: &str, directory: &Path) -> Result<Self, Vec<Mistake>> {
        let mut document = Document::parse(text).map_err(|mistake| vec![mistake])?;
        let appliance = document.section::<Appliance>("appliance");
        let ports = document.list::<PortSettings>("ports");
        let lcores = document.section::<LcoreSettings>("lcores");
        let memory = document.section::<MemorySettings>("memory");
        let listen = document.list::<Listen>("listen");
        let mut sets = document.list::<DestinationSet>("destination_sets");
        let prefix_tables = document.list::<PrefixTable>("prefix_tables");
        let routes = document.list::<Route>("routes");
        let transactions = document.section::<Transactions>("transactions");
        let registrar = document.section::<RegistrarSettings>("registrar");
        let auth = document.section::<Auth>("auth");
        let overload = document.section::<Overload>("overload");
        let connections = document.section::<Connections>("connections");
        let tls = document.section::<Tls>("tls");
        let dns = document.section::<Dns>("dns");
        let cluster = document.optional::<Cluster>("cluster");
        let api = document.section::<Api>("api");
        let log = document.section::<Log>("log");
        document.refuse_the_rest();
        let (mut mistakes, lines) = (document.mistakes, document.lines);
        for member in sets.iter_mut().flat_map(|set| &mut set.members) {
            member.is_own = listen.iter().any(|point| point.address == member.address);
        }
        let mut config = Self {
            appliance,
            nic: NicSettings { ports, lcores, memory },
            listen,
            destination_sets: sets,
            prefix_tables,
            routes,
            transactions,
            registrar,
            auth,
            overload,
            connections,
            tls,
            dns,
            cluster,
            api,
            log,
        };
        config.auth.resolve(directory);
        config.tls.resolve(directory);
        for (index, table) in config.prefix_tables.iter_mut().enumerate() {
            mistakes.append(&mut table.read(index, directory, &config.destination_sets));
        }
        mistakes.extend(config.api.mistakes());
        mistakes.extend(config.dns.mistake());
        // An entry that could not be read must not make others look wrong.
        if mistakes.is_empty() {
            mistakes.extend(config.via_ports_mistake());
            mistakes.extend(config.shared_addresses_mistake());
        }
        if mistakes.is_empty() {
            config.listen_at_via_ports();
            // The secret changes nothing about what is allowed.
            if let Err(error) = Tables::build(&config.to_settings([0; 16])) {
                mistakes.push(config.routing_mistake(error, directory));
            }
            mistakes.extend(config.missing_parts());
            mistakes.extend(config.tls_mistake());
            mistakes.extend(config.cluster_mistake());
        }
        for mistake in &mut mistakes {
            mistake.line = mistake.line.or_else(|| line_near(&lines, &mistake.setting));
        }
        mistakes.sort_by_key(|m| m.line);
        if mistakes.is_empty() { Ok(config) } else { Err(mistakes) }
    }

    /// The settings of the router, as they travel to the data plane in an epoch.
    pub fn to_settings(&self, secret: [u8; 16]) -> Settings {
        let listen_point =
            |listen: &Listen| ListenPoint { address: listen.address, transport: listen.transport };
        Settings {
            secret,
            domains: self.appliance.domains.clone(),
            listen: self.listen.iter().map(listen_point).collect(),
            shared: self.appliance.shared_addresses.clone(),
            record_route: self.appliance.record_route,
            is_leaving: false,
            retry_after_seconds: self.appliance.retry_after,
            maddr: self.appliance.maddr,
            oversize: self.appliance.oversize,
            prefix_tables: self.prefix_tables.iter().map(|own| own.table().clone()).collect(),
            sets: self.destination_sets.iter().map(DestinationSet::to_sip).collect(),
            rules: self.routes.iter().map(Route::to_sip).collect(),
            transactions: self.transactions.to_sip(),
            via_ports: self.transactions.via_ports.clone(),
            registrar: self.registrar.clone(),
            auth: self.auth.to_sip(),
            overload: self.overload.to_sip(),
        }
    }
}

impl Config {
    /// What the router found wrong, as the file has it.
    fn routing_mistake(&self, error: SettingsError, directory: &Path) -> Mistake {
        let mut problem = error.problem;
        let number = error.setting.strip_prefix("prefix_tables[").and_then(|rest| {
            rest.split_once(']').and_then(|(index, _)| index.parse::<usize>().ok())
        });
        if let Some(table) = number.and_then(|index| self.prefix_tables.get(index))
            && let Some(prefix) = problem.split('"').nth(1)
        {
            let lines = table.lines_of(prefix, directory).into_iter().take(2);
            let path = directory.join(&table.file);
            let places: Vec<_> = lines.map(|line| format!("{}:{line}", path.display())).collect();
            if !places.is_empty() {
                problem = format!("{}: {problem}", places.join(" and "));
            }
        }
        Mistake { line: None, setting: routing_setting(&error.setting), problem }
    }
}

/// The router's name of a setting as the file has it.
fn routing_setting(setting: &str) -> String {
    if setting.starts_with("domains") {
        return format!("appliance.{setting}");
    }
    if setting == "transactions.timer_c_ms" {
        return "transactions.timer_c_seconds".to_owned();
    }
    match setting.split_once("].") {
        Some((route, rest)) if route.starts_with("routes[") && is_match(rest) => {
            format!("{route}].match.{rest}")
        }
        _ => setting.to_owned(),
    }
}

/// Whether a setting of a route, such as `sources[0]`, stands in its `match`.
fn is_match(setting: &str) -> bool {
    ["methods", "domains", "user_prefixes", "sources", "headers"]
        .iter()
        .any(|key| setting.starts_with(key))
}

/// The line of the section or list entry in which a setting stands.
fn line_near(lines: &[(String, usize)], setting: &str) -> Option<usize> {
    let holds = |place: &str| {
        let rest = setting.strip_prefix(place);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    lines.iter().filter(|(place, _)| holds(place)).map(|(_, line)| *line).next_back()
}

#[cfg(test)]
mod tests;
