//! What is put wrong on each server, and what must be found.

use Level::{Advice, Fault, Warning};
use nic_config::doctor::Level;

/// A change of the tree, or of the configuration, and what must be found: level, area, words of what was seen, words of
/// the command.
pub(crate) type Planted =
    (&'static str, &'static [(&'static str, &'static str)], Level, [&'static str; 3]);

/// What may be wrong with a PCI port and its cores.
pub(crate) const ON_XEON: &[Planted] = &[
    (
        "sys/devices/system/node/node0/hugepages/hugepages-2048kB/free_hugepages = 10",
        &[],
        Warning,
        ["hugepages", "node 0: 20 MiB free", "echo "],
    ),
    (
        "sys/devices/system/node/node0/hugepages/hugepages-2048kB/free_hugepages = 10",
        &[("hugepages = \"auto\"", "hugepages = \"require\"")],
        Fault,
        [
            "hugepages",
            "node 0: 20 MiB free (10 of 1024",
            "node0/hugepages/hugepages-2048kB/nr_hugepages",
        ],
    ),
    ("", &[("\"auto\"", "\"never\"")], Advice, ["hugepages", "never", "auto"]),
    ("sys/kernel/iommu_groups !", &[], Fault, ["iommu", "no IOMMU groups", "intel_iommu=on"]),
    ("sys/bus/pci/drivers/vfio-pci !", &[], Fault, ["iommu", "not loaded", "modprobe vfio-pci"]),
    (
        "sys/kernel/iommu_groups !\nsys/module/vfio/parameters/enable_unsafe_noiommu_mode = Y",
        &[],
        Warning,
        ["iommu", "does without", "intel_iommu=on"],
    ),
    (
        "sys/kernel/iommu_groups/17/devices/0000:3b:00.1 = \n\
                 sys/bus/pci/devices/0000:3b:00.1/class = 0x020000\n\
                 sys/bus/pci/devices/0000:3b:00.1/driver -> ../../drivers/ice",
        &[],
        Fault,
        ["iommu", "shares IOMMU group 17 with 0000:3b:00.1 (ice)", "0000:3b:00.1"],
    ),
    (
        "proc/cmdline = isolcpus=managed_irq,domain,2-3,10-11 nohz_full=2-3,10-11 intel_iommu=on",
        &[],
        Advice,
        ["iommu", "no iommu=pt", "iommu=pt"],
    ),
    (
        "sys/bus/pci/devices/0000:3b:00.0/driver -> ../../../../bus/pci/drivers/ice",
        &[],
        Fault,
        ["plan", "is bound to ice", "dpdk-devbind.py --bind=vfio-pci 0000:3b:00.0"],
    ),
    (
        "lib/firmware/intel/ice/ddp/ice.pkg !",
        &[],
        Fault,
        ["driver", "no DDP package", "linux-firmware"],
    ),
    (
        "sys/bus/pci/devices/0000:3b:00.0/current_link_width = 8",
        &[],
        Warning,
        ["link", "PCIe 16.0 GT/s PCIe x8 of 16.0 GT/s PCIe x16", "slot"],
    ),
    (
        "sys/bus/pci/devices/0000:3b:00.0/numa_node = 1",
        &[],
        Warning,
        ["numa", "on node 1, workers 2-3 are not, distance 21", "from 4-7,12-15"],
    ),
    (
        "sys/bus/pci/devices/0000:3b:00.0/numa_node = -1",
        &[],
        Advice,
        ["numa", "does not say", "BIOS"],
    ),
    (
        "sys/devices/system/node/node0/meminfo = Node 0 MemTotal: 0 kB",
        &[],
        Warning,
        ["numa", "node 0 has no memory", "fit memory"],
    ),
    (
        "sys/devices/system/cpu/isolated = 2,10",
        &[],
        Warning,
        ["cores", "lcores 3 are not isolated", "isolcpus=managed_irq,domain,2-3"],
    ),
    (
        "proc/cmdline = isolcpus=2-3,10-11 rcu_nocbs=2-3 iommu=pt",
        &[],
        Advice,
        ["cores", "2-3 are not in nohz_full", "nohz_full=2-3"],
    ),
    (
        "proc/cmdline = isolcpus=2-3,10-11 iommu=pt",
        &[],
        Advice,
        ["cores", "not in rcu_nocbs", "rcu_nocbs=2-3"],
    ),
    (
        "sys/devices/system/cpu/cpu3/cpufreq/scaling_governor = schedutil",
        &[],
        Warning,
        ["cores", "lcores 3 have the governor schedutil", "cpupower -c 3"],
    ),
    (
        "",
        &[("workers = [2, 3]", "workers = [2, 10]")],
        Warning,
        ["cores", "2,10 are hyper-threads of one core", "lscpu"],
    ),
    (
        "sys/devices/system/cpu/isolated = 2-3",
        &[],
        Advice,
        ["cores", "in use: 10-11", "echo 0 > /sys/devices/system/cpu/cpu10/online"],
    ),
    (
        "",
        &[("service = 1", "service = 2")],
        Warning,
        ["cores", "lcores.service = 2 is also a worker", "idle = \"yield\""],
    ),
    (
        "",
        &[("workers = [2, 3]", "workers = [0, 2]")],
        Advice,
        ["cores", "lcore 0 is a worker", "other"],
    ),
    (
        "proc/irq/120/effective_affinity_list = 3",
        &[],
        Advice,
        ["interrupts", "on workers: 120 (nvme0q1)", "smp_affinity_list"],
    ),
    ("", &[("0000:3b:00.0", "0000:5e:00.0")], Fault, ["plan", "no such device", "dpdk-devbind.py"]),
    ("", &[("workers = [2, 3]", "workers = [2, 99]")], Fault, ["plan", "lcore 99", ""]),
];

/// What may be wrong with ports that the kernel drives.
pub(crate) const ON_AMD: &[Planted] = &[
    (
        "sos_commands/networking/ethtool_-l_ens1f0np0 = Channel parameters:\\nPre-set maximums:\\nCombined: 63\\n\
                 Current hardware settings:\\nCombined: 63",
        &[],
        Warning,
        [
            "queues",
            "63 receive queues of 63, port \"core\" has 4",
            "ethtool -L ens1f0np0 combined 4",
        ],
    ),
    (
        "sos_commands/networking/ethtool_-l_ens1f0np0 = Channel parameters:\\nPre-set maximums:\\nCombined: 63\\n\
                 Current hardware settings:\\nCombined: 2",
        &[],
        Fault,
        [
            "queues",
            "2 receive queues of 63, port \"core\" has 4",
            "ethtool -L ens1f0np0 combined 4",
        ],
    ),
    (
        "sos_commands/networking/ethtool_-g_ens1f0np0 = Ring parameters:\\nPre-set maximums:\\nRX: 8192\\nTX: 8192\\n\
                 Current hardware settings:\\nRX: 512\\nTX: 1024",
        &[],
        Advice,
        ["queues", "rings of 512 rx (at most 8192)", "ethtool -G ens1f0np0 rx 2048"],
    ),
    (
        "sos_commands/networking/ethtool_-n_ens1f0np0_rx-flow-hash_udp4 = UDP over IPV4:\\nIP SA\\nIP DA",
        &[],
        Warning,
        ["rss", "hashes addresses only for udp4", "ethtool -N ens1f0np0 rx-flow-hash udp4 sdfn"],
    ),
    (
        "sos_commands/networking/ethtool_-x_ens1f0np0 !",
        &[],
        Advice,
        ["rss", "shows no RSS table", "trunkline status"],
    ),
    (
        "sos_commands/networking/ethtool_-k_ens1f0np0 = rx-checksumming: on\\nlarge-receive-offload: on",
        &[],
        Warning,
        ["offloads", "large-receive-offload is on", "ethtool -K ens1f0np0 lro off"],
    ),
    (
        "proc/irq/201/effective_affinity_list = 9",
        &[],
        Warning,
        ["interrupts", "1 of them on workers", "for irq in 201; do echo 0-7,12-15 > "],
    ),
    (
        "sys/class/net/ens1f0np0/operstate = down",
        &[],
        Fault,
        ["link", "ens1f0np0 is down", "ethtool -m ens1f0np0"],
    ),
    (
        "sys/class/net/ens1f0np0/flags = 0x1002\nsys/class/net/ens1f0np0/operstate = down",
        &[],
        Fault,
        ["link", "ens1f0np0 is down", "ip link set dev ens1f0np0 up"],
    ),
    (
        "sys/class/net/ens1f0np0/mtu = 9000",
        &[],
        Fault,
        ["plan", "mtu = 9000", "ip link set dev ens1f0np0 mtu 3438"],
    ),
    (
        "sys/bus/pci/devices/0000:41:00.0/current_link_speed = 8.0 GT/s PCIe",
        &[],
        Warning,
        ["link", "PCIe 8.0 GT/s PCIe x16", "BIOS"],
    ),
    (
        "sys/bus/pci/devices/0000:41:00.0/device = 0xffff\n\
                 sys/bus/pci/devices/0000:41:00.0/driver -> ../../../bus/pci/drivers/other",
        &[],
        Advice,
        ["driver", "driver other", "trunkline-bench search"],
    ),
    (
        "sys/kernel/mm/hugepages !\nsys/devices/system/node/node0/hugepages !",
        &[],
        Warning,
        ["hugepages", "none reserved", "nr_hugepages"],
    ),
];

/// What guests of a cloud lack.
pub(crate) const ON_ENA: &[Planted] = &[
    (
        "",
        &[("interface = \"ens5\"", "pci = \"0000:00:05.0\"")],
        Fault,
        ["iommu", "no IOMMU groups", "enable_unsafe_noiommu_mode=1"],
    ),
    (
        "sys/devices/system/cpu/isolated = ",
        &[("idle = \"poll\"", "idle = \"sleep\"")],
        Advice,
        ["cores", "lcores 2-3 are not isolated", "isolcpus="],
    ),
];

/// What virtual interfaces do.
pub(crate) const ON_VIRTIO: &[Planted] = &[
    (
        "sys/devices/pci0000:00/0000:00:03.0/virtio2/features = 0100000111000000",
        &[],
        Warning,
        ["offloads", "lets nobody turn that off", "guest_csum=off"],
    ),
    (
        "",
        &[
            ("interface = \"eth0\"\nqueues = 1", "interface = \"eth0\"\nqueues = 2"),
            ("[1]", "[1, 2]"),
        ],
        Fault,
        ["queues", "1 receive queues of 1, port \"core\" has 2", "queues = 1"],
    ),
    (
        "sys/class/net/veth0/ifindex = 9\nsys/class/net/veth0/mtu = 1500\nsys/class/net/veth0/flags = 0x1003\n\
                 sys/class/net/veth0/operstate = up\nsys/class/net/veth0/queues/rx-0/x = \n\
                 sys/class/net/veth0/queues/tx-0/x = \nsos_commands/networking/ethtool_-i_veth0 = driver: veth",
        &[("interface = \"eth0\"", "interface = \"veth0\"")],
        Fault,
        ["offloads", "veth0 is veth", "verify_checksums = false"],
    ),
];
