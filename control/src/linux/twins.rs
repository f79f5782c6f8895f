//! All twins of the gateway, from their making to the thread that serves them.

use std::io;

use dataplane::punt::TwinPort;

use super::check_lane::CheckLane;
use super::pump::Pump;
use super::twin::{Twin, TwinConfig, TwinError, TwinLink};

/// The twins of all interfaces, made but not yet served. Dropping them removes those that this
/// start made, persistent or not.
pub struct Twins(Vec<Twin>);

impl Twins {
    /// Makes or attaches to every twin, in the calling thread's network namespace; all or none.
    ///
    /// # Errors
    ///
    /// The first twin's that failed.
    pub fn open(configs: &[TwinConfig]) -> Result<Self, TwinError> {
        configs
            .iter()
            .map(Twin::open)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// What Linux calls them, in the order of their configurations.
    #[must_use]
    pub fn links(&self) -> Vec<TwinLink> {
        self.0.iter().map(|twin| twin.link().clone()).collect()
    }

    /// Lets persistent twins stay from now on, and starts to move frames between the twins and
    /// the `ports` of the same interfaces, and the packets of checks.
    ///
    /// # Errors
    ///
    /// When twins and ports do not pair up (`InvalidInput`), a twin cannot be kept, or no thread
    /// can be started.
    pub fn start(
        self,
        ports: Vec<Box<dyn TwinPort>>,
        checks: Option<CheckLane>,
    ) -> io::Result<Pump> {
        for twin in &self.0 {
            twin.keep().map_err(io::Error::other)?;
        }
        Pump::start(self.0, ports, checks)
    }
}
