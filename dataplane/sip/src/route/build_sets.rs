//! From the settings to destination sets and prefix tables, with every check.

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::Hash;
use core::net::SocketAddr;

use hashbrown::HashMap;
use siphasher::sip128::{Hasher128, SipHasher13};

use super::build::{SettingsError, check_address, check_count, has_listen_point, named, wrong};
use super::prefixes::{PrefixMap, Twice};
use super::rules::{CompiledAction, CompiledRule};
use super::set::Set;
use super::tables::{Fixed, ListenEntry, PrefixRoutes, Tables};
use crate::limits::{
    ASKED_MAX, CAPACITIES_MAX, CAPACITY_MAX, MEMBERS_MAX, PREFIX_TABLES_MAX, PREFIXES_MAX, SETS_MAX,
};
use crate::settings::{
    DestinationSet, Fork, HashKey, Member, PrefixTable, Relay, Settings, Transport,
};

pub(super) fn sets(sets: &[DestinationSet], fixed: &Fixed) -> Result<Vec<Set>, SettingsError> {
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
            check_transport(&setting, member, fixed)?;
            if has_listen_point(fixed, member.address) && set.hash != HashKey::Aor {
                let problem = format!(
                    "{} is our own listen point; only a set with hash = \"aor\" can have us as a member",
                    member.address
                );
                return wrong(setting, problem);
            }
            if member.capacity > CAPACITY_MAX {
                let setting = format!("destination_sets[{index}].members[{place}].capacity");
                let problem = format!("{} is more than {CAPACITY_MAX} a second", member.capacity);
                return wrong(setting, problem);
            }
            if set.members[..place].iter().any(|other| other.address == member.address) {
                return wrong(setting, format!("{} stands twice", member.address));
            }
        }
    }
    let mut slots = 0;
    let compiled = (0_u16..).zip(sets).map(|(index, set)| {
        let first_slot = u16::try_from(slots).unwrap_or(u16::MAX);
        slots += set.members.iter().filter(|member| member.capacity > 0).count();
        Set::new(index, set, first_slot, &fixed.asked, |at| has_listen_point(fixed, at))
    });
    let compiled = compiled.collect();
    check_count("destination_sets: members with a capacity", slots, CAPACITIES_MAX)?;
    Ok(compiled)
}

/// The members that are asked to say how much less they want, each address once: that is what has a load (RFC 7339
/// section 5.4).
pub(super) fn asked(sets: &[DestinationSet]) -> Result<HashMap<SocketAddr, u16>, SettingsError> {
    let mut asked = HashMap::new();
    for member in sets.iter().filter(|set| set.overload_control).flat_map(|set| &set.members) {
        let next = u16::try_from(asked.len()).unwrap_or(u16::MAX);
        asked.entry(member.address).or_insert(next);
    }
    check_count("destination_sets: members with overload_control", asked.len(), ASKED_MAX)?;
    Ok(asked)
}

/// Whether nobody asks all members of a set of which we are one: what we asked of ourselves would never end.
pub(super) fn check_forks(sets: &[Set], fixed: &Fixed) -> Result<(), SettingsError> {
    for (index, set) in (0_u16..).zip(sets).filter(|(_, set)| set.has_own_member()) {
        let forks = |rule: &CompiledRule| {
            let is_fork = matches!(rule.relay, Relay::Stateful(fork) if fork != Fork::No);
            is_fork && leads_to(rule, index, fixed)
        };
        if let Some(rule) = fixed.rules.iter().position(forks) {
            let name = &set.settings().name;
            let problem =
                format!("we are a member of {name} and cannot ask ourselves: leave it out");
            return wrong(format!("routes[{rule}].fork"), problem);
        }
    }
    Ok(())
}

