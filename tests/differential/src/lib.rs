//! Plays scenarios into the kernel's IPVS and into sluice's data plane, and compares what comes
//! out.
//!
//! ```text
//!                 ┌─► kernel: user-mode Linux, a player inside ──► Outcome ─┐
//! scenario file ──┤                                                        ├─► compare
//!                 └─► gateway: workers in memory, a virtual clock ► Outcome ┘
//! ```

pub mod kernel;
pub mod outcome;
pub mod scenario;
