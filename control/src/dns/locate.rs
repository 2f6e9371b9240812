//! From a name to addresses (RFC 3263 sections 4.1 and 4.2, RFC 2782, RFC 3403).
//!
//! ```text
//!  port given ──────────────────────────────► A, AAAA
//!  transport given ───► SRV of it ──┬─ some ─► A, AAAA of their targets
//!  neither ──► NAPTR ──┬─ some ─► SRV of them
//!                      └─ none ─► SRV of _sip._udp, _sip._tcp ─ none ──► A, AAAA, UDP
//! ```
//!
//! What nobody can say counts as a failure of the whole, not as "none": a server that says nothing about SRV must
//! not send calls to the web server of the domain.

use super::records::{Found, Records};
use anyhow::Result;
use control_api::{NameAsked, ResolvedAddress};
use futures_util::future::{join, join_all, try_join_all};
use hickory_resolver::proto::rr::rdata::{NAPTR, SRV};
use hickory_resolver::proto::rr::{RData, RecordType};
use sip_core::Transport;
use sip_core::limits::NAME_TARGETS_MAX;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Where a name leads, and how long that counts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Located {
    /// The best first; none when it leads nowhere.
    pub(super) addresses: Vec<ResolvedAddress>,
    pub(super) ttl: Duration,
}

/// A server before its name is resolved: its name and port, and how it is to be asked.
struct Server {
    host: String,
    port: u16,
    transport: Transport,
    /// Its place among the priorities.
    rank: u16,
    weight: u16,
}

/// A walk through the records of one name.
struct Walk<'a> {
    records: &'a Records,
    /// The shortest time of what was found, and of what was not.
    found: Option<Duration>,
    missed: Option<Duration>,
}

/// Finds out where a name leads, by `transports` where it does not say which.
///
/// # Errors
/// Nobody can say.
pub(super) async fn locate(
    records: &Records,
    asked: &NameAsked,
    transports: &[Transport],
) -> Result<Located> {
    let mut walk = Walk { records, found: None, missed: None };
    let wanted = asked.transport.and_then(Transport::of_number);
    let plain = wanted.or(transports.first().copied()).unwrap_or_default();
    let port = if asked.port == 0 { plain.default_port() } else { asked.port };
    let itself = || Server { host: asked.name.clone(), port, transport: plain, rank: 0, weight: 0 };
    let servers = match (asked.port, wanted) {
        (0, Some(transport)) => {
            let service = (service_name(transport, &asked.name), transport);
            walk.servers(vec![service]).await?
        }
        (0, None) => walk.servers_by_naptr(&asked.name, transports).await?,
        _ => None,
    };
    let addresses = match servers {
        Some(servers) => walk.addresses(servers).await?,
        None => walk.addresses(vec![itself()]).await?,
    };
    let ttl = if addresses.is_empty() { walk.missed.or(walk.found) } else { walk.found };
    Ok(Located { addresses, ttl: ttl.unwrap_or_default() })
}

