//! A bar that fills while something gets less.

use std::io::{self, Write};

/// Characters of the bar.
const WIDTH: usize = 32;

/// How far something has come that began with `most` and ends with nothing.
pub(super) struct Progress {
    most: u64,
    last: Option<u64>,
    /// Whether the line may be written over.
    is_terminal: bool,
}

impl Progress {
    /// Nothing shown yet.
    pub(super) const fn new(is_terminal: bool) -> Self {
        Self {
            most: 0,
            last: None,
            is_terminal,
        }
    }

    /// Shows that so many `things` are left, unless that is on the screen already. Where nothing
    /// can be written over, each change has a line.
    pub(super) fn show(&mut self, left: u64, things: &str, out: &mut dyn Write) -> io::Result<()> {
        self.most = self.most.max(left);
        if self.last.replace(left) == Some(left) {
            return Ok(());
        }
        if !self.is_terminal {
            return writeln!(out, "{things} {left}");
        }
        let gone = u128::from(self.most - left) * WIDTH as u128;
        let full = gone.checked_div(self.most.into()).unwrap_or(WIDTH as u128);
        let full = "#".repeat(usize::try_from(full).unwrap_or(WIDTH));
        // What a longer line before may have left behind is erased (ECMA-48, EL).
        write!(out, "\r[{full:.<WIDTH$}] {things} {left}\x1b[K")?;
        out.flush()
    }

    /// Leaves the bar as it is, and goes to the next line.
    pub(super) fn end(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.is_terminal && self.last.is_some() {
            writeln!(out)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(is_terminal: bool) -> String {
        let mut progress = Progress::new(is_terminal);
        let mut out = Vec::new();
        for left in [8, 8, 4, 0] {
            progress.show(left, "sessions", &mut out).unwrap();
        }
        progress.end(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_terminal_has_a_bar_that_fills() {
        let expected = "\
\r[................................] sessions 8\x1b[K\
\r[################................] sessions 4\x1b[K\
\r[################################] sessions 0\x1b[K
";
        assert_eq!(shown(true), expected);
    }

    #[test]
    fn a_file_has_a_line_for_each_change() {
        assert_eq!(shown(false), "sessions 8\nsessions 4\nsessions 0\n");
    }
}
