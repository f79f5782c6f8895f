//! What clients see: response times through the gateway and the sum of servers behind it.
//!
//! Both need root, nginx and network namespaces, and both fail rather than print a figure when
//! one answer is missing or wrong.

use std::process::ExitCode;

use crate::cleanup::Cleanup;
use failure::Failure;
use priority::SessionPriority;

/// Why a measurement gives no figure.
pub mod failure;

/// Waits for sockets and for a moment.
pub mod reactor;

/// As much HTTP as is needed.
pub mod http;

/// A connection that never makes its thread wait.
pub mod connection;

/// Addresses and ports to connect from.
pub mod sources;

/// When each request is due.
pub mod schedule;

/// Asks by schedule.
pub mod open_loop;

/// Asks as fast as answers come.
pub mod closed_loop;

/// A server with exact limits.
pub mod slow_server;

/// The ways that are compared.
pub mod path;

/// This session before the others of the machine.
pub mod priority;

/// The gateway's worker as Linux sees it.
pub mod gateway_host;

/// Percentiles.
pub mod distribution;

/// What was measured and what follows.
pub mod report;

/// What was measured as tables.
pub mod tables;

/// Percentile curves.
pub mod chart;

/// `sluice-bench latency`.
pub mod response_times;
/// `sluice-bench servers`.
pub mod sum_of_servers;

/// Runs a measurement, whose namespaces are taken down however it ends, and says why it failed.
/// To be called before the program makes a thread.
pub fn measure(work: impl FnOnce() -> Result<(), Failure>) -> ExitCode {
    let cleanup = Cleanup::install().map_err(Failure::machine("watch for signals"));
    let measured = cleanup.and_then(|cleanup| {
        cleanup.keep(SessionPriority::raise());
        work()
    });
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}
