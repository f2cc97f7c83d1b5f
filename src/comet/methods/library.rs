//! Methods as gRPC's library calls and serves them. Its own stub compiler writes no protobuf-3 code.

use grpcio::{Marshaller, MethodType, pb_de, pb_ser};
use protobuf::Message;

pub use grpcio::Method;

pub const fn method<Req: Message, Reply: Message>(name: &'static str) -> Method<Req, Reply> {
    Method {
        ty: MethodType::Unary,
        name,
        req_mar: Marshaller {
            ser: pb_ser,
            de: pb_de,
        },
        resp_mar: Marshaller {
            ser: pb_ser,
            de: pb_de,
        },
    }
}
