//! What the router decides with, built once from [`Settings`] and then only read.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use hashbrown::{HashMap, HashTable};
use smallvec::SmallVec;

use super::prefixes::PrefixMap;
use super::request::RouteReason;
use super::rule_index::RuleIndex;
use super::rules::CompiledRule;
use super::set::Set;
use crate::message::Method;
use crate::overload::OverloadPlan;
use crate::parse::uri::{self, Scheme};
use crate::rewrite::branch::{Keys, TopLines};
use crate::settings::{
    AuthSettings, Fork, ListenId, ListenPoint, MemberChange, MemberState, RealmId,
    RegistrarSettings, Relay, Settings, TransactionSettings, Transport,
};

/// The router's tables. Workers, control and `trunkline where` decide with the same ones.
#[derive(Clone, Debug)]
pub struct Tables {
    pub(crate) keys: Keys,
    pub(super) sets: Vec<Set>,
    pub(super) fixed: Arc<Fixed>,
    pub(super) keeps_time: bool,
}

/// What stays the same when members of destination sets come and go.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
pub(super) struct Fixed {
    pub(super) listen: Vec<ListenEntry>,
    /// Those that speak UDP.
    pub(super) by_address: HashTable<(SocketAddr, ListenId)>,
    /// Those that have connections.
    pub(super) connections: Vec<(ListenPoint, ListenId)>,
    pub(super) by_ip: HashMap<IpAddr, SmallVec<[(u16, ListenId); 4]>>,
    /// Host and port of each listen point as they stand in our Vias.
    pub(super) sent_by: Names,
    pub(super) domains: Names,
    pub(super) rules: Vec<CompiledRule>,
    pub(super) rule_index: RuleIndex,
    pub(super) prefix_tables: Vec<PrefixRoutes>,
    pub(super) record_route: bool,
    pub(super) is_leaving: bool,
    pub(super) honours_maddr: bool,
    pub(super) transactions: TransactionSettings,
    pub(super) has_transactions: bool,
    /// By worker; empty when they have no ports of their own.
    pub(super) via_ports: Box<[u16]>,
    pub(super) registrar: RegistrarSettings,
    pub(super) auth: AuthSettings,
    pub(super) has_location: bool,
    pub(super) has_realms: bool,
    pub(super) keeps_flows: bool,
    /// `Retry-After: N` with its CRLF, or nothing.
    pub(super) retry_after: Box<[u8]>,
    pub(super) overload: OverloadPlan,
    /// The members that are asked to say how much less they want, by the places where that is remembered.
    pub(super) asked: HashMap<SocketAddr, u16>,
}

/// A prefix table and where its entries lead.
#[derive(Debug)]
pub(super) struct PrefixRoutes {
    pub(super) map: Arc<PrefixMap>,
    /// What the map was made of.
    pub(super) digest: u128,
    /// Index of the destination set of each target of the map.
    pub(super) sets: Box<[u16]>,
}

impl PrefixRoutes {
    /// The destination set for a user part.
    #[inline]
    pub(super) fn find(&self, scheme: Scheme, user: &[u8]) -> Option<u16> {
        self.sets.get(usize::from(self.map.find(scheme, user)?)).copied()
    }
}

/// How large a prefix table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixSize {
    /// Prefixes in it.
    pub entries: usize,
    /// Bytes of memory, which all epochs share while the table stays the same.
    pub memory: usize,
}

/// A listen point and the texts that name it.
#[derive(Debug)]
pub(super) struct ListenEntry {
    pub(super) point: ListenPoint,
    /// Its address as the host of a URI.
    pub(super) host: Box<[u8]>,
    /// Other appliances have its address, too.
    pub(super) is_shared: bool,
    /// The shared address of the other family that goes with it.
    pub(super) twin: Option<IpAddr>,
    /// The Via line alone.
    pub(super) via: TopLines,
    /// The Via line and Record-Route, by the listen point that the request came in by.
    pub(super) recorded: Vec<TopLines>,
}

impl Tables {
    /// Checks `settings` and builds the tables; the error names the first setting that is wrong.
    pub fn build(settings: &Settings) -> Result<Self, super::build::SettingsError> {
        super::build::build(settings, None)
    }

