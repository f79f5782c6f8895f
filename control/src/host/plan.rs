//! What was asked for, as changes: first files, then modules, then values, then NICs.

use std::io;
use std::str::FromStr;

use super::change::Change;
use super::journal::Journal;
use super::pages::{self, PageSize};
use super::persist::{self, Files};
use super::plan_nics;
use super::refusal::Refusal;
use super::tree::Tree;

/// What an operator asks for.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// Memory in huge pages.
    pub pages: Vec<PagesWanted>,
    /// NICs for the gateway, by PCI address or interface.
    pub bind: Vec<String>,
    /// NICs to give back.
    pub unbind: Vec<String>,
    /// The kernel parameters of a gateway.
    pub sysctls: bool,
    /// Who sets the processors' clock.
    pub governor: Option<String>,
    /// NICs may be taken without an IOMMU.
    pub no_iommu: bool,
    /// NICs may be taken that Linux uses, and huge pages that others reserved.
    pub force: bool,
}

/// So many pages of one size, on one node or on each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PagesWanted {
    size: PageSize,
    count: u64,
    node: Option<u16>,
}

impl FromStr for PagesWanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let (size, rest) = text.split_once('/')?;
            let size = *PageSize::ALL.iter().find(|known| known.name() == size)?;
            let (count, node) = match rest.split_once('@') {
                Some((count, node)) => (count, Some(node.parse().ok()?)),
                None => (rest, None),
            };
            let count = count.parse().ok()?;
            Some(Self { size, count, node })
        };
        read().ok_or_else(|| {
            "write 2M/1024 or 1G/4 for each node, 2M/1024@0 for node 0 alone".to_owned()
        })
    }
}

/// Changes, and what is worth knowing about them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In the order in which they are to be made.
    pub changes: Vec<Change>,
    /// Sentences.
    pub notes: Vec<String>,
}

/// A plan that is being made.
pub(super) struct Draft<'a> {
    pub(super) tree: &'a Tree,
    pub(super) journal: &'a Journal,
    pub(super) wishes: &'a Wishes,
    pub(super) files: Files,
    pub(super) modules: Vec<Change>,
    pub(super) values: Vec<Change>,
    pub(super) drivers: Vec<Change>,
    pub(super) notes: Vec<String>,
    pub(super) refusals: Vec<Refusal>,
}

/// Makes changes of wishes; those that are so already need none.
///
/// # Errors
///
/// Everything that is refused, and then nothing is to be done; or what cannot be read.
pub fn plan(
    tree: &Tree,
    journal: &Journal,
    wishes: &Wishes,
) -> io::Result<Result<Plan, Vec<Refusal>>> {
    let mut draft = Draft {
        tree,
        journal,
        wishes,
        files: Files::default(),
        modules: Vec::new(),
        values: Vec::new(),
        drivers: Vec::new(),
        notes: Vec::new(),
        refusals: Vec::new(),
    };
    draft.pages()?;
    draft.sysctls()?;
    draft.governor()?;
    plan_nics::add(&mut draft)?;
    let asks = !(wishes.pages.is_empty() && wishes.bind.is_empty() && wishes.unbind.is_empty());
    if !(asks || wishes.sysctls || wishes.governor.is_some()) {
        draft.refusals.push(Refusal::Nothing);
    }
    if !draft.refusals.is_empty() {
        return Ok(Err(draft.refusals));
    }
    let mut changes = draft.files.changes();
    for more in [draft.modules, draft.values, draft.drivers] {
        changes.extend(more);
    }
    Ok(Ok(Plan {
        changes,
        notes: draft.notes,
    }))
}

