//! A guest without hardware virtualisation: a Debian kernel, a file system in memory of one program and a few modules,
//! the host's own files read-only beneath it, and a shell on a virtual serial line.

use crate::network::Network;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Queue pairs of the NIC, each with a worker of its own. Emulated processors are slow: no more than it takes.
pub(crate) const QUEUES: u16 = 2;
/// Descriptors of a receive ring: the most that QEMU has, and the default of `rx_descriptors`.
pub(crate) const RING: usize = 1024;
/// MAC address of the NIC.
pub(crate) const MAC: &str = "02:00:00:00:77:01";

/// In the order in which they must be loaded.
const MODULES: [&str; 18] = [
    "drivers/virtio/virtio_ring",
    "drivers/virtio/virtio",
    "drivers/virtio/virtio_pci_modern_dev",
    "drivers/virtio/virtio_pci_legacy_dev",
    "drivers/virtio/virtio_pci",
    "drivers/char/virtio_console",
    "net/9p/9pnet",
    "net/9p/9pnet_virtio",
    "fs/netfs/netfs",
    "fs/fscache/fscache",
    "fs/9p/9p",
    "virt/lib/irqbypass",
    "drivers/vfio/vfio_virqfd",
    "drivers/vfio/vfio",
    "drivers/vfio/vfio_iommu_type1",
    "drivers/vfio/pci/vfio-pci-core",
    "drivers/vfio/pci/vfio-pci",
    "drivers/net/dummy",
];

/// Reads a line, runs it, and gives what it said, a line with byte 1 and its exit status.
const SHELL: &str = r#"for port in /sys/class/virtio-ports/*; do exec 3<>/dev/${port##*/}; done
printf '\001up\n' >&3
while IFS= read -r line <&3; do said=$(eval "$line" 2>&1 3>&-); status=$?; printf '%s\n\001%d\n' "$said" $status >&3; done"#;

/// The guest's first program.
const INIT: &str = "#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
for module in MODULES; do insmod /lib/$module || echo \"$module is not loaded\"; done
mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=262144,cache=loose host /host || poweroff -f
for folder in proc sys dev; do mount --bind /$folder /host/$folder; done
mount -t tmpfs run /host/run; ip link set lo up
cp /shell /host/run/shell
env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot /host /bin/bash /run/shell
poweroff -f
";

/// How long the guest takes to come up: 8 s where nothing else runs.
const BOOT_MAX: Duration = Duration::from_secs(90);

/// The running guest; its end is that of QEMU.
pub(crate) struct Guest {
    qemu: Child,
    line: BufReader<UnixStream>,
    folder: tempfile::TempDir,
}

