//! gRPC's unary calls over HTTP/2, and nothing else, in the thread that makes them.
//!
//! [`Links`] has the sockets of a thread and one poller. Under it, without socket and clock, a [`Connection`] takes bytes and the time,
//! and gives bytes and the calls that ended:
//!
//! - `frame`, `settings`, `flow`, `flood`: frames and their rules (RFC 9113)
//! - `hpack`, `huffman`: the server's header blocks; `head`: this side's (RFC 7541)
//! - `field`, `answer`, `status`: what an answer means (gRPC over HTTP/2)
//! - `streams`: the calls under way
//! - `connection/`: calls on their way out (`send`), what comes (`receive`), how it ends (`end`), and time (`alive`)
//! - `stream`, `tls`, `socket`: what carries the bytes
//!
//! Each call ends once, with a gRPC status and who ended it ([`By`]). A call allocates nothing, once a connection has seen some. There
//! is no compression and no streaming: no Comet asks for one.

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
mod stream;
mod streams;
mod tls;

pub use connection::{By, Call, Config, Connection, Finished, Key};
pub use head::Along;
pub use links::{Closed, Event, LinkId, Links};
pub use socket::Address;
