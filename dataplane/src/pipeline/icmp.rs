//! ICMP errors that the gateway itself sends about load-balanced packets.

use arrayvec::ArrayVec;

use super::hit::{Way, resolve};
use super::{Context, Pipeline};
use crate::address::{FlowKey, V4};
use crate::drop_reason::DropReason;
use crate::framing;
use crate::icmp_error::{self, IcmpError};
use crate::id::SessionId;
use crate::io::{Io, Packet};
use crate::parse::{FragmentKind, Parsed};
use crate::rewrite;
use crate::wire::ipv4::Ipv4Mut;

impl<I: Io> Pipeline<I> {
    /// Drops a session's packet and tells its sender why, from the address it was sent to (for
    /// a NAT reply, which was sent to the client: from the VIP).
    pub(super) fn refuse(
        &mut self,
        context: Context<'_>,
        id: SessionId,
        parsed: &Parsed,
        mut packet: I::Packet,
        error: IcmpError,
        reason: DropReason,
    ) {
        if let IcmpError::FragmentationNeeded { .. } = error {
            // The time to live is looked at, and taken from, before the size (connections.md
            // §7.1, 3), so the quotation shows one less.
            let ip = packet.bytes_mut().get_mut(parsed.ip.l3_offset.into()..);
            let _ = rewrite::decrement_ttl(ip.unwrap_or_default());
        }
        let destination = parsed.key.destination.addr;
        let ours = context.snapshot.role(destination).is_some();
        let source = if ours {
            destination
        } else {
            self.sessions.get(id).vip().addr
        };
        self.send_icmp_error(context, source, parsed, &packet, error);
        self.out.discard(packet, reason);
    }

    /// Sends an ICMP error about `offending` to its sender, if the rate allows it.
    pub(super) fn send_icmp_error(
        &mut self,
        context: Context<'_>,
        source: V4,
        parsed: &Parsed,
        offending: &I::Packet,
        error: IcmpError,
    ) {
        let start = usize::from(parsed.ip.l3_offset);
        let end = start + usize::from(parsed.ip.total_len);
        let Some(ip) = offending.bytes().get(start..end) else {
            return;
        };
        if !icmp_error::may_answer(ip) || !self.out.may_send_icmp_error(context.now) {
            return;
        }
        let whole_len = match parsed.ip.fragment {
            FragmentKind::First => self.len_of_gathered(parsed),
            FragmentKind::Whole | FragmentKind::Later => None,
        };
        let (pool, ids) = (&mut self.out.pool, &mut self.ip_ids);
        let packet = match whole_len.and_then(|len| beginning_of(ip, len)) {
            Some(beginning) => {
                let (l3, part) = (framing::ETHERNET, &beginning);
                icmp_error::build_about_part(pool, part, l3, error, source, ids)
            }
            None => icmp_error::build(pool, ip, framing::ETHERNET, error, source, ids),
        };
        if let Some(packet) = packet {
            self.send_own(context, parsed.key.source.addr, packet);
        }
    }

    /// Sends an ICMP error about a packet of which `part` is all there is to its sender, if the
    /// rate allows it.
    pub(super) fn send_icmp_error_about_part(
        &mut self,
        context: Context<'_>,
        about: &FlowKey<V4>,
        part: &[u8],
        error: IcmpError,
    ) {
        if !self.out.may_send_icmp_error(context.now) {
            return;
        }
        let (pool, ids) = (&mut self.out.pool, &mut self.ip_ids);
        let (l3, source) = (framing::ETHERNET, about.destination.addr);
        let packet = icmp_error::build_about_part(pool, part, l3, error, source, ids);
        if let Some(packet) = packet {
            self.send_own(context, about.source.addr, packet);
        }
    }

    /// Sends a packet that the gateway has made itself.
    fn send_own(&mut self, context: Context<'_>, destination: V4, packet: I::Packet) {
        let slot = resolve(context.snapshot, destination).slot;
        match context.snapshot.adjacency(slot) {
            Some(adjacency) => {
                let way = Way {
                    adjacency,
                    destination,
                    mtu: adjacency.mtu,
                };
                self.dispatch(context, &way, packet, framing::ETHERNET);
            }
            None => self.out.discard(packet, DropReason::NoRoute),
        }
    }
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
