//! Threads and the executable: what EAL and its drivers must know about them.

use std::io;

use crate::bindings;

/// Makes the calling thread an lcore of DPDK. capsule starts its threads without: they have no
/// mempool cache then, which costs a third of the packet rate. Ok as well on a thread that is one
/// already, such as the main lcore.
///
/// # Errors
///
/// When EAL is not started, or has no free lcore id.
pub fn thread_register() -> io::Result<()> {
    if lcore().is_some() {
        return Ok(());
    }
    // SAFETY: callable from any thread; refuses when EAL is not ready.
    if unsafe { bindings::rte_thread_register() } == 0 {
        return Ok(());
    }
    // SAFETY: reads a thread-local variable.
    Err(io::Error::from_raw_os_error(unsafe { bindings::_rte_errno() }))
}

/// Gives back the lcore id of a thread that [`thread_register`] registered; call it on that thread
/// before it ends. Nothing happens on other threads.
pub fn thread_unregister() {
    let Some(lcore) = lcore() else { return };
    // SAFETY: `lcore` is a valid id; unregistering is allowed for threads that are not EAL's own.
    unsafe {
        if bindings::rte_eal_lcore_role(lcore) == bindings::ROLE_NON_EAL {
            bindings::rte_thread_unregister();
        }
    }
}

/// Lcore id of the calling thread.
fn lcore() -> Option<u32> {
    // SAFETY: reads a thread-local variable.
    let lcore = unsafe { bindings::_rte_lcore_id() };
    (lcore != bindings::LCORE_ANY).then_some(lcore)
}

/// Whether drivers call the `ioctl` of `src/channels.c`, which AF_XDP needs for more than one queue
/// on a veth interface. False in an executable linked without
/// `-Wl,--export-dynamic-symbol=ioctl`.
pub fn channels_completed() -> bool {
    // SAFETY: looks a name up in the global scope, as a shared object that calls `ioctl` would.
    let exported = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"ioctl".as_ptr()) };
    exported == libc::ioctl as *mut libc::c_void
}
