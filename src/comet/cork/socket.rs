//! A `sendmsg` for all of this program, which holds back what a thread sends while it asks for that.

use std::cell::Cell;
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

/// Holds back what this thread sends from now on, on the first socket that it uses.
pub fn hold() {
    HELD.set(Held::Next);
}

/// Lets go what was held back.
pub fn let_go() {
    if let Held::Socket(socket) = HELD.replace(Held::No) {
        // A test of the whole program sees here that gRPC's writes come this way.
        fail::fail_point!("uncork");
        push(socket);
    }
}

/// Has the socket send what it keeps: tcp(7) promises that of this option, also where it was set before, as gRPC does.
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
    use crate::comet::Cork;

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
    fn what_is_sent_under_a_cork_leaves_when_it_is_out() {
        let (early, late, mut far) = swiftly(|| {
            let (near, far) = pair();
            let cork = Cork::put_in();
            send(&near, b"one ");
            send(&near, b"two");
            let early = arrived(&far);
            drop(cork);
            (early, arrived(&far), far)
        });
        assert!(!early && late);
        assert_eq!(read(&mut far, 7), b"one two");
    }

    #[test]
    fn without_a_cork_it_leaves_at_once() {
        let (near, far) = pair();
        drop(Cork::put_in());
        send(&near, b"one");
        assert!(arrived(&far));
    }

    #[test]
    fn another_socket_and_another_thread_are_not_held_back() {
        let (held, not_held, mut far) = swiftly(|| {
            let ((near, far), (other, far_from_other)) = (pair(), pair());
            let _cork = Cork::put_in();
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
        let _cork = Cork::put_in();
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
