//! Which caller the settings ask for.

use std::sync::Arc;

use super::{Callers, Kind};
use crate::base::limits;
use crate::comet::Queues;
use crate::comet::tls::Tls;
use crate::settings::{self, Config};

/// The way to call that these settings ask for, and why it is this one.
pub fn kind(config: &Config) -> (Kind, String) {
    match (config.caller, config.needs_lean()) {
        (settings::Caller::Grpcio, _) => (Kind::Grpcio, "as caller says".into()),
        (settings::Caller::Lean, _) => (Kind::Lean, "as caller says".into()),
        (settings::Caller::Auto, None) => (Kind::Grpcio, "caller is auto".into()),
        (settings::Caller::Auto, Some(why)) => (Kind::Lean, format!("caller is auto, and {why}")),
    }
}

impl Callers {
    /// For these settings, and so many workers. From now on the files of TLS are read again when they change.
    ///
    /// # Errors
    /// A sentence on a file that can't be used; or the system has no thread left.
    pub fn of_settings(config: &Config, workers: usize) -> Result<Callers, String> {
        let tls = match &config.comet_tls {
            None => None,
            Some(settings) => {
                let tls = Arc::new(Tls::load(settings)?);
                tls.watch().map_err(|error| {
                    format!("starting a thread failed: {}", limits::explained(&error))
                })?;
                Some(tls)
            }
        };
        Ok(match kind(config).0 {
            Kind::Grpcio => Self::Grpcio(Queues::new(workers)),
            Kind::Lean => Self::Lean(tls),
        })
    }
}
