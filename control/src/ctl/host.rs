//! The host under the gateway: looked at, made ready, and put back. Needs no running gateway.

use std::path::{Path, PathBuf};

use anstyle::AnsiColor;
use clap::Args;
use serde::Serialize;

use super::configuration::write_json;
use super::failure::Failure;
use super::{Console, Exit, paint};
use crate::config::{Config, ConfigErrors};
use crate::host::{
    self, Change, Finding, Journal, Made, MakeError, PagesWanted, State, Tree, Wishes,
};

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
    /// `1G/4@1` are 4 of 1 GiB on node 1 alone. It is the number of all, others' among them.
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

    /// Takes NICs also that are in use (by a default route, an ssh session, addresses, a bond or
    /// bridge, a program), or that DPDK does not know; and leaves fewer huge pages than there were.
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
    /// What could not be changed, as in any other answer.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    errors: &'a [String],
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
    // To look, no directory is made and nobody is kept away.
    let journal = match asked.dry_run {
        true => Journal::read(&tree),
        false => Journal::open(&tree),
    };
    let mut journal = journal.map_err(|error| failed(&error))?;
    if asked.undo {
        return take_back(asked, &tree, &mut journal, console);
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
    let plan = match host::plan(&tree, &journal, &wishes) {
        Ok(Ok(plan)) => plan,
        Ok(Err(refusals)) => {
            journal.leave(&tree).map_err(|error| failed(&error))?;
            let sentences = refusals.iter().map(ToString::to_string);
            return Err(Failure::Refused(sentences.collect()));
        }
        Err(error) => return Err(failed(&error)),
    };
    // Whoever loses his way into the machine by it has read why.
    write_notes(&plan.notes, console)?;
    let mut tell = teller(console);
    let made = if asked.dry_run {
        plan.changes.iter().for_each(&mut tell);
        Made {
            changes: plan.changes,
            ..Made::default()
        }
    } else {
        host::make(&tree, &mut journal, &plan, &mut tell)
    };
    drop(tell);
    write_notes(&made.shortfalls, console)?;
    let is_as_asked = made.shortfalls.is_empty();
    let view = ChangesView {
        made: !asked.dry_run,
        changes: &made.changes,
        notes: &[plan.notes, made.shortfalls].concat(),
        errors: &sentences(&made.failure),
    };
    write_end(&view, "made", is_as_asked, console)
}

/// Takes back what was changed, as far as that goes.
fn take_back(
    asked: &SetupHost,
    tree: &Tree,
    journal: &mut Journal,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let undone = host::undo(tree, journal, asked.dry_run, &mut teller(console));
    write_notes(&undone.notes, console)?;
    let view = ChangesView {
        made: !asked.dry_run,
        changes: &undone.changes,
        notes: &undone.notes,
        errors: &sentences(&undone.failures),
    };
    write_end(&view, "taken back", undone.notes.is_empty(), console)
}

fn sentences<'a>(errors: impl IntoIterator<Item = &'a MakeError>) -> Vec<String> {
    errors.into_iter().map(ToString::to_string).collect()
}

fn failed(error: &dyn std::error::Error) -> Failure {
    Failure::Host(error.to_string())
}

/// Says each change as it is made. Nobody may be left to hear, and then the rest is made all the same.
fn teller(console: &mut Console<'_>) -> impl FnMut(&Change) {
    |change| {
        if !console.json {
            let _unread = writeln!(console.out, "{change}");
        }
    }
}

fn write_notes(notes: &[String], console: &mut Console<'_>) -> Result<(), Failure> {
    for note in notes.iter().filter(|_| !console.json) {
        writeln!(console.out, "note: {note}")?;
    }
    Ok(())
}

/// How many changes it came to, or as JSON all of them, and how it ended.
fn write_end(
    view: &ChangesView<'_>,
    verb: &str,
    is_as_asked: bool,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let count = view.changes.len();
    if console.json {
        write_json(view, console)?;
    } else {
        match (count, view.made) {
            (0, _) if view.errors.is_empty() => writeln!(console.out, "Nothing to change.")?,
            (_, true) => writeln!(console.out, "Changes {verb}: {count}.")?,
            (_, false) => writeln!(console.out, "Changes that would be {verb}: {count}.")?,
        }
        for error in view.errors {
            writeln!(console.err, "{error}")?;
        }
    }
    Ok(match (view.errors, is_as_asked) {
        ([], true) => Exit::Well,
        ([], false) => Exit::No,
        _ => Exit::Failed,
    })
}
