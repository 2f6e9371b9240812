//! What `ethtool` prints about an interface, as values.
//!
//! The text is the interface: it is the same from a live server and from a file that someone sent, and every driver that
//! answers at all answers `ethtool`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::server::{read_text, value};

/// Gives what `ethtool` prints with these arguments; none when it fails, as it does for what a driver lacks.
pub type Ask<'a> = &'a dyn Fn(&[&str]) -> Option<String>;

/// Answers from files below `root`, named as in the reports of sosreport: `sos_commands/networking/ethtool_-k_eth1`.
pub fn recorded(root: &Path) -> impl Fn(&[&str]) -> Option<String> {
    let folder = root.join("sos_commands/networking");
    move |arguments| {
        let text = read_text(&folder.join(format!("ethtool_{}", arguments.join("_"))));
        (!text.is_empty()).then_some(text)
    }
}

/// What a kernel driver grants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ethtool {
    /// Its name, for interfaces without a device as well.
    pub driver: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// The firmware.
    pub firmware: Option<String>,
    /// Descriptors of the rings.
    pub rings: Option<Rings>,
    /// Queues.
    pub channels: Option<Channels>,
    /// Offloads by `ethtool -k`'s names.
    pub features: BTreeMap<String, Feature>,
    /// What can be stamped, as `ethtool -T` says it.
    pub timestamps: Vec<String>,
    /// Entries of its RSS table.
    pub reta: Option<usize>,
    /// Bytes of its RSS key.
    pub key_bytes: Option<usize>,
    /// Whether it hashes the ports of UDP over IPv4; none when it does not say.
    pub hashes_udp4_ports: Option<bool>,
    /// The same over IPv6.
    pub hashes_udp6_ports: Option<bool>,
}

/// Descriptors of the rings of an interface (`ethtool -g`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Rings {
    /// Of each receive ring.
    pub rx: u32,
    /// The most it can have.
    pub rx_max: u32,
    /// Of each transmit ring.
    pub tx: u32,
    /// The most it can have.
    pub tx_max: u32,
}

/// Queues of an interface (`ethtool -l`): pairs, or receive and transmit queues of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Channels {
    /// Receive queues.
    pub rx: u32,
    /// The most it can have.
    pub rx_max: u32,
    /// Whether they come in pairs with transmit queues.
    pub are_combined: bool,
}

/// An offload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Feature {
    /// In force.
    pub on: bool,
    /// Cannot be changed.
    pub fixed: bool,
}

impl Ethtool {
    /// Asks all there is to ask about an interface.
    pub fn read(interface: &str, ask: Ask<'_>) -> Self {
        let text = |option: &str| ask(&[option, interface]).unwrap_or_default();
        let (info, table) = (text("-i"), text("-x"));
        let word = |key: &str| value(&info, key).filter(|word| *word != "N/A").map(str::to_owned);
        let line = |key: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
            line.filter(|text| !text.is_empty() && *text != "N/A").map(str::to_owned)
        };
        let ports = |flow: &str| {
            let text = ask(&["-n", interface, "rx-flow-hash", flow])?;
            text.contains("IP SA").then(|| text.contains("L4 bytes 0 & 1"))
        };
        Self {
            driver: word("driver:"),
            version: line("version:"),
            firmware: line("firmware-version:"),
            rings: rings(&text("-g")),
            channels: channels(&text("-l")),
            features: features(&text("-k")),
            timestamps: timestamps(&text("-T")),
            reta: reta(&table),
            key_bytes: key_bytes(&table),
            hashes_udp4_ports: ports("udp4"),
            hashes_udp6_ports: ports("udp6"),
        }
    }

    /// Whether an offload is in force; none when the driver does not know it.
    pub fn is_on(&self, feature: &str) -> Option<bool> {
        self.features.get(feature).map(|feature| feature.on)
    }
}

/// The most and the current number of a line such as `RX:` below `-g` and `-l`.
fn limits(text: &str, key: &str) -> Option<(u32, u32)> {
    let (most, current) = text.split_once("Current hardware settings:")?;
    let number = |part: &str| {
        let line = part.lines().find_map(|line| line.trim_start().strip_prefix(key))?;
        line.trim().parse::<u32>().ok()
    };
    Some((number(most)?, number(current)?))
}

fn rings(text: &str) -> Option<Rings> {
    let (rx_max, rx) = limits(text, "RX:")?;
    let (tx_max, tx) = limits(text, "TX:")?;
    Some(Rings { rx, rx_max, tx, tx_max })
}

