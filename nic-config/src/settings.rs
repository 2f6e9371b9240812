//! The hardware part of the configuration file: `[[ports]]`, `[lcores]` and `[memory]`.
//!
//! Here only what can be judged without looking at the machine is checked; [`crate::plan()`] does the
//! rest.

use serde::{Deserialize, Deserializer};

use crate::limits;
use crate::rss::rebalance::Rebalance;
use crate::rss::{Reta, RssKey};

/// The tables of the configuration file that concern the NIC. Other tables are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct NicSettings {
    /// `[[ports]]`: one to [`limits::PORTS_MAX`].
    #[serde(default)]
    pub ports: Vec<PortSettings>,
    /// `[lcores]`.
    #[serde(default)]
    pub lcores: LcoreSettings,
    /// `[memory]`.
    #[serde(default)]
    pub memory: MemorySettings,
}

impl NicSettings {
    /// Reads `[[ports]]`, `[lcores]` and `[memory]` from the text of a configuration file. Unknown
    /// keys within them are refused; other tables are not looked at.
    ///
    /// # Errors
    ///
    /// Syntax errors, unknown keys and values out of range, with their line.
    pub fn from_toml(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }
}

/// One `[[ports]]` table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "PortTable")]
pub struct PortSettings {
    /// `name`: how metrics and messages call the port. Unique, 1 to 32 of `A-Z a-z 0-9 _ . -`.
    pub name: String,
    /// Exactly one of `interface`, `pci`, `vdev`.
    pub device: Device,
    /// `queues`: queue pairs, default 1; must equal the number of `lcores.workers`.
    pub queues: u16,
    /// `verify_checksums`: verify IPv4 and UDP checksums of received packets, default true. Switch
    /// it off on veth, where the sender leaves them partial.
    pub verify_checksums: bool,
    /// `checksum_offload`: let the NIC compute the UDP checksums of what we send, where its driver
    /// can, default true; else, and where it cannot, software does.
    pub checksum_offload: bool,
    /// `rx_descriptors` per queue: power of two, 64 to 4096, default 1024 (AF_XDP 2048).
    pub rx_descriptors: u16,
    /// `tx_descriptors` per queue: power of two, 64 to 4096, default 1024 (AF_XDP 2048).
    pub tx_descriptors: u16,
    /// `mtu` in bytes, 1280 to 9000 (AF_XDP 3438), default: the interface's own, else 1500.
    pub mtu: Option<u16>,
    /// `rss_key`: the key of the hash that spreads packets over the queues, default: the driver's.
    pub rss_key: Option<RssKey>,
    /// `rss_reta`: queue of each entry of the redirection table, default: queues in turn; of `interface`
    /// ports, the driver's.
    pub rss_reta: Option<Reta>,
    /// `rss_rebalance`: entries of the table move while the queues are uneven, default: they do not.
    pub rss_rebalance: Option<Rebalance>,
    /// `kernel_interface`: where the kernel keeps addresses, routes and neighbours of a `pci` or `vdev` port.
    pub kernel_interface: Option<String>,
}

/// What drives a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Device {
    /// `interface = "eth1"`: a kernel interface through AF_XDP; the kernel keeps what is not SIP.
    Interface(String),
    /// `pci = "0000:3b:00.0"`: a PCI device bound to a DPDK driver such as vfio-pci.
    Pci(String),
    /// `vdev = "net_pcap0,rx_pcap=f.pcap,infinite_rx=1"`: any other DPDK device with its arguments.
    Vdev(String),
}

impl Device {
    /// The key and the value as they stand in the configuration file.
    pub fn setting(&self) -> (&'static str, &str) {
        match self {
            Self::Interface(name) => ("interface", name),
            Self::Pci(address) => ("pci", address),
            Self::Vdev(arguments) => ("vdev", arguments),
        }
    }
}

