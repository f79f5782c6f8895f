//! The host a gateway runs on: what it has, what it lacks, and how to change that and back.
//!
//! `sluicectl doctor` reads facts and makes [findings](Finding) of them. `sluicectl setup-host`
//! makes a [plan](Plan) of what was asked for, writes each change into a [journal](Journal) before
//! it makes it, and takes all of them back from there. Everything is read from and written to a
//! [tree](Tree) of files, so that a tree made by a test does as well as the machine's own.

/// The files of a host.
mod tree;

/// Lists of numbers as the kernel writes them.
mod numbers;

/// What the kernel would do, in a tree that is not its own.
mod imitation;

/// Memory in huge pages.
mod pages;

/// Network devices on the PCI bus.
mod nics;

/// Which kernel drivers' NICs DPDK can open.
mod drivers;

/// What only the kernel itself tells.
mod kernel;

/// Where Linux sends packets, and which addresses it has.
mod routes;

/// Over which interfaces somebody works on this machine.
mod ssh;

/// Programs that have the packets of an interface.
mod sockets;

/// What a NIC is used for.
mod uses;

/// Processors: nodes, threads, isolation.
mod cores;

/// Loadable parts of the kernel.
mod modules;

/// What somebody who looks at a host says of it.
mod finding;

/// All findings.
mod doctor;

/// What the host's memory is good for.
mod check_memory;

/// What its NICs are good for.
mod check_nics;

/// What its processors are good for.
mod check_cores;

/// What its kernel is good for.
mod check_kernel;

/// Whether Linux forwards, with all that it changes along.
mod forwarding;

/// One change of a host, there and back.
mod change;

/// What was asked for, as changes.
mod plan;

/// The lines of a plan that outlive a reboot.
mod persist;

/// From NICs that were asked for to changes.
mod plan_nics;

/// Why something that was asked for is not done.
mod refusal;

/// What was changed, on disk.
mod journal;

/// Makes changes.
mod make;

/// Takes them back.
mod undo;

pub use change::{Binding, Change};
pub use doctor::{DoctorError, examine};
pub use finding::{Finding, State};
pub use journal::{Journal, SetupJournalError};
pub use make::{Made, MakeError, make};
pub use pages::PageSize;
pub use plan::{PagesWanted, Plan, Wishes, plan};
pub use refusal::Refusal;
pub use tree::Tree;
pub use undo::{Undone, undo};
