//! Scenarios that are known to differ: what is still to be done.
//!
//! The list names each with its reason. It keeps itself true: one that is the same as the kernel
//! after all, and is still on the list, fails as one that differs and is not.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

/// The list; a line for each scenario: its name, a colon, and why it differs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known(BTreeMap<String, String>);

impl Known {
    /// Reads the list.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or a line has no reason; the error names the line.
    pub fn load(file: &Path) -> io::Result<Self> {
        Self::parse(&fs::read_to_string(file)?)
    }

    pub(crate) fn parse(text: &str) -> io::Result<Self> {
        let lines = text.lines().zip(1..);
        let lines = lines.filter(|(line, _)| !line.trim().is_empty() && !line.starts_with('#'));
        let entries = lines.map(|(line, number)| match line.split_once(':') {
            Some((name, why)) if !why.trim().is_empty() => {
                Ok((name.trim().to_owned(), why.trim().to_owned()))
            }
            _ => {
                let problem = format!("line {number}: a name, a colon and a reason are needed");
                Err(io::Error::new(io::ErrorKind::InvalidData, problem))
            }
        });
        entries.collect::<io::Result<_>>().map(Self)
    }

    /// Why the scenario of this name differs; none when it must not.
    #[must_use]
    pub fn reason(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_a_reason_for_each_name() {
        let known = Known::parse("# so far\nflush: sessions stay\n\nttl-nat : another source\n");

        let known = known.unwrap();
        assert_eq!(known.reason("flush"), Some("sessions stay"));
        assert_eq!(known.reason("ttl-nat"), Some("another source"));
        assert_eq!(known.reason("ttl-dr"), None);
    }

    #[test]
    fn a_name_without_a_reason_is_refused_with_its_line() {
        for text in ["a: b\nflush", "a: b\nflush:"] {
            let error = Known::parse(text).unwrap_err();

            assert!(error.to_string().starts_with("line 2:"), "{error}");
        }
    }
}