    /// As [`Self::build`], for settings that follow `before` at `now_ms` (see
    /// [`Choices::set_time`](crate::Choices::set_time)): prefix tables that are the same are shared,
    /// and while transactions may run that began before, destination sets of the same name know how
    /// they chose.
    pub fn build_after(
        settings: &Settings,
        before: &Self,
        now_ms: u64,
    ) -> Result<Self, super::build::SettingsError> {
        let tables = super::build::build(settings, Some(before))?;
        let sets = tables.sets.iter().map(|set| {
            let same = |before: &&Set| before.settings().name == set.settings().name;
            match before.sets.iter().find(same) {
                Some(before) => set.clone().after(before, now_ms),
                None => set.clone(),
            }
        });
        Ok(tables.with_sets(sets.collect()))
    }

    /// The same tables with other states of members from `now_ms` on. Cheap: everything but the
    /// sets that change is shared. Changes of members that are not there are left out; without any
    /// change it forgets what is over.
    #[must_use]
    pub fn with_member_states(&self, changes: &[MemberChange], now_ms: u64) -> Self {
        let sets = (0_u16..).zip(&self.sets).map(|(index, set)| {
            let own = changes.iter().filter(|change| change.set == index);
            set.with_states(own.map(|change| (change.member, change.state)), now_ms)
        });
        self.with_sets(sets.collect())
    }

    fn with_sets(&self, sets: Vec<Set>) -> Self {
        let keeps_time = super::build::keeps_time(&sets, &self.fixed.rules);
        Self { keys: self.keys.clone(), sets, fixed: Arc::clone(&self.fixed), keeps_time }
    }

    /// The state of a member, by the indices of [`MemberChange`].
    pub fn member_state(&self, set: u16, member: u16) -> Option<MemberState> {
        let set = self.sets.get(usize::from(set))?.settings();
        set.members.get(usize::from(member)).map(|member| member.state)
    }

    /// Whether some members of destination sets are asked to say how much less they want.
    #[inline]
    pub fn asks_members(&self) -> bool {
        !self.fixed.asked.is_empty()
    }

    /// Those members, with the places where it is remembered what they say; below
    /// [`ASKED_MAX`](crate::limits::ASKED_MAX).
    pub fn asked_members(&self) -> impl Iterator<Item = (u16, SocketAddr)> {
        self.fixed.asked.iter().map(|(member, place)| (*place, *member))
    }

    /// Where it is remembered what the member at this address says.
    pub(super) fn load_place(&self, member: SocketAddr) -> Option<u16> {
        self.fixed.asked.get(&member).copied()
    }

    /// Whether choices depend on the time: [`Choices`](crate::Choices) must be told.
    #[inline]
    pub fn keeps_time(&self) -> bool {
        self.keeps_time
    }

    /// The destination set, by its index, that a prefix table has for a user part, as routes find it.
    #[inline]
    pub fn prefix_set(&self, table: u16, user: &[u8]) -> Option<u16> {
        self.fixed.prefix_tables.get(usize::from(table))?.find(Scheme::Sip, user)
    }

    /// The sizes of the prefix tables, in the order of the settings.
    pub fn prefix_sizes(&self) -> impl Iterator<Item = PrefixSize> {
        let size = |map: &PrefixMap| PrefixSize { entries: map.entries(), memory: map.memory() };
        self.fixed.prefix_tables.iter().map(move |table| size(&table.map))
    }

    /// The listen point with this id. Ids come from this object; one it never gave stands for the
    /// first listen point.
    #[inline]
    pub fn listen_point(&self, id: ListenId) -> &ListenPoint {
        &self.entry(id).point
    }

    /// How many listen points there are: their ids count from 0.
    pub fn listen_points(&self) -> usize {
        self.fixed.listen.len()
    }

    /// The listen point that speaks UDP at exactly this address and port, in constant time.
    #[inline]
    pub fn listen_id(&self, address: SocketAddr) -> Option<ListenId> {
        let found = self.fixed.by_address.find(address_hash(address), |(at, _)| *at == address);
        found.map(|&(_, id)| id)
    }

