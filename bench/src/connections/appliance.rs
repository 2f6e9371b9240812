//! The appliance, for registrations and calls over connections.

use crate::load::DOMAIN;
use crate::network::{Host, Network, SIP, SUT_ADDRESS};
use crate::system::{self, System};
use anyhow::{Context, Result};
use rustls::RootCertStore;
use rustls::crypto::ring;
use std::net::SocketAddrV4;
use std::path::Path;
use std::sync::Arc;

/// Where TLS is spoken.
pub(super) const TLS: SocketAddrV4 = SocketAddrV4::new(SUT_ADDRESS, 5061);
/// The worker's core; everything else runs where there is room.
const WORKER: u16 = 1;

/// The appliance with room for so many connections on so many threads, and how clients speak TLS with it.
pub(super) fn start(
    network: &Network,
    connections: usize,
    threads: usize,
) -> Result<(System, Arc<rustls::ClientConfig>)> {
    let made = rcgen::generate_simple_self_signed([SUT_ADDRESS.to_string()])?;
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone())?;
    let builder = rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions()?.with_root_certificates(roots);
    let mut client = builder.with_no_client_auth();
    client.resumption = rustls::client::Resumption::disabled();
    let configure = |directory: &Path| -> Result<String> {
        let files = [("cert.pem", made.cert.pem()), ("key.pem", made.signing_key.serialize_pem())];
        for (name, text) in files {
            std::fs::write(directory.join(name), text).context(name)?;
        }
        Ok(config(directory, connections, threads))
    };
    Ok((system::start_appliance(network, &[WORKER], configure)?, Arc::new(client)))
}

fn config(directory: &Path, connections: usize, threads: usize) -> String {
    let (directory, interface) = (directory.display(), Host::Sut.interface());
    format!(
        r#"[appliance]
name = "bench"
domains = ["{DOMAIN}"]
record_route = true
run_directory = "{directory}/run"
state_directory = "{directory}/state"

[lcores]
workers = [{WORKER}]
idle = "sleep" # nothing but what goes over connections comes to the worker: the cores are for the kernel's TCP

[memory]
aors = {connections}

[[ports]]
name = "wire"
interface = "{interface}"
verify_checksums = false

[[listen]]
address = "{SIP}"

[[listen]]
address = "{SIP}"
transport = "tcp"

[[listen]]
address = "{TLS}"
transport = "tls"

[tls]
certificate = "cert.pem"
key = "key.pem"

[connections]
threads = {threads}
connections = {connections}
message_seconds = 30

[registrar]
store = "none"
durability = "memory"

[[routes]]
register = true

[[routes]]
match = {{ methods = ["INVITE"] }}
locate = true
"#
    )
}
