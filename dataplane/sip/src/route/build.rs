//! From [`Settings`] to [`Tables`]: every check, with an error that names the setting.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use core::{fmt, iter};

use hashbrown::{HashMap, HashTable};

use super::build_registrar::check_registrar;
use super::rule_index::RuleIndex;
use super::rules::{CompiledAction, CompiledRule, HeaderMatches, Host, Methods};
use super::set::Set;
use super::tables::{Fixed, ListenEntry, Names, Tables, address_hash};
use super::{build_auth, build_sets};
use crate::limits::{
    ATTEMPTS_MAX, DOMAIN_LENGTH_MAX, DOMAINS_MAX, HEADER_TEXT_MAX, LISTEN_POINTS_MAX, REASON_MAX,
    RULE_MATCHES_MAX, RULES_MAX, T1_MS, T2_T4_MS_MAX, TIMEOUT_T1, TIMER_C_MS, USER_PREFIX_MAX,
};
use crate::overload::OverloadPlan;
use crate::parse::{scan, uri};
use crate::rewrite::branch::{Keys, TopLines};
use crate::settings::{
    Action, Fork, HeaderMatch, HeaderTest, ListenId, ListenPoint, Maddr, Nat, RealmId, Relay, Rule,
    Settings, TransactionSettings, Transport,
};

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

pub(crate) fn wrong<T>(
    setting: impl Into<String>,
    problem: impl Into<String>,
) -> Result<T, SettingsError> {
    Err(SettingsError { setting: setting.into(), problem: problem.into() })
}

pub(super) fn build(settings: &Settings, before: Option<&Tables>) -> Result<Tables, SettingsError> {
    let mut fixed = Fixed {
        listen: Vec::new(),
        by_address: HashTable::new(),
        connections: Vec::new(),
        by_ip: HashMap::new(),
        sent_by: Names::default(),
        domains: domains(&settings.domains)?,
        rules: Vec::new(),
        rule_index: RuleIndex::default(),
        prefix_tables: Vec::new(),
        record_route: settings.record_route,
        is_leaving: settings.is_leaving,
        honours_maddr: settings.maddr == Maddr::Honour,
        transactions: settings.transactions,
        registrar: settings.registrar.clone(),
        auth: settings.auth.clone(),
        has_location: false,
        has_realms: false,
        keeps_flows: false,
        has_transactions: false,
        via_ports: settings.via_ports.clone().into(),
        retry_after: match settings.retry_after_seconds {
            0 => Box::default(),
            seconds => format!("Retry-After: {seconds}\r\n").into_bytes().into(),
        },
        overload: OverloadPlan::new(settings)?,
        asked: build_sets::asked(&settings.sets)?,
    };
    listen(&settings.listen, &settings.shared, &mut fixed)?;
    check_via_ports(&fixed)?;
    let sets = build_sets::sets(&settings.sets, &fixed)?;
    fixed.prefix_tables = build_sets::prefix_tables(settings, before)?;
    check_transactions(&settings.transactions)?;
    check_registrar(&settings.registrar)?;
    build_auth::check(&settings.auth)?;
    check_count("routes", settings.rules.len(), RULES_MAX)?;
    for (index, rule) in settings.rules.iter().enumerate() {
        fixed.rules.push(compile(&format!("routes[{index}]"), rule, settings)?);
    }
    build_sets::check_asked(&sets, &fixed)?;
    build_sets::check_forks(&sets, &fixed)?;
    fixed.rule_index = RuleIndex::new(&fixed.rules);
    fixed.has_transactions = fixed.rules.iter().any(|rule| rule.relay != Relay::Stateless);
    fixed.has_location = fixed
        .rules
        .iter()
        .any(|rule| matches!(rule.action, CompiledAction::Register | CompiledAction::Locate));
    let keeps_own = fixed.has_location && fixed.registrar.nat != Nat::Never;
    fixed.keeps_flows = keeps_own || fixed.rules.iter().any(|rule| rule.adds_path);
    fixed.has_realms = fixed.rules.iter().any(|rule| rule.auth.is_some());
    let keys = Keys::new(&settings.secret);
    let keeps_time = keeps_time(&sets, &fixed.rules);
    Ok(Tables { keys, sets, fixed: Arc::new(fixed), keeps_time })
}