/// The `[lcores]` table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LcoreSettings {
    /// `workers`: the poll-mode lcores in ascending order, default `[1]`. The i-th polls queue i of
    /// every port.
    pub workers: Vec<u16>,
    /// `service`: the lcore that speaks with control, not poll-mode, default 0. May be a worker too.
    pub service: u16,
    /// `idle`: what a worker does after an empty poll, default `"poll"`.
    pub idle: Idle,
    /// `spill`: whether a worker whose queue does not run empty gives stateless work to siblings that have time,
    /// default true.
    pub spill: bool,
}

impl Default for LcoreSettings {
    fn default() -> Self {
        Self { workers: vec![1], service: 0, idle: Idle::Poll, spill: true }
    }
}

/// What a worker does after an empty poll.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Idle {
    /// Polls again at once: lowest latency, the lcore is always busy.
    #[default]
    Poll,
    /// Lets another thread of the same lcore run first.
    Yield,
    /// Sleeps for a short while: for laptops and shared machines.
    Sleep,
}

/// The `[memory]` table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MemorySettings {
    /// `hugepages`: default `"auto"`.
    pub hugepages: HugepagePolicy,
    /// `mbufs` of each pool (one pool per NUMA socket), default: by formula ([`crate::mempool`]).
    pub mbufs: Option<u32>,
    /// `megabytes`: the plan is refused when DPDK would need more (MiB), default: no limit.
    pub megabytes: Option<u32>,
    /// `transactions` that a worker can have at one time, default 65,536; 0 to
    /// [`limits::TRANSACTIONS_MAX`].
    #[serde(deserialize_with = "transactions")]
    pub transactions: u32,
    /// `message_buffers`: blocks of 256 bytes that a worker keeps messages of its transactions in,
    /// default 4 for each transaction; 0 to [`limits::MESSAGE_BUFFERS_MAX`].
    #[serde(deserialize_with = "message_buffers")]
    pub message_buffers: Option<u32>,
    /// `aors`: addresses-of-record that a worker can have bindings of at one time, default 65,536; 0 to
    /// [`limits::AORS_MAX`].
    #[serde(deserialize_with = "aors")]
    pub aors: u32,
    /// `bindings` of all its addresses-of-record, default 5 for 4 of these; 0 to
    /// [`limits::BINDINGS_MAX`].
    #[serde(deserialize_with = "bindings")]
    pub bindings: Option<u32>,
    /// `location_text_blocks`: blocks of 64 bytes for the texts of bindings, default 4 for each; 0 to
    /// [`limits::LOCATION_TEXT_BLOCKS_MAX`].
    #[serde(deserialize_with = "location_text_blocks")]
    pub location_text_blocks: Option<u32>,
}

impl Default for MemorySettings {
    fn default() -> Self {
        Self {
            hugepages: HugepagePolicy::Auto,
            mbufs: None,
            megabytes: None,
            transactions: 65_536,
            message_buffers: None,
            aors: 65_536,
            bindings: None,
            location_text_blocks: None,
        }
    }
}

fn transactions<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    at_most(limits::TRANSACTIONS_MAX, i64::deserialize(from)?)
}

fn message_buffers<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    at_most(limits::MESSAGE_BUFFERS_MAX, i64::deserialize(from)?).map(Some)
}

fn aors<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    at_most(limits::AORS_MAX, i64::deserialize(from)?)
}

fn bindings<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    at_most(limits::BINDINGS_MAX, i64::deserialize(from)?).map(Some)
}

fn location_text_blocks<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    at_most(limits::LOCATION_TEXT_BLOCKS_MAX, i64::deserialize(from)?).map(Some)
}

fn at_most<E: serde::de::Error>(most: u32, number: i64) -> Result<u32, E> {
    let fits = u32::try_from(number).ok().filter(|number| *number <= most);
    fits.ok_or_else(|| E::custom(format!("{number} for each worker: write 0 to {most}")))
}

/// Whether DPDK's memory comes from hugepages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HugepagePolicy {
    /// Use them when enough are free, else run without.
    #[default]
    Auto,
    /// Refuse to start without them.
    Require,
    /// Leave them alone.
    Never,
}

