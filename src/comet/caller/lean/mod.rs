//! gRPC's unary calls over HTTP/2, and nothing else, in the thread that makes them.

mod answer;
mod connection;
mod field;
mod flood;
mod flow;
mod frame;
mod head;
mod hpack;
mod huffman;
mod link;
mod links;
mod settings;
mod socket;
mod status;
mod streams;

pub use connection::{By, Call, Config, Connection, Finished, Key};
pub use links::{Event, LinkId, Links};
pub use socket::Address;
