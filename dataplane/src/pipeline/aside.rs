//! Packets that can belong to no session: Linux's, except errors about packets that did.

use super::related::Related;
use super::{Context, Pipeline, Work};
use crate::address::{Endpoint, FlowKey, Protocol};
use crate::classify;
use crate::handover::Visited;
use crate::id::InterfaceId;
use crate::io::{Io, Packet};
use crate::parse::{FragmentKind, Frame, OtherIpv4, Parsed};
use crate::punt::PuntClass;

/// A packet that no session can have.
pub(super) struct Aside<P> {
    pub(super) packet: P,
    pub(super) interface: InterfaceId,
    /// Whether the frame was for a group.
    pub(super) group: bool,
    /// The workers it was at before.
    pub(super) visited: Visited,
}

impl<I: Io> Pipeline<I> {
    /// Gives what can belong to no session to Linux, except errors about packets that did.
    pub(super) fn not_for_a_session(
        &mut self,
        context: Context<'_>,
        frame: &Frame,
        aside: Aside<I::Packet>,
    ) {
        let Aside {
            interface, group, ..
        } = aside;
        if let (Frame::Ipv4Cut(parsed), false) = (frame, group) {
            let work = Work {
                packet: aside.packet,
                interface,
                hash: self.sessions.hash(&parsed.key),
                parsed: *parsed,
                visited: aside.visited,
            };
            return self.cut(context, work);
        }
        let packet = match frame {
            Frame::Ipv4Other(other) if !group => {
                let related = Related::new(aside, other);
                match self.related(context, related) {
                    Some(packet) => packet,
                    None => return,
                }
            }
            _ => aside.packet,
        };
        let class = match frame {
            Frame::Ipv4Other(other) => classify::other_class(
                context.snapshot,
                other.ip.protocol,
                other.destination,
                group,
            ),
            Frame::Ipv4(parsed) | Frame::Ipv4Cut(parsed) => {
                let class = classify::host_class(&parsed.key);
                debug_assert!(group);
                class
            }
            Frame::Ipv6(other) => {
                self.counters().ipv6_packets.add(1);
                let icmp_type = packet.bytes().get(usize::from(other.l4_offset)).copied();
                classify::ipv6_class(other.protocol, icmp_type)
            }
            Frame::Arp => PuntClass::Control,
            Frame::Other(_) => PuntClass::Host,
        };
        self.out.punt(context.now, interface, class, packet);
    }
}

/// The packets that a session may want: those with ports, and later fragments of some.
#[inline]
pub(super) fn for_a_session(frame: &Frame) -> Option<Parsed> {
    match frame {
        Frame::Ipv4(parsed) => Some(*parsed),
        Frame::Ipv4Other(other) if other.ip.fragment == FragmentKind::Later => without_ports(other),
        _ => None,
    }
}

#[cold]
fn without_ports(other: &OtherIpv4) -> Option<Parsed> {
    Some(Parsed {
        key: FlowKey {
            source: Endpoint::new(other.source, 0),
            destination: Endpoint::new(other.destination, 0),
            protocol: Protocol::from_number(other.ip.protocol)?,
        },
        ip: other.ip,
        tcp_flags: 0,
        sctp_chunk: 0,
    })
}
