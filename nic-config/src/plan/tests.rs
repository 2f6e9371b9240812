use super::*;
use crate::machine::{Capabilities, Hugepages, PciDevice};

fn machine() -> Machine {
    let interface = |index, up| Interface {
        index,
        mtu: 1500,
        mac: "02:00:00:00:00:01".into(),
        up,
        driver: None,
        rx_queues: 2,
        tx_queues: 2,
        numa: None,
    };
    let nic = |driver: &str| PciDevice { driver: Some(driver.into()), numa: Some(1) };
    Machine {
        lcores: (0..4).map(|lcore| (lcore, Some(u16::from(lcore >= 2)))).collect(),
        interfaces: [
            ("eth1", interface(7, true)),
            ("eth2", interface(8, true)),
            ("eth3", interface(9, false)),
        ]
        .map(|(name, interface)| (name.to_owned(), interface))
        .into(),
        pci: [("0000:3b:00.0", nic("vfio-pci")), ("0000:3b:00.1", nic("ice"))]
            .map(|(address, device)| (address.to_owned(), device))
            .into(),
        hugepages: vec![],
        memory_available: 4096,
        capabilities: Capabilities::ALL,
        namespace: 42,
        pid: 99,
    }
}

fn settings(text: &str) -> NicSettings {
    NicSettings::from_toml(text).unwrap()
}

const ONE: &str = "[[ports]]\nname = \"core\"\ninterface = \"eth1\"\n";

fn refusal(text: &str) -> String {
    let line = plan(&settings(text), &machine()).unwrap_err().to_string();
    assert!(!line.contains('\n'));
    line
}

#[test]
fn two_ports_and_two_workers() {
    let text = "[[ports]]\nname = \"core\"\ninterface = \"eth1\"\nqueues = 2\n\
                [[ports]]\nname = \"edge\"\ninterface = \"eth2\"\nqueues = 2\n\
                verify_checksums = false\n[lcores]\nworkers = [0, 1]\nservice = 0\nidle = \"yield\"\n";
    let plan = plan(&settings(text), &machine()).unwrap();
    let devices: Vec<_> = plan.ports.iter().map(|port| port.eal_device.as_str()).collect();
    assert_eq!(devices, ["net_af_xdp0", "net_af_xdp1"]);
    assert_eq!(plan.ports[0].rss, Rss::Interface);
    assert_eq!((plan.ports[0].mtu, plan.ports[1].verify_checksums), (1500, false));
    assert_eq!(plan.workers[1], WorkerPlan { lcore: 1, queue: 1, numa: Some(0) });
    assert_eq!(plan.file_prefix, "trunkline-42-7");
    assert_eq!((plan.memory.pool.mbufs, plan.memory.pools), (65535, 1));
    assert!(!plan.memory.hugepages);
    assert_eq!(plan.warnings, [""; 0]);
}

#[test]
fn refusals_about_ports() {
    assert_eq!(refusal("[lcores]\n"), "[[ports]]: 0 given; write 1 to 8 of them");
    assert_eq!(
        refusal(&ONE.replace("eth1", "eth9")),
        "port \"core\": interface = \"eth9\": no such interface; set one of eth1, eth2, eth3"
    );
    assert_eq!(
        refusal(&ONE.replace("eth1", "eth3")),
        "port \"core\": interface = \"eth3\" is down; run: ip link set dev eth3 up"
    );
    assert!(refusal(&ONE.repeat(2)).contains("\"core\": the name is given twice"));
    let twice = format!("{ONE}{}", ONE.replace("core", "edge"));
    assert!(refusal(&twice).contains("interface = \"eth1\" already belongs to port \"core\""));
    let pci = |address| format!("[[ports]]\nname = \"nic\"\npci = \"{address}\"\n");
    assert!(refusal(&pci("0000:00:00.0")).contains("no such device"));
    assert!(refusal(&pci("0000:3b:00.1")).contains("bound to ice; run: dpdk-devbind.py"));
}

#[test]
fn refusals_about_queues() {
    assert!(
        refusal(&format!("{ONE}queues = 2\n")).contains("queues = 2, but lcores.workers has 1")
    );
    let three = format!("{ONE}queues = 3\n[lcores]\nworkers = [1, 2, 3]\n");
    assert!(refusal(&three).contains("eth1 has 2 receive and 2 transmit queues"));
}

#[test]
fn refusals_about_lcores() {
    let lcores = |table: &str| refusal(&format!("{ONE}[lcores]\n{table}\n"));
    assert!(lcores("workers = []").contains("lcores.workers is empty"));
    assert!(lcores("workers = [1, 1]").contains("names lcore 1 twice"));
    assert!(lcores("workers = [2, 1]").contains("write [1, 2]"));
    assert!(lcores("workers = [9]").contains("lcores.workers: lcore 9 is not there"));
    assert!(lcores("service = 9").contains("use some of 0, 1, 2, 3"));
    assert!(lcores("service = 128").contains("above 127"));
}

#[test]
fn refusals_about_mtu() {
    let mtu = |mtu: u16| format!("{ONE}mtu = {mtu}\n");
    assert!(plan(&settings(&mtu(limits::AF_XDP_MTU_MAX)), &machine()).is_ok());
    let line = refusal(&mtu(limits::AF_XDP_MTU_MAX + 1));
    assert!(line.contains("set mtu = 3438 or less"), "{line}");
    assert!(refusal(&mtu(1279)).contains("write 1280 to 9000"));
    let mut jumbo = machine();
    jumbo.interfaces.get_mut("eth1").unwrap().mtu = 9000;
    let line = plan(&settings(ONE), &jumbo).unwrap_err().to_string();
    assert!(line.contains("ip link set dev eth1 mtu 3438"), "{line}");
    let shared = format!("{ONE}[[ports]]\nname = \"nic\"\npci = \"0000:3b:00.0\"\nmtu = 9000\n");
    assert!(refusal(&shared).contains("port \"nic\": mtu = 9000 makes mbufs too large"));
}

