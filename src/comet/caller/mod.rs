//! How a call to a Comet is made.

pub mod lean;
