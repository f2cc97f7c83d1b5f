//! A process's connections, as the kernel shows them.

use std::collections::HashSet;
use std::fs;

/// CLOSE_WAIT in /proc/net/tcp: the other end has closed, this one hasn't.
const CLOSE_WAIT: &str = "08";

/// How many connections of a process the other end, at this port, has closed while the process still holds its own.
pub fn half_closed(process: u32, port: u16) -> usize {
    let own = sockets_of(process);
    let table = fs::read_to_string(format!("/proc/{process}/net/tcp")).expect("a process's table");
    let at_port = format!(":{port:04X}");
    table
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        // sl, local, remote, state, … the inode is the tenth.
        .filter(|row| row[2].ends_with(&at_port) && row[3] == CLOSE_WAIT)
        .filter(|row| own.contains(row[9]))
        .count()
}

/// The inodes of its sockets.
fn sockets_of(process: u32) -> HashSet<String> {
    let open = fs::read_dir(format!("/proc/{process}/fd")).expect("a process's files");
    open.flatten()
        .filter_map(|file| fs::read_link(file.path()).ok())
        .filter_map(|file| {
            let inode = file.to_str()?.strip_prefix("socket:[")?;
            Some(inode.strip_suffix(']')?.to_owned())
        })
        .collect()
}
