//! A question to the system's resolver, about one family of addresses.
//!
//! std's lookup asks for both families and waits for both answers. A name server that drops the question about IPv6
//! holds up such a lookup for 10 s and more, though the IPv4 address is known at once.

use std::ffi::{CStr, CString};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ptr;

use libc::{addrinfo, c_int, sockaddr_in, sockaddr_in6};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

/// Why a lookup found nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotFound {
    /// What the resolver said.
    pub said: String,
    /// Whether there is no such address, as far as the resolver knows. Otherwise it could not tell.
    pub certain: bool,
}

/// The addresses of `host`, sorted. Blocks for as long as the resolver takes, which is minutes at worst.
///
/// # Errors
/// There is no such address, or the resolver fails.
pub fn addresses(host: &str, family: Family) -> Result<Vec<IpAddr>, NotFound> {
    let Ok(host) = CString::new(host) else {
        return Err(NotFound {
            said: "no name has a zero byte".into(),
            certain: true,
        });
    };
    // SAFETY: zeros are a valid value of each of its fields.
    let mut hints: addrinfo = unsafe { std::mem::zeroed() };
    hints.ai_family = match family {
        Family::V4 => libc::AF_INET,
        Family::V6 => libc::AF_INET6,
    };
    // Otherwise each address comes once for each type of socket.
    hints.ai_socktype = libc::SOCK_STREAM;
    let mut list = ptr::null_mut();
    // SAFETY: name and hints outlive the call, and `list` is looked at only where it succeeded.
    let code = unsafe { libc::getaddrinfo(host.as_ptr(), ptr::null(), &hints, &mut list) };
    if code != 0 {
        return Err(not_found(code));
    }
    let mut found = Vec::new();
    let mut next = list;
    // SAFETY: getaddrinfo made the list; each entry's address is of the family that the entry names.
    while let Some(entry) = unsafe { next.as_ref() } {
        found.extend(unsafe { address(entry) });
        next = entry.ai_next;
    }
    // SAFETY: the list is getaddrinfo's, and nothing of it is used any more.
    unsafe { libc::freeaddrinfo(list) };
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// # Safety
/// `entry` is one that getaddrinfo made.
unsafe fn address(entry: &addrinfo) -> Option<IpAddr> {
    // SAFETY: the caller's; the memory is aligned for the structure of its family.
    unsafe {
        match entry.ai_family {
            libc::AF_INET => entry
                .ai_addr
                .cast::<sockaddr_in>()
                .as_ref()
                .map(|socket| IpAddr::V4(Ipv4Addr::from(socket.sin_addr.s_addr.to_ne_bytes()))),
            libc::AF_INET6 => entry
                .ai_addr
                .cast::<sockaddr_in6>()
                .as_ref()
                .map(|socket| IpAddr::V6(Ipv6Addr::from(socket.sin6_addr.s6_addr))),
            _ => None,
        }
    }
}

fn not_found(code: c_int) -> NotFound {
    let said = if code == libc::EAI_SYSTEM {
        io::Error::last_os_error().to_string()
    } else {
        // SAFETY: it returns a text that is never freed, whatever the code.
        let said = unsafe { CStr::from_ptr(libc::gai_strerror(code)) };
        said.to_string_lossy().into_owned()
    };
    NotFound {
        said,
        certain: ![
            libc::EAI_AGAIN,
            libc::EAI_FAIL,
            libc::EAI_MEMORY,
            libc::EAI_SYSTEM,
        ]
        .contains(&code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_family_by_itself() {
        assert_eq!(
            addresses("127.0.0.1", Family::V4),
            Ok(vec![Ipv4Addr::LOCALHOST.into()])
        );
        assert_eq!(
            addresses("::1", Family::V6),
            Ok(vec![Ipv6Addr::LOCALHOST.into()])
        );
        let local = addresses("localhost", Family::V4).unwrap();
        assert!(local.iter().all(IpAddr::is_loopback), "{local:?}");
    }

    #[test]
    fn what_is_not_there_is_said() {
        // No name server is asked about these.
        for (host, family) in [("127.0.0.1", Family::V6), ("a\0b", Family::V4)] {
            let not_found = addresses(host, family).unwrap_err();
            assert!(
                not_found.certain && !not_found.said.is_empty(),
                "{not_found:?}"
            );
        }
    }
}
