//! `sluice-differential`: what `scripts/differential` runs.

fn main() {}
