//! A packet that belongs to no session here: a new session, another worker's, Linux's, or none.

use super::{Context, Pipeline, Work};
use crate::address::{Address, FlowKey, Protocol, V4};
use crate::classify::{self, Target};
use crate::drop_reason::DropReason;
use crate::handover::{Handed, Visited};
use crate::icmp_error::IcmpError;
use crate::id::WorkerId;
use crate::io::Io;
use crate::parse::{FragmentKind, Parsed};
use crate::punt::PuntClass;
use crate::service::{Service, Unserved};
use crate::session::Event;
use crate::snapshot::Snapshot;
use crate::steering::Steering;

impl<I: Io> Pipeline<I> {
    /// Decides what becomes of a packet that met no session.
    pub(super) fn miss(&mut self, context: Context<'_>, work: Work<I::Packet>) {
        let key = work.parsed.key;
        let snapshot = context.snapshot;
        let target = self.recent.classify(snapshot, &key);
        if let Some(to) = self.next_owner(snapshot, &target, &key, work.visited) {
            if work.parsed.ip.fragment == FragmentKind::First {
                self.remember_handed_fragment(context, to, &work.parsed);
            }
            return self.hand_over(to, work);
        }
        match target {
            Target::Service(service) if opens_session(&work.parsed) => {
                self.open(context, service, work);
            }
            Target::Service(service) => {
                self.unserved(context, unserved_at(snapshot, service), work)
            }
            Target::UnservedVip(policy) => self.unserved(context, policy, work),
            Target::LocalAddress => {
                self.out
                    .discard(work.packet, DropReason::NoSessionForLocalAddress);
            }
            Target::Host => self.punt(context, classify::host_class(&key), work),
            Target::NatReply | Target::Transit => self.punt(context, PuntClass::Transit, work),
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
            from_linux: false,
        };
        self.out.hand_over(to, handed);
    }

    fn punt(&mut self, context: Context<'_>, class: PuntClass, work: Work<I::Packet>) {
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
        key: &FlowKey<V4>,
        visited: Visited,
    ) -> Option<WorkerId> {
        if snapshot.steering.workers() == 1 {
            return None;
        }
        let target = self.recent.classify(snapshot, key);
        self.next_owner(snapshot, &target, key, visited)
    }

    /// The other worker that a packet should visit next; none when it has visited all it may
    /// belong to, or this is the one.
    pub(super) fn next_owner(
        &self,
        snapshot: &Snapshot,
        target: &Target<'_>,
        key: &FlowKey<V4>,
        visited: Visited,
    ) -> Option<WorkerId> {
        let steering = &*snapshot.steering;
        if steering.workers() == 1 {
            return None;
        }
        let owner = match target {
            Target::Service(_) if visited.is_empty() => Some(client_owner(steering, key)),
            Target::LocalAddress if visited.is_empty() => Some(steering.local_reply_owner(key)),
            Target::NatReply => self.nat_reply_owner(snapshot, key, visited),
            _ => None,
        };
        owner.filter(|owner| *owner != self.worker)
    }

    /// The candidates of a NAT reply are the owners of the sessions it could belong to, one for
    /// each VIP its server serves; it visits them in order, each once.
    fn nat_reply_owner(
        &self,
        snapshot: &Snapshot,
        key: &FlowKey<V4>,
        visited: Visited,
    ) -> Option<WorkerId> {
        let visited = visited.with(self.worker);
        let vips = snapshot.nat_vips((key.protocol, key.source));
        let owners = vips.map(|vip| {
            let from_client = FlowKey {
                source: key.destination,
                destination: vip,
                protocol: key.protocol,
            };
            client_owner(&snapshot.steering, &from_client)
        });
        owners.into_iter().find(|owner| !visited.contains(*owner))
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
pub(super) fn client_owner(steering: &Steering, key: &FlowKey<V4>) -> WorkerId {
    match steering {
        Steering::Software { .. } => steering.client_owner_software(key.protocol, key.source),
        Steering::Toeplitz(_) => steering.client_owner_rss(key),
    }
}

/// The policy of the VIP of a service.
fn unserved_at(snapshot: &Snapshot, service: &Service) -> Unserved {
    use crate::snapshot::Role;
    let vip = V4::from_ip(service.key.virtual_endpoint.addr);
    match vip.and_then(|vip| snapshot.role(vip)) {
        Some(Role::Vip(policy)) => *policy,
        _ => Unserved::Linux,
    }
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
