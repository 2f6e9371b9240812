//! Servers with the shape of real ones, nothing wrong with them.

/// A server, and a configuration that fits it.
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) tree: &'static str,
    pub(crate) config: &'static str,
}

/// Two sockets of four cores with two threads each; an Intel E810 on socket 0, left to vfio-pci.
pub(crate) const XEON_ICE: Shape = Shape {
    name: "Xeon with ice",
    tree: r"
        proc/self/status = CapEff: 0000000000000000\nCpus_allowed_list: 0-15
        proc/self/ns/net -> net:[4026531840]
        proc/meminfo = MemAvailable: 67108864 kB
        proc/cpuinfo = vendor_id : GenuineIntel\nflags : fpu vme
        proc/cmdline = quiet isolcpus=managed_irq,domain,2-3,10-11 nohz_full=2-3,10-11 intel_iommu=on iommu=pt
        proc/interrupts = CPU0 CPU1\n120: 5 7 IR-PCI-MSIX-0000:17:00.0 1-edge nvme0q1\nNMI: 0 0 Non-maskable
        proc/irq/120/smp_affinity_list = 0-15
        proc/irq/120/effective_affinity_list = 0
        sys/devices/system/cpu/online = 0-15
        sys/devices/system/cpu/isolated = 2-3,10-11
        sys/devices/system/cpu/cpu{0-7}/topology/thread_siblings_list = @,@+8
        sys/devices/system/cpu/cpu8/topology/thread_siblings_list = 0,8
        sys/devices/system/cpu/cpu10/topology/thread_siblings_list = 2,10
        sys/devices/system/cpu/cpu11/topology/thread_siblings_list = 3,11
        sys/devices/system/cpu/cpu{0-15}/cpufreq/scaling_governor = performance
        sys/devices/system/node/node0/cpulist = 0-3,8-11
        sys/devices/system/node/node1/cpulist = 4-7,12-15
        sys/devices/system/node/node0/distance = 10 21
        sys/devices/system/node/node1/distance = 21 10
        sys/devices/system/node/node{0-1}/meminfo = Node @ MemTotal:       98304000 kB
        sys/devices/system/node/node{0-1}/hugepages/hugepages-2048kB/nr_hugepages = 1024
        sys/devices/system/node/node{0-1}/hugepages/hugepages-2048kB/free_hugepages = 1024
        sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages = 2048
        sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages = 2048
        sys/kernel/iommu_groups/17/devices/0000:3b:00.0 = 
        sys/bus/pci/drivers/vfio-pci/new_id = 
        sys/class/net/lo/ifindex = 1
        sys/class/net/lo/flags = 0x9
        sys/bus/pci/devices/0000:3b:00.0/driver -> ../../../../bus/pci/drivers/vfio-pci
        sys/bus/pci/devices/0000:3b:00.0/iommu_group -> ../../../../kernel/iommu_groups/17
        sys/bus/pci/devices/0000:3b:00.0/numa_node = 0
        sys/bus/pci/devices/0000:3b:00.0/vendor = 0x8086
        sys/bus/pci/devices/0000:3b:00.0/device = 0x1592
        sys/bus/pci/devices/0000:3b:00.0/class = 0x020000
        sys/bus/pci/devices/0000:3b:00.0/current_link_speed = 16.0 GT/s PCIe
        sys/bus/pci/devices/0000:3b:00.0/max_link_speed = 16.0 GT/s PCIe
        sys/bus/pci/devices/0000:3b:00.0/current_link_width = 16
        sys/bus/pci/devices/0000:3b:00.0/max_link_width = 16
        lib/firmware/intel/ice/ddp/ice.pkg = package
    ",
    config: "[[ports]]\nname = \"core\"\npci = \"0000:3b:00.0\"\nqueues = 2\n\
             [lcores]\nworkers = [2, 3]\nservice = 1\nidle = \"poll\"\n[memory]\nhugepages = \"auto\"\n",
};