    /// The one that speaks `transport` there.
    #[inline]
    pub fn listen_id_of(&self, transport: Transport, address: SocketAddr) -> Option<ListenId> {
        if transport == Transport::Udp {
            return self.listen_id(address);
        }
        let wanted = ListenPoint { address, transport };
        self.fixed.connections.iter().find(|(point, _)| *point == wanted).map(|&(_, id)| id)
    }

    /// Whether this is an address and port of ours, over whatever transport.
    #[inline]
    pub(crate) fn is_listen_address(&self, address: SocketAddr) -> bool {
        self.listen_id(address).is_some()
            || self.fixed.connections.iter().any(|(point, _)| point.address == address)
    }

    /// Whether some listen point has connections.
    #[inline]
    pub(crate) fn has_connections(&self) -> bool {
        !self.fixed.connections.is_empty()
    }

    /// Whether connections of this transport can be opened.
    pub(crate) fn connects_by(&self, transport: Transport) -> bool {
        matches!(transport, Transport::Tcp | Transport::Tls)
            && self.fixed.connections.iter().any(|(point, _)| point.transport == transport)
    }

    /// Whether requests can be sent over this transport to addresses of this family.
    pub(crate) fn sends_by(&self, transport: Transport, is_ipv4: bool) -> bool {
        let fits = |entry: &ListenEntry| {
            entry.point.transport == transport && entry.point.address.is_ipv4() == is_ipv4
        };
        matches!(transport, Transport::Udp | Transport::Tcp | Transport::Tls)
            && self.fixed.listen.iter().any(fits)
    }

    /// What is spoken at a listen point.
    #[inline]
    pub fn transport_of(&self, id: ListenId) -> Transport {
        self.listen_point(id).transport
    }

    /// The port that this worker's Vias name in requests with a transaction; `None`: the one that the request came to.
    #[inline]
    pub fn via_port(&self, worker: u8) -> Option<u16> {
        self.fixed.via_ports.get(usize::from(worker)).copied()
    }

    /// Whether `sent_by` is what we write for one of our listen points.
    #[inline]
    pub(crate) fn writes_sent_by(&self, sent_by: &[u8]) -> bool {
        self.fixed.sent_by.contains(sent_by)
    }

    /// The lines to put on top of a request, to be filled in: our Via for where it leaves, and with
    /// `records_route` our Record-Route, in two lines when it came in elsewhere.
    #[inline]
    pub(crate) fn top_lines(
        &self,
        leaves: ListenId,
        came: ListenId,
        records_route: bool,
    ) -> &TopLines {
        let entry = self.entry(leaves);
        match entry.recorded.get(usize::from(came.0)) {
            Some(lines) if records_route => lines,
            _ => &entry.via,
        }
    }

    /// Whether we are about to go.
    pub fn is_leaving(&self) -> bool {
        self.fixed.is_leaving
    }

    /// Whether requests that open a dialog get our Record-Route.
    #[inline]
    pub(crate) fn records_route(&self) -> bool {
        self.fixed.record_route
    }

    /// Whether `maddr` decides where a message goes.
    #[inline]
    pub(crate) fn honours_maddr(&self) -> bool {
        self.fixed.honours_maddr
    }

    /// Whether some rule gives requests a transaction.
    #[inline]
    pub fn has_transactions(&self) -> bool {
        self.fixed.has_transactions
    }

    /// Whether some rule registers or locates.
    #[inline]
    pub fn has_location(&self) -> bool {
        self.fixed.has_location
    }

    /// Whether requests find back to clients by their flow: where phones register with us, unless the settings say no,
    /// or through us.
    #[inline]
    pub(crate) fn keeps_flows(&self) -> bool {
        self.fixed.keeps_flows
    }

    /// Whether a REGISTER that is sent on for this reason gets our Path.
    #[inline]
    pub(crate) fn adds_path(&self, reason: RouteReason) -> bool {
        self.rule_of(reason).is_some_and(|rule| rule.adds_path)
    }

    /// Whether some rule asks for credentials.
    #[inline]
    pub fn has_realms(&self) -> bool {
        self.fixed.has_realms
    }

