//! `sluice-differential`: what `scripts/differential` runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use dataplane::schedule::load;
use differential::gateway::Making;
use differential::judge::{Differing, Judge, PER_BOOT, Verdict};
use differential::kernel::Kernel;
use differential::known::Known;
use differential::random::{self, Patience};
use differential::read::{self, to_text};
use differential::report::{Totals, account, transcript};
use differential::scenario::Scenario;
use differential::{cli, gateway, written};

/// How many smaller scenarios are tried for one that differs.
const TRIES: usize = 600;

/// Plays scenarios into the kernel's IPVS and into sluice's data plane, and compares what comes out.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// Scenario files, or folders of them
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Plays so many random scenarios
    #[arg(long, value_name = "N")]
    random: Option<u64>,
    /// The first random scenario's seed; the next ones have the next numbers
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Makes so many of those that differ smaller
    #[arg(long, value_name = "K", default_value_t = 3)]
    shrink: usize,
    /// The kernel by whose rules servers are overloaded; by default that of the kernel that plays
    #[arg(long, value_enum)]
    rules: Option<Rules>,
    /// How many workers share the frames
    #[arg(long, value_name = "W", default_value_t = 1)]
    workers: u16,
    /// Compares only what the lines of ipvsadm say: texts and exit codes
    #[arg(long, conflicts_with_all = ["random", "known", "keep"])]
    cli: bool,
    /// A list of scenarios that are known to differ, with reasons: they do not count, and one of
    /// them that is the same after all fails
    #[arg(long, value_name = "FILE")]
    known: Option<PathBuf>,
    /// Keeps scenarios and what both sides did in this folder
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Writes the scenarios of the suite to this folder, and plays nothing
    #[arg(long, value_name = "DIR", exclusive = true)]
    write: Option<PathBuf>,
}

/// Which kernel's rules.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Rules {
    /// Linux 6.1.192's
    #[value(name = "6.1.192")]
    Linux6_1_192,
    /// Linux 6.1.176's and those of most kernels before it
    #[value(name = "6.1.176")]
    Linux6_1_176,
}

