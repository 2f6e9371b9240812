//! Which rules can match a request at all, so that a thousand of them cost little more than ten.
//!
//! Each rule has a bit. For every value that a criterion can have there is a row of the rules that
//! it suits, found by hash; a request's rows are laid over each other, and only the rules that are
//! left are looked at, in their order (the bit vectors of T. Lakshman and D. Stiliadis, "High-speed
//! policy-based packet forwarding", SIGCOMM 1998).
//!
//! ```text
//!   rule            63 … 3 2 1 0
//!   method INVITE    1 … 1 1 0 1
//!   domain b.org     0 … 1 0 1 1   and
//!   source 10/8      1 … 1 1 0 0   and
//!                    0 … 1 0 0 0   ──► rule 3
//! ```

use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;

use hashbrown::HashMap;

use super::prefixes::UserBytes;
use super::rules::{CompiledRule, Host, Subject};
use super::tables::{ip_address_hash, name_hash};
use crate::limits::RULES_MAX;
use crate::message::Method;
use crate::parse::uri;

/// Fewer rules are looked at one by one: that costs less than the hashes.
const INDEX_FROM: usize = 16;

/// Rules of one word.
const BITS: usize = u64::BITS as usize;

/// The rows of all rules; without any when there are few rules.
#[derive(Debug, Default)]
pub(super) struct RuleIndex {
    /// How many rules there are.
    count: u16,
    methods: Vec<Row>,
    domains: Rows,
    users: Rows,
    /// Bit n says that there is a prefix of n + 1 bytes.
    user_lengths: u128,
    sources: Rows,
    /// Prefix lengths of networks, each once, IPv4 and IPv6.
    networks: Vec<(bool, u8)>,
}

/// A bit for each rule.
type Row = Vec<u64>;

/// The rows of one criterion.
#[derive(Debug, Default)]
struct Rows {
    /// The rules that take any value.
    any: Row,
    by_value: HashMap<u64, Row>,
}

/// The rules that may match a request: all of a few, or those whose bits are set.
pub(super) struct Candidates(Option<[u64; RULES_MAX / BITS]>);

impl RuleIndex {
    pub(super) fn new(rules: &[CompiledRule]) -> Self {
        let count = u16::try_from(rules.len()).unwrap_or(u16::MAX);
        let mut index = Self { count, ..Self::default() };
        if rules.len() < INDEX_FROM {
            return index;
        }
        let empty = vec![0; rules.len().div_ceil(BITS)];
        index.methods = vec![empty.clone(); Method::Other as usize + 1];
        for rows in [&mut index.domains, &mut index.users, &mut index.sources] {
            rows.any.clone_from(&empty);
        }
        for (at, rule) in rules.iter().enumerate() {
            index.add(at, rule);
        }
        index
    }

    fn add(&mut self, at: usize, rule: &CompiledRule) {
        for (method, row) in (0..).zip(&mut self.methods) {
            if rule.methods.may_contain(method) {
                set(row, at);
            }
        }
        self.domains.add(at, rule.domains.iter().map(domain_key));
        for prefix in &rule.user_prefixes {
            self.user_lengths |= 1 << (prefix.len().clamp(1, 128) - 1);
        }
        self.users.add(at, rule.user_prefixes.iter().map(|prefix| user_key(prefix)));
        for network in &rule.sources {
            let kind = (network.address.is_ipv4(), network.prefix_length);
            if !self.networks.contains(&kind) {
                self.networks.push(kind);
            }
        }
        let keys =
            rule.sources.iter().map(|network| source_key(network.address, network.prefix_length));
        self.sources.add(at, keys);
    }

    /// The rules that are to be looked at for this request.
    #[inline]
    pub(super) fn candidates(&self, subject: &Subject<'_>) -> Candidates {
        Candidates((!self.methods.is_empty()).then(|| self.lay(subject)))
    }

    /// The first candidate at or behind `at`.
    #[inline(always)]
    pub(super) fn next(&self, candidates: &Candidates, at: u16) -> Option<u16> {
        match &candidates.0 {
            None => (at < self.count).then_some(at),
            Some(words) => next_set(words, at),
        }
    }

    /// Lays the rows of a request over each other.
    #[cold]
    fn lay(&self, subject: &Subject<'_>) -> [u64; RULES_MAX / BITS] {
        let mut words = [0; RULES_MAX / BITS];
        let method = subject.method.for_rules() as usize;
        for (word, bits) in words.iter_mut().zip(self.methods.get(method).into_iter().flatten()) {
            *word = *bits;
        }
        if !self.domains.by_value.is_empty() {
            self.domains.lay([host_key(subject.host)].into_iter(), &mut words);
        }
        if !self.users.by_value.is_empty() {
            let mut key = USER_START;
            let bytes = UserBytes::new(subject.scheme, subject.user).take(128).zip(0_u32..);
            let keys = bytes.filter_map(|(byte, at)| {
                key = user_step(key, byte);
                (self.user_lengths >> at & 1 == 1).then_some(key)
            });
            self.users.lay(keys, &mut words);
        }
        if !self.sources.by_value.is_empty() {
            let source = subject.source;
            let same = self.networks.iter().filter(|(is_v4, _)| *is_v4 == source.is_ipv4());
            self.sources.lay(same.map(|&(_, length)| source_key(source, length)), &mut words);
        }
        words
    }
}

