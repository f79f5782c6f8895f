//! How a virtual server watches its real servers: checkers, quorum, sorry server.

use std::net::IpAddr;
use std::sync::Arc;

use dataplane::address::Endpoint;
use dataplane::id::Weight;
use dataplane::service::ServiceKey;

use super::super::place::Note;
use super::checker::{self, Around};
use super::group::Element;
use super::service::VirtualServer;
use super::tree::Statement;
use super::value::{self, Forwarding, NAT};
use crate::config::{Check, Health, Server, ServerHealth, Start};

/// What a virtual server says of its quorum.
#[derive(Debug, Default)]
pub(super) struct Quorum<'a> {
    quorum: Option<u32>,
    hysteresis: Option<u32>,
    sorry: Option<(&'a Statement, IpAddr, u16)>,
    sorry_forwarding: Option<Forwarding>,
}

impl<'a> Quorum<'a> {
    /// Takes in a line, if it is about the quorum.
    pub(super) fn read(&mut self, line: &'a Statement, notes: &mut Vec<Note>) -> bool {
        const MOST: u32 = i32::MAX as u32;
        match line.keyword() {
            "quorum" => self.quorum = value::number(line, 1..=MOST, notes),
            "hysteresis" => self.hysteresis = value::number(line, 0..=MOST, notes),
            "sorry_server_lvs_method" => self.sorry_forwarding = value::forwarding(line, notes),
            "sorry_server" => match value::address_and_port(line.arguments()) {
                Ok((addr, port)) => self.sorry = Some((line, addr, port)),
                Err(why) => {
                    let message = format!("`{}` is left out: {why}", line.heading());
                    notes.push(Note::new(&line.place, message));
                }
            },
            _ => return false,
        }
        true
    }
}

/// How all services of a virtual server are watched.
#[derive(Debug, Default)]
pub(super) struct Watch {
    health: Health,
    /// The sorry server, whose port may be the service's.
    sorry: Option<Server>,
    /// Of each real server.
    servers: Vec<Option<Arc<ServerHealth>>>,
}

impl Watch {
    /// What the block says; what it says in vain is kept as a comment.
    pub(super) fn of(
        service: &mut VirtualServer<'_>,
        elements: &[Element],
        script_user: Option<&str>,
    ) -> Self {
        let mut watch = Self::default();
        watch.read_quorum(service);
        watch.read_sorry(service);
        let checks = checks(service, elements, script_user);
        if checks.iter().any(|checks| !checks.is_empty()) {
            // keepalived lets servers come and go.
            watch.health.damping = None;
        }
        watch.read_start(service, &checks);
        let is_common = |first: &Vec<Check>| checks.iter().all(|other| other == first);
        match checks.first().filter(|first| is_common(first)) {
            Some(common) => {
                watch.health.checks = common.clone().into();
                watch.servers = vec![None; checks.len()];
            }
            None => watch.servers = checks.into_iter().map(own).collect(),
        }
        watch
    }

    /// As the service of this key has it.
    pub(super) fn service(&self, key: ServiceKey) -> Option<Arc<Health>> {
        let sorry_server = self.sorry.clone().map(|mut sorry| {
            if sorry.endpoint.port == 0 || !sorry.method.sees_replies() {
                sorry.endpoint.port = key.port();
            }
            sorry
        });
        let health = Health {
            sorry_server,
            ..self.health.clone()
        };
        (health != Health::default()).then(|| Arc::new(health))
    }

    /// As the real server of this number has it.
    pub(super) fn server(&self, number: usize) -> Option<Arc<ServerHealth>> {
        self.servers.get(number).cloned().flatten()
    }