    /// How registrations are taken.
    #[inline]
    pub fn registrar(&self) -> &RegistrarSettings {
        &self.fixed.registrar
    }

    /// How credentials are asked for and checked.
    #[inline]
    pub fn auth(&self) -> &AuthSettings {
        &self.fixed.auth
    }

    /// The realm of which a request that is routed for this reason must have credentials. ACK and
    /// CANCEL cannot be sent again with some (RFC 3261 section 22.1), and who is in a dialog has been asked
    /// when it was opened.
    #[inline]
    pub fn realm(&self, method: Method, reason: RouteReason) -> Option<RealmId> {
        if matches!(method, Method::Ack | Method::Cancel) {
            return None;
        }
        self.realm_of(reason)
    }

    /// Index of the rule that is the reason, and of its set for requests whose user has no binding here.
    pub(super) fn otherwise(&self, reason: RouteReason) -> Option<(u16, u16)> {
        let RouteReason::Locate { rule } = reason else { return None };
        Some((rule, self.rule_of(reason)?.otherwise?))
    }

    /// Whether this is a member of the set with this index.
    pub(super) fn is_member(&self, set: u16, address: SocketAddr) -> bool {
        let set = self.sets.get(usize::from(set));
        set.is_some_and(|set| set.settings().members.iter().any(|one| one.address == address))
    }

    /// The realm of the rule that is the reason.
    #[inline]
    pub(crate) fn realm_of(&self, reason: RouteReason) -> Option<RealmId> {
        self.rule_of(reason)?.auth
    }

    #[inline]
    fn rule_of(&self, reason: RouteReason) -> Option<&CompiledRule> {
        match reason {
            RouteReason::InDialog | RouteReason::Path => None,
            RouteReason::RequestUri { rule }
            | RouteReason::Register { rule }
            | RouteReason::Locate { rule }
            | RouteReason::Member { rule, .. } => self.fixed.rules.get(usize::from(rule)),
        }
    }

    /// How transactions run.
    #[inline]
    pub(crate) fn transactions(&self) -> &TransactionSettings {
        &self.fixed.transactions
    }

    /// Whether a request that is sent on for this reason gets a transaction. An ACK never has one, and
    /// a CANCEL that finds none is forwarded without (RFC 3261 sections 17.1, 16.10).
    #[inline]
    pub(super) fn relay(&self, method: Method, reason: RouteReason) -> Relay {
        if !self.fixed.has_transactions || matches!(method, Method::Ack | Method::Cancel) {
            return Relay::Stateless;
        }
        match reason {
            RouteReason::Path => Relay::Stateful(Fork::No),
            RouteReason::InDialog if self.fixed.transactions.in_dialog => Relay::Stateful(Fork::No),
            RouteReason::InDialog => Relay::Stateless,
            reason => self.rule_of(reason).map_or(Relay::Stateless, |rule| rule.relay),
        }
    }

    /// The destination set with this index.
    pub(crate) fn set(&self, index: u16) -> Option<&Set> {
        self.sets.get(usize::from(index))
    }

    /// The Retry-After header line of our 503 replies, possibly empty.
    pub(crate) fn retry_after(&self) -> &[u8] {
        &self.fixed.retry_after
    }

    /// What protects a worker.
    #[inline]
    pub(crate) fn overload(&self) -> &OverloadPlan {
        &self.fixed.overload
    }

    /// Whether the host and port of a URI name us: a domain of ours on any port, or a listen point,
    /// most often the one that the message came in by.
    #[inline]
    pub(crate) fn is_ours(&self, host: &[u8], port: u16, arrived_at: ListenId) -> bool {
        let entry = self.entry(arrived_at);
        if *entry.host == *host && entry.point.address.port() == port {
            return true;
        }
        let at = |ip| SocketAddr::new(ip, port);
        uri::ip_literal(host).is_some_and(|ip| self.is_listen_address(at(ip)))
            || self.fixed.domains.contains(host)
    }

    #[inline]
    pub(super) fn entry(&self, id: ListenId) -> &ListenEntry {
        self.fixed.listen.get(usize::from(id.0)).unwrap_or(&self.fixed.listen[0])
    }
}

