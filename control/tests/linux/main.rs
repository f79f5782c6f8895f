//! The Linux side against a real kernel, each test in a network namespace of its own.
//!
//! They need root. Without it each says loudly that it was skipped, and fails when `CI_NO_SKIP=1`.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

mod addresses;
mod carrier;
mod announce_table;
mod children;
mod fence;
mod frames;
mod mirror;
mod namespace;
mod neighbour;
mod sysctl;
mod twin;
mod wire;
