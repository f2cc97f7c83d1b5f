//! What each command does: whom it tells, and what is said of it.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;
use jiff::Timestamp;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::journal::{self, Journal};
use super::reload::{Reload, reload};
use super::request::{Entry, Reply, Request};
use crate::base::notify::{self, READY};
use crate::base::text::{counted, one_line};
use crate::figures::Figures;
use crate::message::consumer::{Control, Paused};
use crate::message::group::{self, Skip, Skipped};
use crate::message::{CometId, PartitionId, TopicId, Topics};
use crate::observe::logging;

/// A thread that doesn't answer within this is waited for no longer. A fetch that hangs is given up sooner.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// How the desk reaches the rest of the job.
pub struct Wires {
    pub consumer: Sender<Control>,
    pub group: Sender<group::Event>,
    pub topics: Topics,
    /// Has the Comets' names.
    pub figures: Arc<Figures>,
    pub reload: Reload,
}

/// Who gives a command.
#[derive(Clone, Copy, Debug)]
pub struct By {
    pub uid: u32,
    pub pid: Option<i32>,
}

/// Carries out commands, and keeps the journal.
pub struct Desk {
    wires: Wires,
    journal: Journal,
}

impl Desk {
    pub fn new(wires: Wires) -> Self {
        Self {
            wires,
            journal: Journal::default(),
        }
    }

    /// Takes the line of a command.
    pub async fn take(&mut self, line: &str, by: By) -> Reply {
        let request = match Request::read(line) {
            Ok(Request::Journal) => return self.show_journal(),
            Ok(request) => request,
            Err(why) => {
                let reply = Reply::failed(why);
                self.note(one_line(line), by, &reply);
                return reply;
            }
        };
        let command = request.to_string();
        if let Request::LogLevel(level) = request {
            let before = log::max_level();
            let reply = Reply::done(match before == level {
                true => format!("the log is at {level} already"),
                false => format!("the log is at {level} now; it was at {before}"),
            });
            // Said where it is seen: before the log gets shorter, and after it got longer.
            logging::set_level(level.max(before));
            self.note(command, by, &reply);
            logging::set_level(level);
            return reply;
        }
        let reply = self.execute(request, by).await;
        self.note(command, by, &reply);
        reply
    }

    async fn execute(&mut self, request: Request, by: By) -> Reply {
        let done = match request {
            Request::Pause => self.pause(true).await,
            Request::Resume => self.pause(false).await,
            Request::Skip {
                topic,
                partition,
                offset,
            } => self.skip(topic, partition, offset, by.uid).await,
            Request::Reload => {
                notify::tell(&notify::reloading());
                let reply = reload(&mut self.wires.reload);
                notify::tell(READY);
                return reply;
            }
            Request::LogLevel(_) | Request::Journal => Ok(String::new()),
        };
        done.map_or_else(Reply::failed, Reply::done)
    }

    fn note(&mut self, command: String, by: By, reply: &Reply) {
        let outcome = reply.says.first().cloned().unwrap_or_default();
        let ended = if reply.ok { "" } else { "failed: " };
        log::info!("job ctl, uid {}: {command}: {ended}{outcome}", by.uid);
        self.journal.note(Entry {
            at: Timestamp::now().strftime("%Y-%m-%d %H:%M:%S").to_string(),
            uid: by.uid,
            pid: by.pid,
            command,
            ok: reply.ok,
            outcome,
        });
    }

    fn show_journal(&self) -> Reply {
        let journal = self.journal.entries();
        let says = match journal.is_empty() {
            true => vec!["no command was given since this job's start".into()],
            false => journal.iter().map(journal::line).collect(),
        };
        Reply {
            ok: true,
            says,
            journal,
        }
    }

