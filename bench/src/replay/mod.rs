//! The gateway and testpmd over the same replay of a capture file, turn by turn on one core.
//!
//! ```text
//!   flows ──► frames ──► capture file ──┬── net_pcap0 of sluice ──► worker ──► dropped when sent
//!     │                                 └── net_pcap0 of testpmd ─► worker ──► dropped when sent
//!     └─────► sessions, imported before the first window
//!
//!   round:  │ sluice │ io │ macswap │ 5tswap │ csum │     the others stand still meanwhile
//! ```
//!
//! A cost is the CPU time of a worker's thread for each packet it received. Differences and
//! ratios are taken within a round, and the table shows their medians.

/// What is measured: the rows of the table.
pub mod case;
/// Who speaks: addresses, MACs and flows.
pub mod topology;

/// What goes in and what must come out.
pub mod frames;
/// The order of the replay.
pub mod shuffle;

/// Capture files.
pub mod pcap;
/// Session files.
pub mod sessions;

/// The gateway's configuration.
pub mod configuration;
/// The running gateway.
pub mod daemon;
/// The running testpmd.
pub mod testpmd;

/// Which core does what, and what a thread has used of one.
pub mod cores;
/// Holding the measured core while counters are read.
pub mod hold;
/// Memory in huge pages, for the time of a run.
pub mod huge_pages;

/// What has to be true.
pub mod assertions;
/// What comes out of the gateway, byte for byte.
pub mod probe;
/// Windows and medians.
pub mod measure;
/// Two workers against one.
pub mod scaling;

/// Why a case has no figure.
pub mod failure;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use dataplane::id::WorkerId;
use testnet::{Binaries, Namespace};

use crate::cleanup::Cleanup;
use crate::programs;
use crate::report::{Machine, Record, Results};
use assertions::Counters;
use case::{Case, Method, Selection};
use configuration::Configuration;
use cores::Cores;
use daemon::Daemon;
use failure::Failure;
use hold::Holder;
use huge_pages::HugePages;
use measure::{Figures, Plan};
use testpmd::Testpmd;
use topology::Flow;

/// How long a gateway may take to adopt its sessions and forward everything.
const SETTLE_LIMIT: Duration = Duration::from_secs(30);
/// How long nothing wrong must have happened.
const SETTLED: Duration = Duration::from_millis(50);

/// How often a program is started before its failure counts.
const STARTS: usize = 3;

/// The fewest windows a median is taken of.
const FEWEST_WINDOWS: u16 = 5;

/// The options of `sluice-bench replay`.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// Takes two minutes: fewer cases, shorter windows.
    #[arg(long)]
    quick: bool,
    /// Windows of each process in each case.
    #[arg(long, default_value_t = FEWEST_WINDOWS,
          value_parser = clap::value_parser!(u16).range(i64::from(FEWEST_WINDOWS)..))]
    windows: u16,
    /// Milliseconds of CPU time in a window; 300, and 100 with --quick.
    #[arg(long, value_name = "MS")]
    window: Option<u64>,
    #[command(flatten)]
    surroundings: Surroundings,
}

/// What a run finds around it.
#[derive(Clone, Debug, clap::Args)]
pub struct Surroundings {
    /// Uses ordinary memory, also where there are huge pages.
    #[arg(long)]
    no_huge_pages: bool,
    /// Where the results go.
    #[arg(long, default_value = "target/bench", value_name = "FOLDER")]
    output: PathBuf,
    /// The folder with sluice and sluicectl; this program's own unless said.
    #[arg(long, value_name = "FOLDER")]
    programs: Option<PathBuf>,
}

impl Arguments {
    fn cases(&self) -> Vec<Case> {
        if self.quick {
            self.selection.quick_cases()
        } else {
            self.selection.cases()
        }
    }

    fn plan(&self) -> Plan {
        let usual = if self.quick { 100 } else { 300 };
        Plan {
            windows: self.windows.into(),
            length: Duration::from_millis(self.window.unwrap_or(usual)),
        }
    }
}

/// What all cases of a run share.
pub struct Run {
    host: Namespace,
    programs: Binaries,
    cores: Cores,
    holder: Holder,
    huge_pages: bool,
    plan: Plan,
}

impl Run {
    /// Starts a program that needs this many megabytes of huge pages. Another program may take
    /// some of them between the asking and the start, so a failed start is tried again.
    fn with_pages<T>(
        &self,
        megabytes: u64,
        start: impl Fn() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        for _ in 1..STARTS {
            if !self.huge_pages {
                break;
            }
            if huge_pages::top_up(megabytes)
                && let Ok(started) = start()
            {
                return Ok(started);
            }
        }
        start()
    }
}