/// A `[[ports]]` table as it is written, before its device is known.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PortTable {
    name: String,
    interface: Option<String>,
    pci: Option<String>,
    vdev: Option<String>,
    queues: Option<u16>,
    verify_checksums: Option<bool>,
    checksum_offload: Option<bool>,
    rx_descriptors: Option<u16>,
    tx_descriptors: Option<u16>,
    mtu: Option<u16>,
    rss_key: Option<String>,
    rss_reta: Option<Vec<u16>>,
    rss_rebalance: Option<Rebalance>,
    kernel_interface: Option<String>,
}

impl TryFrom<PortTable> for PortSettings {
    type Error = String;

    fn try_from(table: PortTable) -> Result<Self, String> {
        let name = table.name;
        let device = match (table.interface, table.pci, table.vdev) {
            (Some(interface), None, None) => Device::Interface(interface),
            (None, Some(pci), None) => Device::Pci(pci),
            (None, None, Some(vdev)) => Device::Vdev(vdev),
            _ => return Err(format!("port {name:?}: set exactly one of interface, pci, vdev")),
        };
        check_name(&name)?;
        check_device(&name, &device)?;
        let of_port = |error| format!("port {name:?}: {error}");
        let rss_key = table.rss_key.map(|text| text.parse()).transpose().map_err(of_port)?;
        let rss_reta = table.rss_reta.map(Reta::new).transpose().map_err(of_port)?;
        if let Some(kernel) = &table.kernel_interface {
            check_kernel_interface(&name, &device, kernel)?;
        }
        let descriptors = if matches!(device, Device::Interface(_)) { 2048 } else { 1024 };
        let settings = Self {
            queues: table.queues.unwrap_or(1),
            verify_checksums: table.verify_checksums.unwrap_or(true),
            checksum_offload: table.checksum_offload.unwrap_or(true),
            rx_descriptors: table.rx_descriptors.unwrap_or(descriptors),
            tx_descriptors: table.tx_descriptors.unwrap_or(descriptors),
            mtu: table.mtu,
            rss_key,
            rss_reta,
            rss_rebalance: table.rss_rebalance,
            kernel_interface: table.kernel_interface,
            name,
            device,
        };
        check_descriptors(&settings.name, "rx_descriptors", settings.rx_descriptors)?;
        check_descriptors(&settings.name, "tx_descriptors", settings.tx_descriptors)?;
        Ok(settings)
    }
}

/// `control_api::status::KERNEL_PORT`.
const KERNEL: &str = "kernel";

fn check_name(name: &str) -> Result<(), String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    if name.is_empty() || name.len() > limits::PORT_NAME_MAX || !name.bytes().all(allowed) {
        return Err(format!(
            "port name {name:?}: use 1 to {} letters, digits or any of _ . -",
            limits::PORT_NAME_MAX
        ));
    }
    if name == KERNEL {
        return Err(format!("port name {name:?}: counters call the kernel's sockets that"));
    }
    Ok(())
}

/// Device texts become one EAL argument each, in which commas separate keys.
fn check_device(port: &str, device: &Device) -> Result<(), String> {
    let (key, value) = device.setting();
    let printable = !value.is_empty() && value.bytes().all(|b| b.is_ascii_graphic());
    let (well_formed, wanted) = match device {
        Device::Interface(_) => (
            value.len() <= limits::INTERFACE_NAME_MAX && !value.contains([',', '/', '=']),
            "the name of a kernel interface",
        ),
        Device::Pci(_) => (is_pci_address(value), "an address such as 0000:3b:00.0"),
        Device::Vdev(_) => (value.starts_with("net_"), "a DPDK device such as net_pcap0,iface=lo"),
    };
    if printable && well_formed {
        return Ok(());
    }
    Err(format!("port {port:?}: {key} = {value:?}: write {wanted}"))
}

