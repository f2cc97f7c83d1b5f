//! Where `job ctl` reaches a job.

use std::path::PathBuf;

/// The Unix socket of `job ctl`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Socket {
    /// There is none.
    Off,
    /// In the runtime folder.
    Auto,
    /// Where somebody wants it.
    At(PathBuf),
}

/// The kernel takes paths of 107 bytes. The socket is made beside its place, under a longer name.
const LONGEST: usize = 100;

/// Reads the path of a socket, auto, or off.
///
/// # Errors
/// The path is empty, or too long for the kernel.
pub fn socket(text: &str) -> Result<Socket, String> {
    match text.trim() {
        "" => Err("write the path of a socket, auto, or off".into()),
        "auto" => Ok(Socket::Auto),
        "off" => Ok(Socket::Off),
        path if path.len() > LONGEST => Err(format!(
            "longer than {LONGEST} bytes: the kernel takes no longer paths of sockets"
        )),
        path => Ok(Socket::At(path.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_path_or_auto_or_off() {
        assert_eq!(socket(" off "), Ok(Socket::Off));
        assert_eq!(socket("auto"), Ok(Socket::Auto));
        assert_eq!(socket("/run/a.sock"), Ok(Socket::At("/run/a.sock".into())));
        for wrong in ["", " ", &"a".repeat(101)] {
            assert!(socket(wrong).is_err(), "{wrong}");
        }
    }
}
