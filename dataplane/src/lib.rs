//! What happens to a packet.
//!
//! This crate knows no socket, file, configuration text or wall clock: time, randomness and
//! packets come in as arguments. The modules stand in the order a packet meets them: first what
//! everything is made of, then a packet's way, then what steers it.

/// Addresses, protocols and flow keys, of either family.
pub mod address;

/// Numbers that could be swapped, each with a type of its own.
pub mod id;

/// Time as the packet path sees it: ticks counted from the start of the gateway.
pub mod time;

/// A hasher for small maps of configured keys.
pub mod hasher;

/// A growable array whose copies share what did not change.
pub mod paged;

/// A map whose copies share what did not change.
pub mod sharded;

/// Memory that lives as long as the process, in huge pages where there are any.
pub mod memory;

/// CPU hints that have no safe spelling.
mod intrinsics;

/// Where packets come from and go to: DPDK ethdevs, or memory in tests.
pub mod io;

/// Byte layouts: each header is checked once and then read without failing.
pub mod wire;

/// Puts Ethernet headers and VLAN tags on packets.
mod framing;

/// Turns a frame into the few facts the pipeline needs.
pub mod parse;

/// Why a packet was not forwarded.
pub mod drop_reason;

/// How many packets came at a time.
pub mod burst_sizes;

/// Remembers which server a flow goes to.
pub mod session;

/// Decides what a packet without a session is: a new session, Linux's, or nobody's.
pub mod classify;

/// Names the worker that owns a flow.
pub mod steering;

/// The way to the worker that owns a session.
pub mod handover;

/// Chooses a real server for a new session.
pub mod schedule;

/// Remembers which server a client of a persistent service has.
pub mod persistence;

/// Lends local addresses and ports to FULLNAT sessions.
pub mod snat;

/// Changes a packet on its way to a server or a client, one file per forwarding method.
pub mod rewrite;

/// Builds the ICMP errors that the senders of packets not forwarded are due.
pub mod icmp_error;

/// Bounds how often something happens, as ICMP errors.
pub mod rate_limit;

/// Longest-prefix routes, mirrored from Linux.
pub mod route;

/// Next hops with their MAC addresses, mirrored from Linux.
pub mod adjacency;

/// The way to Linux and back: punt classes, their rings and limits.
pub mod punt;

/// What the workers count.
pub mod counters;

/// How long packets stay in the gateway.
pub mod latency;

/// Virtual services and real servers as a worker sees them.
pub mod service;

/// The variables that steer IPVS, under Linux's names.
pub mod knobs;

/// Firewall marks: which packets a mark service is for.
pub mod marks;

/// The immutable configuration a worker adopts between two bursts.
pub mod snapshot;

/// The writer's side of the snapshot: typed changes in, the next snapshot out.
pub mod editor;

/// Sessions on their way into a running gateway, from a file or another gateway.
pub mod import;

/// Carries snapshots, questions and sessions from control to the workers, and back.
pub mod mailbox;

/// The stages a burst goes through.
pub mod pipeline;

/// What the packet path would do with a packet, and why.
pub mod explain;

/// One core's loop.
pub mod worker;

/// Packets built by name, for tests.
#[cfg(any(test, feature = "testing"))]
pub mod testing;