impl Guest {
    /// Boots it, its NIC on the network's tap interface.
    pub(crate) fn boot(network: &Network) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let kernel = kernel();
        let initrd = initrd(&kernel, folder.path());
        let socket = folder.path().join("line.sock");
        let image = only(&kernel.join("boot"), "vmlinuz-");
        let log = File::create(folder.path().join("console.log")).expect("a log");
        let mut command = network.command("qemu-system-x86_64");
        command.args(arguments(&image, &initrd, &socket, network.tap()));
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log);
        let qemu = command.spawn().expect("QEMU starts");
        let line = BufReader::new(connect(&socket));
        let mut guest = Self { qemu, line, folder };
        assert_eq!(guest.answer().1, "up", "{}", guest.console());
        guest
    }

    /// Runs a line of shell as root; gives what it said when it succeeded.
    pub(crate) fn run(&mut self, command: &str) -> String {
        let (said, status) = self.try_run(command);
        assert_eq!(status, 0, "{command}: {said}\n{}", self.console());
        said
    }

    /// The same, which may fail: with its exit status.
    pub(crate) fn try_run(&mut self, command: &str) -> (String, u8) {
        assert!(!command.contains('\n'), "one line");
        let line = self.line.get_mut();
        line.write_all(format!("{command}\n").as_bytes()).expect("the guest listens");
        let (said, status) = self.answer();
        (said, status.parse().expect("an exit status"))
    }

    /// Waits until a command succeeds, and gives what it said.
    pub(crate) fn wait_for(&mut self, command: &str, patience: Duration) -> String {
        let start = Instant::now();
        loop {
            let (said, status) = self.try_run(command);
            if status == 0 {
                return said;
            }
            let console = self.console();
            assert!(start.elapsed() < patience, "{command}: {said}\n{console}");
            sleep(Duration::from_millis(300));
        }
    }

    /// A file that the guest can read under the same path.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).expect("a file");
        path
    }

    fn answer(&mut self) -> (String, String) {
        let mut said = String::new();
        let mut line = String::new();
        loop {
            line.clear();
            let read = self.line.read_line(&mut line);
            assert!(read.is_ok_and(|bytes| bytes > 0), "no answer\n{}", self.console());
            if let Some(status) = line.strip_prefix('\u{1}') {
                return (said.trim_end().to_owned(), status.trim_end().to_owned());
            }
            said.push_str(&line);
        }
    }

    /// The end of what kernel and QEMU said.
    pub(crate) fn console(&self) -> String {
        let text = fs::read(self.folder.path().join("console.log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

/// The folder where the kernel's package was unpacked.
fn kernel() -> PathBuf {
    let folder = std::env::var_os("TRUNKLINE_GUEST_KERNEL");
    folder.expect("TRUNKLINE_GUEST_KERNEL names an unpacked kernel package: make test-nic").into()
}

/// The one entry of a folder whose name begins so.
fn only(folder: &Path, beginning: &str) -> PathBuf {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let is_it = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with(beginning);
    let found = entries.flatten().find(|entry| is_it(&entry.file_name()));
    found.unwrap_or_else(|| panic!("{beginning} in {}", folder.display())).path()
}

/// QEMU's options. The device is translated by the IOMMU, as a NIC of a server; rings of [`RING`] descriptors that never
/// run empty keep clear of a stall of QEMU's (docs/decisions/0028).
fn arguments(image: &Path, initrd: &Path, socket: &Path, tap: &str) -> Vec<String> {
    let (lcores, vectors) = (QUEUES + 1, 2 * QUEUES + 2);
    let (image, initrd, socket) = (image.display(), initrd.display(), socket.display());
    let text = format!(
        "-machine q35,kernel-irqchip=split -accel tcg,thread=multi -cpu max -smp {lcores} -m 1800 -nodefaults \
         -device intel-iommu,device-iotlb=on,intremap=on \
         -netdev tap,id=net,ifname={tap},script=no,downscript=no,queues={QUEUES},vhost=off \
         -device virtio-net-pci,netdev=net,mac={MAC},mq=on,vectors={vectors},rss=on,ctrl_vlan=off,\
         iommu_platform=on,ats=on,disable-legacy=on,rx_queue_size={RING},romfile= \
         -virtfs local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap \
         -device virtio-serial-pci -chardev socket,id=line,path={socket},server=on,wait=off \
         -device virtserialport,chardev=line -display none -serial stdio -no-reboot \
         -kernel {image} -initrd {initrd}"
    );
    let kernel =
        "console=ttyS0 quiet intel_iommu=on iommu=pt no_timer_check panic=-1 hugepages=150";
    text.split_whitespace().map(String::from).chain(["-append".into(), kernel.into()]).collect()
}

fn connect(socket: &Path) -> UnixStream {
    let start = Instant::now();
    loop {
        match UnixStream::connect(socket) {
            Ok(stream) => {
                stream.set_read_timeout(Some(BOOT_MAX)).expect("a time limit");
                return stream;
            }
            Err(error) => assert!(start.elapsed() < BOOT_MAX, "QEMU did not start: {error}"),
        }
        sleep(Duration::from_millis(50));
    }
}

/// Everything that the guest has of its own, in a folder of that name and as an archive: busybox, the modules, the shell,
/// and the first program.
fn initrd(kernel: &Path, folder: &Path) -> PathBuf {
    let root = folder.join("root");
    for name in ["bin", "lib", "proc", "sys", "dev", "host"] {
        fs::create_dir_all(root.join(name)).expect("a folder");
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).expect("Debian's package busybox-static");
    let modules = only(&kernel.join("lib/modules"), "").join("kernel");
    let names = MODULES.map(|module| module.rsplit('/').next().unwrap_or(module));
    for (module, name) in MODULES.iter().zip(names) {
        let copied =
            fs::copy(modules.join(module).with_extension("ko"), root.join("lib").join(name));
        copied.unwrap_or_else(|error| panic!("{module}: {error}"));
    }
    fs::write(root.join("shell"), SHELL).expect("a file");
    fs::write(root.join("init"), INIT.replace("MODULES", &names.join(" "))).expect("a file");
    let pack = "chmod +x init && find . | busybox cpio --quiet -o -H newc > ../initrd";
    let status = Command::new("sh").args(["-ec", pack]).current_dir(&root).status();
    assert!(status.is_ok_and(|status| status.success()), "{pack}");
    folder.join("initrd")
}
