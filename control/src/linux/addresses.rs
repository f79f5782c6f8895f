//! Puts VIPs and LIPs on the twins, and takes away what it put there.
//!
//! Whatever address is there already is used as it is and never removed. What this module adds
//! is in the [journal](crate::linux::journal) first, so that a start after a sudden death knows it.
//!
//! A LIP must answer ARP but never be a source of Linux's own connections. Linux passes over an
//! IPv4 address of scope `host` whenever it chooses a source for another host (a deprecated one,
//! `preferred_lft 0`, it does choose), and over a deprecated IPv6 address while it has another.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use dataplane::id::InterfaceId;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::announce::gratuitous_arp;
use super::default_route;
use super::host_address::{self, HostAddress};
use super::journal::{AddressRole, Journal, JournalEntry, JournalError};
use super::link;
use super::mirror::InterfaceAddress;
use super::netlink::RouteSocket;
use super::placement::{PlacementError, Surroundings, choose_twin, host_prefix_len};
use super::pump::FrameSender;
use super::twin::TwinLink;

/// A second gratuitous ARP follows the first after this, should the first be lost.
const ANNOUNCEMENT_GAP: Duration = Duration::from_secs(1);

/// An address the gateway should have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WantedAddress {
    /// The address.
    pub addr: IpAddr,
    /// What it is for; wanted for both it is a VIP.
    pub role: AddressRole,
    /// The interface the configuration names for it.
    pub interface: Option<InterfaceId>,
}

/// Where an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlacedAddress {
    /// The address.
    pub addr: IpAddr,
    /// Who put it there.
    pub by: PlacedBy,
}

/// Who an address belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlacedBy {
    /// The gateway, on this interface's twin; it will be removed.
    Gateway(InterfaceId),
    /// Somebody else, on any of Linux's interfaces; it will stay.
    Operator,
    /// Nobody: there is no twin for it, yet.
    Nobody(PlacementError),
}

/// Why addresses could not be placed or removed.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// The journal failed. No address was added.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The kernel refused. What was done until then is in the journal.
    #[error("could not {action} {addr} on {twin}: {source}")]
    Kernel {
        /// What was tried.
        action: &'static str,
        /// The address.
        addr: IpAddr,
        /// The twin's name.
        twin: String,
        /// Its answer.
        source: io::Error,
    },
    /// The kernel would not say what is there.
    #[error("could not read Linux's addresses: {0}")]
    Read(#[source] io::Error),
}

/// Keeps the twins' addresses as wanted.
#[derive(Debug)]
pub struct AddressKeeper {
    socket: RouteSocket,
    twins: Vec<TwinLink>,
    /// Linux's numbers for the twins, and for those of earlier starts that still are there.
    ifindices: HashMap<String, u32>,
    journal: Journal,
    sender: FrameSender,
    announced: HashSet<JournalEntry>,
}

/// Whether adding found something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Added {
    Now,
    WasThere,
}

impl AddressKeeper {
    /// A keeper that continues `journal`. Nothing is changed before the first
    /// [`apply`](Self::apply), which also settles what an earlier start left behind.
    ///
    /// # Errors
    ///
    /// When no socket can be had, or the kernel does not answer.
    pub fn open(
        journal: Journal,
        twins: &[TwinLink],
        sender: FrameSender,
    ) -> Result<Self, AddressError> {
        let mut socket = RouteSocket::open().map_err(AddressError::Read)?;
        let mut ifindices: HashMap<String, u32> = twins
            .iter()
            .map(|twin| (twin.name.clone(), twin.ifindex))
            .collect();
        for entry in journal.entries() {
            // It may name a twin of an earlier configuration.
            if !ifindices.contains_key(&entry.twin) {
                let found = link::by_name(&mut socket, &entry.twin).map_err(AddressError::Read)?;
                ifindices.extend(found.map(|link| (link.name, link.ifindex)));
            }
        }
        Ok(Self {
            socket,
            twins: twins.to_vec(),
            ifindices,
            journal,
            sender,
            announced: HashSet::new(),
        })
    }

