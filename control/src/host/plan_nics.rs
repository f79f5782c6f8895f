//! From NICs that were asked for to changes: which may be taken, and what that takes.

use std::io;

use super::change::{Binding, Change, Kind};
use super::drivers::{self, VFIO, Way};
use super::modules;
use super::nics::{self, Nic};
use super::persist;
use super::plan::Draft;
use super::refusal::Refusal;
use super::tree::Tree;
use super::uses;
use crate::config::normal_pci_address;

/// Adds what binding and unbinding takes.
pub(super) fn add(draft: &mut Draft<'_>) -> io::Result<()> {
    let asked = draft.wishes.bind.clone();
    let asked: Vec<Nic> = (asked.iter())
        .filter_map(|name| found(draft, name))
        .collect();
    if !asked.is_empty() && is_elsewhere(draft.tree) {
        match draft.wishes.force {
            true => draft.notes.push(Refusal::Elsewhere.to_string()),
            false => draft.refusals.push(Refusal::Elsewhere),
        }
    }
    let taken: Vec<&Nic> = asked.iter().filter(|nic| may_take(draft, nic)).collect();
    for nic in &taken {
        check_group(draft, nic, &asked);
    }
    let free = |nic: &&&Nic| !nics::is_behind_iommu(draft.tree, nic);
    let free: Vec<&Nic> = taken.iter().filter(free).copied().collect();
    if !draft.wishes.no_iommu && !free.is_empty() {
        let refusals = match nics::has_iommu(draft.tree) {
            true => free
                .iter()
                .map(|nic| Refusal::NoGroup(nic.name()))
                .collect(),
            false => vec![Refusal::NoIommu],
        };
        draft.refusals.extend(refusals);
    }
    if !taken.is_empty() {
        prepare(draft, !free.is_empty())?;
    }
    for nic in &taken {
        let key = persist::rule_key(&nic.device);
        let rule = persist::rule(draft.tree, &nic.device);
        draft.files.put(draft.tree, persist::UDEV, &key, rule)?;
        bind(draft, nic, &Binding::vfio());
    }
    for name in &draft.wishes.unbind.clone() {
        if let Some(nic) = found(draft, name) {
            unbind(draft, &nic)?;
        }
    }
    Ok(())
}

/// Whether other interfaces are seen from here than by the machine's first process.
fn is_elsewhere(tree: &Tree) -> bool {
    let own = tree.link("/proc/self/ns/net");
    let first = tree.link("/proc/1/ns/net");
    own.is_some() && first.is_some() && own != first
}

/// The NIC of a PCI address or interface, also one whose interface went when it was bound.
fn found(draft: &mut Draft<'_>, name: &str) -> Option<Nic> {
    let tree = draft.tree;
    let of_journal = || {
        let changes = draft.journal.changes().iter();
        let mut drivers = changes.filter(|change| change.kind == Kind::Driver);
        let found = drivers.find(|change| change.interface.as_deref() == Some(name));
        found.map(|change| change.subject.clone())
    };
    let bound = of_journal();
    let present = nics::device_of(tree, name);
    // Names such as eth0 move up at a reboot when a NIC before them is bound.
    if let (Some(before), Some(now)) = (&bound, &present)
        && before != now
    {
        draft.refusals.push(Refusal::Renamed {
            name: name.to_owned(),
            before: before.clone(),
            now: now.clone(),
        });
        return None;
    }
    let device = normal_pci_address(name).or(present).or(bound);
    let nic = device.and_then(|device| nics::one(tree, &device));
    let refusal = match &nic {
        Some(nic) if nic.is_network() => return Some(nic.clone()),
        Some(nic) => Refusal::NotNetwork {
            device: nic.device.clone(),
            class: nic.class,
        },
        None if tree.exists(&format!("/sys/class/net/{name}")) => Refusal::NotPci(name.to_owned()),
        None => Refusal::NoNic(name.to_owned()),
    };
    draft.refusals.push(refusal);
    None
}

