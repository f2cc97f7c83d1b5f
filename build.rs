//! Generates the protobuf messages of `protos/`. The parser is pure Rust: no `protoc` is needed.

use protobuf_codegen::{Codegen, Customize};

fn main() {
    println!("cargo:rerun-if-changed=protos");
    Codegen::new()
        .pure()
        .include("protos")
        .inputs([
            "protos/push.proto",
            "protos/protocol.proto",
            "protos/comet.proto",
        ])
        // Bodies are shared, not copied: from the fetched batch to each Comet's request.
        .customize(Customize::default().tokio_bytes(true))
        .cargo_out_dir("protos")
        .run_from_script();
}
