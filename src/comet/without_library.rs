//! A build without gRPC's library has these in place of what is over it. None can be made, so nothing is called.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use super::{Location, Manner, Metadata};
use crate::message::call::Call;
use crate::message::{Answer, Status};

/// What the library's threads are in other builds.
pub struct Queues(Infallible);

pub struct Environment(Infallible);

pub struct Client(Infallible);

impl Queues {
    /// # Panics
    /// The settings don't let it come to this.
    pub fn new(_workers: usize) -> Self {
        panic!("this job was built without gRPC's library")
    }

    pub fn of(&self, _worker: usize) -> Arc<Environment> {
        match self.0 {}
    }
}

impl Client {
    pub fn new(
        environment: Arc<Environment>,
        _: Arc<Location>,
        _: Manner,
        _: Option<Arc<Metadata>>,
    ) -> Self {
        match environment.0 {}
    }

    pub fn call(
        &mut self,
        _: &Call,
        _: (u32, &[(&str, &str)]),
        _now: Instant,
        _done: impl FnOnce(Answer) + Send + 'static,
    ) {
        match self.0 {}
    }

    pub fn probe(&mut self, _done: impl FnOnce(Answer) + Send + 'static) {
        match self.0 {}
    }

    pub fn rooms(&mut self, _done: impl FnOnce(Result<Vec<u8>, Status>) + Send + 'static) {
        match self.0 {}
    }

    pub fn probe_once(self, _done: impl FnOnce(Answer) + Send + 'static) {
        match self.0 {}
    }

    pub fn heard(&mut self, _: &Answer, _now: Instant) {
        match self.0 {}
    }

    pub fn look_at(&self) -> Option<Instant> {
        match self.0 {}
    }

    pub fn look_after(&mut self, _now: Instant) {
        match self.0 {}
    }
}

/// There is no log of the library's.
pub fn redirect_log() {}
