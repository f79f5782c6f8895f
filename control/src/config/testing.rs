//! Reads small configurations for the tests of this module.

use std::path::Path;

use super::{Config, ConfigErrors, Warnings};

/// The least that a configuration needs; it stands behind a test's own lines, so that these
/// keep their numbers.
const PORT: &str = "\n[[port]]\nname = \"wan\"\ndevice = \"net_null0\"\n";

/// Reads `text`, with a port behind it if it has none.
pub(super) fn read(text: &str) -> Result<(Config, Warnings), ConfigErrors> {
    let path = Path::new("t.toml");
    if text.contains("[[port]]") {
        Config::from_toml(text, path)
    } else {
        Config::from_toml(&format!("{text}{PORT}"), path)
    }
}

/// The configuration of a text without mistakes.
pub(super) fn config(text: &str) -> Config {
    read(text).map(|(config, _)| config).unwrap()
}

/// What is wrong with `text`, each as `line: sentence`.
pub(super) fn refusals(text: &str) -> Vec<String> {
    let ConfigErrors(errors) = read(text).map(|_| text).unwrap_err();
    errors
        .iter()
        .map(|error| format!("{}: {}", error.line, error.message))
        .collect()
}

/// What is probably not meant in `text`, each as `line: sentence`.
pub(super) fn warnings(text: &str) -> Vec<String> {
    let (_, Warnings(warnings)) = read(text).unwrap();
    warnings
        .iter()
        .map(|warning| format!("{}: {}", warning.line, warning.message))
        .collect()
}
