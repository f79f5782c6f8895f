//! What the host's memory is good for: huge pages, node by node.

use std::collections::BTreeSet;

use dataplane::memory::HUGE_PAGE_BYTES;

use super::cores;
use super::doctor::pci_ports;
use super::finding::Finding;
use super::nics;
use super::pages::{self, PageSize, Pages};
use super::tree::Tree;
use crate::config::{Config, HugePages, Workers};

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

    let gateway = config.gateway();
    if gateway.huge_pages == HugePages::Never {
        return Finding::ok(NAME, "The configuration asks for no huge pages");
    }
    let pages_of = |bytes: u64| bytes.div_ceil(HUGE_PAGE_BYTES as u64);
    let tables = u64::from(gateway.workers.count()) * pages_of(config.session_table_bytes());
    let buffers = pages_of(u64::from(gateway.memory_mb) << 20);
    let named = nodes_in_use(tree, config);
    let is_anywhere = named.is_empty();
    let mut nodes: Vec<u16> = named.into_iter().collect();
    if is_anywhere {
        nodes = pages::nodes(tree);
    }
    // What a gateway that runs has is its own; what other programs have is not to be had.
    let runs = gateway_runs(tree);
    let of = |node: u16, size: PageSize| {
        let mut pages = found.iter();
        let pages = pages.find(|pages| (pages.node, pages.size) == (node, size));
        let usable = |pages: &Pages| if runs { pages.total } else { pages.free };
        pages.map_or((0, 0), |pages| (pages.total, usable(pages)))
    };
    let sum = |size| nodes.iter().map(|node| of(*node, size).1).sum::<u64>();
    // DPDK's share may lie in large pages, the tables in small ones only.
    let needed = if sum(PageSize::Large) * 1024 >= u64::from(gateway.memory_mb) {
        tables
    } else {
        tables + buffers
    };
    let each = needed.div_ceil(nodes.len().max(1) as u64);
    let mut words = String::new();
    for node in &nodes {
        let (total, usable) = of(*node, PageSize::Small);
        if usable < each {
            let count = total - usable.min(total) + each;
            let count = if runs { each } else { count };
            words += &format!(" --huge-pages 2M/{count}@{node}");
        }
    }
    let there =
        (nodes.iter()).map(|node| format!("{} on node {node}", of(*node, PageSize::Small).1));
    let said = format!(
        "Of pages of 2 MiB there are {}{}, and the configuration takes about {needed} (packet \
         buffers and session tables)",
        there.collect::<Vec<_>>().join(" and "),
        if runs { "" } else { " free" },
    );
    if words.is_empty() || (is_anywhere && sum(PageSize::Small) >= needed) {
        return Finding::ok(NAME, said);
    }
    let command = format!("sluicectl setup-host{words}");
    if gateway.huge_pages == HugePages::Required || pci_ports(config).next().is_some() {
        Finding::problem(NAME, format!("{said}: it may not start"), command)
    } else {
        let said = format!("{said}: the rest is ordinary memory, which is slower");
        Finding::advice(NAME, said, command)
    }
}

/// Whether a gateway has its pages already.
fn gateway_runs(tree: &Tree) -> bool {
    let is_one = |process: &String| {
        process.bytes().all(|digit| digit.is_ascii_digit())
            && tree.text(&format!("/proc/{process}/comm")).as_deref() == Some("sluice")
    };
    tree.names("/proc").iter().any(is_one)
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