/// Whether a NIC goes to vfio-pci; otherwise the draft says why not.
fn may_take(draft: &mut Draft<'_>, nic: &Nic) -> bool {
    let force = draft.wishes.force;
    let driver = nic.driver.as_deref().unwrap_or(VFIO);
    match drivers::way(driver) {
        Some(Way::Shared(ours)) => {
            draft.notes.push(format!(
                "{} stays with {driver}: DPDK's {ours} works beside it, and the interface stays",
                nic.name()
            ));
            return false;
        }
        Some(Way::Closed) => {
            draft.refusals.push(Refusal::Closed(nic.name()));
            return false;
        }
        None if !drivers::is_for_programs(driver) && !force => {
            draft.refusals.push(Refusal::Unknown {
                nic: nic.name(),
                driver: driver.to_owned(),
            });
            return false;
        }
        _ => {}
    }
    let uses = uses::of_nic(draft.tree, nic);
    if uses.is_empty() {
        return true;
    }
    if force {
        let notes = uses.iter().map(|used| format!("taken by force: {used}"));
        draft.notes.extend(notes);
        return true;
    }
    let nic = nic.name();
    draft.refusals.push(Refusal::InUse { nic, uses });
    false
}

/// A group goes to vfio as a whole.
fn check_group(draft: &mut Draft<'_>, nic: &Nic, asked: &[Nic]) {
    let mut others = nics::neighbours(draft.tree, nic);
    others.retain(|other| {
        let is_asked = asked.iter().any(|nic| nic.device == other.device);
        !is_asked && other.driver.as_deref() != Some(VFIO)
    });
    if others.is_empty() {
        return;
    }
    let names = others.iter().map(|other| {
        let driver = other.driver.as_deref().unwrap_or_default();
        format!("{}, which {driver} has", other.name())
    });
    let words = others
        .iter()
        .map(|other| format!("`--bind {}`", other.short_name()));
    let advice = match others.iter().all(Nic::is_network) {
        true => format!(
            "add {}, or use a slot of another group",
            words.collect::<Vec<_>>().join(" and ")
        ),
        false => "use a slot of another group".to_owned(),
    };
    draft.refusals.push(Refusal::Group {
        nic: nic.name(),
        group: nic.group.clone().unwrap_or_default(),
        others: names.collect::<Vec<_>>().join(" and "),
        advice,
    });
}

/// vfio-pci, now and after each boot.
fn prepare(draft: &mut Draft<'_>, is_without_iommu: bool) -> io::Result<()> {
    let tree = draft.tree;
    (draft.files).put(tree, persist::MODULES, VFIO, VFIO.to_owned())?;
    if is_without_iommu {
        let option = persist::NO_IOMMU.to_owned();
        (draft.files).put(tree, persist::MODPROBE, persist::NO_IOMMU, option)?;
        // The module reads the option when it is loaded, which the kernel may have done already.
        draft.value(nics::NO_IOMMU_FILE, "Y");
    }
    if !modules::is_loaded(tree, VFIO) {
        draft.modules.push(Change::module(VFIO));
    }
    Ok(())
}

fn bind(draft: &mut Draft<'_>, nic: &Nic, to: &Binding) {
    let change = Change::driver(nic, to);
    let is_planned = draft
        .drivers
        .iter()
        .any(|known| known.is_about_what(&change));
    if change.before != change.after && !is_planned {
        draft.drivers.push(change);
    }
}

/// Gives a NIC back to the driver it had, if that is known.
fn unbind(draft: &mut Draft<'_>, nic: &Nic) -> io::Result<()> {
    let tree = draft.tree;
    let key = persist::rule_key(&nic.device);
    if !draft.files.drop(tree, persist::UDEV, &key)? {
        draft.files.drop(tree, persist::MODULES, VFIO)?;
        (draft.files).drop(tree, persist::MODPROBE, persist::NO_IOMMU)?;
    }
    if nic.driver.as_deref().is_some_and(|driver| driver != VFIO) && nic.only.is_none() {
        draft
            .notes
            .push(format!("{} is Linux's already", nic.name()));
        return Ok(());
    }
    let mut changes = draft.journal.changes().iter();
    let taken = changes.find(|change| change.kind == Kind::Driver && change.subject == nic.device);
    let before = taken.and_then(|change| change.before.as_deref());
    let to = before.map_or_else(
        || Binding {
            driver: Some(Binding::CHOICE.to_owned()),
            only: None,
        },
        Binding::parse,
    );
    bind(draft, nic, &to);
    Ok(())
}
