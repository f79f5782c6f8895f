//! What is wrong with a configuration, said so that an operator can mend it.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// One thing that is wrong and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ConfigError {
    /// The file it was read from, or what stands for one (`-`, `api`).
    pub path: PathBuf,
    /// The line in it, counted from 1; 0 where there are no lines (JSON, an unreadable file).
    pub line: usize,
    /// A sentence that says what is wrong and what to do.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_located(f, &self.path, self.line, &self.message)
    }
}

/// Everything that is wrong with one configuration, in the order of its lines; never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_lines(f, &self.0)
    }
}

impl std::error::Error for ConfigErrors {}

/// One thing that is allowed but probably not meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ConfigWarning {
    /// The file it was read from, or what stands for one.
    pub path: PathBuf,
    /// The line in it, counted from 1; 0 where there are no lines.
    pub line: usize,
    /// A sentence that says what will happen.
    pub message: String,
}

impl fmt::Display for ConfigWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_located(f, &self.path, self.line, &self.message)
    }
}

/// What is allowed but probably not meant, in the order of its lines; often empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Warnings(pub Vec<ConfigWarning>);

impl fmt::Display for Warnings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_lines(f, &self.0)
    }
}

fn write_located(
    f: &mut fmt::Formatter<'_>,
    path: &Path,
    line: usize,
    message: &str,
) -> fmt::Result {
    match line {
        0 => write!(f, "{}: {message}", path.display()),
        line => write!(f, "{}:{line}: {message}", path.display()),
    }
}

fn write_lines<T: fmt::Display>(f: &mut fmt::Formatter<'_>, items: &[T]) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            writeln!(f)?;
        }
        item.fmt(f)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(line: usize, message: &str) -> ConfigError {
        ConfigError {
            path: PathBuf::from("conf/x.toml"),
            line,
            message: message.to_owned(),
        }
    }

    #[test]
    fn errors_print_one_per_line_with_file_and_line() {
        let errors = ConfigErrors(vec![error(3, "a is wrong"), error(0, "b is missing")]);

        assert_eq!(
            errors.to_string(),
            "conf/x.toml:3: a is wrong\nconf/x.toml: b is missing"
        );
    }

    #[test]
    fn no_warnings_print_nothing() {
        assert_eq!(Warnings::default().to_string(), "");
    }

    #[test]
    fn errors_are_a_list_in_json() {
        let json = serde_json::to_value(ConfigErrors(vec![error(3, "a is wrong")])).unwrap();

        assert_eq!(
            json,
            serde_json::json!([{"path": "conf/x.toml", "line": 3, "message": "a is wrong"}])
        );
    }
}
