//! `virtual_server`, as its block says it, and as keepalived corrects it.

use std::collections::HashSet;
use std::net::Ipv4Addr;

use dataplane::address::Protocol;
use dataplane::service::{Persistence, SchedulerKind};

use super::super::fit::IPV6;
use super::super::place::Note;
use super::group::{Element, mark};
use super::health;
use super::inherited::Inherited;
use super::server::RealServer;
use super::tree::Statement;
use super::value::{self, Forwarding, LONGEST_SECONDS};
use super::watch::Quorum;
use crate::ipvs::{SchedulerFlags, scheduler};

/// keepalived's persistence where it is asked for without a time.
const PERSISTENCE_SECONDS: u32 = 360;

/// keepalived's scheduler where none is said.
const DEFAULT_SCHEDULER: &str = "wlc";

/// DPVS's scheduler that no kernel has, and the one that hashes clients as it does.
const CONHASH: (&str, &str) = ("conhash", "mh");

/// A virtual server as its block says it.
#[derive(Debug)]
pub(super) struct VirtualServer<'a> {
    pub(super) statement: &'a Statement,
    pub(super) target: Target<'a>,
    /// A scheduler's name.
    scheduler: Option<&'a str>,
    flags: SchedulerFlags,
    pub(super) forwarding: Option<Forwarding>,
    persistence_seconds: Option<u32>,
    netmask: Option<u32>,
    pub(super) protocol: Option<Protocol>,
    pub(super) one_packet: bool,
    pub(super) weight: Option<u32>,
    /// `snmp_name`.
    pub(super) name: Option<&'a str>,
    /// `laddr_group_name`, by which DPVS names the local addresses of FULLNAT.
    pub(super) local_group: Option<&'a str>,
    pub(super) servers: Vec<RealServer<'a>>,
    /// What its servers inherit.
    pub(super) inherited: Inherited<'a>,
    pub(super) quorum: Quorum<'a>,
    /// What is kept as a comment.
    pub(super) kept: Vec<&'a Statement>,
    /// What an operator should know of it.
    pub(super) notes: Vec<Note>,
}

/// What a virtual server is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target<'a> {
    One(Element),
    /// A group, by its name.
    Group(&'a str),
}

impl<'a> VirtualServer<'a> {
    /// Reads a block.
    ///
    /// # Errors
    ///
    /// When it is for nothing that this version knows.
    pub(super) fn read(statement: &'a Statement) -> Result<Self, Note> {
        let target = target(statement).map_err(|why| {
            let message = format!("{} is left out: {why}", statement.heading());
            Note::new(&statement.place, message)
        })?;
        let mut service = Self {
            statement,
            target,
            scheduler: None,
            flags: SchedulerFlags::default(),
            forwarding: None,
            persistence_seconds: None,
            netmask: None,
            protocol: None,
            one_packet: false,
            weight: None,
            name: None,
            local_group: None,
            servers: Vec::new(),
            inherited: Inherited::default(),
            quorum: Quorum::default(),
            kept: Vec::new(),
            notes: Vec::new(),
        };
        for line in statement.statements() {
            service.read_line(line);
        }
        Ok(service)
    }

    fn read_line(&mut self, line: &'a Statement) {
        let notes = &mut self.notes;
        if self.inherited.read(line, notes) || self.quorum.read(line, notes) {
            return;
        }
        match line.keyword() {
            "lvs_sched" | "lb_algo" => self.scheduler = line.argument(),
            "flag-1" | "sh-fallback" | "mh-fallback" => self.flag(SchedulerFlags::FIRST),
            "flag-2" | "sh-port" | "mh-port" => self.flag(SchedulerFlags::SECOND),
            "flag-3" => self.flag(SchedulerFlags::THIRD),
            "ops" => self.one_packet = true,
            "lvs_method" | "lb_kind" => self.forwarding = value::forwarding(line, notes),
            "persistence_timeout" => {
                self.persistence_seconds = match line.argument() {
                    None => Some(PERSISTENCE_SECONDS),
                    Some(_) => value::number(line, 1..=LONGEST_SECONDS, notes),
                }
            }
            "persistence_granularity" => self.netmask = netmask(line, notes),
            "persistence_engine" => {
                let engine = line.argument().unwrap_or_default();
                let message = format!(
                    "persistence engine {engine} is left out: clients meet their servers again by \
                     their addresses alone"
                );
                notes.push(Note::new(&line.place, message));
            }
            "protocol" => self.protocol = value::protocol(line, notes),
            "ip_family" => {}
            "weight" => self.weight = value::number(line, 1..=65_535, notes),
            "snmp_name" => self.name = line.argument(),
            "laddr_group_name" => self.local_group = line.argument(),
            "real_server" => self.servers.extend(RealServer::read(line, notes)),
            keyword => {
                if !health::is_of_service(keyword) {
                    notes.push(health::unknown(line, "virtual_server"));
                }
                self.kept.push(line);
            }
        }
    }

    fn flag(&mut self, flag: SchedulerFlags) {
        self.flags = self.flags.with(flag);
    }

