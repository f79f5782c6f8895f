//! What cannot change while the gateway runs, and how that is said.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::config::Config;

/// Why a configuration was not applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// A part that is fixed at the start differs.
    #[error("a running gateway cannot change {0}: restart it with this configuration")]
    Fixed(String),
    /// Somebody else was faster.
    #[error("the configuration was changed meanwhile: look at it again")]
    Stale,
}

/// Whether `wanted` can follow `running` without a restart.
pub(super) fn check(running: &Config, wanted: &Config) -> Result<(), ApplyError> {
    if running.gateway() != wanted.gateway() {
        let keys = differing_keys(running.gateway(), wanted.gateway());
        return Err(ApplyError::Fixed(format!("{keys} of [gateway]")));
    }
    if running.ipvs().rules != wanted.ipvs().rules {
        return Err(ApplyError::Fixed("`rules` of [ipvs]".to_owned()));
    }
    if running.check_interface() != wanted.check_interface() {
        let keys = differing_keys(running.check_interface(), wanted.check_interface());
        return Err(ApplyError::Fixed(format!("{keys} of [health]")));
    }
    if running.ports() != wanted.ports() {
        return Err(ApplyError::Fixed(differing_port(running, wanted)));
    }
    Ok(())
}

/// The keys whose values are not the same, in backquotes.
fn differing_keys(running: &impl Serialize, wanted: &impl Serialize) -> String {
    let keys = |section| match section {
        Value::Object(keys) => keys,
        _ => Map::new(),
    };
    let (running, wanted) = (keys(json!(running)), keys(json!(wanted)));
    let all: BTreeSet<_> = running.keys().chain(wanted.keys()).collect();
    let differing = all
        .into_iter()
        .filter(|key| running.get(*key) != wanted.get(*key));
    let differing: Vec<_> = differing.map(|key| format!("`{key}`")).collect();
    differing.join(", ")
}

/// What is not the same in the ports of two configurations.
fn differing_port(running: &Config, wanted: &Config) -> String {
    let (running, wanted) = (running.ports(), wanted.ports());
    let pair = running.iter().zip(wanted).find(|(one, other)| one != other);
    match pair {
        Some((one, other)) if one.interface.name == other.interface.name => {
            let keys = differing_keys(one, other);
            format!("{keys} of port `{}`", one.interface.name)
        }
        _ => "the list of ports".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const PORT: &str = "[[port]]\nname = \"wan\"\ndevice = \"net_null0\"\n";

    fn config(text: &str) -> Config {
        let (config, _) = Config::from_toml(text, Path::new("t.toml")).unwrap();
        config
    }

    fn refused(wanted: &str) -> String {
        check(&config(PORT), &config(wanted))
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_change_of_services_needs_no_restart() {
        let service = "[[service]]\nprotocol = \"udp\"\nvip = \"10.1.0.100\"\nport = 53\n";

        let ipvs = "[ipvs]\nlblc_expiration = 5\n";
        assert!(check(&config(PORT), &config(&format!("{ipvs}{PORT}{service}"))).is_ok());
    }

    #[test]
    fn what_needs_a_restart_is_named() {
        assert_eq!(
            refused(&format!("[gateway]\nidle = \"spin\"\nworkers = 2\n{PORT}")),
            "a running gateway cannot change `idle`, `workers` of [gateway]: restart it with this \
             configuration"
        );
        assert_eq!(
            refused(&format!(
                "[ipvs]\nrules = \"6.1.176\"\nlblc_expiration = 5\n{PORT}"
            )),
            "a running gateway cannot change `rules` of [ipvs]: restart it with this configuration"
        );
        assert_eq!(
            refused(&format!(
                "[health]\ncheck_addresses = \"198.18.0.0/20\"\n{PORT}"
            )),
            "a running gateway cannot change `check_addresses` of [health]: restart it with this \
             configuration"
        );
        assert_eq!(
            refused(&format!("{PORT}mtu = 1400\n")),
            "a running gateway cannot change `mtu` of port `wan`: restart it with this configuration"
        );
        assert_eq!(
            refused(&format!(
                "{PORT}{}",
                PORT.replace("wan", "lan").replace("null0", "null1")
            )),
            "a running gateway cannot change the list of ports: restart it with this configuration"
        );
    }
}
