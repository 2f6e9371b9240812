//! What the sections of a file ask of each other.

use super::routes::Action;
use super::{Config, Listen, Mistake, Route, Tls};
use crate::connections::check_tls;
use sip_core::{Relay, Transport};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

impl Config {
    /// Routes that lack something which stands in another section.
    pub(super) fn missing_parts(&self) -> Vec<Mistake> {
        let numbered = self.routes.iter().enumerate();
        numbered.filter_map(|(index, route)| self.missing_part(index, route)).collect()
    }

    /// Listen points that need a certificate, and files of `[tls]` that cannot be used.
    pub(super) fn tls_mistake(&self) -> Option<Mistake> {
        let secure = self.listen.iter().position(|listen| listen.transport.is_secure());
        if let Some(index) = secure
            && self.tls.certificate.is_none()
        {
            let setting = format!("listen[{index}].transport");
            let problem = "needs a certificate: name tls.certificate and tls.key".to_owned();
            return Some(Mistake { line: None, setting, problem });
        }
        if self.tls == Tls::default() {
            return None;
        }
        let problem = format!("{:#}", check_tls(&self.tls).err()?);
        Some(Mistake { line: None, setting: "tls".to_owned(), problem })
    }

    /// Ports of workers that are not one for each, or serve another purpose, too.
    pub(super) fn via_ports_mistake(&self) -> Option<Mistake> {
        let (ports, workers) = (&self.transactions.via_ports, self.nic.lcores.workers.len());
        let mistake = |problem| {
            let setting = "transactions.via_ports".to_owned();
            Some(Mistake { line: None, setting, problem })
        };
        if !ports.is_empty() && ports.len() != workers {
            let count = ports.len();
            return mistake(format!("{count} port(s) for {workers} worker(s); write one for each"));
        }
        let wrong = |(at, port): &(usize, &u16)| **port == 0 || ports[..*at].contains(port);
        if let Some((_, port)) = ports.iter().enumerate().find(wrong) {
            return mistake(format!("{port} is no port of its own; write another one"));
        }
        let is_own =
            |one: &&Listen| one.transport == Transport::Udp && ports.contains(&one.address.port());
        let address = self.listen.iter().find(is_own)?.address;
        mistake(format!("{address} stands under [[listen]]; these ports are for Vias alone"))
    }

    /// Addresses of other appliances, too, that nothing listens at, or that stand where another one's do not.
    pub(super) fn shared_addresses_mistake(&self) -> Option<Mistake> {
        let shared = &self.appliance.shared_addresses;
        let mistake =
            |setting: String, problem: String| Some(Mistake { line: None, setting, problem });
        let setting = || "appliance.shared_addresses".to_owned();
        let is_shared = |listen: &Listen| shared.contains(&listen.address.ip());
        let is_listened_at = |ip: &&IpAddr| self.listen.iter().any(|one| one.address.ip() == **ip);
        if let Some(ip) = shared.iter().find(|ip| !is_listened_at(ip)) {
            return mistake(setting(), format!("no [[listen]] has the address {ip}"));
        }
        if !shared.is_empty() && self.appliance.secret_file.is_none() {
            let problem =
                "appliances that have one address need one secret: name appliance.secret_file";
            return mistake(setting(), problem.to_owned());
        }
        let own = self.listen.iter().position(|listen| !is_shared(listen))?;
        let late = (own..self.listen.len()).find(|index| is_shared(&self.listen[*index]))?;
        let problem = "is shared: write the shared listen points above all others, in one order on all appliances, \
                       since Via and Path name them by their place";
        mistake(format!("listen[{late}].address"), problem.to_owned())
    }

    /// Has every address with UDP listen to the ports of the workers, too.
    pub(super) fn listen_at_via_ports(&mut self) {
        let is_udp = |one: &&Listen| one.transport == Transport::Udp;
        let addresses = self.listen.iter().filter(is_udp).map(|one| one.address.ip());
        let addresses: BTreeSet<IpAddr> = addresses.collect();
        for address in addresses {
            let own = self.transactions.via_ports.iter().map(|port| Listen {
                transport: Transport::Udp,
                address: SocketAddr::new(address, *port),
            });
            self.listen.extend(own);
        }
    }

    fn missing_part(&self, index: usize, route: &Route) -> Option<Mistake> {
        let mistake = |key: &str, problem: String| {
            let setting = format!("routes[{index}].{key}");
            Some(Mistake { line: None, setting, problem })
        };
        let memory = &self.nic.memory;
        if route.relay != Relay::Stateless && memory.transactions == 0 {
            let problem =
                "workers have no memory for transactions: set memory.transactions above 0";
            return mistake("stateful", problem.into());
        }
        let key = match route.action {
            Action::Register => "register",
            Action::Locate => "locate",
            _ => return None,
        };
        if memory.aors == 0 {
            let problem = "workers have no memory for addresses-of-record: set memory.aors above 0";
            return mistake(key, problem.into());
        }
        if route.action == Action::Locate && memory.transactions == 0 {
            let problem = "each request that is sent to bindings gets a transaction, for which workers have \
                           no memory: set memory.transactions above 0";
            return mistake(key, problem.into());
        }
        if let Some(domain) = route.matching.domains.iter().find(|domain| !self.is_ours(domain)) {
            let problem = format!("\"{domain}\" is none of ours: name it in appliance.domains");
            return mistake("match.domains", problem);
        }
        let has_domain = !route.matching.domains.is_empty() || !self.appliance.domains.is_empty();
        let problem = "users are registered at a domain: name one in appliance.domains";
        (!has_domain).then(|| mistake(key, problem.into()))?
    }

    /// Whether the router takes this host of a URI for one of ours.
    fn is_ours(&self, host: &str) -> bool {
        let plain = |name: &str| name.trim_end_matches('.').to_ascii_lowercase();
        let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
        self.appliance.domains.iter().any(|domain| plain(domain) == plain(host))
            || self.listen.iter().any(|listen| Some(listen.address.ip()) == address)
    }
}
