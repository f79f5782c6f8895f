//! Whom a client's new session goes to: the scheduler decides, or a template has decided before.
//!
//! ```text
//!  persistent?  no ─────────────────────────────────► scheduler ─► server
//!               yes ─► template? ─ usable ─► server   ▲         └─► new template ─► server
//!                                └ none ──────────────┘
//! ```

use super::{Context, Pipeline};
use crate::address::{Address, Endpoint, FlowKey, Protocol, V4};
use crate::io::Io;
use crate::persistence::{NewTemplate, TemplateKey, TemplateLink, Virtual, Visit};
use crate::schedule::{FlowInfo, Schedule, load};
use crate::service::{Method, Persistence, RealServer, Service, ServiceKey};
use crate::session::Session;

/// FTP's control port: its clients keep their server whatever port they ask for.
const FTP_PORT: u16 = 21;

/// The server of a new session.
#[derive(Clone, Copy)]
pub(super) struct Choice<'a> {
    pub(super) server: &'a RealServer,
    /// Where the session's packets go there.
    pub(super) end: Endpoint<V4>,
    /// The template that chose it, which counts the session as its child.
    pub(super) template: TemplateLink,
    /// Whether the session is to be forgotten after its packet.
    pub(super) one_packet: bool,
    /// Whether the session is bound to the server already, as [`begins_active`] says.
    pub(super) is_bound: bool,
}

impl<I: Io> Pipeline<I> {
    /// Chooses a server for the session that a packet with this key begins; `flow` is what the
    /// scheduler is told about it.
    pub(super) fn choose<'a>(
        &mut self,
        context: Context<'a>,
        service: &'a Service,
        key: &FlowKey<V4>,
        flow: FlowInfo,
    ) -> Option<Choice<'a>> {
        let Some(persistence) = service.persistence else {
            return self.choose_anew(context, service, key, flow);
        };
        let (server, template) = self.choose_again(context, service, persistence, key, flow)?;
        Some(Choice {
            server,
            end: end_for(service, server, key)?,
            template,
            one_packet: is_one_packet(service, server, key.protocol),
            is_bound: false,
        })
    }

    /// The server that the client has, or gets now; the session is the template's child.
    fn choose_again<'a>(
        &self,
        context: Context<'a>,
        service: &'a Service,
        persistence: Persistence,
        key: &FlowKey<V4>,
        flow: FlowInfo,
    ) -> Option<(&'a RealServer, TemplateLink)> {
        let Context { snapshot, now } = context;
        let visit = Visit {
            snapshot,
            now,
            as_child: !(service.one_packet && key.protocol == Protocol::Udp),
        };
        let template_key = template_key(service, persistence, key);
        let joined = snapshot.templates.join(visit, &template_key);
        if let Some(joined) = joined {
            return Some((snapshot.server(joined.server)?, joined.link));
        }
        let server = scheduled(service, flow)?;
        let is_of_one_port = matches!(template_key.of, Virtual::Address(_, end) if end.port != 0);
        let new = NewTemplate {
            server,
            server_port: own_port(server).filter(|_| is_of_one_port).unwrap_or(0),
            timeout_seconds: persistence.timeout_seconds,
        };
        match snapshot.templates.found(visit, &template_key, new) {
            Some(joined) => Some((snapshot.server(joined.server)?, joined.link)),
            None => {
                self.counters().templates_refused.add(1);
                Some((server, TemplateLink::NONE))
            }
        }
    }

    /// The server that the scheduler gives a session of a service without persistence.
    fn choose_anew<'a>(
        &mut self,
        context: Context<'_>,
        service: &'a Service,
        key: &FlowKey<V4>,
        flow: FlowInfo,
    ) -> Option<Choice<'a>> {
        let is_active = begins_active(key.protocol);
        let place = if service.scheduler.can_choose_ahead() {
            (self.allotment).take(context.snapshot, service, is_active)?
        } else {
            (service.scheduler).take(&service.servers, flow, is_active)?
        };
        let server = service.servers.get(place)?;
        let Some(end) = end_for(service, server, key) else {
            self.let_go(context);
            load::unbind(server, is_active);
            return None;
        };
        Some(Choice {
            server,
            end,
            template: TemplateLink::NONE,
            one_packet: is_one_packet(service, server, key.protocol),
            is_bound: true,
        })
    }

    /// Binds a session to its server, in the state that its first packet left it in.
    #[inline(always)]
    pub(super) fn bind(
        &mut self,
        context: Context<'_>,
        choice: &Choice<'_>,
        protocol: Protocol,
        is_active: bool,
    ) {
        if !choice.is_bound || begins_active(protocol) != is_active {
            self.bind_otherwise(context, choice, is_active);
        }
    }

    /// Binds a session that is not bound, or was bound in the other state.
    #[inline(never)]
    fn bind_otherwise(&mut self, context: Context<'_>, choice: &Choice<'_>, is_active: bool) {
        self.let_go(context);
        match (choice.is_bound, is_active) {
            (false, _) => load::bind(choice.server, is_active),
            (true, true) => load::activate(&choice.server.shared),
            (true, false) => load::deactivate(&choice.server.shared),
        }
    }

    /// Lets go of the server and the template: there is no session after all.
    pub(super) fn give_up(
        &mut self,
        context: Context<'_>,
        choice: &Choice<'_>,
        protocol: Protocol,
    ) {
        if choice.is_bound {
            self.let_go(context);
            load::unbind(choice.server, begins_active(protocol));
        }
        (context.snapshot.templates).leave(choice.template, context.now);
    }
}

