//! Records of one name and type, from the resolver and its cache.

use super::Plan;
use anyhow::{Context, Result};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Who is asked for records.
#[derive(Debug)]
pub(super) struct Records {
    resolver: TokioResolver,
    /// The name servers.
    pub(super) servers: Vec<SocketAddr>,
    /// Queries so far.
    pub(super) queries: AtomicU64,
    negative: [Duration; 2],
}

/// What there is of one type.
#[derive(Debug)]
pub(super) enum Found {
    /// These, for so long.
    Records(Vec<RData>, Duration),
    /// None, for so long.
    Nothing(Duration),
}

impl Records {
    /// A resolver as the plan has it.
    ///
    /// # Errors
    /// No name servers.
    pub(super) fn new(plan: &Plan) -> Result<Self> {
        let dns = &plan.dns;
        let (config, mut options) = if dns.servers.is_empty() {
            read_system_conf().context("cannot take name servers from /etc/resolv.conf")?
        } else {
            let servers = dns.servers.iter().copied().map(name_server);
            (ResolverConfig::from_name_servers(servers.collect()), ResolverOpts::default())
        };
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        let negative = [
            seconds(dns.ttl_min_seconds.min(dns.negative_max_seconds)),
            seconds(dns.negative_max_seconds),
        ];
        options.timeout = Duration::from_millis(dns.timeout_ms.into());
        options.attempts = usize::from(dns.retries);
        options.cache_size = dns.names.into();
        options.positive_min_ttl = Some(seconds(dns.ttl_min_seconds));
        options.positive_max_ttl = Some(seconds(dns.ttl_max_seconds));
        options.negative_min_ttl = Some(negative[0]);
        options.negative_max_ttl = Some(negative[1]);
        // A truncated answer, or a server that is only reached so.
        options.try_tcp_on_error = true;
        let servers = config.name_servers().iter().filter_map(|server| {
            server.connections.first().map(|first| SocketAddr::new(server.ip, first.port))
        });
        let servers = servers.collect();
        let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let resolver = builder.with_options(options).build().context("cannot start a resolver")?;
        Ok(Self { resolver, servers, queries: AtomicU64::new(0), negative })
    }

    /// The records of `name`, which is absolute, of this type.
    ///
    /// # Errors
    /// Nobody can say.
    pub(super) async fn of(&self, name: &str, kind: RecordType) -> Result<Found> {
        self.queries.fetch_add(1, Ordering::Relaxed);
        let mut absolute = Name::from_ascii(name)?;
        absolute.set_fqdn(true);
        match self.resolver.lookup(absolute, kind).await {
            Ok(found) => {
                let records = found.answers().iter().map(|record| record.data.clone());
                let records: Vec<_> = records.filter(|data| data.record_type() == kind).collect();
                let ttl = found.valid_until().saturating_duration_since(Instant::now());
                Ok(if records.is_empty() {
                    Found::Nothing(self.negative[0])
                } else {
                    Found::Records(records, ttl)
                })
            }
            Err(NetError::Dns(DnsError::NoRecordsFound(none))) => {
                let [least, most] = self.negative;
                let ttl = none.negative_ttl.map(|seconds| Duration::from_secs(seconds.into()));
                Ok(Found::Nothing(ttl.unwrap_or(least).clamp(least, most)))
            }
            Err(error) => Err(error).with_context(|| format!("no word on {kind} of {name}")),
        }
    }
}

fn name_server(address: SocketAddr) -> NameServerConfig {
    let mut server = NameServerConfig::udp_and_tcp(address.ip());
    for connection in &mut server.connections {
        connection.port = address.port();
    }
    server
}
