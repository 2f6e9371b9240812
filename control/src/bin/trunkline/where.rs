//! `trunkline where`

use crate::Failure;
use anyhow::Context;
use control::config::{self, Config};
use control::health::Impaired;
use control::operator::members_blocking;
use control::state::read_secret;
use control::whereis::{Answer, Appliance, Fate, queues};
use control_api::operator::{MemberReport, MemberState};
use sip_core::Transport;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Say what the appliance would do with a message, and why
///
/// Shows which rule decides and why the others do not, the member of the destination set and what is
/// hashed to find it, the next hop, the listen point that the message leaves from, and the queue and
/// lcore that it arrives at. Nothing is sent. The tables and the code are those of the workers; only
/// what a worker remembers of running transactions is not asked. Run it on the appliance, in its
/// network namespace: the routes of this machine choose the listen point, control says which members
/// are in use, and the secret in the state directory decides about marks and members.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  trunkline where --config trunkline.toml --from 192.0.2.7:5060 invite.sip
  trunkline where --config trunkline.toml --from 192.0.2.7:5060 --to 192.0.2.10:5060 --show invite.sip
  trunkline where --config trunkline.toml --tuple udp,192.0.2.7:5060,192.0.2.10:5060
  trunkline where --config trunkline.toml --transport tls --from 192.0.2.7:49152 invite.sip
  trunkline where --config trunkline.toml --from 192.0.2.7:5060 --json - < invite.sip | jq .fate

Exit status: 0, 1 when the message or the configuration cannot be read, 2 for wrong arguments.")]
pub(crate) struct Arguments {
    /// File with the message as it came in, or - for standard input; line ends may be LF alone
    #[arg(required_unless_present = "tuple", conflicts_with = "tuple")]
    message: Option<PathBuf>,
    /// Configuration file
    #[arg(long, value_name = "FILE", default_value = "/etc/trunkline/trunkline.toml")]
    config: PathBuf,
    /// Source address and port of the message
    #[arg(long, value_name = "ADDR:PORT", required_unless_present = "tuple")]
    from: Option<SocketAddr>,
    /// Listen point that it came to [default: the only one of the family, or the one from which this
    /// machine would send to the source]
    #[arg(long, value_name = "ADDR:PORT")]
    to: Option<SocketAddr>,
    /// What it came over: udp, tcp, tls, ws or wss
    #[arg(long, default_value = "udp", value_parser = transport, conflicts_with = "tuple")]
    transport: Transport,
    /// Only the 5-tuple: which queue and lcore
    #[arg(long, value_name = "udp,SRC:PORT,DST:PORT", value_parser = tuple)]
    tuple: Option<(SocketAddr, SocketAddr)>,
    /// Show the message as it would go on, or our answer
    #[arg(long)]
    show: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn main(arguments: &Arguments) -> Result<(), Failure> {
    let config =
        Config::load(&arguments.config).map_err(|error| Failure::wrong(error.to_string()))?;
    let mut notes = Vec::new();
    let secret = secret(&config, &mut notes);
    let impaired = impaired(&config, &mut notes);
    let appliance = Appliance::new(&config, secret, &impaired)?;
    let wrong = |error: anyhow::Error| Failure::wrong(format!("trunkline: {error:#}"));
    let mut answer = match (arguments.tuple, arguments.from, &arguments.message) {
        (Some((from, to)), ..) => {
            appliance.listen(Transport::Udp, from, Some(to)).map_err(wrong)?;
            Answer { from, to, ..Answer::default() }
        }
        (None, Some(from), Some(message)) => {
            let listen = appliance.listen(arguments.transport, from, arguments.to);
            let listen = listen.map_err(wrong)?;
            appliance.ask(&read(message)?, from, listen)
        }
        _ => return Err(Failure::wrong("trunkline: a message and --from, or --tuple")),
    };
    if arguments.tuple.is_some() {
        // Neither the secret nor the members have a say in it.
        notes.clear();
    }
    match nic_config::Machine::probe().map(|machine| nic_config::plan(&config.nic, &machine)) {
        Ok(Ok(plan)) => answer.queues = queues(&plan, arguments.transport),
        Ok(Err(error)) => notes.push(format!("the queue is not known here: {error}")),
        Err(error) => notes.push(format!("the queue is not known here: {error}")),
    }
    answer.notes = notes;
    print(&answer, arguments)
}

fn print(answer: &Answer, arguments: &Arguments) -> Result<(), Failure> {
    if arguments.json {
        let mut shown = answer.clone();
        if !arguments.show {
            shown.rewritten.clear();
        }
        crate::say(serde_json::to_string_pretty(&shown)?);
        return Ok(());
    }
    crate::say(answer.to_string().trim_end());
    if arguments.show {
        let text = match &answer.fate {
            Fate::Answered { response, .. } => response,
            _ => &answer.rewritten,
        };
        crate::say(format_args!("\n{}", text.trim_end()));
    }
    Ok(())
}

/// The datagram in a file. Editors leave LF alone at the end of lines, which SIP does not allow.
fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        std::io::stdin().read_to_end(&mut bytes).context("standard input cannot be read")?;
    } else {
        bytes =
            std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    }
    if bytes.contains(&b'\r') {
        return Ok(bytes);
    }
    let with_cr = bytes.iter().flat_map(|byte| match byte {
        b'\n' => vec![b'\r', b'\n'],
        byte => vec![*byte],
    });
    Ok(with_cr.collect())
}

fn secret(config: &Config, notes: &mut Vec<String>) -> [u8; 16] {
    let config::Appliance { state_directory, secret_file, .. } = &config.appliance;
    read_secret(state_directory, secret_file.as_deref()).unwrap_or_else(|error| {
        notes.push(format!("{error:#}: marks and the choice of a member may differ"));
        [0; 16]
    })
}

/// The members that control keeps out of use.
fn impaired(config: &Config, notes: &mut Vec<String>) -> Vec<Impaired> {
    let Ok(members) = members_blocking(&config.appliance.control_socket()) else {
        notes.push("control does not answer: as if every member were up".into());
        return Vec::new();
    };
    let is_impaired = |member: &MemberReport| !member.is_in_use && member.state != MemberState::Up;
    let impaired = members.into_iter().filter(is_impaired).map(|member| Impaired {
        set: member.set,
        address: member.address,
        state: member.state,
    });
    impaired.collect()
}

fn transport(text: &str) -> Result<Transport, String> {
    Transport::of_name(text.as_bytes()).ok_or_else(|| "write udp, tcp, tls, ws or wss".into())
}

/// `udp,SRC:PORT,DST:PORT`
fn tuple(text: &str) -> Result<(SocketAddr, SocketAddr), String> {
    let parts: Vec<_> = text.split(',').collect();
    let ["udp", source, destination] = parts.as_slice() else {
        return Err("write udp,192.0.2.7:5060,192.0.2.10:5060".into());
    };
    let address = |text: &str| text.parse().map_err(|_| format!("`{text}` is no ADDR:PORT"));
    Ok((address(source)?, address(destination)?))
}
