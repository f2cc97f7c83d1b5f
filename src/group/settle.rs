//! What becomes of messages: what counts as finished, what becomes a dead letter, and what is no longer held.

use std::collections::BTreeMap;

use super::Group;
use super::effect::Effect;
use super::notice::Notice;
use crate::message::consumer::Control;
use crate::message::dead_letter::Letter;
use crate::message::{Cause, CometId, Completion, Held, Reason, RecordId, Settled};

impl Group {
    pub(super) fn settle(&mut self, settled: Vec<Settled>) {
        let (mut live, mut again) = (Held::default(), BTreeMap::<CometId, Held>::new());
        let mut gone = 0u64;
        for Settled {
            record,
            bytes,
            completion,
        } in settled
        {
            let mut held = &mut live;
            match completion {
                Completion::Undeliverable { why, at } if self.owner(record).is_some() => {
                    self.too_old_letters += u64::from(why.cause == Cause::TooOld);
                    self.write_letter(record, (bytes, at), why, None);
                    continue;
                }
                Completion::Delivered => {
                    self.counts.delivered += 1;
                    self.uncommitted += 1;
                    self.finished(record);
                }
                Completion::TooOld { at: None } => {
                    self.count_too_old();
                    self.uncommitted += 1;
                    self.finished(record);
                }
                // What can't be delivered of a partition that is another's is the other's dead letter.
                Completion::Released | Completion::Undeliverable { at: None, .. } => {
                    if let Some(owned) = self.owner(record) {
                        owned.ledger.release(record.offset);
                        self.counts.given_back += 1;
                    } else if self.is_of_log_before(record) {
                        gone += 1;
                    }
                }
                Completion::Lacks { .. } | Completion::CameBack { .. } => {
                    self.at_comet(record, &completion);
                    continue;
                }
                Completion::Again { comet, .. } => {
                    self.uncommitted += 1;
                    self.at_comet(record, &completion);
                    held = again.entry(comet).or_default();
                }
                Completion::TooOld { at: Some(comet) } => {
                    self.count_too_old();
                    self.uncommitted += 1;
                    if let Some(ledger) = self.ledger_of(record) {
                        ledger.took(comet, record.offset);
                    }
                    held = again.entry(comet).or_default();
                }
                Completion::Undeliverable {
                    at: Some(comet), ..
                } => held = again.entry(comet).or_default(),
            }
            *held += Held { messages: 1, bytes };
        }
        if gone > 0 {
            self.effects.say(Notice::GoneUndelivered { messages: gone });
        }
        self.credit(live, None);
        for (comet, again) in again {
            self.credit(again, Some(comet));
        }
        self.commit_if_many();
    }

    /// Takes a finished record into the account, also of a partition that was given up and may come back.
    pub(super) fn finished(&mut self, record: RecordId) {
        if let Some(ledger) = self.ledger_of(record) {
            ledger.finish(record.offset);
        }
    }

    /// The message is held until the letter is written: letters that wait count against the cap too.
    pub(super) fn write_letter(
        &mut self,
        record: RecordId,
        (bytes, at): (usize, Option<CometId>),
        why: Box<Reason>,
        last: Option<i64>,
    ) {
        self.effects.push(Effect::Letter(Letter {
            record,
            last,
            bytes,
            at,
            why,
        }));
    }

    /// `again` is the Comet that they were read again for.
    pub(super) fn credit(&mut self, held: Held, again: Option<CometId>) {
        let Held { messages, bytes } = held;
        if messages > 0 {
            self.effects.consumer(Control::Credit {
                messages,
                bytes,
                again,
            });
        }
    }

    fn count_too_old(&mut self) {
        self.counts.too_old += 1;
        self.too_old += 1;
    }

    /// Says how many messages were too old since it was said last.
    pub(super) fn say_too_old(&mut self) {
        let messages = std::mem::take(&mut self.too_old);
        let letters = std::mem::take(&mut self.too_old_letters);
        if messages + letters > 0 {
            self.effects.say(Notice::TooOld { messages, letters });
        }
    }
}