impl Rows {
    fn add(&mut self, at: usize, keys: impl ExactSizeIterator<Item = u64>) {
        if keys.len() == 0 {
            set(&mut self.any, at);
        }
        let words = self.any.len();
        for key in keys {
            set(self.by_value.entry(key).or_insert_with(|| vec![0; words]), at);
        }
    }

    /// Leaves in `words` the rules that take any value or one of these.
    fn lay(&self, keys: impl Iterator<Item = u64>, words: &mut [u64]) {
        let mut fit = [0; RULES_MAX / BITS];
        fit[..self.any.len()].copy_from_slice(&self.any);
        for row in keys.filter_map(|key| self.by_value.get(&key)) {
            fit.iter_mut().zip(row).for_each(|(word, bits)| *word |= bits);
        }
        words.iter_mut().zip(fit).for_each(|(word, bits)| *word &= bits);
    }
}

/// The first bit that is set at or behind `at`.
#[inline(never)]
fn next_set(words: &[u64], at: u16) -> Option<u16> {
    let mut at = usize::from(at);
    loop {
        let word = words.get(at / BITS)? >> (at % BITS);
        if word != 0 {
            return u16::try_from(at + word.trailing_zeros() as usize).ok();
        }
        at = (at / BITS + 1) * BITS;
    }
}

fn set(row: &mut [u64], at: usize) {
    row[at / BITS] |= 1 << (at % BITS);
}

fn domain_key(host: &Host) -> u64 {
    match host {
        Host::Name(name) => name_hash(name),
        Host::Address(address) => ip_address_hash(*address),
    }
}

fn host_key(host: &[u8]) -> u64 {
    match uri::ip_literal(host) {
        Some(address) => ip_address_hash(address),
        None => name_hash(host.strip_suffix(b".").unwrap_or(host)),
    }
}

const USER_START: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a, which grows byte by byte.
#[inline]
fn user_step(key: u64, byte: u8) -> u64 {
    (key ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
}

fn user_key(prefix: &[u8]) -> u64 {
    prefix.iter().fold(USER_START, |key, &byte| user_step(key, byte))
}

/// The network of this prefix length in which `address` lies.
fn source_key(address: IpAddr, length: u8) -> u64 {
    let masked = match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            IpAddr::V4((v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            IpAddr::V6((v6.to_bits() & mask).into())
        }
    };
    ip_address_hash(masked) ^ u64::from(length)
}

#[cfg(test)]
mod tests {
    use std::prelude::v1::*;

    use proptest::prelude::*;

    use super::*;
    use crate::Tables;
    use crate::parse::uri::Scheme;
    use crate::settings::{Action, DestinationSet, ListenPoint, Rule, Settings};

    fn some(of: &[&str]) -> impl Strategy<Value = Vec<String>> {
        let of: Vec<_> = of.iter().map(|text| (*text).to_string()).collect();
        prop::sample::subsequence(of, 0..=2)
    }

    fn rule() -> impl Strategy<Value = Rule> {
        let methods = some(&["INVITE", "BYE", "OPTIONS", "FOO", "BAR"]);
        let domains = some(&["a.org", "B.org", "10.0.0.1", "fd77::1"]);
        let prefixes = some(&["+4", "+49", "49", "+491", "x"]);
        let sources = some(&["10.0.0.0/8", "10.1.0.0/16", "10.1.1.1", "fd77::/16", "0.0.0.0/0"]);
        (methods, domains, prefixes, sources).prop_map(
            |(methods, domains, user_prefixes, sources)| {
                let sources = sources.iter().map(|text| text.parse().unwrap()).collect();
                let action = Action::Forward("set".into());
                Rule { methods, domains, user_prefixes, sources, ..Rule::always(action) }
            },
        )
    }

    proptest! {
        #[test]
        fn finds_all_rules_that_match(
            rules in prop::collection::vec(rule(), 1..200),
            method in prop::sample::select(vec!["INVITE", "ACK", "BYE", "FOO", "MESSAGE"]),
            host in prop::sample::select(vec!["A.org", "b.ORG.", "10.0.0.1", "[fd77:0::1]", "c"]),
            user in prop::sample::select(vec!["+491", "%2b4", "49", "", "y"]),
            source in prop::sample::select(vec!["10.1.1.1", "10.2.1.1", "11.0.0.1", "fd77::2", "::1"]),
        ) {
            let set = DestinationSet { name: "set".into(), ..DestinationSet::default() };
            let listen = vec![ListenPoint::udp("10.9.9.9:5060".parse().unwrap())];
            let settings = Settings { listen, sets: vec![set], rules, ..Settings::default() };
            let fixed = Tables::build(&settings).unwrap().fixed;
            let subject = Subject {
                method: Method::of(method.as_bytes()),
                method_name: method.as_bytes(),
                scheme: Scheme::Sip,
                user: user.as_bytes(),
                host: host.as_bytes(),
                source: source.parse().unwrap(),
            };
            let matches = |&at: &u16| fixed.rules[usize::from(at)].matches(&subject);
            let walked: Vec<_> = (0_u16..).take(fixed.rules.len()).filter(matches).collect();
            let candidates = fixed.rule_index.candidates(&subject);
            let next = |at: &u16| fixed.rule_index.next(&candidates, at + 1);
            let looked_at = std::iter::successors(fixed.rule_index.next(&candidates, 0), next);
            prop_assert_eq!(looked_at.filter(matches).collect::<Vec<_>>(), walked);
        }
    }
}
