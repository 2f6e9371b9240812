//! The configuration of each appliance of a topology.

use super::plan::{Node, Role, Topology};
use crate::lab::{DIRECTORY, DOMAIN};
use anyhow::{Context, Result};
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Calls a second of each second-stage node that its table of transactions has room for.
pub const CALLS_PER_SECOND: u16 = 2_000;

/// The secret that all appliances share, so that every first-stage node chooses the same second-stage node.
pub(super) fn secret_path() -> PathBuf {
    Path::new(DIRECTORY).join("cluster.secret")
}

/// The configuration of the appliance on `node`, as TOML text. All of them share the machine's first and last of these
/// `lcores`.
///
/// # Errors
/// When there are no lcores.
pub(super) fn config(topology: Topology, node: Node, lcores: &[u16]) -> Result<String> {
    let service = lcores.first().context("no lcore may be used by this process")?;
    let worker = lcores.last().unwrap_or(service);
    let (name, role, directory) = (node.name(), node.role, node.directory());
    let listens = topology.listens(node);
    let shared: Vec<_> = listens.iter().map(SocketAddr::ip).filter(|ip| !node.has(*ip)).collect();
    let mut text = format!(
        "# {name}, {role}, in the lab of `trunkline lab up --topology {topology}`.\n\
         \n\
         [appliance]\n\
         name = \"{name}\"\n\
         domains = [\"{DOMAIN}\"]\n\
         record_route = true # phones reach each other through the appliances alone\n\
         run_directory = \"{run}\"\n\
         state_directory = \"{state}\"\n\
         secret_file = \"{secret}\"\n\
         shared_addresses = {shared:?} # no host has them until somebody gives them one\n\
         \n\
         [lcores] # shared with all other hosts of the lab\n\
         workers = [{worker}]\n\
         service = {service}\n\
         idle = \"sleep\"\n\
         \n\
         [memory]\n\
         hugepages = \"never\" # six data planes start side by side\n\
         {tables}\n\
         \n\
         [[ports]]\n\
         name = \"eth0\"\n\
         interface = \"eth0\"\n\
         verify_checksums = false # a veth peer leaves them to a NIC that is not there\n\
         \n\
         [connections]\n\
         connections = 1000\n\
         cores = [{service}]\n",
        run = directory.join("run").display(),
        state = directory.join("state").display(),
        secret = secret_path().display(),
        shared = shared.iter().map(ToString::to_string).collect::<Vec<_>>(),
        tables = tables(role),
    );
    for address in listens {
        for transport in ["udp", "tcp"] {
            let _ = write!(
                text,
                "\n[[listen]]\ntransport = \"{transport}\"\naddress = \"{address}\"\n"
            );
        }
    }
    text.push_str(&users(topology));
    if topology.is_of_both() || role == Role::FirstStage {
        text.push_str(FIRST_STAGE);
    }
    if role == Role::SecondStage {
        text.push_str(&second_stage(topology, node));
    }
    Ok(text)
}

/// Room for 150,000 users even when one second-stage node is left, and for the transactions of [`CALLS_PER_SECOND`], two of
/// each call for 64 T1 (RFC 3261); a first-stage node remembers nobody.
fn tables(role: Role) -> &'static str {
    match role {
        Role::FirstStage => "transactions = 1024\naors = 1024",
        _ => "transactions = 131072\naors = 163840",
    }
}

/// Whom users are spread over.
fn users(topology: Topology) -> String {
    let line = |node: Node| format!("    {{ address = \"{}\" }},\n", node.sip()[0]);
    let members: String = topology.with(Role::SecondStage).into_iter().map(line).collect();
    format!(
        r#"
# The user picks the member. A member that is dead is noticed in less than 2 s.
[[destination_sets]]
name = "users"
hash = "aor"
members = [
{members}]
probe = {{ interval_seconds = 1, timeout_ms = 300, down_after = 2, up_after = 2 }}
"#
    )
}

const FIRST_STAGE: &str = r#"
# What the set gives to this appliance itself tries the next route.
[[routes]]
match = { domains = ["lab.test"] }
forward = "users"
path = true
"#;

fn second_stage(topology: Topology, node: Node) -> String {
    let engine: Vec<_> =
        topology.with(Role::Engine).into_iter().map(|node| format!("{}:6379", node.v4())).collect();
    format!(
        r#"
[[routes]]
match = {{ domains = ["lab.test"] }}
register = true

# Who has no binding here may have one at another node; else it is 480.
[[routes]]
match = {{ domains = ["lab.test"] }}
locate = true
otherwise = "users"

[registrar]
durability = "flushed" # a 200 says that the engine has the binding

[cluster]
name = "lab"
members = "users"
member = "{member}"
engine = {engine:?}

# A phone with flows through two first-stage nodes is asked along the other one soon.
[transactions]
failover_ms = 500
"#,
        member = node.sip()[0]
    )
}

#[cfg(test)]
mod tests {
    use super::config;
    use crate::config::Config;
    use crate::lab::topology::plan::{Role, Topology};
    use std::path::Path;

    #[test]
    fn every_node_of_every_topology_has_a_valid_configuration() {
        for (first, second) in [(1, 1), (2, 3), (3, 3), (0, 3)] {
            let topology = Topology { first, second };
            for node in topology.hosts().into_iter().filter(|node| node.is_appliance()) {
                let text = config(topology, node, &[0, 1]).unwrap();
                let config = Config::parse(&text, Path::new("")).unwrap();
                assert_eq!(config.appliance.name, node.name());
                let is_spoken_to = first == 0 || node.role == Role::FirstStage;
                assert_eq!(config.listen.len(), if is_spoken_to { 10 } else { 4 });
                assert_eq!(config.appliance.shared_addresses.is_empty(), !is_spoken_to);
                assert_eq!(config.nic.lcores.workers, [1]);
                let members: usize =
                    config.destination_sets.iter().map(|set| set.members.len()).sum();
                assert_eq!(members, usize::from(second), "{text}");
                assert_eq!(config.cluster.is_some(), node.role == Role::SecondStage);
            }
        }
    }

    #[test]
    fn one_core_is_enough_and_none_is_refused() {
        let topology = Topology { first: 1, second: 1 };
        let node = topology.with(Role::SecondStage)[0];
        let text = config(topology, node, &[4]).unwrap();
        assert!(text.contains("workers = [4]\nservice = 4\n"), "{text}");
        assert!(config(topology, node, &[]).is_err());
    }
}
