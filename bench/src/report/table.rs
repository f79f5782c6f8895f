//! The results as one table, in Markdown.

use super::Record;
use super::markdown::{Table, grouped};

const HEADING: [&str; 10] = [
    "method",
    "direction",
    "proto",
    "flows",
    "Mpps per CPU-second",
    "net ns per packet",
    "of csum",
    "of 5tswap",
    "sessions/s",
    "bytes per session",
];

/// How many of the columns are words.
const WORDS: usize = 3;

/// Where a row stands: methods from the cheapest, then what clients send, what servers send, and
/// the rest.
#[must_use]
pub fn place(record: &Record) -> (usize, usize) {
    let of = |list: &[&str], name: &str| {
        let found = list.iter().position(|each| *each == name);
        found.unwrap_or(list.len())
    };
    let (kind, is_mixed) = match record.direction.strip_suffix("-imix") {
        Some(kind) => (kind, true),
        None => (record.direction.as_str(), false),
    };
    let direction = of(&["request", "reply", "both"], kind) * 2 + usize::from(is_mixed);
    let method = of(&["dr", "tun", "nat", "fullnat"], &record.method);
    (method, direction)
}

/// The table of these rows.
#[must_use]
pub fn markdown(records: &[&Record]) -> String {
    let mut table = Table::new(HEADING, WORDS);
    for record in records {
        table.push(row(record));
    }
    table.to_string()
}

fn row(record: &Record) -> [String; 10] {
    let number = |value: Option<f64>, digits| {
        value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
    };
    let percent = |value: Option<f64>| {
        value.map_or_else(|| "–".to_owned(), |value| format!("{:.0} %", value * 100.0))
    };
    [
        record.method.clone(),
        record.direction.clone(),
        record.proto.clone(),
        grouped(record.flows),
        number(record.mpps_cpu, 1),
        number(record.net_ns, 1),
        percent(record.ratio_csum),
        percent(record.ratio_5tswap),
        record
            .sessions_per_s
            .map_or_else(|| "–".to_owned(), |value| format!("{:.2} M", value / 1e6)),
        number(record.bytes_per_session, 0),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::samples::measured;
    use super::*;

    #[test]
    fn rows_are_figures_with_their_units() {
        let new = Record {
            direction: "new".to_owned(),
            net_ns: None,
            sessions_per_s: Some(4_250_000.0),
            bytes_per_session: Some(170.4),
            ..measured("fullnat", 10_000_000, 0.0)
        };

        let table = markdown(&[&measured("dr", 1000, 9.04), &new]);

        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines.len(), 4);
        let squeezed = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(
            squeezed(lines[2]),
            "| dr | request | udp | 1,000 | 12.5 | 9.0 | 80 % | 40 % | – | – |"
        );
        assert_eq!(
            squeezed(lines[3]),
            "| fullnat | new | udp | 10,000,000 | 12.5 | – | 80 % | 40 % | 4.25 M | 170 |"
        );
    }

    #[test]
    fn rows_go_from_the_cheapest_method_and_from_the_client() {
        let direction = |name: &str| Record {
            direction: name.to_owned(),
            ..measured("nat", 1, 1.0)
        };

        assert!(place(&measured("dr", 1, 1.0)) < place(&measured("fullnat", 1, 1.0)));
        let names = [
            "request",
            "request-imix",
            "reply",
            "both",
            "both-imix",
            "new",
        ];
        assert!(names.map(|name| place(&direction(name))).is_sorted());
    }
}
