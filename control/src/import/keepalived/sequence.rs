//! `~SEQ(name, from, step, to)` and `~LST(name, value, …)`: lines that stand for many.

use super::super::place::{Note, Place};

/// A line that is used once for every value of its names.
#[derive(Debug)]
pub(super) struct Repeat {
    pub(super) place: Place,
    names: Vec<String>,
    values: Values,
    /// What follows on the line.
    pub(super) rest: String,
}

#[derive(Debug)]
enum Values {
    Numbers {
        next: i64,
        step: i64,
        last: i64,
        is_hexadecimal: bool,
    },
    List(std::vec::IntoIter<Vec<String>>),
}

impl Repeat {
    /// Reads the beginning of a line; `None` if it is no such line.
    ///
    /// # Errors
    ///
    /// When it looks like one and is none.
    pub(super) fn read(text: &str, place: &Place) -> Option<Result<Self, Note>> {
        let kinds = ["~SEQx(", "~SEQ(", "~LST("];
        let kind = kinds.into_iter().find(|kind| text.starts_with(kind))?;
        let inner = &text[kind.len()..];
        let wrong = |why: &str| {
            let name = kind.trim_end_matches('(');
            Some(Err(Note::new(place, format!("{name}: {why}"))))
        };
        let Some((inner, rest)) = inner.split_once(')') else {
            return wrong("there is no `)`");
        };
        let items = items(inner);
        let read = if kind == "~LST(" {
            read_list(&items)
        } else {
            read_numbers(&items, kind == "~SEQx(")
        };
        match read {
            Ok((names, values)) => Some(Ok(Self {
                place: place.clone(),
                names,
                values,
                rest: rest.trim().to_owned(),
            })),
            Err(why) => wrong(why),
        }
    }

    /// The next value of each name; `None` when it is over.
    pub(super) fn next(&mut self) -> Option<Vec<(String, String)>> {
        let values = match &mut self.values {
            Values::List(values) => values.next()?,
            Values::Numbers {
                next,
                step,
                last,
                is_hexadecimal,
            } => {
                let is_over = if *step > 0 {
                    *next > *last
                } else {
                    *next < *last
                };
                if is_over {
                    return None;
                }
                let text = if *is_hexadecimal {
                    format!("{next:x}")
                } else {
                    next.to_string()
                };
                // Beyond the largest number there is nothing to come.
                match next.checked_add(*step) {
                    Some(number) => *next = number,
                    None => (*next, *step, *last) = (1, 1, 0),
                }
                vec![text]
            }
        };
        Some(self.names.iter().cloned().zip(values).collect())
    }
}

