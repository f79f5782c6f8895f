//! Raw bindings to the DPDK that pkg-config finds.
//!
//! Everything named `rte_*` is DPDK's own and documented there. What is named `shim_*` or
//! `SHIM_*` stands in for static inline functions, `RTE_BIT64` macros and release-dependent
//! layouts; see `shim/shim.h`. This crate has no opinion and no safety: use `dataplane::io::dpdk`.
#![allow(
    clippy::all,
    clippy::pedantic,
    clippy::multiple_unsafe_ops_per_block,
    clippy::ptr_as_ptr,
    clippy::undocumented_unsafe_blocks,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    rustdoc::all,
    unnameable_types,
    unsafe_code,
    unsafe_op_in_unsafe_fn
)]

include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
