//! The same NIC under its kernel driver, virtio_net, with AF_XDP.

use crate::appliance::{Appliance, configuration};
use crate::guest::QUEUES;
use std::path::PathBuf;

/// In the order in which they must be loaded.
const MODULES: [&str; 3] =
    ["net/core/failover", "drivers/net/net_failover", "drivers/net/virtio_net"];
/// The name that the kernel gives it.
const INTERFACE: &str = "eth0";

impl Appliance {
    /// Gives the NIC to the kernel and starts again on AF_XDP, with the RSS that the driver has chosen.
    pub(crate) fn start_on_kernel_driver(&mut self) {
        self.stop();
        let folder = std::env::var_os("TRUNKLINE_GUEST_KERNEL").expect("make test-nic");
        let modules = PathBuf::from(folder).join("lib/modules");
        for module in MODULES {
            let path = format!("{}/*/kernel/{module}.ko", modules.display());
            self.guest.run(&format!("busybox insmod {path}"));
        }
        let pci = self.pci.clone();
        for command in [
            "ip link delete sip0".into(),
            format!("echo {pci} > /sys/bus/pci/drivers/vfio-pci/unbind"),
            format!("echo > /sys/bus/pci/devices/{pci}/driver_override"),
            format!("echo {pci} > /sys/bus/pci/drivers_probe"),
            format!("ip link set {INTERFACE} up"),
            format!("ethtool -L {INTERFACE} combined {QUEUES}"),
            format!("ip address add 10.78.0.1/24 dev {INTERFACE}"),
        ] {
            self.guest.run(&command);
        }
        self.run("kernel.toml", &configuration(&format!("interface = \"{INTERFACE}\"\n")));
    }

    /// Key and table as ethtool has them.
    pub(crate) fn ethtool(&mut self) -> String {
        self.guest.run(&format!("ethtool -x {INTERFACE}"))
    }
}