/// One socket without threads; a ConnectX-6 under the kernel's driver, four queues by AF_XDP.
pub(crate) const AMD_MLX5: Shape = Shape {
    name: "AMD with mlx5",
    tree: r"
        proc/self/status = Cpus_allowed_list: 0-15
        proc/self/ns/net -> net:[4026531840]
        proc/meminfo = MemAvailable: 67108864 kB
        proc/cpuinfo = vendor_id : AuthenticAMD\nflags : fpu vme
        proc/cmdline = isolcpus=managed_irq,domain,8-11 nohz_full=8-11 rcu_nocbs=8-11 iommu=pt
        proc/interrupts = CPU0 CPU1\n200: 5 7 IR-PCI-MSIX-0000:41:00.0 0-edge mlx5_async0@pci:0000:41:00.0\n201: 5 7 IR-PCI-MSIX-0000:41:00.0 1-edge mlx5_comp0@pci:0000:41:00.0
        proc/irq/{200-201}/smp_affinity_list = 0-7
        proc/irq/{200-201}/effective_affinity_list = 4
        sys/devices/system/cpu/online = 0-15
        sys/devices/system/cpu/isolated = 8-11
        sys/devices/system/cpu/cpu{0-15}/topology/thread_siblings_list = @
        sys/devices/system/cpu/cpu{0-15}/cpufreq/scaling_governor = performance
        sys/devices/system/node/node0/cpulist = 0-15
        sys/devices/system/node/node0/distance = 10
        sys/devices/system/node/node0/meminfo = Node 0 MemTotal:       98304000 kB
        sys/devices/system/node/node0/hugepages/hugepages-1048576kB/nr_hugepages = 4
        sys/devices/system/node/node0/hugepages/hugepages-1048576kB/free_hugepages = 4
        sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages = 4
        sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages = 4
        sys/kernel/iommu_groups/40/devices/0000:41:00.0 = 
        sys/devices/pci0000:40/0000:41:00.0/numa_node = 0
        sys/devices/pci0000:40/0000:41:00.0/vendor = 0x15b3
        sys/devices/pci0000:40/0000:41:00.0/device = 0x101d
        sys/devices/pci0000:40/0000:41:00.0/driver -> ../../../bus/pci/drivers/mlx5_core
        sys/devices/pci0000:40/0000:41:00.0/iommu_group -> ../../../kernel/iommu_groups/40
        sys/devices/pci0000:40/0000:41:00.0/msi_irqs/{200-201} = msix
        sys/devices/pci0000:40/0000:41:00.0/current_link_speed = 16.0 GT/s PCIe
        sys/devices/pci0000:40/0000:41:00.0/max_link_speed = 16.0 GT/s PCIe
        sys/devices/pci0000:40/0000:41:00.0/current_link_width = 16
        sys/devices/pci0000:40/0000:41:00.0/max_link_width = 16
        sys/devices/pci0000:40/0000:41:00.0/net/ens1f0np0/device -> ../..
        sys/devices/pci0000:40/0000:41:00.0/net/ens1f0np0/ifindex = 2
        sys/devices/pci0000:40/0000:41:00.0/net/ens1f0np0/mtu = 1500
        sys/devices/pci0000:40/0000:41:00.0/net/ens1f0np0/flags = 0x1003
        sys/devices/pci0000:40/0000:41:00.0/net/ens1f0np0/operstate = up
        sys/devices/pci0000:40/0000:41:00.0/net/ens1f0np0/speed = 100000
        sys/devices/pci0000:40/0000:41:00.0/net/ens1f0np0/queues/rx-{0-3}/x = 
        sys/devices/pci0000:40/0000:41:00.0/net/ens1f0np0/queues/tx-{0-3}/x = 
        sys/class/net/ens1f0np0 -> ../../devices/pci0000:40/0000:41:00.0/net/ens1f0np0
        sys/class/net/lo/ifindex = 1
        sys/class/net/lo/flags = 0x9
        sys/bus/pci/devices/0000:41:00.0 -> ../../../devices/pci0000:40/0000:41:00.0
        sos_commands/networking/ethtool_-i_ens1f0np0 = driver: mlx5_core\nversion: 6.1.0\nfirmware-version: 22.36.1010
        sos_commands/networking/ethtool_-g_ens1f0np0 = Pre-set maximums:\nRX: 8192\nTX: 8192\nCurrent hardware settings:\nRX: 8192\nTX: 1024
        sos_commands/networking/ethtool_-l_ens1f0np0 = Pre-set maximums:\nCombined: 63\nCurrent hardware settings:\nCombined: 4
        sos_commands/networking/ethtool_-k_ens1f0np0 = rx-checksumming: on\ntx-checksumming: on\nscatter-gather: on\nreceive-hashing: on\nlarge-receive-offload: off
        sos_commands/networking/ethtool_-T_ens1f0np0 = Capabilities:\n\thardware-transmit\n\thardware-receive
        sos_commands/networking/ethtool_-x_ens1f0np0 = RX flow hash indirection table for ens1f0np0 with 4 RX ring(s):\n    0:      0     1     2     3     0     1     2     3\nRSS hash key:\n6d:5a:56:da:25:5b:0e:c2:41:67:25:3d:43:a3:8f:b0:d0:ca:2b:cb:ae:7b:30:b4:77:cb:2d:a3:80:30:f2:0c:6a:42:b7:3b:be:ac:01:fa
        sos_commands/networking/ethtool_-n_ens1f0np0_rx-flow-hash_udp4 = UDP over IPV4:\nIP SA\nIP DA\nL4 bytes 0 & 1 [TCP/UDP src port]
        sos_commands/networking/ethtool_-n_ens1f0np0_rx-flow-hash_udp6 = UDP over IPV6:\nIP SA\nIP DA\nL4 bytes 0 & 1 [TCP/UDP src port]
    ",
    config: "[[ports]]\nname = \"core\"\ninterface = \"ens1f0np0\"\nqueues = 4\n\
             [lcores]\nworkers = [8, 9, 10, 11]\nservice = 1\nidle = \"poll\"\n",
};

