//! Measures sluice, and fails rather than print a figure it did not earn.
//!
//! Every case says what it expects (hits, sessions, drops, a frame byte for byte) and asserts it;
//! a case that does not meet it prints no figure. Costs are CPU time of the worker's thread per
//! packet, taken beside a baseline in the same run, because clock rates and neighbours on shared
//! machines drift.

/// A gateway without ethdevs.
mod bare;
/// The median, which every figure is.
mod median;
/// A gateway without ethdevs whose worker polls.
mod polled;
/// What all pictures are drawn with.
mod svg;

/// Leaving nothing behind.
pub mod cleanup;

/// What a cache line takes from one core to another.
pub mod core_to_core;

/// The programs that are measured.
pub mod programs;

/// Packets made where they are received, around the daemon's own worker.
pub mod generator;

/// Response times through the gateway, and the sum of the servers behind it.
pub mod latency;

/// The daemon and testpmd over the same replay.
pub mod replay;

/// What changes of the configuration cost, and what a worker notices of them.
pub mod changes;

/// What a scrape of many services takes, and whom it holds up.
pub mod scrape;

/// What checks of many servers cost, and whether they keep their times.
pub mod health;

/// How much more two workers do than one.
pub mod scaling;

/// Where the figures of all benchmarks go.
pub mod report;