    async fn pause(&mut self, paused: bool) -> Result<String, String> {
        let (reply, answer) = oneshot::channel();
        let _ = self.wires.consumer.send(Control::Pause { paused, reply });
        let Paused { was_paused, held } = heard(answer, "the thread that reads").await?;
        let held = counted(held.messages as u64, "message");
        Ok(match (paused, was_paused) {
            (true, false) => {
                format!("reading is paused; {held} in hand are finished and committed")
            }
            (true, true) => format!("reading is paused already; {held} in hand"),
            (false, true) => "reading goes on".into(),
            (false, false) => "reading isn't paused".into(),
        })
    }

    async fn skip(
        &mut self,
        topic: Option<String>,
        partition: i32,
        offset: i64,
        uid: u32,
    ) -> Result<String, String> {
        let (id, own) = self.topic(topic.as_deref())?;
        let record = format!("{own}[{partition}]@{offset}");
        let partition = PartitionId {
            topic: id,
            index: partition,
        };
        let (reply, answer) = oneshot::channel();
        let skip = group::Event::Skip(Skip {
            partition,
            offset,
            uid,
            reply,
        });
        let _ = self.wires.group.send(skip);
        let skipped = heard(answer, "the group's thread").await?;
        self.told(&record, skipped)
    }

    /// The topic of that name, or the only one.
    ///
    /// # Errors
    /// The job doesn't read it, or none is named of several.
    fn topic(&self, name: Option<&str>) -> Result<(TopicId, &str), String> {
        let topics = &self.wires.topics;
        let all = || topics.names().collect::<Vec<_>>().join(", ");
        let id = match name {
            Some(name) => topics
                .id(name)
                .ok_or_else(|| format!("this job reads {}, not {}", all(), one_line(name)))?,
            None if topics.are_several() => {
                return Err(format!("name the topic, one of {}", all()));
            }
            None => TopicId(0),
        };
        Ok((id, topics.name(id)))
    }

    /// Says what became of a record that was to be skipped.
    ///
    /// # Errors
    /// It isn't skipped: why.
    fn told(&self, record: &str, skipped: Skipped) -> Result<String, String> {
        let named = |comets: &[CometId]| {
            let names = &self.wires.figures.comets;
            let names: Vec<_> = comets.iter().map(|comet| names.name(*comet)).collect();
            names.join(", ")
        };
        match skipped {
            Skipped::NotOurs => Err(format!("{record}: this job doesn't have the partition")),
            Skipped::Suspect => Err(format!(
                "{record}: the partition may be another member's by now: try again when that is clear"
            )),
            Skipped::Unread { next } => Err(format!(
                "{record} isn't read yet: the next to be read is {next}"
            )),
            Skipped::Finished { missed } if missed.is_empty() => Err(format!(
                "{record} is finished already, or there is no such record"
            )),
            Skipped::Finished { missed } => Err(format!(
                "{record} is finished at the Comets that were there; {} missed it, and it isn't in hand for that: try again when \
                 it catches up",
                named(&missed)
            )),
            Skipped::NotHeld => Err(format!(
                "{record} isn't finished, but no worker has it: it is becoming a dead letter, or was read this moment"
            )),
            Skipped::Taken {
                queued,
                in_flight,
                missed,
            } => {
                let mut text = format!("{record} is skipped");
                if !queued.is_empty() {
                    text += &format!("; it becomes a dead letter for {}", named(&queued));
                }
                if !in_flight.is_empty() {
                    text += &format!(
                        "; a call is under way to {}, which has it if that ends well, and else it isn't tried again",
                        named(&in_flight)
                    );
                }
                if !missed.is_empty() {
                    text += &format!(
                        "; {} missed it, and still gets it when it catches up",
                        named(&missed)
                    );
                }
                Ok(text)
            }
        }
    }
}

/// # Errors
/// The answer doesn't come.
async fn heard<T>(answer: oneshot::Receiver<T>, who: &str) -> Result<T, String> {
    match timeout(ANSWER_WITHIN, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) => Err("job is stopping".into()),
        Err(_) => Err(format!(
            "{who} did not answer within {} s; it does this once it goes on",
            ANSWER_WITHIN.as_secs()
        )),
    }
}
