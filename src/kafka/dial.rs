//! Connects to a name: its addresses race, so that one that drops packets costs a quarter of a second (RFC 8305).

use std::fmt::Display;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// How long one IP address may take to accept a connection: the second packet of a handshake whose first one was lost is
/// sent after a second.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long one address is tried before the next one is tried beside it (RFC 8305, section 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// Connects to `host:port`, each address of the host within [`CONNECT_TIMEOUT`].
///
/// # Errors
/// The name has no address, or none accepts: why the last one didn't.
pub async fn connect(address: &str) -> io::Result<TcpStream> {
    let all = in_turn(lookup_host(address).await?);
    let (one, stream) = race(all, TcpStream::connect).await?;
    log::debug!("connected to Kafka at {address} ({one})");
    Ok(stream)
}

/// Both families in turn, beginning with the one that the system prefers (RFC 8305, section 4).
fn in_turn(all: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut all = all.peekable();
    let preferred = all.peek().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = all.partition(|one| one.is_ipv6() == preferred);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut turns = Vec::new();
    loop {
        let before = turns.len();
        turns.extend(first.next());
        turns.extend(second.next());
        if turns.len() == before {
            return turns;
        }
    }
}

/// The first connection that is made. The next address is tried when one has failed, or has had its head start.
async fn race<A, C, F>(all: Vec<A>, connect: impl Fn(A) -> F) -> io::Result<(A, C)>
where
    A: Copy + Display + Send + 'static,
    C: Send + 'static,
    F: Future<Output = io::Result<C>> + Send + 'static,
{
    let mut waiting = all.into_iter();
    let mut trying = JoinSet::new();
    let mut failed = io::Error::other("the name has no address");
    loop {
        let next = waiting.next();
        let is_last = next.is_none();
        if let Some(one) = next {
            let connected = timeout(CONNECT_TIMEOUT, connect(one));
            trying.spawn(async move { (one, connected.await) });
        }
        let ended = tokio::select! {
            biased;
            ended = trying.join_next() => ended,
            () = sleep(HEAD_START), if !is_last => continue,
        };
        match ended {
            None => return Err(failed),
            Some(Ok((one, Ok(Ok(stream))))) => return Ok((one, stream)),
            Some(Ok((_, Ok(Err(error))))) => failed = error,
            Some(Ok((_, Err(_)))) => {
                let within = CONNECT_TIMEOUT.as_secs();
                let why = format!("no connection within {within} s");
                failed = io::Error::new(io::ErrorKind::TimedOut, why);
            }
            Some(Err(error)) => failed = io::Error::other(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};
    use std::sync::{Arc, Mutex};

    fn run<T>(what: impl Future<Output = T>) -> T {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime
            .enable_time()
            .build()
            .expect("a runtime")
            .block_on(what)
    }

    #[test]
    fn families_take_turns_and_the_preferred_one_begins() {
        let turns = |all: &[&str]| {
            let all = all.iter().map(|one| one.parse().expect("an address"));
            let turns: Vec<_> = in_turn(all).iter().map(SocketAddr::to_string).collect();
            turns.join(" ")
        };
        assert_eq!(turns(&[]), "");
        assert_eq!(turns(&["1.1.1.1:9", "2.2.2.2:9"]), "1.1.1.1:9 2.2.2.2:9");
        let all = ["[::1]:9", "[::2]:9", "[::3]:9", "1.1.1.1:9"];
        assert_eq!(turns(&all), "[::1]:9 1.1.1.1:9 [::2]:9 [::3]:9");
        let all = ["1.1.1.1:9", "[::1]:9", "2.2.2.2:9"];
        assert_eq!(turns(&all), "1.1.1.1:9 [::1]:9 2.2.2.2:9");
    }

    #[test]
    fn the_next_address_is_tried_beside_one_that_drops_packets() {
        let is_under_way = Arc::new(());
        let connect = |one| {
            let first = is_under_way.clone();
            let others = Arc::strong_count(&is_under_way);
            async move {
                match one {
                    1 => pending::<()>().await,
                    _ => assert!(others > 2, "the first one is given up already"),
                }
                drop(first);
                Ok(())
            }
        };
        let (winner, ()) = run(race(vec![1, 2, 3], connect)).expect("the second one accepts");
        assert_eq!(winner, 2);
        assert_eq!(
            Arc::strong_count(&is_under_way),
            1,
            "the others are dropped"
        );
    }

    #[test]
    fn one_that_fails_has_no_head_start_and_the_last_reason_is_told() {
        let tried = Arc::new(Mutex::new(Vec::new()));
        let connect = |one: u32| {
            tried.lock().expect("nobody panicked").push(one);
            ready(Err::<(), _>(io::Error::other(format!("{one} refuses"))))
        };
        let error = run(race(vec![1, 2, 3], connect)).expect_err("all refuse");
        assert_eq!(error.to_string(), "3 refuses");
        assert_eq!(*tried.lock().expect("nobody panicked"), [1, 2, 3]);
        let nothing = run(race(Vec::<u32>::new(), |_| ready(Ok(()))));
        let error = nothing.expect_err("there is none");
        assert_eq!(error.to_string(), "the name has no address");
    }
}
