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
            self.built = Some((version, build(&metadata.fields(), &[])));
        }
    }

    /// What was built last.
    pub fn now(&self) -> Option<&grpcio::Metadata> {
        self.built.as_ref().map(|(_, built)| built)
    }

    /// For a call of this deadline, which tells these names and values as well.
    pub fn options(&self, within: Duration, along: &[(&str, &str)]) -> CallOption {
        if along.is_empty() {
            return options(within, self.now());
        }
        let fields = self.metadata.as_ref().map(|metadata| metadata.fields());
        let headers = build(fields.as_deref().unwrap_or_default(), along);
        CallOption::default().timeout(within).headers(headers)
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

fn build(fields: &[Field], along: &[(&str, &str)]) -> grpcio::Metadata {
    let mut builder = MetadataBuilder::with_capacity(fields.len() + along.len());
    for Field { name, value, .. } in fields {
        // The library encodes bytes itself.
        let added = match is_binary(name).then(|| decoded(value)).flatten() {
            Some(bytes) => builder.add_bytes(name, &bytes).map(drop),
            None => builder.add_str(name, value).map(drop),
        };
        debug_assert!(added.is_ok(), "{name}: names and values were checked");
    }
    for (name, value) in along {
        let added = builder.add_str(name, value).map(drop);
        debug_assert!(added.is_ok(), "{name}: it was checked");
    }
    builder.build()
}
