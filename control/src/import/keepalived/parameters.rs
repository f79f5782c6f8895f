//! `$NAME=value`, `${NAME}`: what stands for something else.
//!
//! A value is looked at when it is used, so it may name parameters that are set later, and it may
//! be several lines. How much may stand for one line is bounded, so a parameter that names itself
//! comes to an end.

use std::collections::HashMap;

use super::super::place::{Note, Place};

/// The most parameters in one line, those within their values included.
const MOST_PER_LINE: usize = 1000;

/// The most bytes of one line.
const LONGEST_LINE: usize = 64 * 1024;

/// A line that is not split into words yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) place: Place,
    pub(super) text: String,
}

/// What every parameter stands for.
#[derive(Debug, Default)]
pub(super) struct Parameters {
    values: HashMap<String, Vec<Line>>,
}

/// The name and the value of a line that sets a parameter.
pub(super) fn assignment(text: &str) -> Option<(&str, &str)> {
    let rest = text.strip_prefix('$')?;
    let (name, value) = rest.split_at(name_length(rest));
    let value = value.strip_prefix('=')?;
    (!name.is_empty()).then_some((name, value.trim()))
}

/// Bytes of the name that `text` begins with.
fn name_length(text: &str) -> usize {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let length = text.find(|c| !is_name(c)).unwrap_or(text.len());
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        0
    } else {
        length
    }
}

impl Parameters {
    /// Sets what a name stands for from here on.
    pub(super) fn set(&mut self, name: &str, lines: Vec<Line>) {
        self.values.insert(name.to_owned(), lines);
    }

    /// The line with what its parameters stand for, as one line or several, and how many parameters
    /// it had.
    ///
    /// # Errors
    ///
    /// When there is no end to it.
    pub(super) fn replace(&self, line: Line) -> Result<(Vec<Line>, usize), Note> {
        let Line { place, mut text } = line;
        let mut from = 0;
        let mut count = 0;
        while let Some(at) = text.get(from..).and_then(|rest| rest.find('$')) {
            let start = from + at;
            let Some((name, end)) = used(&text, start) else {
                from = start + 1;
                continue;
            };
            let Some(lines) = self.values.get(name) else {
                from = start + 1;
                continue;
            };
            count += 1;
            if count > MOST_PER_LINE || text.len() > LONGEST_LINE {
                let message = format!("`{name}` stands for more than a line can hold");
                return Err(Note::new(&place, message));
            }
            if let [first, .., last] = lines.as_slice() {
                let mut lines = lines.clone();
                let count_lines = lines.len();
                let head = format!("{}{}", &text[..start], first.text);
                let tail = format!("{}{}", last.text, &text[end..]);
                lines[0].text = head;
                lines[count_lines - 1].text = tail;
                return Ok((lines, count));
            }
            let value = lines.first().map_or("", |line| line.text.as_str());
            let value = value.to_owned();
            text.replace_range(start..end, &value);
            from = start;
        }
        Ok((vec![Line { place, text }], count))
    }
}

/// The name of the parameter used at `start`, and where its use ends.
fn used(text: &str, start: usize) -> Option<(&str, usize)> {
    let rest = text.get(start + 1..)?;
    if let Some(braced) = rest.strip_prefix('{') {
        let length = name_length(braced);
        let is_closed = braced[length..].starts_with('}');
        return (is_closed && length > 0).then(|| (&braced[..length], start + length + 3));
    }
    let length = name_length(rest);
    let behind = rest[length..].chars().next();
    let is_word = behind.is_none_or(char::is_whitespace);
    (is_word && length > 0).then(|| (&rest[..length], start + 1 + length))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn line(text: &str) -> Line {
        Line {
            place: Place::new(Path::new("k.conf"), 7),
            text: text.to_owned(),
        }
    }

    fn replaced(set: &[(&str, &[&str])], text: &str) -> Result<Vec<String>, String> {
        let mut parameters = Parameters::default();
        for (name, lines) in set {
            parameters.set(name, lines.iter().map(|text| line(text)).collect());
        }
        let replaced = parameters.replace(line(text));
        let (lines, _) = replaced.map_err(|note| note.to_string())?;
        Ok(lines.into_iter().map(|line| line.text).collect())
    }

    #[test]
    fn a_parameter_is_set_at_the_beginning_of_a_line() {
        assert_eq!(assignment("$NET=10.2.0"), Some(("NET", "10.2.0")));
        assert_eq!(assignment("$_X1= a b "), Some(("_X1", "a b")));
        assert_eq!(assignment("$EMPTY="), Some(("EMPTY", "")));
        for text in ["$NET =1", "$1X=1", "NET=1", "$=1", "${NET}=1"] {
            assert_eq!(assignment(text), None, "{text}");
        }
    }

    #[test]
    fn values_are_looked_at_when_they_are_used() {
        let set: &[(&str, &[&str])] = &[("NET", &["10.2.${SUB}"]), ("SUB", &["7"]), ("E", &[])];

        assert_eq!(
            replaced(set, "${NET}.1 $SUB x$E").unwrap(),
            ["10.2.7.1 7 x"]
        );
        let unknown = "$SUBnet ${NOT} $NOT $ ${SUB $1 ${}";
        assert_eq!(replaced(set, unknown).unwrap(), [unknown]);
    }

    #[test]
    fn a_value_may_be_several_lines() {
        let set: &[(&str, &[&str])] = &[("RS", &["real_server ${N} 80 {", "weight 2", "}"])];

        assert_eq!(
            replaced(set, "a $RS b").unwrap(),
            ["a real_server ${N} 80 {", "weight 2", "} b"]
        );
    }

    #[test]
    fn a_parameter_that_names_itself_comes_to_an_end() {
        let message = "k.conf:7: `A` stands for more than a line can hold";
        for value in ["$A", "x${A}", "${A}${A}"] {
            assert_eq!(replaced(&[("A", &[value])], "$A").unwrap_err(), message);
        }
    }
}
