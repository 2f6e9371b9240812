//! The plan as capsule's runtime configuration.
//!
//! capsule builds its `RuntimeConfig` through serde only, so the plan becomes TOML text, of which
//! capsule makes EAL's arguments.

use std::path::Path;

use serde::Serialize;

use crate::plan::{NicPlan, PortPlan};
use crate::settings::Device;

/// capsule's runtime configuration for this plan, as TOML 0.5 text.
///
/// `xdp_object` is the file that [`crate::xdp::write_object`] wrote; only AF_XDP ports use it.
///
/// # Panics
///
/// Never: a plan is strings, numbers and tables, which all have a form in TOML.
pub fn runtime_config(plan: &NicPlan, xdp_object: &Path) -> String {
    let workers: Vec<_> = plan.workers.iter().map(|worker| worker.lcore).collect();
    let config = RuntimeConfig {
        app_name: "trunkline-dataplane",
        app_group: &plan.file_prefix,
        master_core: plan.service,
        dpdk_args: eal_args(plan).join(" "),
        mempool: Mempool {
            capacity: plan.memory.pool.mbufs,
            cache_size: plan.memory.pool.cache_size,
        },
        ports: plan.ports.iter().map(|port| Port::of(port, &workers, xdp_object)).collect(),
    };
    toml::to_string(&config).expect("strings, numbers and tables always serialise")
}

/// EAL arguments beside those that capsule makes itself (lcores, devices, file prefix).
pub fn eal_args(plan: &NicPlan) -> Vec<String> {
    let mut args: Vec<String> = vec!["--no-telemetry".into(), "--log-level=error".into()];
    if !plan.ports.iter().any(|port| matches!(port.device, Device::Pci(_))) {
        // Leave the machine's other NICs alone. With virtual addresses a pool is one piece of
        // memory, which AF_XDP asks for.
        args.extend(["--no-pci".into(), "--iova-mode=va".into()]);
    }
    if plan.memory.hugepages {
        // No mount needed, no file left behind by a crash.
        args.push("--in-memory".into());
    } else {
        args.extend(["--no-huge".into(), "-m".into(), plan.memory.mebibytes.to_string()]);
    }
    args
}

/// The keys of capsule 0.1.5's configuration that a plan sets.
#[derive(Serialize)]
struct RuntimeConfig<'a> {
    app_name: &'a str,
    app_group: &'a str,
    master_core: u16,
    dpdk_args: String,
    mempool: Mempool,
    ports: Vec<Port<'a>>,
}

#[derive(Serialize)]
struct Mempool {
    capacity: u32,
    cache_size: u32,
}

#[derive(Serialize)]
struct Port<'a> {
    name: &'a str,
    device: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    args: Option<String>,
    cores: &'a [u16],
    rxd: u16,
    txd: u16,
    promiscuous: bool,
    multicast: bool,
}

impl<'a> Port<'a> {
    fn of(port: &'a PortPlan, workers: &'a [u16], xdp_object: &Path) -> Self {
        Self {
            name: &port.name,
            device: &port.eal_device,
            args: device_args(port, xdp_object),
            cores: workers,
            rxd: port.rx_descriptors,
            txd: port.tx_descriptors,
            promiscuous: false,
            // Neighbour discovery is the kernel's and needs no help from the port; a NIC without
            // a kernel beside it must let its solicited-node groups in.
            multicast: matches!(port.device, Device::Pci(_)),
        }
    }
}

fn device_args(port: &PortPlan, xdp_object: &Path) -> Option<String> {
    match &port.device {
        // busy_budget=0: an empty poll makes no system call.
        Device::Interface(interface) => Some(format!(
            "iface={interface},start_queue=0,queue_count={},busy_budget=0,xdp_prog={}",
            port.queues,
            xdp_object.display(),
        )),
        Device::Pci(_) => None,
        Device::Vdev(arguments) => arguments.split_once(',').map(|(_, rest)| rest.to_owned()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::machine::{Capabilities, Hugepages, Interface, Machine, PciDevice};
    use crate::settings::NicSettings;

    pub(crate) fn machine() -> Machine {
        let interface = Interface {
            index: 7,
            mtu: 1500,
            up: true,
            rx_queues: 2,
            tx_queues: 2,
            ..Interface::default()
        };
        let nic = PciDevice { driver: Some("vfio-pci".into()), numa: None };
        Machine {
            lcores: (0..4).map(|lcore| (lcore, None)).collect(),
            interfaces: [("eth1".into(), interface)].into(),
            pci: [("0000:3b:00.0".into(), nic)].into(),
            memory_available: 4096,
            capabilities: Capabilities::ALL,
            namespace: 42,
            ..Machine::default()
        }
    }

    fn config(text: &str, machine: &Machine) -> toml::Table {
        let plan = crate::plan(&NicSettings::from_toml(text).unwrap(), machine).unwrap();
        runtime_config(&plan, Path::new("/run/t/sip.o")).parse().unwrap()
    }

    pub(crate) const AF_XDP: &str = "[[ports]]\nname = \"core\"\ninterface = \"eth1\"\nqueues = 2\n\
                          [lcores]\nworkers = [1, 3]\n";

    #[test]
    fn an_af_xdp_port_without_hugepages() {
        let config = config(AF_XDP, &machine());
        assert_eq!(config["app_group"].as_str(), Some("trunkline-42-7"));
        assert_eq!(config["master_core"].as_integer(), Some(0));
        assert_eq!(
            config["dpdk_args"].as_str(),
            Some("--no-telemetry --log-level=error --no-pci --iova-mode=va --no-huge -m 192")
        );
        assert_eq!(config["mempool"]["capacity"].as_integer(), Some(32767));
        assert_eq!(config["mempool"]["cache_size"].as_integer(), Some(512));
        let port = &config["ports"][0];
        assert_eq!(port["device"].as_str(), Some("net_af_xdp0"));
        assert_eq!(
            port["args"].as_str(),
            Some("iface=eth1,start_queue=0,queue_count=2,busy_budget=0,xdp_prog=/run/t/sip.o")
        );
        assert_eq!(port["cores"], toml::Value::from(vec![1, 3]));
        assert_eq!(port["rxd"].as_integer(), Some(2048));
        assert_eq!(port["promiscuous"].as_bool(), Some(false));
    }

    #[test]
    fn hugepages_leave_no_files() {
        let mut machine = machine();
        machine.hugepages = vec![Hugepages { size_kib: 2048, free: 512 }];
        let args = config(AF_XDP, &machine)["dpdk_args"].to_string();
        assert!(args.contains("--in-memory") && !args.contains("--no-huge"), "{args}");
    }

    #[test]
    fn a_pci_port_and_a_virtual_one() {
        let text = "[[ports]]\nname = \"nic\"\npci = \"0000:3b:00.0\"\n\
                    [[ports]]\nname = \"file\"\nvdev = \"net_pcap0,rx_pcap=f.pcap,infinite_rx=1\"\n";
        let config = config(text, &machine());
        assert_eq!(config["ports"][0]["device"].as_str(), Some("0000:3b:00.0"));
        assert!(config["ports"][0].get("args").is_none());
        assert_eq!(config["ports"][1]["device"].as_str(), Some("net_pcap0"));
        assert_eq!(config["ports"][1]["args"].as_str(), Some("rx_pcap=f.pcap,infinite_rx=1"));
        assert!(!config["dpdk_args"].to_string().contains("--no-pci"));
        assert_eq!(config["app_group"].as_str(), Some("trunkline-0000.3b.00.0"));
    }
}
