//! Times to the millisecond, as checks have them: `5`, `"1s"`, `"500ms"`, `"2m"`.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::super::document::{Node, Value};

/// What a unit is in milliseconds.
const UNITS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

/// Seconds, or text with a unit, within `range`.
pub(super) fn read(node: &Node, range: RangeInclusive<Duration>) -> Result<Duration, String> {
    let millis = match &node.value {
        Value::Integer(seconds) => i128::from(*seconds) * 1000,
        Value::Text(text) => parse(text).ok_or_else(|| {
            format!("\"{text}\" is no time: write it like \"500ms\", \"2s\" or \"5m\"")
        })?,
        other => {
            let kind = other.kind();
            let wanted = "must be seconds, or text like \"500ms\", \"2s\" or \"5m\"";
            return Err(format!("{wanted}, not {kind}"));
        }
    };
    let (least, most) = range.into_inner();
    let found = u64::try_from(millis).map(Duration::from_millis);
    match found {
        Ok(found) if found >= least && found <= most => Ok(found),
        _ => {
            let (least, most) = (Span(least), Span(most));
            let side = if millis < 0 || found.is_ok_and(|it| it < least.0) {
                "shorter than"
            } else {
                "longer than"
            };
            let end = if side == "shorter than" { least } else { most };
            Err(format!("is {side} {end}: give {least} to {most}"))
        }
    }
}

fn parse(text: &str) -> Option<i128> {
    let text = text.trim();
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit_at);
    let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit.trim())?;
    let number: u32 = number.parse().ok()?;
    Some(i128::from(number) * i128::from(*millis))
}

/// A time as it is written: whole seconds as a number, others as text in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Span(pub(in super::super) Duration);

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.subsec_millis() == 0 {
            serializer.serialize_u64(self.0.as_secs())
        } else {
            serializer.collect_str(&format_args!("{}ms", self.0.as_millis()))
        }
    }
}

/// In a sentence: `2 s`, `500 ms`, `1 d`.
impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let millis = self.0.as_millis();
        let whole = |(_, unit): &&(&str, u64)| millis.is_multiple_of(u128::from(*unit));
        match UNITS.iter().rev().find(whole) {
            Some((name, unit)) if millis > 0 => write!(f, "{} {name}", millis / u128::from(*unit)),
            _ => f.write_str("0 s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(value: Value) -> Result<u128, String> {
        let range = Duration::from_millis(100)..=Duration::from_secs(86_400);
        read(&Node { line: 1, value }, range).map(|time| time.as_millis())
    }

    fn text(text: &str) -> Result<u128, String> {
        time(Value::Text(text.to_owned()))
    }

    #[test]
    fn times_are_seconds_or_have_a_unit() {
        assert_eq!(time(Value::Integer(5)), Ok(5000));
        for (written, millis) in [
            ("500ms", 500),
            ("1s", 1000),
            ("2 m", 120_000),
            ("1h", 3_600_000),
            ("1d", 86_400_000),
        ] {
            assert_eq!(text(written), Ok(millis));
        }
    }

    #[test]
    fn impossible_times_are_refused() {
        let sentence = |found: Result<u128, String>| found.unwrap_err();

        assert_eq!(
            sentence(text("soon")),
            "\"soon\" is no time: write it like \"500ms\", \"2s\" or \"5m\""
        );
        assert_eq!(
            sentence(time(Value::Boolean(true))),
            "must be seconds, or text like \"500ms\", \"2s\" or \"5m\", not true or false"
        );
        for shorter in [
            text("99ms"),
            time(Value::Integer(-1)),
            time(Value::Integer(0)),
        ] {
            let found = sentence(shorter);
            assert_eq!(found, "is shorter than 100 ms: give 100 ms to 1 d");
        }
        for longer in [
            text("25h"),
            time(Value::Integer(i64::MAX)),
            text("4294967295d"),
        ] {
            let found = sentence(longer);
            assert_eq!(found, "is longer than 1 d: give 100 ms to 1 d");
        }
    }

    #[test]
    fn a_time_reads_as_it_is_written() {
        for millis in [100, 1000, 1500, 61_000, 86_400_000] {
            let span = Span(Duration::from_millis(millis));
            let value = match serde_json::to_value(span).unwrap() {
                serde_json::Value::String(text) => Value::Text(text),
                number => Value::Integer(number.as_i64().unwrap()),
            };
            assert_eq!(time(value), Ok(millis.into()));
        }
        let shown = [0, 1, 1000, 90_000, 120_000].map(|it| Span(Duration::from_millis(it)));
        let shown = shown.map(|span| span.to_string());
        assert_eq!(shown, ["0 s", "1 ms", "1 s", "90 s", "2 m"]);
    }
}