/// Whether anything has to be remembered for a time.
pub(super) fn keeps_time(sets: &[Set], rules: &[CompiledRule]) -> bool {
    sets.iter().any(|set| !set.is_plain()) || rules.iter().any(|rule| !rule.headers.is_empty())
}

pub(super) fn check_count(setting: &str, count: usize, max: usize) -> Result<(), SettingsError> {
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

fn listen(
    points: &[ListenPoint],
    shared: &[IpAddr],
    fixed: &mut Fixed,
) -> Result<(), SettingsError> {
    if points.is_empty() {
        return wrong("listen", "there is no listen point; name at least one address and port");
    }
    check_count("listen", points.len(), LISTEN_POINTS_MAX)?;
    for ((index, point), id) in points.iter().enumerate().zip(0_u8..) {
        let (setting, id) = (format!("listen[{index}].address"), ListenId(id));
        let address = point.address;
        check_address(&setting, address)?;
        if fixed.listen.iter().any(|other| other.point == *point) {
            let name = point.transport.name();
            return wrong(setting, format!("{address} stands twice for {name}"));
        }
        if point.transport.is_connection() {
            fixed.connections.push((*point, id));
        } else {
            let hash = |(address, _): &(SocketAddr, ListenId)| address_hash(*address);
            fixed.by_address.insert_unique(address_hash(address), (address, id), hash);
            fixed.by_ip.entry(address.ip()).or_default().push((address.port(), id));
        }
        fixed.sent_by.insert(&address.to_string());
        let other = |came: &ListenPoint, stays| (*came != stays).then_some(*came);
        fixed.listen.push(ListenEntry {
            point: *point,
            host: uri::host_text(address.ip()).into_bytes().into(),
            is_shared: shared.contains(&address.ip()),
            twin: twin(address.ip(), shared),
            via: TopLines::new(*point, &[]),
            recorded: points
                .iter()
                .map(|came| {
                    let stays = that_stays(*point, *came, points, &fixed.via_ports);
                    let recorded: Vec<_> = iter::once(stays).chain(other(came, stays)).collect();
                    TopLines::new(*point, &recorded)
                })
                .collect(),
        });
    }
    Ok(())
}

/// The shared address of the other family that goes with `ip`: of each family, the first, the second and so on.
fn twin(ip: IpAddr, shared: &[IpAddr]) -> Option<IpAddr> {
    let (same, other): (Vec<IpAddr>, Vec<IpAddr>) =
        shared.iter().partition(|one| one.is_ipv4() == ip.is_ipv4());
    let place = same.iter().position(|one| *one == ip)?;
    other.get(place).copied()
}

/// What stands in Record-Route for `point`. Dialogs outlive transactions, so it is no worker's own port, but another
/// one of that address, on the port that the request came to if there is one.
fn that_stays(
    point: ListenPoint,
    came: ListenPoint,
    points: &[ListenPoint],
    via_ports: &[u16],
) -> ListenPoint {
    let is_own = |one: &ListenPoint| {
        one.transport == Transport::Udp && via_ports.contains(&one.address.port())
    };
    if !is_own(&point) {
        return point;
    }
    let fits = |one: &&ListenPoint| {
        one.transport == Transport::Udp && one.address.ip() == point.address.ip() && !is_own(one)
    };
    let same_port = |one: &&ListenPoint| one.address.port() == came.address.port();
    let found = points.iter().filter(fits).find(same_port);
    found.or_else(|| points.iter().find(fits)).copied().unwrap_or(point)
}

/// Each worker has a port of its own, which every address with UDP listens to beside one for all.
fn check_via_ports(fixed: &Fixed) -> Result<(), SettingsError> {
    let ports = &fixed.via_ports;
    for (index, port) in ports.iter().enumerate() {
        let setting = format!("transactions.via_ports[{index}]");
        if ports[..index].contains(port) {
            return wrong(setting, format!("{port} stands twice; each worker has its own"));
        }
        for (ip, points) in &fixed.by_ip {
            if !points.iter().any(|(listening, _)| listening == port) {
                let problem =
                    format!("nothing listens at {} over udp", SocketAddr::new(*ip, *port));
                return wrong(setting, problem);
            }
            if points.iter().all(|(listening, _)| ports.contains(listening)) {
                return wrong(
                    setting,
                    format!("{ip} has no port over udp that is not for Vias alone"),
                );
            }
        }
    }
    Ok(())
}

/// Whether this is one of ours.
pub(super) fn has_listen_point(fixed: &Fixed, address: SocketAddr) -> bool {
    fixed.listen.iter().any(|entry| entry.point.address == address)
}

/// An address that a datagram can be sent to or come from.
pub(super) fn check_address(setting: &str, address: SocketAddr) -> Result<(), SettingsError> {
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

fn compile(setting: &str, rule: &Rule, settings: &Settings) -> Result<CompiledRule, SettingsError> {
    check_count(&format!("{setting}.methods"), rule.methods.len(), RULE_MATCHES_MAX)?;
    check_count(&format!("{setting}.domains"), rule.domains.len(), RULE_MATCHES_MAX)?;
    check_count(&format!("{setting}.user_prefixes"), rule.user_prefixes.len(), RULE_MATCHES_MAX)?;
    check_count(&format!("{setting}.sources"), rule.sources.len(), RULE_MATCHES_MAX)?;
    check_relay(setting, rule)?;
    check_path(setting, rule)?;
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
        headers: headers(setting, &rule.headers)?,
        action: action(setting, &rule.action, settings)?,
        relay: match rule.action {
            Action::Locate => Relay::Stateful(Fork::No),
            _ => rule.relay,
        },
        auth: realm(setting, rule, settings)?,
        adds_path: rule.path,
        otherwise: otherwise(setting, rule, settings)?,
    })
}