    /// keepalived corrects what could never be reached, or never be lost.
    fn read_quorum(&mut self, service: &mut VirtualServer<'_>) {
        let weights = service.servers.iter();
        let weights = weights.map(|it| u64::from(it.weight.or(service.weight).unwrap_or(1)));
        let sum = u32::try_from(weights.sum::<u64>())
            .unwrap_or(u32::MAX)
            .max(1);
        let said = service.quorum.quorum.unwrap_or(1);
        let quorum = said.min(sum);
        if quorum < said {
            service.say(format!(
                "quorum {said} is more than all weights together, so keepalived takes {quorum}"
            ));
        }
        let said = service.quorum.hysteresis.unwrap_or(0);
        let hysteresis = said.min(quorum - 1);
        if hysteresis < said {
            service.say(format!(
                "hysteresis {said} is not below the quorum, so keepalived takes {hysteresis}"
            ));
        }
        self.health.quorum = quorum;
        self.health.hysteresis = hysteresis;
    }

    fn read_sorry(&mut self, service: &mut VirtualServer<'_>) {
        let Some((line, addr, port)) = service.quorum.sorry else {
            return;
        };
        let of_service = service.forwarding.as_ref();
        let forwarding = service.quorum.sorry_forwarding.as_ref().or(of_service);
        let forwarding = forwarding.unwrap_or(&NAT);
        let why = match &forwarding.tunnel {
            Some(tunnel) => Some(format!(
                "tunnels of type {tunnel} come with a later version"
            )),
            None => addr.is_ipv6().then(|| super::super::fit::IPV6.to_owned()),
        };
        if let Some(why) = why {
            let message = format!("`{}` is left out: {why}", line.heading());
            service.notes.push(Note::new(&line.place, message));
            return;
        }
        self.sorry = Some(Server {
            endpoint: Endpoint::new(addr, port),
            weight: Weight(1),
            method: forwarding.method,
            upper_threshold: 0,
            lower_threshold: 0,
            health: None,
        });
    }

    /// What keepalived has of each real server, and the configuration of a service.
    fn read_start(&mut self, service: &mut VirtualServer<'_>, checks: &[Vec<Check>]) {
        let watched = service.servers.iter().zip(checks);
        let watched = watched.filter(|(_, checks)| !checks.is_empty());
        let inherited = watched.map(|(server, _)| server.inherited.within(&service.inherited));
        let (alpha, inhibit): (Vec<_>, Vec<_>) = inherited
            .map(|it| (it.alpha.unwrap_or(false), it.inhibit.unwrap_or(false)))
            .unzip();
        for (keyword, of_servers, key) in [
            ("alpha", &alpha, "start = \"down\""),
            ("inhibit_on_failure", &inhibit, "inhibit_on_failure"),
        ] {
            if of_servers.contains(&true) && of_servers.contains(&false) {
                service.say(format!(
                    "{keyword} is of some servers alone: left out, `{key}` is for all of a service"
                ));
            }
        }
        let all = |of_servers: &[bool]| !of_servers.is_empty() && !of_servers.contains(&false);
        if all(&alpha) {
            self.health.start = Start::Down;
        }
        self.health.inhibit_on_failure = all(&inhibit);
    }
}

/// The checks of each real server.
fn checks(
    service: &mut VirtualServer<'_>,
    elements: &[Element],
    script_user: Option<&str>,
) -> Vec<Vec<Check>> {
    let is_every_port = elements.iter().any(|element| match element {
        Element::Mark(_) => true,
        Element::Addresses(_, _, port) => *port == 0,
    });
    let mut all = Vec::new();
    for server in &mut service.servers {
        let inherited = server.inherited.within(&service.inherited);
        let around = Around {
            inherited: &inherited,
            service: &service.inherited,
            port: Some(server.port).filter(|port| is_every_port && *port != 0),
            has_port: !is_every_port,
            script_user,
        };
        let mut checks = Vec::new();
        for statement in &server.checkers {
            match checker::read(statement, &around, &mut service.notes) {
                Some(read) => checks.extend(read),
                None => server.kept.push(statement),
            }
        }
        all.push(checks);
    }
    all
}

/// Checks that a server has for itself.
fn own(checks: Vec<Check>) -> Option<Arc<ServerHealth>> {
    (!checks.is_empty()).then(|| {
        Arc::new(ServerHealth {
            checks: Some(checks.into()),
            ..ServerHealth::default()
        })
    })
}