/// Whose template a new session asks for (connections.md §5): of one port if that is the
/// service's, else of all ports of the VIP, or of the mark.
pub(super) fn template_key(
    service: &Service,
    persistence: Persistence,
    key: &FlowKey<V4>,
) -> TemplateKey<V4> {
    let Endpoint { addr, port } = key.destination;
    let of_port = |port| Virtual::Address(key.protocol, Endpoint::new(addr, port));
    let is_own_port = port == service.key.port();
    TemplateKey {
        client: V4(key.source.addr.0 & persistence.netmask),
        of: match service.key {
            ServiceKey::Mark(mark) if !is_own_port => Virtual::Mark(mark),
            _ if is_own_port && port != FTP_PORT => of_port(port),
            _ => of_port(0),
        },
    }
}

/// Whether a session most likely begins in an active state. TCP sessions do, but for those that
/// begin with their end, which `sloppy_tcp` allows; SCTP's become active later, UDP's never.
pub(super) const fn begins_active(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::Tcp)
}

/// The server that the scheduler gives.
fn scheduled(service: &Service, flow: FlowInfo) -> Option<&RealServer> {
    let place = service.scheduler.pick(&service.servers, flow)?;
    Some(service.servers.get(place)?)
}

/// The port that a server has for itself; none when it has the packet's.
fn own_port(server: &RealServer) -> Option<u16> {
    Some(server.endpoint.port).filter(|port| *port != 0)
}

/// Where the packets of a session that one with this key begins go at its server.
pub(super) fn end_for(
    service: &Service,
    server: &RealServer,
    key: &FlowKey<V4>,
) -> Option<Endpoint<V4>> {
    let port = key.destination.port;
    // For a client that keeps its server only the service's own port is mapped to the server's
    // (connections.md §5, 3).
    let is_mapped = service.persistence.is_none() || port == service.key.port();
    let mapped = own_port(server).filter(|_| is_mapped);
    let addr = V4::from_ip(server.endpoint.addr)?;
    Some(Endpoint::new(addr, mapped.unwrap_or(port)))
}

/// Whether a session is for one datagram. FULLNAT could not bring the answer home.
pub(super) fn is_one_packet(service: &Service, server: &RealServer, protocol: Protocol) -> bool {
    service.one_packet && protocol == Protocol::Udp && server.method != Method::Fullnat
}

/// Tells a session's template that the session ended, now or at its deadline before.
pub(super) fn leave_template(context: Context<'_>, session: &Session<V4>) {
    let Context { snapshot, now } = context;
    let is_overdue = session.deadline().is_due(now);
    let end = if is_overdue { session.deadline() } else { now };
    snapshot.templates.leave(session.template, end);
}
