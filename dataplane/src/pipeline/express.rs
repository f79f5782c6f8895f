//! The express lane: a plain packet of a session in full swing, taken from the look-up to the wire
//! in one go.
//!
//! Nearly all packets change nothing but counters and a time stamp: their session stays in its
//! state, its server is still a server, the next hops are as they were. For these everything that
//! the general way ([`hit`](super::hit)) decides step by step comes down to a few comparisons. A
//! packet that is anything else is given back as it was, and goes the general way. So the general
//! way says what is right; this one does the same, or nothing.

use super::known::KnownHop;
use super::{Context, Lane, Pipeline};
use crate::address::{Protocol, V4};
use crate::drop_reason::DropReason;
use crate::io::{Io, Packet};
use crate::parse::Plain;
use crate::rewrite::plain;
use crate::rewrite::tun::{self, Tunnel};
use crate::service::Method;
use crate::session::{Direction, Session, SessionFlags};
use crate::wire::plain::{LEN, PlainIpv4};

/// Bytes of an IP header without options.
const IP_HEADER: u16 = 20;

impl<I: Io> Pipeline<I> {
    /// Takes a plain packet of a steady session all the way; gives back, as it was, any other.
    #[inline(always)]
    pub(super) fn express(
        &mut self,
        context: Context<'_>,
        lane: &Lane,
        packet: I::Packet,
    ) -> Result<(), I::Packet> {
        match lane.candidate.direction() {
            Direction::ToServer => self.express_to::<TO_SERVER>(context, lane, packet),
            Direction::ToClient => self.express_to::<TO_CLIENT>(context, lane, packet),
        }
    }

    // Once for each direction, so that nothing in it has to ask for it.
    #[inline(always)]
    fn express_to<const TO: bool>(
        &mut self,
        context: Context<'_>,
        lane: &Lane,
        mut packet: I::Packet,
    ) -> Result<(), I::Packet> {
        let Context { snapshot, now } = context;
        let (plain, direction) = (&lane.plain, direction_of(TO));
        let found = self
            .sessions
            .confirm(lane.candidate, direction, &plain.key, now);
        let Some(session) = found.filter(|session| goes_on(session, plain)) else {
            return Err(packet);
        };
        let deadline = now.plus(snapshot.timeouts.ticks(session.state));
        let way = match direction {
            Direction::ToServer => session.to_server,
            Direction::ToClient => session.to_client,
        };
        if direction == Direction::ToClient {
            let to_server = self.hops.get(snapshot, session.to_server);
            if to_server.is_none_or(|hop| hop.interface != lane.interface) {
                return Err(packet);
            }
        }
        let server = self.servers.get(snapshot, self.worker, session.server_slot);
        let (Some(server), Some(hop)) = (server, self.hops.get(snapshot, way)) else {
            return Err(packet);
        };
        let serves = server.available || direction == Direction::ToClient;
        let may_go = serves && session.may_be_stamped(deadline);
        if !may_go || !fits(plain, session.method(), hop) {
            return Err(packet);
        }
        let l3 = usize::from(plain.l3_offset);
        let end = l3 + usize::from(plain.total_len);
        let frame = packet.bytes_mut();
        let is_padded = frame.len() > end;
        let ip = frame.get_mut(l3..end);
        if !ip.is_some_and(|ip| rewrite(session, direction, plain, ip)) {
            return Err(packet);
        }

        session.stamp(deadline);
        session.count(direction, u64::from(plain.total_len));
        server.traffic.count(direction, plain.total_len);
        self.out.counters.session_hits.add(1);
        if is_padded {
            packet.set_len(end);
        }
        let framed = match tunnel_of(session, direction, hop) {
            Some(tunnel) => tun::encapsulate(&mut packet, l3, tunnel, &mut self.ip_ids),
            None => Ok(()),
        };
        match framed {
            Ok(()) if hop.header.write(&mut packet, l3) => {
                self.out.transmit(hop.ethdev.index(), packet);
            }
            Ok(()) => self.out.discard(packet, DropReason::NoHeadroom),
            Err(reason) => self.out.discard(packet, reason),
        }
        Ok(())
    }
}

const TO_SERVER: bool = true;
const TO_CLIENT: bool = false;

const fn direction_of(to: bool) -> Direction {
    match to {
        TO_SERVER => Direction::ToServer,
        TO_CLIENT => Direction::ToClient,
    }
}

/// Whether the packet leaves its session in the state it is in, and nobody but the session and
/// the counters has to know of it.
#[inline]
fn goes_on(session: &Session<V4>, plain: &Plain) -> bool {
    const SYN_FIN_RST_ACK: u8 = 0x17;
    const ACK: u8 = 0x10;

    let event_is_ack =
        plain.key.protocol == Protocol::Udp || plain.tcp_flags & SYN_FIN_RST_ACK == ACK;
    event_is_ack && session.flags.contains(SessionFlags::STEADY)
}

/// Whether the packet may be sent on: it has hops left to live, and its way is wide enough.
#[inline]
fn fits(plain: &Plain, method: Method, hop: &KnownHop) -> bool {
    let room = match method {
        Method::Tun if hop.tunnel_source.is_none() => return false,
        Method::Tun => tun::room(hop.mtu),
        Method::Dr | Method::Nat | Method::Fullnat => hop.mtu,
    };
    plain.ttl > 1 && plain.total_len <= room
}

/// Changes the packet `ip` as its session's method says, up to the tunnel header; false, with the
/// packet as it was, when that is the general way's to do.
#[inline(always)]
fn rewrite(session: &mut Session<V4>, direction: Direction, plain: &Plain, ip: &mut [u8]) -> bool {
    let protocol = plain.key.protocol;
    match (session.method(), direction) {
        (Method::Dr | Method::Tun, Direction::ToServer) => plain::decrement_ttl(ip),
        (Method::Dr | Method::Tun, Direction::ToClient) => false,
        (Method::Nat, Direction::ToServer) => {
            plain::readdress(ip, protocol, plain.key.source, session.server())
        }
        (Method::Fullnat, Direction::ToServer) => {
            let done = plain::readdress(ip, protocol, session.local(), session.server());
            if done && protocol == Protocol::Tcp {
                note_client_end(session, plain, ip);
            }
            done
        }
        (Method::Nat | Method::Fullnat, Direction::ToClient) => {
            plain::readdress(ip, protocol, session.vip(), session.client())
        }
    }
}

/// As the general way's: how far the client's sequence numbers have come.
#[inline]
fn note_client_end(session: &mut Session<V4>, plain: &Plain, ip: &[u8]) {
    let front = PlainIpv4::parse(ip);
    let rest = ip.get(LEN..).and_then(PlainIpv4::tcp_rest);
    if let (Some(front), Some(rest)) = (front, rest) {
        let payload = plain.total_len - IP_HEADER - u16::from(rest.header_len);
        session.note_client_end(front.tcp_sequence().wrapping_add(payload.into()));
    }
}

/// The tunnel that the packet goes through.
#[inline]
fn tunnel_of(session: &Session<V4>, direction: Direction, hop: &KnownHop) -> Option<Tunnel> {
    let through = session.method() == Method::Tun && direction == Direction::ToServer;
    let source = hop.tunnel_source.filter(|_| through)?;
    Some(Tunnel {
        source,
        destination: session.server().addr,
    })
}
