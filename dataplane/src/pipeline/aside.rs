//! Packets that can belong to no session: Linux's, except errors about packets that did.

use super::related::Related;
use super::{Context, Pipeline, Work};
use crate::address::{Endpoint, FlowKey, Protocol};
use crate::classify::{self, Origin};
use crate::handover::Visited;
use crate::id::InterfaceId;
use crate::io::{Io, Packet};
use crate::parse::{FragmentKind, Frame, OtherIpv4, Parsed};
use crate::punt::PuntClass;
use crate::wire::ipv6::Ipv6;

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
            Frame::Ipv4Other(other) => {
                let origin = Origin {
                    interface,
                    source: other.source,
                    ttl: other.ip.ttl,
                    group,
                };
                let OtherIpv4 { destination, .. } = *other;
                classify::other_class(context.snapshot, other.ip.protocol, destination, origin)
            }
            Frame::Ipv4(parsed) | Frame::Ipv4Cut(parsed) => {
                debug_assert!(group);
                let origin = Origin::of(interface, parsed);
                let origin = Origin { group, ..origin };
                classify::host_class(context.snapshot, &parsed.key, origin)
            }
            Frame::Ipv6(other) => {
                self.counters().ipv6_packets.add(1);
                let icmp_type = packet.bytes().get(usize::from(other.l4_offset)).copied();
                let header = packet.bytes().get(other.l3_offset.into()..);
                let on_link = group || header.is_some_and(is_from_link);
                classify::ipv6_class(other.protocol, icmp_type, on_link)
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

/// Whether an IPv6 packet was sent by a station on the link: routers take from the hop limit, and send
/// on nothing of a link-local source (RFC 4291 §2.5.6).
fn is_from_link(ip: &[u8]) -> bool {
    let header = Ipv6::parse(ip).map(|(header, _)| header);
    header.is_ok_and(|it| it.hop_limit() == u8::MAX || it.source().0 >> 118 == 0xfe80 >> 6)
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
