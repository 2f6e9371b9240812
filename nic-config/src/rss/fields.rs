//! What a port hashes, and how.

use std::fmt::{self, Display, Formatter};
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use super::{RssError, Tuple};

/// Fields of one kind of packet, in the words of testpmd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldSet {
    /// Addresses of any IPv4 packet (`RTE_ETH_RSS_IPV4` and its fragments).
    Ipv4,
    /// Addresses of any IPv6 packet (`RTE_ETH_RSS_IPV6` and its fragments).
    Ipv6,
    /// Addresses and ports of unfragmented UDP over IPv4 (`RTE_ETH_RSS_NONFRAG_IPV4_UDP`).
    Ipv4Udp,
    /// Addresses and ports of unfragmented UDP over IPv6 (`RTE_ETH_RSS_NONFRAG_IPV6_UDP`).
    Ipv6Udp,
}

const ALL: [(FieldSet, &str); 4] = [
    (FieldSet::Ipv4, "ipv4"),
    (FieldSet::Ipv6, "ipv6"),
    (FieldSet::Ipv4Udp, "ipv4-udp"),
    (FieldSet::Ipv6Udp, "ipv6-udp"),
];

/// The field sets that a port hashes; all of them unless something else is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields(u8);

impl Fields {
    /// Whether the port hashes this set.
    pub fn has(self, set: FieldSet) -> bool {
        self.0 & (1 << set as u8) != 0
    }

    /// The best set for this datagram: ports where they are hashed, else addresses, else nothing.
    fn of(self, tuple: &Tuple) -> Option<FieldSet> {
        let (addresses, ports) = match tuple.source() {
            SocketAddr::V4(_) => (FieldSet::Ipv4, FieldSet::Ipv4Udp),
            SocketAddr::V6(_) => (FieldSet::Ipv6, FieldSet::Ipv6Udp),
        };
        if self.has(ports) && !tuple.is_fragment() {
            return Some(ports);
        }
        self.has(addresses).then_some(addresses)
    }
}

impl Fields {
    /// Whether all of `others` are among them.
    pub fn contain(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }
}

impl FromIterator<FieldSet> for Fields {
    fn from_iter<I: IntoIterator<Item = FieldSet>>(sets: I) -> Self {
        Self(sets.into_iter().fold(0, |bits, set| bits | 1 << set as u8))
    }
}

impl Default for Fields {
    fn default() -> Self {
        Self((1 << ALL.len()) - 1)
    }
}

impl FromStr for Fields {
    type Err = RssError;

    fn from_str(text: &str) -> Result<Self, RssError> {
        let mut bits = 0;
        for word in text.split(',').map(str::trim) {
            let known = ALL.into_iter().find(|(_, name)| *name == word);
            let (set, _) = known.ok_or_else(|| RssError::Fields(word.to_owned()))?;
            bits |= 1 << set as u8;
        }
        Ok(Self(bits))
    }
}

impl Display for Fields {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let names: Vec<_> =
            ALL.into_iter().filter(|(set, _)| self.has(*set)).map(|(_, name)| name).collect();
        f.write_str(&names.join(","))
    }
}

/// How the hash is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Function {
    /// Toeplitz over source address, destination address, source port, destination port, in network
    /// byte order (Microsoft, "RSS Hashing Functions").
    #[default]
    Toeplitz,
    /// Toeplitz after the smaller address and the smaller port were put first, each by itself
    /// (DPDK's `SYMMETRIC_TOEPLITZ_SORT`).
    SymmetricSort,
    /// Toeplitz over source XOR destination, twice (Linux' `symmetric-xor`, DPDK's `SYMMETRIC_TOEPLITZ`).
    SymmetricXor,
    /// All bytes XORed with each other, eight bits; there is no key. The `xor` of mlx4 and mlx5 under Linux.
    /// Vendors publish no vectors for it.
    Xor,
}

const FUNCTIONS: [(Function, &str); 4] = [
    (Function::Toeplitz, "toeplitz"),
    (Function::SymmetricSort, "symmetric-sort"),
    (Function::SymmetricXor, "symmetric-xor"),
    (Function::Xor, "xor"),
];

