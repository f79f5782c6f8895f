//! Large numbers in columns of eight digits.

/// A number in a column: with `exact` all of it, otherwise at most eight digits and a letter for
/// thousands, millions and so on.
pub(super) fn column(number: u64, exact: bool) -> String {
    const THOUSAND: u64 = 1_000;
    if exact {
        let digits = number.to_string();
        let width = digits.len().max(8) + 1;
        return format!("{digits:>width$}");
    }
    let (shown, letter) = match number {
        0..100_000_000 => return format!("{number:>9}"),
        100_000_000..1_000_000_000 => (number / THOUSAND, 'K'),
        1_000_000_000..100_000_000_000 => (number / THOUSAND.pow(2), 'M'),
        100_000_000_000..100_000_000_000_000 => (number / THOUSAND.pow(3), 'G'),
        _ => (number / THOUSAND.pow(4), 'T'),
    };
    format!("{shown:>8}{letter}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_get_a_letter() {
        for (number, expected) in [
            (0, "        0"),
            (99_999_999, " 99999999"),
            (100_000_000, "  100000K"),
            (999_999_999, "  999999K"),
            (1_000_000_000, "    1000M"),
            (99_999_999_999, "   99999M"),
            (100_000_000_000, "     100G"),
            (99_999_999_999_999, "   99999G"),
            (100_000_000_000_000, "     100T"),
            (u64::MAX, "18446744T"),
        ] {
            assert_eq!(column(number, false), expected);
        }
    }

    #[test]
    fn exact_numbers_make_their_column_wider() {
        assert_eq!(column(5, true), "        5");
        assert_eq!(column(12_345_678, true), " 12345678");
        assert_eq!(column(123_456_789, true), " 123456789");
    }
}
