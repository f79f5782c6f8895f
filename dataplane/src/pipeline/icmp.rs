//! ICMP errors that the gateway itself sends about load-balanced packets.

use arrayvec::ArrayVec;

use super::way::Way;
use super::{Context, Pipeline, Work};
use crate::address::{FlowKey, V4};
use crate::drop_reason::DropReason;
use crate::framing;
use crate::icmp_error::{self, IcmpError};
use crate::id::SessionId;
use crate::io::{Io, Packet};
use crate::parse::{FragmentKind, Parsed};
use crate::rewrite;
use crate::session::Direction;
use crate::snapshot::Snapshot;
use crate::wire::ipv4::Ipv4Mut;

impl<I: Io> Pipeline<I> {
    /// Drops a session's packet and tells its sender why: from the address it was sent to, or as
    /// any router when it was sent to the client.
    pub(super) fn refuse(
        &mut self,
        context: Context<'_>,
        id: SessionId,
        direction: Direction,
        work: Work<I::Packet>,
        (error, reason): (IcmpError, DropReason),
    ) {
        let Work {
            mut packet, parsed, ..
        } = work;
        let is_too_big = matches!(error, IcmpError::FragmentationNeeded { .. });
        if direction == Direction::ToServer && is_too_big {
            // IPVS looks at the time to live, and takes from it, before the size (connections.md
            // §7.1, 3), so the quotation shows one less. Its router looks at the size first.
            let ip = packet.bytes_mut().get_mut(parsed.ip.l3_offset.into()..);
            let _ = rewrite::decrement_ttl(ip.unwrap_or_default());
        }
        let destination = parsed.key.destination.addr;
        let is_ours =
            direction == Direction::ToServer || context.snapshot.role(destination).is_some();
        let source = if is_ours {
            Some(destination)
        } else {
            address_towards(context.snapshot, parsed.key.source.addr)
        };
        if let Some(source) = source {
            let sent = self.send_icmp_error(context, source, &parsed, &packet, error);
            if direction == Direction::ToServer {
                self.count_told(context, id, sent);
            }
        }
        self.out.discard(packet, reason);
    }

    /// Counts bytes that the client of a session was told in an error about its packet. The kernel
    /// finds the session by the quotation, as it finds the one of a server's packet: only if the
    /// server gets the packet as it is quoted, and never that of one packet.
    pub(super) fn count_told(&self, context: Context<'_>, id: SessionId, bytes: Option<u16>) {
        let session = self.sessions.get(id);
        let server = context.snapshot.server(session.server_slot);
        let is_found = !session.method().sees_replies() && !self.sessions.is_aside(id);
        let server = server.filter(|server| server.available && is_found);
        if let (Some(server), Some(bytes)) = (server, bytes) {
            let traffic = server.shared.traffic.of(self.worker);
            traffic.count(Direction::ToClient, bytes);
        }
    }

    /// Sends an ICMP error about `offending` to its sender, if the rate allows it; returns its
    /// bytes.
    pub(super) fn send_icmp_error(
        &mut self,
        context: Context<'_>,
        source: V4,
        parsed: &Parsed,
        offending: &I::Packet,
        error: IcmpError,
    ) -> Option<u16> {
        let packet = self.make_icmp_error(context, source, parsed, offending, error)?;
        Some(self.send_own(context, parsed.key.source.addr, packet))
    }

    /// An ICMP error about `offending` to its sender, behind room for Ethernet, if the rate allows
    /// it.
    pub(super) fn make_icmp_error(
        &mut self,
        context: Context<'_>,
        source: V4,
        parsed: &Parsed,
        offending: &I::Packet,
        error: IcmpError,
    ) -> Option<I::Packet> {
        let start = usize::from(parsed.ip.l3_offset);
        let end = start + usize::from(parsed.ip.total_len);
        let ip = offending.bytes().get(start..end)?;
        if !icmp_error::may_answer(ip) || !self.out.may_send_icmp_error(context.now) {
            return None;
        }
        let whole_len = match parsed.ip.fragment {
            FragmentKind::First => self.len_of_gathered(parsed),
            FragmentKind::Whole | FragmentKind::Later => None,
        };
        let (pool, ids) = (&mut self.out.pool, &mut self.ip_ids);
        match whole_len.and_then(|len| beginning_of(ip, len)) {
            Some(beginning) => {
                let (l3, part) = (framing::ETHERNET, &beginning);
                icmp_error::build_about_part(pool, part, l3, error, source, ids)
            }
            None => icmp_error::build(pool, ip, framing::ETHERNET, error, source, ids),
        }
    }

    /// Sends an ICMP error about a packet of which `part` is all there is to its sender, if the
    /// rate allows it; returns its bytes.
    pub(super) fn send_icmp_error_about_part(
        &mut self,
        context: Context<'_>,
        about: &FlowKey<V4>,
        part: &[u8],
        error: IcmpError,
    ) -> Option<u16> {
        if !self.out.may_send_icmp_error(context.now) {
            return None;
        }
        let (pool, ids) = (&mut self.out.pool, &mut self.ip_ids);
        let (l3, source) = (framing::ETHERNET, about.destination.addr);
        let packet = icmp_error::build_about_part(pool, part, l3, error, source, ids)?;
        Some(self.send_own(context, about.source.addr, packet))
    }

    /// Sends a packet that the gateway has made itself; returns the bytes of IP.
    fn send_own(&mut self, context: Context<'_>, destination: V4, packet: I::Packet) -> u16 {
        let bytes = packet.bytes().len().saturating_sub(framing::ETHERNET);
        let bytes = u16::try_from(bytes).unwrap_or(u16::MAX);
        match Way::towards(context.snapshot, destination) {
            Some(way) => self.dispatch(context, &way, packet, framing::ETHERNET),
            None => self.out.discard(packet, DropReason::NoRoute),
        }
        bytes
    }
}

/// The gateway's own address on the side where `sender` is.
pub(super) fn address_towards(snapshot: &Snapshot, sender: V4) -> Option<V4> {
    let way = Way::towards(snapshot, sender)?;
    snapshot.interfaces.get(way.adjacency.interface)?.address
}

/// The beginning of a datagram, as far as an error quotes it and its first fragment goes; the whole
/// is `len` bytes long.
fn beginning_of(first: &[u8], len: u16) -> Option<ArrayVec<u8, { icmp_error::MAX_LEN }>> {
    let quoted = first.get(..first.len().min(icmp_error::MAX_LEN))?;
    let mut beginning = ArrayVec::new();
    beginning.try_extend_from_slice(quoted).ok()?;
    let (mut header, _) = Ipv4Mut::parse(&mut beginning).ok()?;
    header.set_more_fragments(false);
    header.set_total_len(len);
    header.fill_checksum();
    Some(beginning)
}
