//! A packet that belongs to no session here: a new session, another worker's, Linux's, or none.

use std::sync::Arc;

use super::icmp::address_towards;
use super::open::FTP_DATA;
use super::overheard::{Heard, may_be_reply, overhearing_owner};
use super::{Context, Pipeline, Work};
use crate::address::{Address, Endpoint, FlowKey, Protocol, V4};
use crate::classify::{self, Origin, Target};
use crate::drop_reason::DropReason;
use crate::handover::{Handed, Visited};
use crate::icmp_error::IcmpError;
use crate::id::{EthdevId, InterfaceId, WorkerId};
use crate::io::{Io, Packet};
use crate::knobs::Knobs;
use crate::parse::{FragmentKind, Parsed};
use crate::punt::PuntClass;
use crate::rewrite;
use crate::service::{Method, RealServer, Service, ServiceKey, Unserved};
use crate::session::Event;
use crate::snapshot::Snapshot;
use crate::steering::Steering;
use crate::wire::sctp::chunk;
use crate::wire::tcp::Flags;

impl<I: Io> Pipeline<I> {
    /// Decides what becomes of a packet that met no session.
    #[inline]
    pub(super) fn miss(&mut self, context: Context<'_>, work: Work<I::Packet>) {
        let key = work.parsed.key;
        let snapshot = context.snapshot;
        let ethdev = ethdev_of(snapshot, work.interface);
        let target = self.recent.classify(snapshot, ethdev, &key);
        if let Some(to) = self.next_owner(snapshot, target, &key, work.visited) {
            if work.parsed.ip.fragment == FragmentKind::First {
                self.remember_handed_fragment(context, to, &work.parsed);
            }
            return self.hand_over(to, work);
        }
        if !may_be_reply(snapshot, target, &key) {
            return self.take_as(context, target, work);
        }
        if let Some(work) = self.overhear(context, work, Heard::Whole) {
            self.take_as(context, target, work);
        }
    }

    /// Takes a packet that is no reply for what it is.
    #[inline]
    fn take_as(&mut self, context: Context<'_>, target: Target<'_>, work: Work<I::Packet>) {
        match target {
            Target::Service(service) if may_open(&context.snapshot.knobs, &work.parsed) => {
                self.begin_or_not(context, service, work);
            }
            Target::Service(_) => self.leave_unopened(context, work),
            target => self.do_without_session(context, target, work),
        }
    }

    /// Does with a service's packet that begins no session what is done without the service.
    fn leave_unopened(&mut self, context: Context<'_>, work: Work<I::Packet>) {
        let target = classify::by_role(context.snapshot, &work.parsed.key);
        self.do_without_session(context, target.unwrap_or(Target::Transit), work);
    }

    /// Gives a packet that begins no session to Linux, or drops it.
    pub(super) fn do_without_session(
        &mut self,
        context: Context<'_>,
        target: Target<'_>,
        work: Work<I::Packet>,
    ) {
        match without_session(context.snapshot, target, work.interface, &work.parsed) {
            Fate::Linux(class) => self.punt(context, class, work),
            Fate::Dropped(DropReason::Rejected) => self.reject(context, work),
            Fate::Dropped(DropReason::NoSessionForReply) => self.tell_server(context, work),
            Fate::Dropped(reason) => self.out.discard(work.packet, reason),
        }
    }

    /// Lets a session begin, unless a defence drops the packet or it comes from where no session
    /// comes from (connections.md §4.1, in this order).
    fn begin_or_not(&mut self, context: Context<'_>, service: &Service, work: Work<I::Packet>) {
        if self.defence.drops_opening() {
            return self.out.discard(work.packet, DropReason::DropPacket);
        }
        if work.parsed.key.source.port == FTP_DATA {
            return self.leave_unopened(context, work);
        }
        self.open(context, service, work);
    }

    /// Tells a NAT server that its packet belongs to no session: from the gateway's own address
    /// on its side, for the packet was sent to somebody else.
    fn tell_server(&mut self, context: Context<'_>, work: Work<I::Packet>) {
        let Work {
            mut packet, parsed, ..
        } = work;
        // The router took from the time to live before.
        let ip = packet.bytes_mut().get_mut(parsed.ip.l3_offset.into()..);
        let error = match rewrite::decrement_ttl(ip.unwrap_or_default()) {
            Ok(()) => IcmpError::PortUnreachable,
            Err(_) => IcmpError::TimeExceeded,
        };
        let source = address_towards(context.snapshot, parsed.key.source.addr);
        if let Some(source) = source {
            self.send_icmp_error(context, source, &parsed, &packet, error);
        }
        self.out.discard(packet, DropReason::NoSessionForReply);
    }

    /// Hands a packet to the worker that owns its session, or may.
    pub(super) fn hand_over(&mut self, to: WorkerId, work: Work<I::Packet>) {
        let Work {
            packet,
            interface,
            visited,
            ..
        } = work;
        let handed = Handed {
            packet,
            interface,
            visited,
            from_linux: false,
        };
        self.out.hand_over(to, handed);
    }

