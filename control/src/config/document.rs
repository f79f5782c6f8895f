//! The configuration as a tree in which everything knows its line.
//!
//! TOML and JSON become the same tree, so that a file and a request to the API are read and
//! checked by the same code. The tree knows no key and checks nothing but syntax.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value and the line it begins on (0 in JSON).
#[derive(Debug)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) value: Value,
}

/// What can be written for a key.
#[derive(Debug)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Boolean(bool),
    List(Vec<Node>),
    Table(Table),
    /// Something no key wants, by its name in a sentence.
    Other(&'static str),
}

/// Keys with their values, and the line of the table's header.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) line: usize,
    pub(super) entries: BTreeMap<String, Entry>,
}

/// A value with the line of its key.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key_line: usize,
    pub(super) node: Node,
}

impl Value {
    /// The kind of value, with its article.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Integer(_) => "a number",
            Self::Boolean(_) => "true or false",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Other(kind) => kind,
        }
    }
}

impl Table {
    /// The line of the value at `path` (`twin.name`), or of the nearest table around it.
    pub(super) fn line_of(&self, path: &str) -> usize {
        let (key, rest) = path.split_once('.').unwrap_or((path, ""));
        match self.entries.get(key) {
            None => self.line,
            Some(entry) => match &entry.node.value {
                Value::Table(inner) if !rest.is_empty() => inner.line_of(rest),
                _ => entry.key_line,
            },
        }
    }
}

/// Reads TOML; what does not parse is left out of the tree and reported as (line, message).
pub(super) fn from_toml(text: &str) -> (Table, Vec<(usize, String)>) {
    let lines = LineIndex::new(text);
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut errors: Vec<_> = errors
        .iter()
        .map(|error| {
            let start = error.span().map_or(0, |span| span.start);
            (lines.line(start), syntax_sentence(error.message()))
        })
        .collect();
    // One slip often makes the parser stumble several times on its line.
    errors.sort_by_key(|(line, _)| *line);
    errors.dedup_by_key(|(line, _)| *line);
    (table_from_toml(root.get_ref(), 1, &lines), errors)
}

/// Reads a JSON object; anything else is an error.
pub(super) fn from_json(json: &serde_json::Value) -> Result<Table, String> {
    match node_from_json(json).value {
        Value::Table(table) => Ok(table),
        other => Err(format!(
            "the configuration must be a JSON object, not {}",
            other.kind()
        )),
    }
}

fn syntax_sentence(parser_message: &str) -> String {
    let first_line = parser_message.lines().next().unwrap_or_default();
    format!("this is not TOML: {first_line}")
}

fn table_from_toml(table: &DeTable<'_>, line: usize, lines: &LineIndex) -> Table {
    let entries = table
        .iter()
        .map(|(key, value)| {
            let entry = Entry {
                key_line: lines.line(key.span().start),
                node: node_from_toml(value, lines),
            };
            (key.get_ref().to_string(), entry)
        })
        .collect();
    Table { line, entries }
}

fn node_from_toml(spanned: &Spanned<DeValue<'_>>, lines: &LineIndex) -> Node {
    let line = lines.line(spanned.span().start);
    let value = match spanned.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::Other("a number beyond 64 bits"),
        },
        DeValue::Boolean(yes) => Value::Boolean(*yes),
        DeValue::Array(items) => Value::List(
            items
                .iter()
                .map(|item| node_from_toml(item, lines))
                .collect(),
        ),
        DeValue::Table(table) => Value::Table(table_from_toml(table, line, lines)),
        DeValue::Float(_) => Value::Other("a number with a fraction"),
        DeValue::Datetime(_) => Value::Other("a date"),
    };
    Node { line, value }
}

fn node_from_json(json: &serde_json::Value) -> Node {
    let value = match json {
        serde_json::Value::Null => Value::Other("null"),
        serde_json::Value::Bool(yes) => Value::Boolean(*yes),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(number) => Value::Integer(number),
            None if number.is_u64() => Value::Other("a number beyond 64 bits"),
            None => Value::Other("a number with a fraction"),
        },
        serde_json::Value::String(text) => Value::Text(text.clone()),
        serde_json::Value::Array(items) => Value::List(items.iter().map(node_from_json).collect()),
        serde_json::Value::Object(members) => Value::Table(table_from_json(members)),
    };
    Node { line: 0, value }
}

fn table_from_json(members: &serde_json::Map<String, serde_json::Value>) -> Table {
    let entries = members
        .iter()
        // A client's `null` is its way to leave a key out.
        .filter(|(_, value)| !value.is_null())
        .map(|(key, value)| {
            let entry = Entry {
                key_line: 0,
                node: node_from_json(value),
            };
            (key.clone(), entry)
        })
        .collect();
    Table { line: 0, entries }
}

/// Finds the line of a byte.
struct LineIndex {
    /// Where each line begins.
    starts: Vec<usize>,
}

impl LineIndex {
    fn new(text: &str) -> Self {
        let after_newlines = text.match_indices('\n').map(|(at, _)| at + 1);
        Self {
            starts: std::iter::once(0).chain(after_newlines).collect(),
        }
    }

    /// The line, counted from 1, that holds the byte at `offset`.
    fn line(&self, offset: usize) -> usize {
        self.starts.partition_point(|&start| start <= offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_values_and_headers_know_their_lines() {
        let text = "a = 1\n\n[[b]]\nc = [\n  1,\n  2,\n]\n\n[[b]]\n[b.d]\ne = 1\n";

        let (root, errors) = from_toml(text);

        assert_eq!(errors, []);
        assert_eq!(root.line_of("a"), 1);
        let Value::List(tables) = &root.entries["b"].node.value else {
            panic!("b is a list of tables");
        };
        let [first, second] = tables.as_slice() else {
            panic!("there are two");
        };
        let (Value::Table(first), Value::Table(second)) = (&first.value, &second.value) else {
            panic!("both are tables");
        };
        assert_eq!((first.line, second.line), (3, 9));
        let Value::List(items) = &first.entries["c"].node.value else {
            panic!("c is a list");
        };
        assert_eq!((items[0].line, items[1].line), (5, 6));
        assert_eq!(second.line_of("d.e"), 11);
        assert_eq!(second.line_of("missing"), 9);
    }

    #[test]
    fn every_syntax_error_is_reported_with_its_line() {
        let (_, errors) = from_toml("a = \nb = 1\nc = = 2\nb = 3\n");

        let lines: Vec<_> = errors.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [1, 3, 4]);
        assert!(errors[2].1.starts_with("this is not TOML: duplicate key"));
    }

    #[test]
    fn json_becomes_the_same_tree_without_lines() {
        let json = serde_json::json!({"a": {"b": [1, "x", 2.5]}, "none": null});

        let root = from_json(&json).unwrap();

        assert!(!root.entries.contains_key("none"));
        let Value::Table(a) = &root.entries["a"].node.value else {
            panic!("a is a table");
        };
        let Value::List(items) = &a.entries["b"].node.value else {
            panic!("b is a list");
        };
        let kinds: Vec<_> = items.iter().map(|item| item.value.kind()).collect();
        assert_eq!(kinds, ["a number", "text", "a number with a fraction"]);
        assert_eq!(
            from_json(&serde_json::json!([])).unwrap_err(),
            "the configuration must be a JSON object, not a list"
        );
    }
}
