//! The appliance in the guest.

use crate::guest::{Guest, MAC, QUEUES};
use crate::network::PEER_MAC;
use nic_config::rss::{Function, Reta, RssKey, Spread};
use serde_json::Value;
use std::fmt::Display;
use std::time::Duration;

/// How long it may take to start: 10 s where nothing else runs.
const START_MAX: Duration = Duration::from_secs(90);

/// What every command needs.
const SOCKETS: &str = "--socket /run/trunkline/api.sock";

/// A guest in which it runs.
pub(crate) struct Appliance {
    pub(crate) guest: Guest,
    folder: String,
    /// Address of the NIC on the PCI bus.
    pub(crate) pci: String,
}

impl Appliance {
    /// Starts data plane and control on the NIC, with this key and table in the configuration.
    pub(crate) fn start(mut guest: Guest, key: &RssKey, reta: &Reta) -> Self {
        let folder = std::env::var("TRUNKLINE_BIN_DIR").expect("TRUNKLINE_BIN_DIR: make test-nic");
        let pci = guest.run(
            "cd /sys/bus/pci/devices; for nic in *; do [ $(cat $nic/device) = 0x1041 ] && echo $nic; done; cd /",
        );
        for command in [
            format!("echo {pci} > /sys/bus/pci/devices/{pci}/driver/unbind"),
            format!("echo vfio-pci > /sys/bus/pci/devices/{pci}/driver_override"),
            format!("echo {pci} > /sys/bus/pci/drivers_probe"),
            "ip link add sip0 type dummy".into(),
            format!("ip link set sip0 address {MAC} arp on up"),
            "ip address add 10.78.0.1/24 dev sip0".into(),
            format!("ip neighbour replace 10.78.0.2 lladdr {PEER_MAC} dev sip0 nud permanent"),
            format!("ip neighbour replace 10.78.0.3 lladdr {PEER_MAC} dev sip0 nud permanent"),
        ] {
            guest.run(&command);
        }
        let port = format!(
            "pci = \"{pci}\"\nkernel_interface = \"sip0\"\nrss_key = \"{key}\"\nrss_reta = {:?}\n",
            reta.entries()
        );
        let mut appliance = Self { guest, folder, pci };
        appliance.run("vfio.toml", &configuration(&port));
        appliance
    }

    /// Starts it again with one queue for all, and live rebalance as quick as it can be.
    pub(crate) fn start_with_rebalance(&mut self) {
        self.stop();
        let port = format!(
            "pci = \"{}\"\nkernel_interface = \"sip0\"\nrss_reta = {:?}\n\
             rss_rebalance = {{ for_seconds = 5, messages = 1 }}\n",
            self.pci, [0; 128]
        );
        self.run("rebalance.toml", &configuration(&port));
    }

    /// Starts it with this configuration, in a file of a new name, and waits until it has an epoch.
    pub(crate) fn run(&mut self, name: &str, configuration: &str) {
        let file = self.guest.file(name, configuration);
        let file = file.display();
        let check = self.try_trunkline(format_args!("check {file}"));
        assert_eq!(check.1, 0, "{}", check.0);
        let run = format!(
            "{}/trunkline run --config {file} --log-directory /run/log > /run/supervisor.log 2>&1 &",
            self.folder
        );
        self.guest.run(&format!("rm -rf /run/log; mkdir -p /run/log; {run} echo $! > /run/pid"));
        let ready = format!(
            "{}/trunkline rss show --port nic {SOCKETS} || {{ tail -n 5 /run/supervisor.log /run/log/*; false; }}",
            self.folder
        );
        self.guest.wait_for(&ready, START_MAX);
        self.guest.wait_for("grep -q 'epoch in force' /run/log/dataplane.log", START_MAX);
    }

    /// Ends it, and waits until it has.
    pub(crate) fn stop(&mut self) {
        self.guest.run("kill $(cat /run/pid)");
        self.guest.wait_for("! kill -0 $(cat /run/pid)", START_MAX);
    }

    /// A command of `trunkline` with what it said and its exit status.
    pub(crate) fn try_trunkline(&mut self, arguments: impl Display) -> (String, u8) {
        self.guest.try_run(&format!("{}/trunkline {arguments}", self.folder))
    }

    /// A command of `trunkline rss`.
    pub(crate) fn try_rss(&mut self, arguments: impl Display) -> (String, u8) {
        self.try_trunkline(format_args!("rss {arguments} {SOCKETS}"))
    }

    /// One that succeeds, and gives JSON.
    pub(crate) fn rss(&mut self, arguments: impl Display) -> Value {
        let (said, status) = self.try_rss(format_args!("{arguments} --json"));
        assert_eq!(status, 0, "{said}");
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
    }

    /// What the port shows, as the software computes with it.
    pub(crate) fn spread(&mut self) -> Spread {
        let shown = self.rss("show --port nic");
        let key = shown["key"].as_str().expect("a key").parse().expect("a key");
        // The kernel does not tell them: virtio_net hashes whatever it can.
        let fields = shown["fields"].as_str().unwrap_or("ipv4,ipv6,ipv4-udp,ipv6-udp");
        let fields = fields.parse().expect("fields");
        let reta = serde_json::from_value(shown["reta"].clone()).expect("a table");
        Spread::new(Function::Toeplitz, fields, &key, Reta::new(reta).expect("a table"))
    }

    /// What live rebalance has done.
    pub(crate) fn rebalances(&mut self) -> Value {
        self.status()["rebalances"][0].take()
    }

    fn status(&mut self) -> Value {
        let (said, status) =
            self.try_trunkline("status --json --socket /run/trunkline/dataplane.sock");
        assert_eq!(status, 0, "{said}");
        serde_json::from_str(&said).expect("JSON")
    }

    /// Frames that each queue has received.
    pub(crate) fn received(&mut self) -> Vec<u64> {
        let report = self.status();
        let queues = report["queues"].as_array().expect("queues");
        let of_queue = |queue: u16| {
            let is_it = |entry: &&Value| entry["port"] == "nic" && entry["queue"] == queue;
            queues.iter().find(is_it).and_then(|entry| entry["received"].as_u64()).expect("a count")
        };
        (0..QUEUES).map(of_queue).collect()
    }
}

/// The configuration with these lines for its port.
pub(crate) fn configuration(port: &str) -> String {
    let workers: Vec<_> = (1..=QUEUES).collect();
    format!(
        "[appliance]\nname = \"nic\"\ndomains = [\"nic.test\"]\n\
         run_directory = \"/run/trunkline\"\nstate_directory = \"/run/trunkline/state\"\n\
         [lcores]\nworkers = {workers:?}\nservice = 0\nidle = \"sleep\"\n\
         [memory]\nhugepages = \"require\"\ntransactions = 1024\naors = 256\n\
         [[ports]]\nname = \"nic\"\nqueues = {QUEUES}\nverify_checksums = false\n{port}\
         [[listen]]\naddress = \"10.78.0.1:5060\"\n\
         [[destination_sets]]\nname = \"uas\"\nprobe = false\nmembers = [{{ address = \"10.78.0.3:5060\" }}]\n\
         [[routes]]\nforward = \"uas\"\n"
    )
}
