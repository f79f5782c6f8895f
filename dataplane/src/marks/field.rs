//! One thing that rules ask about: for each value, which rules hold.

use std::ops::RangeInclusive;

/// Rules in a word.
const WORD: usize = u64::BITS as usize;

/// The values of one field, cut into pieces in which the same rules hold.
#[derive(Clone, Debug)]
pub(super) struct Field {
    /// The first value of each piece, rising; the first is 0.
    starts: Vec<u32>,
    /// For each piece, a bit for each word of `rules` that is not 0.
    summaries: Vec<u64>,
    /// For each piece `words` words: a bit for each rule that holds in it.
    rules: Vec<u64>,
    /// Words of a piece, at most 64.
    words: usize,
}

/// The rules that hold in one piece of a field.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pieces<'a> {
    summary: u64,
    rules: &'a [u64],
}

impl Field {
    /// The field for rules that hold for these values, at most 64 words of them. An empty range
    /// holds nowhere.
    pub(super) fn new(ranges: &[RangeInclusive<u32>]) -> Self {
        let held = ranges.iter().filter(|range| !range.is_empty());
        let cuts = held.flat_map(|range| [Some(*range.start()), range.end().checked_add(1)]);
        let mut starts: Vec<u32> = cuts.flatten().chain([0]).collect();
        starts.sort_unstable();
        starts.dedup();
        let words = ranges.len().div_ceil(WORD);
        let mut field = Self {
            summaries: vec![0; starts.len()],
            rules: vec![0; starts.len() * words],
            starts,
            words,
        };
        for (rule, range) in ranges.iter().enumerate() {
            if !range.is_empty() {
                field.hold(rule, range);
            }
        }
        field
    }

    /// Lets a rule hold for the values of `range`, at whose ends pieces begin and end.
    fn hold(&mut self, rule: usize, range: &RangeInclusive<u32>) {
        for piece in self.piece(*range.start())..=self.piece(*range.end()) {
            self.rules[piece * self.words + rule / WORD] |= 1 << (rule % WORD);
            self.summaries[piece] |= 1 << (rule / WORD);
        }
    }

    /// The piece that `value` is in.
    #[inline]
    fn piece(&self, value: u32) -> usize {
        // The first piece begins at 0, so there is always one before.
        self.starts.partition_point(|start| *start <= value) - 1
    }

    /// The rules that hold for `value`.
    #[inline]
    pub(super) fn at(&self, value: u32) -> Pieces<'_> {
        let piece = self.piece(value);
        let rules = piece * self.words;
        Pieces {
            summary: self.summaries[piece],
            rules: &self.rules[rules..rules + self.words],
        }
    }
}

/// The first rule that holds in all of `pieces`.
#[inline]
pub(super) fn first_in_all(pieces: &[Pieces<'_>]) -> Option<usize> {
    // Only words that are 0 in no piece can have a bit that all have.
    let mut words = pieces
        .iter()
        .fold(u64::MAX, |all, piece| all & piece.summary);
    while words != 0 {
        let word = words.trailing_zeros() as usize;
        let rules = |piece: &Pieces<'_>| piece.rules.get(word).copied().unwrap_or(0);
        let common = pieces
            .iter()
            .map(rules)
            .fold(u64::MAX, |all, rules| all & rules);
        if common != 0 {
            return Some(word * WORD + common.trailing_zeros() as usize);
        }
        words &= words - 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_cut_where_rules_begin_and_end() {
        let field = Field::new(&[10..=19, 0..=u32::MAX, 15..=15]);

        assert_eq!(field.starts, [0, 10, 15, 16, 20]);
        assert_eq!(field.rules, [0b010, 0b011, 0b111, 0b011, 0b010]);
        assert_eq!(field.at(9).rules, [0b010]);
        assert_eq!(field.at(15).rules, [0b111]);
        assert_eq!(field.at(u32::MAX).rules, [0b010]);
    }

    #[test]
    #[expect(clippy::reversed_empty_ranges, reason = "that is what is tested")]
    fn an_empty_range_holds_nowhere_and_cuts_nothing() {
        let field = Field::new(&[7..=3]);

        assert_eq!(field.starts, [0]);
        assert!(first_in_all(&[field.at(5)]).is_none());
    }

    #[test]
    fn the_first_rule_of_all_fields_may_stand_in_any_word() {
        // Given rules of which 0 and 64 hold in one field and 1, 64 and 65 in the other.
        let of = |held: &[usize]| {
            let hold = |rule| if held.contains(&rule) { 0..=9 } else { 20..=29 };
            Field::new(&(0..130).map(hold).collect::<Vec<_>>())
        };
        let (one, other) = (of(&[0, 64]), of(&[1, 64, 65]));

        // Then both have rules in both words, and one in common.
        assert_eq!(first_in_all(&[one.at(5), other.at(5)]), Some(64));
        assert_eq!(first_in_all(&[one.at(15), other.at(5)]), None);
    }
}
