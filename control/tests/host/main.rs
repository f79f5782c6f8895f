//! The host as an operator meets it: looked at by `doctor`, changed by `setup-host`, and put back.
//!
//! Most of it is done to a tree of files in a temporary directory that looks like a machine with
//! two NUMA nodes and NICs of several kinds; huge pages and kernel parameters also to this machine.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

mod doctor;
mod failures;
mod forwarding;
mod halfway;
mod in_use;
mod pages;
mod plans;
mod real;
mod refusals;
mod surroundings;
mod tree;
mod undo;
mod unbind;
