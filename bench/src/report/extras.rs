//! Figures that only some rows have, each kind in a small table of its own.

use super::Record;

/// A figure and how it is written.
type Column = (&'static str, fn(&Record) -> Option<String>);

/// What makes a row one of a table's, the table's heading, and its columns.
struct Table {
    heading: &'static str,
    is_its: fn(&Record) -> bool,
    columns: &'static [Column],
}

const TABLES: [Table; 3] = [
    Table {
        heading: "Two workers:",
        is_its: |record| record.ratio_one_worker.is_some(),
        columns: &[
            ("Mpps per CPU-second of each, together", |record| {
                number(record.mpps_cpu, 2)
            }),
            ("times one worker", |record| {
                number(record.ratio_one_worker, 2)
            }),
            ("by the clock", |record| {
                number(record.ratio_one_worker_clock, 2)
            }),
        ],
    },
    Table {
        heading: "Packets that arrive at another worker than their owner:",
        is_its: |record| record.handed_over_ns.is_some(),
        columns: &[
            ("net ns of both workers", |record| number(record.net_ns, 1)),
            ("more than at home", |record| {
                number(record.handed_over_ns, 1)
            }),
        ],
    },
    Table {
        heading: "While all sessions end together:",
        is_its: |record| record.longest_turn_us.is_some(),
        columns: &[("µs of the longest turn", |record| {
            number(record.longest_turn_us, 1)
        })],
    },
];

/// Whether a row is in one of these tables, and so in no other.
pub(super) fn has(record: &Record) -> bool {
    TABLES.iter().any(|table| (table.is_its)(record))
}

/// The tables that have rows, as Markdown.
pub(super) fn markdown(records: &[&Record]) -> String {
    let mut text = String::new();
    for table in &TABLES {
        let rows: Vec<_> = (records.iter())
            .filter(|record| (table.is_its)(record))
            .map(|record| row(table, record))
            .collect();
        if !rows.is_empty() {
            let names = table.columns.iter().map(|(name, _)| *name);
            let names: Vec<_> = ["method", "direction", "proto", "flows"]
                .into_iter()
                .chain(names)
                .collect();
            let line = "|---|---|---|--:".to_owned() + &"|--:".repeat(table.columns.len()) + "|";
            let heading = format!("\n{}\n\n| {} |\n{line}\n", table.heading, names.join(" | "));
            text.push_str(&heading);
            text.extend(rows);
        }
    }
    text
}

fn row(table: &Table, record: &Record) -> String {
    let Record {
        method,
        direction,
        proto,
        flows,
        ..
    } = record;
    let figures = table.columns.iter().map(|(_, figure)| figure(record));
    let figures: Vec<_> = figures
        .map(|it| it.unwrap_or_else(|| "–".to_owned()))
        .collect();
    format!(
        "| {method} | {direction} | {proto} | {} | {} |\n",
        super::markdown::grouped(*flows),
        figures.join(" | ")
    )
}

fn number(value: Option<f64>, digits: usize) -> Option<String> {
    value.map(|value| format!("{value:.digits$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_figure_has_a_table() {
        let two = Record {
            method: "dr".to_owned(),
            direction: "request-two-workers".to_owned(),
            proto: "udp".to_owned(),
            flows: 100_000,
            mpps_cpu: Some(20.0),
            ratio_one_worker: Some(1.94),
            ..Record::default()
        };
        let plain = Record::default();

        let text = markdown(&[&plain, &two]);

        assert!(has(&two) && !has(&plain));
        assert_eq!(
            text,
            "\nTwo workers:\n\n| method | direction | proto | flows | Mpps per CPU-second of each, \
             together | times one worker | by the clock |\n|---|---|---|--:|--:|--:|--:|\n\
             | dr | request-two-workers | udp | 100,000 | 20.00 | 1.94 | – |\n"
        );
    }
}