#[test]
fn refusals_about_privilege() {
    let mut user = machine();
    user.capabilities = Capabilities(1 << 12);
    let line = plan(&settings(ONE), &user).unwrap_err().to_string();
    assert!(line.contains("interface = \"eth1\" needs CAP_NET_RAW, CAP_SYS_ADMIN, CAP_IPC_LOCK"));
    let pcap = "[[ports]]\nname = \"p\"\nvdev = \"net_pcap0,rx_pcap=f.pcap\"\n";
    let plan = plan(&settings(pcap), &user).unwrap();
    assert_eq!(plan.ports[0].eal_device, "net_pcap0");
    assert_eq!(plan.file_prefix, "trunkline-pid-99");
}

#[test]
fn refusals_about_memory() {
    let memory = |table: &str| refusal(&format!("{ONE}[memory]\n{table}\n"));
    assert!(
        memory("mbufs = 100").contains("memory.mbufs = 100: these ports and queues need 13120")
    );
    assert!(memory("megabytes = 64").contains("memory.megabytes = 64: the plan needs 128"));
    assert!(memory("hugepages = \"require\"").contains("101 MiB needed, 0 MiB of hugepages free"));
    let mut small = machine();
    small.memory_available = 200;
    let line = plan(&settings(ONE), &small).unwrap_err().to_string();
    let expected = "memory: 271 MiB needed, 89 of them for transactions, 54 for bindings and credentials, \
                    200 MiB available";
    assert!(line.starts_with(expected), "{line}");
    let none = format!("{ONE}[memory]\ntransactions = 0\n");
    assert!(plan(&settings(&none), &small).is_ok());
    let line = memory("transactions = 1000\nmessage_buffers = 999");
    assert!(line.starts_with("memory.message_buffers = 999: 1000 transactions need"), "{line}");
    let line = memory("aors = 1000\nbindings = 999");
    assert!(line.starts_with("memory.bindings = 999: 1000 addresses-of-record need"), "{line}");
    let line = memory("aors = 1000\nlocation_text_blocks = 1249");
    assert!(line.starts_with("memory.location_text_blocks = 1249: 1250 bindings need"), "{line}");
}

#[test]
fn hugepages_are_used_when_enough_are_free() {
    let mut large = machine();
    let pages = |free| vec![Hugepages { size_kib: 2048, free }];
    large.hugepages = pages(51);
    assert!(plan(&settings(ONE), &large).unwrap().memory.hugepages);
    large.hugepages = pages(50);
    let memory = plan(&settings(ONE), &large).unwrap().memory;
    assert!(!memory.hugepages && memory.reason.contains("only 100 MiB"), "{}", memory.reason);
    large.hugepages = pages(500);
    let never = format!("{ONE}[memory]\nhugepages = \"never\"\n");
    assert!(!plan(&settings(&never), &large).unwrap().memory.hugepages);
}

#[test]
fn warnings_do_not_refuse() {
    let text =
        "[[ports]]\nname = \"nic\"\npci = \"0000:3B:00.0\"\n[lcores]\nworkers = [1]\nservice = 1\n";
    let plan = plan(&settings(text), &machine()).unwrap();
    assert_eq!(plan.ports[0].eal_device, "0000:3b:00.0");
    assert_eq!(plan.warnings.len(), 2);
    assert!(plan.warnings[0].contains("port \"nic\" sits on NUMA socket 1, worker lcore 1"));
    assert!(plan.warnings[1].contains("lcores.service = 1 is also a worker"));
}

#[test]
fn queues_nobody_polls_are_warned_of() {
    let plan = plan(&settings(ONE), &machine()).unwrap();
    assert_eq!(plan.warnings.len(), 1);
    assert!(plan.warnings[0].contains("eth1 has 2 receive queues and 1 polled"));
}

#[test]
fn the_report_shows_ports_lcores_and_memory() {
    let text = plan(&settings(ONE), &machine()).unwrap().to_string();
    assert!(text.contains("port 0: core = interface eth1 (AF_XDP, virtual, 02:00:00:00:00:01)"));
    assert!(text.contains("lcore 1 (NUMA socket 0): polls queue 0 of core\n"), "{text}");
    assert!(text.contains("memory: 128 MiB of ordinary pages (no hugepages are free)"), "{text}");
    let transactions = "transactions: 65536 per worker, 262144 blocks of 256 bytes for their messages: \
                        89 MiB per worker\n";
    assert!(text.contains(transactions), "{text}");
    let location = "location: 65536 addresses-of-record per worker, 81920 bindings, 327680 blocks of 64 \
                    bytes for their texts: 40 MiB per worker\n";
    assert!(text.contains(location), "{text}");
    let credentials = "credentials: 98304 nonces per worker, 16384 sources and as many users that have failed: \
                       6 MiB; answers that wait for the store: 8 MiB; 14 MiB per worker, and 80 bytes at most for \
                       each user, once for all workers\n";
    assert!(text.contains(credentials), "{text}");
}
