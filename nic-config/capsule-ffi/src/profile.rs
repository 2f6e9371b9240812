//! Port profiles: what a port shall be, set before capsule's runtime is built.
//!
//! capsule configures each port with arguments of its own. It calls the functions of this module
//! for that, which fill in what the profile wants as far as the driver grants it, and then call
//! DPDK's functions of the same names. Profiles belong to the process, keyed by device name.

use std::ffi::{CStr, c_int, c_uint};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::bindings::{self, rte_eth_conf, rte_eth_dev_info, rte_mempool};
use crate::{pool, port};

/// Ethernet header and checksum, which `max_rx_pktlen` counts and the MTU does not.
const FRAME_OVERHEAD: u32 = bindings::RTE_ETHER_HDR_LEN + bindings::RTE_ETHER_CRC_LEN;

/// Checksums of UDP, computed by the NIC for frames that leave. That of an IPv4 header is over ten words and costs more to
/// ask for than to compute; virtio does not even offer it.
const TX_CHECKSUMS: u64 = bindings::TX_OFFLOAD_UDP_CKSUM;

/// Checksums of IPv4 headers and UDP, checked for frames that arrive.
const RX_CHECKSUMS: u64 = bindings::RX_OFFLOAD_IPV4_CKSUM | bindings::RX_OFFLOAD_UDP_CKSUM;

/// What one port shall be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortProfile {
    /// Device name as EAL knows it: a PCI address, or `net_af_xdp0`.
    pub device: String,
    /// Spread packets by hash over the receive queues. None: when the port has more than one. A
    /// driver without RSS gets none either way.
    pub rss: Option<bool>,
    /// Hash key of the length that the driver wants (40 or 52 bytes mostly). None: the driver's.
    pub rss_key: Option<Vec<u8>>,
    /// MTU in bytes, lowered to what the driver can. None: 1,500, and the device is left alone.
    pub mtu: Option<u16>,
    /// Let the NIC check IPv4 and UDP checksums, where it can.
    pub rx_checksum_offload: bool,
    /// Let the NIC compute UDP checksums, where it can.
    pub tx_checksum_offload: bool,
}

/// What a port became.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortGrant {
    /// `RTE_ETH_RSS_*` fields of the hash; 0 without RSS.
    pub rss_hf: u64,
    /// MTU in bytes.
    pub mtu: u16,
    /// `RTE_ETH_RX_OFFLOAD_*` turned on.
    pub rx_offloads: u64,
    /// `RTE_ETH_TX_OFFLOAD_*` turned on.
    pub tx_offloads: u64,
}

impl PortGrant {
    /// Whether the NIC computes the UDP checksums of frames that ask for it
    /// ([`leave_udp_checksum`](crate::leave_udp_checksum)).
    pub const fn has_udp_checksum(&self) -> bool {
        self.tx_offloads & bindings::TX_OFFLOAD_UDP_CKSUM != 0
    }

    /// Names of the offloads turned on, as testpmd writes them: of received frames, then of sent ones.
    pub fn offload_names(&self) -> [Vec<String>; 2] {
        let bits = |set: u64| (0..u64::BITS).map(|bit| 1 << bit).filter(move |bit| set & bit != 0);
        // SAFETY: any bit may be asked for; the answer is a constant of DPDK's.
        let rx = |bit| unsafe { CStr::from_ptr(bindings::rte_eth_dev_rx_offload_name(bit)) };
        // SAFETY: as above.
        let tx = |bit| unsafe { CStr::from_ptr(bindings::rte_eth_dev_tx_offload_name(bit)) };
        let text = |name: &CStr| name.to_string_lossy().to_lowercase();
        let rx = bits(self.rx_offloads).map(|bit| text(rx(bit)));
        let tx = bits(self.tx_offloads).map(|bit| text(tx(bit)));
        [rx.collect(), tx.collect()]
    }
}
/// What is done with a port that has just started.
type Started = dyn Fn(u16) -> Result<(), String> + Send + Sync;

struct State {
    started: Option<&'static Started>,
    profiles: Vec<&'static PortProfile>,
    grants: Vec<(u16, PortGrant)>,
    data_room: Option<u16>,
}

