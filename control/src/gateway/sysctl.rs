//! The variables of IPVS while the gateway runs.

use dataplane::knobs::{KnobError, Knobs};

use super::events::EventKind;
use super::{Gateway, State};
use crate::view::SysctlView;

impl Gateway {
    /// Every variable, sorted by name.
    #[must_use]
    pub fn sysctls(&self) -> Vec<SysctlView> {
        let state = self.state.lock();
        let names = Knobs::NAMES.iter();
        names.filter_map(|name| state.sysctl(name)).collect()
    }

    /// One variable.
    ///
    /// # Errors
    ///
    /// [`KnobError`] when there is none of this name.
    pub fn sysctl(&self, name: &str) -> Result<SysctlView, KnobError> {
        let found = self.state.lock().sysctl(name);
        found.ok_or_else(|| Knobs::absence(name))
    }

    /// Sets a variable until a configuration is applied, which says all of them anew.
    ///
    /// # Errors
    ///
    /// [`KnobError`] when there is none of this name, or the value cannot be.
    pub fn set_sysctl(&self, name: &str, value: &str) -> Result<SysctlView, KnobError> {
        let mut state = self.state.lock();
        let before = state.editor.state().knobs.clone();
        let mut knobs = (*before).clone();
        knobs.set(name, value)?;
        if knobs != *before {
            state.editor.set_knobs(knobs.clone());
            let expirations = |knobs: &Knobs| (knobs.lblc_expiration, knobs.lblcr_expiration);
            if expirations(&knobs) != expirations(&before) {
                let services = state.sources(&knobs).services();
                state.editor.set_services(&services);
            }
            state.revise();
            self.publish(&mut state);
            let what = format!("sysctl {name}");
            let changed = [EventKind::ConfigurationChanged { what }];
            self.watchers.tell(state.revision, changed);
        }
        state.sysctl(name).ok_or_else(|| Knobs::absence(name))
    }
}

impl State {
    fn sysctl(&self, name: &str) -> Option<SysctlView> {
        Some(SysctlView {
            name: name.to_owned(),
            value: self.editor.state().knobs.get(name)?,
            configured: self.config.ipvs().knobs.get(name)?,
        })
    }
}
