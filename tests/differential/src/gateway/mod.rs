//! The gateway's side: sluice's data plane in memory, beside a Linux of its own.
//!
//! ```text
//!  [net] ──► interfaces in a private namespace ──► picture of addresses, routes, neighbours ─┐
//!  [ipvs], ipvsadm ──► our ipvsadm ──► services, time-outs ──────────────────────────────────┤
//!  /proc/sys/net/ipv4/vs, tc ──► knobs, marks ───────────────────────────────────────────────┤
//!  pkt ──► worker ──► frames, punted frames                           snapshot ◄── editor ◄──┘
//! ```
//!
//! Packets never touch the private interfaces: these are there for `ip`, and for the routes that
//! Linux makes of what it is told. The clock is the scenario's.

/// What a scenario may use on this side.
mod policy;
/// Reads a shell line far enough to know what it would start.
mod words;
/// Namespaces of a thread's own, with our commands in them.
mod sandbox;
/// `[net]` as real interfaces.
mod network;
/// Kernel variables.
mod settings;
/// Firewall marks from `tc`.
mod traffic_control;
/// The data plane and its clock.
mod director;
/// Virtual services, as `ipvsadm` changes and shows them.
mod ipvs;
/// What commands do to the gateway.
mod stage;
/// Goes through a scenario, line by line.
mod player;

use std::io;
use std::thread;

use dataplane::schedule::load::Rules;

use crate::outcome::Outcome;
use crate::scenario::Scenario;

/// Why a scenario could not be played.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The thread got no namespaces of its own.
    #[error("the gateway's side needs root, for namespaces of its own: {0}")]
    Sandbox(#[source] io::Error),
    /// Linux refused `[net]`.
    #[error("Linux refuses [net]: {0}")]
    Network(String),
    /// Linux did not answer a question, or a command did not run.
    #[error("asking Linux failed: {0}")]
    Linux(#[source] io::Error),
    /// A line names an interface that `[net]` does not have.
    #[error("there is no interface \"{0}\" in [net]")]
    NoInterface(String),
    /// A capture was not taken apart when the scenario was read.
    #[error("{0} was not read with the scenario")]
    Capture(std::path::PathBuf),
}

/// How the gateway is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Making {
    /// By which kernel's rules servers are judged.
    pub rules: Rules,
    /// How many workers share the frames; at least one.
    pub workers: u16,
    /// Whether it only matters what commands say: then `ipvsadm` may be told anything.
    pub words_only: bool,
}

impl From<Rules> for Making {
    fn from(rules: Rules) -> Self {
        Self {
            rules,
            workers: 1,
            words_only: false,
        }
    }
}

/// Plays a scenario into a gateway of one worker.
///
/// # Errors
///
/// As [`play_with`].
pub fn play(scenario: &Scenario, rules: Rules) -> Result<Outcome, Failure> {
    play_with(scenario, rules.into())
}

/// Plays a scenario into a gateway that is made so. What the gateway's side does not understand
/// is a reason in the outcome why the scenario is not comparable, no failure.
///
/// # Errors
///
/// When it cannot be played at all.
pub fn play_with(scenario: &Scenario, making: Making) -> Result<Outcome, Failure> {
    // The namespaces are the thread's, and go with it.
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("gateway".to_owned());
        let player = thread.spawn_scoped(scope, || player::play(scenario, making));
        let played = player.map_err(Failure::Sandbox)?.join();
        played.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
