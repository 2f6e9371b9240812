//! Counts packets per queue of one port for as long as the configuration says, and drops them.
//!
//! ```text
//! cargo run --example count -- FILE DEVICE [MTU DATA_ROOM]
//! ```
//!
//! FILE is capsule's configuration (TOML); DEVICE one of its devices, such as `net_af_xdp0`. MTU
//! and the bytes of an mbuf's buffer become the device's profile.

use std::future::Future;
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll};

use anyhow::{Context as _, Result};
use capsule::Runtime;
use capsule::batch::Pipeline;
use capsule_ffi::{PortProfile, QueuePair};

/// Bursts between two looks at capsule's executor, which serves its signals and timers.
const ROUNDS: u32 = 1_000;

struct Count {
    queue: QueuePair,
    packets: usize,
}

impl Pipeline for Count {
    fn name(&self) -> &'static str {
        "count"
    }

    fn run_once(&mut self) {
        let mut slots = [None; 32];
        let count = self.queue.rx_burst(&mut slots);
        self.packets += count;
        let mut mbufs: Vec<NonNull<_>> = slots[..count].iter().copied().flatten().collect();
        // SAFETY: received just now.
        unsafe { capsule_ffi::free_bulk(&mut mbufs) };
    }
}

impl Future for Count {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let before = self.packets;
        for _ in 0..ROUNDS {
            self.run_once();
        }
        if self.packets != before {
            println!("queue {}: {} packets", self.queue.queue(), self.packets);
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (file, device) = arguments.next().zip(arguments.next()).context("usage: FILE DEVICE")?;
    let config: capsule::config::RuntimeConfig = toml::from_str(&std::fs::read_to_string(file)?)?;
    let name = config.ports.iter().find(|port| port.device == device);
    let name = name.context("no port of the configuration has this device")?.name.clone();
    if let Some((mtu, data_room)) = arguments.next().zip(arguments.next()) {
        let (device, mtu) = (device.clone(), Some(mtu.parse()?));
        capsule_ffi::set_port_profile(PortProfile { device, mtu, ..PortProfile::default() });
        capsule_ffi::set_data_room(data_room.parse()?);
    }
    println!("channels completed: {}", capsule_ffi::channels_completed());

    let mut runtime = Runtime::build(config)?;
    let port = capsule_ffi::port_by_name(&device).context("no such port")?;
    println!("{:?}\n{:?}", capsule_ffi::port_info(port), capsule_ffi::port_grant(port));
    let next = std::sync::atomic::AtomicU16::new(0);
    runtime
        .add_pipeline_to_port(&name, move |_| {
            capsule_ffi::thread_register().expect("EAL has an lcore id left");
            let queue = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            // SAFETY: each core of the port takes another queue, and nothing else polls them.
            Count { queue: unsafe { QueuePair::new(port, queue) }, packets: 0 }
        })?
        .execute()?;
    println!("{:?}", capsule_ffi::port_stats(port));
    println!("mbufs in use: {:?}", capsule_ffi::mempool_in_use("mempool0"));
    Ok(())
}
