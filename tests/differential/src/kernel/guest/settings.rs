//! What the kernel's command line says: the kernel gives its first process what it does not know
//! itself as environment.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

/// Names the run folder, as this machine outside sees it.
pub(in super::super) const RUN: &str = "SLUICE_RUN";
/// Is set where time is real.
pub(in super::super) const REAL_TIME: &str = "SLUICE_REAL_TIME";
/// Names the folder of the kernel's modules, when it needs them.
pub(in super::super) const MODULES: &str = "SLUICE_MODULES";

/// How long frames may take through a kernel that shares its processor with others.
const SETTLE: Duration = Duration::from_micros(500);

/// How this guest is to run.
#[derive(Debug)]
pub(super) struct Settings {
    /// The run folder, as this machine outside sees it.
    pub(super) run: PathBuf,
    /// Whether time passes by itself.
    pub(super) real_time: bool,
    /// Where the kernel's modules are, when it has some.
    pub(super) modules: Option<PathBuf>,
}

impl Settings {
    /// What the environment says.
    pub(super) fn of_environment() -> Self {
        Self {
            run: env::var_os(RUN).unwrap_or_default().into(),
            real_time: env::var_os(REAL_TIME).is_some(),
            modules: env::var_os(MODULES).map(PathBuf::from),
        }
    }

    /// How long to wait for what a frame causes, when nothing came any more.
    pub(super) const fn settle(&self) -> Duration {
        if self.real_time {
            SETTLE
        } else {
            Duration::ZERO
        }
    }
}
