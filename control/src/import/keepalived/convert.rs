//! From virtual servers to services: groups become one service for each address and mark, and
//! every server has the port that keepalived would give it.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use dataplane::address::{Endpoint, Protocol};
use dataplane::id::Weight;
use dataplane::service::{MssClamp, ServiceKey};

use super::super::draft::{Draft, PoolDraft, ServerDraft, ServiceDraft};
use super::super::fit::IPV6;
use super::super::place::{Note, Place};
use super::group::{Element, Group};
use super::health;
use super::local::LocalGroup;
use super::server::RealServer;
use super::service::{Target, VirtualServer};
use super::tree::Statement;
use super::value::{self, NAT};
use super::watch::Watch;
use crate::config::{Placement, Server, Service};
use crate::ipvs::SchedulerFlags;

/// The most services and servers, all virtual servers together.
const MOST: usize = 1_000_000;

/// Services that grow out of virtual servers.
#[derive(Default)]
pub(super) struct Conversion<'a> {
    /// By their names.
    groups: HashMap<&'a str, Group>,
    /// Local addresses, by the names of their groups.
    locals: HashMap<&'a str, LocalGroup>,
    /// As whom keepalived runs the scripts that name nobody.
    pub(super) script_user: Option<&'a str>,
    /// VIPs that keepalived itself places.
    pub(super) external: HashSet<IpAddr>,
    /// Comments about what became no service.
    pub(super) strays: Vec<String>,
    /// How many services and servers there are.
    count: usize,
    pub(super) draft: Draft,
}

/// One virtual server, corrected.
struct Corrected<'a> {
    service: VirtualServer<'a>,
    elements: Vec<(Place, Element)>,
    /// What all its services have in common.
    common: Service,
    watch: Watch,
    /// The pool that `common` names.
    pool: Option<PoolDraft>,
}

impl<'a> Conversion<'a> {
    /// Takes over a `virtual_server_group`.
    pub(super) fn group(&mut self, statement: &'a Statement) {
        let group = Group::read(statement);
        self.draft.notes.extend(group.notes.iter().cloned());
        match statement.argument() {
            Some(name) => {
                self.groups.insert(name, group);
            }
            None => {
                let message = "virtual_server_group has no name: left out";
                self.draft.notes.push(Note::new(&statement.place, message));
            }
        }
    }

    /// Takes over a `local_address_group`.
    pub(super) fn local_group(&mut self, statement: &'a Statement) {
        let Some(name) = statement.argument() else {
            let message = "local_address_group has no name: left out";
            self.draft.notes.push(Note::new(&statement.place, message));
            return;
        };
        let group = LocalGroup::read(statement);
        self.draft.notes.extend(group.notes.iter().cloned());
        self.locals.insert(name, group);
    }

    /// The local addresses of a virtual server.
    fn pool(&self, service: &mut VirtualServer<'_>) -> Option<PoolDraft> {
        let name = service.local_group?;
        let group = self.locals.get(name);
        if group.is_none() {
            service.say(format!("there is no local_address_group {name}: left out"));
        }
        group.map(LocalGroup::pool)
    }

    /// Takes over a `virtual_server`.
    ///
    /// # Errors
    ///
    /// When it makes more services than can be served.
    pub(super) fn virtual_server(&mut self, statement: &'a Statement) -> Result<(), Note> {
        match self.corrected(statement) {
            Ok(corrected) => self.expand(corrected),
            Err(note) => {
                self.strays.push(note.to_string());
                self.strays
                    .extend(health::comments(&statement.place, &[statement]));
                self.draft.notes.push(note);
                Ok(())
            }
        }
    }