/// Whether somebody asks the members that are to be asked: a response to a request without a transaction comes to any
/// worker, and not to the one that has to know.
pub(super) fn check_asked(sets: &[Set], fixed: &Fixed) -> Result<(), SettingsError> {
    for (index, _) in (0_u16..).zip(sets).filter(|(_, set)| set.asks()) {
        let asks =
            |rule: &CompiledRule| rule.relay != Relay::Stateless && leads_to(rule, index, fixed);
        if !fixed.rules.iter().any(asks) {
            let problem = "only requests with a transaction ask; write stateful = true on a route that leads here";
            return wrong(format!("destination_sets[{index}].overload_control"), problem);
        }
    }
    Ok(())
}

/// Whether a rule may send requests to the set with this index.
fn leads_to(rule: &CompiledRule, index: u16, fixed: &Fixed) -> bool {
    match rule.action {
        CompiledAction::Forward(set) => set == index,
        CompiledAction::ForwardByPrefix(table) => {
            let table = fixed.prefix_tables.get(usize::from(table));
            table.is_some_and(|table| table.sets.contains(&index))
        }
        _ => false,
    }
}

/// Whether a member can be spoken to over what it says.
fn check_transport(setting: &str, member: &Member, fixed: &Fixed) -> Result<(), SettingsError> {
    let name = member.transport.name();
    if !matches!(member.transport, Transport::Udp | Transport::Tcp | Transport::Tls) {
        return wrong(setting, format!("nobody is connected to by {name}: tcp or tls"));
    }
    let large = member.large_over_tcp.then_some(Transport::Tcp);
    for transport in core::iter::once(member.transport).chain(large) {
        let speaks = |entry: &ListenEntry| entry.point.transport == transport;
        if !fixed.listen.iter().any(speaks) {
            let name = transport.name();
            return wrong(setting, format!("add a listen point of transport {name} to send from"));
        }
    }
    Ok(())
}

/// Builds the prefix tables, but for those that `before` has already.
pub(super) fn prefix_tables(
    settings: &Settings,
    before: Option<&Tables>,
) -> Result<Vec<PrefixRoutes>, SettingsError> {
    let tables = &settings.prefix_tables;
    check_count("prefix_tables", tables.len(), PREFIX_TABLES_MAX)?;
    let mut built = Vec::new();
    for (index, table) in tables.iter().enumerate() {
        let setting = format!("prefix_tables[{index}]");
        if table.name.is_empty() {
            return wrong(format!("{setting}.name"), "is empty; rules name tables by it");
        }
        if tables[..index].iter().any(|other| other.name == table.name) {
            return wrong(format!("{setting}.name"), format!("\"{}\" stands twice", table.name));
        }
        check_count(&setting, table.len(), PREFIXES_MAX)?;
        let names = settings.sets.iter().map(|set| set.name.as_str());
        let sets: Result<_, _> = table
            .sets
            .iter()
            .map(|name| named(&setting, "destination set", name, names.clone()))
            .collect();
        let digest = digest(table);
        let known = before.into_iter().flat_map(|before| &before.fixed.prefix_tables);
        let map = match { known }.find(|known| known.digest == digest) {
            Some(known) => Arc::clone(&known.map),
            None => Arc::new(prefix_map(&setting, table)?),
        };
        built.push(PrefixRoutes { map, digest, sets: sets? });
    }
    Ok(built)
}

fn prefix_map(setting: &str, table: &PrefixTable) -> Result<PrefixMap, SettingsError> {
    for (prefix, target) in table.entries() {
        if prefix.is_empty() {
            return wrong(setting, "has an empty prefix; a route after this one takes the rest");
        }
        if usize::from(target) >= table.sets.len() {
            return wrong(setting, format!("\"{prefix}\" points to a set that is not there"));
        }
    }
    PrefixMap::build(table.entries())
        .or_else(|Twice(prefix)| wrong(setting, format!("\"{prefix}\" stands twice")))
}

/// What tells tables apart, whatever their names.
fn digest(table: &PrefixTable) -> u128 {
    let mut hasher = SipHasher13::new();
    table.hash_entries(&mut hasher);
    table.sets.len().hash(&mut hasher);
    hasher.finish128().as_u128()
}