    /// Makes the gateway's addresses exactly those `wanted`: adds what is missing, adopts what
    /// an earlier start added, and removes what it or an earlier start added and is no longer
    /// wanted. Answers where each is; one for which there is no twin keeps the others from
    /// nothing.
    ///
    /// # Errors
    ///
    /// [`AddressError`] lists the cases; all that Linux allows is done all the same.
    pub fn apply(&mut self, wanted: &[WantedAddress]) -> Result<Vec<PlacedAddress>, AddressError> {
        let existing = host_address::all(&mut self.socket).map_err(AddressError::Read)?;
        let (mut placed, mut entries) = self.decide(wanted, &existing)?;
        let union = self.journal.entries().union(&entries).cloned().collect();
        self.journal.record(union)?;
        // One that Linux refuses keeps the others from nothing.
        let mut refused = None;
        for entry in entries.clone() {
            if self.is_there(&entry, &existing) {
                continue;
            }
            match self.add(&entry) {
                Ok(Added::Now) => {}
                Ok(Added::WasThere) => {
                    // Somebody was faster by a moment: it is theirs.
                    entries.remove(&entry);
                    let lost = placed.iter_mut().filter(|placed| placed.addr == entry.addr);
                    lost.for_each(|placed| placed.by = PlacedBy::Operator);
                    self.journal.record(self.journal.without(&entry))?;
                }
                Err(error) => {
                    entries.remove(&entry);
                    self.journal.record(self.journal.without(&entry))?;
                    refused = refused.or(Some(error));
                }
            }
        }
        let obsolete: Vec<JournalEntry> = self
            .journal
            .entries()
            .difference(&entries)
            .cloned()
            .collect();
        for entry in &obsolete {
            // With the role changed the same address was just found in place: it is made anew.
            self.remove(entry)?;
            if let Some(kept) = entries.iter().find(|kept| kept.same_place(entry)) {
                self.add(kept)?;
            }
        }
        self.announce(&entries);
        self.journal.record(entries)?;
        refused.map_or(Ok(placed), Err)
    }

    /// The interface whose twin has each address, or would have it: the first one when nothing
    /// says where it belongs, none without twins.
    ///
    /// # Errors
    ///
    /// [`AddressError::Read`].
    pub fn homes(
        &mut self,
        wanted: &[(IpAddr, Option<InterfaceId>)],
    ) -> Result<Vec<(IpAddr, InterfaceId)>, AddressError> {
        let existing = host_address::all(&mut self.socket).map_err(AddressError::Read)?;
        let v4 = self.surroundings(&existing, AddressFamily::Inet)?;
        let v6 = self.surroundings(&existing, AddressFamily::Inet6)?;
        let homes = wanted.iter().filter_map(|&(addr, named)| {
            let surroundings = if addr.is_ipv4() { &v4 } else { &v6 };
            let mut there = surroundings.addresses.iter();
            let there = there.find(|own| own.addr == addr).map(|own| own.interface);
            let home = there
                .or_else(|| choose_twin(addr, named, surroundings).ok())
                .or_else(|| surroundings.twins.first().copied());
            Some((addr, home?))
        });
        Ok(homes.collect())
    }

    /// Removes every address the gateway added.
    ///
    /// # Errors
    ///
    /// [`AddressError`] lists the cases.
    pub fn remove_all(&mut self) -> Result<(), AddressError> {
        self.apply(&[]).map(drop)
    }

    /// Says where each address is or will be, and which of them are the gateway's.
    fn decide(
        &mut self,
        wanted: &[WantedAddress],
        existing: &[HostAddress],
    ) -> Result<(Vec<PlacedAddress>, BTreeSet<JournalEntry>), AddressError> {
        let v4 = self.surroundings(existing, AddressFamily::Inet)?;
        let v6 = self.surroundings(existing, AddressFamily::Inet6)?;
        let mut placed = Vec::new();
        let mut entries = BTreeSet::new();
        for wanted in merge_roles(wanted) {
            if self.is_anothers(wanted.addr, existing) {
                placed.push(PlacedAddress {
                    addr: wanted.addr,
                    by: PlacedBy::Operator,
                });
                continue;
            }
            let surroundings = if wanted.addr.is_ipv4() { &v4 } else { &v6 };
            let interface = match choose_twin(wanted.addr, wanted.interface, surroundings) {
                Ok(interface) => interface,
                Err(error) => {
                    let by = PlacedBy::Nobody(error);
                    placed.push(PlacedAddress {
                        addr: wanted.addr,
                        by,
                    });
                    continue;
                }
            };
            let twin = self.twins.iter().find(|twin| twin.interface == interface);
            entries.extend(twin.map(|twin| JournalEntry {
                twin: twin.name.clone(),
                addr: wanted.addr,
                role: wanted.role,
            }));
            placed.push(PlacedAddress {
                addr: wanted.addr,
                by: PlacedBy::Gateway(interface),
            });
        }
        Ok((placed, entries))
    }

    /// Whether the address is there without being the gateway's own doing.
    fn is_anothers(&self, addr: IpAddr, existing: &[HostAddress]) -> bool {
        existing
            .iter()
            .filter(|found| found.addr == addr)
            .any(|found| {
                let by_us = self.journal.entries().iter().any(|entry| {
                    entry.addr == addr
                        && found.prefix_len == host_prefix_len(addr)
                        && self.ifindex(&entry.twin) == Some(found.ifindex)
                });
                !by_us
            })
    }