/// Measures the cases that were asked for, prints and stores their results; `false` when one of
/// them has no figure.
///
/// # Errors
///
/// When nothing could be measured at all.
pub fn run(arguments: &Arguments) -> Result<bool, Failure> {
    let cases = arguments.cases();
    if cases.is_empty() {
        return Err(Failure::Machine("no case fits these options".to_owned()));
    }
    be_root()?;
    let cleanup = Cleanup::install().map_err(Failure::io("waiting for signals"))?;
    let flows = cases.iter().map(|case| case.flows).max().unwrap_or(1);
    let run = prepare(
        &arguments.surroundings,
        configuration::huge_mb(flows),
        arguments.plan(),
        &cleanup,
    )?;
    let mut results = Results::load(&arguments.surroundings.output)
        .map_err(Failure::io("reading earlier results"))?;
    if arguments.selection == Selection::default() {
        // A whole run leaves no row of an earlier version standing.
        results.forget_all(is_of_a_replay);
    }
    let good = measure_all(&run, &cases, &mut results)?;
    println!("\n{}", results.table());
    Ok(good)
}

fn be_root() -> Result<(), Failure> {
    if nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let what = "network namespaces and real-time priority need root";
    Err(Failure::Machine(what.to_owned()))
}

/// Whether a row is one of these cases, and not of another benchmark.
fn is_of_a_replay(record: &Record) -> bool {
    let direction = record.direction.trim_end_matches("-imix");
    let known = case::Direction::ALL.iter();
    record.flows <= u64::from(case::FLOWS[case::FLOWS.len() - 1])
        && known.map(|it| it.name()).any(|name| name == direction)
}

/// Everything that the cases of a run share, with so many megabytes of huge pages.
fn prepare(
    surroundings: &Surroundings,
    megabytes: u64,
    plan: Plan,
    cleanup: &Cleanup,
) -> Result<Run, Failure> {
    let programs = programs::find(surroundings.programs.as_deref())?;
    let cores = Cores::choose()?;
    let pages = (!surroundings.no_huge_pages)
        .then(|| HugePages::reserve(megabytes))
        .flatten();
    let huge_pages = pages.is_some();
    if let Some(pages) = pages {
        cleanup.keep(pages);
    }
    let holder = Holder::start(cores.measured)?;
    cores::pin(0, cores.other)?;
    Ok(Run {
        host: Namespace::create("bench"),
        programs,
        cores,
        holder,
        huge_pages,
        plan,
    })
}

/// Measures one case after the other; one that fails does not stop the others.
fn measure_all(run: &Run, cases: &[Case], results: &mut Results) -> Result<bool, Failure> {
    let mut probed: HashMap<Method, Option<String>> = HashMap::new();
    let mut good = true;
    for (number, case) in (1..).zip(cases) {
        print!("[{number}/{}] {case}: ", cases.len());
        // Without a terminal nobody waits for half a line.
        let _closed = io::stdout().flush();
        let probe = probed.entry(case.method).or_insert_with(|| {
            probe::probe(run, case.method)
                .err()
                .map(|it| it.to_string())
        });
        let measured = match probe {
            Some(why) => Err(Failure::Probe(why.clone())),
            None => measure_case(run, case, results),
        };
        match measured {
            Ok(figures) => {
                println!(
                    "{:.1} Mpps/cpu-s, net {:.1} ns, {:.0} % of csum, {:.0} % of 5tswap",
                    figures.mpps_cpu,
                    figures.net_ns,
                    figures.ratio_csum * 100.0,
                    figures.ratio_5tswap * 100.0
                );
                results.record(record(case, &figures));
            }
            Err(why) => {
                println!("no figure: {why}");
                let key = record(case, &NOTHING);
                results.forget_all(|record| record.is_same_case(&key));
                good = false;
            }
        }
        // After each, so that whoever ends it keeps what was measured.
        results.store().map_err(Failure::io("storing results"))?;
    }
    Ok(good)
}

/// Figures of a row that is only compared by its case.
const NOTHING: Figures = Figures {
    net_ns: 0.0,
    mpps_cpu: 0.0,
    ratio_csum: 0.0,
    ratio_5tswap: 0.0,
};

fn record(case: &Case, figures: &Figures) -> Record {
    Record {
        method: case.method.name().to_owned(),
        direction: case.direction_name(),
        proto: case.protocol.name().to_owned(),
        flows: case.flows.into(),
        net_ns: Some(figures.net_ns),
        mpps_cpu: Some(figures.mpps_cpu),
        ratio_csum: Some(figures.ratio_csum),
        ratio_5tswap: Some(figures.ratio_5tswap),
        ..Record::default()
    }
}

fn measure_case(run: &Run, case: &Case, results: &mut Results) -> Result<Figures, Failure> {
    let captures = [write_capture(&run.host, case, None)?];
    let cores = [run.cores.measured];
    let [capture] = &captures;
    let frames = frames::count(case);
    let gateway = run.with_pages(configuration::huge_mb(case.flows), || {
        start_gateway(run, &run.host, &cores, case, &captures)
    })?;
    let status = gateway.ctl("--json status")?;
    results.machine(Machine::of_this(&status, run.huge_pages));
    gateway.pause();
    let mut testpmd = run.with_pages(configuration::memory_mb(frames), || {
        Testpmd::start(&run.host, run.cores, run.huge_pages, capture, frames)
    })?;
    testpmd.pause();
    let mut rounds = Vec::new();
    let mut first: Option<Counters> = None;
    let mut last = Counters::default();
    for _ in 0..run.plan.windows {
        let (round, [before, after]) =
            measure::round(&run.plan, &run.holder, &gateway, &mut testpmd)?;
        assertions::check(case, &[before.clone(), after.clone()])?;
        first.get_or_insert(before);
        last = after;
        rounds.push(round);
    }
    let first = first.unwrap_or_default();
    // Short windows may have seen less than the whole replay.
    while last.received - first.received < u64::from(frames) {
        last = measure::go_on(&run.plan, &run.holder, &gateway)?;
    }
    assertions::check(case, &[first, last])?;
    Ok(Figures::of(&rounds))
}

