//! The settings of the router: plain values, which control validates and sends, and from which
//! every worker builds its [`Tables`](crate::Tables).

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::str::FromStr;

mod auth;
mod overload;
mod prefixes;
mod registrar;
mod sets;
mod transactions;

pub use auth::{AuthSettings, Blocked, DigestAlgorithm, RealmId};
pub use overload::{OverloadSettings, SourceLimits};
pub use prefixes::PrefixTable;
pub use registrar::{Durability, KeepAlive, Nat, RegistrarSettings, Store};
pub use sets::{Algorithm, DestinationSet, HashKey, Member, MemberChange, MemberState};
pub use transactions::{Fork, MergedRequests, Relay, TransactionSettings};

/// Everything the router decides with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Settings {
    /// Key of the branch checks, of the Record-Route marks and of the hashes. Appliances that stand
    /// in for each other share it; whoever knows it can forge responses.
    pub secret: [u8; 16],
    /// Host names for which we answer. Listen points count too, with their port.
    pub domains: Vec<String>,
    /// Where we receive; at most [`LISTEN_POINTS_MAX`](crate::limits::LISTEN_POINTS_MAX).
    pub listen: Vec<ListenPoint>,
    /// Addresses of listen points that other appliances have, too, at one time or in turn. The first IPv4 and the first
    /// IPv6 address go together, the second ones, and so on.
    pub shared: Vec<IpAddr>,
    /// Whether we put ourselves into the Record-Route of requests that open a dialog.
    pub record_route: bool,
    /// Whether we are about to go: OPTIONS to us are answered with 503, so that those who probe us send new requests
    /// elsewhere; all else is served.
    pub is_leaving: bool,
    /// Value of Retry-After in our 503 replies; 0 leaves the header out.
    pub retry_after_seconds: u16,
    /// Whether `maddr` may send messages elsewhere.
    pub maddr: Maddr,
    /// What happens to a message that is larger than the MTU of its way.
    pub oversize: Oversize,
    /// Tables of number prefixes that rules name.
    pub prefix_tables: Vec<PrefixTable>,
    /// Groups of next hops that rules name.
    pub sets: Vec<DestinationSet>,
    /// What to do with a request; the first rule that matches decides.
    pub rules: Vec<Rule>,
    /// How transactions run, for rules that are stateful.
    pub transactions: TransactionSettings,
    /// The port that each worker's Vias name in requests with a transaction, a listen point at every address that
    /// speaks UDP; empty: the port that the request came to.
    pub via_ports: Vec<u16>,
    /// How registrations are taken, for rules that register.
    pub registrar: RegistrarSettings,
    /// How credentials are asked for, for rules with a realm.
    pub auth: AuthSettings,
    /// What happens when more comes than can be done.
    pub overload: OverloadSettings,
}

/// What `maddr` in a Via or URI means. It lets whoever writes a message name the host that gets it, or
/// its response, whatever else the message says. Only multicast needs it (RFC 3261 section 18.1.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Maddr {
    /// A next hop that a URI names so is answered with 403, a response whose Via names it is dropped.
    #[default]
    Refuse,
    /// Messages go there, if it is the address of one host (RFC 3261 sections 16.6 step 7, 18.2.2).
    Honour,
}

/// What happens to a message that is larger than the MTU of its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Oversize {
    /// It leaves in IP fragments.
    #[default]
    Fragment,
    /// A request is answered with 513, a response dropped.
    Refuse,
}

/// What carries SIP between two hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum Transport {
    /// Datagrams, which the workers receive and send themselves.
    #[default]
    Udp,
    /// RFC 3261 section 18.
    Tcp,
    /// RFC 3261 section 26.3.
    Tls,
    /// WebSocket (RFC 7118).
    Ws,
    /// WebSocket over TLS (RFC 7118).
    Wss,
}

impl Transport {
    /// All of them, by their numbers.
    pub const ALL: [Self; 5] = [Self::Udp, Self::Tcp, Self::Tls, Self::Ws, Self::Wss];

    /// The one with this number.
    pub fn of_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Its number.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// As it stands in a Via (RFC 3261 section 20.42, RFC 7118 section 5.2).
    pub const fn via(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Ws => "WS",
            Self::Wss => "WSS",
        }
    }

    /// As it stands in the `transport` parameter of a URI.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }

    /// The one with this name, in any case.
    #[inline]
    pub fn of_name(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name().as_bytes().eq_ignore_ascii_case(name))
    }

    /// Whether it runs over connections, which belong to control, and loses nothing on its way.
    #[inline]
    pub fn is_connection(self) -> bool {
        self != Self::Udp
    }

    /// Whether it runs over TLS.
    pub fn is_secure(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    /// The port of a URI that names none (RFC 3261 section 19.1.2).
    pub fn default_port(self) -> u16 {
        if self.is_secure() { 5061 } else { 5060 }
    }
}

/// One address and port of ours that speaks SIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ListenPoint {
    /// The address as it stands in our Via and Record-Route; never unspecified, port never 0.
    pub address: SocketAddr,
    /// What is spoken there.
    pub transport: Transport,
}

impl ListenPoint {
    /// One that speaks UDP.
    pub const fn udp(address: SocketAddr) -> Self {
        Self { address, transport: Transport::Udp }
    }
}

/// Index of a listen point in [`Settings::listen`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenId(pub u8);