/// The set of those who may know users that have no binding here.
fn otherwise(
    setting: &str,
    rule: &Rule,
    settings: &Settings,
) -> Result<Option<u16>, SettingsError> {
    let Some(name) = &rule.otherwise else { return Ok(None) };
    let setting = format!("{setting}.otherwise");
    if rule.action != Action::Locate {
        return wrong(setting, "only a route with locate = true looks for bindings; leave it out");
    }
    let names = settings.sets.iter().map(|set| set.name.as_str());
    named(&setting, "destination set", name, names).map(Some)
}

/// The realm of which a rule asks for credentials.
fn realm(
    setting: &str,
    rule: &Rule,
    settings: &Settings,
) -> Result<Option<RealmId>, SettingsError> {
    let Some(name) = &rule.auth else { return Ok(None) };
    let setting = format!("{setting}.auth");
    if matches!(rule.action, Action::Reject { .. }) {
        return wrong(setting, "a rejected request needs no credentials; leave it out");
    }
    let names = settings.auth.realms.iter().map(String::as_str);
    named(&setting, "realm", name, names).map(|index| Some(RealmId(index)))
}

/// Whether a rule that does this can keep state so.
fn check_relay(setting: &str, rule: &Rule) -> Result<(), SettingsError> {
    let Relay::Stateful(fork) = rule.relay else { return Ok(()) };
    match rule.action {
        Action::Reject { .. } => wrong(
            format!("{setting}.stateful"),
            "a rejected request is answered at once; leave it out",
        ),
        Action::Register | Action::Locate => wrong(
            format!("{setting}.stateful"),
            "leave it out: register answers at once, and locate always keeps a transaction",
        ),
        Action::RequestUri if fork != Fork::No => wrong(
            format!("{setting}.fork"),
            "only the members of a set can be forked to; use forward or forward_by_prefix",
        ),
        _ => Ok(()),
    }
}

/// Only a REGISTER that is sent on can get a Path.
fn check_path(setting: &str, rule: &Rule) -> Result<(), SettingsError> {
    let register = "REGISTER";
    let is_for_register = rule.methods.is_empty() || rule.methods.iter().any(|m| m == register);
    match rule.action {
        _ if !rule.path => Ok(()),
        Action::Reject { .. } | Action::Register | Action::Locate => wrong(
            format!("{setting}.path"),
            "only a REGISTER that goes on to another registrar gets a Path: use forward, forward_by_prefix or relay",
        ),
        _ if !is_for_register => wrong(
            format!("{setting}.path"),
            "only REGISTER gets a Path, and the methods leave it out; name it, or leave out path",
        ),
        _ => Ok(()),
    }
}