    fn corrected(&self, statement: &'a Statement) -> Result<Corrected<'a>, Note> {
        let left_out = |why: &str| {
            let message = format!("{} is left out: {why}", statement.heading());
            Note::new(&statement.place, message)
        };
        let lines = statement.statements().iter();
        let servers = lines
            .clone()
            .filter(|it| it.keyword() == "real_server")
            .flat_map(Statement::statements);
        if lines.chain(servers).any(value::is_snat) {
            return Err(left_out(
                "the gateway makes no SNAT, Linux can with nftables on the twins",
            ));
        }
        let mut service = VirtualServer::read(statement)?;
        let elements = match service.target {
            Target::One(element) => vec![(statement.place.clone(), element)],
            Target::Group(name) => match self.groups.get(name) {
                Some(group) => group.elements.clone(),
                None => return Err(left_out("there is no virtual_server_group of this name")),
            },
        };
        if service.servers.is_empty() {
            return Err(left_out("it has no real server, so keepalived ignores it"));
        }
        // keepalived's marks are of the family of their servers.
        let is_ipv6 = service.servers.iter().all(|server| server.addr.is_ipv6());
        if is_ipv6 || elements.is_empty() {
            let why = if is_ipv6 {
                IPV6
            } else {
                "its group has nothing to serve"
            };
            return Err(left_out(why));
        }
        let kinds: Vec<_> = elements.iter().map(|(_, element)| *element).collect();
        service.correct(&kinds);
        let watch = Watch::of(&mut service, &kinds, self.script_user);
        let pool = self.pool(&mut service);
        let mut common = common(&mut service);
        common.local_pool = pool.as_ref().and(service.local_group).map(str::to_owned);
        Ok(Corrected {
            pool,
            service,
            elements,
            common,
            watch,
        })
    }

    fn expand(&mut self, corrected: Corrected<'_>) -> Result<(), Note> {
        let Corrected {
            mut service,
            elements,
            mut common,
            watch,
            pool,
        } = corrected;
        let services: usize = elements.iter().map(|(_, element)| element.len()).sum();
        self.count += services.saturating_mul(1 + service.servers.len());
        if self.count > MOST {
            let message = format!("services and real servers are more than {MOST} from here on");
            return Err(Note::new(&service.statement.place, message));
        }
        common.name = name(&mut service, services);
        let place = &service.statement.place;
        let heading = service.statement.heading();
        let kept = service.servers.iter().flat_map(|server| &server.kept);
        let kept: Vec<_> = service.kept.iter().chain(kept).copied().collect();
        let summary = health::summary(&heading, place, &kept);
        self.draft.notes.extend(service.notes.iter().cloned());
        self.draft.notes.extend(summary);
        let mut is_first = true;
        for (at, element) in &elements {
            for key in keys(*element, service.protocol) {
                let mut comments = vec![format!("{place}: {heading}")];
                if at != place {
                    let line = at.seen_from(place);
                    comments.push(format!("{line}: of its group"));
                }
                if is_first {
                    comments.extend(first_comments(&service));
                }
                let mut service_of = common.clone();
                service_of.key = key;
                service_of.health = watch.service(key);
                if service_of
                    .vip()
                    .is_some_and(|vip| self.external.contains(&vip))
                {
                    service_of.placement = Placement::External;
                }
                let servers = service.servers.iter().enumerate();
                let servers = servers.map(|(number, server)| {
                    let mut draft = self.server(&service, server, key, is_first);
                    draft.server.health = watch.server(number);
                    draft
                });
                let servers = servers.collect();
                self.draft.services.push(ServiceDraft {
                    place: place.clone(),
                    comments,
                    service: service_of,
                    servers,
                    pool: pool.clone(),
                    is_left_out: false,
                });
                is_first = false;
            }
        }
        Ok(())
    }

    /// One server of one service. What is to be said of it is said at the first service.
    fn server(
        &mut self,
        of: &VirtualServer<'_>,
        server: &RealServer<'_>,
        key: ServiceKey,
        is_first: bool,
    ) -> ServerDraft {
        let place = &server.statement.place;
        let inherited = of.forwarding.as_ref();
        let forwarding = server.forwarding.as_ref().or(inherited).unwrap_or(&NAT);
        let at = place.seen_from(&of.statement.place);
        let mut comments = vec![format!("{at}: {}", server.statement.heading())];
        if is_first {
            comments.extend(health::comments(&of.statement.place, &server.kept));
        }
        let keeps_port = !forwarding.method.sees_replies();
        let port = match server.port {
            0 => key.port(),
            _ if keeps_port => key.port(),
            port => port,
        };
        let mut draft = ServerDraft {
            place: place.clone(),
            comments,
            server: Server {
                endpoint: Endpoint::new(server.addr, port),
                weight: Weight(server.weight.or(of.weight).unwrap_or(1)),
                method: forwarding.method,
                upper_threshold: server.upper_threshold,
                lower_threshold: server.lower_threshold,
                health: None,
            },
            is_left_out: forwarding.tunnel.is_some() || server.addr.is_ipv6(),
        };
        let heading = server.statement.heading();
        let mut unheard = Vec::new();
        let notes = if is_first {
            &mut self.draft.notes
        } else {
            &mut unheard
        };
        if server.port != 0 && server.port != port {
            let method = forwarding.method;
            let message = format!("{heading}: {method} cannot change the port, so it is {port}");
            draft.note(message, notes);
        }
        if let Some(tunnel) = &forwarding.tunnel {
            let message = format!(
                "{heading} is left out: tunnels of type {tunnel} come with a later version"
            );
            draft.note(message, notes);
        } else if server.addr.is_ipv6() {
            let shown = SocketAddr::new(server.addr, port);
            draft.note(format!("server {shown} is left out: {IPV6}"), notes);
        }
        draft
    }
}

/// What all services of a virtual server have in common; their keys are not.
fn common(service: &mut VirtualServer<'_>) -> Service {
    Service {
        name: None,
        key: ServiceKey::Mark(0),
        placement: Placement::Auto,
        scheduler: service.scheduler(),
        idle_flags: SchedulerFlags::default(),
        local_pool: None,
        unserved: None,
        mss_clamp: MssClamp::Auto,
        persistence: service.persistence(),
        one_packet: service.one_packet,
        health: None,
        servers: Vec::new(),
    }
}

/// `snmp_name` is what a service is called, if it is one service.
fn name(service: &mut VirtualServer<'_>, services: usize) -> Option<String> {
    let name = service.name?.to_owned();
    let is_name = !name.is_empty() && name.len() <= 64 && !name.chars().any(char::is_control);
    if is_name && services == 1 {
        return Some(name);
    }
    let why = if is_name {
        "it is of several services"
    } else {
        "it must have 1 to 64 printable characters"
    };
    service.say(format!("snmp_name is left out: {why}"));
    None
}

/// The keys of an element.
fn keys(element: Element, protocol: Option<Protocol>) -> Vec<ServiceKey> {
    match element {
        Element::Mark(mark) => vec![ServiceKey::Mark(mark)],
        Element::Addresses(..) => {
            // A service of an address always has one by now.
            let protocol = protocol.unwrap_or(Protocol::Udp);
            let endpoints = element.endpoints();
            let endpoints = endpoints.map(|(addr, port)| Endpoint::new(addr, port));
            endpoints
                .map(|endpoint| ServiceKey::address(protocol, endpoint))
                .collect()
        }
    }
}

/// What stands above the first service of a virtual server.
fn first_comments(service: &VirtualServer<'_>) -> Vec<String> {
    let place = &service.statement.place;
    let heading = format!("{}: ", service.statement.heading());
    let notes = service.notes.iter().map(|note| {
        let message = note.message.strip_prefix(&heading);
        let message = message.unwrap_or(&note.message);
        format!("{}: {message}", note.place.seen_from(place))
    });
    // Servers that say the same are often made of the same lines.
    let mut said = HashSet::new();
    let mut comments: Vec<_> = notes.filter(|note| said.insert(note.clone())).collect();
    let lines = health::comments(place, &service.kept);
    if !lines.is_empty() {
        comments.push("Not carried over:".to_owned());
        comments.extend(lines);
    }
    comments
}