impl Draft<'_> {
    /// A value of the kernel's, unless it is so; says whether there is such a value.
    pub(super) fn value(&mut self, path: &str, after: &str) -> bool {
        let change = Change::value(self.tree, path, after);
        let is_there = change.is_some();
        let differs = |change: &Change| change.before != change.after;
        self.values.extend(change.into_iter().filter(differs));
        is_there
    }

    fn pages(&mut self) -> io::Result<()> {
        let mut large = Vec::new();
        for (node, size, count) in self.pages_by_node() {
            let path = pages::count_file(node, size);
            if let Some(refusal) = self.too_few_pages(node, size, count) {
                self.refusals.push(refusal);
                continue;
            }
            if !self.value(&path, &count.to_string()) {
                let size = size.words();
                self.refusals.push(Refusal::NoPages { size, node });
                continue;
            }
            let line = format!("w! {path} - - - - {count}");
            self.files.put(self.tree, persist::TMPFILES, &path, line)?;
            if size == PageSize::Large && count > 0 {
                large.push(format!("{node}:{count}"));
            }
        }
        if !large.is_empty() {
            self.notes.push(format!(
                "pages of 1 GiB are surest to be had at boot: put `hugepagesz=1G hugepages={}` on \
                 the kernel's command line (GRUB_CMDLINE_LINUX in /etc/default/grub, then \
                 `update-grub`)",
                large.join(",")
            ));
        }
        Ok(())
    }

    /// Pages of others are not taken, unless by force; those that were added here may go again.
    fn too_few_pages(&self, node: u16, size: PageSize, wanted: u64) -> Option<Refusal> {
        let all = pages::all(self.tree);
        let there = (all.iter()).find(|there| (there.node, there.size) == (node, size))?;
        let total = there.total;
        let path = pages::count_file(node, size);
        let before = self.journal.value_before(&path, &total.to_string());
        let before = before.and_then(|before| before.parse().ok());
        let least = before.map_or(total, |before: u64| before.min(total));
        (wanted < least && !self.wishes.force).then(|| Refusal::TooFewPages {
            node,
            size: size.words(),
            total,
            used: total.saturating_sub(there.free),
            wanted,
            least,
        })
    }

    /// How many pages of each size each node shall have; of two wishes the last one counts.
    fn pages_by_node(&mut self) -> Vec<(u16, PageSize, u64)> {
        let nodes = pages::nodes(self.tree);
        let mut found: Vec<(u16, PageSize, u64)> = Vec::new();
        for PagesWanted { size, count, node } in &self.wishes.pages {
            if let Some(node) = node.filter(|node| !nodes.contains(node)) {
                self.refusals.push(Refusal::NoNode(node));
                continue;
            }
            for node in node.map_or_else(|| nodes.clone(), |node| vec![node]) {
                found.retain(|known| (known.0, known.1) != (node, *size));
                found.push((node, *size, *count));
            }
        }
        found
    }

    /// What a gateway warns of when it starts.
    fn sysctls(&mut self) -> io::Result<()> {
        if !self.wishes.sysctls {
            return Ok(());
        }
        self.forwarding()?;
        let mut wanted = vec![
            ("conf/all/send_redirects", "0"),
            ("conf/default/send_redirects", "0"),
        ];
        // The larger value of `all` and the twin counts, and twins begin with that of `default`.
        let of = |name: &str| {
            let path = format!("/proc/sys/net/ipv4/conf/{name}/rp_filter");
            self.tree.number::<u8>(&path)
        };
        if of("all").max(of("default")) == Some(1) {
            wanted.push(("conf/default/rp_filter", "2"));
        }
        for (name, value) in wanted {
            self.value(&format!("/proc/sys/net/ipv4/{name}"), value);
            self.keep(name, value)?;
        }
        Ok(())
    }

    fn forwarding(&mut self) -> io::Result<()> {
        if let Some(change) = Change::forwarding(self.tree, "1") {
            self.values.push(change);
            self.notes.push(
                "with ip_forward Linux sets `forwarding` of every interface to 1 and \
                 `accept_redirects` of all to 0; --undo sets them back"
                    .to_owned(),
            );
        }
        self.keep("ip_forward", "1")
    }

    /// Sets a kernel parameter at each boot.
    fn keep(&mut self, name: &str, value: &str) -> io::Result<()> {
        let key = format!("net.ipv4.{} =", name.replace('/', "."));
        let line = format!("{key} {value}");
        self.files.put(self.tree, persist::SYSCTL, &key, line)
    }

    fn governor(&mut self) -> io::Result<()> {
        const PLACE: &str = "/sys/devices/system/cpu";

        let Some(wanted) = &self.wishes.governor else {
            return Ok(());
        };
        let cpus = self.tree.names(PLACE);
        let places = cpus.iter().map(|cpu| format!("{PLACE}/{cpu}/cpufreq"));
        let places: Vec<_> = places.filter(|place| self.tree.exists(place)).collect();
        let Some(first) = places.first() else {
            self.refusals.push(Refusal::NoGovernor);
            return Ok(());
        };
        let available = self
            .tree
            .text(&format!("{first}/scaling_available_governors"));
        let available = available.unwrap_or_default();
        if !available.split_whitespace().any(|name| name == wanted) {
            let wanted = wanted.clone();
            let refusal = Refusal::WrongGovernor { wanted, available };
            self.refusals.push(refusal);
            return Ok(());
        }
        for place in &places {
            self.value(&format!("{place}/scaling_governor"), wanted);
        }
        let path = format!("{PLACE}/cpu*/cpufreq/scaling_governor");
        let line = format!("w! {path} - - - - {wanted}");
        self.files.put(self.tree, persist::TMPFILES, &path, line)
    }
}
