//! What an operator asks for.
//!
//! Configuration, its validation and publication, the API, metrics, and Linux as the slow path.
//! This crate knows no mbuf, and no packet but those of its own checks. The modules stand in the
//! order a change meets them.

/// `sluicectl`: what an operator types, asked of the API and shown as tables.
pub mod ctl;

/// What a command line says about itself: a page of the manual, and completions for shells.
pub mod describe;

/// `ipvsadm`: the language of LVS, its texts and its listings.
pub mod ipvs;

/// HTTP/1.1 and JSON over a Unix socket: the door through which changes and questions come.
pub mod api;

/// One declarative file: text in, every mistake named, a checked configuration out.
pub mod config;

/// What LVS was told (keepalived.conf, saved rules of `ipvsadm`), said again in that file's words.
pub mod import;

/// What a real server needs for its forwarding method: commands and files, and how to undo them.
pub mod realserver;

/// Whether real servers are well, and what follows from it.
pub mod health;

/// The running gateway as control sees it: applies changes, publishes snapshots, answers
/// questions.
pub mod gateway;

/// What the API shows.
pub mod view;

/// Tells routing daemons which VIPs are served here.
pub mod announce;

/// Keeps Linux and the packet path in step.
pub mod follow;

/// What an operator should mend on the machine, said once in the log and for as long in the status.
mod mending;

/// Files that survive a failure of the power.
mod durable;

/// Linux as the slow path: twins, routes, neighbours, addresses.
pub mod linux;

/// The host under it all: whether it is ready for a gateway, and what makes it so.
pub mod host;

/// What Prometheus scrapes: the counters of workers, services, servers, ethdevs and twins.
pub mod metrics;

/// What operators read when something cannot be had.
#[cfg(test)]
mod messages;