fn channels(text: &str) -> Option<Channels> {
    let combined = limits(text, "Combined:").filter(|(most, _)| *most > 0);
    let (rx_max, rx) = combined.or_else(|| limits(text, "RX:"))?;
    Some(Channels { rx, rx_max, are_combined: combined.is_some() })
}

fn features(text: &str) -> BTreeMap<String, Feature> {
    let feature = |line: &str| {
        let (name, state) = line.trim().split_once(": ")?;
        let on = state.starts_with("on");
        let is_one = on || state.starts_with("off");
        is_one.then(|| (name.to_owned(), Feature { on, fixed: state.contains("[fixed]") }))
    };
    text.lines().filter_map(feature).collect()
}

/// The words below `Capabilities:`.
fn timestamps(text: &str) -> Vec<String> {
    let indented = text.lines().skip_while(|line| !line.starts_with("Capabilities:")).skip(1);
    let words = indented.take_while(|line| line.starts_with(char::is_whitespace));
    words.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

fn reta(text: &str) -> Option<usize> {
    let (table, _) = text.split_once("RSS hash key:")?;
    let queues = |line: &str| {
        let (index, queues) = line.split_once(':')?;
        index.trim().parse::<u32>().ok()?;
        Some(queues.split_whitespace().count())
    };
    Some(table.lines().filter_map(queues).sum()).filter(|entries| *entries > 0)
}

fn key_bytes(text: &str) -> Option<usize> {
    let (_, rest) = text.split_once("RSS hash key:")?;
    let key = rest.trim_start().lines().next()?.trim();
    key.contains(':').then(|| key.split(':').count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rss::Reta;

    #[test]
    fn what_ethtool_prints_is_read() {
        let ask = |arguments: &[&str]| -> Option<String> {
            let text = match arguments[0] {
                "-i" => {
                    "driver: ice\nversion: 6.1.0-18-amd64\nfirmware-version: 4.20 0x8001784e 1.3346.0\n\
                     bus-info: 0000:3b:00.0\n"
                }
                "-g" => {
                    "Ring parameters for eth1:\nPre-set maximums:\nRX:\t\t8160\nRX Mini:\tn/a\nTX:\t\t8160\n\
                     Current hardware settings:\nRX:\t\t2048\nRX Mini:\tn/a\nTX:\t\t256\n"
                }
                "-l" => {
                    "Channel parameters for eth1:\nPre-set maximums:\nRX:\t\t64\nCombined:\t64\n\
                     Current hardware settings:\nRX:\t\t0\nCombined:\t16\n"
                }
                "-k" => {
                    "Features for eth1:\nrx-checksumming: on\n\ttx-checksum-ipv4: off [fixed]\n\
                     receive-hashing: on\n"
                }
                "-T" => {
                    "Time stamping parameters for eth1:\nCapabilities:\n\thardware-transmit\n\
                     \thardware-receive (SOF_TIMESTAMPING_RX_HARDWARE)\nPTP Hardware Clock: 0\n"
                }
                "-n" if arguments[3] == "udp4" => "UDP over IPV4 flows use these:\nIP SA\nIP DA\n",
                _ => return None,
            };
            Some(text.to_owned())
        };
        let seen = Ethtool::read("eth1", &ask);
        assert_eq!(seen.firmware.as_deref(), Some("4.20 0x8001784e 1.3346.0"));
        assert_eq!(seen.rings, Some(Rings { rx: 2048, rx_max: 8160, tx: 256, tx_max: 8160 }));
        assert_eq!(seen.channels, Some(Channels { rx: 16, rx_max: 64, are_combined: true }));
        assert_eq!(seen.is_on("receive-hashing"), Some(true));
        let fixed = Feature { on: false, fixed: true };
        assert_eq!(seen.features.get("tx-checksum-ipv4"), Some(&fixed));
        assert_eq!(seen.timestamps, ["hardware-transmit", "hardware-receive"]);
        assert_eq!((seen.hashes_udp4_ports, seen.hashes_udp6_ports), (Some(false), None));
        assert_eq!((seen.reta, seen.key_bytes), (None, None));
    }

    #[test]
    fn a_table_is_counted() {
        let table = Reta::in_turn(128, 4).unwrap();
        let text = format!(
            "RX flow hash indirection table for eth1 with 4 RX ring(s):\n{table}RSS hash key:\n01:02:03\n"
        );
        assert_eq!((reta(&text), key_bytes(&text)), (Some(128), Some(3)));
        let none = "RX flow hash indirection table for eth0 with 1 RX ring(s):\nOperation not supported\n\
                    RSS hash key:\nOperation not supported\n";
        assert_eq!((reta(none), key_bytes(none)), (None, None));
    }
}
