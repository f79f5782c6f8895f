//! One change of a host, there and back.
//!
//! A change knows the value before and after as text, and nothing of who changed what since: whoever
//! takes it back compares with what [is there now](Change::now) first.

use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};

use super::forwarding::{self, Forwarding};
use super::nics;
use super::tree::Tree;
use super::{drivers, modules};

/// What is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A value of the kernel's, in /sys or /proc.
    Value,
    /// `ip_forward`, with all that Linux changes along.
    Forwarding,
    /// A file on disk, as a whole.
    File,
    /// A module of the kernel.
    Module,
    /// The driver of a PCI device.
    Driver,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What kind of thing is changed.
    pub kind: Kind,
    /// Which one: a path, a module, a PCI address.
    pub subject: String,
    /// What Linux called a device's interface before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// What there was; nothing where there was none.
    pub before: Option<String>,
    /// What there is then.
    pub after: Option<String>,
}

/// What a module is that was loaded.
const LOADED: &str = "loaded";

/// Who drives a device, and who alone may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Who drives it.
    pub driver: Option<String>,
    /// Who alone may drive it (`driver_override`).
    pub only: Option<String>,
}

impl Binding {
    const NONE: &str = "no driver";
    const ONLY: &str = ", reserved for ";

    /// Whichever driver the kernel has for it.
    pub(super) const CHOICE: &str = "a driver of the kernel's choice";

    /// A device as a program's own.
    pub(super) fn vfio() -> Self {
        let vfio = Some(drivers::VFIO.to_owned());
        Self {
            driver: vfio.clone(),
            only: vfio,
        }
    }

    pub(super) fn parse(text: &str) -> Self {
        let (driver, only) = match text.split_once(Self::ONLY) {
            Some((driver, only)) => (driver, Some(only.to_owned())),
            None => (text, None),
        };
        let driver = Some(driver.to_owned()).filter(|driver| driver != Self::NONE);
        Self { driver, only }
    }
}

impl fmt::Display for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.driver.as_deref().unwrap_or(Self::NONE))?;
        match &self.only {
            Some(only) => write!(f, "{}{only}", Self::ONLY),
            None => Ok(()),
        }
    }
}

impl Change {
    /// A value of the kernel's becomes `after`; nothing where there is no such value.
    pub(super) fn value(tree: &Tree, path: &str, after: &str) -> Option<Self> {
        Some(Self {
            kind: Kind::Value,
            subject: path.to_owned(),
            interface: None,
            before: Some(tree.text(path)?),
            after: Some(after.to_owned()),
        })
    }

    /// Linux begins to forward, or ends; nothing where it is so, or does not tell.
    pub(super) fn forwarding(tree: &Tree, after: &str) -> Option<Self> {
        let now = Forwarding::now(tree).filter(|now| now.value != after)?;
        Some(Self {
            kind: Kind::Forwarding,
            subject: forwarding::FILE.to_owned(),
            interface: None,
            before: Some(now.to_string()),
            after: Some(after.to_owned()),
        })
    }

    /// A file becomes `after`, or none.
    pub(super) fn file(path: &str, before: Option<String>, after: Option<String>) -> Self {
        Self {
            kind: Kind::File,
            subject: path.to_owned(),
            interface: None,
            before,
            after,
        }
    }

    /// A module that is not loaded will be.
    pub(super) fn module(name: &str) -> Self {
        Self {
            kind: Kind::Module,
            subject: name.to_owned(),
            interface: None,
            before: None,
            after: Some(LOADED.to_owned()),
        }
    }

    /// A device changes its driver.
    pub(super) fn driver(nic: &nics::Nic, after: &Binding) -> Self {
        Self {
            kind: Kind::Driver,
            subject: nic.device.clone(),
            interface: nic.interfaces.first().cloned(),
            before: Some(binding(nic).to_string()),
            after: Some(after.to_string()),
        }
    }

    /// What there is now.
    ///
    /// # Errors
    ///
    /// Where a file cannot be read.
    pub fn now(&self, tree: &Tree) -> io::Result<Option<String>> {
        let is_loaded = || modules::is_loaded(tree, &self.subject);
        Ok(match self.kind {
            Kind::Value => tree.text(&self.subject),
            Kind::Forwarding => Forwarding::now(tree).map(|now| now.to_string()),
            Kind::File => tree.read(&self.subject)?,
            Kind::Module => is_loaded().then(|| LOADED.to_owned()),
            Kind::Driver => nics::one(tree, &self.subject).map(|nic| binding(&nic).to_string()),
        })
    }

    /// Makes it.
    pub(super) fn make(&self, tree: &Tree) -> io::Result<()> {
        self.put(tree, self.after.as_deref())
    }

    /// What there is to be when it is taken back, of what is there `now`.
    pub(super) fn taken_back(&self, tree: &Tree, now: Option<&str>) -> Option<String> {
        let [before, after] = [&self.before, &self.after];
        let [before, after] = [before, after].map(|text| self.forwarding_of(text.as_deref()));
        let (Some(now), Some(before), Some(after)) = (self.forwarding_of(now), before, after)
        else {
            return self.before.clone();
        };
        Some(Forwarding::taken_back(tree, &before, &after, &now).to_string())
    }

    /// What somebody else has changed of what Linux changes along, and is left as it is.
    pub(super) fn left_of_others(
        &self,
        tree: &Tree,
        to: Option<&str>,
    ) -> impl Iterator<Item = (String, String)> {
        let both = self
            .forwarding_of(to)
            .zip(self.forwarding_of(self.before.as_deref()));
        let unlike = both.map(|(to, before)| to.unlike(tree, &before));
        unlike.into_iter().flatten()
    }

