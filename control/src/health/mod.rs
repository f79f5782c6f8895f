//! What is known of real servers: whether they are well, and how much of the load each can take.
//!
//! ```text
//! probe ──► verdict (one check) ──► server (all of its checks, damping, weight)
//!                                      └──► standing (service: quorum, sorry server) ──► Gateway::stand
//! ```
//!
//! What judges knows no clock and no socket: time is an argument. The configuration is what is
//! wished for and never changes because a server fails.

/// Asks a server once whether it is well.
pub mod probe;

/// Asks a server for its load, in the protocol of `HAProxy`'s agent check.
pub mod agent;

/// Whether one check says that its server is well.
pub mod verdict;

/// Servers that come and go all the time.
pub mod damping;

/// How much of its weight a server has now.
pub mod weight;

/// The way of checks that go where the traffic goes: to the VIP on one server.
pub mod check_path;

/// Looks at a server from the gateway's side for the mistakes of setting it up.
pub mod visit;

/// Which servers of a service are in the packet path.
pub mod standing;

/// What is asked again and again.
pub mod asked;

/// A server that is watched.
pub mod server;

/// A service that is watched.
mod service;

/// All services that are watched.
pub mod watched;

/// What becomes of servers and services.
pub mod news;

/// What is known of the servers, to be shown.
pub mod report;

/// What is known of the servers, for metrics.
pub mod sample;

/// When a server is checked next.
pub mod pace;

/// How late runs begin.
pub mod lateness;

/// Asks the servers, on a thread of its own.
pub mod engine;

pub use engine::{Board, Engine};

#[cfg(test)]
pub(crate) mod testing;
