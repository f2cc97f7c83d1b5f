//! TLS and SASL, for connections that krafka doesn't make: the same files, and the same words for what fails.

pub mod files;
mod http;
pub mod key;
mod names;
mod relay;
mod sasl;
mod scram;
mod socks;
mod tls;
pub mod token;
pub mod words;

pub use relay::Relay;
pub use sasl::authenticate;
pub use tls::{client_config, connect};