/// A guest of Amazon's with four lcores, and nothing of an IOMMU.
pub(crate) const CLOUD_ENA: Shape = Shape {
    name: "cloud with ena",
    tree: r"
        proc/self/status = Cpus_allowed_list: 0-3
        proc/self/ns/net -> net:[4026531840]
        proc/meminfo = MemAvailable: 16777216 kB
        proc/cpuinfo = vendor_id : GenuineIntel\nflags : fpu vme hypervisor
        proc/cmdline = isolcpus=2-3 nohz_full=2-3
        proc/interrupts = CPU0 CPU1\n30: 5 7 PCI-MSIX-0000:00:05.0 1-edge ens5-Tx-Rx-0
        proc/irq/30/smp_affinity_list = 0-1
        sys/devices/system/cpu/online = 0-3
        sys/devices/system/cpu/isolated = 2-3
        sys/devices/system/node/node0/cpulist = 0-3
        sys/devices/system/node/node0/distance = 10
        sys/devices/system/node/node0/meminfo = Node 0 MemTotal:       16777216 kB
        sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages = 512
        sys/devices/system/node/node0/hugepages/hugepages-2048kB/free_hugepages = 512
        sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages = 512
        sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages = 512
        sys/bus/pci/drivers/vfio-pci/new_id = 
        sys/devices/pci0000:00/0000:00:05.0/vendor = 0x1d0f
        sys/devices/pci0000:00/0000:00:05.0/device = 0xec20
        sys/devices/pci0000:00/0000:00:05.0/driver -> ../../../bus/pci/drivers/ena
        sys/devices/pci0000:00/0000:00:05.0/msi_irqs/30 = msix
        sys/devices/pci0000:00/0000:00:05.0/net/ens5/device -> ../..
        sys/devices/pci0000:00/0000:00:05.0/net/ens5/ifindex = 2
        sys/devices/pci0000:00/0000:00:05.0/net/ens5/mtu = 1500
        sys/devices/pci0000:00/0000:00:05.0/net/ens5/flags = 0x1003
        sys/devices/pci0000:00/0000:00:05.0/net/ens5/operstate = up
        sys/devices/pci0000:00/0000:00:05.0/net/ens5/queues/rx-{0-1}/x = 
        sys/devices/pci0000:00/0000:00:05.0/net/ens5/queues/tx-{0-1}/x = 
        sys/class/net/ens5 -> ../../devices/pci0000:00/0000:00:05.0/net/ens5
        sys/bus/pci/devices/0000:00:05.0 -> ../../../devices/pci0000:00/0000:00:05.0
        sos_commands/networking/ethtool_-i_ens5 = driver: ena\nversion: 2.8.0g
        sos_commands/networking/ethtool_-g_ens5 = Pre-set maximums:\nRX: 8192\nTX: 1024\nCurrent hardware settings:\nRX: 8192\nTX: 1024
        sos_commands/networking/ethtool_-l_ens5 = Pre-set maximums:\nCombined: 2\nCurrent hardware settings:\nCombined: 2
        sos_commands/networking/ethtool_-k_ens5 = rx-checksumming: on\ntx-checksumming: on\nreceive-hashing: on
        sos_commands/networking/ethtool_-x_ens5 = RX flow hash indirection table for ens5 with 2 RX ring(s):\n    0:      0     1     0     1\nRSS hash key:\nOperation not supported
    ",
    config: "[[ports]]\nname = \"core\"\ninterface = \"ens5\"\nqueues = 2\n\
             [lcores]\nworkers = [2, 3]\nservice = 1\nidle = \"poll\"\n",
};

