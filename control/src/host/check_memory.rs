//! What the host's memory is good for: huge pages, node by node.

use std::collections::BTreeSet;

use super::cores;
use super::doctor::pci_ports;
use super::finding::Finding;
use super::nics;
use super::pages::{self, PageSize, Pages};
use super::tree::Tree;
use crate::config::{Config, HugePages, Workers};

/// About what a place in a session table takes; `docs/sizing.md` has it measured.
const BYTES_PER_SESSION: u64 = 144;

/// Huge pages, and where there are too few of them transparent ones.
pub(super) fn all(tree: &Tree, config: Option<&Config>) -> Vec<Finding> {
    let found = pages::all(tree);
    let mut findings = vec![match config {
        Some(config) => wanted(tree, config, &found),
        None => present(&found),
    }];
    findings.extend(transparent(tree));
    findings.extend(mount(tree));
    findings
}

/// Without a configuration: how many there are.
fn present(found: &[Pages]) -> Finding {
    const NAME: &str = "huge-pages";

    let here: Vec<String> = (found.iter().filter(|pages| pages.total > 0))
        .map(described)
        .collect();
    if here.is_empty() {
        Finding::advice(
            NAME,
            "There are no huge pages: a NIC of DPDK's needs them, AF_PACKET and AF_XDP do not",
            "sluicectl setup-host --huge-pages 2M/512",
        )
    } else {
        Finding::ok(NAME, format!("There are huge pages: {}", here.join("; ")))
    }
}

fn described(pages: &Pages) -> String {
    format!(
        "node {} has {} of {}, {} free",
        pages.node,
        pages.total,
        pages.size.words(),
        pages.free
    )
}

/// With a configuration: whether there are enough, on the nodes where they are used.
fn wanted(tree: &Tree, config: &Config, found: &[Pages]) -> Finding {
    const NAME: &str = "huge-pages";
    const MIB: u64 = 1 << 20;

    let gateway = config.gateway();
    if gateway.huge_pages == HugePages::Never {
        return Finding::ok(NAME, "The configuration asks for no huge pages");
    }
    let table = u64::from(gateway.sessions_per_worker) * BYTES_PER_SESSION;
    let tables = u64::from(gateway.workers.count()) * table.div_ceil(2 * MIB);
    let buffers = u64::from(gateway.memory_mb).div_ceil(2);
    let nodes = nodes_in_use(tree, config);
    let of = |size: PageSize| {
        let found = found.iter().filter(|pages| pages.size == size);
        let found = found.filter(|pages| nodes.is_empty() || nodes.contains(&pages.node));
        found.map(|pages| pages.total).sum::<u64>()
    };
    // DPDK's share may lie in large pages, the tables in small ones only.
    let large_mb = of(PageSize::Large) * 1024;
    let needed = if large_mb >= u64::from(gateway.memory_mb) {
        tables
    } else {
        tables + buffers
    };
    let there = of(PageSize::Small);
    let place = match nodes.iter().map(ToString::to_string).collect::<Vec<_>>() {
        nodes if nodes.is_empty() => "This machine".to_owned(),
        nodes if nodes.len() == 1 => format!("Node {}", nodes[0]),
        nodes => format!("Nodes {} together", nodes.join(" and ")),
    };
    let said = format!(
        "{place} has {there} pages of 2 MiB, and the configuration takes about {needed} (packet \
         buffers and session tables)"
    );
    if there >= needed {
        return Finding::ok(NAME, said);
    }
    let each = needed.div_ceil(nodes.len().max(1) as u64);
    let words = nodes
        .iter()
        .map(|node| format!(" --huge-pages 2M/{each}@{node}"));
    let words: String = words.collect();
    let words = Some(words).filter(|words| !words.is_empty());
    let words = words.unwrap_or_else(|| format!(" --huge-pages 2M/{needed}"));
    let command = format!("sluicectl setup-host{words}");
    if gateway.huge_pages == HugePages::Required || pci_ports(config).next().is_some() {
        Finding::problem(NAME, format!("{said}: it may not start"), command)
    } else {
        let said = format!("{said}: the rest is ordinary memory, which is slower");
        Finding::advice(NAME, said, command)
    }
}

/// The nodes of the workers and the NICs.
fn nodes_in_use(tree: &Tree, config: &Config) -> BTreeSet<u16> {
    let mut nodes = BTreeSet::new();
    if let Workers::Cores(workers) = &config.gateway().workers {
        nodes.extend(
            workers
                .iter()
                .filter_map(|core| cores::node_of(tree, core.0)),
        );
    }
    let nics = pci_ports(config).filter_map(|device| nics::one(tree, device));
    nodes.extend(nics.filter_map(|nic| nic.node));
    nodes
}

/// What session tables lie in where huge pages are short.
fn transparent(tree: &Tree) -> Option<Finding> {
    const NAME: &str = "transparent-huge-pages";
    const FILE: &str = "/sys/kernel/mm/transparent_hugepage/enabled";

    let text = tree.text(FILE)?;
    Some(if text.contains("[never]") {
        Finding::advice(
            NAME,
            "Transparent huge pages are off: session tables that find no huge pages are slower \
             by about a quarter",
            format!("echo madvise >{FILE}"),
        )
    } else {
        Finding::ok(
            NAME,
            "Session tables that find no huge pages may use transparent ones",
        )
    })
}

/// Whether hugetlbfs is mounted, which other programs may need.
fn mount(tree: &Tree) -> Option<Finding> {
    let mounts = tree.text("/proc/self/mounts")?;
    let is_huge = |line: &&str| line.split(' ').nth(2) == Some("hugetlbfs");
    let place = mounts.lines().find(is_huge);
    let place = place.and_then(|line| line.split(' ').nth(1));
    Some(Finding::ok(
        "hugetlbfs",
        match place {
            Some(place) => format!("hugetlbfs is mounted at {place}; the gateway needs no mount"),
            None => "hugetlbfs is not mounted, and the gateway needs no mount".to_owned(),
        },
    ))
}
