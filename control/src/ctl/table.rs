//! Columns that stand under each other.
//!
//! Nothing is drawn around them and no line is wrapped, so that `grep` and `awk` can read them
//! as well as an operator.

use std::io::{self, Write};

/// What is between two columns.
const GAP: &str = "  ";

/// To which side of its column a cell goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// Rows that wait to be written, and how wide columns have become so far.
#[derive(Debug)]
pub(super) struct Table {
    columns: Vec<(Align, usize)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table.
    pub(super) fn new(columns: impl IntoIterator<Item = Align>) -> Self {
        Self {
            columns: columns.into_iter().map(|align| (align, 0)).collect(),
            rows: Vec::new(),
        }
    }

    /// A table with this heading: words that begin with `>` are above numbers, which stand to
    /// the right.
    pub(super) fn headed<const N: usize>(heading: [&str; N]) -> Self {
        let mut table = Self::new(heading.map(|word| {
            if word.starts_with('>') {
                Align::Right
            } else {
                Align::Left
            }
        }));
        table.row(heading.map(|word| word.trim_start_matches('>').to_owned()));
        table
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<_> = cells.into_iter().collect();
        for (cell, (_, width)) in cells.iter().zip(&mut self.columns) {
            *width = (*width).max(cell.chars().count());
        }
        self.rows.push(cells);
    }

    /// Writes the rows added since the last time.
    pub(super) fn write(&mut self, out: &mut dyn Write) -> io::Result<()> {
        for row in self.rows.drain(..) {
            let cells = row.iter().zip(&self.columns);
            let cells: Vec<_> = cells
                .map(|(cell, (align, width))| match align {
                    Align::Left => format!("{cell:<width$}"),
                    Align::Right => format!("{cell:>width$}"),
                })
                .collect();
            writeln!(out, "{}", cells.join(GAP).trim_end())?;
        }
        Ok(())
    }
}

/// A cell for what may not be there.
pub(super) fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other_and_lines_end_with_their_last_word() {
        let mut table = Table::headed(["Name", ">Count", "Note"]);
        table.row(["a".into(), "1000".into(), "x".into()]);
        table.row(["größer".into(), "7".into(), String::new()]);
        let mut out = Vec::new();

        table.write(&mut out).unwrap();

        let expected = "\
Name    Count  Note
a        1000  x
größer      7
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn a_second_page_is_at_least_as_wide_as_the_first() {
        let mut table = Table::headed(["Name", ">Count"]);
        table.write(&mut Vec::new()).unwrap();
        table.row(["a".into(), "1".into()]);
        let mut out = Vec::new();

        table.write(&mut out).unwrap();

        assert_eq!(String::from_utf8(out).unwrap(), "a         1\n");
    }
}
