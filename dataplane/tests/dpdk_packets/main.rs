//! Packets in, packets out through real DPDK: the worker between two capture files.
//!
//! ```text
//! ethdev0-in.pcap ──► net_pcap 0 ──┐          ┌──► net_pcap 0 ──► ethdev0-out.pcap
//!                                  ├─ worker ─┤
//! ethdev1-in.pcap ──► net_pcap 1 ──┘          └──► net_pcap 1 ──► ethdev1-out.pcap
//! ```
//!
//! What must leave is built from scratch by the builders of `dataplane::testing`, and the gateway
//! in memory must do and count the same with the same frames. In the end no packet buffer is
//! missing from its mempool.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

mod capture;
mod case;
mod gateway;

mod buffers;
mod methods;
mod vlan;
