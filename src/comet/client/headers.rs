//! What goes along with a channel's calls, as gRPC's library has it. Built once, and again when it has changed.

use std::sync::Arc;
use std::time::Duration;

use grpcio::{CallOption, MetadataBuilder};

use crate::base::metadata::{decoded, is_binary};
use crate::comet::metadata::{Field, Metadata};

pub struct Headers {
    metadata: Option<Arc<Metadata>>,
    /// What was built, and of which version.
    built: Option<(u64, grpcio::Metadata)>,
}

impl Headers {
    pub fn new(metadata: Option<Arc<Metadata>>) -> Self {
        let built = None;
        Self { metadata, built }
    }

    pub fn bring_up_to_date(&mut self) {
        let Some(metadata) = &self.metadata else {
            return;
        };
        let version = metadata.version();
        if self
            .built
            .as_ref()
            .is_none_or(|(built, _)| *built != version)
        {
            self.built = Some((version, build(&metadata.fields())));
        }
    }

    /// What was built last.
    pub fn now(&self) -> Option<&grpcio::Metadata> {
        self.built.as_ref().map(|(_, built)| built)
    }

    /// For a call of this deadline.
    pub fn options(&self, within: Duration) -> CallOption {
        options(within, self.now())
    }
}

/// For a call of this deadline, with these headers.
pub fn options(within: Duration, headers: Option<&grpcio::Metadata>) -> CallOption {
    let options = CallOption::default().timeout(within);
    match headers {
        Some(headers) => options.headers(headers.clone()),
        None => options,
    }
}

fn build(fields: &[Field]) -> grpcio::Metadata {
    let mut builder = MetadataBuilder::with_capacity(fields.len());
    for Field { name, value, .. } in fields {
        // The library encodes bytes itself.
        let added = match is_binary(name).then(|| decoded(value)).flatten() {
            Some(bytes) => builder.add_bytes(name, &bytes).map(drop),
            None => builder.add_str(name, value).map(drop),
        };
        debug_assert!(added.is_ok(), "{name}: names and values were checked");
    }
    builder.build()
}