impl From<Rules> for load::Rules {
    fn from(rules: Rules) -> Self {
        match rules {
            Rules::Linux6_1_192 => Self::Linux6_1_192,
            Rules::Linux6_1_176 => Self::Linux6_1_176,
        }
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(status) => ExitCode::from(status),
        Err(why) => {
            eprintln!("sluice-differential: {why}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> Result<u8, String> {
    if let Some(folder) = &options.write {
        return written::write(folder)
            .map(|()| 0)
            .map_err(|error| error.to_string());
    }
    let kernel = Kernel::find().map_err(|error| error.to_string())?;
    println!("The kernel is {}.", kernel.name());
    let rules = match (options.rules, kernel.has_virtual_time()) {
        (Some(rules), _) => rules.into(),
        (None, true) => load::Rules::Linux6_1_192,
        (None, false) => load::Rules::Linux6_1_176,
    };
    let making = Making {
        rules,
        workers: options.workers.max(1),
        words_only: options.cli,
    };
    if options.cli {
        return compare_cli(options, &kernel, making);
    }
    let judge = Judge {
        kernel: Box::new(|batch| kernel.play(batch).map_err(|error| error.to_string())),
        gateway: Box::new(|scenario| {
            gateway::play_with(scenario, making).map_err(|error| error.to_string())
        }),
        has_virtual_time: kernel.has_virtual_time(),
    };
    let known = options.known.as_deref().map(Known::load).transpose();
    let mut totals = Totals::knowing(known.map_err(|error| error.to_string())?);
    play_files(options, &judge, &mut totals)?;
    play_random(options, &judge, &mut totals)?;
    println!("{totals}");
    Ok(totals.status())
}

/// Compares what the lines of `ipvsadm` say in all scenarios.
fn compare_cli(options: &Options, kernel: &Kernel, making: Making) -> Result<u8, String> {
    let scenarios = load_files(&options.files)?;
    let scenarios: Vec<Scenario> = scenarios.iter().map(cli::each).collect();
    let outcomes = kernel.play(&scenarios).map_err(|error| error.to_string())?;
    let (mut lines, mut differences) = (0, 0);
    for (scenario, theirs) in scenarios.iter().zip(&outcomes) {
        let ours = gateway::play_with(scenario, making).map_err(|error| error.to_string())?;
        let found = cli::compare(scenario, theirs, &ours);
        let name = &scenario.name;
        println!(
            "{name}: {} lines, {} differ",
            found.lines,
            found.differences.len()
        );
        (found.differences.iter()).for_each(|difference| println!("{difference}"));
        lines += found.lines;
        differences += found.differences.len();
    }
    println!("{lines} lines of ipvsadm compared, {differences} differ");
    Ok(u8::from(differences > 0))
}

fn load_files(files: &[PathBuf]) -> Result<Vec<Scenario>, String> {
    let mut scenarios = Vec::new();
    for file in files {
        for file in expanded(file)? {
            scenarios.push(read::load(&file).map_err(|error| error.to_string())?);
        }
    }
    Ok(scenarios)
}

fn play_files(options: &Options, judge: &Judge<'_>, totals: &mut Totals) -> Result<(), String> {
    let scenarios = load_files(&options.files)?;
    for batch in scenarios.chunks(PER_BOOT) {
        for (scenario, verdict) in batch.iter().zip(judge.judge(batch, true)) {
            tell(options, scenario, &verdict, totals)?;
        }
    }
    Ok(())
}

/// The file itself, or the scenarios of a folder in the order of their names.
fn expanded(path: &Path) -> Result<Vec<PathBuf>, String> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let unreadable = |error| format!("cannot read {}: {error}", path.display());
    let entries = fs::read_dir(path).map_err(unreadable)?;
    let mut files = Vec::new();
    for entry in entries {
        let file = entry.map_err(unreadable)?.path();
        if file.extension().is_some_and(|ending| ending == "txt") {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

fn play_random(options: &Options, judge: &Judge<'_>, totals: &mut Totals) -> Result<(), String> {
    let patience = match judge.has_virtual_time {
        true => Patience::Virtual,
        false => Patience::Real,
    };
    let count = options.random.unwrap_or(0);
    let seeds: Vec<u64> = (0..count)
        .map(|number| options.seed.wrapping_add(number))
        .collect();
    let mut shrunk = 0;
    for seeds in seeds.chunks(PER_BOOT) {
        let scenarios: Vec<Scenario> = seeds
            .iter()
            .map(|seed| random::scenario(*seed, patience))
            .collect();
        let verdicts = judge.judge(&scenarios, false);
        for ((seed, scenario), verdict) in seeds.iter().zip(&scenarios).zip(verdicts) {
            tell(options, scenario, &verdict, totals)?;
            if verdict.differs() && shrunk < options.shrink {
                shrunk += 1;
                tell_shrunk(options, judge, *seed, scenario)?;
            }
        }
    }
    Ok(())
}

/// Prints the smallest scenario that still differs, and what both sides do with it.
fn tell_shrunk(
    options: &Options,
    judge: &Judge<'_>,
    seed: u64,
    scenario: &Scenario,
) -> Result<(), String> {
    let differ = |candidates: &[Scenario]| {
        let verdicts = judge.judge(candidates, false);
        verdicts.iter().map(Verdict::differs).collect()
    };
    let mut small = random::shrink(scenario, TRIES, differ);
    small.name = format!("random-{seed}-small");
    let verdicts = judge.judge(std::slice::from_ref(&small), false);
    println!("    seed {seed}, as small as it gets:");
    print_indented(&to_text(&small));
    for verdict in &verdicts {
        println!("{}", account(&small.name, verdict));
        if let Verdict::Differs(differing) = verdict {
            for (side, outcome) in [
                ("kernel", &differing.kernel),
                ("gateway", &differing.gateway),
            ] {
                println!("    what the {side} did:");
                print_indented(&transcript(outcome));
            }
        }
        keep(options, &small, verdict)?;
    }
    Ok(())
}

fn print_indented(text: &str) {
    for line in text.lines() {
        println!("        {line}");
    }
}

/// Prints what became of a scenario, counts it and keeps it.
fn tell(
    options: &Options,
    scenario: &Scenario,
    verdict: &Verdict,
    totals: &mut Totals,
) -> Result<(), String> {
    println!("{}", account(&scenario.name, verdict));
    if let Some(remark) = totals.add(&scenario.name, verdict) {
        println!("    {remark}");
    }
    keep(options, scenario, verdict)
}

fn keep(options: &Options, scenario: &Scenario, verdict: &Verdict) -> Result<(), String> {
    let Some(folder) = &options.keep else {
        return Ok(());
    };
    let folder = folder.join(&scenario.name);
    let mut files = vec![
        ("scenario.txt", to_text(scenario)),
        ("verdict.txt", account(&scenario.name, verdict)),
    ];
    if let Verdict::Differs(differing) = verdict {
        let Differing {
            kernel, gateway, ..
        } = differing.as_ref();
        files.push(("kernel.txt", transcript(kernel)));
        files.push(("gateway.txt", transcript(gateway)));
    }
    let unwritable = |error| format!("cannot write to {}: {error}", folder.display());
    fs::create_dir_all(&folder).map_err(unwritable)?;
    for (name, text) in files {
        fs::write(folder.join(name), text).map_err(unwritable)?;
    }
    Ok(())
}
