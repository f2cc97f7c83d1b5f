//! The messages and calls that job shares with the services around it: see `protos/`.

include!(concat!(env!("OUT_DIR"), "/protos/mod.rs"));
