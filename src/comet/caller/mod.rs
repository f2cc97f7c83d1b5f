//! How a call to a Comet is made.

pub mod lean;

#[cfg(test)]
mod tests;
