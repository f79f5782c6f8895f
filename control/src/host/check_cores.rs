//! What the host's processors are good for: isolation, nodes, threads, interrupts, clock.

use super::cores;
use super::doctor::pci_ports;
use super::finding::Finding;
use super::nics;
use super::numbers;
use super::tree::Tree;
use crate::config::{Config, Workers};

/// All about the workers' cores; without a configuration little can be said.
pub(super) fn all(tree: &Tree, config: Option<&Config>) -> Vec<Finding> {
    let workers: Vec<u16> = match config.map(|config| &config.gateway().workers) {
        Some(Workers::Cores(cores)) => cores.iter().map(|core| core.0).collect(),
        Some(Workers::Count(count)) => return vec![counted(*count)],
        None => Vec::new(),
    };
    let mut findings = Vec::new();
    if config.is_some() {
        findings.extend(absent(tree, &workers));
        findings.push(isolation(tree, &workers));
        findings.extend(threads(tree, &workers));
    } else {
        findings.push(without_configuration(tree));
    }
    if let Some(config) = config {
        findings.extend(placement(tree, config, &workers));
        findings.extend(interrupts(tree, &workers));
    }
    findings.extend(governor(tree, &workers));
    findings.extend(irqbalance(tree));
    findings
}

fn counted(count: u16) -> Finding {
    Finding::advice(
        "workers",
        format!(
            "The configuration asks for {count} workers and names no cores: on a machine of its \
             own named cores can be kept free, and lie on the NICs' node"
        ),
        "workers = [2, 3] in [gateway], with the cores of `lscpu --extended`",
    )
}

fn without_configuration(tree: &Tree) -> Finding {
    let isolated = cores::isolated(tree);
    let said = if isolated.is_empty() {
        "No cores are isolated; which ones should be depends on `workers`, so name the \
         configuration"
            .to_owned()
    } else {
        format!("Cores {} are isolated", numbers::list(&isolated))
    };
    Finding {
        command: Some("sluicectl doctor --config /etc/sluice/sluice.toml".to_owned()),
        ..Finding::ok("isolated-cores", said)
    }
}

fn absent(tree: &Tree, workers: &[u16]) -> Option<Finding> {
    let online = cores::online(tree);
    let absent = without(workers, &online);
    (!absent.is_empty()).then(|| {
        let names = numbers::list(&absent);
        Finding::problem(
            "workers",
            format!(
                "`workers` names cores {names}, which do not run here: the gateway will not start"
            ),
            format!(
                "workers = [...] in [gateway], out of {}",
                numbers::list(&online)
            ),
        )
    })
}

/// Those of `some` that are not among `others`, in order.
fn without(some: &[u16], others: &[u16]) -> Vec<u16> {
    let mut left: Vec<u16> = (some.iter().copied())
        .filter(|one| !others.contains(one))
        .collect();
    left.sort_unstable();
    left
}

/// Whether Linux leaves the workers' cores alone.
fn isolation(tree: &Tree, workers: &[u16]) -> Finding {
    const NAME: &str = "isolated-cores";

    let online = cores::online(tree);
    // Linux has to run somewhere.
    let first = without(&online, workers)
        .is_empty()
        .then(|| online.first().copied());
    let first: Vec<u16> = first.flatten().into_iter().collect();
    let all = without(workers, &first);
    let others = without(&online, &all);
    let missing = without(&all, &cores::isolated(tree));
    let told = |option| without(&all, &cores::told(tree, option)).is_empty();
    let lacks = [
        ("isolcpus", missing.is_empty()),
        ("nohz_full", told("nohz_full")),
        ("rcu_nocbs", told("rcu_nocbs")),
    ];
    let lacks: Vec<&str> = (lacks.iter())
        .filter_map(|(option, is_there)| (!is_there).then_some(*option))
        .collect();
    let cores = numbers::list(&all);
    if all.is_empty() {
        let said = "The only core is the worker's and Linux's: none is left to be isolated";
        return Finding::ok(NAME, said);
    }
    if lacks.is_empty() {
        return Finding::ok(NAME, format!("Cores {cores} are the workers' alone"));
    }
    let others = match numbers::list(&others) {
        others if others.is_empty() => String::new(),
        others => format!(" irqaffinity={others}"),
    };
    Finding::advice(
        NAME,
        format!(
            "Cores {cores} are not the workers' alone ({} missing): what Linux runs there delays \
             packets",
            lacks.join(", ")
        ),
        format!(
            "on the kernel's command line: isolcpus={cores} nohz_full={cores} \
             rcu_nocbs={cores}{others} (GRUB_CMDLINE_LINUX in /etc/default/grub, then \
             `update-grub`, then a reboot)"
        ),
    )
}

