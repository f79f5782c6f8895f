//! The API, the metrics and `sluicectl` as an operator meets them: over a real socket, before a
//! gateway whose worker forwards packets between wires in memory.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

mod answers;
mod configuration;
mod ctl;
mod drain;
mod explain;
mod fixture;
mod health;
mod http;
mod log;
mod machine;
mod maintenance;
mod metrics;
mod questions;
mod resources;
mod rights;
mod schemathesis;
mod servers;
mod services;
mod sessions;
mod socket;
mod sysctl;
mod transfer;
mod watch;
