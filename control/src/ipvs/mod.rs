//! `ipvsadm`: the language in which IPVS is told what to do, and what it answers.
//!
//! ```text
//! words ──► grammar ──► Command ──► Table ──► specs ──► the packet path
//!              │            │         ▲
//!              │            └─► listing ◄── Host: counts, sessions, templates
//!              └─► ipvsadm's own text and exit code
//! ```
//!
//! Grammar, texts, exit codes and listings are those of `ipvsadm` 1.31; what is refused is what
//! IPVS of Linux 6.1 refuses, and beyond that IPv6, tunnels other than IP in IP, persistence
//! engines and connection synchronisation, each with a text of its own.

mod command;
mod draft;
mod failure;
mod grammar;
mod help;
mod host;
pub mod listing;
mod meter;
mod names;
mod options;
mod run;
mod specs;
mod table;
#[cfg(test)]
mod testing;
mod values;
pub mod wire;
mod words;

pub use command::{
    Change, Columns, Command, Family, ListOptions, Persistent, SchedulerFlags, ServerLine,
    ServiceLine, ServiceName, Subject, Tunnel, TunnelChecksum,
};
pub use failure::{Failure, Refusal};
pub use grammar::parse;
pub use host::{Host, ServerCounts, Traffic};
pub use meter::{Meter, Rates, SECONDS_PER_LOOK};
pub use names::{Names, SystemNames};
pub use run::{Reply, run, run_with};
pub use specs::Locality;
pub use table::{AddressKind, Entry, Table};
pub use wire::serve_one;
