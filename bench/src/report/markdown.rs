//! Tables in Markdown whose columns have even widths, so that they can be read as text too.

use std::fmt;

/// A table being filled.
#[derive(Clone, Debug)]
pub struct Table<const COLUMNS: usize> {
    heading: [&'static str; COLUMNS],
    /// How many columns at the left are words; the others are numbers and stand at the right.
    words: usize,
    rows: Vec<[String; COLUMNS]>,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    /// A table without rows, the first `words` of whose columns are words.
    #[must_use]
    pub const fn new(heading: [&'static str; COLUMNS], words: usize) -> Self {
        Self {
            heading,
            words,
            rows: Vec::new(),
        }
    }

    /// Adds a row at the end.
    pub fn push(&mut self, row: [String; COLUMNS]) {
        self.rows.push(row);
    }

    fn line(&self, f: &mut fmt::Formatter<'_>, row: [&str; COLUMNS]) -> fmt::Result {
        for (column, cell) in row.into_iter().enumerate() {
            let width = self.width(column);
            if column < self.words {
                write!(f, "| {cell:<width$} ")?;
            } else {
                write!(f, "| {cell:>width$} ")?;
            }
        }
        writeln!(f, "|")
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().map(|row| row[column].as_str());
        let cells = cells.chain([self.heading[column]]);
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    }
}

impl<const COLUMNS: usize> fmt::Display for Table<COLUMNS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.line(f, self.heading)?;
        for column in 0..COLUMNS {
            let end = if column < self.words { '-' } else { ':' };
            write!(f, "|{}{end}", "-".repeat(self.width(column) + 1))?;
        }
        writeln!(f, "|")?;
        self.rows
            .iter()
            .try_for_each(|row| self.line(f, row.each_ref().map(String::as_str)))
    }
}

/// A number with its thousands set off.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_even_words_left_and_numbers_right() {
        let mut table = Table::new(["way", "p50 µs"], 1);
        table.push(["direct".to_owned(), "9".to_owned()]);
        table.push(["dr".to_owned(), "1,000,000".to_owned()]);

        let expected = "\
            | way    |    p50 µs |\n\
            |--------|----------:|\n\
            | direct |         9 |\n\
            | dr     | 1,000,000 |\n";
        assert_eq!(table.to_string(), expected);
    }

    #[test]
    fn thousands_are_set_off() {
        assert_eq!(
            [0, 999, 1_000, 1_234_567].map(grouped),
            ["0", "999", "1,000", "1,234,567"]
        );
    }
}
