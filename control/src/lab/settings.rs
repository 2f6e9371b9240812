//! The default configuration of the lab.

use super::certificate::{CERTIFICATE, KEY};
use super::{DIRECTORY, QUEUES_MAX};
use anyhow::{Result, bail};
use std::fmt::Write;

/// The domain whose users can register in the lab.
pub const DOMAIN: &str = "lab.test";

/// The configuration of a lab with `queues` queue pairs per port on a machine with these
/// `lcores`, as TOML text.
///
/// # Errors
/// When there are no lcores for so many queues.
pub fn default_config(queues: u16, lcores: &[u16]) -> Result<String> {
    if queues == 0 || queues > QUEUES_MAX {
        bail!("--queues {queues}: 1 to {QUEUES_MAX} are possible");
    }
    let count = usize::from(queues);
    let (Some(service), true) = (lcores.first(), count <= lcores.len()) else {
        let available = lcores.len();
        bail!("--queues {queues}: each queue needs a core of its own, and there are {available}");
    };
    // The first core serves control; a single worker need not share it.
    let workers = if lcores.len() > count { &lcores[1..=count] } else { &lcores[..count] };
    let mut text = format!(
        "# The lab of `trunkline lab up`: callers in 10.77.1.0/24, servers in 10.77.2.0/24.\n\
         \n\
         [appliance]\n\
         name = \"lab\"\n\
         domains = [\"{DOMAIN}\"]\n\
         record_route = true # the hosts of a call reach each other through the appliance alone\n\
         run_directory = \"{DIRECTORY}\"\n\
         state_directory = \"{DIRECTORY}/state\"\n\
         \n\
         [lcores]\n\
         workers = {workers:?}\n\
         service = {service}\n\
         idle = \"sleep\" # the machine is shared with SIPp\n"
    );
    for interface in ["uac0", "uas0"] {
        let _ = write!(
            text,
            "\n[[ports]]\n\
             name = \"{interface}\"\n\
             interface = \"{interface}\"\n\
             queues = {queues}\n\
             verify_checksums = false # a veth peer leaves them to a NIC that is not there\n"
        );
    }
    for (transport, port) in
        [("udp", 5_060), ("tcp", 5_060), ("tls", 5_061), ("ws", 8_080), ("wss", 8_443)]
    {
        for address in ["10.77.1.1", "10.77.2.1", "[fd77:1::1]", "[fd77:2::1]"] {
            let _ = write!(
                text,
                "\n[[listen]]\ntransport = \"{transport}\"\naddress = \"{address}:{port}\"\n"
            );
        }
    }
    let _ = write!(
        text,
        "\n[connections]\n\
         cores = [{service}]\n\
         \n\
         [tls] # made anew by each `trunkline lab up`\n\
         certificate = \"{DIRECTORY}/{CERTIFICATE}\"\n\
         key = \"{DIRECTORY}/{KEY}\"\n\
         server_ca = \"{DIRECTORY}/{CERTIFICATE}\"\n"
    );
    text.push_str(ROUTING);
    Ok(text)
}

const ROUTING: &str = r#"
# No probes: SIPp's scenario counts an OPTIONS as a call that failed.
[[destination_sets]]
name = "uas"
members = [{ address = "10.77.2.2:5060" }]
probe = false

[[destination_sets]]
name = "uas6"
members = [{ address = "[fd77:2::2]:5060" }]
probe = false

# Phones register as users of lab.test, with 10.77.1.1 or 10.77.2.1 as their outbound proxy, and call each
# other there.
[[routes]]
match = { domains = ["lab.test"] }
register = true

[[routes]]
match = { domains = ["lab.test"] }
locate = true

# The user part can ask for a family: sipp -s six reaches the server over IPv6, whatever the caller has.
[[routes]]
match = { user_prefixes = ["six"] }
forward = "uas6"

[[routes]]
match = { user_prefixes = ["four"] }
forward = "uas"

[[routes]]
match = { sources = ["fd77::/16"] }
forward = "uas6"

[[routes]]
forward = "uas"
"#;

#[cfg(test)]
mod tests {
    use super::{DIRECTORY, DOMAIN, default_config};
    use crate::config::Config;
    use crate::lab::certificate;
    use std::path::Path;

    #[test]
    fn the_default_is_a_valid_configuration() {
        let folder = tempfile::tempdir().unwrap();
        certificate::make(folder.path()).unwrap();
        let folder = folder.path().to_str().unwrap();
        for (queues, lcores, workers) in
            [(1, &[0][..], [0].as_slice()), (1, &[0, 1], &[1]), (2, &[0, 1], &[0, 1])]
        {
            let text = default_config(queues, lcores).unwrap().replace(DIRECTORY, folder);
            let config = Config::parse(&text, Path::new("")).unwrap();
            assert_eq!(config.nic.lcores.workers, workers);
            assert_eq!(config.nic.ports.len(), 2);
            assert_eq!(config.listen.len(), 20);
            assert_eq!(config.appliance.domains, [DOMAIN]);
        }
    }

    #[test]
    fn queues_without_cores_are_refused() {
        assert!(default_config(0, &[0, 1]).is_err());
        let error = default_config(3, &[0, 1]).unwrap_err().to_string();
        assert!(error.contains("there are 2"), "{error}");
    }
}
