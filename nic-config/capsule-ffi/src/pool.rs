//! Mempools: created by capsule through us, so that their data room is ours to choose and a worker
//! finds the one of its socket.

use std::ffi::{CString, c_char, c_int, c_uint};
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::bindings::{self, rte_mbuf, rte_mempool};
use crate::profile;

/// Every mbuf pool that exists, in order of creation.
static POOLS: Mutex<Vec<Pool>> = Mutex::new(Vec::new());

fn pools() -> MutexGuard<'static, Vec<Pool>> {
    POOLS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many mbuf pools exist.
pub(crate) fn count() -> usize {
    pools().len()
}

/// A handle to an mbuf pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool(NonNull<rte_mempool>);

// SAFETY: DPDK's pools may be used from any thread; the handle is only an address.
unsafe impl Send for Pool {}
// SAFETY: as above.
unsafe impl Sync for Pool {}

impl Pool {
    /// The pool on the calling thread's memory socket, or the only pool there is; none before
    /// capsule's runtime is built.
    ///
    /// # Safety
    ///
    /// The handle is not used after the runtime, which frees its pools, has been dropped.
    pub unsafe fn local() -> Option<Self> {
        // SAFETY: reads a thread-local variable of EAL.
        let socket = unsafe { bindings::rte_socket_id() }.cast_signed();
        let pools = pools();
        // SAFETY: pools in the list are alive; `socket_id` never changes.
        let here = pools.iter().find(|pool| unsafe { pool.0.as_ref() }.socket_id == socket);
        here.or(if pools.len() == 1 { pools.first() } else { None }).copied()
    }

    /// A fresh mbuf with headroom and no data, owned by the caller; none when the pool is empty.
    #[inline]
    pub fn alloc(self) -> Option<NonNull<rte_mbuf>> {
        // SAFETY: the pool is alive, as `local` demands.
        NonNull::new(unsafe { bindings::_rte_pktmbuf_alloc(self.0.as_ptr()) })
    }

    /// Fills all of `mbufs` with fresh ones, or none of them; true when filled.
    #[inline]
    pub fn alloc_bulk(self, mbufs: &mut [Option<NonNull<rte_mbuf>>]) -> bool {
        let Ok(count) = c_uint::try_from(mbufs.len()) else { return false };
        // SAFETY: the pool is alive; `Option<NonNull<T>>` is laid out as `*mut T`, and on success
        // all `count` places are written, none null.
        let result = unsafe {
            let places = mbufs.as_mut_ptr().cast();
            bindings::_rte_pktmbuf_alloc_bulk(self.0.as_ptr(), places, count)
        };
        result == 0
    }

    /// Mbufs that are out of the pool and its caches. Walks all caches: not for the packet path.
    pub fn in_use(self) -> usize {
        // SAFETY: the pool is alive.
        unsafe { bindings::rte_mempool_in_use_count(self.0.as_ptr()) as usize }
    }
}

/// Mbufs in use of the pool called `name`; capsule calls its pools `mempool0`, `mempool1` and so
/// on. None when there is no such pool.
pub fn mempool_in_use(name: &str) -> Option<usize> {
    let name = CString::new(name).ok()?;
    // SAFETY: a C string; the answer is null or a pool that is alive.
    let pool = NonNull::new(unsafe { bindings::rte_mempool_lookup(name.as_ptr()) })?;
    Some(Pool(pool).in_use())
}

/// Creates a pool as DPDK's function of this name does, with the data room of
/// [`set_data_room`](crate::set_data_room) if one was set. Null on failure, with `rte_errno` set.
///
/// # Safety
///
/// EAL has been started, and `name` is a C string.
pub unsafe fn rte_pktmbuf_pool_create(
    name: *const c_char,
    capacity: c_uint,
    cache_size: c_uint,
    private_size: u16,
    data_room: u16,
    socket: c_int,
) -> *mut rte_mempool {
    let data_room = profile::data_room().unwrap_or(data_room);
    // SAFETY: as promised by the caller.
    let pool = unsafe {
        bindings::rte_pktmbuf_pool_create(
            name,
            capacity,
            cache_size,
            private_size,
            data_room,
            socket,
        )
    };
    pools().extend(NonNull::new(pool).map(Pool));
    pool
}

/// Frees a pool and forgets it.
///
/// # Safety
///
/// No mbuf of the pool, and no [`Pool`] of it, is used any more.
pub unsafe fn rte_mempool_free(pool: *mut rte_mempool) {
    pools().retain(|known| known.0.as_ptr() != pool);
    // SAFETY: as promised by the caller.
    unsafe { bindings::rte_mempool_free(pool) }
}