    fn is_there(&self, entry: &JournalEntry, existing: &[HostAddress]) -> bool {
        let ifindex = self.ifindex(&entry.twin);
        existing.iter().any(|found| {
            found.addr == entry.addr
                && found.prefix_len == host_prefix_len(entry.addr)
                && ifindex == Some(found.ifindex)
        })
    }

    fn ifindex(&self, twin: &str) -> Option<u32> {
        self.ifindices.get(twin).copied()
    }

    fn add(&mut self, entry: &JournalEntry) -> Result<Added, AddressError> {
        let Some(ifindex) = self.ifindex(&entry.twin) else {
            return Ok(Added::Now);
        };
        let message =
            RouteNetlinkMessage::NewAddress(host_address::message(ifindex, entry.addr, entry.role));
        match self.socket.change(message, NLM_F_CREATE | NLM_F_EXCL) {
            Ok(()) => Ok(Added::Now),
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(Added::WasThere),
            Err(error) => Err(entry.failed("add", error)),
        }
    }

    fn remove(&mut self, entry: &JournalEntry) -> Result<(), AddressError> {
        let Some(ifindex) = self.ifindex(&entry.twin) else {
            return Ok(());
        };
        let message =
            RouteNetlinkMessage::DelAddress(host_address::message(ifindex, entry.addr, entry.role));
        match self.socket.change(message, 0) {
            Ok(()) => Ok(()),
            Err(error) => match error.raw_os_error() {
                // The address or its interface is gone already.
                Some(libc::EADDRNOTAVAIL | libc::ENODEV) => Ok(()),
                _ => Err(entry.failed("remove", error)),
            },
        }
    }

    /// Sends gratuitous ARP, twice, for addresses that are new here or newly this process's.
    fn announce(&mut self, entries: &BTreeSet<JournalEntry>) {
        self.announced.retain(|entry| entries.contains(entry));
        for entry in entries {
            let IpAddr::V4(addr) = entry.addr else {
                continue;
            };
            let Some(twin) = self.twins.iter().find(|twin| twin.name == entry.twin) else {
                continue;
            };
            if self.announced.contains(entry) {
                continue;
            }
            let frame = gratuitous_arp(twin.mac, addr);
            if self.sender.send(twin.interface, frame, 1, ANNOUNCEMENT_GAP) {
                self.announced.insert(entry.clone());
            } else {
                tracing::warn!("too many addresses at once: {addr} is not announced");
            }
        }
    }

    fn surroundings(
        &mut self,
        existing: &[HostAddress],
        family: AddressFamily,
    ) -> Result<Surroundings, AddressError> {
        let addresses = existing.iter().filter_map(|found| {
            let twin = self.twins.iter().find(|twin| twin.ifindex == found.ifindex);
            twin.map(|twin| InterfaceAddress {
                interface: twin.interface,
                addr: found.addr,
                prefix_len: found.prefix_len,
            })
        });
        Ok(Surroundings {
            twins: self.twins.iter().map(|twin| twin.interface).collect(),
            addresses: addresses.collect(),
            default_routes: default_route::interfaces(&mut self.socket, family)
                .map_err(AddressError::Read)?
                .into_iter()
                .filter_map(|ifindex| {
                    let twin = self.twins.iter().find(|twin| twin.ifindex == ifindex);
                    twin.map(|twin| twin.interface)
                })
                .collect(),
        })
    }
}

impl JournalEntry {
    fn same_place(&self, other: &Self) -> bool {
        self.addr == other.addr && self.twin == other.twin
    }

    fn failed(&self, action: &'static str, source: io::Error) -> AddressError {
        AddressError::Kernel {
            action,
            addr: self.addr,
            twin: self.twin.clone(),
            source,
        }
    }
}

/// Each address once; as a VIP if it is wanted as one.
fn merge_roles(wanted: &[WantedAddress]) -> Vec<WantedAddress> {
    let mut order = Vec::new();
    let mut merged: HashMap<IpAddr, WantedAddress> = HashMap::new();
    for wanted in wanted {
        match merged.get_mut(&wanted.addr) {
            None => {
                order.push(wanted.addr);
                merged.insert(wanted.addr, *wanted);
            }
            Some(known) => {
                if wanted.role == AddressRole::Vip {
                    known.role = AddressRole::Vip;
                }
                known.interface = known.interface.or(wanted.interface);
            }
        }
    }
    order
        .iter()
        .filter_map(|addr| merged.remove(addr))
        .collect()
}
