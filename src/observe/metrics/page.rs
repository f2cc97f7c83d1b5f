//! Writes metrics onto the page.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::exemplar::Exemplar;

use super::list::{Kind, Metric};
use crate::figures::Snapshot;

/// Values of a metric's labels, in their order.
pub type Values = Vec<String>;

pub struct Page<'a>(pub DescriptorEncoder<'a>);

impl Page<'_> {
    pub fn counter(
        &mut self,
        metric: &Metric,
        series: impl IntoIterator<Item = (Values, u64)>,
    ) -> fmt::Result {
        self.write(metric, series, |count, to| count_of(to, count))
    }

    /// A counter of one series, in parts of a whole.
    pub fn counter_of_parts(&mut self, metric: &Metric, value: f64) -> fmt::Result {
        self.write(metric, [(Vec::new(), value)], |value, to| {
            count_of(to, value)
        })
    }

    pub fn gauge(
        &mut self,
        metric: &Metric,
        series: impl IntoIterator<Item = (Values, f64)>,
    ) -> fmt::Result {
        self.write(metric, series, |value, to| to.encode_gauge(&value))
    }

    /// A gauge or counter of one series, without labels.
    pub fn number(&mut self, metric: &Metric, value: u64) -> fmt::Result {
        match metric.kind {
            Kind::Counter => self.counter(metric, [(Vec::new(), value)]),
            Kind::Gauge | Kind::Histogram => self.gauge(metric, [(Vec::new(), value as f64)]),
        }
    }

    /// `unit` is what the histogram counts in.
    pub fn histogram(
        &mut self,
        metric: &Metric,
        unit: f64,
        series: impl IntoIterator<Item = (Values, Snapshot)>,
    ) -> fmt::Result {
        self.write(metric, series, |snapshot, to| {
            let bucket = |(bound, count): &(u64, u64)| match *bound {
                u64::MAX => (f64::INFINITY, *count),
                bound => (bound as f64 / unit, *count),
            };
            let buckets: Vec<_> = snapshot.buckets.iter().map(bucket).collect();
            let (sum, count) = (snapshot.sum as f64 / unit, snapshot.count());
            to.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
        })
    }

    fn write<T>(
        &mut self,
        metric: &Metric,
        series: impl IntoIterator<Item = (Values, T)>,
        write: impl Fn(T, &mut MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        // The encoder adds this itself, where the form has it.
        let name = metric.name.strip_suffix("_total").unwrap_or(metric.name);
        let mut to = self
            .0
            .encode_descriptor(name, metric.help, None, metric.kind.into())?;
        for (values, value) in series {
            debug_assert_eq!(values.len(), metric.labels.len(), "{}", metric.name);
            if values.is_empty() {
                write(value, &mut to)?;
                continue;
            }
            let labels: Vec<_> = metric.labels.iter().copied().zip(values).collect();
            write(value, &mut to.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

fn count_of(
    to: &mut MetricEncoder<'_>,
    value: impl prometheus_client::encoding::EncodeCounterValue,
) -> fmt::Result {
    to.encode_counter(&value, None::<&Exemplar<NoLabelSet, f64>>)
}
