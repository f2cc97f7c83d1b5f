//! What the cases share: the broker, the cheap Comets, filled topics, and the drain of one.

use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use krafka::Kafka as Client;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::comet::{Comets, Report, make_certificate, now};
pub use crate::drain::{Drain, Drained, JOB};
use crate::kafka::{self, Kafka, Listener};
use crate::limit::{self, Limit, Way};
use crate::load::{Loader, Pace, Shape};
use crate::process::{self, Job, Start, Thread};

/// So long nothing may come before a run is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// The size of everything.
#[derive(Clone, Debug)]
pub struct Scale {
    pub rounds: usize,
    pub messages: usize,
    pub memory_messages: usize,
    /// Of each measurement that lasts a time rather than a number of messages.
    pub seconds: f64,
    /// How long the producer of the case latency waits for more messages of a batch.
    pub linger: Duration,
}

pub struct Stage {
    pub scale: Scale,
    version: String,
    pub folder: TempDir,
    /// Before the broker, so that it is closed first.
    client: Client,
    runtime: Runtime,
    pub kafka: Kafka,
    comets: Option<Comets>,
    topics: HashMap<(String, usize), String>,
    made: usize,
    doing: String,
}

/// A group that reads from the topic's beginning.
fn new_group() -> String {
    format!("bench-{:016x}", fastrand::u64(..))
}

impl Stage {
    pub fn new(scale: Scale, version: &str) -> Result<Stage, String> {
        eprintln!("bench: starting Kafka {version}");
        Self::with(scale, version, Kafka::start(version)?)
    }

    /// Another stage, with a Kafka that is reached through each of the listeners.
    pub fn beside_secured(&self) -> Result<(Stage, [Listener; 3]), String> {
        let folder = self.folder.path().join("secured");
        let (kafka, listeners) = Kafka::start_secured(&self.version, &folder)?;
        let stage = Self::with(self.scale.clone(), &self.version, kafka)?;
        Ok((stage, listeners))
    }

