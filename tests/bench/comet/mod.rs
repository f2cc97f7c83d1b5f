//! A Comet that costs next to nothing, so that what is measured is job: a process of its own that takes every call,
//! counts what it holds, and is asked over its standard input.

mod http2;
mod line;
mod tally;

use std::collections::{HashMap, VecDeque};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token, Waker};
use rustls::ServerConfig;

use crate::process::{Process, cpu_of};
use http2::{Answer, Connection};
use line::Line;
pub use line::make_certificate;
use tally::Tally;
pub use tally::{Report, now};

/// For what comes over the standard input.
const WAKE: Token = Token(usize::MAX);

struct Shared {
    /// By Comet.
    tallies: Vec<Mutex<Tally>>,
    /// Microseconds that each call takes.
    delay: AtomicU64,
    /// Those that serve nobody, and where nobody can connect.
    away: Vec<AtomicBool>,
    /// CPU time that the process had used at the last reset, in microseconds.
    used: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The process: serves `count` Comets, and obeys its standard input until that closes. With TLS where there is a folder with a certificate.
pub fn serve(count: usize, certificate: Option<&Path>) -> Result<(), String> {
    let tls = certificate.map(line::with_certificate).transpose()?;
    let failed = |e: io::Error| format!("the cheap Comet does not start: {e}");
    let tallies: Result<Vec<_>, String> =
        (0..count).map(|_| Tally::new().map(Mutex::new)).collect();
    let shared = Arc::new(Shared {
        tallies: tallies?,
        delay: AtomicU64::new(0),
        away: (0..count).map(|_| AtomicBool::new(false)).collect(),
        used: AtomicU64::new(0),
    });
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listeners: io::Result<Vec<TcpListener>> =
        (0..count).map(|_| TcpListener::bind(any)).collect();
    let listeners = listeners.map_err(failed)?;
    let mut addresses = Vec::new();
    for listener in &listeners {
        addresses.push(listener.local_addr().map_err(failed)?.to_string());
    }
    println!("{}", addresses.join(","));
    let poll = Poll::new().map_err(failed)?;
    let waker = Waker::new(poll.registry(), WAKE).map_err(failed)?;
    let server = shared.clone();
    thread::spawn(move || {
        // Without it nothing can be measured.
        if let Err(error) = run(poll, listeners, tls, &server) {
            eprintln!("the cheap Comet stops: {error}");
            std::process::exit(1);
        }
    });
    for line in io::stdin().lines().map_while(Result::ok) {
        let answer = obey(&line, &shared)?;
        waker.wake().map_err(failed)?;
        println!("{answer}");
    }
    Ok(())
}

fn obey(line: &str, shared: &Shared) -> Result<String, String> {
    let own = std::process::id();
    match line.split_once(' ').unwrap_or((line, "")) {
        ("reset", delay) => {
            for tally in &shared.tallies {
                *lock(tally) = Tally::new()?;
            }
            let delay = delay.parse().map_err(|e| format!("{line}: {e}"))?;
            shared.delay.store(delay, Relaxed);
            shared.used.store(cpu_of(own)?, Relaxed);
            Ok("done".into())
        }
        (what @ ("away" | "back"), comet) => {
            let comet: usize = comet.parse().map_err(|e| format!("{line}: {e}"))?;
            shared.away[comet].store(what == "away", Relaxed);
            Ok("done".into())
        }
        ("rooms", layout) => {
            let layout = layout.split_once(' ').and_then(|(rooms, each)| {
                let (rooms, each): (usize, usize) = (rooms.parse().ok()?, each.parse().ok()?);
                Some((rooms, each))
            });
            let (rooms, each) = layout.ok_or_else(|| format!("{line}: two numbers are wanted"))?;
            let comets = shared.tallies.len();
            for (comet, tally) in shared.tallies.iter().enumerate() {
                let mine = |room: usize| (comet + comets - room % comets) % comets < each;
                lock(tally).has_rooms((0..rooms).filter(|room| mine(*room)).collect())?;
            }
            Ok("done".into())
        }
        ("forget-times", _) => {
            shared
                .tallies
                .iter()
                .for_each(|tally| lock(tally).forget_times(now()));
            Ok("done".into())
        }
        ("report", _) => {
            let tallies = shared.tallies.iter();
            let mut reports: Vec<Report> = tallies.map(|tally| lock(tally).report()).collect();
            let cpu = cpu_of(own)?.saturating_sub(shared.used.load(Relaxed));
            reports.iter_mut().for_each(|report| report.cpu = cpu);
            serde_json::to_string(&reports).map_err(|e| e.to_string())
        }
        _ => Err(format!("unknown command: {line}")),
    }
}

/// One thread for all connections.
fn run(
    mut poll: Poll,
    listeners: Vec<TcpListener>,
    tls: Option<Arc<ServerConfig>>,
    shared: &Shared,
) -> io::Result<()> {
    let addresses: io::Result<Vec<SocketAddr>> =
        listeners.iter().map(TcpListener::local_addr).collect();
    let addresses = addresses?;
    let comets = listeners.len();
    let mut listeners: Vec<Option<TcpListener>> = listeners.into_iter().map(Some).collect();
    for (n, listener) in listeners.iter_mut().flatten().enumerate() {
        listen(&poll, listener, n)?;
    }
    let mut connections: HashMap<Token, (usize, Connection)> = HashMap::new();
    let mut last = comets;
    let mut late: VecDeque<(Instant, Token, u32)> = VecDeque::new();
    let mut events = Events::with_capacity(256);
    loop {
        let wait = late
            .front()
            .map(|(due, ..)| due.saturating_duration_since(Instant::now()));
        match poll.poll(&mut events, wait) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        for (n, listener) in listeners.iter_mut().enumerate() {
            let away = shared.away[n].load(Relaxed);
            if away && listener.take().is_some() {
                connections.retain(|_, (comet, _)| *comet != n);
            }
            if !away && listener.is_none() {
                let back = listener.insert(TcpListener::bind(addresses[n])?);
                listen(&poll, back, n)?;
            }
        }
        for event in &events {
            let token = event.token();
            if token.0 < comets {
                let Some(listener) = &listeners[token.0] else {
                    continue;
                };
                while let Ok((mut socket, _)) = listener.accept() {
                    socket.set_nodelay(true)?;
                    last += 1;
                    poll.registry().register(
                        &mut socket,
                        Token(last),
                        Interest::READABLE | Interest::WRITABLE,
                    )?;
                    let line = Line::new(socket, tls.as_ref())?;
                    connections.insert(Token(last), (token.0, Connection::new(line)));
                }
            } else if let Some((comet, connection)) = connections.get_mut(&token) {
                let delay = shared.delay.load(Relaxed);
                let mut tally = lock(&shared.tallies[*comet]);
                let now = now();
                let received = connection.receive(|stream, request| {
                    // `RoomsReq` has no field, and all else that is called has some.
                    if request.is_empty() {
                        return Answer::Message(tally.asked());
                    }
                    tally.call(request, now);
                    if delay > 0 {
                        late.push_back((
                            Instant::now() + Duration::from_micros(delay),
                            token,
                            stream,
                        ));
                        return Answer::Later;
                    }
                    Answer::Empty
                });
                drop(tally);
                // A client that ends may leave something unread.
                if let Err(error) = &received
                    && error.kind() != io::ErrorKind::ConnectionReset
                {
                    eprintln!("the cheap Comet closes a connection: {error}");
                }
                if !matches!(received, Ok(true))
                    && let Some((_, mut gone)) = connections.remove(&token)
                {
                    poll.registry().deregister(gone.socket())?;
                }
            }
        }
        let now = Instant::now();
        while late.front().is_some_and(|(due, ..)| *due <= now) {
            if let Some((_, token, stream)) = late.pop_front()
                && let Some((_, connection)) = connections.get_mut(&token)
            {
                connection.answer(stream);
                // An error shows at the next read.
                let _ = connection.send();
            }
        }
    }
}

fn listen(poll: &Poll, listener: &mut TcpListener, comet: usize) -> io::Result<()> {
    poll.registry()
        .register(listener, Token(comet), Interest::READABLE)
}

/// The Comets' process, as the benchmark holds it.
pub struct Comets {
    _process: Process,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// `host:port` of each.
    pub addresses: Vec<String>,
    pub with_tls: bool,
}

impl Comets {
    /// With TLS where there is a folder with a certificate.
    pub fn start(count: usize, certificate: Option<&Path>) -> Result<Comets, String> {
        let own = std::env::current_exe()
            .map_err(|e| format!("this program's own place is not known: {e}"))?;
        let mut command = Command::new(own);
        command
            .args(["cheap-comet", &count.to_string()])
            .args(certificate)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process = Process::spawn(command)?;
        let (Some(input), Some(output)) = (process.child.stdin.take(), process.child.stdout.take())
        else {
            return Err("the cheap Comet has no pipes".into());
        };
        let mut comets = Comets {
            _process: process,
            input,
            output: BufReader::new(output),
            addresses: Vec::new(),
            with_tls: certificate.is_some(),
        };
        comets.addresses = comets.line()?.split(',').map(str::to_owned).collect();
        Ok(comets)
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        match self.output.read_line(&mut line) {
            Ok(0) => Err("the cheap Comet has ended".into()),
            Ok(_) => Ok(line.trim_end().to_owned()),
            Err(error) => Err(format!("the cheap Comet doesn't answer: {error}")),
        }
    }