    fn forwarding_of(&self, text: Option<&str>) -> Option<Forwarding> {
        let text = text.filter(|_| self.kind == Kind::Forwarding);
        text.map(Forwarding::parse)
    }

    /// Makes its subject so; without a value there is no file, module or driver.
    pub(super) fn put(&self, tree: &Tree, value: Option<&str>) -> io::Result<()> {
        match (self.kind, value) {
            (Kind::Value, value) => tree.set(&self.subject, value.unwrap_or_default()),
            (Kind::Forwarding, value) => Forwarding::parse(value.unwrap_or_default()).put(tree),
            (Kind::File, Some(text)) => tree.replace(&self.subject, text),
            (Kind::File, None) => tree.remove(&self.subject),
            (Kind::Module, Some(_)) => modules::load(tree, &self.subject),
            (Kind::Module, None) => modules::unload(tree, &self.subject),
            (Kind::Driver, value) => give(
                tree,
                &self.subject,
                &Binding::parse(value.unwrap_or_default()),
            ),
        }
    }

    /// Whether it was begun and not finished: a device is reserved as it was to be, and has another
    /// driver or none. So is one that its new driver refused after a boot.
    pub(super) fn is_half_made(&self, now: Option<&str>) -> bool {
        let (Kind::Driver, Some(now), Some(after)) = (self.kind, now, &self.after) else {
            return false;
        };
        let (now, after) = (Binding::parse(now), Binding::parse(after));
        let is_undecided = now.driver.is_none() || after.driver.as_deref() == Some(Binding::CHOICE);
        now.only == after.only && (now.only.is_some() || is_undecided)
    }

    /// Whether a part of it is there that can be taken back.
    pub(super) fn is_in_part(&self, now: Option<&str>) -> bool {
        let of = |text| self.forwarding_of(text).map(|one| one.value);
        let forwards = of(now);
        let either = [&self.before, &self.after].map(|text| of(text.as_deref()));
        self.is_half_made(now) || (forwards.is_some() && either.contains(&forwards))
    }

    /// Whether it is about the same thing.
    pub(super) fn is_about_what(&self, other: &Self) -> bool {
        self.kind == other.kind && self.subject == other.subject
    }

    /// What it is about, as it is shown.
    #[must_use]
    pub fn title(&self) -> String {
        match (self.kind, &self.interface) {
            (Kind::Module, _) => format!("module {}", self.subject),
            (Kind::Driver, Some(interface)) => format!("{} ({interface})", self.subject),
            _ => self.subject.clone(),
        }
    }
}

impl fmt::Display for Change {
    /// One line, or for a file one more for each of its lines that comes or goes, but comments.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
        let title = self.title();
        if self.kind != Kind::File {
            return write!(
                f,
                "{title}: {} -> {}",
                words(&self.before),
                words(&self.after)
            );
        }
        let what = match (&self.before, &self.after) {
            (None, _) => "new file",
            (_, None) => "removed",
            _ => "changed",
        };
        write!(f, "{title}: {what}")?;
        let lines = |text: &Option<String>| -> Vec<String> {
            let text = text.iter().flat_map(|text| text.lines());
            let text = text.filter(|line| !line.starts_with('#'));
            text.map(ToOwned::to_owned).collect()
        };
        let (before, after) = (lines(&self.before), lines(&self.after));
        for line in before.iter().filter(|line| !after.contains(line)) {
            write!(f, "\n    - {line}")?;
        }
        for line in after.iter().filter(|line| !before.contains(line)) {
            write!(f, "\n    + {line}")?;
        }
        Ok(())
    }
}

fn binding(nic: &nics::Nic) -> Binding {
    Binding {
        driver: nic.driver.clone(),
        only: nic.only.clone(),
    }
}

/// Gives a device to a driver, or takes it from the one it has; on failure it has the one before.
fn give(tree: &Tree, device: &str, to: &Binding) -> io::Result<()> {
    // The kernel would wait for that program without an end.
    if let Some(holder) = nics::holder(tree, device) {
        return Err(io::Error::other(format!(
            "{holder} is using it, stop it first"
        )));
    }
    let now = || nics::one(tree, device).map(|nic| binding(&nic));
    let before = now();
    let given = hand_over(tree, device, to);
    let (Err(error), Some(before)) = (&given, before) else {
        return given;
    };
    // What became of it is seen, and said.
    let _seen = hand_over(tree, device, &before);
    let now = now().map_or_else(|| "gone".to_owned(), |now| now.to_string());
    Err(io::Error::other(format!("{error}; now it is: {now}")))
}

fn hand_over(tree: &Tree, device: &str, to: &Binding) -> io::Result<()> {
    let place = nics::place(device);
    let only = to.only.as_deref().unwrap_or_default();
    tree.poke(&format!("{place}/driver_override"), only)?;
    let current = tree.link(&format!("{place}/driver"));
    if current == to.driver {
        return Ok(());
    }
    if current.is_some() {
        tree.poke(&format!("{place}/driver/unbind"), device)?;
    }
    let Some(wanted) = &to.driver else {
        return Ok(());
    };
    tree.poke("/sys/bus/pci/drivers_probe", device)?;
    match tree.link(&format!("{place}/driver")) {
        Some(driver) if driver == *wanted => Ok(()),
        _ if wanted == Binding::CHOICE => Ok(()),
        Some(driver) => Err(io::Error::other(format!("{driver} has taken it"))),
        None => Err(io::Error::other(format!(
            "{wanted} did not take it, see `dmesg`"
        ))),
    }
}
