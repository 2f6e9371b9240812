//! `[dns]`: who is asked where host names lead, and how long answers count.

use super::error::Mistake;
use super::value;
use serde::Deserialize;
use std::net::SocketAddr;

/// `[dns]`: host names as next hops (RFC 3263).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dns {
    /// Name servers, as `10.0.0.53` or with a port as `10.0.0.53:5353`. Default none: those of `/etc/resolv.conf`, read
    /// at the start and with each reload. At most 8.
    #[serde(deserialize_with = "value::name_servers")]
    pub servers: Vec<SocketAddr>,
    /// How long a name server may take to answer a query. Default 1,000 ms; 50 to 10,000.
    #[serde(deserialize_with = "value::dns_timeout")]
    pub timeout_ms: u32,
    /// How often a query that was not answered is sent again. Default 1; 0 to 5.
    #[serde(deserialize_with = "value::dns_retries")]
    pub retries: u8,
    /// How long addresses count at least, whatever their TTL says. Default 5 s; 1 to 3,600.
    #[serde(deserialize_with = "value::up_to_an_hour")]
    pub ttl_min_seconds: u32,
    /// How long addresses count at most. Default 3,600 s; 1 to 86,400.
    #[serde(deserialize_with = "value::up_to_a_day")]
    pub ttl_max_seconds: u32,
    /// How long it counts at most that a name leads nowhere. Default 60 s; 1 to 3,600.
    #[serde(deserialize_with = "value::up_to_an_hour")]
    pub negative_max_seconds: u32,
    /// How long addresses are used beyond their time while no name server has anything newer (RFC 8767). Default 86,400
    /// s; 0 (not at all) to 604,800.
    #[serde(deserialize_with = "value::up_to_a_week")]
    pub stale_seconds: u32,
    /// Names whose addresses control remembers. Default 16,384; 256 to 1,048,576.
    #[serde(deserialize_with = "value::names")]
    pub names: u32,
}

impl Default for Dns {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            timeout_ms: 1_000,
            retries: 1,
            ttl_min_seconds: 5,
            ttl_max_seconds: 3_600,
            negative_max_seconds: 60,
            stale_seconds: 86_400,
            names: 16_384,
        }
    }
}

impl Dns {
    /// What cannot be.
    pub(super) fn mistake(&self) -> Option<Mistake> {
        let Self { ttl_min_seconds: least, ttl_max_seconds: most, .. } = self;
        (least > most).then(|| Mistake {
            line: None,
            setting: "dns.ttl_min_seconds".to_owned(),
            problem: format!("is {least}, more than dns.ttl_max_seconds, which is {most}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Dns, String> {
        toml::from_str(text).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn servers_have_their_port_and_mistakes_say_what_is_allowed() {
        let dns =
            read(r#"servers = ["192.0.2.53", "[2001:db8::53]:5353", "2001:db8::54"]"#).unwrap();
        let servers: Vec<_> = dns.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["192.0.2.53:53", "[2001:db8::53]:5353", "[2001:db8::54]:53"]);
        assert_eq!(dns.mistake(), None);
        assert_eq!(read("").unwrap(), Dns::default());
        for (text, problem) in [
            ("servers = [\"dns.example\"]", "`dns.example` is no name server"),
            ("timeout_ms = 20", "20 is out of range: 50 to 10000 is allowed milliseconds"),
            ("ttl_min_seconds = 0", "0 is out of range: 1 to 3600 is allowed seconds"),
            ("server = []", "unknown field `server`"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.starts_with(problem), "{error}");
        }
        let crossed = read("ttl_min_seconds = 60\nttl_max_seconds = 30").unwrap();
        assert_eq!(crossed.mistake().unwrap().setting, "dns.ttl_min_seconds");
    }
}