    pub(super) fn punt(&mut self, context: Context<'_>, class: PuntClass, work: Work<I::Packet>) {
        if work.parsed.ip.fragment == FragmentKind::First {
            self.remember_punted_fragment(context, &work.parsed);
        }
        self.out
            .punt(context.now, work.interface, class, work.packet);
    }

    /// The other worker that a packet without a session here should visit next, if there is one.
    #[inline]
    pub(super) fn foreign_owner(
        &mut self,
        snapshot: &Snapshot,
        interface: InterfaceId,
        key: &FlowKey<V4>,
        visited: Visited,
    ) -> Option<WorkerId> {
        if snapshot.steering.workers() == 1 {
            return None;
        }
        let ethdev = ethdev_of(snapshot, interface);
        let target = self.recent.classify(snapshot, ethdev, key);
        self.next_owner(snapshot, target, key, visited)
    }

    /// The other worker that a packet should visit next; none when it has visited all it may
    /// belong to, or this is the one.
    #[inline]
    pub(super) fn next_owner(
        &self,
        snapshot: &Snapshot,
        target: Target<'_>,
        key: &FlowKey<V4>,
        visited: Visited,
    ) -> Option<WorkerId> {
        if snapshot.steering.workers() == 1 {
            return None;
        }
        self.owner_of_many(snapshot, target, key, visited)
    }

    #[inline(never)]
    fn owner_of_many(
        &self,
        snapshot: &Snapshot,
        target: Target<'_>,
        key: &FlowKey<V4>,
        visited: Visited,
    ) -> Option<WorkerId> {
        let steering = &*snapshot.steering;
        let owner = match target {
            Target::Service(service) => self.service_owner(snapshot, service, key, visited),
            Target::LocalAddress if visited.is_empty() => Some(steering.local_reply_owner(key)),
            Target::NatReply => self.nat_reply_owner(snapshot, key, visited),
            Target::Transit if visited.is_empty() => overhearing_owner(snapshot, target, key),
            _ => None,
        };
        let may_be_left =
            || visited.is_empty() && snapshot.was_served(key.protocol, key.destination);
        let owner = owner.or_else(|| may_be_left().then(|| client_owner(steering, key)));
        owner.filter(|owner| *owner != self.worker)
    }

    /// Where a service's packet goes on: to the owner of the client's sessions. The rules of a mark
    /// may match its servers' packets too, and those may be replies.
    fn service_owner(
        &self,
        snapshot: &Snapshot,
        service: &Service,
        key: &FlowKey<V4>,
        visited: Visited,
    ) -> Option<WorkerId> {
        let client_owner = client_owner(&snapshot.steering, key);
        let may_be_reply = matches!(service.key, ServiceKey::Mark(_))
            && snapshot.may_reply_by_nat((key.protocol, key.source));
        if may_be_reply {
            // It is none when all candidates have seen it; then whose it is as a client's packet
            // sees it once more.
            let candidate = self.nat_reply_owner(snapshot, key, visited);
            return candidate.or(Some(client_owner));
        }
        visited.is_empty().then_some(client_owner)
    }

    /// The candidates of a NAT reply are the owners of the sessions it could belong to, one for
    /// each VIP its server serves, or any if it serves a mark; it visits them in order, each once.
    fn nat_reply_owner(
        &self,
        snapshot: &Snapshot,
        key: &FlowKey<V4>,
        visited: Visited,
    ) -> Option<WorkerId> {
        let visited = visited.with(self.worker);
        let source = (key.protocol, key.source);
        let serves_a_mark = snapshot.serves_a_mark_by_nat(source);
        let vips = snapshot.nat_vips(source);
        reply_owners(&snapshot.steering, key, vips, serves_a_mark)
            .find(|owner| !visited.contains(*owner))
    }

    /// Tells the sender of a packet that its service does not serve.
    fn reject(&mut self, context: Context<'_>, work: Work<I::Packet>) {
        let Work { packet, parsed, .. } = work;
        let source = parsed.key.destination.addr;
        let error = IcmpError::PortUnreachable;
        self.send_icmp_error(context, source, &parsed, &packet, error);
        self.out.discard(packet, DropReason::Rejected);
    }
}

/// What becomes of a packet that begins no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is Linux's.
    Linux(PuntClass),
    /// It is dropped; its sender is told when the reason says so.
    Dropped(DropReason),
}