    fn with(scale: Scale, version: &str, kafka: Kafka) -> Result<Stage, String> {
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
        let folder = tempfile::Builder::new()
            .prefix("bench-")
            .tempdir_in(&target)
            .map_err(|e| format!("no folder can be made in {}: {e}", target.display()))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|e| format!("the benchmark's own threads do not start: {e}"))?;
        let client = runtime.block_on(kafka.client())?;
        Ok(Stage {
            scale,
            version: version.to_owned(),
            folder,
            client,
            runtime,
            kafka,
            comets: None,
            topics: HashMap::new(),
            made: 0,
            doing: String::new(),
        })
    }

    /// Kafka compiles its code while it runs: what is measured first would have less of the machine than the rest.
    pub fn warm_up(&mut self) -> Result<(), String> {
        let drain = Drain::new(self.scale.messages, 1);
        for round in 1..=3 {
            self.doing(format!("warming Kafka up, {round} of 3"));
            self.drain(&drain)?;
        }
        Ok(())
    }

    /// Says what goes on: one line that changes on a terminal, a line each elsewhere.
    pub fn doing(&mut self, what: impl Into<String>) {
        self.doing = what.into();
        let mut errors = std::io::stderr();
        // Nobody may be looking.
        let _ = match errors.is_terminal() {
            true => write!(errors, "\r\x1b[Kbench: {}", self.doing),
            false => writeln!(errors, "bench: {}", self.doing),
        };
    }

    /// So many Comets of one process, which have forgotten everything.
    pub fn comets(&mut self, count: usize, delay: Duration) -> Result<&mut Comets, String> {
        self.comets_over((count, false), delay)
    }

    /// So many, and whether with TLS.
    fn comets_over(
        &mut self,
        (count, tls): (usize, bool),
        delay: Duration,
    ) -> Result<&mut Comets, String> {
        let is_asked = |comets: &Comets| (comets.addresses.len(), comets.with_tls) == (count, tls);
        if !self.comets.as_ref().is_some_and(is_asked) {
            self.comets = None;
            let certificate = tls.then(|| self.folder.path());
            self.comets = Some(Comets::start(count, certificate)?);
        }
        let comets = self.comets.as_mut().ok_or("there is no Comet")?;
        comets.reset(delay)?;
        Ok(comets)
    }

    /// Makes the certificate that Comets with TLS have. Returns where it is, for `--comet-ca`.
    pub fn certificate(&self) -> Result<String, String> {
        make_certificate(self.folder.path())
    }

    /// Each of so many rooms is on so many Comets, which tell it.
    pub fn lay_out(&mut self, rooms: usize, each: usize) -> Result<(), String> {
        self.comets
            .as_mut()
            .ok_or("there is no Comet")?
            .lay_out(rooms, each)
    }

    /// The name of a topic that holds so many messages; it is filled when it is first asked for.
    pub fn topic(
        &mut self,
        partitions: usize,
        shape: Shape,
        messages: usize,
    ) -> Result<String, String> {
        let key = (format!("{shape:?} {messages}"), partitions);
        if let Some(topic) = self.topics.get(&key) {
            return Ok(topic.clone());
        }
        self.doing(format!(
            "writing {messages} messages of {} bytes for {} rooms into {partitions} partitions",
            shape.size, shape.rooms
        ));
        let topic = self.empty_topic(partitions)?;
        self.runtime.block_on(async {
            let mut loader = Loader::new(&self.client, &topic, shape, Pace::Fast).await?;
            loader.fill(messages).await?;
            loader.finish().await
        })?;
        self.topics.insert(key, topic.clone());
        Ok(topic)
    }

    pub fn empty_topic(&mut self, partitions: usize) -> Result<String, String> {
        self.made += 1;
        let topic = format!("bench-{}", self.made);
        self.runtime
            .block_on(kafka::create_topic(&self.client, &topic, partitions))?;
        Ok(topic)
    }

    /// Deletes all topics that were filled.
    pub fn drop_topics(&mut self) -> Result<(), String> {
        for (_, topic) in self.topics.drain() {
            self.runtime
                .block_on(kafka::delete_topic(&self.client, &topic))?;
        }
        Ok(())
    }

    /// One that sends at a rate, with [`Loader::run`].
    pub fn loader(&self, topic: &str, shape: Shape) -> Result<Loader, String> {
        let linger = self.scale.linger;
        self.loader_at(topic, shape, Pace::AtARate { linger })
    }

    /// One that sends as fast as it can, with [`Loader::fill`].
    pub fn filler(&self, topic: &str, shape: Shape) -> Result<Loader, String> {
        self.loader_at(topic, shape, Pace::Fast)
    }

    fn loader_at(&self, topic: &str, shape: Shape, pace: Pace) -> Result<Loader, String> {
        let loader = Loader::new(&self.client, topic, shape, pace);
        self.runtime.block_on(loader)
    }

    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// The raw caller, against one Comet.
    pub fn limit(
        &mut self,
        way: Way,
        calls: usize,
        shape: &Shape,
        delay: Duration,
    ) -> Result<Limit, String> {
        let comets = self.comets(1, delay)?;
        limit::measure(comets, way, calls, shape)
    }

    pub fn start_job(&mut self, topic: &str, level: &str) -> Result<Job, String> {
        self.start(Path::new(JOB), None, topic, level, &[])
    }

    /// A service that handles one message at a time, in job's place. It can't be stopped, only dropped.
    pub fn start_one_by_one(&mut self, topic: &str) -> Result<Job, String> {
        let own = std::env::current_exe()
            .map_err(|e| format!("this program's own place is not known: {e}"))?;
        self.start(&own, Some("one-by-one"), topic, "WARN", &[])
    }

    /// A program that takes job's flags, against the Comets that there are.
    pub fn start(
        &mut self,
        binary: &Path,
        part: Option<&str>,
        topic: &str,
        level: &str,
        flags: &[String],
    ) -> Result<Job, String> {
        let comets = self.comets.as_ref().ok_or("there is no Comet")?;
        Job::start(&Start {
            binary,
            part,
            brokers: &self.kafka.address,
            topic,
            group: &new_group(),
            comets: &comets.addresses,
            level,
            flags,
            log: &self.folder.path().join("job.log"),
        })
    }

    /// So many jobs of one group. Returns them when each has its partitions.
    pub fn start_group(
        &mut self,
        topic: &str,
        size: usize,
        flags: &[&str],
    ) -> Result<Vec<Job>, String> {
        let comets = self.comets.as_ref().ok_or("there is no Comet")?;
        let group = new_group();
        let jobs = (0..size).map(|n| {
            let mut flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
            flags.extend(["--control".to_owned(), self.socket(n)]);
            Job::start(&Start {
                binary: Path::new(JOB),
                part: None,
                brokers: &self.kafka.address,
                topic,
                group: &group,
                comets: &comets.addresses,
                level: "WARN",
                flags: &flags,
                log: &self.folder.path().join(format!("job-{n}.log")),
            })
        });
        let jobs = jobs.collect::<Result<_, _>>()?;
        self.runtime
            .block_on(kafka::await_group(&self.client, &group, size))?;
        Ok(jobs)
    }

    /// Where the job of this number in a group takes commands.
    fn socket(&self, n: usize) -> String {
        let path = self.folder.path().join(format!("job-{n}.socket"));
        path.display().to_string()
    }

    /// Gives each job of a group a command of `job ctl`.
    pub fn tell_group(&self, size: usize, what: &str) -> Result<(), String> {
        for n in 0..size {
            process::ctl(Path::new(JOB), &self.socket(n), what)?;
        }
        Ok(())
    }

    /// Waits until the Comets have so many messages, each once.
    pub fn wait(&mut self, job: &mut Job, messages: usize) -> Result<Report, String> {
        let reports = self.wait_while(job, None, messages, || {
            thread::sleep(Duration::from_millis(10));
            Ok(messages)
        })?;
        Ok(Report::of_all(&reports))
    }

    /// Does `meanwhile` again and again until one Comet, or all together, have the messages that are `due`, each once.
    /// `meanwhile` returns how many are due at the next look. Gives what each Comet got.
    pub fn wait_while(
        &mut self,
        job: &mut Job,
        comet: Option<usize>,
        mut due: usize,
        mut meanwhile: impl FnMut() -> Result<usize, String>,
    ) -> Result<Vec<Report>, String> {
        let (mut last, mut moved) = (0, Instant::now());
        loop {
            let comets = self.comets.as_mut().ok_or("there is no Comet")?;
            let reports = comets.reports()?;
            let unique = match comet {
                Some(comet) => reports[comet].unique,
                None => Report::of_all(&reports).unique,
            };
            if unique >= due as u64 {
                return Ok(reports);
            }
            job.must_run()?;
            if unique > last {
                (last, moved) = (unique, Instant::now());
            }
            if moved.elapsed() > PATIENCE {
                return Err(format!(
                    "{}: {last} of {due} messages came, and then none for {} s. The end of job's log:\n{}",
                    self.doing,
                    PATIENCE.as_secs(),
                    job.last_words()
                ));
            }
            due = meanwhile()?;
        }
    }

    /// What each Comet got.
    pub fn reports(&mut self) -> Result<Vec<Report>, String> {
        self.comets.as_mut().ok_or("there is no Comet")?.reports()
    }

    /// Drops a Comet's connections, and it takes none until it is back.
    pub fn comet_is_away(&mut self, comet: usize, away: bool) -> Result<(), String> {
        self.comets
            .as_mut()
            .ok_or("there is no Comet")?
            .be_away(comet, away)
    }

    /// Forgets what the Comets counted, but not which message of each room comes next. Only what is sent from now on is timed.
    pub fn forget_times(&mut self) -> Result<(), String> {
        self.comets
            .as_mut()
            .ok_or("there is no Comet")?
            .forget_times()
    }

    /// A new job from its start until all is delivered. Any message lost, repeated or out of order is an error.
    pub fn drain(&mut self, drain: &Drain) -> Result<Drained, String> {
        self.drain_watched(drain, |_| Ok(()))
            .map(|(drained, _)| drained)
    }

    /// The same; `watch` gets the id of the process once the first message came, when all its threads are there. Gives the
    /// threads that there were at the end, too.
    pub fn drain_watched(
        &mut self,
        drain: &Drain,
        watch: impl FnOnce(u32) -> Result<(), String>,
    ) -> Result<(Drained, Vec<Thread>), String> {
        let topic = self.topic(drain.partitions, drain.shape, drain.messages)?;
        self.comets_over((drain.comets, drain.tls), drain.delay)?;
        let due = drain.messages * drain.comets;
        let begin = now();
        let mut job = self.start(&drain.binary, None, &topic, drain.level, &drain.flags)?;
        self.wait(&mut job, 1)?;
        watch(job.pid())?;
        let report = self.wait(&mut job, due)?;
        let (cpu, (peak, memory)) = (job.cpu()?, job.memory()?);
        let threads = job.threads()?;
        job.stop()?;
        let last = self.comets.as_mut().ok_or("there is no Comet")?.report()?;
        if last.duplicates + last.out_of_order + last.unreadable > 0 {
            return Err(format!(
                "{}: of {due} messages {} came again, {} out of order, and {} could not be read",
                self.doing, last.duplicates, last.out_of_order, last.unreadable
            ));
        }
        let drained = Drained {
            messages_per_second: drain.messages as f64 / report.seconds(),
            calls: report.calls,
            cpu_a_message: cpu as f64 / drain.messages as f64,
            peak,
            memory,
            first: Duration::from_micros(report.first.saturating_sub(begin)),
        };
        Ok((drained, threads))
    }
}
