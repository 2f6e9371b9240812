//! From [`Settings`] to [`Tables`]: every check, with an error that names the setting.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::{Ipv6Addr, SocketAddr};
use core::{fmt, iter};

use hashbrown::{HashMap, HashTable};

use super::dispatch::Dispatcher;
use super::rules::{CompiledAction, CompiledRule, Host, Methods};
use super::tables::{ListenEntry, Names, Tables, address_hash};
use crate::limits::{
    DOMAIN_LENGTH_MAX, DOMAINS_MAX, LISTEN_POINTS_MAX, MEMBERS_MAX, REASON_MAX, RULE_MATCHES_MAX,
    RULES_MAX, SETS_MAX, USER_PREFIX_MAX,
};
use crate::parse::{scan, uri};
use crate::rewrite::branch::{Keys, TopLines};
use crate::settings::{Action, DestinationSet, ListenId, ListenPoint, Rule, Settings};

/// Which setting is wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsError {
    /// Path of the setting, such as `routes[2].forward`.
    pub setting: String,
    /// What is wrong with it.
    pub problem: String,
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.setting, self.problem)
    }
}

impl core::error::Error for SettingsError {}

fn wrong<T>(setting: impl Into<String>, problem: impl Into<String>) -> Result<T, SettingsError> {
    Err(SettingsError { setting: setting.into(), problem: problem.into() })
}

pub(super) fn build(settings: &Settings) -> Result<Tables, SettingsError> {
    let mut tables = Tables {
        keys: Keys::new(&settings.secret),
        listen: Vec::new(),
        by_address: HashTable::new(),
        by_ip: HashMap::new(),
        sent_by: Names::default(),
        domains: domains(&settings.domains)?,
        rules: Vec::new(),
        sets: Vec::new(),
        record_route: settings.record_route,
        retry_after: match settings.retry_after_seconds {
            0 => Box::default(),
            seconds => format!("Retry-After: {seconds}\r\n").into_bytes().into(),
        },
    };
    listen(&settings.listen, &mut tables)?;
    tables.sets = sets(&settings.sets, &tables)?;
    check_count("routes", settings.rules.len(), RULES_MAX)?;
    for (index, rule) in settings.rules.iter().enumerate() {
        tables.rules.push(compile(&format!("routes[{index}]"), rule, &settings.sets)?);
    }
    Ok(tables)
}

fn check_count(setting: &str, count: usize, max: usize) -> Result<(), SettingsError> {
    if count > max {
        return wrong(setting, format!("{count} entries, at most {max} are possible"));
    }
    Ok(())
}

fn domains(names: &[String]) -> Result<Names, SettingsError> {
    check_count("domains", names.len(), DOMAINS_MAX)?;
    let mut domains = Names::default();
    for (index, name) in names.iter().enumerate() {
        let setting = format!("domains[{index}]");
        check_host(&setting, name)?;
        // An IPv6 address stands in brackets in a URI.
        let host = match name.parse::<Ipv6Addr>() {
            Ok(address) => uri::host_text(address.into()),
            Err(_) => name.strip_suffix('.').unwrap_or(name).to_string(),
        };
        if !domains.insert(&host) {
            return wrong(setting, format!("\"{name}\" stands twice"));
        }
    }
    Ok(domains)
}

/// A host as it may stand in a URI: a name or an IP literal.
fn check_host(setting: &str, host: &str) -> Result<(), SettingsError> {
    let bytes = host.as_bytes();
    let is_name = !host.is_empty()
        && host.len() <= DOMAIN_LENGTH_MAX
        && bytes.iter().all(|&byte| scan::is_host_byte(byte));
    if is_name || uri::ip_literal_or_bare(bytes).is_some() {
        return Ok(());
    }
    wrong(setting, format!("\"{host}\" is neither a host name nor an IP address"))
}

fn listen(points: &[ListenPoint], tables: &mut Tables) -> Result<(), SettingsError> {
    if points.is_empty() {
        return wrong("listen", "there is no listen point; name at least one address and port");
    }
    check_count("listen", points.len(), LISTEN_POINTS_MAX)?;
    for ((index, point), id) in points.iter().enumerate().zip(0_u8..) {
        let (setting, id) = (format!("listen[{index}].address"), ListenId(id));
        let address = point.address;
        check_address(&setting, address)?;
        if tables.listen_id(address).is_some() {
            return wrong(setting, format!("{address} stands twice"));
        }
        let hash = |(address, _): &(SocketAddr, ListenId)| address_hash(*address);
        tables.by_address.insert_unique(address_hash(address), (address, id), hash);
        tables.by_ip.entry(address.ip()).or_default().push((address.port(), id));
        tables.sent_by.insert(&address.to_string());
        let other = |came: &ListenPoint| (came.address != address).then_some(came.address);
        tables.listen.push(ListenEntry {
            point: *point,
            host: uri::host_text(address.ip()).into_bytes().into(),
            via: TopLines::new(address, &[]),
            recorded: points
                .iter()
                .map(|came| {
                    TopLines::new(
                        address,
                        &iter::once(address).chain(other(came)).collect::<Vec<_>>(),
                    )
                })
                .collect(),
        });
    }
    Ok(())
}

/// An address that a datagram can be sent to or come from.
fn check_address(setting: &str, address: SocketAddr) -> Result<(), SettingsError> {
    if address.ip().is_unspecified() || address.ip().is_multicast() {
        return wrong(setting, format!("{address} is not the address of one host; name that"));
    }
    if address.port() == 0 {
        return wrong(setting, format!("{address} has port 0; SIP uses 5060"));
    }
    if let SocketAddr::V6(v6) = address
        && (v6.scope_id() != 0 || v6.flowinfo() != 0)
    {
        return wrong(setting, format!("{address}: scoped addresses cannot stand in a Via"));
    }
    Ok(())
}

