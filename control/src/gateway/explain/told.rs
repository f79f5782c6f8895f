//! What a worker said about a packet, in words.

use std::net::SocketAddr;

use dataplane::address::{Address, Endpoint, V4};
use dataplane::explain::{Explanation, Hop, Met, NotOpened, Opening, Outcome, Purpose};
use dataplane::id::{EthdevId, InterfaceId, ServiceSlot, WorkerId};
use dataplane::punt::PuntClass;
use dataplane::service::{Method, RealServer, SchedulerKind, Service, ServiceKey, Unserved};
use dataplane::session::Direction;
use dataplane::snapshot::Snapshot;

use super::packet::Packet;
use crate::config::Config;
use crate::gateway::listing::session_view;
use crate::gateway::session_line::socket;
use crate::view::{ExplainView, HopView, StepView};

/// Servers that take no new sessions, of which it is said why.
const REFUSERS: usize = 8;

/// Everything that words are found from.
pub(super) struct Told<'a> {
    pub(super) config: &'a Config,
    pub(super) snapshot: &'a Snapshot,
    pub(super) packet: &'a Packet,
    pub(super) explanation: &'a Explanation,
}

/// Sentences, each about something.
#[derive(Default)]
struct Steps(Vec<StepView>);

impl Steps {
    fn say(&mut self, about: &str, text: impl Into<String>) {
        self.0.push(StepView {
            about: about.to_owned(),
            text: text.into(),
        });
    }
}

