//! What the figures were measured on.

use std::fmt;
use std::fs;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The machine, the versions and the command of the last run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor, by its own name.
    pub processor: String,
    /// How many of its cores this machine has.
    pub cores: usize,
    /// The kernel's release.
    pub kernel: String,
    /// DPDK's version.
    pub dpdk: String,
    /// The gateway's version and commit.
    pub sluice: String,
    /// Whether buffers and tables lay in huge pages.
    pub huge_pages: bool,
    /// What was run.
    pub command: String,
}

impl Machine {
    /// This machine, with a gateway whose `/v1/status` is `status`.
    #[must_use]
    pub fn of_this(status: &str, huge_pages: bool) -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let processors = read("/proc/cpuinfo");
        let status: Value = serde_json::from_str(status).unwrap_or_default();
        let said = |key: &str| status[key].as_str().unwrap_or("unknown").to_owned();
        Self {
            processor: processor_in(&processors),
            // Not those this thread may use, which is kept on one.
            cores: cores_in(&processors),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            dpdk: said("dpdk"),
            sluice: said("version"),
            huge_pages,
            command: command(std::env::args()),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pages = if self.huge_pages {
            "huge pages"
        } else {
            "ordinary memory, no huge pages"
        };
        write!(
            f,
            "{} ({} cores), Linux {}, DPDK {}, {pages}, sluice {}: `{}`",
            self.processor, self.cores, self.kernel, self.dpdk, self.sluice, self.command
        )
    }
}

/// The name of the first processor in `/proc/cpuinfo`.
fn processor_in(text: &str) -> String {
    let named = text
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let name = named.and_then(|rest| rest.split_once(':'));
    name.map_or("an unknown processor", |(_, name)| name.trim())
        .to_owned()
}

/// How many processors `/proc/cpuinfo` lists.
fn cores_in(text: &str) -> usize {
    let lines = text.lines();
    lines.filter(|line| line.starts_with("processor")).count()
}

/// The command line with the program's name only, wherever it lies.
fn command(words: impl Iterator<Item = String>) -> String {
    let mut words: Vec<_> = words.collect();
    if let Some(program) = words.first_mut()
        && let Some((_, name)) = program.rsplit_once('/')
    {
        *program = name.to_owned();
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_one_line() {
        let status = r#"{"dpdk": "22.11.11", "version": "0.1.0 (abc)"}"#;

        let machine = Machine {
            processor: processor_in("processor\t: 0\nmodel name\t: EPYC 9\n"),
            cores: cores_in("processor : 0\nmodel name : x\nprocessor : 1\n"),
            kernel: "6.18".to_owned(),
            command: command(
                ["/x/sluice-bench", "replay", "--quick"]
                    .map(str::to_owned)
                    .into_iter(),
            ),
            ..Machine::of_this(status, false)
        };

        assert_eq!(
            machine.to_string(),
            "EPYC 9 (2 cores), Linux 6.18, DPDK 22.11.11, ordinary memory, no huge pages, \
             sluice 0.1.0 (abc): `sluice-bench replay --quick`"
        );
    }
}
