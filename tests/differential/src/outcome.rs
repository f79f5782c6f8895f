//! What came out of one side.

use std::collections::BTreeMap;

/// What one side did with a scenario.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The frames played, in order: captures are taken apart.
    pub inputs: Vec<Input>,
    /// What left, in order.
    pub frames: Vec<Output>,
    /// Frames that the gateway gave to Linux; the kernel's side has none.
    pub punted: Vec<Output>,
    /// What shell and `ipvsadm` lines said, in order; those of `[ipvs]` with `each` too.
    pub shell: Vec<ShellLine>,
    /// The final listings by name: `ln`, `lnc`, `stats`, `persistent`, `thresholds`.
    pub dumps: BTreeMap<String, String>,
    /// Why the scenario means nothing on this side; empty when it does.
    pub not_comparable: Vec<String>,
}

/// A frame that was played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Nanoseconds since the play began, on the side's own clock.
    pub nanos: u64,
    /// The director's interface it reached.
    pub interface: String,
    /// From its Ethernet header on.
    pub frame: Vec<u8>,
}

/// A frame that left the director.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The index of the input that was played last before it; `None` before the first.
    pub after: Option<usize>,
    /// Nanoseconds since the play began, on the side's own clock.
    pub nanos: u64,
    /// The director's interface it left by.
    pub interface: String,
    /// From its Ethernet header on.
    pub frame: Vec<u8>,
}

/// A command of the scenario and what it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShellLine {
    /// As in the scenario.
    pub command: String,
    /// How many frames were played before.
    pub after: usize,
    /// Standard output.
    pub output: String,
    /// Standard error.
    pub errors: String,
    /// Its exit code.
    pub status: i32,
}
