//! A worker's thread: on its core, and known to DPDK.

use std::io;
use std::marker::PhantomData;
use std::mem;

use dpdk_sys as sys;

use super::cause::Cause;
use super::eal::Eal;
use crate::id::CoreId;

/// Why a thread cannot be a worker's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ThreadError {
    /// Linux numbers no core so.
    #[error("there is no core {core}")]
    NoSuchCore {
        /// The core asked for.
        core: CoreId,
    },
    /// Linux refused, most often because the core is absent or outside the process's cpuset.
    #[error("a worker cannot run on core {core}: {reason}")]
    CannotPin {
        /// The core asked for.
        core: CoreId,
        /// What Linux says.
        reason: String,
    },
    /// The thread is a worker's already.
    #[error("this thread is already registered with DPDK")]
    AlreadyRegistered,
    /// DPDK takes no more threads (it knows 128) or refused for another reason.
    #[error("DPDK does not take another thread: {0}")]
    Refused(Cause),
}

/// Makes the current thread known to DPDK, so that mempools give it a cache of its own.
///
/// Stays with its thread; dropping it takes the thread's registration back, but leaves the
/// thread on its core.
#[derive(Debug)]
pub struct WorkerThread {
    _eal: Eal,
    /// What is registered is the thread, so the guard must not leave it.
    _stays_here: PhantomData<*const ()>,
}

impl WorkerThread {
    /// Pins the current thread to `core`, if one is given, registers it, and lets its sleeps end
    /// on time.
    ///
    /// # Errors
    /// See [`ThreadError`]. A thread that could be pinned but not registered stays pinned.
    pub fn enter(eal: &Eal, core: Option<CoreId>) -> Result<Self, ThreadError> {
        // SAFETY: reads a number of this thread.
        if unsafe { sys::shim_lcore_id() } != sys::SHIM_LCORE_ID_ANY {
            return Err(ThreadError::AlreadyRegistered);
        }
        // Before registering, because DPDK looks at the core to know the NUMA socket.
        if let Some(core) = core {
            pin(core)?;
        }
        Cause::check_errno(|| {
            // SAFETY: the EAL runs.
            let result = unsafe { sys::rte_thread_register() };
            (result == 0).then_some(())
        })
        .map_err(ThreadError::Refused)?;
        wake_on_time();
        Ok(Self {
            _eal: eal.clone(),
            _stays_here: PhantomData,
        })
    }
}

impl Drop for WorkerThread {
    fn drop(&mut self) {
        // SAFETY: this very thread was registered, as the guard cannot leave it.
        unsafe { sys::rte_thread_unregister() };
    }
}

fn pin(core: CoreId) -> Result<(), ThreadError> {
    // SAFETY: a CPU set is a bit field, and all zeros is the empty one.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    if core.index() >= 8 * size_of::<libc::cpu_set_t>() {
        return Err(ThreadError::NoSuchCore { core });
    }
    // SAFETY: the core's bit lies within the set.
    unsafe { libc::CPU_SET(core.index(), &mut set) };
    // SAFETY: the set is as long as said; 0 is the current thread.
    let result =
        unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) };
    if result == 0 {
        return Ok(());
    }
    Err(ThreadError::CannotPin {
        core,
        reason: io::Error::last_os_error().to_string(),
    })
}

/// Asks Linux to end this thread's sleeps on the nanosecond instead of up to 50 µs late, as it does
/// to wake several threads at once (PR_SET_TIMERSLACK in prctl(2)).
fn wake_on_time() {
    // As wide as the argument that prctl reads.
    let nanos: libc::c_ulong = 1;
    // SAFETY: sets a number of this thread. It cannot fail, and a late end harms nothing.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, nanos) };
}
