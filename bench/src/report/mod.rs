//! Where figures go: one file of results for all benchmarks, a table and charts made of it.
//!
//! ```text
//!   target/bench/latest.json      a list of objects, one for each case
//!   target/bench/machine.json     what they were measured on
//!   target/bench/latest.md        both as a table
//!   target/bench/net-*.svg        net cost against the number of sessions
//! ```
//!
//! Each benchmark [loads](Results::load) what there is, [records](Results::record) its cases,
//! which replace older figures of the same case, and [stores](Results::store) everything.

/// Net cost against the number of sessions, as a picture.
pub mod chart;
/// Figures that only some rows have.
mod extras;
/// What the figures were measured on.
pub mod machine;
/// Tables in Markdown.
pub mod markdown;
/// The results as such a table.
pub mod table;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use machine::Machine;

/// The figures of one case. The first four fields name it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// `dr`, `tun`, `nat` or `fullnat`.
    pub method: String,
    /// `request`, `reply`, `both`, or what else a benchmark calls its traffic.
    pub direction: String,
    /// `tcp` or `udp`.
    pub proto: String,
    /// Sessions.
    pub flows: u64,
    /// Nanoseconds for a packet, the baseline's taken off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub net_ns: Option<f64>,
    /// Millions of packets for a second of CPU time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mpps_cpu: Option<f64>,
    /// Packets for one of testpmd's `csum`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio_csum: Option<f64>,
    /// Packets for one of testpmd's `5tswap`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio_5tswap: Option<f64>,
    /// Sessions made and ended in a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions_per_s: Option<f64>,
    /// Memory that a session takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_session: Option<f64>,
    /// How much more two workers do than one, by CPU time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio_one_worker: Option<f64>,
    /// The same by the clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio_one_worker_clock: Option<f64>,
    /// Nanoseconds more for a packet that arrives at another worker than its owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handed_over_ns: Option<f64>,
    /// Microseconds of the longest turn, over the windows in which Linux left the thread its core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longest_turn_us: Option<f64>,
}

impl Record {
    /// Whether both are of the same case, whatever their figures.
    #[must_use]
    pub fn is_same_case(&self, other: &Self) -> bool {
        self.key() == other.key()
    }

    fn key(&self) -> (&str, &str, &str, u64) {
        (&self.method, &self.direction, &self.proto, self.flows)
    }
}

/// All figures there are.
#[derive(Clone, Debug)]
pub struct Results {
    folder: PathBuf,
    records: Vec<Record>,
    machine: Option<Machine>,
}

impl Results {
    /// What earlier runs left in `folder`; nothing where there were none.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or is not what [`store`](Self::store) writes.
    pub fn load(folder: &Path) -> io::Result<Self> {
        Ok(Self {
            records: read(&folder.join("latest.json"))?.unwrap_or_default(),
            machine: read(&folder.join("machine.json"))?,
            folder: folder.to_owned(),
        })
    }

    /// Takes a case's figures; older ones of the same case are gone.
    pub fn record(&mut self, record: Record) {
        self.forget_all(|old| old.is_same_case(&record));
        self.records.push(record);
    }

    /// Forgets the cases that `fit`.
    pub fn forget_all(&mut self, fits: impl Fn(&Record) -> bool) {
        self.records.retain(|record| !fits(record));
    }

    /// Says what the figures were measured on.
    pub fn machine(&mut self, machine: Machine) {
        self.machine = Some(machine);
    }

    /// The figures, in the order of the table.
    #[must_use]
    pub fn records(&self) -> Vec<&Record> {
        let mut records: Vec<_> = self.records.iter().collect();
        records.sort_by_key(|record| (table::place(record), record.key()));
        records
    }

    /// The table as Markdown, under a line about the machine.
    #[must_use]
    pub fn table(&self) -> String {
        let machine = self.machine.as_ref().map(ToString::to_string);
        let records = self.records();
        let (extra, usual): (Vec<_>, Vec<_>) =
            (records.iter().copied()).partition(|record| extras::has(record));
        let table = table::markdown(&usual) + &extras::markdown(&extra);
        match machine {
            Some(machine) => format!("{machine}\n\n{table}"),
            None => table,
        }
    }