    /// Says something about the block.
    pub(super) fn say(&mut self, message: String) {
        let message = format!("{}: {message}", self.statement.heading());
        self.notes.push(Note::new(&self.statement.place, message));
    }

    /// Corrects what keepalived corrects before it asks IPVS for anything, in its order.
    pub(super) fn correct(&mut self, elements: &[Element]) {
        let is_address = |it: &&Element| matches!(it, Element::Addresses(..));
        let addresses = elements.iter().filter(is_address).count();
        let marks = elements.len() - addresses;
        if marks > 0 {
            // It asks for the VIP, and a mark has none.
            self.kept.retain(|line| line.keyword() != "ha_suspend");
        }
        if addresses > 0 {
            if self.protocol.is_none() {
                self.protocol = Some(Protocol::Udp);
                self.say("no protocol is said, which means UDP to keepalived".to_owned());
            }
            if self.one_packet && self.protocol != Some(Protocol::Udp) {
                self.one_packet = false;
                self.say("ops is for UDP alone: left out".to_owned());
            }
            let is_every_port = |it: &Element| matches!(it, Element::Addresses(_, _, 0));
            if self.persistence_seconds.is_none() && elements.iter().any(is_every_port) {
                self.persistence_seconds = Some(PERSISTENCE_SECONDS);
                self.say(format!(
                    "no port is said, so keepalived makes it persistent: {PERSISTENCE_SECONDS} s"
                ));
            }
        } else if self.protocol.take().is_some() {
            self.say("a mark is of every protocol: `protocol` is left out".to_owned());
        }
        self.drop_duplicates();
    }

    fn drop_duplicates(&mut self) {
        let mut seen = HashSet::new();
        let (kept, dropped): (Vec<_>, Vec<_>) = std::mem::take(&mut self.servers)
            .into_iter()
            .partition(|server| seen.insert((server.addr, server.port)));
        self.servers = kept;
        for server in dropped {
            let statement = server.statement;
            let message = format!(
                "`{}` is there already: keepalived leaves the second out",
                statement.heading()
            );
            self.notes.push(Note::new(&statement.place, message));
        }
    }

    /// The scheduler with its flags.
    pub(super) fn scheduler(&mut self) -> SchedulerKind {
        let mut name = self.scheduler.unwrap_or(DEFAULT_SCHEDULER).to_owned();
        if name == CONHASH.0 {
            name = CONHASH.1.to_owned();
            self.say(format!(
                "only DPVS has {}: {name} is written, which hashes clients too, to other servers",
                CONHASH.0
            ));
        }
        let Some(kind) = scheduler(&name, self.flags) else {
            self.say(format!(
                "\"{name}\" is not a scheduler: {DEFAULT_SCHEDULER} is written"
            ));
            return SchedulerKind::Wlc;
        };
        let has_flags = matches!(kind, SchedulerKind::Sh { .. } | SchedulerKind::Mh { .. });
        let idle = if !has_flags {
            self.flags.names(&name)
        } else if self.flags.contains(SchedulerFlags::THIRD) {
            "flag-3".to_owned()
        } else {
            String::new()
        };
        if !idle.is_empty() {
            self.say(format!("{idle} means nothing to {name}: left out"));
        }
        kind
    }

    /// Whether clients meet their servers again.
    pub(super) fn persistence(&self) -> Option<Persistence> {
        self.persistence_seconds.map(|timeout_seconds| Persistence {
            timeout_seconds,
            netmask: self.netmask.unwrap_or(Persistence::NETMASK),
        })
    }
}

/// What the block is for.
fn target(statement: &Statement) -> Result<Target<'_>, String> {
    let words = statement.arguments();
    match words {
        [keyword, rest @ ..] if keyword == "fwmark" => {
            let inet6 = |line: &Statement| {
                line.keyword() == "ip_family" && line.argument() == Some("inet6")
            };
            if statement.statements().iter().any(inet6) {
                return Err(IPV6.to_owned());
            }
            mark(rest).map(Target::One)
        }
        [keyword, rest @ ..] if keyword == "group" => match rest.first() {
            Some(name) => Ok(Target::Group(name)),
            None => Err("the name of the group is missing".to_owned()),
        },
        _ => match value::address_and_port(words)? {
            (std::net::IpAddr::V4(addr), port) => {
                let number = addr.to_bits();
                Ok(Target::One(Element::Addresses(number, number, port)))
            }
            (std::net::IpAddr::V6(_), _) => Err(IPV6.to_owned()),
        },
    }
}

/// A mask in dots.
fn netmask(line: &Statement, notes: &mut Vec<Note>) -> Option<u32> {
    let text = line.argument().unwrap_or_default();
    let mask = text.parse::<Ipv4Addr>().ok().map(Ipv4Addr::to_bits);
    if mask.is_none() {
        let message = format!(
            "`persistence_granularity` takes a mask like 255.255.255.0, not \"{text}\": left out"
        );
        notes.push(Note::new(&line.place, message));
    }
    mask
}
