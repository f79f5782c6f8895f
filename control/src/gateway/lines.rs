//! Text that comes in pieces, line by line, in bounded memory.

/// The longest line, in bytes: a session that says all there is to say takes an eighth of it.
pub(super) const LONGEST_LINE: usize = 4_096;

/// Puts lines together that begin in one piece of text and end in another.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// Lines that have ended.
    count: u64,
    /// What came of a line whose end has not.
    begun: Vec<u8>,
    /// The line that was put together last.
    whole: Vec<u8>,
    /// Whether the line whose end has not come is longer than any may be.
    is_too_long: bool,
}

impl Lines {
    /// The next line that ends in `text`, without its line feed, and its number, which begins at
    /// 1; `None` in place of a line that is too long. At the end of `text` keeps what is left.
    pub(super) fn next<'a, 't: 'a>(
        &'a mut self,
        text: &mut &'t [u8],
    ) -> Option<(u64, Option<&'a [u8]>)> {
        let Some(at) = text.iter().position(|byte| *byte == b'\n') else {
            self.begin(std::mem::take(text));
            return None;
        };
        let (line, rest) = text.split_at(at);
        *text = &rest[1..];
        self.count += 1;
        if self.begun.is_empty() && !self.is_too_long {
            return Some((self.count, Some(line).filter(|it| it.len() <= LONGEST_LINE)));
        }
        self.begin(line);
        std::mem::swap(&mut self.begun, &mut self.whole);
        self.begun.clear();
        let is_whole = !std::mem::take(&mut self.is_too_long);
        Some((self.count, is_whole.then_some(&self.whole)))
    }

    fn begin(&mut self, piece: &[u8]) {
        self.is_too_long |= self.begun.len() + piece.len() > LONGEST_LINE;
        if self.is_too_long {
            self.begun.clear();
        } else {
            self.begun.extend_from_slice(piece);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All lines of text in these pieces; `None` for one that is too long.
    fn lines(pieces: &[&[u8]]) -> Vec<(u64, Option<Vec<u8>>)> {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for mut piece in pieces.iter().copied() {
            while let Some((number, line)) = lines.next(&mut piece) {
                found.push((number, line.map(<[u8]>::to_vec)));
            }
            assert!(lines.begun.len() <= LONGEST_LINE);
        }
        found
    }

    #[test]
    fn lines_have_numbers_and_the_last_needs_its_line_feed() {
        let found = lines(&[b"a\n\nb", b"c", b"\nd"]);

        let line = |text: &[u8]| Some(text.to_vec());
        assert_eq!(found, [(1, line(b"a")), (2, line(b"")), (3, line(b"bc"))]);
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over_and_takes_no_memory() {
        let long = [b'x'; LONGEST_LINE + 1];
        let just = &long[1..];

        let found = lines(&[&long, &long, b"\n", just, b"\n", just, b"x\n", b"a\n"]);

        let expected = [None, Some(just.to_vec()), None, Some(b"a".to_vec())];
        assert_eq!(found, (1..).zip(expected).collect::<Vec<_>>());
        let mut whole = long.to_vec();
        whole.push(b'\n');
        assert_eq!(lines(&[&whole]), [(1, None)]);
    }

    proptest! {
        #[test]
        fn it_does_not_matter_where_pieces_end(
            text in "[ab\n]{0,60}",
            ends in prop::collection::vec(0..60_usize, 0..6)
        ) {
            let text = text.as_bytes();
            let mut ends: Vec<_> = ends.iter().map(|end| *end.min(&text.len())).collect();
            ends.extend([0, text.len()]);
            ends.sort_unstable();
            let pieces: Vec<_> = ends.windows(2).map(|it| &text[it[0]..it[1]]).collect();

            prop_assert_eq!(lines(&pieces), lines(&[text]));
        }
    }
}
