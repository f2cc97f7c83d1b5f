//! Which caller the settings ask for.

use std::sync::Arc;

use super::{Callers, Kind, Way};
use crate::base::limits;
use crate::comet::tls::Tls;
use crate::comet::{Metadata, Queues};
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
    /// For these settings, and so many workers. From now on the files of TLS and of metadata are read again when they change.
    ///
    /// # Errors
    /// A sentence on a file that can't be used; or the system has no thread left.
    pub fn of_settings(config: &Config, workers: usize) -> Result<Callers, String> {
        let no_thread = |error| format!("starting a thread failed: {}", limits::explained(&error));
        let metadata = Metadata::read(&config.comet_metadata)?;
        if let Some(metadata) = &metadata {
            metadata.watch().map_err(no_thread)?;
        }
        let tls = match &config.comet_tls {
            None => None,
            Some(settings) => {
                let tls = Arc::new(Tls::load(settings)?);
                tls.watch().map_err(no_thread)?;
                Some(tls)
            }
        };
        let way = match kind(config).0 {
            Kind::Grpcio => Way::Grpcio(Queues::new(workers)),
            Kind::Lean => Way::Lean(tls),
        };
        Ok(Self { way, metadata })
    }
}
