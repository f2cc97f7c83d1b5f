//! Whose calls they are that a Comet wrote down.

use std::collections::HashMap;

use super::facts::is_delivered;
use crate::children::Life;
use crate::proxy::Peer;
use crate::record::{Event, Record};
use crate::timeline::Micros;

/// When a Comet answered well, and which process.
pub type Ok = (Micros, usize);

/// The process behind each port, by time.
pub struct Callers {
    of_port: HashMap<u16, Vec<(Micros, usize)>>,
}

impl Callers {
    /// A process of a job that isn't known: its place among the lives would be this.
    pub const NOBODY: usize = usize::MAX;

    pub fn new(peers: &[Peer], lives: &[Life]) -> Callers {
        let mut of_port: HashMap<u16, Vec<(Micros, usize)>> = HashMap::new();
        for peer in peers {
            let life = lives.iter().position(|life| {
                life.slot == peer.slot
                    && life.started <= peer.since
                    && life.ended.is_none_or(|end| end >= peer.since)
            });
            of_port
                .entry(peer.port)
                .or_default()
                .push((peer.since, life.unwrap_or(Self::NOBODY)));
        }
        Callers { of_port }
    }

    /// The process that had this port at this time.
    pub fn whose(&self, port: u16, at: Micros) -> usize {
        let of_port = self.of_port.get(&port).map_or(&[][..], Vec::as_slice);
        let before = of_port.partition_point(|(since, _)| *since <= at);
        match before.checked_sub(1) {
            Some(place) => of_port[place].1,
            None => Self::NOBODY,
        }
    }

    /// By Comet: its deliveries, in the order in which they came.
    pub fn oks(&self, records: &[Record]) -> Vec<Vec<Ok>> {
        let of_record = |record: &Record| {
            let oks = record.events.iter().filter_map(|event| match *event {
                Event::Answer { at, call, code } if is_delivered(code) => {
                    match record.events[call as usize] {
                        Event::Call(call) => Some((at, self.whose(call.port, call.at))),
                        Event::Answer { .. } => None,
                    }
                }
                _ => None,
            });
            oks.collect()
        };
        records.iter().map(of_record).collect()
    }
}