/// A set of host names or sent-bys, looked up in any case.
#[derive(Debug, Default)]
pub(super) struct Names {
    names: HashTable<Box<[u8]>>,
}

impl Names {
    /// Adds a name; `false` when it is there already.
    pub(super) fn insert(&mut self, name: &str) -> bool {
        let name = name.as_bytes();
        if self.contains(name) {
            return false;
        }
        self.names.insert_unique(name_hash(name), name.into(), |name| name_hash(name));
        true
    }

    #[inline]
    pub(super) fn contains(&self, name: &[u8]) -> bool {
        // "example.com." is the same name as "example.com" (RFC 1034 section 3.1).
        let name = name.strip_suffix(b".").unwrap_or(name);
        !self.names.is_empty()
            && self.names.find(name_hash(name), |ours| same_name(ours, name)).is_some()
    }
}

/// Whether two host names are the same in any case, eight bytes at a time. Of the bytes in host
/// names, 0x20 makes no two the same but the two cases of a letter.
#[inline]
fn same_name(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let same = |(one, other): (&[u8; 8], &[u8; 8])| {
        (u64::from_le_bytes(*one) ^ u64::from_le_bytes(*other)) & !0x2020_2020_2020_2020 == 0
    };
    match (one.last_chunk(), other.last_chunk()) {
        (Some(one_last), Some(other_last)) => {
            let (one, other) = (one.as_chunks::<8>().0, other.as_chunks::<8>().0);
            same((one_last, other_last)) && one.iter().zip(other).all(same)
        }
        _ => one.eq_ignore_ascii_case(other),
    }
}

/// A hash over the name in lower case, eight bytes at a time; the last eight may overlap. The table
/// holds configured names only, so that nobody outside can make its chains long.
#[inline]
pub(super) fn name_hash(name: &[u8]) -> u64 {
    let word = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes) | 0x2020_2020_2020_2020;
    match name.last_chunk::<8>() {
        Some(last) => {
            let (words, _) = name.as_chunks::<8>();
            let start = fold(name.len() as u64, word(last));
            words.iter().fold(start, |hash, bytes| fold(hash, word(bytes)))
        }
        None => name.iter().fold(0, |hash, &byte| fold(hash, u64::from(byte | 0x20))),
    }
}

/// The hash of a listen point's address, of which there are at most 64.
#[inline]
pub(super) fn address_hash(address: SocketAddr) -> u64 {
    ip_hash(address.port().into(), address.ip())
}

/// The hash of an address in rules.
pub(super) fn ip_address_hash(address: IpAddr) -> u64 {
    ip_hash(0, address)
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "each half is taken")]
fn ip_hash(start: u64, ip: IpAddr) -> u64 {
    match ip {
        IpAddr::V4(ip) => fold(start, ip.to_bits().into()),
        IpAddr::V6(ip) => {
            let (high, low) = (ip.to_bits() >> 64, ip.to_bits());
            fold(fold(start, high as u64), low as u64)
        }
    }
}

/// One step of multiply and fold, which spreads all bits over all bits.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
fn fold(hash: u64, word: u64) -> u64 {
    let product = u128::from(hash ^ word ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93;
    (product >> 64) as u64 ^ product as u64
}

#[cfg(test)]
mod tests {
    use std::prelude::v1::*;

    use super::Names;

    #[test]
    fn domains_are_found_in_any_case_and_no_others() {
        let names =
            ["z", "sip.io", "example.com", "a-rather-long-name.of.an.example.org", "x_y.net"];
        let mut domains = Names::default();
        for name in names {
            assert!(domains.insert(name) && !domains.insert(&name.to_uppercase()), "{name}");
        }
        for name in names {
            assert!(domains.contains(name.to_uppercase().as_bytes()), "{name}");
            assert!(domains.contains(format!("{name}.").as_bytes()), "{name}");
            for at in 0..name.len() {
                let mut other = name.as_bytes().to_vec();
                other[at] = if other[at] == b'q' { b'r' } else { b'q' };
                assert!(!domains.contains(&other), "{name} {at}");
                assert!(!domains.contains(&name.as_bytes()[..at]), "{name} {at}");
            }
        }
    }
}
