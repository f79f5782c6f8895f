//! Clients, real servers and the networks between them, in namespaces of this machine.
//!
//! A test builds a [`Lab`], starts a [`Gateway`] in it and then asks real programs (curl, nginx,
//! iperf3, ping) what they saw. Nothing here knows how the gateway works: it is started as an
//! operator starts it and asked through `sluicectl` and `/metrics`.
//!
//! ```text
//!   client 10.1.0.2 ──┬── clients' network 10.1.0.0/24 ──┬──────────────┐
//!                                                   router .254     gateway .1
//!   server-1 .11 ─────┬── servers' network 10.2.0.0/24 ──┴──────────────┘
//!   server-2 .12 ─────┤
//!   server-3 .13 ─────┘
//! ```
//!
//! Two-arm, the gateway has a leg in both networks; one-arm, only the one on the servers'.
//! Everything is undone on drop, and what a killed test left behind is swept by the next one.
//!
//! This crate is test support: what goes wrong here ends the test, so it panics where a product
//! would return an error.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

/// Whether tests can make namespaces here, and what happens when they cannot.
pub mod privilege;
/// Runs programs and says clearly what failed.
pub mod run;
/// One heavy test at a time, over all test processes.
pub mod turn;
/// Time in which the whole machine stood still.
pub mod witness;

/// A host of its own: a network namespace.
pub mod namespace;
/// Switches, cables and the router between two networks.
pub mod network;

/// A client: curl, UDP, ping.
pub mod client;
/// The counters Linux keeps about itself, by nstat.
pub mod nstat;
/// One new connection after the other, and which were answered.
pub mod prober;
/// Frames made by hand, for what no well-behaved program sends.
pub mod raw;

/// A routing daemon.
pub mod bird;

/// Takes the outer header off IP-in-IP packets.
pub mod decapsulator;
/// Throughput by iperf3.
pub mod iperf;
/// A web server that says who it is.
pub mod nginx;
/// A real server with all it needs for every forwarding method.
pub mod real_server;
/// Answers UDP datagrams with the server's name and the sender's address.
pub mod udp_echo;

/// The running gateway.
pub mod gateway;
/// Configuration files for the gateway under test.
pub mod gateway_config;
/// Reads Prometheus text.
pub mod metrics;
/// Debian's Prometheus, which asks the gateway.
pub mod prometheus;

/// Debian's keepalived.
pub mod keepalived;

/// The whole picture above, built by one call.
pub mod lab;
/// Another picture: two gateways behind a router.
pub mod ecmp;
/// Two gateways side by side.
pub mod pair;

pub use client::Client;
pub use gateway::{Binaries, Gateway};
pub use keepalived::Keepalived;
pub use lab::{Arms, Lab, Method};
pub use namespace::Namespace;
pub use pair::Pair;
pub use prober::Prober;
pub use prometheus::Prometheus;
pub use real_server::RealServer;
