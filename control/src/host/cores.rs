//! Processors: nodes, threads of a core, isolation, clock.

use super::numbers;
use super::pages;
use super::tree::Tree;

const PLACE: &str = "/sys/devices/system/cpu";

/// All that run.
pub(super) fn online(tree: &Tree) -> Vec<u16> {
    list(tree, "online")
}

/// Those that Linux starts nobody on by itself.
pub(super) fn isolated(tree: &Tree) -> Vec<u16> {
    list(tree, "isolated")
}

fn list(tree: &Tree, name: &str) -> Vec<u16> {
    let text = tree.text(&format!("{PLACE}/{name}"));
    numbers::parse(&text.unwrap_or_default())
}

/// The NUMA node of a processor.
pub(super) fn node_of(tree: &Tree, core: u16) -> Option<u16> {
    let nodes = pages::nodes(tree).into_iter();
    nodes.into_iter().find(|node| {
        let list = tree.text(&format!("/sys/devices/system/node/node{node}/cpulist"));
        numbers::parse(&list.unwrap_or_default()).contains(&core)
    })
}

/// The other threads of the same core.
pub(super) fn siblings(tree: &Tree, core: u16) -> Vec<u16> {
    let path = format!("{PLACE}/cpu{core}/topology/thread_siblings_list");
    let mut found = numbers::parse(&tree.text(&path).unwrap_or_default());
    found.retain(|sibling| *sibling != core);
    found
}

/// Who sets its clock.
pub(super) fn governor(tree: &Tree, core: u16) -> Option<String> {
    tree.text(&format!("{PLACE}/cpu{core}/cpufreq/scaling_governor"))
}

/// The processors that an option of the kernel's command line names.
pub(super) fn told(tree: &Tree, option: &str) -> Vec<u16> {
    let line = tree.text("/proc/cmdline").unwrap_or_default();
    let mut words = line.split_whitespace();
    let value = words.find_map(|word| word.strip_prefix(option)?.strip_prefix('='));
    // Before the list may stand kinds of isolation: `isolcpus=managed_irq,domain,2-3`.
    numbers::parse(value.unwrap_or_default())
}
