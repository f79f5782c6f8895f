//! The files that `include` names: `*`, `?`, `[…]` and `{a,b}`, relative to the file that says it.

use std::io;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern, glob_with};

/// The most patterns that braces make of one.
const MOST_PATTERNS: usize = 1024;

/// The longest file that is read.
const LONGEST: u64 = 64 * 1024 * 1024;

/// How libc matches: `*` neither crosses directories nor finds hidden files.
const AS_LIBC: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// Files that match, in the order of their names for each alternative; none if there is none.
pub(super) fn matching(pattern: &str, from: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for pattern in alternatives(pattern) {
        let pattern = if Path::new(&pattern).is_absolute() {
            pattern
        } else {
            let from = Pattern::escape(&from.to_string_lossy());
            match from.as_str() {
                "" => pattern,
                from => format!("{from}/{pattern}"),
            }
        };
        if let Ok(paths) = glob_with(&pattern, AS_LIBC) {
            found.extend(paths.flatten());
        }
    }
    found
}

/// The text of a file. What is no plain file is not read: it may have no end.
pub(super) fn text(path: &Path) -> io::Result<String> {
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is no plain file"));
    }
    if metadata.len() > LONGEST {
        return Err(io::Error::other("it has more than 64 MiB"));
    }
    let bytes = std::fs::read(path)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What `{a,b}` stands for, as in a shell; braces that do not match are themselves.
fn alternatives(pattern: &str) -> Vec<String> {
    let mut done = Vec::new();
    let mut waiting = vec![pattern.to_owned()];
    while let Some(pattern) = waiting.pop() {
        match first_braces(&pattern) {
            Some((head, items, tail)) if waiting.len() + done.len() < MOST_PATTERNS => {
                let items = items.iter().rev();
                waiting.extend(items.map(|item| format!("{head}{item}{tail}")));
            }
            _ => done.push(pattern),
        }
    }
    done
}

/// What is before the first braces, their items, and what is behind them.
fn first_braces(pattern: &str) -> Option<(&str, Vec<&str>, &str)> {
    let start = pattern.find('{')?;
    let mut depth = 0_usize;
    let mut items = Vec::new();
    let mut from = start + 1;
    for (at, c) in pattern.char_indices().skip_while(|(at, _)| *at < start) {
        match c {
            '{' => depth += 1,
            ',' if depth == 1 => {
                items.push(&pattern[from..at]);
                from = at + 1;
            }
            '}' if depth == 1 => {
                items.push(&pattern[from..at]);
                return Some((&pattern[..start], items, &pattern[at + 1..]));
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_are_those_of_a_shell() {
        assert_eq!(
            alternatives("{foo/{,cat,dog},bar}.conf"),
            ["foo/.conf", "foo/cat.conf", "foo/dog.conf", "bar.conf"]
        );
        assert_eq!(alternatives("a{b"), ["a{b"]);
        assert_eq!(alternatives("a}b"), ["a}b"]);
        assert_eq!(alternatives("{a}"), ["a"]);
    }

    #[test]
    fn braces_do_not_grow_without_end() {
        let pattern = "{a,b}".repeat(64);

        assert!(alternatives(&pattern).len() <= MOST_PATTERNS + 64);
    }

    #[test]
    fn what_is_no_plain_file_is_not_read() {
        let error = text(Path::new("/dev/zero")).unwrap_err();

        assert_eq!(error.to_string(), "it is no plain file");
    }
}
