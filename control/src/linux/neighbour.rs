//! Keeps the MACs of next hops known, without sending a packet of its own.
//!
//! Since 5.16 Linux resolves and keeps a neighbour by itself when asked to manage the entry
//! (`NTF_EXT_MANAGED`). Older kernels ignore that flag; there every refresh says that the entry
//! is in use (`NTF_USE`), which makes Linux resolve it or confirm what it knows. Entries an
//! operator made permanent are never touched.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use dataplane::id::InterfaceId;
use netlink_packet_core::NLM_F_CREATE;
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourExtFlags, NeighbourFlags, NeighbourMessage,
    NeighbourState,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::netlink::RouteSocket;
use super::twin::TwinLink;

/// How often [`NeighbourKeeper::refresh`] wants to be called. Linux calls a confirmed entry
/// reachable for 15 to 45 seconds (`base_reachable_time` and its spread).
pub const REFRESH_INTERVAL: Duration = Duration::from_secs(5);

/// Whether the kernel manages entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Upkeep {
    /// Not yet seen.
    Unknown,
    /// Linux keeps entries resolved by itself.
    Managed,
    /// Entries must be said to be in use again and again.
    Periodic,
}

/// What Linux has for a wanted neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    /// Made by an operator, or needing no resolution.
    Fixed,
    /// Managed by Linux for us.
    Managed,
    /// In the cache like any other.
    Ordinary,
}

/// Asks Linux to keep neighbours resolved, and to stop doing so.
#[derive(Debug)]
pub struct NeighbourKeeper {
    socket: RouteSocket,
    ifindices: HashMap<InterfaceId, u32>,
    wanted: HashMap<(InterfaceId, IpAddr), u32>,
    upkeep: Upkeep,
}

impl NeighbourKeeper {
    /// A keeper for neighbours on these twins in the calling thread's network namespace.
    ///
    /// # Errors
    ///
    /// When no socket can be had.
    pub fn open(twins: &[TwinLink]) -> io::Result<Self> {
        Ok(Self {
            socket: RouteSocket::open()?,
            ifindices: twins
                .iter()
                .map(|twin| (twin.interface, twin.ifindex))
                .collect(),
            wanted: HashMap::new(),
            upkeep: Upkeep::Unknown,
        })
    }

    /// Does without managed entries, as on a kernel before 5.16.
    #[must_use]
    pub fn without_managed_entries(mut self) -> Self {
        self.upkeep = Upkeep::Periodic;
        self
    }

