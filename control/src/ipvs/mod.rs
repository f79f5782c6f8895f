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

mod address_kind;
mod call;
mod command;
mod configured;
mod draft;
mod failure;
mod grammar;
mod help;
mod host;
pub mod listing;
mod meter;
mod meters;
mod names;
mod options;
mod program;
mod run;
mod specs;
mod table;
#[cfg(test)]
pub(crate) mod testing;
mod values;
mod words;

pub use address_kind::AddressKind;
pub use call::Call;
pub use command::{
    Change, Columns, Command, Family, ListOptions, Persistent, SchedulerFlags, ServerLine,
    ServiceLine, ServiceName, Subject, Tunnel, TunnelChecksum,
};
pub use configured::Configured;
pub(crate) use configured::{pool_name, server_line};
pub use failure::{Failure, Refusal};
pub use grammar::parse;
pub use host::{Host, ServerCounts, ServiceCounts, Traffic};
pub use meter::{Meter, Rates, SECONDS_PER_LOOK};
pub use meters::{Counters, Meters};
pub use names::{Names, SystemNames};
pub use program::Program;
pub use run::{Reply, run, run_with, version_and_help};
pub use specs::Locality;
pub(crate) use specs::scheduler;
pub use table::{Entry, Table};
