//! Packets in, packets out: the whole worker over memory, byte for byte.
//!
//! Each expected frame is built from scratch by the builders of `dataplane::testing`, never by
//! the code under test; then the counters that moved are named, and no other may have moved.

mod ahead;
mod bad_input;
mod bystanders;
mod common;
mod cut;
mod defences;
mod dr;
mod explain;
mod express;
mod fate;
mod fragment_order;
mod fragments;
mod fullnat;
mod fuzz;
mod history;
mod icmp;
mod import;
mod import_refused;
mod knobs;
mod local_node;
mod million;
mod marked;
mod mixed;
mod mss;
mod nat;
mod neighbours;
mod one_packet;
mod persistence;
mod persistence_ends;
mod ports;
mod properties;
mod punt;
mod refused_replies;
mod related;
mod related_strangers;
mod routes;
mod scheduled_errors;
mod schedulers;
mod servers;
mod states;
mod table;
mod tun;
mod tunnel_errors;
mod unserved;
mod vlan;
mod workers;