impl Function {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        FUNCTIONS.into_iter().find(|(function, _)| *function == self).map_or("", |(_, name)| name)
    }

    /// All names.
    pub fn names() -> [&'static str; FUNCTIONS.len()] {
        FUNCTIONS.map(|(_, name)| name)
    }

    /// The function of this name.
    pub fn named(name: &str) -> Option<Self> {
        FUNCTIONS.into_iter().find(|(_, known)| *known == name).map(|(function, _)| function)
    }

    /// Whether both directions of a flow have one hash, whatever the key.
    pub fn is_symmetric(self) -> bool {
        self != Self::Toeplitz
    }

    /// Whether another key gives another hash.
    pub fn has_key(self) -> bool {
        self != Self::Xor
    }
}

/// Two IPv6 addresses and two ports.
pub const INPUT_BYTES_MAX: usize = 36;

/// The bytes that are hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Input {
    bytes: [u8; INPUT_BYTES_MAX],
    length: u8,
}

impl Input {
    /// The bytes of a datagram that a port with these fields hashes; `None` when it hashes nothing of it.
    pub fn of(tuple: &Tuple, fields: Fields, function: Function) -> Option<Self> {
        let has_ports = matches!(fields.of(tuple)?, FieldSet::Ipv4Udp | FieldSet::Ipv6Udp);
        let mut input = Self { bytes: [0; INPUT_BYTES_MAX], length: 0 };
        match (tuple.source().ip(), tuple.destination().ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                input.push(source.octets(), destination.octets(), function);
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                input.push(source.octets(), destination.octets(), function);
            }
            // A tuple has one family.
            _ => return None,
        }
        if has_ports {
            let ports = [tuple.source(), tuple.destination()].map(|end| end.port().to_be_bytes());
            input.push(ports[0], ports[1], function);
        }
        Some(input)
    }

    /// The bytes, 8 to 36 of them.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    fn push<const N: usize>(&mut self, source: [u8; N], destination: [u8; N], function: Function) {
        let xor = || std::array::from_fn(|byte| source[byte] ^ destination[byte]);
        let pair = match function {
            Function::SymmetricSort if destination < source => [destination, source],
            Function::SymmetricXor => [xor(), xor()],
            _ => [source, destination],
        };
        for byte in pair.as_flattened() {
            self.bytes[usize::from(self.length)] = *byte;
            self.length += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuple(source: &str, destination: &str) -> Tuple {
        let end = |text: &str| text.parse().expect("an address");
        Tuple::new(end(source), end(destination)).expect("one family")
    }

    fn length(tuple: &Tuple, fields: &str) -> Option<usize> {
        let fields = fields.parse().expect("field sets");
        Input::of(tuple, fields, Function::Toeplitz).map(|input| input.bytes().len())
    }

    #[test]
    fn fields_decide_what_is_hashed() {
        let four = tuple("192.0.2.1:5060", "192.0.2.2:5080");
        let six = tuple("[2001:db8::1]:5060", "[2001:db8::2]:5080");
        assert_eq!(length(&four, "ipv4,ipv4-udp"), Some(12));
        assert_eq!(length(&six, "ipv6,ipv6-udp"), Some(36));
        assert_eq!(length(&four, "ipv4"), Some(8));
        assert_eq!(length(&six, "ipv4,ipv4-udp"), None);
        assert_eq!(length(&six.fragment(), "ipv6,ipv6-udp"), Some(32));
        assert_eq!(length(&four.fragment(), "ipv4-udp"), None);
    }

    #[test]
    fn bytes_stand_in_network_order() {
        let input = |function| {
            let tuple = tuple("192.0.2.9:5060", "10.0.0.1:5080");
            Input::of(&tuple, Fields::default(), function).expect("hashed").bytes().to_vec()
        };
        assert_eq!(input(Function::Toeplitz), [192, 0, 2, 9, 10, 0, 0, 1, 0x13, 0xc4, 0x13, 0xd8]);
        assert_eq!(
            input(Function::SymmetricSort),
            [10, 0, 0, 1, 192, 0, 2, 9, 0x13, 0xc4, 0x13, 0xd8]
        );
        assert_eq!(input(Function::SymmetricXor), [202, 0, 2, 8, 202, 0, 2, 8, 0, 0x1c, 0, 0x1c]);
    }

    #[test]
    fn names_are_read_and_written() {
        assert_eq!(Fields::default().to_string(), "ipv4,ipv6,ipv4-udp,ipv6-udp");
        assert_eq!("ipv6-udp, ipv4".parse::<Fields>().expect("sets").to_string(), "ipv4,ipv6-udp");
        let error = "ipv4,tcp".parse::<Fields>().expect_err("no UDP field");
        assert!(error.to_string().contains("\"tcp\""), "{error}");
        for name in Function::names() {
            assert_eq!(Function::named(name).map(Function::name), Some(name));
        }
    }
}
