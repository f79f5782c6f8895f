//! The host under the gateway: looked at, made ready, and put back. Needs no running gateway.

use std::path::{Path, PathBuf};

use anstyle::AnsiColor;
use clap::Args;
use serde::Serialize;

use super::configuration::write_json;
use super::failure::Failure;
use super::{Console, Exit, paint};
use crate::config::{Config, ConfigErrors};
use crate::host::{self, Change, Finding, Journal, PagesWanted, State, Tree, Wishes};

/// What to look at.
#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// Looks at what this configuration asks for, too: its ports, workers and memory.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(flatten)]
    host: Host,
}

/// What to change.
#[derive(Debug, Args)]
pub(super) struct SetupHost {
    /// Huge pages, now and after each boot: `2M/1024` are 1,024 pages of 2 MiB on each NUMA node,
    /// `1G/4@1` are 4 of 1 GiB on node 1 alone.
    #[arg(long, value_name = "SIZE/COUNT[@NODE]", value_delimiter = ',')]
    huge_pages: Vec<PagesWanted>,

    /// Gives a NIC, by its PCI address or interface, to vfio-pci, now and after each boot; one that
    /// works beside its kernel driver (mlx5) stays with it.
    #[arg(long, value_name = "NIC", value_delimiter = ',')]
    bind: Vec<String>,

    /// Gives a NIC back to Linux.
    #[arg(long, value_name = "NIC", value_delimiter = ',')]
    unbind: Vec<String>,

    /// Sets what a gateway asks of Linux: ip_forward, no redirects, no strict reverse path filter.
    #[arg(long)]
    sysctls: bool,

    /// Sets who sets the processors' clock, as `performance`.
    #[arg(long, value_name = "NAME")]
    governor: Option<String>,

    /// Lets vfio take NICs where there is no IOMMU; they may then write to all of the memory.
    #[arg(long, requires = "bind")]
    no_iommu: bool,

    /// Takes NICs also that carry the default route, an ssh session or addresses, are part of a
    /// bond or bridge, or that DPDK does not know.
    #[arg(long)]
    force: bool,

    /// Says what would be changed, and changes nothing.
    #[arg(long)]
    dry_run: bool,

    /// Takes back what was changed, all of it and nothing else.
    #[arg(
        long,
        conflicts_with_all = [
            "huge_pages", "bind", "unbind", "sysctls", "governor", "no_iommu", "force"
        ]
    )]
    undo: bool,

    #[command(flatten)]
    host: Host,
}

/// Which host.
#[derive(Debug, Args)]
struct Host {
    /// The files below this directory stand for those of the machine.
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    root: PathBuf,
}

/// What `--json` prints of `doctor`.
#[derive(Debug, Serialize)]
struct FindingsView {
    findings: Vec<Finding>,
    problems: usize,
    advice: usize,
}

/// What `--json` prints of `setup-host`.
#[derive(Debug, Serialize)]
struct ChangesView<'a> {
    /// Whether they were made, and are not only what would be.
    made: bool,
    changes: &'a [Change],
    notes: &'a [String],
}

/// Says what is wrong with the host; no answer is given when it cannot be seen.
pub(super) fn doctor(asked: &Doctor, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let config = match asked.config.as_deref().map(read).transpose() {
        Err(refused @ Failure::Refused(_)) => {
            refused.tell(console);
            // 1 is taken: it says that the host was looked at.
            return Ok(Exit::Failed);
        }
        config => config?,
    };
    let findings = host::examine(&Tree::new(&asked.host.root), config.as_ref());
    let findings = findings.map_err(|error| Failure::Host(error.to_string()))?;
    let count = |state| findings.iter().filter(|one| one.state == state).count();
    let view = FindingsView {
        problems: count(State::Problem),
        advice: count(State::Advice),
        findings,
    };
    let is_well = view.problems == 0;
    if console.json {
        write_json(&view, console)?;
    } else {
        write_findings(&view, console)?;
    }
    Ok(if is_well { Exit::Well } else { Exit::No })
}

