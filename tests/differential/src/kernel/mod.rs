//! The kernel's side: real IPVS in user-mode Linux, an ordinary process.
//!
//! A batch of scenarios takes one boot. The guest sees this machine's files read-only through
//! hostfs and may write the run folder only; its first process is `differential-player`, which
//! gives each scenario a network namespace of its own and writes down what happened.
//!
//! ```text
//!  this process ── pipe ──► watcher ──► user-mode Linux
//!   Scenario ──► Script ──► run folder ──► guest: init ─► network ─► player
//!   Outcome  ◄── Event... ◄── run folder ◄──────────────────────────┘
//! ```
//!
//! Nothing of this machine's network is touched, and nothing stays behind: the watcher ends the
//! guest and removes the folder also when this process dies without a word.

/// Which kernel, and what it can do.
mod image;
/// What the guest is told: a scenario in the guest's terms.
mod script;
/// What the guest writes down, and the outcome made of it.
mod report;
/// The folder that this process and the guest share.
mod folder;
/// One boot, from its start to its certain end.
mod machine;
/// Scenarios in, outcomes out, over as many boots as it takes.
mod batch;
/// Ends a guest whose owner is gone.
pub mod watcher;

/// What runs inside user-mode Linux.
pub mod guest;

pub use batch::Failure;
pub use image::{Kernel, Unusable};