/// What stands between commas that are not in braces.
fn items(text: &str) -> Vec<String> {
    let mut items = vec![String::new()];
    let mut depth = 0_u32;
    for c in text.chars() {
        match c {
            '{' => depth = depth.saturating_add(1),
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                items.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(item) = items.last_mut() {
            item.push(c);
        }
    }
    items.iter().map(|item| item.trim().to_owned()).collect()
}

/// The items of `{a, b}`, or one.
fn group(item: &str) -> Vec<String> {
    let inner = item.strip_prefix('{').and_then(|it| it.strip_suffix('}'));
    match inner {
        Some(inner) => inner.split(',').map(|it| it.trim().to_owned()).collect(),
        None => vec![item.to_owned()],
    }
}

type Read = Result<(Vec<String>, Values), &'static str>;

fn read_list(items: &[String]) -> Read {
    let [names, values @ ..] = items else {
        return Err("there is no name");
    };
    let names = group(names);
    let values: Vec<_> = values.iter().map(|value| group(value)).collect();
    if values.is_empty() {
        return Err("there is no value");
    }
    if values.iter().any(|value| value.len() != names.len()) {
        return Err("each value must have as many parts as there are names");
    }
    Ok((names, Values::List(values.into_iter())))
}

fn read_numbers(items: &[String], is_hexadecimal: bool) -> Read {
    let [name, numbers @ ..] = items else {
        return Err("there is no name");
    };
    let numbers: Option<Vec<i64>> = numbers.iter().map(|text| c_number(text)).collect();
    let numbers = numbers.ok_or("from, step and to must be numbers")?;
    let towards = |from: i64, to: i64| if from <= to { 1 } else { -1 };
    let (next, step, last) = match *numbers.as_slice() {
        [to] if to > 0 => (1, 1, to),
        [to] => (-1, -1, to),
        [from, to] => (from, towards(from, to), to),
        [from, step, to] => (from, step, to),
        _ => return Err("give a name, from, step and to"),
    };
    if step == 0 {
        return Err("a step of 0 comes to no end");
    }
    let values = Values::Numbers {
        next,
        step,
        last,
        is_hexadecimal,
    };
    Ok((vec![name.clone()], values))
}

/// A number as C reads it: decimal, or hexadecimal with `0x`.
fn c_number(text: &str) -> Option<i64> {
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let hexadecimal = digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"));
    let number = match hexadecimal {
        Some(digits) => i64::from_str_radix(digits, 16).ok()?,
        None => digits.parse().ok()?,
    };
    if is_negative {
        number.checked_neg()
    } else {
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(text: &str) -> Result<Vec<String>, String> {
        let place = Place::new(Path::new("k.conf"), 7);
        let repeat = Repeat::read(text, &place).unwrap();
        let mut repeat = repeat.map_err(|note| note.to_string())?;
        let mut shown = Vec::new();
        while let Some(values) = repeat.next() {
            let values: Vec<_> = values.iter().map(|(n, v)| format!("{n}={v}")).collect();
            shown.push(values.join(" "));
        }
        Ok(shown)
    }

    #[test]
    fn numbers_go_up_and_down_by_steps() {
        assert_eq!(read("~SEQ(A, 0, 2, 5) x").unwrap(), ["A=0", "A=2", "A=4"]);
        assert_eq!(read("~SEQ(A,3,1)").unwrap(), ["A=3", "A=2", "A=1"]);
        assert_eq!(read("~SEQ(A,2)").unwrap(), ["A=1", "A=2"]);
        assert_eq!(read("~SEQ(A,-2)").unwrap(), ["A=-1", "A=-2"]);
        assert_eq!(
            read("~SEQx(A, 0x90, 0x10, 0xb0)").unwrap(),
            ["A=90", "A=a0", "A=b0"]
        );
        let most = "~SEQ(A, 9223372036854775806, 2, 9223372036854775807)";
        assert_eq!(read(most).unwrap(), ["A=9223372036854775806"]);
        assert!(read("~SEQ(A, 5, 1, 4)").unwrap().is_empty());
    }

    #[test]
    fn lists_have_one_name_or_several() {
        assert_eq!(read("~LST(A, x, y z)").unwrap(), ["A=x", "A=y z"]);
        assert_eq!(
            read("~LST({A, B}, {10,1},{20, 4})").unwrap(),
            ["A=10 B=1", "A=20 B=4"]
        );
    }

    #[test]
    fn what_looks_like_one_and_is_none_is_refused() {
        for (text, why) in [
            ("~SEQ(A, 1", "~SEQ: there is no `)`"),
            ("~SEQ(A, 1, 0, 4)", "~SEQ: a step of 0 comes to no end"),
            ("~SEQ(A, x)", "~SEQ: from, step and to must be numbers"),
            ("~SEQ(A)", "~SEQ: give a name, from, step and to"),
            ("~LST(A)", "~LST: there is no value"),
            (
                "~LST({A,B}, {1})",
                "~LST: each value must have as many parts as there are names",
            ),
        ] {
            assert_eq!(read(text).unwrap_err(), format!("k.conf:7: {why}"));
        }
        let place = Place::new(Path::new("k.conf"), 7);
        assert!(Repeat::read("~SEC(A)", &place).is_none());
    }
}
