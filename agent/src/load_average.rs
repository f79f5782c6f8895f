//! How many processes want to run.

/// The load average of the last minute, in hundredths, from the text of `/proc/loadavg`
/// (proc_loadavg(5)): `0.20 0.18 0.12 1/80 11206`.
pub(crate) fn parse(text: &str) -> Option<u64> {
    let (whole, hundredths) = text.split_ascii_whitespace().next()?.split_once('.')?;
    let whole: u64 = whole.parse().ok()?;
    let hundredths: u64 = hundredths
        .parse()
        .ok()
        .filter(|&hundredths| hundredths < 100)?;
    whole.checked_mul(100)?.checked_add(hundredths)
}

/// The share of a core, in percent, that each of so many processes gets.
pub(crate) fn share_percent(load_hundredths: u64, cores: u64) -> u64 {
    (cores.saturating_mul(10_000))
        .checked_div(load_hundredths)
        .map_or(100, |share| share.min(100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_number_is_the_last_minute() {
        assert_eq!(parse("1.20 0.18 0.12 1/80 11206\n"), Some(120));
        assert_eq!(parse("0.05 0.18 0.12 1/80 11206\n"), Some(5));
        for text in ["", "1 2 3", "x.20", "1.200 0 0", "18446744073709551615.00"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn processes_share_the_cores() {
        assert_eq!(share_percent(0, 4), 100);
        assert_eq!(share_percent(400, 4), 100);
        assert_eq!(share_percent(800, 4), 50);
        assert_eq!(share_percent(100_000, 4), 0);
    }
}