fn read(file: &Path) -> Result<Config, Failure> {
    let text = std::fs::read_to_string(file);
    let text = text.map_err(|error| Failure::Unreadable(file.to_owned(), error))?;
    let read = Config::from_toml(&text, file);
    let (config, _) = read.map_err(|ConfigErrors(errors)| {
        Failure::Refused(errors.iter().map(ToString::to_string).collect())
    })?;
    Ok(config)
}

fn write_findings(view: &FindingsView, console: &mut Console<'_>) -> Result<(), Failure> {
    for finding in &view.findings {
        let colour = match finding.state {
            State::Ok => AnsiColor::Green,
            State::Advice => AnsiColor::Yellow,
            State::Problem => AnsiColor::Red,
        };
        let state = format!("{:7}", finding.state);
        let state = paint(console.colour.out, colour, &state);
        writeln!(console.out, "{state}  {}: {}", finding.name, finding.why)?;
        if let Some(command) = &finding.command {
            writeln!(console.out, "           {command}")?;
        }
    }
    let (problems, advice) = (view.problems, view.advice);
    Ok(writeln!(
        console.out,
        "Problems: {problems}, advice: {advice}."
    )?)
}

/// Changes the host, or takes that back.
pub(super) fn set_up(asked: &SetupHost, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let tree = Tree::new(&asked.host.root);
    let failed = |error: &dyn std::error::Error| Failure::Host(error.to_string());
    // To look, no directory is made and nobody is kept away.
    let journal = match asked.dry_run {
        true => Journal::read(&tree),
        false => Journal::open(&tree),
    };
    let mut journal = journal.map_err(|error| failed(&error))?;
    if asked.undo {
        let undone = host::undo(&tree, &mut journal, asked.dry_run);
        let undone = undone.map_err(|error| failed(&error))?;
        write_changes(asked, &undone.changes, &undone.notes, console)?;
        return Ok(Exit::Well);
    }
    let wishes = Wishes {
        pages: asked.huge_pages.clone(),
        bind: asked.bind.clone(),
        unbind: asked.unbind.clone(),
        sysctls: asked.sysctls,
        governor: asked.governor.clone(),
        no_iommu: asked.no_iommu,
        force: asked.force,
    };
    let plan = host::plan(&tree, &journal, &wishes).map_err(|error| failed(&error));
    let plan = match plan {
        Ok(Ok(plan)) => plan,
        Ok(Err(refusals)) => {
            journal.leave(&tree).map_err(|error| failed(&error))?;
            let sentences = refusals.iter().map(ToString::to_string);
            return Err(Failure::Refused(sentences.collect()));
        }
        Err(failure) => return Err(failure),
    };
    let mut notes = plan.notes.clone();
    let mut exit = Exit::Well;
    if !asked.dry_run {
        let made = host::make(&tree, &mut journal, &plan);
        let made = made.map_err(|error| failed(&error))?;
        if !made.shortfalls.is_empty() {
            exit = Exit::No;
        }
        notes.extend(made.shortfalls);
    }
    write_changes(asked, &plan.changes, &notes, console)?;
    Ok(exit)
}

fn write_changes(
    asked: &SetupHost,
    changes: &[Change],
    notes: &[String],
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    if console.json {
        let made = !asked.dry_run;
        let view = ChangesView {
            made,
            changes,
            notes,
        };
        return write_json(&view, console);
    }
    for change in changes {
        writeln!(console.out, "{change}")?;
    }
    for note in notes {
        writeln!(console.out, "note: {note}")?;
    }
    let (count, verb) = (
        changes.len(),
        if asked.undo { "taken back" } else { "made" },
    );
    match (count, asked.dry_run) {
        (0, _) => writeln!(console.out, "Nothing to change.")?,
        (_, true) => writeln!(console.out, "Changes that would be {verb}: {count}.")?,
        (_, false) => writeln!(console.out, "Changes {verb}: {count}.")?,
    }
    Ok(())
}