/// A guest of QEMU's with three lcores and a virtio NIC of one queue, whose offloads the guest may turn off.
pub(crate) const GUEST_VIRTIO: Shape = Shape {
    name: "guest with virtio",
    tree: r"
        proc/self/status = Cpus_allowed_list: 0-2
        proc/self/ns/net -> net:[4026531840]
        proc/meminfo = MemAvailable: 8388608 kB
        proc/cpuinfo = vendor_id : GenuineIntel\nflags : fpu vme hypervisor
        proc/cmdline = isolcpus=1-2 nohz_full=1-2
        proc/interrupts = CPU0 CPU1\n38: 5 7 PCI-MSIX-0000:00:03.0 1-edge virtio2-input.0
        proc/irq/38/smp_affinity_list = 0
        sys/devices/system/cpu/online = 0-2
        sys/devices/system/cpu/isolated = 1-2
        sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages = 512
        sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages = 512
        sys/devices/pci0000:00/0000:00:03.0/vendor = 0x1af4
        sys/devices/pci0000:00/0000:00:03.0/device = 0x1041
        sys/devices/pci0000:00/0000:00:03.0/driver -> ../../../bus/pci/drivers/virtio-pci
        sys/devices/pci0000:00/0000:00:03.0/msi_irqs/38 = msix
        sys/devices/pci0000:00/0000:00:03.0/virtio2/features = 0110000111000000
        sys/devices/pci0000:00/0000:00:03.0/virtio2/driver -> ../../../../bus/virtio/drivers/virtio_net
        sys/devices/pci0000:00/0000:00:03.0/virtio2/net/eth0/device -> ../..
        sys/devices/pci0000:00/0000:00:03.0/virtio2/net/eth0/ifindex = 2
        sys/devices/pci0000:00/0000:00:03.0/virtio2/net/eth0/mtu = 1500
        sys/devices/pci0000:00/0000:00:03.0/virtio2/net/eth0/flags = 0x1003
        sys/devices/pci0000:00/0000:00:03.0/virtio2/net/eth0/operstate = up
        sys/devices/pci0000:00/0000:00:03.0/virtio2/net/eth0/queues/rx-0/x = 
        sys/devices/pci0000:00/0000:00:03.0/virtio2/net/eth0/queues/tx-0/x = 
        sys/class/net/eth0 -> ../../devices/pci0000:00/0000:00:03.0/virtio2/net/eth0
        sys/bus/pci/devices/0000:00:03.0 -> ../../../devices/pci0000:00/0000:00:03.0
        sos_commands/networking/ethtool_-i_eth0 = driver: virtio_net\nversion: 1.0.0
        sos_commands/networking/ethtool_-g_eth0 = Pre-set maximums:\nRX: 256\nTX: 256\nCurrent hardware settings:\nRX: 256\nTX: 256
        sos_commands/networking/ethtool_-l_eth0 = Pre-set maximums:\nCombined: 1\nCurrent hardware settings:\nCombined: 1
        sos_commands/networking/ethtool_-k_eth0 = rx-checksumming: on [fixed]\ntx-checksumming: on\nlarge-receive-offload: off [fixed]
    ",
    config: "[[ports]]\nname = \"core\"\ninterface = \"eth0\"\nqueues = 1\n\
             [lcores]\nworkers = [1]\nservice = 0\nidle = \"poll\"\n",
};