impl Walk<'_> {
    /// RFC 3263 section 4.1, where the URI says neither port nor transport. None when there are no SRV records.
    async fn servers_by_naptr(
        &mut self,
        name: &str,
        transports: &[Transport],
    ) -> Result<Option<Vec<Server>>> {
        let mut services: Vec<_> = self
            .take(self.records.of(name, RecordType::NAPTR).await?)
            .into_iter()
            .filter_map(|data| match data {
                RData::NAPTR(naptr) => service_of(&naptr),
                _ => None,
            })
            .filter(|(_, _, transport)| transports.contains(transport))
            .collect();
        services.sort();
        let services: Vec<_> = services
            .into_iter()
            .map(|(_, replacement, transport)| (replacement, transport))
            .collect();
        if !services.is_empty() {
            return Ok(Some(self.servers(services).await?.unwrap_or_default()));
        }
        // "_sips" is for those who must have TLS.
        let plain = transports.iter().filter(|one| **one != Transport::Tls);
        let services = plain.map(|one| (service_name(*one, name), *one)).collect();
        self.servers(services).await
    }

    /// The servers of some services, those of the first before those of the next. None when no service has any record.
    async fn servers(&mut self, services: Vec<(String, Transport)>) -> Result<Option<Vec<Server>>> {
        let records = self.records;
        let asked = services.iter().map(|(name, _)| records.of(name, RecordType::SRV));
        let all = try_join_all(asked).await?;
        let (mut servers, mut rank, mut has_any) = (Vec::new(), 0, false);
        for ((_, transport), found) in services.into_iter().zip(all) {
            let mut records: Vec<SRV> = self
                .take(found)
                .into_iter()
                .filter_map(|data| if let RData::SRV(srv) = data { Some(srv) } else { None })
                .collect();
            has_any |= !records.is_empty();
            records.sort_by_key(|srv| srv.priority);
            for tier in records.chunk_by(|one, other| one.priority == other.priority) {
                // A target of "." says that there is no such service (RFC 2782).
                let offered = tier.iter().filter(|srv| !srv.target.is_root());
                servers.extend(offered.map(|srv| Server {
                    host: srv.target.to_ascii(),
                    port: srv.port,
                    transport,
                    rank,
                    weight: srv.weight,
                }));
                rank += 1;
            }
        }
        servers.truncate(NAME_TARGETS_MAX);
        Ok(has_any.then_some(servers))
    }

    /// The addresses of servers. One whose name leads nowhere is left out; one of which nobody can say anything, too,
    /// unless nobody can say anything about any.
    async fn addresses(&mut self, servers: Vec<Server>) -> Result<Vec<ResolvedAddress>> {
        let records = self.records;
        let asked = servers.iter().map(|server| {
            let (v4, v6) = (RecordType::A, RecordType::AAAA);
            join(records.of(&server.host, v4), records.of(&server.host, v6))
        });
        let mut trouble = None;
        let mut addresses = Vec::new();
        for (server, (v4, v6)) in servers.iter().zip(join_all(asked).await) {
            let mut own = Vec::new();
            for found in [v4, v6] {
                match found {
                    Ok(found) => own.extend(self.take(found).iter().filter_map(ip_of)),
                    Err(error) => trouble = Some(error),
                }
            }
            addresses.extend(own.iter().map(|ip| address(server, *ip, own.len())));
        }
        if let Some(trouble) = trouble.filter(|_| addresses.is_empty()) {
            return Err(trouble);
        }
        addresses.sort_by_key(|one| one.priority);
        addresses.truncate(NAME_TARGETS_MAX);
        Ok(addresses)
    }

    /// Takes note of the time for which something counts.
    fn take(&mut self, found: Found) -> Vec<RData> {
        let sooner = |known: &mut Option<Duration>, ttl: Duration| {
            *known = Some(known.map_or(ttl, |known| known.min(ttl)));
        };
        match found {
            Found::Records(records, ttl) => {
                sooner(&mut self.found, ttl);
                records
            }
            Found::Nothing(ttl) => {
                sooner(&mut self.missed, ttl);
                Vec::new()
            }
        }
    }
}

/// An address of a server, one of so many. Where a server has both families IPv4 goes first: not every network
/// that has IPv6 leads anywhere.
fn address(server: &Server, ip: IpAddr, of: usize) -> ResolvedAddress {
    let share = u16::try_from(of).unwrap_or(u16::MAX).max(1);
    ResolvedAddress {
        address: SocketAddr::new(ip, server.port),
        transport: server.transport.number(),
        priority: 2 * server.rank + u16::from(ip.is_ipv6()),
        weight: if server.weight == 0 { 0 } else { (server.weight / share).max(1) },
    }
}

fn ip_of(data: &RData) -> Option<IpAddr> {
    match data {
        RData::A(a) => Some(IpAddr::V4(a.0)),
        RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
        _ => None,
    }
}

/// Order, place of the SRV records and transport of a NAPTR record for SIP (RFC 3263 section 4.1).
fn service_of(naptr: &NAPTR) -> Option<([u16; 2], String, Transport)> {
    let transport = [
        (&b"SIP+D2U"[..], Transport::Udp),
        (b"SIP+D2T", Transport::Tcp),
        (b"SIPS+D2T", Transport::Tls),
    ]
    .into_iter()
    .find(|(service, _)| naptr.services.eq_ignore_ascii_case(service))?;
    let leads_to_srv = naptr.flags.eq_ignore_ascii_case(b"s") && naptr.regexp.is_empty();
    leads_to_srv
        .then(|| ([naptr.order, naptr.preference], naptr.replacement.to_ascii(), transport.1))
}

fn service_name(transport: Transport, name: &str) -> String {
    let service = match transport {
        Transport::Tls | Transport::Wss => "_sips._tcp",
        Transport::Tcp | Transport::Ws => "_sip._tcp",
        Transport::Udp => "_sip._udp",
    };
    format!("{service}.{name}")
}