/// Two threads of a core share what one worker needs.
fn threads(tree: &Tree, workers: &[u16]) -> Option<Finding> {
    const NAME: &str = "core-threads";

    let all: Vec<u16> = (workers.iter())
        .flat_map(|worker| cores::siblings(tree, *worker))
        .collect();
    let both = without(workers, &without(workers, &all));
    if !both.is_empty() {
        return Some(Finding::advice(
            NAME,
            format!(
                "Cores {} are threads of the same cores: each of those workers gets about half",
                numbers::list(&both)
            ),
            "workers = [...] in [gateway], one thread of each core",
        ));
    }
    let mut idle = without(&all, &cores::isolated(tree));
    idle.dedup();
    (!idle.is_empty()).then(|| {
        Finding::advice(
            NAME,
            format!(
                "Cores {} are the other threads of workers' cores: what Linux runs there takes \
                 from the workers",
                numbers::list(&idle)
            ),
            idle.iter()
                .map(|core| format!("echo 0 >/sys/devices/system/cpu/cpu{core}/online"))
                .collect::<Vec<_>>()
                .join("; "),
        )
    })
}

/// Workers and NICs belong on one node.
fn placement(tree: &Tree, config: &Config, workers: &[u16]) -> Vec<Finding> {
    let nics = pci_ports(config).filter_map(|device| nics::one(tree, device));
    let finding = |nic: nics::Nic| {
        let node = nic.node?;
        let away: Vec<u16> = (workers.iter().copied())
            .filter(|worker| cores::node_of(tree, *worker).is_some_and(|other| other != node))
            .collect();
        let name = nic.name();
        Some(if away.is_empty() {
            Finding::ok("numa", format!("{name} and all workers are on node {node}"))
        } else {
            let here = format!("/sys/devices/system/node/node{node}/cpulist");
            let here = tree.text(&here).unwrap_or_default();
            Finding::advice(
                "numa",
                format!(
                    "{name} is on node {node}, and workers run on cores {} of another: each packet \
                     crosses between them",
                    numbers::list(&without(&away, &[]))
                ),
                format!("workers = [...] in [gateway], out of {here}"),
            )
        })
    };
    nics.filter_map(finding).collect()
}

/// Interrupts that come to the workers' cores.
fn interrupts(tree: &Tree, workers: &[u16]) -> Option<Finding> {
    let others = without(&cores::online(tree), workers);
    let cores = numbers::list(&without(workers, &[]));
    let irqs = tree.names("/proc/irq");
    let meets = |irq: &&String| {
        let place = format!("/proc/irq/{irq}");
        let read = |name| tree.text(&format!("{place}/{name}"));
        let list = read("effective_affinity_list").filter(|list| !list.is_empty());
        let list = list.or_else(|| read("smp_affinity_list"));
        let list = numbers::parse(&list.unwrap_or_default());
        list.iter().any(|core| workers.contains(core))
    };
    let count = irqs.iter().filter(meets).count();
    if irqs.is_empty() || others.is_empty() {
        return None;
    }
    Some(if count == 0 {
        Finding::ok("interrupts", format!("No interrupt comes to cores {cores}"))
    } else {
        Finding::advice(
            "interrupts",
            format!("{count} interrupts come to cores {cores}, and each one stops a worker"),
            format!(
                "for irq in /proc/irq/*/smp_affinity_list; do echo {} >$irq; done",
                numbers::list(&others)
            ),
        )
    })
}

/// A program that moves interrupts about.
fn irqbalance(tree: &Tree) -> Option<Finding> {
    let is_it = |process: &String| {
        process.bytes().all(|digit| digit.is_ascii_digit())
            && tree.text(&format!("/proc/{process}/comm")).as_deref() == Some("irqbalance")
    };
    tree.names("/proc").iter().any(is_it).then(|| {
        Finding::advice(
            "irqbalance",
            "irqbalance runs, and moves interrupts to the workers' cores again",
            "systemctl disable --now irqbalance",
        )
    })
}

/// A clock that is slow when a worker wakes.
fn governor(tree: &Tree, workers: &[u16]) -> Option<Finding> {
    const NAME: &str = "governor";

    let online = cores::online(tree);
    let asked = if workers.is_empty() { &online } else { workers };
    let governors = asked.iter().filter_map(|core| cores::governor(tree, *core));
    let mut governors: Vec<String> = governors.collect();
    governors.sort();
    governors.dedup();
    match &governors[..] {
        [] => None,
        [only] if only == "performance" => {
            Some(Finding::ok(NAME, "The processors run at full clock"))
        }
        governors => Some(Finding::advice(
            NAME,
            format!(
                "The processors' governor is {}: the first packets after a pause find a slow clock",
                governors.join(" and ")
            ),
            "sluicectl setup-host --governor performance",
        )),
    }
}