fn sets(sets: &[DestinationSet], tables: &Tables) -> Result<Vec<Dispatcher>, SettingsError> {
    check_count("destination_sets", sets.len(), SETS_MAX)?;
    for (index, set) in sets.iter().enumerate() {
        let setting = format!("destination_sets[{index}]");
        if set.name.is_empty() {
            return wrong(format!("{setting}.name"), "is empty; rules name sets by it");
        }
        if sets[..index].iter().any(|other| other.name == set.name) {
            return wrong(format!("{setting}.name"), format!("\"{}\" stands twice", set.name));
        }
        check_count(&format!("{setting}.members"), set.members.len(), MEMBERS_MAX)?;
        for (place, member) in set.members.iter().enumerate() {
            let setting = format!("{setting}.members[{place}].address");
            check_address(&setting, member.address)?;
            if tables.listen_id(member.address).is_some() {
                return wrong(setting, format!("{} is our own listen point", member.address));
            }
            if set.members[..place].iter().any(|other| other.address == member.address) {
                return wrong(setting, format!("{} stands twice", member.address));
            }
        }
    }
    Ok(sets.iter().map(Dispatcher::new).collect())
}

fn compile(
    setting: &str,
    rule: &Rule,
    sets: &[DestinationSet],
) -> Result<CompiledRule, SettingsError> {
    check_count(&format!("{setting}.methods"), rule.methods.len(), RULE_MATCHES_MAX)?;
    check_count(&format!("{setting}.domains"), rule.domains.len(), RULE_MATCHES_MAX)?;
    check_count(&format!("{setting}.user_prefixes"), rule.user_prefixes.len(), RULE_MATCHES_MAX)?;
    check_count(&format!("{setting}.sources"), rule.sources.len(), RULE_MATCHES_MAX)?;
    for (index, domain) in rule.domains.iter().enumerate() {
        check_host(&format!("{setting}.domains[{index}]"), domain)?;
    }
    for (index, prefix) in rule.user_prefixes.iter().enumerate() {
        if prefix.is_empty() || prefix.len() > USER_PREFIX_MAX {
            let problem = format!("has {} bytes; 1 to {USER_PREFIX_MAX} can match", prefix.len());
            return wrong(format!("{setting}.user_prefixes[{index}]"), problem);
        }
    }
    for (index, network) in rule.sources.iter().enumerate() {
        if !network.is_valid() {
            let problem = format!("{network}: the prefix is longer than the address");
            return wrong(format!("{setting}.sources[{index}]"), problem);
        }
    }
    Ok(CompiledRule {
        methods: methods(setting, &rule.methods)?,
        domains: rule.domains.iter().map(|domain| Host::new(domain)).collect(),
        user_prefixes: rule.user_prefixes.iter().map(|prefix| prefix.as_bytes().into()).collect(),
        sources: rule.sources.clone(),
        action: action(setting, &rule.action, sets)?,
    })
}

fn methods(setting: &str, names: &[String]) -> Result<Methods, SettingsError> {
    let mut methods = Methods::default();
    for (index, name) in names.iter().enumerate() {
        let setting = format!("{setting}.methods[{index}]");
        if !scan::is_token(name.as_bytes()) {
            return wrong(setting, format!("\"{name}\" is not a method"));
        }
        if name == "ACK" || name == "CANCEL" {
            return wrong(setting, format!("{name} goes where its INVITE went; leave it out"));
        }
        if name.bytes().any(|byte| byte.is_ascii_lowercase())
            && crate::Method::of(name.to_uppercase().as_bytes()) != crate::Method::Other
        {
            let capitals = name.to_uppercase();
            return wrong(setting, format!("\"{name}\" is written \"{capitals}\" on the wire"));
        }
        methods.insert(name);
    }
    Ok(methods)
}

fn action(
    setting: &str,
    action: &Action,
    sets: &[DestinationSet],
) -> Result<CompiledAction, SettingsError> {
    match action {
        Action::RequestUri => Ok(CompiledAction::RequestUri),
        Action::Forward(name) => {
            let found = (0_u16..).zip(sets).find(|(_, set)| set.name == *name);
            match found {
                Some((index, _)) => Ok(CompiledAction::Forward(index)),
                None => wrong(format!("{setting}.forward"), unknown_set(name, sets)),
            }
        }
        Action::Reject { code, reason } => {
            if !(300..=699).contains(code) {
                let problem = format!("{code} is not a final refusal; use 300 to 699");
                return wrong(format!("{setting}.reject.code"), problem);
            }
            if reason.len() > REASON_MAX || reason.chars().any(char::is_control) {
                let problem = format!("has line breaks or more than {REASON_MAX} bytes");
                return wrong(format!("{setting}.reject.reason"), problem);
            }
            Ok(CompiledAction::Reject { code: *code, reason: reason.as_str().into() })
        }
    }
}

fn unknown_set(name: &str, sets: &[DestinationSet]) -> String {
    let known: Vec<_> = sets.iter().map(|set| format!("\"{}\"", set.name)).collect();
    let known = match known.as_slice() {
        [] => "no set is configured".to_string(),
        known => format!("known sets: {}", known.join(", ")),
    };
    format!("there is no destination set \"{name}\" ({known})")
}