    fn ask(&mut self, command: &str) -> Result<String, String> {
        writeln!(self.input, "{command}")
            .map_err(|e| format!("the cheap Comet doesn't listen: {e}"))?;
        self.line()
    }

    /// Forgets everything. From now on each call takes at least so long.
    pub fn reset(&mut self, delay: Duration) -> Result<(), String> {
        self.ask(&format!("reset {}", delay.as_micros())).map(drop)
    }

    /// Each of so many rooms is on so many Comets from now on, which tell it. Messages of other rooms count as spare.
    pub fn lay_out(&mut self, rooms: usize, each: usize) -> Result<(), String> {
        self.ask(&format!("rooms {rooms} {each}")).map(drop)
    }

    /// Begins to count and to time anew, and expects the next message of each room. Messages that were sent before this are
    /// not timed.
    pub fn forget_times(&mut self) -> Result<(), String> {
        self.ask("forget-times").map(drop)
    }

    /// One drops all its connections, and takes none; or takes them again, at the same address.
    pub fn be_away(&mut self, comet: usize, away: bool) -> Result<(), String> {
        let what = if away { "away" } else { "back" };
        self.ask(&format!("{what} {comet}")).map(drop)
    }

    /// All as one.
    pub fn report(&mut self) -> Result<Report, String> {
        self.reports().map(|reports| Report::of_all(&reports))
    }

    /// Of each; the CPU time is that of all.
    pub fn reports(&mut self) -> Result<Vec<Report>, String> {
        let line = self.ask("report")?;
        serde_json::from_str(&line).map_err(|e| format!("the cheap Comet said {line:?}: {e}"))
    }
}
