//! Plays scenarios into the kernel's IPVS and into sluice's data plane, and compares what comes
//! out.
//!
//! ```text
//!                 ┌─► kernel: user-mode Linux, a player inside ──► Outcome ─┐
//! scenario file ──┤                                                        ├─► compare
//!                 └─► gateway: workers in memory, a virtual clock ► Outcome ┘
//! ```

/// A scenario: a network, rules, and what happens then.
pub mod scenario;

/// Reads scenario files, and writes them.
pub mod read;

/// Scenarios in the making: one network, frames by name, time.
pub mod draft;

/// Random scenarios, and how to make one smaller.
pub mod random;

/// The scenarios of the folder `scenarios`, one for each rule.
pub mod written;

/// The gateway's side: the data plane in memory.
pub mod gateway;

/// What came out of one side.
pub mod outcome;

/// Plays scenarios into real IPVS, in user-mode Linux.
pub mod kernel;

/// Tells in one line what a frame is.
pub mod describe;

/// Holds what the gateway did against what the kernel did.
pub mod compare;

/// Holds what our `ipvsadm` says against what the real one says.
pub mod cli;

/// Plays scenarios into both sides and says how they compare.
pub mod judge;

/// Scenarios that are known to differ.
pub mod known;

/// Tells what became of scenarios.
pub mod report;
