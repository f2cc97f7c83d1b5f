//! Metrics for Prometheus: made from the figures when somebody asks, so that they cost nothing otherwise.

mod list;
mod page;
mod series;

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, prometheus_text, text};
use prometheus_client::registry::Registry;

use crate::figures::Figures;
use crate::message::Topics;
use page::Page;

/// What the figures don't know of themselves.
#[derive(Clone, Debug)]
pub struct Source {
    pub figures: Arc<Figures>,
    pub topics: Topics,
    pub group: String,
    /// In the order of the topics.
    pub dead_letter_topics: Vec<String>,
}

/// How the page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Prometheus,
    OpenMetrics,
}

impl Form {
    /// The form that a client asks for in its header Accept.
    pub fn accepted(accept: &str) -> Self {
        match accept.contains("application/openmetrics-text") {
            true => Self::OpenMetrics,
            false => Self::Prometheus,
        }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => prometheus_text::CONTENT_TYPE,
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Makes the page of metrics.
pub struct Metrics(Registry);

impl Metrics {
    pub fn new(source: Source) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(source));
        Self(registry)
    }

    /// The page as it is now.
    pub fn page(&self, form: Form) -> String {
        let mut page = String::new();
        let written = match form {
            Form::Prometheus => prometheus_text::encode(&mut page, &self.0),
            Form::OpenMetrics => text::encode(&mut page, &self.0),
        };
        // Memory takes everything.
        written.map_or_else(|_| String::new(), |()| page)
    }
}

impl Collector for Source {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        self.of_kafka(&mut page)?;
        self.of_comets(&mut page)?;
        self.of_messages(&mut page)?;
        self.of_process(&mut page)?;
        self.of_the_service_before(&mut page)
    }
}

#[cfg(test)]
mod tests;
