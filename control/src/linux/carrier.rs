//! Gives every twin the carrier of its ethdev.
//!
//! A TAP has carrier as long as somebody holds it, whatever becomes of the wire behind the ethdev.
//! VRRP and BGP react to a lost carrier at once; without one they would go on speaking into a cut
//! cable, and a router that stays master on its other leg keeps the backup from taking over.

use std::io;

use dataplane::id::EthdevId;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkMessage};

use super::netlink::RouteSocket;

/// The links of the ethdevs.
pub trait Links: Send {
    /// Whether each ethdev's link is up, in the order of the configuration; `None` where that is
    /// not known.
    fn up(&mut self) -> Vec<Option<bool>>;
}

/// A twin and the ethdev that it stands beside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beside {
    /// The ethdev, which a port shares with its VLANs.
    pub ethdev: EthdevId,
    /// Linux's number for the twin.
    pub ifindex: u32,
    /// Linux's name for the twin.
    pub name: String,
}

/// What became of a twin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarrierChange {
    /// Linux's name for it.
    pub twin: String,
    /// Whether it has carrier now.
    pub up: bool,
}

/// Passes changes of the links on to the twins.
pub struct CarrierKeeper {
    socket: RouteSocket,
    links: Box<dyn Links>,
    twins: Vec<Beside>,
    /// What each twin has.
    up: Vec<bool>,
    /// Whether Linux refused each twin at the last attempt.
    refused: Vec<bool>,
}

impl CarrierKeeper {
    /// A keeper of these twins in the calling thread's network namespace. They have carrier, as
    /// Linux gives it to whoever opens a TAP.
    ///
    /// # Errors
    ///
    /// When no socket can be had.
    pub fn open(links: Box<dyn Links>, twins: Vec<Beside>) -> io::Result<Self> {
        Ok(Self {
            socket: RouteSocket::open()?,
            links,
            up: vec![true; twins.len()],
            refused: vec![false; twins.len()],
            twins,
        })
    }

    /// Looks at the links and gives each twin its carrier; says which ones changed. One that
    /// Linux refuses is tried again at the next look, or where Linux cannot do it at all (kernels
    /// before 5.0) with the next change of the link.
    ///
    /// # Errors
    ///
    /// What the kernel answers first, after all twins were tried; a refusal is told once until the
    /// twin is accepted again.
    pub fn follow(&mut self) -> io::Result<Vec<CarrierChange>> {
        let links = self.links.up();
        let mut changes = Vec::new();
        let mut outcome = Ok(());
        let known = self.up.iter_mut().zip(&mut self.refused);
        for (twin, (had, refused)) in self.twins.iter().zip(known) {
            let Some(up) = links.get(twin.ethdev.index()).copied().flatten() else {
                continue;
            };
            if *had == up {
                continue;
            }
            let done = set(&mut self.socket, twin.ifindex, up);
            let was_refused = std::mem::replace(refused, done.is_err());
            match done {
                Ok(()) => {
                    *had = up;
                    changes.push(CarrierChange {
                        twin: twin.name.clone(),
                        up,
                    });
                }
                Err(error) => {
                    if error.raw_os_error() == Some(libc::EOPNOTSUPP) {
                        *had = up;
                    }
                    if !was_refused {
                        outcome = outcome.and(Err(error));
                    }
                }
            }
        }
        outcome.map(|()| changes)
    }
}

/// As `ip link set dev NAME carrier on|off` does.
fn set(socket: &mut RouteSocket, ifindex: u32, up: bool) -> io::Result<()> {
    let mut message = LinkMessage::default();
    message.header.index = ifindex;
    message
        .attributes
        .push(LinkAttribute::Carrier(u8::from(up)));
    socket.change(RouteNetlinkMessage::SetLink(message), 0)
}
