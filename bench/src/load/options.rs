//! The command line of `trunkline-bench load`.

use super::arrivals::Process;
use super::faults::Faults;
use super::script::{IN_DIALOG_MAX, Scenario};
use super::streams::Reuse;
use anyhow::{Context, Result, bail};
use core::net::SocketAddr;
use core::str::FromStr;

/// Options of `trunkline-bench load`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "EXAMPLES\n  \
    trunkline-bench load --target 10.77.1.1:5060 --rate 5000 --seconds 10\n  \
    trunkline-bench load register-digest --target 10.77.1.1:5060 --rate 2000\n  \
    trunkline-bench load users --users 50000 --target 10.77.1.1:5060 --seconds 60\n  \
    trunkline-bench load --direct --rate 50000 --inject loss=0.01    the generator against itself\n  \
    trunkline-bench load --self-test                                 its own ceiling\n\n\
    The generator is open-loop: calls begin when their time has come, whether or not earlier ones were \
    answered. It plays callers and callees at once on one core: the target must forward requests for \
    sip:...@bench.test to the callee's address, and answer REGISTER for that domain itself (password of all \
    users: secret). Times run from when a message was due, so a slow generator or target cannot hide \
    its delay (coordinated omission).\n\n\
    OUTPUT\n  \
    lost        sent, never arrived; a stateful target also absorbs retransmissions on purpose\n  \
    duplicates  arrived more often than sent\n  \
    reordered   overtaken by a later message of the same call and direction\n  \
    wrong       Via, branch, tags, CSeq, body or Max-Forwards are not what they should be\n\n\
    EXIT STATUS\n  0: all calls completed. 1: some failed. 2: nothing could be measured.")]
pub(crate) struct Arguments {
    /// What callers and callees do
    #[arg(value_enum, default_value_t = Scenario::Proxy200)]
    pub(crate) scenario: Scenario,
    /// Where requests go; given more than once, in turn
    #[arg(long, value_name = "ADDRESS:PORT", required_unless_present_any = ["direct", "self_test"])]
    pub(crate) target: Vec<SocketAddr>,
    /// No target: callers send straight to the callees
    #[arg(long, conflicts_with = "target")]
    pub(crate) direct: bool,
    /// Find the generator's own ceiling, without a target
    #[arg(long, conflicts_with_all = ["target", "direct"])]
    pub(crate) self_test: bool,
    /// Calls (registrations, transactions) begun per second
    #[arg(long, default_value_t = 1_000.0, value_parser = positive)]
    pub(crate) rate: f64,
    /// Different users; in the scenario `users` they decide the rate
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=9_999_999))]
    pub(crate) users: u32,
    /// How long calls are begun
    #[arg(long, default_value_t = 10.0, value_parser = positive)]
    pub(crate) seconds: f64,
    /// Seconds of these at the beginning, while queues fill, in which nothing counts as carried
    #[arg(long, default_value_t = 0.0, value_parser = not_negative)]
    pub(crate) settle: f64,
    /// How calls follow each other
    #[arg(long, value_enum, default_value_t = Process::Poisson)]
    pub(crate) arrivals: Process,
    /// First address of the callers [default: this machine's address towards the target, port 6000]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) caller: Option<SocketAddr>,
    /// First address of the callees [default: the same, port 7000]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) callee: Option<SocketAddr>,
    /// Callers' ports, counted up from the first: so many flows reach the target
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) flows: u16,
    /// Callees' ports, counted up from the first: members for a dispatcher
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) callees: u16,
    /// Proxies on the way that add a Via each; 0 when datagrams come through unchanged
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=4))]
    pub(crate) hops: u32,
    /// Size of INVITE
    #[arg(long, default_value_t = 600, value_name = "BYTES", value_parser = clap::value_parser!(u16).range(400..=1_300))]
    pub(crate) invite_bytes: u16,
    /// In-dialog requests between ACK and BYE
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=IN_DIALOG_MAX as i64))]
    pub(crate) in_dialog: u8,
    /// Size of the body of in-dialog requests
    #[arg(long, default_value_t = 100, value_name = "BYTES", value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub(crate) in_dialog_bytes: u16,
    /// Milliseconds from 180 to 200, or to CANCEL
    #[arg(long, default_value_t = 0)]
    pub(crate) ring_ms: u32,
    /// Milliseconds from ACK to BYE
    #[arg(long, default_value_t = 0)]
    pub(crate) hold_ms: u32,
    /// Times faster than real life that the users of the scenario `users` live
    #[arg(long, default_value_t = 1.0, value_parser = positive)]
    pub(crate) compress: f64,
    /// RFC 3261's T1 in milliseconds
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) t1_ms: u32,
    /// Seconds after which an unanswered message has failed its call (RFC 3261's 64*T1 is 32)
    #[arg(long, default_value_t = 8.0, value_parser = positive)]
    pub(crate) patience: f64,
    /// Most calls open at once
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) calls_max: usize,
    /// Faults put into what is received, as shares: loss=0.01,duplicate=0.01,reorder=0.01
    #[arg(long, value_name = "FAULTS", default_value = "")]
    pub(crate) inject: Faults,
    /// sockets, ring (a DPDK ring that loops back: with --direct), af_xdp:INTERFACE (a DPDK port of its own), tcp (a
    /// connection of each caller that stays), tcp-each (a connection for each transaction)
    #[arg(long, default_value = "sockets")]
    pub(crate) wire: WireKind,
    /// Core to run on [default: where the kernel puts it]
    #[arg(long)]
    pub(crate) core: Option<u16>,
    /// Seed of all that is random
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Write the report as JSON to this file; - for standard output instead of the text
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<String>,
    /// No progress on standard error
    #[arg(long)]
    pub(crate) quiet: bool,
}

