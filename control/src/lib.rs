//! What an operator asks for.
//!
//! Configuration, its validation and publication, the API, metrics, and Linux as the slow path.
//! This crate knows no mbuf and no packet. The modules stand in the order a change meets them.

/// One declarative file: text in, every mistake named, a checked configuration out.
pub mod config;

/// Linux as the slow path: twins, routes, neighbours, addresses.
pub mod linux;

