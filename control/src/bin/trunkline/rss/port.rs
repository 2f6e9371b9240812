//! Options that say how a port hashes.

use super::wrong;
use crate::Failure;
use anyhow::Context;
use control::rss::interface::{self, Interface};
use nic_config::profile::{Profile, RssProfile};
use nic_config::rss::key::KEY_BYTES;
use nic_config::rss::planner::InForce;
use nic_config::rss::reta::SIZE;
use nic_config::rss::{Fields, Function, Reta, RssError, RssKey};
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
#[group(id = "port")]
pub(super) struct Arguments {
    /// Take key, table, function and fields from this kernel interface, where nothing else is said; ethtool reads them
    #[arg(long, value_name = "NAME")]
    interface: Option<String>,
    /// Key in force, as ethtool writes it [default: that of Microsoft's verification suite, with which ixgbe, virtio and
    /// other drivers of DPDK begin]
    #[arg(long, value_name = "HEX", value_parser = key)]
    key: Option<RssKey>,
    /// The NIC's driver, whose profile says how long key and table are when neither they nor --interface do
    #[arg(long, value_name = "NAME", value_parser = driver)]
    driver: Option<&'static RssProfile>,
    /// Length of the key when none is given: 40 for most NICs, 52 for ice and i40e [default: that of --driver, else 40]
    #[arg(long, value_name = "BYTES", conflicts_with = "key")]
    key_bytes: Option<usize>,
    /// Table in force: what `ethtool -x` prints, or queue numbers [default: entry i has queue i modulo queues]
    #[arg(long, value_name = "FILE")]
    reta: Option<PathBuf>,
    /// Entries of the table when none is given: 64, 128, 256 or 512 [default: that of --driver, else
    /// 128]
    #[arg(long, value_name = "ENTRIES", conflicts_with = "reta")]
    reta_size: Option<usize>,
    /// What the port hashes, some of ipv4,ipv6 (addresses) and ipv4-udp,ipv6-udp (addresses and ports) [default: all]
    #[arg(long, value_name = "SETS", value_parser = fields)]
    fields: Option<Fields>,
    /// Hash function: toeplitz; symmetric-sort (DPDK's SYMMETRIC_TOEPLITZ_SORT); symmetric-xor (Linux'
    /// symmetric-xor, DPDK's SYMMETRIC_TOEPLITZ); xor (mlx4 and mlx5 under Linux) [default: toeplitz]
    #[arg(long, value_name = "NAME", value_parser = function)]
    function: Option<Function>,
}

impl Arguments {
    /// Whether anything is said.
    pub(super) fn is_given(&self) -> bool {
        let Self { interface, key, driver, key_bytes, reta, reta_size, fields, function } = self;
        let sizes = key_bytes.is_some() || reta_size.is_some();
        let files = interface.is_some() || reta.is_some();
        sizes
            || files
            || key.is_some()
            || driver.is_some()
            || fields.is_some()
            || function.is_some()
    }

    /// What is in force, and the queues: those given, else those of the interface, else those of the table.
    pub(super) fn in_force(&self, queues: Option<u16>) -> Result<(InForce, u16), Failure> {
        let interface = self.interface.as_deref().map(interface::read).transpose()?;
        let reta = self.reta.as_deref().map(read).transpose().map_err(wrong)?;
        let in_table = reta.as_ref().map(Reta::queues);
        let queues = queues.or(interface.as_ref().map(|port| port.queues)).or(in_table);
        let queues = queues.ok_or_else(|| {
            Failure::wrong("trunkline: how many queues? give --queues, --reta or --interface")
        })?;
        let in_force = self.filled(interface.as_ref(), reta, queues).map_err(wrong)?;
        in_force.reta.check(queues).map_err(wrong)?;
        Ok((in_force, queues))
    }

    fn filled(
        &self,
        known: Option<&Interface>,
        reta: Option<Reta>,
        queues: u16,
    ) -> Result<InForce, RssError> {
        let usual = self.driver.map(|driver| (driver.key_bytes, driver.reta)).unzip();
        let key = self.key.clone().or_else(|| known.and_then(|port| port.key.clone()));
        let key = match (key, self.key_bytes) {
            (Some(key), None) => key,
            (_, length) => RssKey::microsoft(length.or(usual.0).unwrap_or(KEY_BYTES))?,
        };
        let reta = match (reta.or_else(|| known.map(|port| port.reta.clone())), self.reta_size) {
            (Some(reta), None) => reta,
            (_, size) => Reta::in_turn(size.or(usual.1).unwrap_or(SIZE), queues)?,
        };
        let fields = self.fields.or(known.and_then(|port| port.fields)).unwrap_or_default();
        let function = self.function.or(known.map(|port| port.function)).unwrap_or_default();
        Ok(InForce { function, fields, key, reta })
    }
}

fn read(path: &Path) -> anyhow::Result<Reta> {
    let text = std::fs::read_to_string(path);
    let text = text.with_context(|| format!("{} cannot be read", path.display()))?;
    Reta::parse(&text).with_context(|| path.display().to_string())
}

fn key(text: &str) -> Result<RssKey, RssError> {
    text.parse()
}

/// How a driver hashes, by its own name, DPDK's or the kernel's.
fn driver(text: &str) -> Result<&'static RssProfile, String> {
    let profile = Profile::named(text)
        .ok_or_else(|| format!("write one of {}", Profile::names().join(", ")))?;
    profile.rss.as_ref().ok_or_else(|| format!("{} has no RSS through DPDK", profile.name))
}

fn fields(text: &str) -> Result<Fields, RssError> {
    text.parse()
}

fn function(text: &str) -> Result<Function, String> {
    Function::named(text).ok_or_else(|| format!("write one of {}", Function::names().join(", ")))
}
