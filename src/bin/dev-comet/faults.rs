//! Faults that a Comet is asked to show, where that was allowed at its start: errors, delays, no answer at all.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use chatroom_job::comet::RpcStatusCode;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::grpc::{Outcome, Status};

/// What `POST /fault` takes and `GET /fault` shows, as JSON. `{}` is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fault {
    /// The number of a gRPC status; 0 is none. Calls that are answered so reach nobody.
    pub status: i32,
    /// What is said with it, as `signal channel full, msg dropped`.
    pub text: Option<String>,
    /// Which part of the calls gets that status, 0 to 1; 1 when it is left out.
    pub probability: Option<f64>,
    /// How long each answer takes, in milliseconds.
    pub delay_ms: u64,
    /// Calls get no answer; those that wait when it ends are cancelled.
    pub hang: bool,
    /// User keys whose queues are full. Of goim's Comets: one of this service has no such error.
    pub full: Vec<String>,
}

/// What happens to one call.
pub enum Trouble {
    None,
    Status(Status),
    Hang,
}

/// The fault of now, and the calls that it left hanging.
#[derive(Default)]
pub struct Faults(Mutex<State>);

#[derive(Default)]
struct State {
    fault: Fault,
    hanging: Vec<oneshot::Sender<Outcome>>,
}

impl Faults {
    /// The fault of now.
    pub fn current(&self) -> Fault {
        self.state().fault.clone()
    }

    /// From now on it is this one.
    pub fn set(&self, fault: Fault) {
        let mut state = self.state();
        state.fault = fault;
        // A sender that is dropped cancels its call.
        state.hanging.clear();
    }

    /// What happens to the next call, and after how long.
    pub fn draw(&self) -> (Trouble, Duration) {
        let state = self.state();
        let fault = &state.fault;
        let trouble = if fault.hang {
            Trouble::Hang
        } else if fault.status != 0 && fastrand::f64() < fault.probability.unwrap_or(1.0) {
            let code = RpcStatusCode::from(fault.status);
            let text = fault.text.as_deref();
            Trouble::Status(Status::new(
                code,
                text.unwrap_or("a fault that was asked for"),
            ))
        } else {
            Trouble::None
        };
        (trouble, Duration::from_millis(fault.delay_ms))
    }

    /// Whether the queue of this user counts as full.
    pub fn is_full(&self, key: &str) -> bool {
        self.state().fault.full.iter().any(|full| full == key)
    }

    /// Keeps what a call would be answered through, until the fault ends.
    pub fn leave_hanging(&self, answer: oneshot::Sender<Outcome>) {
        let mut state = self.state();
        if state.fault.hang {
            state.hanging.push(answer);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("the faults' lock is never poisoned")
    }
}