impl Told<'_> {
    /// All of it; `visited` are the workers that handed the packet on.
    pub(super) fn view(&self, visited: &[WorkerId]) -> ExplainView {
        let Explanation {
            met,
            opening,
            outcome,
            ..
        } = self.explanation;
        let met_server = met.as_ref().filter(|met| !met.begins_anew);
        let (drop_reason, punt_class) = match outcome {
            Outcome::Dropped(reason) => (Some(reason.name()), None),
            Outcome::Punted(class) => (None, Some(class.name())),
            _ => (None, None),
        };
        let of_session = met_server.map(|met| &met.session);
        let end = |end: Endpoint<V4>| socket(Endpoint::new(end.addr.to_ip(), end.port));
        let session_end = of_session.map(|session| socket(session.server));
        let method = opening.map(|opening| opening.method);
        let method = method.or(of_session.map(|session| session.method));
        ExplainView {
            outcome: outcome_name(outcome).to_owned(),
            drop_reason: drop_reason.map(str::to_owned),
            punt_class: punt_class.map(str::to_owned),
            port: self.packet.port.clone(),
            worker: self.explanation.worker.0,
            mark: self.mark(),
            service: self.service().map(|service| service.key.to_string()),
            session: met
                .as_ref()
                .map(|met| session_view(self.explanation.worker.index(), &met.session)),
            begins_session: begins(opening.as_ref(), outcome),
            server: opening.map(|opening| end(opening.end)).or(session_end),
            method: method.map(|method| method.name().to_owned()),
            local: match opening {
                Some(opening) => opening.local.map(end),
                None => of_session
                    .filter(|session| session.method == Method::Fullnat)
                    .map(|session| socket(session.local)),
            },
            next_hop: match outcome {
                Outcome::Sent(hop) | Outcome::Waits(hop) => Some(self.hop(hop)),
                _ => None,
            },
            steps: self.steps(visited),
        }
    }

    fn mark(&self) -> u32 {
        let interface = self.snapshot.interfaces.get(self.packet.interface);
        let ethdev = interface.map_or(EthdevId::default(), |interface| interface.ethdev);
        let marked = self.packet.probe().map(|probe| {
            let key = probe.key;
            let marks = &self.snapshot.marks;
            marks.mark(ethdev, key.protocol as u8, key.source, key.destination)
        });
        marked.unwrap_or(0)
    }

    /// The service that the packet is for, if no session has it.
    fn service(&self) -> Option<&Service> {
        match self.explanation.purpose? {
            Purpose::Service(slot) => self.service_in(slot),
            _ => None,
        }
    }

    fn service_in(&self, slot: ServiceSlot) -> Option<&Service> {
        self.snapshot.services.get(slot.index())?.as_deref()
    }

    fn port(&self, id: InterfaceId) -> String {
        let mut interfaces = self.config.interfaces();
        let numbered = interfaces.find(|numbered| numbered.id == id);
        numbered.map_or_else(String::new, |it| it.interface.name.clone())
    }

    fn hop(&self, hop: &Hop) -> HopView {
        HopView {
            port: self.port(hop.interface),
            address: hop.addr,
            mac: hop.mac.map(|mac| mac.to_string()),
            mtu: hop.mtu,
        }
    }

    fn steps(&self, visited: &[WorkerId]) -> Vec<StepView> {
        let mut steps = Steps::default();
        self.say_arrival(&mut steps, visited);
        let mark = self.mark();
        if mark != 0 {
            steps.say(
                "mark",
                format!("The rules of [[mark]] give it mark {mark}."),
            );
        }
        self.say_session(&mut steps);
        self.say_purpose(&mut steps);
        if let Some(reason) = self.explanation.not_opened {
            steps.say("opening", not_opened(reason, self.packet));
        }
        self.say_choice(&mut steps);
        self.say_way(&mut steps);
        steps.say("outcome", outcome(&self.explanation.outcome));
        steps.0
    }

    fn say_arrival(&self, steps: &mut Steps, visited: &[WorkerId]) {
        let Packet {
            protocol,
            source,
            destination,
            flags,
            port,
            ..
        } = self.packet;
        let flags = match flags.as_str() {
            "" => String::new(),
            flags => format!(" ({flags})"),
        };
        let why = if self.packet.is_port_given {
            String::new()
        } else {
            ", to which the route to its sender points".to_owned()
        };
        steps.say(
            "packet",
            format!("{protocol} {source} -> {destination}{flags} arrives on {port}{why}."),
        );
        for worker in visited {
            steps.say("worker", format!("Worker {worker} would hand it on."));
        }
        let worker = self.explanation.worker;
        steps.say(
            "worker",
            format!("Worker {worker} has its session, or would."),
        );
    }

    fn say_session(&self, steps: &mut Steps) {
        let Some(met) = &self.explanation.met else {
            return steps.say("session", "No session has it.");
        };
        steps.say("session", session(met));
        if met.begins_anew {
            steps.say(
                "session",
                "It leaves that session behind for a new one (conn_reuse_mode, \
                 expire_nodest_conn).",
            );
        }
    }

    fn say_purpose(&self, steps: &mut Steps) {
        let text = match self.explanation.purpose {
            None => return,
            Some(Purpose::Service(slot)) => match self.service_in(slot) {
                Some(service) => self.service_sentence(service),
                None => "It is for a service that has just gone.".to_owned(),
            },
            Some(Purpose::UnservedVip(policy)) => {
                format!(
                    "It is for a VIP, but for no service there: {}.",
                    unserved(policy)
                )
            }
            Some(Purpose::LocalAddress) => {
                "It is for a local address's pool of ports, to which only servers answer."
                    .to_owned()
            }
            Some(Purpose::NatReply) => {
                "It comes from a server that is reached by nat, but answers nobody.".to_owned()
            }
            Some(Purpose::Host) => "It is for the gateway itself.".to_owned(),
            Some(Purpose::Transit) => "It is for somebody else.".to_owned(),
        };
        steps.say("service", text);
    }

    fn service_sentence(&self, service: &Service) -> String {
        let mut services = self.config.services().iter();
        let own = services.find(|own| own.key() == service.key);
        let name = own.and_then(|own| own.name.as_deref());
        let name = name.map_or_else(String::new, |name| format!(" \"{name}\""));
        let by = match service.key {
            ServiceKey::Mark(_) | ServiceKey::Mark6(_) => " by its mark",
            ServiceKey::Address { .. } => "",
        };
        let persistent = service
            .persistence
            .map(|persistence| format!(", persistent for {} s", persistence.timeout_seconds));
        format!(
            "It is for the service{name} ({}){by}: scheduler {}, real servers {}{}.",
            service.key,
            service.kind.name(),
            service.servers.len(),
            persistent.unwrap_or_default(),
        )
    }

    fn say_choice(&self, steps: &mut Steps) {
        let Some(service) = self.service() else {
            return;
        };
        if self.explanation.not_opened.is_some() {
            return;
        }
        let Some(opening) = &self.explanation.opening else {
            steps.say("scheduler", "No server takes a new session.");
            return say_refusers(steps, service);
        };
        let server = self.snapshot.server(opening.server);
        steps.say("scheduler", chosen(service, opening, server));
        if !opening.by_template {
            say_refusers(steps, service);
        }
        if opening.one_packet {
            steps.say("session", "The session ends with its packet (one-packet).");
        }
        if opening.table_full {
            steps.say(
                "session",
                "The session table is full: one that matters less has to end.",
            );
        }
        if opening.method == Method::Fullnat {
            steps.say("local address", local(opening, service));
        }
    }

    fn say_way(&self, steps: &mut Steps) {
        let (Outcome::Sent(hop) | Outcome::Waits(hop)) = &self.explanation.outcome else {
            return;
        };
        let HopView {
            port,
            address,
            mac,
            mtu,
        } = self.hop(hop);
        let mac = mac.unwrap_or_else(|| "a MAC that is not known yet".to_owned());
        steps.say(
            "next hop",
            format!("It leaves by {port} to {address} at {mac}; MTU {mtu}."),
        );
    }
}