/// What to send over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WireKind {
    /// UDP sockets of the kernel.
    Sockets,
    /// `net_ring`: what is sent comes back.
    Ring,
    /// TCP connections of the kernel.
    Streams(Reuse),
    /// `net_af_xdp` on this interface.
    AfXdp(String),
}

impl FromStr for WireKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "sockets" => Ok(Self::Sockets),
            None if text == "ring" => Ok(Self::Ring),
            None if text == "tcp" => Ok(Self::Streams(Reuse::Kept)),
            None if text == "tcp-each" => Ok(Self::Streams(Reuse::EachTransaction)),
            Some(("af_xdp", interface)) if !interface.is_empty() => {
                Ok(Self::AfXdp(interface.into()))
            }
            _ => Err("sockets, ring, af_xdp:INTERFACE, tcp or tcp-each are possible".into()),
        }
    }
}

impl core::fmt::Display for WireKind {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Sockets => f.write_str("kernel sockets"),
            Self::Ring => f.write_str("a DPDK ring"),
            Self::Streams(Reuse::Kept) => f.write_str("TCP connections that stay"),
            Self::Streams(Reuse::EachTransaction) => {
                f.write_str("a TCP connection for each transaction")
            }
            Self::AfXdp(interface) => write!(f, "DPDK's AF_XDP port on {interface}"),
        }
    }
}

impl FromStr for Faults {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut faults = Self::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (name, share) = part.split_once('=').context("write NAME=SHARE, e.g. loss=0.01")?;
            let share: f64 = share.parse().with_context(|| format!("{share:?} is no number"))?;
            if !(0.0..=0.5).contains(&share) {
                bail!("{name}={share}: shares from 0 to 0.5 are possible");
            }
            *match name {
                "loss" => &mut faults.loss,
                "duplicate" => &mut faults.duplicate,
                "reorder" => &mut faults.reorder,
                _ => bail!("unknown fault {name:?}: there are loss, duplicate and reorder"),
            } = share;
        }
        Ok(faults)
    }
}

fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().map_err(|error| error.to_string())?;
    (number.is_finite() && number > 0.0).then_some(number).ok_or("must be above 0".into())
}

fn not_negative(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().map_err(|error| error.to_string())?;
    (number.is_finite() && number >= 0.0).then_some(number).ok_or("must not be below 0".into())
}

#[cfg(test)]
mod tests {
    use super::{Faults, Reuse, WireKind};

    #[test]
    fn faults_are_read() {
        let faults: Faults = "loss=0.01,reorder=0.2".parse().unwrap();
        assert_eq!(faults, Faults { loss: 0.01, duplicate: 0.0, reorder: 0.2 });
        for (text, why) in [("loss", "NAME=SHARE"), ("fire=0.1", "there are"), ("loss=2", "0.5")] {
            let error = text.parse::<Faults>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn wires_are_read() {
        assert_eq!("af_xdp:gen0".parse(), Ok(WireKind::AfXdp("gen0".into())));
        assert_eq!("tcp-each".parse(), Ok(WireKind::Streams(Reuse::EachTransaction)));
        assert!("af_xdp".parse::<WireKind>().is_err());
    }
}
