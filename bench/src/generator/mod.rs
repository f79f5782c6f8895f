//! Packets made where they are received, around the daemon's own worker and pipeline: for more
//! flows than a replay can hold, for new sessions, and for mixtures of both.
//!
//! The baseline of every case is the same loop with the pipeline replaced by pass-through; what
//! the gateway costs more is the case's net cost.

mod case;
mod frames;
mod gateway;
mod handover;
mod io;
mod latency;
mod mass_expiry;
mod measure;
mod options;
mod pair;
mod rig;
mod scaling;
mod shared_lines;
mod suite;
mod trace;

pub use case::{Case, CaseError, Figures, Load};
pub use handover::HandedOver;
pub use latency::{Latency, Stays};
pub use mass_expiry::{Longest, MassExpiry, Turns};
pub use options::{Options, run};
pub use shared_lines::{SharedLines, check as check_shared_lines};
