//! The metrics: their names, kinds, labels and meaning, once for all. docs/METRICS.md is made from this.

use prometheus_client::metrics::MetricType;

/// What the page of metrics has under one name.
#[derive(Debug)]
pub struct Metric {
    /// As it is queried: a counter's with `_total`.
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

impl From<Kind> for MetricType {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Counter => Self::Counter,
            Kind::Gauge => Self::Gauge,
            Kind::Histogram => Self::Histogram,
        }
    }
}

/// Defines the metrics, and for the tests `ALL` in the same order.
macro_rules! metrics {
    ($($id:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal;)+) => {
        $(pub const $id: Metric = Metric {
            name: $name,
            kind: Kind::$kind,
            labels: &[$($label),*],
            help: $help,
        };)+
        #[cfg(test)]
        pub const ALL: &[Metric] = &[$($id),+];
    };
}

metrics! {
    RECORDS_CONSUMED = Counter "job_records_consumed_total" ["topic", "partition"]
        "Records read, since the partition was assigned. What is read again for a Comet that catches up isn't counted";
    BYTES_CONSUMED = Counter "job_bytes_consumed_total" ["topic", "partition"]
        "Bytes of their values";
    DECODE_FAILURES = Counter "job_decode_failures_total" []
        "Records that are no PushMsg";
    LAG_RECORDS = Gauge "job_lag_records" ["topic", "partition"]
        "Offsets between the first record that isn't finished and the end of the log, as Kafka said it with the last fetch. While reading pauses at the cap, Kafka is asked each 5 s";
    LAG_SECONDS = Gauge "job_lag_seconds" ["topic", "partition"]
        "For how long the first record that isn't finished has been in Kafka, and 0 where all are finished: from when job saw the log's end pass it, or from the record's timestamp where it was there before. Missing while Kafka doesn't say where the log ends";
    COMMITTED_OFFSET = Gauge "job_committed_offset" ["topic", "partition"]
        "Offset that this process committed last";
    FINISHED_ABOVE_WATERMARK = Gauge "job_finished_above_watermark" []
        "Records that are finished, and not committed as such because an earlier one isn't. A commit names them beside the offset";
    OLDEST_UNFINISHED_SECONDS = Gauge "job_oldest_unfinished_seconds" []
        "How long the message that holds up a partition's commits has been the first one that isn't finished; of all partitions the longest";
    MESSAGES_HELD = Gauge "job_messages_held" []
        "Messages read and not finished, with those read again for Comets that catch up";
    MESSAGES_HELD_LIMIT = Gauge "job_messages_held_limit" []
        "Where reading pauses (hold-messages)";
    BYTES_HELD = Gauge "job_bytes_held" []
        "Bytes of the messages held";
    BYTES_HELD_LIMIT = Gauge "job_bytes_held_limit" []
        "Where reading pauses (hold-bytes)";
    PAUSED = Gauge "job_paused" []
        "1 while reading is paused by job ctl pause, else 0";
    ASSIGNED_PARTITIONS = Gauge "job_assigned_partitions" []
        "Partitions that are this process's";
    GROUP_MEMBER = Gauge "job_group_member" []
        "1 while Kafka has this process as a member of the group, with whatever partitions";
    REBALANCES = Counter "job_rebalances_total" ["kind"]
        "Times that Kafka assigned partitions, took some back (revoked), or that this process lost some (lost)";
    KAFKA_RECONNECTS = Counter "job_kafka_reconnects_total" []
        "Times that reading or committing worked again after it had failed";
    CALLS = Counter "job_calls_total" ["comet", "method", "status"]
        "Calls that came back, by gRPC status";
    CALL_DURATION_SECONDS = Histogram "job_call_duration_seconds" ["comet", "method"]
        "Time from a call's start to its answer";
    CALLS_IN_FLIGHT = Gauge "job_calls_in_flight" ["comet"]
        "Calls that have not come back";
    MESSAGES_PER_CALL = Histogram "job_messages_per_call" []
        "Messages in each call that started: more than one with coalescing";
    MESSAGES_DELIVERED = Counter "job_messages_delivered_total" []
        "Messages that every Comet has that should have them";
    DELIVERY_LATENCY_SECONDS = Histogram "job_delivery_latency_seconds" []
        "Time from a record's timestamp to the answer of the last Comet that it is for. The classic fetcher reads no timestamps: its records aren't in it, nor is what Comets get when they catch up";
    READ_TO_ANSWER_SECONDS = Histogram "job_read_to_answer_seconds" []
        "Time from when job read a record to the answer of the last Comet that it is for, of records whose timestamp it doesn't know: those of the classic fetcher";
    RETRIES = Counter "job_retries_total" ["comet", "status"]
        "Calls that failed with this status and are tried again";
    DROPPED = Counter "job_dropped_total" ["comet"]
        "Messages that a Comet dropped for one user, who takes them too slowly (goim's Comets say so)";
    CALLS_SAVED = Counter "job_calls_saved_total" []
        "Calls that were not made because the Comet doesn't have the message's room (fan-out)";
    COMET_ROOM_LIST_AGE_SECONDS = Gauge "job_comet_room_list_age_seconds" ["comet"]
        "Time since the Comet was asked for the list of its rooms that counts now. Missing where none counts: it gets all rooms' messages";
    COMET_STATE = Gauge "job_comet_state" ["comet", "state"]
        "1 for the state that the Comet is in, as the worker sees it that sees it worst: up, refusing (it refuses everything, and gets one message a second), down (it is tried with one message at a time), detached (others don't wait for it, and it misses messages), catching_up (it gets what it missed)";
    COMET_MISSED_RECORDS = Gauge "job_comet_missed_records" ["comet"]
        "Records that the Comet misses in the partitions that are ours";
    CAUGHT_UP = Counter "job_caught_up_total" ["comet"]
        "Times that the Comet got all that it had missed";
    DEAD_LETTERS = Counter "job_dead_letters_total" ["reason"]
        "Dead letters written: undecodable, unroutable, unreadable (Kafka's record itself), refused (by a Comet), failed (again and again at a Comet that took others), crashes (the Comet, it seems), too_old, skipped (by job ctl skip), comet_left (it was for one Comet alone, which left the fleet)";
    DEAD_LETTERS_WAITING = Gauge "job_dead_letters_waiting" []
        "Dead letters that Kafka did not take yet; they are tried again";
    DEAD_LETTERS_TO_REPLAY = Gauge "job_dead_letters_to_replay" ["topic"]
        "Messages in the dead-letter topic that were neither replayed nor discarded, of the newest 10000 records of each of its partitions. Every process of the group says the same. Missing until the topic was read";
    DEAD_LETTERS_OLDEST_SECONDS = Gauge "job_dead_letters_oldest_seconds" ["topic"]
        "How long the oldest of them has been a dead letter; 0 where there is none";
    SKIPPED = Counter "job_skipped_total" ["reason"]
        "Messages that were not sent: too_old (max-age), and of what Comets missed, missed_too_old (catch-up) and missed_deleted (Kafka no longer has them); comet_left (they waited for a Comet that left the fleet)";
    LOG_RECORDS_DROPPED = Counter "job_log_records_dropped_total" []
        "Lines of the log that were lost because nobody took them";
    BUILD_INFO = Gauge "job_build_info" ["version"]
        "1, with the version that runs";
    PROCESS_CPU_SECONDS = Counter "process_cpu_seconds_total" []
        "Time on processors, user and system";
    PROCESS_RESIDENT_MEMORY_BYTES = Gauge "process_resident_memory_bytes" []
        "Memory that is resident";
    PROCESS_VIRTUAL_MEMORY_BYTES = Gauge "process_virtual_memory_bytes" []
        "Memory that is mapped";
    PROCESS_OPEN_FDS = Gauge "process_open_fds" []
        "Open files and connections";
    PROCESS_MAX_FDS = Gauge "process_max_fds" []
        "The limit of open files and connections";
    PROCESS_START_TIME_SECONDS = Gauge "process_start_time_seconds" []
        "When the process started, in seconds since 1970";
    KAFKA_CONSUMED = Counter "kafka_consumed_total" ["topic", "consumer_group", "service"]
        "Records read, under the name of the service before job";
    GRPC_CALLS = Counter "grpc_calls_total" ["method", "status", "service"]
        "Calls that came back, under the name of the service before job: success (OK and NOT_FOUND) or failure";
    ERROR = Counter "error_total" ["error_type", "service"]
        "Failures, under the name of the service before job: protobuf_parse_failed, grpc_call_failed, kafka_error (fetches and commits)";
}
