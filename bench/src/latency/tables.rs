//! The tables of `sluice-bench latency`.

use super::distribution::Percentiles;
use super::report::Summary;
use crate::report::markdown::{Table, grouped};

/// What stands above the tables: how to read them.
#[must_use]
pub fn legend(new_every: u32) -> String {
    format!(
        "Response times in µs of a web server asked directly and through the gateway. One request\n\
         in {new_every} makes a connection of its own (new), the others share some that are kept. \"Adds\" is\n\
         what a way takes more than the direct one in the same rounds. The direct way is asked\n\
         twice in each round: what it adds to itself is noise. Calm windows are those in which\n\
         nothing else took a core from the worker or the clients for long. \"No core\" is the share\n\
         of the time in which the worker was ready to run but did not. A dash stands for too few\n\
         requests.\n"
    )
}

/// Response times under load, and what the gateway adds: a table for each driver, of all windows
/// and of the calm ones.
#[must_use]
pub fn response_times(summaries: &[Summary]) -> String {
    let same = |one: &Summary, other: &Summary| {
        (one.setting.driver, one.calm) == (other.setting.driver, other.calm)
    };
    summaries
        .chunk_by(same)
        .fold(String::new(), |text, chunk| text + &of_driver(chunk))
}

fn of_driver(summaries: &[Summary]) -> String {
    let Some(first) = summaries.first() else {
        return String::new();
    };
    let mut table = Table::new(
        [
            "way",
            "connections",
            "windows",
            "requests",
            "p50",
            "p90",
            "p99",
            "p99.9",
            "max",
            "adds p50",
            "adds p99",
            "adds p99.9",
            "no core",
        ],
        2,
    );
    for summary in summaries {
        let Percentiles {
            p50_us,
            p90_us,
            p99_us,
            p999_us,
            max_us,
        } = summary.response;
        let added = summary.added.unwrap_or_default();
        table.push([
            summary.setting.path.to_owned(),
            summary.connection.name().to_owned(),
            summary.windows.to_string(),
            count(summary.requests),
            micros(p50_us),
            micros(p90_us),
            micros(p99_us),
            micros(p999_us),
            micros(max_us),
            signed(added.p50_us),
            signed(added.p99_us),
            signed(added.p999_us),
            format!("{:.2} %", summary.worker_waited * 100.0),
        ]);
    }
    let which = if first.calm {
        "calm windows"
    } else {
        "all windows"
    };
    format!(
        "\n{}, {} requests/s, {which}\n\n{table}",
        first.setting.driver,
        grouped(first.setting.rate.into())
    )
}

/// What sleeping costs where so little arrives that a worker falls asleep.
#[must_use]
pub fn idle(summaries: &[Summary]) -> String {
    let Some(first) = summaries.first() else {
        return String::new();
    };
    let mut table = Table::new(
        [
            "driver",
            "way",
            "connections",
            "windows",
            "requests",
            "p50",
            "p90",
            "p99",
            "adds p50",
            "adds p90",
            "adds p99",
        ],
        3,
    );
    for summary in summaries {
        let Some(above) = summary.above_spin else {
            continue;
        };
        let which = if summary.calm { "calm" } else { "all" };
        table.push([
            summary.setting.driver.to_owned(),
            summary.setting.path.to_owned(),
            summary.connection.name().to_owned(),
            format!("{} {which}", summary.windows),
            count(summary.requests),
            micros(summary.response.p50_us),
            micros(summary.response.p90_us),
            micros(summary.response.p99_us),
            signed(above.p50_us),
            signed(above.p90_us),
            signed(above.p99_us),
        ]);
    }
    format!(
        "\nWhat a worker that sleeps when idle adds to one that spins, at {} requests/s (the direct \
         way shows the noise)\n\n{table}",
        first.setting.rate
    )
}

fn micros(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.0}"))
}

fn signed(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:+.0}"))
}

fn count(number: usize) -> String {
    grouped(u64::try_from(number).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::super::report::samples::window;
    use super::super::report::summaries;
    use super::*;

    /// The row of `text` that begins with these cells, its cells set apart by one space.
    fn row(text: &str, begin: &str) -> String {
        let squeezed = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut rows = text.lines().map(squeezed);
        let found = rows.find(|row| row.starts_with(begin));
        found.unwrap_or_else(|| panic!("no {begin} in {text}"))
    }

    #[test]
    fn a_row_has_response_times_and_what_is_added() {
        let windows = [
            window("direct", "sleep", 0, 100),
            window("dr", "sleep", 0, 110),
        ];

        let text = response_times(&summaries(&windows, false));

        assert!(text.contains("\nnet_af_packet, 1,200 requests/s, all windows\n"));
        assert_eq!(
            row(&text, "| dr | kept"),
            "| dr | kept | 1 | 1,000 | 110 | 110 | 110 | 110 | 110 | +10 | +10 | +10 | 0.00 % |"
        );
        assert_eq!(
            row(&text, "| direct | new"),
            "| direct | new | 1 | 200 | 200 | 200 | 200 | – | 200 | – | – | – | 0.00 % |"
        );
    }

    #[test]
    fn all_windows_and_calm_ones_have_tables_of_their_own() {
        let windows = [window("direct", "sleep", 0, 100)];

        let both = [summaries(&windows, false), summaries(&windows, true)].concat();
        let text = response_times(&both);

        assert!(text.contains("all windows") && text.contains("calm windows"));
        assert_eq!(text.matches("| way ").count(), 2);
    }

    #[test]
    fn the_idle_table_has_what_sleeping_adds_and_no_row_for_spinning() {
        let windows = [window("dr", "sleep", 0, 170), window("dr", "spin", 0, 100)];

        let text = idle(&summaries(&windows, false));

        assert_eq!(
            row(&text, "| net_af_packet | dr | kept"),
            "| net_af_packet | dr | kept | 1 all | 1,000 | 170 | 170 | 170 | +70 | +70 | +70 |"
        );
        assert_eq!(text.matches("net_af_packet").count(), 2);
    }
}
