//! What came of whole configurations that the gateway was given while it ran.

use std::time::SystemTime;

use super::{Gateway, State};

/// Counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applies {
    /// Those that were applied.
    pub applied: u64,
    /// Those that were refused, and changed nothing.
    pub refused: u64,
    /// Whether the last one was refused.
    pub last_refused: bool,
}

impl Gateway {
    /// What came of whole configurations so far.
    #[must_use]
    pub fn applies(&self) -> Applies {
        *self.applies.lock()
    }

    /// Counts a configuration that could not be read or was not admitted, so that [`Self::apply`]
    /// never saw it.
    pub fn refuse_unread(&self) {
        self.note_apply(false);
    }

    pub(super) fn note_apply(&self, was_applied: bool) {
        let mut applies = self.applies.lock();
        applies.last_refused = !was_applied;
        match was_applied {
            true => applies.applied += 1,
            false => applies.refused += 1,
        }
    }

    /// The revision of the configuration, and since when it is so.
    #[must_use]
    pub fn last_change(&self) -> (u64, SystemTime) {
        let state = self.state.lock();
        (state.revision, state.changed_at)
    }
}

impl State {
    /// The configuration is another from now on.
    pub(super) fn revise(&mut self) {
        self.revision += 1;
        self.changed_at = SystemTime::now();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::testing::gateway;
    use super::*;
    use crate::config::Config;

    const PORT: &str = "[[port]]\nname = \"wan\"\ndevice = \"net_null0\"\n";

    #[test]
    fn whole_configurations_count_as_applied_or_refused() {
        let gateway = gateway("");
        let given = |text: &str| {
            let (config, _) = Config::from_toml(text, Path::new("t.toml")).unwrap();
            gateway.apply(config).is_ok()
        };
        assert_eq!(gateway.applies(), Applies::default());
        let (revision, since) = gateway.last_change();

        // A restart would be needed.
        assert!(!given(&format!("{PORT}mtu = 1400\n")));
        let refused = Applies {
            refused: 1,
            last_refused: true,
            ..Applies::default()
        };
        assert_eq!(gateway.applies(), refused);
        assert_eq!(gateway.last_change(), (revision, since));

        assert!(given(PORT));
        let applied = Applies {
            applied: 1,
            last_refused: false,
            ..refused
        };
        assert_eq!(gateway.applies(), applied);
        assert_eq!(gateway.revision(), revision + 1);

        gateway.refuse_unread();
        assert_eq!(
            (gateway.applies().refused, gateway.applies().last_refused),
            (2, true)
        );
    }
}