/// An AF_XDP port has its kernel side already.
fn check_kernel_interface(port: &str, device: &Device, kernel: &str) -> Result<(), String> {
    if matches!(device, Device::Interface(_)) {
        return Err(format!(
            "port {port:?}: kernel_interface = {kernel:?}: an interface port is its own; leave it out"
        ));
    }
    check_device(port, &Device::Interface(kernel.to_owned()))
        .map_err(|error| error.replace(": interface =", ": kernel_interface ="))
}

/// `DDDD:BB:DD.F`, hexadecimal.
pub(crate) fn is_pci_address(text: &str) -> bool {
    const SHAPE: &[u8] = b"0000:00:00.0";
    text.len() == SHAPE.len()
        && text.bytes().zip(SHAPE).all(|(byte, shape)| match shape {
            b'0' => byte.is_ascii_hexdigit(),
            separator => byte == *separator,
        })
}

/// AF_XDP rings and nearly all drivers want powers of two.
fn check_descriptors(port: &str, key: &str, value: u16) -> Result<(), String> {
    let range = limits::DESCRIPTORS_MIN..=limits::DESCRIPTORS_MAX;
    if value.is_power_of_two() && range.contains(&value) {
        return Ok(());
    }
    let (min, max) = range.into_inner();
    Err(format!("port {port:?}: {key} = {value}: write a power of two from {min} to {max}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_depend_on_the_device() {
        let settings = NicSettings::from_toml(
            r#"
            [registrar]
            unknown_here = true
            [[ports]]
            name = "core"
            interface = "eth1"
            [[ports]]
            name = "edge"
            pci = "0000:3b:00.0"
            queues = 2
            verify_checksums = false
            checksum_offload = false
            mtu = 9000
            rss_rebalance = { above = 1.5 }
            "#,
        )
        .unwrap();
        let core = &settings.ports[0];
        assert_eq!(core.device, Device::Interface("eth1".into()));
        assert_eq!((core.queues, core.verify_checksums, core.mtu), (1, true, None));
        assert!(core.checksum_offload && !settings.ports[1].checksum_offload);
        assert_eq!((core.rx_descriptors, core.tx_descriptors), (2048, 2048));
        let edge = &settings.ports[1];
        assert_eq!((edge.queues, edge.verify_checksums, edge.mtu), (2, false, Some(9000)));
        assert_eq!((edge.rx_descriptors, edge.tx_descriptors), (1024, 1024));
        let asked = Rebalance { above_permille: 1_500, ..Rebalance::default() };
        assert_eq!((core.rss_rebalance, edge.rss_rebalance), (None, Some(asked)));
        assert_eq!(settings.lcores, LcoreSettings::default());
        assert_eq!(settings.memory.hugepages, HugepagePolicy::Auto);
    }

    #[test]
    fn lcores_and_memory_are_read() {
        let settings = NicSettings::from_toml(
            "[lcores]\nworkers = [2, 3]\nservice = 1\nidle = \"sleep\"\nspill = false\n\
             [memory]\nhugepages = \"never\"\nmbufs = 8191\nmegabytes = 256\n",
        )
        .unwrap();
        assert_eq!(settings.lcores.workers, [2, 3]);
        assert_eq!((settings.lcores.service, settings.lcores.idle), (1, Idle::Sleep));
        assert!(!settings.lcores.spill && LcoreSettings::default().spill);
        assert_eq!(settings.memory.hugepages, HugepagePolicy::Never);
        assert_eq!((settings.memory.transactions, settings.memory.message_buffers), (65_536, None));
        assert_eq!((settings.memory.mbufs, settings.memory.megabytes), (Some(8191), Some(256)));
    }

    #[test]
    fn each_refusal_names_the_setting() {
        let cases = [
            ("name = \"a\"", "exactly one of interface, pci, vdev"),
            ("name = \"a\"\ninterface = \"x\"\npci = \"0000:00:01.0\"", "exactly one of"),
            ("name = \"kernel\"\ninterface = \"x\"", "port name \"kernel\""),
            ("name = \"a b\"\ninterface = \"x\"", "port name \"a b\""),
            (
                "name = \"a\"\ninterface = \"eth0,queue_count=9\"",
                "interface = \"eth0,queue_count=9\"",
            ),
            ("name = \"a\"\npci = \"3b:00.0\"", "pci = \"3b:00.0\""),
            ("name = \"a\"\nvdev = \"tap0\"", "vdev = \"tap0\""),
            ("name = \"a\"\nvdev = \"net_pcap0,iface=lo --no-huge\"", "vdev = "),
            ("name = \"a\"\ninterface = \"x\"\nrx_descriptors = 1000", "rx_descriptors = 1000"),
            ("name = \"a\"\ninterface = \"x\"\ntx_descriptors = 32", "tx_descriptors = 32"),
            ("name = \"a\"\ninterface = \"x\"\nqueue = 2", "unknown field `queue`"),
            (
                "name = \"a\"\ninterface = \"x\"\nrss_key = \"6d:5a\"",
                "port \"a\": the RSS key has 2",
            ),
            ("name = \"a\"\ninterface = \"x\"\nrss_reta = [0, 1]", "the table has 2 entries"),
            (
                "name = \"a\"\ninterface = \"x\"\nrss_rebalance = { above = 1.0 }",
                "above = 1: write 1.05 to 16",
            ),
            (
                "name = \"a\"\ninterface = \"x\"\nrss_rebalance = { for_seconds = 4 }",
                "for_seconds = 4: write 5 to 3600",
            ),
            (
                "name = \"a\"\ninterface = \"x\"\nrss_rebalance = { entries = 65 }",
                "entries = 65: write 1 to 64",
            ),
            ("name = \"a\"\ninterface = \"x\"\nrss_rebalance = { messages = 0 }", "1 or more"),
            (
                "name = \"a\"\ninterface = \"x\"\nrss_rebalance = { abov = 2 }",
                "unknown field `abov`",
            ),
            ("name = \"a\"\ninterface = \"x\"\nkernel_interface = \"y\"", "is its own"),
            (
                "name = \"a\"\nvdev = \"net_null0\"\nkernel_interface = \"/\"",
                "kernel_interface = \"/\"",
            ),
        ];
        for (table, wanted) in cases {
            let error = NicSettings::from_toml(&format!("[[ports]]\n{table}\n")).unwrap_err();
            assert!(error.to_string().contains(wanted), "{table}: {error}");
        }
    }

    #[test]
    fn transactions_and_bindings_have_bounds() {
        let memory = |text: &str| NicSettings::from_toml(&format!("[memory]\n{text}\n"));
        let most = memory("transactions = 16777215\nmessage_buffers = 134217728").unwrap().memory;
        assert_eq!((most.transactions, most.message_buffers), ((1 << 24) - 1, Some(1 << 27)));
        assert_eq!(memory("transactions = 0").unwrap().memory.transactions, 0);
        let most = memory("aors = 16777215\nbindings = 33554431\nlocation_text_blocks = 134217728");
        let most = most.unwrap().memory;
        assert_eq!((most.aors, most.bindings), ((1 << 24) - 1, Some((1 << 25) - 1)));
        assert_eq!(most.location_text_blocks, Some(1 << 27));
        for text in [
            "transactions = 16777216",
            "transactions = -1",
            "message_buffers = 134217729",
            "aors = 16777216",
            "bindings = 33554432",
            "location_text_blocks = 134217729",
        ] {
            let error = memory(text).unwrap_err().to_string();
            assert!(error.contains("for each worker: write 0 to"), "{text}: {error}");
        }
    }

    #[test]
    fn unknown_keys_are_refused_in_every_table() {
        for text in ["[lcores]\nworker = [1]\n", "[memory]\nhugepage = \"auto\"\n"] {
            assert!(
                NicSettings::from_toml(text).unwrap_err().to_string().contains("unknown field")
            );
        }
    }
}