static STATE: Mutex<State> =
    Mutex::new(State { started: None, profiles: Vec::new(), grants: Vec::new(), data_room: None });

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sets the profile of `profile.device`, in place of an earlier one. Call it before the runtime is
/// built; ports without a profile get the default one.
pub fn set_port_profile(profile: PortProfile) {
    let mut state = state();
    state.profiles.retain(|known| known.device != profile.device);
    // Leaked, once per port: drivers keep a pointer to the key.
    state.profiles.push(Box::leak(Box::new(profile)));
}

/// Sets the bytes of an mbuf's buffer, `RTE_PKTMBUF_HEADROOM` (128) included, for every pool
/// created from now on. AF_XDP wants the whole mbuf within a page.
pub fn set_data_room(bytes: u16) {
    state().data_room = Some(bytes);
}

/// The data room that was set.
pub(crate) fn data_room() -> Option<u16> {
    state().data_room
}

/// Has `started` called with the id of each port right after it has started, before anything polls it. A refusal
/// ends the start of the runtime. Call it before the runtime is executed.
pub fn on_port_started(started: impl Fn(u16) -> Result<(), String> + Send + Sync + 'static) {
    // Leaked, once for the process, so that it can be called without the lock.
    state().started = Some(Box::leak(Box::new(started)));
}

/// What port `port` was granted; none before it is configured.
pub fn port_grant(port: u16) -> Option<PortGrant> {
    state().grants.iter().find(|(id, _)| *id == port).map(|(_, grant)| *grant)
}

/// Configures a port by its profile; the rest as `requested`. Gives 0 or a negative errno.
///
/// # Safety
///
/// EAL has been started, and `requested` points to a configuration.
pub unsafe fn rte_eth_dev_configure(
    port: u16,
    rx_queues: u16,
    tx_queues: u16,
    requested: *const rte_eth_conf,
) -> c_int {
    let Some((device, info)) = port::device_name(port).zip(port::device_info(port)) else {
        return -libc::ENODEV;
    };
    let known = state().profiles.iter().find(|profile| profile.device == device).copied();
    let default = PortProfile::default();
    let profile = known.unwrap_or(&default);
    if let Some(refusal) = refuse_key(profile, &info) {
        eprintln!("port {device}: {refusal}");
        return -libc::EINVAL;
    }
    // SAFETY: the caller's configuration.
    let mut conf = unsafe { *requested };
    apply(profile, &info, rx_queues, pool::count(), &mut conf);
    // SAFETY: a port that exists; the key in `conf` is leaked or null.
    let result =
        unsafe { bindings::rte_eth_dev_configure(port, rx_queues, tx_queues, &raw const conf) };
    if result != 0 {
        return result;
    }
    set_mtu(port, profile.mtu.is_some(), &conf)
}

/// Hands the MTU to the driver as well, for those which do not read it from the configuration, and
/// writes down what the port was granted.
fn set_mtu(port: u16, wanted: bool, conf: &rte_eth_conf) -> c_int {
    if wanted {
        #[allow(clippy::cast_possible_truncation)] // `apply` took it from a u16
        let mtu = conf.rxmode.mtu as u16;
        // SAFETY: a configured port.
        let result = unsafe { bindings::rte_eth_dev_set_mtu(port, mtu) };
        if result != 0 && result != -libc::ENOTSUP {
            return result;
        }
    }
    let mut grant = PortGrant {
        rss_hf: conf.rx_adv_conf.rss_conf.rss_hf,
        mtu: 0,
        rx_offloads: conf.rxmode.offloads,
        tx_offloads: conf.txmode.offloads,
    };
    // SAFETY: a configured port and a place to write to.
    let result = unsafe { bindings::rte_eth_dev_get_mtu(port, &raw mut grant.mtu) };
    let mut state = state();
    state.grants.retain(|(id, _)| *id != port);
    state.grants.push((port, grant));
    result
}

