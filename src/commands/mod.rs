//! The command line, and every command that isn't the service.

pub mod check;
pub mod cli;
pub mod config;
pub mod ctl;
pub mod dead_letter;
pub mod manual;
pub mod send;
pub mod status;