/// Decides what becomes of a packet that begins no session.
pub(super) fn without_session(
    snapshot: &Snapshot,
    target: Target<'_>,
    interface: InterfaceId,
    parsed: &Parsed,
) -> Fate {
    match target {
        Target::UnservedVip(Unserved::Linux) => Fate::Linux(PuntClass::Unserved),
        Target::UnservedVip(Unserved::Drop) => Fate::Dropped(DropReason::Unserved),
        Target::UnservedVip(Unserved::Reject) => Fate::Dropped(DropReason::Rejected),
        Target::LocalAddress => Fate::Dropped(DropReason::NoSessionForLocalAddress),
        Target::Host => {
            let origin = Origin::of(interface, parsed);
            Fate::Linux(classify::host_class(snapshot, &parsed.key, origin))
        }
        Target::NatReply if is_to_be_told(snapshot, parsed) => {
            Fate::Dropped(DropReason::NoSessionForReply)
        }
        Target::Service(_) | Target::NatReply | Target::Transit => Fate::Linux(PuntClass::Transit),
    }
}

/// Whether the sender of a packet without a session is to hear so (`nat_icmp_send`): one that is a
/// service's NAT server with just this port (connections.md §9), and did not end anything.
fn is_to_be_told(snapshot: &Snapshot, parsed: &Parsed) -> bool {
    let (protocol, source) = (parsed.key.protocol, parsed.key.source);
    let endpoint = Endpoint::new(source.addr.to_ip(), source.port);
    let is_it =
        |server: &Arc<RealServer>| server.method == Method::Nat && server.endpoint == endpoint;
    snapshot.has_services
        && snapshot.knobs.nat_icmp_send
        && !ends_it(parsed)
        && snapshot.nat_vips((protocol, source)).any(|vip| {
            let service = snapshot.service_for(protocol, vip);
            service.is_some_and(|service| service.servers.iter().any(is_it))
        })
}

/// Whether a packet may begin a session (connections.md §4.1): for TCP a SYN, or with
/// `sloppy_tcp` anything, without RST; for SCTP an INIT, or with `sloppy_sctp` anything but an
/// ABORT; for UDP anything.
pub(super) const fn may_open(knobs: &Knobs, parsed: &Parsed) -> bool {
    if ends_it(parsed) {
        return false;
    }
    match parsed.key.protocol {
        Protocol::Tcp => knobs.sloppy_tcp || has(parsed, Flags::SYN),
        Protocol::Udp => true,
        Protocol::Sctp => knobs.sloppy_sctp || parsed.sctp_chunk == chunk::INIT,
    }
}

/// Whether a packet ends what it belongs to: an RST, or an ABORT before all else.
const fn ends_it(parsed: &Parsed) -> bool {
    match parsed.key.protocol {
        Protocol::Tcp => has(parsed, Flags::RST),
        Protocol::Udp => false,
        Protocol::Sctp => parsed.sctp_chunk == chunk::ABORT,
    }
}

const fn has(segment: &Parsed, flags: Flags) -> bool {
    Flags(segment.tcp_flags).contains(flags)
}

/// The worker that owns a client's sessions with this VIP.
pub(super) fn client_owner(steering: &Steering, key: &FlowKey<V4>) -> WorkerId {
    match steering {
        Steering::Software { .. } => steering.client_owner_software(key.protocol, key.source),
        Steering::Toeplitz(_) => steering.client_owner_rss(key),
    }
}

/// The owners of the sessions that a server's packet may belong to: one for each of these VIPs,
/// or any worker's if the server serves a mark.
pub(super) fn reply_owners(
    steering: &Steering,
    key: &FlowKey<V4>,
    vips: impl Iterator<Item = Endpoint<V4>>,
    serves_a_mark: bool,
) -> impl Iterator<Item = WorkerId> {
    let owner = move |vip| {
        let from_client = FlowKey {
            source: key.destination,
            destination: vip,
            protocol: key.protocol,
        };
        client_owner(steering, &from_client)
    };
    // By software the VIP does not matter.
    let of_any_vip = serves_a_mark.then(|| owner(key.source));
    let all = match steering {
        Steering::Toeplitz(_) if serves_a_mark => 0..steering.workers(),
        _ => 0..0,
    };
    vips.map(owner).chain(of_any_vip).chain(all.map(WorkerId))
}

/// The ethdev that an interface is of.
pub(super) fn ethdev_of(snapshot: &Snapshot, interface: InterfaceId) -> EthdevId {
    let interface = snapshot.interfaces.get(interface);
    interface.map_or(EthdevId::default(), |interface| interface.ethdev)
}

/// What a packet means to its session's state.
#[inline]
pub(super) const fn event(parsed: &Parsed) -> Event {
    match parsed.key.protocol {
        Protocol::Tcp => Event::from_tcp_flags(parsed.tcp_flags),
        Protocol::Udp => Event::Datagram,
        Protocol::Sctp => Event::from_sctp_chunk(parsed.sctp_chunk),
    }
}

/// Whether a packet asks for a new connection (connections.md §1, step 5): a SYN, whatever else
/// it has, or an INIT.
#[inline]
pub(super) const fn opens_connection(parsed: &Parsed) -> bool {
    match parsed.key.protocol {
        Protocol::Tcp => has(parsed, Flags::SYN),
        Protocol::Udp => false,
        Protocol::Sctp => parsed.sctp_chunk == chunk::INIT,
    }
}