/// What becomes of a packet of IPv6, which is Linux's in this version.
pub(super) fn ipv6(packet: &Packet) -> ExplainView {
    let mut steps = Steps::default();
    let Packet {
        protocol,
        source,
        destination,
        port,
        ..
    } = packet;
    steps.say(
        "packet",
        format!("{protocol} {source} -> {destination} arrives on {port}."),
    );
    steps.say(
        "service",
        "IPv6 is left to Linux in this version, also that of services.",
    );
    let outcome_is = Outcome::Punted(PuntClass::Host);
    steps.say("outcome", outcome(&outcome_is));
    ExplainView {
        outcome: outcome_name(&outcome_is).to_owned(),
        drop_reason: None,
        punt_class: Some(PuntClass::Host.name().to_owned()),
        port: port.clone(),
        worker: 0,
        mark: 0,
        service: None,
        session: None,
        begins_session: false,
        server: None,
        method: None,
        local: None,
        next_hop: None,
        steps: steps.0,
    }
}

/// Whether a session begins: it does also when its first packet is then dropped on its way.
fn begins(opening: Option<&Opening>, outcome: &Outcome) -> bool {
    use dataplane::drop_reason::DropReason::LocalPortsExhausted;
    opening.is_some() && *outcome != Outcome::Dropped(LocalPortsExhausted)
}

fn session(met: &Met) -> String {
    let session = &met.session;
    let way = match met.direction {
        Direction::ToServer => "It belongs to a session",
        Direction::ToClient => "It is a server's answer in the session",
    };
    let end = |end| -> SocketAddr { socket(end) };
    format!(
        "{way} of {} with {}: {}, server {} by {}, packets {} in and {} out, {} s left.",
        end(session.client),
        end(session.vip),
        session.state.name(),
        end(session.server),
        session.method.name(),
        session.in_packets,
        session.out_packets,
        session.expires_in_ticks / dataplane::time::TICKS_PER_SECOND,
    )
}

