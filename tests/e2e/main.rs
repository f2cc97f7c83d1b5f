//! End-to-end tests: the real `job` between a real Kafka and a real gRPC server in Comet's place.
//!
//! They are one program, so that they share their brokers: `cargo test --test e2e delivery` runs one group of them.

mod support;

mod alerts;
mod bad_batches;
mod bad_records;
mod catch_up;
mod catch_up_faults;
mod catch_up_too_old;
mod cluster;
mod coalescing;
mod comet_faults;
mod comet_names;
mod comet_outages;
mod comet_tls;
mod comet_tries;
mod commits;
mod control;
mod control_socket;
mod cork;
mod crashing_messages;
mod dead_letter;
mod delivery;
mod discard;
mod errors;
mod fetch_modes;
mod goim;
mod group_protocol;
mod kafka_addresses;
mod kafka_partitions;
mod kills;
mod lag;
mod lifecycle;
mod log;
mod log_identity;
mod max_age;
mod memory;
mod metadata;
mod new_groups;
mod odd_texts;
mod other_producers;
mod quiet_connections;
mod quotas;
mod rebalance;
mod record_metadata;
mod routes;
mod secured;
mod seen;
mod send_check;
mod shared_comets;
mod status;
mod topics;
mod transactions;
mod unix_sockets;
mod web;