    /// Writes all files.
    ///
    /// # Errors
    ///
    /// When one cannot be written.
    pub fn store(&self) -> io::Result<()> {
        self.write("latest.json", &json(&self.records())?)?;
        if let Some(machine) = &self.machine {
            self.write("machine.json", &json(machine)?)?;
        }
        self.write("latest.md", &self.table())?;
        // No picture of figures that are gone.
        for file in chart::files() {
            let _absent = fs::remove_file(self.folder.join(file));
        }
        for chart in chart::all(&self.records()) {
            self.write(&chart.file, &chart.svg)?;
        }
        Ok(())
    }

    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        write_file(&self.folder, name, text)
    }
}

/// A value as a file's text.
///
/// # Errors
///
/// When it is not plain data.
pub fn json(value: &impl Serialize) -> io::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

/// Replaces the file `name` in `folder`, which it makes, at once, so that nobody reads half of
/// it.
///
/// # Errors
///
/// When it cannot be written.
pub fn write_file(folder: &Path, name: &str, text: &str) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let next = folder.join(format!(".{name}"));
    fs::write(&next, text)?;
    fs::rename(next, folder.join(name))
}

/// A file's value; none when there is no file.
fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Records for the tests of this module's files.
#[cfg(test)]
pub(crate) mod samples {
    use super::Record;

    /// A measured row.
    pub(crate) fn measured(method: &str, flows: u64, net_ns: f64) -> Record {
        Record {
            method: method.to_owned(),
            direction: "request".to_owned(),
            proto: "udp".to_owned(),
            flows,
            net_ns: Some(net_ns),
            mpps_cpu: Some(12.5),
            ratio_csum: Some(0.8),
            ratio_5tswap: Some(0.4),
            ..Record::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::samples::measured;
    use super::*;

    /// A folder that goes with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            Self(std::env::temp_dir().join(format!("report-{name}-{}", std::process::id())))
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _absent = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_file_is_a_list_of_objects_with_these_keys() {
        let folder = Folder::new("keys");
        let mut results = Results::load(&folder.0).unwrap();
        results.record(measured("nat", 1000, 21.5));
        results.record(Record {
            direction: "new".to_owned(),
            sessions_per_s: Some(4.5e6),
            bytes_per_session: Some(170.0),
            ..measured("nat", 1000, 60.0)
        });

        results.store().unwrap();

        let text = fs::read_to_string(folder.0.join("latest.json")).unwrap();
        let list: Vec<serde_json::Map<String, Value>> = serde_json::from_str(&text).unwrap();
        let keys = |object: &serde_json::Map<String, Value>| {
            let mut keys: Vec<_> = object.keys().cloned().collect();
            keys.sort();
            keys.join(" ")
        };
        let always = "direction flows method mpps_cpu net_ns proto ratio_5tswap ratio_csum";
        assert_eq!(keys(&list[0]), always);
        assert_eq!(
            keys(&list[1]),
            format!("bytes_per_session {always} sessions_per_s")
        );
        assert_eq!(list[0]["net_ns"], 21.5);
    }

    #[test]
    fn figures_of_another_run_stay_unless_the_case_was_measured_again() {
        let folder = Folder::new("merge");
        let mut first = Results::load(&folder.0).unwrap();
        first.record(measured("nat", 1000, 21.5));
        first.record(measured("dr", 1000, 9.0));
        first.store().unwrap();

        let mut second = Results::load(&folder.0).unwrap();
        second.record(measured("nat", 1000, 20.0));
        second.store().unwrap();

        let third = Results::load(&folder.0).unwrap();
        let found: Vec<_> = (third.records().iter())
            .map(|record| (record.method.clone(), record.net_ns))
            .collect();
        assert_eq!(
            found,
            [("dr".to_owned(), Some(9.0)), ("nat".to_owned(), Some(20.0))]
        );
    }

    #[test]
    fn a_file_that_is_no_result_is_not_written_over() {
        let folder = Folder::new("broken");
        fs::create_dir_all(&folder.0).unwrap();
        fs::write(folder.0.join("latest.json"), "no JSON").unwrap();

        assert!(Results::load(&folder.0).is_err());
    }
}