/// Sets up a receive queue with the driver's defaults. On a port with several queues a full one
/// drops its own packets and does not hold up the others: cores share nothing.
///
/// # Safety
///
/// The port is configured, `conf` is null or points to a configuration, `pool` is alive.
pub unsafe fn rte_eth_rx_queue_setup(
    port: u16,
    queue: u16,
    descriptors: u16,
    socket: c_uint,
    conf: *const bindings::rte_eth_rxconf,
    pool: *mut rte_mempool,
) -> c_int {
    let Some(info) = port::device_info(port) else { return -libc::ENODEV };
    // SAFETY: null, or the caller's configuration.
    let mut conf = unsafe { conf.as_ref() }.copied().unwrap_or(info.default_rxconf);
    conf.rx_drop_en |= u8::from(info.nb_rx_queues > 1);
    // SAFETY: as promised by the caller.
    unsafe {
        bindings::rte_eth_rx_queue_setup(port, queue, descriptors, socket, &raw const conf, pool)
    }
}

/// Starts a port and has the hook of [`on_port_started`] complete it. Gives 0 or a negative errno.
///
/// # Safety
///
/// EAL has been started, and the port is configured.
pub unsafe fn rte_eth_dev_start(port: u16) -> c_int {
    // SAFETY: as promised by the caller.
    let result = unsafe { bindings::rte_eth_dev_start(port) };
    if result != 0 {
        return result;
    }
    let started = state().started;
    match started.map_or(Ok(()), |started| started(port)) {
        Ok(()) => 0,
        Err(refusal) => {
            let device = port::device_name(port).unwrap_or_default();
            eprintln!("port {device}: {refusal}");
            -libc::EIO
        }
    }
}

/// Why the profile's RSS key does not fit the device, if so.
fn refuse_key(profile: &PortProfile, info: &rte_eth_dev_info) -> Option<String> {
    let given = profile.rss_key.as_ref()?.len();
    let wanted = usize::from(info.hash_key_size);
    (wanted != 0 && given != wanted)
        .then(|| format!("the RSS key has {given} bytes; this driver wants {wanted}"))
}

