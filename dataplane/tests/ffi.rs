//! capsule-ffi under capsule's runtime, on a virtual device without hugepages: bursts through
//! [`QueuePair`], and every mbuf back in its pool at the end. One test, because EAL starts once in
//! a process.

use std::future::Future;
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use capsule::Runtime;
use capsule::batch::Pipeline;
use capsule::config::RuntimeConfig;
use capsule_ffi::{Pool, PortProfile, QueuePair};

const CONFIG: &str = r#"
    app_name = "capsule-ffi-test"
    master_core = 0
    duration = 1
    dpdk_args = "--no-huge -m 256 --no-pci --log-level=error"

    [mempool]
    capacity = 4095
    cache_size = 256

    [[ports]]
    name = "null"
    device = "net_null0"
    args = "size=300"
    cores = [0]
"#;

const BURSTS: usize = 5_000;
const BURST: usize = 32;
const DATA_ROOM: u16 = 2_432;

/// Counts of what the pipeline saw, read by the test when the runtime has ended.
#[derive(Default)]
struct Seen {
    received: AtomicUsize,
    sent: AtomicUsize,
    freed: AtomicUsize,
}

/// Receives bursts, sends the even ones, frees the odd ones, and ends after [`BURSTS`].
struct Bounce {
    queue: QueuePair,
    pool: Pool,
    bursts: usize,
    seen: Arc<Seen>,
}

impl Pipeline for Bounce {
    fn name(&self) -> &'static str {
        "bounce"
    }

    fn run_once(&mut self) {
        let mut slots = [None; BURST];
        let count = self.queue.rx_burst(&mut slots);
        self.seen.received.fetch_add(count, Ordering::Relaxed);
        let mut mbufs: Vec<NonNull<_>> = slots[..count].iter().copied().flatten().collect();
        assert_eq!(mbufs.len(), count);
        for mbuf in &mbufs {
            // SAFETY: received and not yet given away.
            let mbuf = unsafe { mbuf.as_ref() };
            assert_eq!((mbuf.data_len, mbuf.pkt_len, mbuf.nb_segs), (300, 300, 1));
            assert_eq!((mbuf.data_off, mbuf.buf_len), (128, DATA_ROOM));
        }
        if self.bursts.is_multiple_of(2) {
            // SAFETY: received just now, given up here.
            let sent = unsafe { self.queue.tx_burst(&mut mbufs) };
            self.seen.sent.fetch_add(sent, Ordering::Relaxed);
            mbufs.drain(..sent);
        }
        self.seen.freed.fetch_add(mbufs.len(), Ordering::Relaxed);
        // SAFETY: received just now and not sent.
        unsafe { capsule_ffi::free_bulk(&mut mbufs) };
        let fresh = self.pool.alloc().expect("the pool has room");
        // SAFETY: allocated just now.
        unsafe { capsule_ffi::free(fresh) };
        self.bursts += 1;
    }
}

impl Future for Bounce {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        for _ in 0..1_000 {
            self.run_once();
            if self.bursts == BURSTS {
                capsule_ffi::thread_unregister();
                return Poll::Ready(());
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

#[test]
fn bursts_leave_no_mbuf_behind() {
    assert!(capsule_ffi::channels_completed(), "ioctl is exported to the drivers");
    capsule_ffi::set_data_room(DATA_ROOM);
    capsule_ffi::set_port_profile(PortProfile {
        device: "net_null0".to_owned(),
        tx_checksum_offload: true,
        ..PortProfile::default()
    });
    let config: RuntimeConfig = toml::from_str(CONFIG).expect("the configuration is valid");
    let mut runtime = Runtime::build(config).expect("EAL and the port start");

    let port = capsule_ffi::port_by_name("net_null0").expect("the port exists");
    let info = capsule_ffi::port_info(port).expect("the port exists");
    assert_eq!(info.driver, "net_null");
    assert!(capsule_ffi::port_mac(port).is_some());
    assert_eq!(capsule_ffi::port_by_name("net_null7"), None);
    let grant = capsule_ffi::port_grant(port).expect("the port is configured");
    assert_eq!((grant.rss_hf, grant.mtu), (0, 1_500));
    assert_eq!(grant.tx_offloads & !info.tx_offloads, 0);
    assert_eq!(capsule_ffi::mempool_in_use("mempool9"), None);
    let before = capsule_ffi::mempool_in_use("mempool0").expect("capsule's first pool");

    let seen = Arc::new(Seen::default());
    let shared = Arc::clone(&seen);
    runtime
        .add_pipeline_to_core(0, move |_| {
            capsule_ffi::thread_register().expect("already the main lcore");
            Bounce {
                // SAFETY: the port has one queue pair, and only this pipeline uses it.
                queue: unsafe { QueuePair::new(port, 0) },
                // SAFETY: the pipeline ends before the runtime is dropped.
                pool: unsafe { Pool::local() }.expect("a pool on this socket"),
                bursts: 0,
                seen: Arc::clone(&shared),
            }
        })
        .expect("core 0 runs the port")
        .execute()
        .expect("the runtime ends after its duration");

    let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    assert_eq!(count(&seen.received), BURSTS * BURST);
    assert_eq!(count(&seen.sent), BURSTS / 2 * BURST);
    assert_eq!(count(&seen.freed), BURSTS / 2 * BURST);
    assert_eq!(capsule_ffi::mempool_in_use("mempool0"), Some(before));
    let stats = capsule_ffi::port_stats(port).expect("the driver counts");
    assert_eq!(stats.ipackets, (BURSTS * BURST) as u64);
}