const fn unserved(policy: Unserved) -> &'static str {
    match policy {
        Unserved::Linux => "its `unserved` says linux",
        Unserved::Reject => "its `unserved` says reject",
        Unserved::Drop => "its `unserved` says drop",
    }
}

fn not_opened(reason: NotOpened, packet: &Packet) -> String {
    match reason {
        NotOpened::Kind => format!(
            "A {} packet with {} begins no session (sloppy_tcp, sloppy_sctp); it is treated as if \
             there were no service.",
            packet.protocol, packet.flags,
        ),
        NotOpened::FtpData => "From port 20, FTP's data, no session begins; it is treated as if \
                               there were no service."
            .to_owned(),
        NotOpened::DropPacket => "drop_packet defends, and it is this packet's turn.".to_owned(),
    }
}

fn chosen(service: &Service, opening: &Opening, server: Option<&RealServer>) -> String {
    let end = SocketAddr::new(opening.end.addr.to_ip(), opening.end.port);
    let method = opening.method.name();
    let counts = server.map(|server| {
        let (shared, weight) = (&server.shared, server.weight.0);
        let (active, all) = (shared.active(), shared.sessions());
        format!(
            "weight {weight}, active {active}, inactive {}",
            all.saturating_sub(active)
        )
    });
    let counts = counts.unwrap_or_default();
    if opening.by_template {
        return format!("Its client has {end} by {method} from before (persistence; {counts}).");
    }
    let next = match service.kind {
        SchedulerKind::Twos => "drew it for who comes next",
        SchedulerKind::Dh | SchedulerKind::Sh { .. } | SchedulerKind::Mh { .. } => "gives it",
        _ => "gives it as of now",
    };
    format!(
        "{end} by {method}: {} {next} ({counts}).",
        service.kind.name()
    )
}

/// Says of servers that take no new sessions why.
fn say_refusers(steps: &mut Steps, service: &Service) {
    // As they were added.
    let refusers = service
        .servers
        .iter()
        .rev()
        .filter(|server| !server.is_eligible());
    let count = refusers.clone().count();
    for server in refusers.take(REFUSERS) {
        let end = SocketAddr::new(server.endpoint.addr, server.endpoint.port);
        let why = if server.weight.0 == 0 {
            "its weight is 0".to_owned()
        } else {
            let (sessions, upper) = (server.shared.sessions(), server.upper_threshold);
            format!("it is overloaded (sessions {sessions}, upper threshold {upper})")
        };
        steps.say("server", format!("{end} takes no new session: {why}."));
    }
    if count > REFUSERS {
        steps.say("server", format!("So do {} more.", count - REFUSERS));
    }
}

fn local(opening: &Opening, service: &Service) -> String {
    match opening.local {
        Some(local) => {
            let local = SocketAddr::new(local.addr.to_ip(), local.port);
            format!("The server would see it from {local}, which is free.")
        }
        None if service.local_addresses.is_empty() => {
            "The service has no local address: give it a `local_pool`.".to_owned()
        }
        None => "No local address and port is free towards this server, unless a session that \
                 matters less gives one up."
            .to_owned(),
    }
}

const fn outcome_name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Sent(_) => "sent",
        Outcome::Waits(_) => "waits",
        Outcome::Delivered => "delivered",
        Outcome::Punted(_) => "punted",
        Outcome::Dropped(_) => "dropped",
        Outcome::HandedOver(_) => "handed_over",
    }
}

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Sent(_) => "It is sent.".to_owned(),
        Outcome::Waits(_) => {
            "It waits a second at most until Linux has found that MAC, or is dropped \
             (next_hop_unresolved)."
                .to_owned()
        }
        Outcome::Delivered => "Linux gets it: the gateway itself is the server.".to_owned(),
        Outcome::Punted(class) => format!("Linux gets it (class {}).", class.name()),
        Outcome::Dropped(reason) => format!("It is dropped ({reason}): {}", reason.sentence()),
        Outcome::HandedOver(to) => format!("Worker {to} gets it."),
    }
}