/// Changes `conf` to what `profile` wants and the driver grants.
fn apply(
    profile: &PortProfile,
    info: &rte_eth_dev_info,
    rx_queues: u16,
    pools: usize,
    conf: &mut rte_eth_conf,
) {
    // RSS. A mode of RSS without a hash field is refused by drivers that have no RSS (AF_XDP).
    let fields = (bindings::RSS_IP | bindings::RSS_UDP) & info.flow_type_rss_offloads;
    let rss = profile.rss.unwrap_or(rx_queues > 1) && fields != 0;
    let key = profile.rss_key.as_deref().filter(|_| rss);
    let rss_conf = &mut conf.rx_adv_conf.rss_conf;
    rss_conf.rss_hf = if rss { fields } else { 0 };
    rss_conf.rss_key = key.map_or(std::ptr::null_mut(), |key| key.as_ptr().cast_mut());
    rss_conf.rss_key_len = key.map_or(0, |key| u8::try_from(key.len()).unwrap_or(u8::MAX));
    conf.rxmode.mq_mode = if rss {
        bindings::rte_eth_rx_mq_mode::RTE_ETH_MQ_RX_RSS
    } else {
        bindings::rte_eth_rx_mq_mode::RTE_ETH_MQ_RX_NONE
    };

    let switch = |on: bool, offloads: u64| if on { offloads } else { 0 };
    conf.rxmode.offloads = info.rx_offload_capa
        & (switch(rss, bindings::RX_OFFLOAD_RSS_HASH)
            | switch(profile.rx_checksum_offload, RX_CHECKSUMS));
    // Frames are one segment each. Fast free puts all sent mbufs into one pool: there must be one.
    conf.txmode.offloads = info.tx_offload_capa
        & (switch(pools == 1, bindings::TX_OFFLOAD_MBUF_FAST_FREE)
            | switch(profile.tx_checksum_offload, TX_CHECKSUMS));

    if let Some(mtu) = profile.mtu {
        let most = info.max_rx_pktlen.saturating_sub(FRAME_OVERHEAD).max(u32::from(info.min_mtu));
        conf.rxmode.mtu = u32::from(mtu).min(most).min(u32::from(info.max_mtu));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> rte_eth_dev_info {
        rte_eth_dev_info {
            min_mtu: 68,
            max_mtu: 9_000,
            max_rx_pktlen: 9_018,
            hash_key_size: 40,
            flow_type_rss_offloads: bindings::RSS_IP | bindings::RSS_UDP | bindings::RSS_TCP,
            rx_offload_capa: RX_CHECKSUMS | bindings::RX_OFFLOAD_RSS_HASH,
            tx_offload_capa: TX_CHECKSUMS
                | bindings::TX_OFFLOAD_MBUF_FAST_FREE
                | bindings::TX_OFFLOAD_MULTI_SEGS,
            ..Default::default()
        }
    }

    fn applied(profile: &PortProfile, info: &rte_eth_dev_info, queues: u16) -> rte_eth_conf {
        let mut conf = rte_eth_conf::default();
        conf.rxmode.mq_mode = bindings::rte_eth_rx_mq_mode::RTE_ETH_MQ_RX_RSS;
        apply(profile, info, queues, 1, &mut conf);
        conf
    }

    #[test]
    fn rss_follows_queues_and_driver() {
        use bindings::rte_eth_rx_mq_mode::{RTE_ETH_MQ_RX_NONE, RTE_ETH_MQ_RX_RSS};
        let profile = PortProfile::default();
        let two = applied(&profile, &info(), 2);
        assert_eq!(two.rxmode.mq_mode, RTE_ETH_MQ_RX_RSS);
        assert_eq!(two.rx_adv_conf.rss_conf.rss_hf, bindings::RSS_IP | bindings::RSS_UDP);
        assert_eq!(applied(&profile, &info(), 1).rxmode.mq_mode, RTE_ETH_MQ_RX_NONE);

        let without = rte_eth_dev_info { flow_type_rss_offloads: 0, ..info() };
        let forced = PortProfile { rss: Some(true), ..profile };
        let none = applied(&forced, &without, 2);
        assert_eq!(none.rxmode.mq_mode, RTE_ETH_MQ_RX_NONE);
        assert_eq!(none.rx_adv_conf.rss_conf.rss_hf, 0);
    }

    #[test]
    fn offloads_are_masked_by_the_driver() {
        let profile = PortProfile {
            rx_checksum_offload: true,
            tx_checksum_offload: true,
            ..PortProfile::default()
        };
        let conf = applied(&profile, &info(), 1);
        assert_eq!(conf.rxmode.offloads, RX_CHECKSUMS);
        assert_eq!(conf.txmode.offloads, TX_CHECKSUMS | bindings::TX_OFFLOAD_MBUF_FAST_FREE);
        let bare = rte_eth_dev_info { rx_offload_capa: 0, tx_offload_capa: 0, ..info() };
        let conf = applied(&profile, &bare, 1);
        assert_eq!((conf.rxmode.offloads, conf.txmode.offloads), (0, 0));
    }

    #[test]
    fn no_fast_free_with_two_pools() {
        let mut conf = rte_eth_conf::default();
        conf.txmode.offloads = bindings::TX_OFFLOAD_MBUF_FAST_FREE;
        apply(&PortProfile::default(), &info(), 1, 2, &mut conf);
        assert_eq!(conf.txmode.offloads, 0);
    }

    #[test]
    fn mtu_is_lowered_to_the_driver() {
        let with = |mtu| PortProfile { mtu: Some(mtu), ..PortProfile::default() };
        assert_eq!(applied(&with(1_500), &info(), 1).rxmode.mtu, 1_500);
        assert_eq!(applied(&with(9_600), &info(), 1).rxmode.mtu, 9_000);
        let short = rte_eth_dev_info { max_rx_pktlen: 3_560, max_mtu: u16::MAX, ..info() };
        assert_eq!(applied(&with(9_000), &short, 1).rxmode.mtu, 3_542);
        assert_eq!(applied(&PortProfile::default(), &info(), 1).rxmode.mtu, 0);
    }

    #[test]
    fn a_key_of_the_wrong_length_is_refused() {
        let with = |bytes| PortProfile { rss_key: Some(vec![7; bytes]), ..PortProfile::default() };
        assert!(refuse_key(&with(40), &info()).is_none());
        assert!(refuse_key(&with(52), &info()).is_some_and(|line| line.contains("wants 40")));
        let conf = applied(&with(40), &info(), 2);
        assert_eq!(conf.rx_adv_conf.rss_conf.rss_key_len, 40);
    }
}
