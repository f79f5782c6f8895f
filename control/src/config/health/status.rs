//! Which status codes of HTTP are right: `200`, `"200-299,301"`, `["200-299", 301]`.

use std::ops::RangeInclusive;

use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};

use super::super::document::{Node, Value};

/// The classes of RFC 9110 §15.
const CODES: RangeInclusive<u16> = 100..=599;

/// What is right when nothing is said: success (RFC 9110 §15.3).
pub(super) const SUCCESS: RangeInclusive<u16> = 200..=299;

/// Reads one code, text with codes and runs of them, or a list of both.
pub(super) fn read(node: &Node) -> Result<Vec<RangeInclusive<u16>>, String> {
    match &node.value {
        Value::List(items) if items.is_empty() => {
            Err("has no code, so that every answer would be wrong: give one".to_owned())
        }
        Value::List(items) => {
            let runs: Result<Vec<_>, _> = items.iter().map(read_one).collect();
            Ok(runs?.concat())
        }
        _ => read_one(node),
    }
}

fn read_one(node: &Node) -> Result<Vec<RangeInclusive<u16>>, String> {
    match &node.value {
        Value::Integer(_) => {
            let code = node.number(*CODES.start(), *CODES.end())?;
            Ok(vec![code..=code])
        }
        Value::Text(text) => parse(text).ok_or_else(|| {
            format!("\"{text}\" is no status: write it like \"200-299,301\", from 100 to 599")
        }),
        other => Err(format!(
            "must be codes like \"200-299\" or 301, not {}",
            other.kind()
        )),
    }
}

/// Codes and runs of them with commas between.
fn parse(text: &str) -> Option<Vec<RangeInclusive<u16>>> {
    text.split(',').map(parse_run).collect()
}

fn parse_run(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let code = |text: &str| text.trim().parse().ok().filter(|it| CODES.contains(it));
    let (first, last) = (code(first)?, code(last)?);
    (first <= last).then_some(first..=last)
}

/// The list as it is written.
pub(super) struct Written<'a>(pub(super) &'a [RangeInclusive<u16>]);

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut runs = serializer.serialize_seq(Some(self.0.len()))?;
        for run in self.0 {
            let (first, last) = (run.start(), run.end());
            if first == last {
                runs.serialize_element(first)?;
            } else {
                runs.serialize_element(&format_args!("{first}-{last}"))?;
            }
        }
        runs.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Node {
        let value = Value::Text(text.to_owned());
        Node { line: 1, value }
    }

    fn number(code: i64) -> Node {
        let value = Value::Integer(code);
        Node { line: 1, value }
    }

    fn list(items: Vec<Node>) -> Node {
        let value = Value::List(items);
        Node { line: 1, value }
    }

    #[test]
    fn codes_and_runs_may_stand_together() {
        assert_eq!(read(&number(204)), Ok(vec![204..=204]));
        assert_eq!(read(&text("200-299, 301")), Ok(vec![200..=299, 301..=301]));
        assert_eq!(
            read(&list(vec![text("200-299"), number(301)])),
            Ok(vec![200..=299, 301..=301])
        );
    }

    #[test]
    fn codes_that_do_not_exist_are_refused() {
        for wrong in ["", "ok", "299-200", "99", "600", "200-", "200,,201"] {
            assert_eq!(
                read(&text(wrong)).unwrap_err(),
                format!("\"{wrong}\" is no status: write it like \"200-299,301\", from 100 to 599")
            );
        }
        assert_eq!(
            read(&number(99)).unwrap_err(),
            "99 is below 100: give 100 to 599"
        );
        assert_eq!(
            read(&list(Vec::new())).unwrap_err(),
            "has no code, so that every answer would be wrong: give one"
        );
    }
}