/// One line of the rule table. An empty list matches everything.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Rule {
    /// Methods, in capitals. ACK and CANCEL follow INVITE and cannot be named.
    pub methods: Vec<String>,
    /// Hosts of the Request-URI, as written there (names in any case, or IP literals).
    pub domains: Vec<String>,
    /// Beginnings of the user part of the Request-URI, compared after unescaping.
    pub user_prefixes: Vec<String>,
    /// Networks the request may come from.
    pub sources: Vec<Network>,
    /// Headers of the request, of which one is enough. Only a rule that has some looks at the
    /// header lines.
    pub headers: Vec<HeaderMatch>,
    /// What happens to a request that matches all five.
    pub action: Action,
    /// Whether a request that is sent on gets a transaction.
    pub relay: Relay,
    /// The realm of which a request must have credentials; `None` asks for none.
    pub auth: Option<String>,
    /// Whether a REGISTER that is sent on to another registrar gets our Path (RFC 3327), by which all requests to
    /// the client come back this way.
    pub path: bool,
    /// With [`Action::Locate`]: the destination set that a request goes to whose user has no binding here, unless it comes
    /// from there or this appliance is the member it would go to. `None` answers it with 480.
    pub otherwise: Option<String>,
}

impl Rule {
    /// A rule that every request matches.
    pub const fn always(action: Action) -> Self {
        Self {
            methods: Vec::new(),
            domains: Vec::new(),
            user_prefixes: Vec::new(),
            sources: Vec::new(),
            headers: Vec::new(),
            action,
            relay: Relay::Stateless,
            auth: None,
            path: false,
            otherwise: None,
        }
    }
}

/// A header that a request must have, compared in any case.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct HeaderMatch {
    /// Its name; the compact form (RFC 3261 section 7.3.3) means the same.
    pub name: String,
    /// What its value must be, in one of its lines.
    pub test: HeaderTest,
}

/// What the value of a header must be, in any case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum HeaderTest {
    /// Anything.
    Present,
    /// This and no more.
    Is(String),
    /// Something that begins so.
    BeginsWith(String),
    /// Something in which this stands.
    Contains(String),
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Action {
    /// Forward to a member of the destination set of this name; when that is this appliance, the next rule is tried.
    Forward(String),
    /// Forward to the destination set that the prefix table of this name has for the longest prefix
    /// of the Request-URI's user part; without one, the next rule is tried.
    ForwardByPrefix(String),
    /// Relay to the next Route, or without one to the Request-URI.
    RequestUri,
    /// Answer a REGISTER for one of our domains from the location tables; other methods try the next rule.
    Register,
    /// Forward a request for a user of our domains to the bindings of its Request-URI, with a
    /// transaction; REGISTER, and requests with a way of their own, try the next rule.
    Locate,
    /// Answer with this final response.
    Reject {
        /// Status code, 300 to 699.
        code: u16,
        /// Reason phrase, printable, without line breaks.
        reason: String,
    },
}

/// An IP prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Network {
    /// Any address inside it; bits beyond the prefix are ignored.
    pub address: IpAddr,
    /// Leading bits that count: 0 to 32, or to 128 for IPv6.
    pub prefix_length: u8,
}

impl Network {
    /// Whether `address` lies inside. Families never match each other.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                let shift = 32_u32.saturating_sub(self.prefix_length.into());
                let differ = ours.to_bits() ^ theirs.to_bits();
                differ.checked_shr(shift).unwrap_or(0) == 0
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                let shift = 128_u32.saturating_sub(self.prefix_length.into());
                let differ = ours.to_bits() ^ theirs.to_bits();
                differ.checked_shr(shift).unwrap_or(0) == 0
            }
            _ => false,
        }
    }

    /// Whether the prefix length fits the family.
    pub(crate) fn is_valid(&self) -> bool {
        self.prefix_length <= if self.address.is_ipv4() { 32 } else { 128 }
    }
}

/// Why a text is no [`Network`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkError;

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a network such as 192.0.2.0/24 or 2001:db8::/32")
    }
}

impl core::error::Error for NetworkError {}

impl FromStr for Network {
    type Err = NetworkError;

    /// Reads `address/length`, or an address alone, which stands for just itself.
    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError)?;
        let prefix_length = match length {
            Some(length) => length.parse().map_err(|_| NetworkError)?,
            None if address.is_ipv4() => 32,
            None => 128,
        };
        let network = Self { address, prefix_length };
        if network.is_valid() { Ok(network) } else { Err(NetworkError) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_length)
    }
}

#[cfg(test)]
mod tests {
    use super::Network;

    #[test]
    fn network_contains_its_addresses_only() {
        let v4: Network = "10.77.0.0/16".parse().unwrap();
        assert!(v4.contains("10.77.255.1".parse().unwrap()));
        assert!(!v4.contains("10.78.0.1".parse().unwrap()));
        assert!(!v4.contains("fd77::1".parse().unwrap()));
        let all: Network = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains("203.0.113.9".parse().unwrap()));
        let v6: Network = "fd77:1::/32".parse().unwrap();
        assert!(v6.contains("fd77:1::2".parse().unwrap()));
        assert!(!v6.contains("fd77:2::2".parse().unwrap()));
        assert!("::/0".parse::<Network>().unwrap().contains("::1".parse().unwrap()));
    }

    #[test]
    fn network_refuses_what_it_cannot_hold() {
        assert!("10.0.0.0/33".parse::<Network>().is_err());
        assert!("::/129".parse::<Network>().is_err());
        assert!("example.com".parse::<Network>().is_err());
        assert_eq!("10.0.0.1".parse::<Network>().unwrap().prefix_length, 32);
    }
}
