//! The cork: bytes stay in their socket until all calls that start together are written, and leave in one piece.
//!
//! gRPC's core makes a call of `sendmsg` for nearly each call of ours, and the kernel then carries each to the other
//! end and wakes it: a third of what a call costs. Told that more is to come, it only keeps the bytes. gRPC has no
//! setting for that, so this program has a `sendmsg` of its own, in libc's place, that can add the flag.
//!
//! That needs Linux with glibc. Elsewhere, and where [`forbid`] turned it off, a [`Cork`] does nothing.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod socket;
/// The same names where libc's `sendmsg` can't be replaced.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
mod socket {
    pub fn hold() {}
    pub fn let_go() {}
}

static FORBIDDEN: AtomicBool = AtomicBool::new(false);

/// From now on no cork holds anything back, in the whole process: for the day on which that is suspected of a fault.
pub fn forbid() {
    FORBIDDEN.store(true, Relaxed);
}

/// While it lives, what this thread sends on the first socket that it uses is held back.
pub struct Cork {
    /// It is about the thread that put it in.
    _not_send: PhantomData<*const ()>,
}

impl Cork {
    /// One at a time in each thread.
    pub fn put_in() -> Self {
        if !FORBIDDEN.load(Relaxed) {
            socket::hold();
        }
        Self {
            _not_send: PhantomData,
        }
    }
}

impl Drop for Cork {
    fn drop(&mut self) {
        socket::let_go();
    }
}