fn check_transactions(transactions: &TransactionSettings) -> Result<(), SettingsError> {
    let within = |name: &str, ms: u32, [least, most]: [u32; 2]| {
        let problem = match name {
            "t2_ms" => format!("{ms} ms; {least} (T1) to {most} ms are possible"),
            "failover_ms" => format!("{ms} ms; {least} to {most} (64 T1) ms are possible"),
            _ => format!("{ms} ms; {least} to {most} ms are possible"),
        };
        if (least..=most).contains(&ms) {
            Ok(())
        } else {
            wrong(format!("transactions.{name}"), problem)
        }
    };
    let TransactionSettings { t1_ms, t2_ms, t4_ms, timer_c_ms, failover_ms, attempts, .. } =
        *transactions;
    within("t1_ms", t1_ms, T1_MS)?;
    within("t2_ms", t2_ms, [t1_ms, T2_T4_MS_MAX])?;
    within("t4_ms", t4_ms, [0, T2_T4_MS_MAX])?;
    within("timer_c_ms", timer_c_ms, TIMER_C_MS)?;
    within("failover_ms", failover_ms, [0, TIMEOUT_T1 * t1_ms])?;
    if !(1..=ATTEMPTS_MAX).contains(&attempts) {
        let problem = format!("{attempts}; 1 to {ATTEMPTS_MAX} destinations can be tried");
        return wrong("transactions.attempts", problem);
    }
    Ok(())
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

fn headers(setting: &str, headers: &[HeaderMatch]) -> Result<HeaderMatches, SettingsError> {
    check_count(&format!("{setting}.headers"), headers.len(), RULE_MATCHES_MAX)?;
    for (index, header) in headers.iter().enumerate() {
        let setting = format!("{setting}.headers[{index}]");
        if !scan::is_token(header.name.as_bytes()) || header.name.len() > HEADER_TEXT_MAX {
            return wrong(
                format!("{setting}.name"),
                format!("\"{}\" is not a header name", header.name),
            );
        }
        let (HeaderTest::Is(text) | HeaderTest::BeginsWith(text) | HeaderTest::Contains(text)) =
            &header.test
        else {
            continue;
        };
        if text.is_empty() || text.len() > HEADER_TEXT_MAX {
            let problem = format!("has {} bytes; 1 to {HEADER_TEXT_MAX} can match", text.len());
            return wrong(setting, problem);
        }
    }
    Ok(HeaderMatches::new(headers))
}

fn action(
    setting: &str,
    action: &Action,
    settings: &Settings,
) -> Result<CompiledAction, SettingsError> {
    match action {
        Action::RequestUri => Ok(CompiledAction::RequestUri),
        Action::Register => Ok(CompiledAction::Register),
        Action::Locate => Ok(CompiledAction::Locate),
        Action::Forward(name) => {
            let names = settings.sets.iter().map(|set| set.name.as_str());
            let setting = format!("{setting}.forward");
            Ok(CompiledAction::Forward(named(&setting, "destination set", name, names)?))
        }
        Action::ForwardByPrefix(name) => {
            let names = settings.prefix_tables.iter().map(|table| table.name.as_str());
            let setting = format!("{setting}.forward_by_prefix");
            Ok(CompiledAction::ForwardByPrefix(named(&setting, "prefix table", name, names)?))
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

/// The index of `name` among `names`.
pub(super) fn named<'a>(
    setting: &str,
    what: &str,
    name: &str,
    names: impl Iterator<Item = &'a str> + Clone,
) -> Result<u16, SettingsError> {
    let found = (0_u16..).zip(names.clone()).find(|(_, other)| *other == name);
    let Some((index, _)) = found else {
        let known: Vec<_> = names.take(10).map(|name| format!("\"{name}\"")).collect();
        let known = match known.as_slice() {
            [] => "none is configured".to_string(),
            known => format!("known: {}", known.join(", ")),
        };
        return wrong(setting, format!("there is no {what} \"{name}\" ({known})"));
    };
    Ok(index)
}