    /// Keeps `addr` resolved from now on. Wanting it twice is wanting it once.
    ///
    /// # Errors
    ///
    /// `NotFound` when the interface has no twin, else what the kernel answers; the neighbour
    /// stays wanted, and the next refresh tries again.
    pub fn want(&mut self, interface: InterfaceId, addr: IpAddr) -> io::Result<()> {
        let Some(&ifindex) = self.ifindices.get(&interface) else {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("interface {interface} has no twin"),
            ));
        };
        if self.wanted.insert((interface, addr), ifindex).is_some() {
            return Ok(());
        }
        let entry = self.entry(ifindex, addr)?;
        self.keep(ifindex, addr, entry)
    }

    /// No longer keeps `addr` resolved, and removes the managed entry.
    ///
    /// # Errors
    ///
    /// What the kernel answers.
    pub fn unwant(&mut self, interface: InterfaceId, addr: IpAddr) -> io::Result<()> {
        let Some(ifindex) = self.wanted.remove(&(interface, addr)) else {
            return Ok(());
        };
        if self.entry(ifindex, addr)? != Some(Entry::Managed) {
            return Ok(());
        }
        let message = RouteNetlinkMessage::DelNeighbour(message(ifindex, addr));
        match self.socket.change(message, 0) {
            // Gone between the look and the removal.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
            outcome => outcome,
        }
    }

    /// Puts back what was lost (setting an interface down loses all its neighbours), and keeps
    /// alive what Linux does not by itself. To be called every [`REFRESH_INTERVAL`] and when a
    /// twin comes up.
    ///
    /// # Errors
    ///
    /// The first failure, after all neighbours were tried.
    pub fn refresh(&mut self) -> io::Result<()> {
        if self.wanted.is_empty() {
            return Ok(());
        }
        let question = RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default());
        let known: HashMap<(u32, IpAddr), Entry> = self
            .socket
            .dump(question)?
            .iter()
            .filter_map(read)
            .collect();
        let wanted: Vec<(u32, IpAddr)> = self
            .wanted
            .iter()
            .map(|(&(_, addr), &ifindex)| (ifindex, addr))
            .collect();
        let mut outcome = Ok(());
        for (ifindex, addr) in wanted {
            let entry = known.get(&(ifindex, addr)).copied();
            outcome = outcome.and(self.keep(ifindex, addr, entry));
        }
        outcome
    }

    /// Does what an entry needs to become or stay resolved.
    fn keep(&mut self, ifindex: u32, addr: IpAddr, entry: Option<Entry>) -> io::Result<()> {
        match (entry, self.upkeep) {
            (Some(Entry::Fixed | Entry::Managed), _) => Ok(()),
            (_, Upkeep::Managed) => self.manage(ifindex, addr),
            (_, Upkeep::Periodic) => self.use_now(ifindex, addr),
            (_, Upkeep::Unknown) => {
                self.manage(ifindex, addr)?;
                // Kernels that do not know the flag ignore it without an error.
                if self.entry(ifindex, addr)? == Some(Entry::Managed) {
                    self.upkeep = Upkeep::Managed;
                    return Ok(());
                }
                tracing::info!("this kernel manages no neighbours: refreshing them periodically");
                self.upkeep = Upkeep::Periodic;
                self.use_now(ifindex, addr)
            }
        }
    }

    fn manage(&mut self, ifindex: u32, addr: IpAddr) -> io::Result<()> {
        let mut message = message(ifindex, addr);
        message
            .attributes
            .push(NeighbourAttribute::ExtFlags(NeighbourExtFlags::Managed));
        self.socket
            .change(RouteNetlinkMessage::NewNeighbour(message), NLM_F_CREATE)
    }

    fn use_now(&mut self, ifindex: u32, addr: IpAddr) -> io::Result<()> {
        let mut message = message(ifindex, addr);
        message.header.flags = NeighbourFlags::Use;
        self.socket
            .change(RouteNetlinkMessage::NewNeighbour(message), NLM_F_CREATE)
    }

    fn entry(&mut self, ifindex: u32, addr: IpAddr) -> io::Result<Option<Entry>> {
        let question = RouteNetlinkMessage::GetNeighbour(message(ifindex, addr));
        match self.socket.get(question) {
            Ok(answer) => Ok(answer.as_ref().and_then(read).map(|(_, entry)| entry)),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Names a neighbour to the kernel.
fn message(ifindex: u32, addr: IpAddr) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.ifindex = ifindex;
    let (family, destination) = match addr {
        IpAddr::V4(addr) => (AddressFamily::Inet, NeighbourAddress::Inet(addr)),
        IpAddr::V6(addr) => (AddressFamily::Inet6, NeighbourAddress::Inet6(addr)),
    };
    message.header.family = family;
    message
        .attributes
        .push(NeighbourAttribute::Destination(destination));
    message
}

/// Reads what the kernel has for a neighbour.
fn read(answer: &RouteNetlinkMessage) -> Option<((u32, IpAddr), Entry)> {
    let RouteNetlinkMessage::NewNeighbour(message) = answer else {
        return None;
    };
    let mut addr = None;
    let mut managed = false;
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => {
                addr = Some(IpAddr::V4(*v4));
            }
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => {
                addr = Some(IpAddr::V6(*v6));
            }
            NeighbourAttribute::ExtFlags(flags) => {
                managed = flags.contains(NeighbourExtFlags::Managed);
            }
            _ => {}
        }
    }
    let entry = match message.header.state {
        NeighbourState::Permanent | NeighbourState::Noarp => Entry::Fixed,
        _ if managed => Entry::Managed,
        _ => Entry::Ordinary,
    };
    Some(((message.header.ifindex, addr?), entry))
}