/// Writes the frames of all flows, or of those that one of two workers owns.
fn write_capture(
    host: &Namespace,
    case: &Case,
    worker: Option<WorkerId>,
) -> Result<PathBuf, Failure> {
    let number = worker.unwrap_or_default();
    let path = host.dir().join(format!("replay{number}.pcap"));
    let file = File::create(&path).map_err(Failure::io("making replay.pcap"))?;
    let is_its_own = |index: &u32| {
        let flow = Flow::new(case.method, case.protocol, *index);
        worker.is_none_or(|worker| topology::owner(case.protocol, flow.client) == worker)
    };
    let order = shuffle::shuffled(case.flows).into_iter();
    let order = order.filter(is_its_own);
    let frames = order.flat_map(|index| frames::of_flow(case, index));
    pcap::write(BufWriter::new(file), frames).map_err(Failure::io("writing replay.pcap"))?;
    Ok(path)
}

/// Starts the gateway, with a worker on each of `cores` and one capture for each of them, and
/// gives it the case's sessions. Its replay runs from the first moment,
/// so its servers take no session until all of the case's are there.
fn start_gateway<'a>(
    run: &'a Run,
    host: &'a Namespace,
    cores: &'a [usize],
    case: &Case,
    captures: &[PathBuf],
) -> Result<Daemon<'a>, Failure> {
    let files = (captures.iter()).map(|file| format!("rx_pcap={},", file.display()));
    let mut configuration = Configuration {
        host,
        cores,
        huge_pages: run.huge_pages,
        method: case.method,
        device: format!("net_pcap0,{}infinite_rx=1", files.collect::<String>()),
        frames: frames::count(case),
        flows: case.flows,
        weight: 0,
    };
    let gateway = Daemon::start(run.programs, run.cores, &configuration)?;
    let file = host.dir().join("sessions.jsonl");
    let out = File::create(&file).map_err(Failure::io("making sessions.jsonl"))?;
    sessions::write(BufWriter::new(out), case).map_err(Failure::io("writing sessions.jsonl"))?;
    gateway.import(&file, case.flows)?;
    configuration.weight = 1;
    gateway.apply(&configuration)?;
    settle(&gateway, case)?;
    Ok(gateway)
}

/// Waits until the gateway has all sessions and forwards everything.
fn settle(gateway: &Daemon<'_>, case: &Case) -> Result<(), Failure> {
    let start = Instant::now();
    let mut before = Counters::of(&gateway.metrics()?);
    loop {
        cores::pause(SETTLED);
        let now = Counters::of(&gateway.metrics()?);
        let mishaps = now.mishaps_since(&before);
        if mishaps.is_none() && now.sessions == u64::from(case.flows) {
            return Ok(());
        }
        if start.elapsed() > SETTLE_LIMIT {
            let mishaps = mishaps.unwrap_or_else(|| "nothing else".to_owned());
            return Err(Failure::Assertion(format!(
                "before the first window there are {} sessions of {}, and still {mishaps}",
                now.sessions, case.flows
            )));
        }
        before = now;
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Whole {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn arguments(line: &str) -> Option<Arguments> {
        let words = std::iter::once("replay").chain(line.split_whitespace());
        Some(Whole::try_parse_from(words).ok()?.arguments)
    }

    #[test]
    fn quick_is_less_of_everything_but_windows() {
        let (quick, whole) = (arguments("--quick").unwrap(), arguments("").unwrap());

        assert!(quick.cases().len() < whole.cases().len() / 5);
        assert!(quick.plan().length < whole.plan().length);
        assert_eq!((quick.plan().windows, whole.plan().windows), (5, 5));
    }

    #[test]
    fn a_median_of_fewer_than_five_windows_is_refused() {
        assert!(arguments("--windows 4").is_none());
        assert_eq!(arguments("--windows 9").unwrap().plan().windows, 9);
    }

    #[test]
    fn a_whole_run_forgets_its_own_rows_only() {
        let case = Selection::default().cases()[0];
        let row = record(&case, &NOTHING);

        assert!(is_of_a_replay(&row));
        let direction = "request-imix".to_owned();
        assert!(is_of_a_replay(&Record {
            direction,
            ..row.clone()
        }));
        let direction = "new".to_owned();
        assert!(!is_of_a_replay(&Record {
            direction,
            ..row.clone()
        }));
        assert!(!is_of_a_replay(&Record {
            flows: 10_000_000,
            ..row
        }));
    }
}
