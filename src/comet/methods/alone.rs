//! Methods in a build without gRPC's library.

use std::marker::PhantomData;

use protobuf::Message;

/// A unary call of these messages.
pub struct Method<Req, Reply> {
    pub name: &'static str,
    messages: PhantomData<fn(Req) -> Reply>,
}

pub const fn method<Req: Message, Reply: Message>(name: &'static str) -> Method<Req, Reply> {
    Method {
        name,
        messages: PhantomData,
    }
}
