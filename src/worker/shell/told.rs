//! What a call tells of the records that it carries, as metadata.

use std::sync::Arc;

use crate::message::coordinates::{self, Coordinates};
use crate::message::trace::{self, Trace};

pub struct Told {
    records: String,
    attempt: String,
    trace: Option<Arc<Trace>>,
}

impl Told {
    pub fn new(of: &Coordinates<'_>) -> Self {
        let mut records = String::new();
        coordinates::write(of.records, &mut records);
        Self {
            records,
            attempt: of.attempt.to_string(),
            trace: of.trace.clone(),
        }
    }

    /// The names and values.
    pub fn fields(&self) -> Vec<(&str, &str)> {
        let mut fields = vec![
            (coordinates::RECORD, &self.records[..]),
            (coordinates::ATTEMPT, &self.attempt[..]),
        ];
        if let Some(trace) = &self.trace {
            fields.push((trace::PARENT, &trace.parent));
            fields.extend(trace.state.iter().map(|state| (trace::STATE, &state[..])));
        }
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Assignment, PartitionId, RecordId};

    fn along(trace: Option<Trace>) -> Vec<(String, String)> {
        let assignment = Assignment {
            partition: PartitionId::FIRST,
            epoch: 1,
        };
        let record = RecordId {
            assignment,
            offset: 17,
        };
        let told = Told::new(&Coordinates {
            records: &[record],
            attempt: 2,
            trace: trace.map(Arc::new),
        });
        let fields = told.fields().into_iter();
        fields.map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
    }

    #[test]
    fn a_call_has_the_place_the_attempt_and_the_trace_if_there_is_one() {
        let names = |along: &[(String, String)]| -> Vec<String> {
            along.iter().map(|(name, _)| name.clone()).collect()
        };
        let without = along(None);
        assert_eq!(names(&without), ["job-record", "job-attempt"]);
        assert!(without[0].1.ends_with("/0/17") && without[1].1 == "2");
        let trace = |state| Trace {
            parent: "p".into(),
            state,
        };
        let with = along(Some(trace(None)));
        assert_eq!(names(&with)[2..], ["traceparent"]);
        let with = along(Some(trace(Some("s=1".into()))));
        assert_eq!(names(&with)[2..], ["traceparent", "tracestate"]);
        assert_eq!((&with[2].1[..], &with[3].1[..]), ("p", "s=1"));
    }
}
