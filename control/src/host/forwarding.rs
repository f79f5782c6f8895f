//! Whether Linux forwards, with all that it changes along.
//!
//! When `ip_forward` changes, Linux gives `forwarding` of every interface the same value, and
//! `accept_redirects` of all the opposite one. As text they are one value, which names those that
//! are not as Linux makes them: `0 (conf/all/accept_redirects 0, conf/eth1/forwarding 1)`.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, ErrorKind};

use super::tree::Tree;

/// What Linux changes the others with.
pub(super) const FILE: &str = "/proc/sys/net/ipv4/ip_forward";

const PLACE: &str = "/proc/sys/net/ipv4";
const REDIRECTS: &str = "conf/all/accept_redirects";

/// `ip_forward`, and what is not as Linux makes it with that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Forwarding {
    pub(super) value: String,
    exceptions: BTreeMap<String, String>,
}

impl Forwarding {
    /// How it is now; nothing where Linux does not tell.
    pub(super) fn now(tree: &Tree) -> Option<Self> {
        let value = tree.text(FILE)?;
        let there = others(tree).into_iter();
        let there = there.filter_map(|name| Some((tree.text(&path(&name))?, name)));
        let exceptions = there.filter(|(there, name)| there != usual(name, &value));
        let exceptions = exceptions.map(|(there, name)| (name, there)).collect();
        Some(Self { value, exceptions })
    }

    pub(super) fn parse(text: &str) -> Self {
        let (value, rest) = text.split_once(" (").unwrap_or((text, ""));
        let rest = rest.strip_suffix(')').unwrap_or_default().split(", ");
        let exceptions = rest.filter_map(|one| one.split_once(' '));
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Self {
            value: value.to_owned(),
            exceptions: exceptions.map(owned).collect(),
        }
    }

    /// What there is to be when a change is taken back: all as before, but what somebody else has
    /// changed since.
    pub(super) fn taken_back(tree: &Tree, before: &Self, after: &Self, now: &Self) -> Self {
        // Where it was taken back already, what is as Linux made it with that is nobody's wish.
        let made = if now.value == after.value {
            after
        } else {
            &Self::parse(&before.value)
        };
        let value = before.value.clone();
        let wanted = others(tree).into_iter().map(|name| {
            let is_ours = now.of(&name) == made.of(&name);
            let wanted = if is_ours { before } else { now }.of(&name).to_owned();
            (name, wanted)
        });
        let exceptions = wanted.filter(|(name, wanted)| wanted != usual(name, &value));
        let exceptions = exceptions.collect();
        Self { value, exceptions }
    }

    /// Makes it so.
    pub(super) fn put(&self, tree: &Tree) -> io::Result<()> {
        tree.poke(FILE, &self.value)?;
        for (name, value) in &self.exceptions {
            match tree.set(&path(name), value) {
                // The interface has gone.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                set => set?,
            }
        }
        Ok(())
    }

    /// What differs from what was before, and is there: the path, and how it is.
    pub(super) fn unlike(&self, tree: &Tree, before: &Self) -> Vec<(String, String)> {
        let others = others(tree).into_iter();
        let unlike = others.filter(|name| self.of(name) != before.of(name));
        let shown = unlike.map(|name| (path(&name), self.of(&name).to_owned()));
        shown.collect()
    }

    fn of(&self, name: &str) -> &str {
        let exception = self.exceptions.get(name);
        exception.map_or_else(|| usual(name, &self.value), String::as_str)
    }
}

impl fmt::Display for Forwarding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.value)?;
        for (at, (name, value)) in self.exceptions.iter().enumerate() {
            write!(f, "{}{name} {value}", if at == 0 { " (" } else { ", " })?;
        }
        f.write_str(if self.exceptions.is_empty() { "" } else { ")" })
    }
}

/// What Linux does to the others, in a tree that is not its own.
pub(super) fn imitate(tree: &Tree, value: &str) -> io::Result<()> {
    if tree.text(FILE).as_deref() == Some(value) {
        return Ok(());
    }
    tree.set(FILE, value)?;
    for name in others(tree) {
        tree.set(&path(&name), usual(&name, value))?;
    }
    Ok(())
}

/// What Linux makes of it when `ip_forward` becomes `value`.
fn usual<'a>(name: &str, value: &'a str) -> &'a str {
    match (name, value) {
        (REDIRECTS, "0") => "1",
        (REDIRECTS, _) => "0",
        _ => value,
    }
}

/// All that changes along; `forwarding` of all is `ip_forward` itself.
fn others(tree: &Tree) -> Vec<String> {
    let names = tree.names(&path("conf")).into_iter();
    let names = names.filter(|name| name != "all");
    let names = names.map(|name| format!("conf/{name}/forwarding"));
    let names = names.chain([REDIRECTS.to_owned()]);
    names.filter(|name| tree.exists(&path(name))).collect()
}

fn path(name: &str) -> String {
    format!("{PLACE}/{name}")
}
