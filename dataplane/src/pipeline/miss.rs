//! A packet that belongs to no session here: a new session, another worker's, Linux's, or none.

use super::{Context, Pipeline, Work};
use crate::address::{FlowKey, Protocol, V4};
use crate::classify::{self, Target};
use crate::drop_reason::DropReason;
use crate::handover::{Handed, Visited};
use crate::icmp_error::IcmpError;
use crate::id::{EthdevId, InterfaceId, WorkerId};
use crate::io::Io;
use crate::parse::{FragmentKind, Parsed};
use crate::punt::PuntClass;
use crate::service::{Service, ServiceKey, Unserved};
use crate::session::Event;
use crate::snapshot::Snapshot;
use crate::steering::Steering;

impl<I: Io> Pipeline<I> {
    /// Decides what becomes of a packet that met no session.
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
        match target {
            Target::Service(service) if opens_session(&work.parsed) => {
                self.open(context, service, work);
            }
            Target::Service(_) => {
                let target = classify::by_role(snapshot, &key).unwrap_or(Target::Transit);
                self.do_without_session(context, target, work);
            }
            target => self.do_without_session(context, target, work),
        }
    }

    /// Gives a packet that begins no session to Linux, or drops it.
    fn do_without_session(
        &mut self,
        context: Context<'_>,
        target: Target<'_>,
        work: Work<I::Packet>,
    ) {
        match target {
            Target::UnservedVip(policy) => self.unserved(context, policy, work),
            Target::LocalAddress => {
                self.out
                    .discard(work.packet, DropReason::NoSessionForLocalAddress);
            }
            Target::Host => self.punt(context, classify::host_class(&work.parsed.key), work),
            Target::Service(_) | Target::NatReply | Target::Transit => {
                self.punt(context, PuntClass::Transit, work);
            }
        }
    }

    /// Hands a packet to the worker that owns its session, or may.
    pub(super) fn hand_over(&mut self, to: WorkerId, work: Work<I::Packet>) {
        let Work {
            packet,
            interface,
            visited,
            ..
        } = work;
        let visited = visited.with(self.worker);
        let handed = Handed {
            packet,
            interface,
            visited,
        };
        self.out.hand_over(to, handed);
    }

    fn punt(&mut self, context: Context<'_>, class: PuntClass, work: Work<I::Packet>) {
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
    fn next_owner(
        &self,
        snapshot: &Snapshot,
        target: Target<'_>,
        key: &FlowKey<V4>,
        visited: Visited,
    ) -> Option<WorkerId> {
        let steering = &*snapshot.steering;
        if steering.workers() == 1 {
            return None;
        }
        let owner = match target {
            Target::Service(service) => self.service_owner(snapshot, service, key, visited),
            Target::LocalAddress if visited.is_empty() => Some(steering.local_reply_owner(key)),
            Target::NatReply => self.nat_reply_owner(snapshot, key, visited),
            _ => None,
        };
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
            && snapshot.is_nat_server((key.protocol, key.source));
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
        let (steering, source) = (&*snapshot.steering, (key.protocol, key.source));
        let owner = |vip| {
            let from_client = FlowKey {
                source: key.destination,
                destination: vip,
                protocol: key.protocol,
            };
            client_owner(steering, &from_client)
        };
        let serves_a_mark = snapshot.serves_a_mark_by_nat(source);
        // By software the VIP does not matter.
        let of_any_vip = serves_a_mark.then(|| owner(key.source));
        let all = match steering {
            Steering::Toeplitz(_) if serves_a_mark => 0..steering.workers(),
            _ => 0..0,
        };
        let mut owners = (snapshot.nat_vips(source).map(owner))
            .chain(of_any_vip)
            .chain(all.map(WorkerId));
        owners.find(|owner| !visited.contains(*owner))
    }

    /// What a service's administrator wants done with packets that it does not serve.
    fn unserved(&mut self, context: Context<'_>, policy: Unserved, work: Work<I::Packet>) {
        match policy {
            Unserved::Linux => self.punt(context, PuntClass::Unserved, work),
            Unserved::Drop => self.out.discard(work.packet, DropReason::Unserved),
            Unserved::Reject => {
                let Work { packet, parsed, .. } = work;
                let source = parsed.key.destination.addr;
                self.send_icmp_error(
                    context,
                    source,
                    &parsed,
                    &packet,
                    IcmpError::PortUnreachable,
                );
                self.out.discard(packet, DropReason::Rejected);
            }
        }
    }
}

/// Whether a packet may begin a session (connections.md §4.1): for TCP a SYN without RST, for
/// SCTP an INIT, for UDP anything; and never from port 20 (§4.1, step 1).
const fn opens_session(parsed: &Parsed) -> bool {
    const TCP_SYN: u8 = 0x02;
    const TCP_RST: u8 = 0x04;
    const SCTP_INIT: u8 = 1;

    let may = match parsed.key.protocol {
        Protocol::Tcp => parsed.tcp_flags & (TCP_SYN | TCP_RST) == TCP_SYN,
        Protocol::Udp => true,
        Protocol::Sctp => parsed.sctp_chunk == SCTP_INIT,
    };
    may && parsed.key.source.port != 20
}

/// The worker that owns a client's sessions with this VIP.
fn client_owner(steering: &Steering, key: &FlowKey<V4>) -> WorkerId {
    match steering {
        Steering::Software { .. } => steering.client_owner_software(key.protocol, key.source),
        Steering::Toeplitz(_) => steering.client_owner_rss(key),
    }
}

/// The ethdev that an interface is of.
fn ethdev_of(snapshot: &Snapshot, interface: InterfaceId) -> EthdevId {
    let interface = snapshot.interfaces.get(interface);
    interface.map_or(EthdevId::default(), |interface| interface.ethdev)
}

/// What a packet means to its session's state.
#[inline]
pub(super) const fn event(parsed: &Parsed) -> Event {
    match parsed.key.protocol {
        Protocol::Tcp => Event::from_tcp_flags(parsed.tcp_flags),
        Protocol::Udp => Event::Datagram,
        Protocol::Sctp => Event::from_sctp_chunks(parsed.sctp_chunk, None),
    }
}

/// Whether a packet asks for a new connection (connections.md §1, step 5): a SYN, with or
/// without ACK, or an INIT.
#[inline]
pub(super) fn opens_connection(parsed: &Parsed) -> bool {
    matches!(event(parsed), Event::Syn | Event::Init)
}
