//! Lists of numbers as the kernel writes them: `0-3,8`.

/// The numbers of a list; what is none is left out.
pub(super) fn parse(text: &str) -> Vec<u16> {
    let mut numbers = Vec::new();
    for part in text.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.trim().parse::<u16>(), last.trim().parse()) {
            numbers.extend(first..=last);
        }
    }
    numbers
}

/// The list of some numbers, which are in order.
pub(super) fn list(numbers: &[u16]) -> String {
    let mut parts: Vec<(u16, u16)> = Vec::new();
    for number in numbers {
        match parts.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(*number) => *last = *number,
            _ => parts.push((*number, *number)),
        }
    }
    let shown = parts.iter().map(|(first, last)| match last - first {
        0 => first.to_string(),
        _ => format!("{first}-{last}"),
    });
    shown.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_and_written_as_the_kernel_does() {
        for text in ["", "0", "0-1", "0-3,8", "1,3,5-6"] {
            assert_eq!(list(&parse(text)), text);
        }
        assert_eq!(parse("2-3,8\n"), [2, 3, 8]);
        assert!(parse("(null)").is_empty());
    }
}
