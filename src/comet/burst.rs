//! Several calls in one segment: what a thread sends within a [`Burst`] leaves when the burst ends.
//!
//! gRPC's core makes a call of `sendmsg` for nearly each call of ours, and the kernel then carries each to the other
//! end and wakes it: a third of what a call costs. Told that more is to come, it only keeps the bytes. gRPC has no
//! setting for that, so this program has a `sendmsg` of its own, in libc's place, that can add the flag.

use std::cell::Cell;
use std::marker::PhantomData;
use std::os::fd::RawFd;

use libc::{c_int, c_void, msghdr, socklen_t, ssize_t};

thread_local! {
    static HELD: Cell<Held> = const { Cell::new(Held::No) };
}

#[derive(Clone, Copy)]
enum Held {
    No,
    /// Whatever this thread sends first is held back.
    Next,
    /// The bytes of this socket are held back.
    Socket(RawFd),
}

/// While it lives, what this thread sends on the first socket that it uses is held back.
pub struct Burst {
    /// It is about the thread that began it.
    _not_send: PhantomData<*const ()>,
}

impl Burst {
    pub fn begin() -> Self {
        HELD.set(Held::Next);
        Self {
            _not_send: PhantomData,
        }
    }
}

impl Drop for Burst {
    fn drop(&mut self) {
        if let Held::Socket(socket) = HELD.replace(Held::No) {
            push(socket);
        }
    }
}

/// Lets go what is held back: tcp(7) promises that of this option, also where it was set before, as gRPC does.
fn push(socket: RawFd) {
    let on: c_int = 1;
    // SAFETY: the value is as long as it is said to be. A socket that is closed by now is an error that nobody needs.
    unsafe {
        libc::setsockopt(
            socket,
            libc::IPPROTO_TCP,
            libc::TCP_NODELAY,
            (&raw const on).cast::<c_void>(),
            size_of_val(&on) as socklen_t,
        );
    }
}

/// libc's `sendmsg`, for all of this program.
///
/// # Safety
/// As sendmsg(2) asks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendmsg(
    socket: c_int,
    message: *const msghdr,
    mut flags: c_int,
) -> ssize_t {
    match HELD.get() {
        Held::Next => {
            HELD.set(Held::Socket(socket));
            flags |= libc::MSG_MORE;
        }
        Held::Socket(held) if held == socket => flags |= libc::MSG_MORE,
        Held::Socket(_) | Held::No => {}
    }
    // SAFETY: the caller's.
    unsafe { libc::syscall(libc::SYS_sendmsg, socket, message, flags) as ssize_t }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;
    use std::time::{Duration, Instant};

    use super::*;

    /// What an attempt came to that wasn't held up: the kernel lets go of the bytes by itself after 200 ms.
    fn swiftly<T>(attempt: impl Fn() -> T) -> T {
        loop {
            let begin = Instant::now();
            let outcome = attempt();
            if begin.elapsed() < Duration::from_millis(100) {
                return outcome;
            }
        }
    }

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        near.set_nodelay(true).unwrap();
        (near, listener.accept().unwrap().0)
    }

    fn send(socket: &TcpStream, bytes: &[u8]) {
        let mut part = libc::iovec {
            iov_base: bytes.as_ptr() as *mut c_void,
            iov_len: bytes.len(),
        };
        // SAFETY: no address and no control message is a valid header, and what it points to outlives the call.
        let sent = unsafe {
            let mut message: msghdr = std::mem::zeroed();
            message.msg_iov = &mut part;
            message.msg_iovlen = 1;
            libc::sendmsg(socket.as_raw_fd(), &message, libc::MSG_NOSIGNAL)
        };
        assert_eq!(sent, bytes.len() as ssize_t);
    }

    /// Whether there is anything to read yet.
    fn arrived(socket: &TcpStream) -> bool {
        socket.set_nonblocking(true).unwrap();
        let peeked = socket.peek(&mut [0]);
        socket.set_nonblocking(false).unwrap();
        peeked.is_ok()
    }

    fn read(socket: &mut TcpStream, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        socket.read_exact(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn what_a_burst_sends_leaves_at_its_end() {
        let (early, late, mut far) = swiftly(|| {
            let (near, far) = pair();
            let burst = Burst::begin();
            send(&near, b"one ");
            send(&near, b"two");
            let early = arrived(&far);
            drop(burst);
            (early, arrived(&far), far)
        });
        assert!(!early && late);
        assert_eq!(read(&mut far, 7), b"one two");
    }

    #[test]
    fn without_a_burst_it_leaves_at_once() {
        let (near, far) = pair();
        drop(Burst::begin());
        send(&near, b"one");
        assert!(arrived(&far));
    }

    #[test]
    fn another_socket_and_another_thread_are_not_held_back() {
        let (held, not_held, mut far) = swiftly(|| {
            let ((near, far), (other, far_from_other)) = (pair(), pair());
            let _burst = Burst::begin();
            send(&near, b"held");
            send(&other, b"not held");
            let arrivals = (arrived(&far), arrived(&far_from_other));
            // It takes along what was held: bytes keep their order.
            std::thread::scope(|scope| {
                scope.spawn(|| send(&near, b", let go"));
            });
            (!arrivals.0, arrivals.1, far)
        });
        assert!(held && not_held);
        assert_eq!(read(&mut far, 12), b"held, let go");
    }

    #[test]
    fn what_fails_says_so() {
        let (near, far) = pair();
        let socket = near.as_raw_fd();
        drop((near, far));
        let _burst = Burst::begin();
        // SAFETY: the header is not looked at: the socket is closed.
        let sent = unsafe { libc::sendmsg(socket, std::ptr::null(), 0) };
        assert_eq!(sent, -1);
        let error = std::io::Error::last_os_error();
        assert!(
            error.raw_os_error().is_some_and(|code| code != 0),
            "{error}"
        );
    }
}
