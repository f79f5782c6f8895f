//! What IPVS or keepalived took but the configuration refuses: mended where the meaning allows,
//! else left out, and always said.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use dataplane::address::Endpoint;
use dataplane::schedule::MAGLEV_MAX_SERVERS;
use dataplane::service::{Method, SchedulerKind, ServiceKey};

use super::draft::{Draft, ServerDraft, ServiceDraft};
use super::place::{Note, Place};
use crate::config::{MAX_POOL_ADDRESSES, Service, not_a_host};

/// Makes every service one that the configuration takes.
pub(super) fn fit(draft: &mut Draft) {
    let Draft {
        services, notes, ..
    } = draft;
    let mut keys: HashMap<ServiceKey, Place> = HashMap::new();
    let mut names = HashSet::new();
    for service in &mut *services {
        if service.is_left_out {
            continue;
        }
        if let Some(why) = service_problem(service, &keys) {
            service.leave_out(&why, notes);
            continue;
        }
        keys.insert(service.service.key(), service.place.clone());
        if let Some(name) = service
            .service
            .name
            .take_if(|name| !names.insert(name.clone()))
        {
            let message = format!("its name {name} is that of another service: left out");
            service.note(&service.place.clone(), message, notes);
        }
    }
    let written = services.iter().filter(|service| !service.is_left_out);
    let vips: HashSet<IpAddr> = written.filter_map(|it| it.service.vip()).collect();
    let written = services.iter().filter(|service| !service.is_left_out);
    let servers = written.flat_map(|service| &service.servers);
    let rips: HashSet<IpAddr> = servers.map(|it| it.server.endpoint.addr).collect();
    for service in services {
        fit_pool(service, &vips, &rips, notes);
        fit_servers(service, &vips, notes);
        fit_sorry(service, &vips, notes);
        fit_quorum(service, notes);
    }
    // The services of a group have the same servers, and the same to say of them.
    let mut said = HashSet::new();
    notes.retain(|note| said.insert(note.to_string()));
    sort(notes);
}

/// Puts notes in the order of their lines, file by file.
fn sort(notes: &mut [Note]) {
    let mut files = HashMap::new();
    for note in &*notes {
        let next = files.len();
        files.entry(Arc::clone(&note.place.file)).or_insert(next);
    }
    notes.sort_by_key(|note| (files.get(&note.place.file).copied(), note.place.line));
}

/// Why the configuration has no such service.
fn service_problem(service: &ServiceDraft, keys: &HashMap<ServiceKey, Place>) -> Option<String> {
    let key = service.service.key();
    let vip = service.service.vip();
    if let Some(what) = vip.and_then(not_a_host) {
        return Some(format!("its VIP is {what}"));
    }
    if let Some(first) = keys.get(&key) {
        let first = first.seen_from(&service.place);
        return Some(format!("it is there already ({first})"));
    }
    let servers = service.servers.len();
    let is_maglev = matches!(service.service.scheduler, SchedulerKind::Mh { .. });
    (is_maglev && servers > MAGLEV_MAX_SERVERS).then(|| {
        format!("it has {servers} servers, but mh chooses among {MAGLEV_MAX_SERVERS} at most")
    })
}

/// Why a service or server of IPv6 in keepalived's file is left out.
pub(super) const IPV6: &str = "this version forwards IPv4 alone, IPv6 comes with a later one";

/// Leaves out local addresses that no pool can have.
fn fit_pool(
    service: &mut ServiceDraft,
    vips: &HashSet<IpAddr>,
    rips: &HashSet<IpAddr>,
    notes: &mut Vec<Note>,
) {
    if service.is_left_out {
        return;
    }
    let Some(mut pool) = service.pool.take() else {
        return;
    };
    let mut kept = 0;
    pool.addresses.retain(|(place, addr)| {
        let problem = if let Some(what) = not_a_host(*addr) {
            Some(format!("it is {what}"))
        } else if vips.contains(addr) {
            Some("it is a VIP here, so servers would answer to the service".to_owned())
        } else if rips.contains(addr) {
            Some("it is a server's own".to_owned())
        } else if kept == MAX_POOL_ADDRESSES {
            Some(format!("a pool has at most {MAX_POOL_ADDRESSES}"))
        } else {
            kept += 1;
            None
        };
        if let Some(why) = &problem {
            let message = format!("local address {addr} is left out: {why}");
            service.note(place, message, notes);
        }
        problem.is_none()
    });
    if pool.addresses.is_empty() {
        service.service.local_pool = None;
    } else {
        service.pool = Some(pool);
    }
}

fn fit_servers(service: &mut ServiceDraft, vips: &HashSet<IpAddr>, notes: &mut Vec<Note>) {
    let ServiceDraft {
        service: of,
        servers,
        is_left_out,
        ..
    } = service;
    // The servers of a service that is not there need no word of their own.
    if *is_left_out {
        return;
    }
    let mut endpoints = HashSet::new();
    for server in servers {
        if server.is_left_out {
            continue;
        }
        mend(of, server, notes);
        let endpoint = server.server.endpoint;
        let problem = server_problem(of, server, vips).or_else(|| {
            let is_new = endpoints.insert((endpoint.addr, endpoint.port));
            (!is_new).then(|| "it is there already".to_owned())
        });
        if let Some(why) = problem {
            server.is_left_out = true;
            let message = format!("server {} is left out: {why}", shown(endpoint));
            server.note(message, notes);
        } else if server.server.method == Method::Fullnat && of.local_pool.is_none() {
            let message = format!(
                "server {} is reached by fullnat, but its service has no local addresses: its \
                 connections are dropped until there is a `local_pool`",
                shown(endpoint)
            );
            server.note(message, notes);
        }
    }
}

/// Leaves out a sorry server that the configuration does not take.
fn fit_sorry(service: &mut ServiceDraft, vips: &HashSet<IpAddr>, notes: &mut Vec<Note>) {
    let Some(endpoint) = service.service.sorry_server().map(|it| it.endpoint) else {
        return;
    };
    let servers = service.servers.iter().filter(|it| !it.is_left_out);
    let is_server = servers
        .map(|it| it.server.endpoint)
        .any(|it| it == endpoint);
    let why = if let Some(what) = not_a_host(endpoint.addr) {
        format!("its address is {what}")
    } else if vips.contains(&endpoint.addr) {
        "its address is a VIP here, so packets to it would come back".to_owned()
    } else if is_server {
        "it is one of the servers".to_owned()
    } else {
        return;
    };
    if let Some(health) = &mut service.service.health {
        Arc::make_mut(health).sorry_server = None;
    }
    if !service.is_left_out {
        let message = format!("sorry server {} is left out: {why}", shown(endpoint));
        service.note(&service.place.clone(), message, notes);
    }
}

/// Lowers a quorum that only servers which are left out could have made.
fn fit_quorum(service: &mut ServiceDraft, notes: &mut Vec<Note>) {
    let Some(quorum) = service.service.health.as_ref().map(|it| it.quorum) else {
        return;
    };
    let servers = service.servers.iter().filter(|it| !it.is_left_out);
    let sum: u64 = servers.map(|it| u64::from(it.server.weight.0)).sum();
    let most = u32::try_from(sum).unwrap_or(u32::MAX).max(1);
    if service.is_left_out || quorum <= most {
        return;
    }
    if let Some(health) = &mut service.service.health {
        let health = Arc::make_mut(health);
        health.quorum = most;
        health.hysteresis = health.hysteresis.min(most - 1);
    }
    let message = format!("its quorum {quorum} becomes {most}, all that its servers here weigh");
    service.note(&service.place.clone(), message, notes);
}

/// Changes what can be changed without another meaning.
fn mend(of: &Service, draft: &mut ServerDraft, notes: &mut Vec<Note>) {
    let server = &mut draft.server;
    let (method, port) = (server.method, of.key().port());
    let name = shown(server.endpoint);
    let mut messages = Vec::new();
    if server.endpoint.port == 0 {
        // To IPVS too, such a server has the port that the packet was sent to.
        server.endpoint.port = port;
    } else if server.endpoint.port != port && !method.sees_replies() {
        server.endpoint.port = port;
        messages.push(format!(
            "server {name} gets port {port}: {method} cannot change the port"
        ));
    }
    let (upper, lower) = (server.upper_threshold, server.lower_threshold);
    if lower > upper {
        server.lower_threshold = 0;
        messages.push(format!(
            "server {name} loses its lower threshold {lower}, which is above the upper one, {upper}"
        ));
    }
    for message in messages {
        draft.note(message, notes);
    }
}

/// Why the configuration has no such server of such a service.
fn server_problem(of: &Service, draft: &ServerDraft, vips: &HashSet<IpAddr>) -> Option<String> {
    let server = &draft.server;
    let addr = server.endpoint.addr;
    if let Some(what) = not_a_host(addr) {
        return Some(format!("its address is {what}"));
    }
    if vips.contains(&addr) {
        return Some("its address is a VIP here, so packets to it would come back".to_owned());
    }
    (server.method == Method::Fullnat && of.one_packet)
        .then(|| "one-packet scheduling and fullnat exclude each other".to_owned())
}

fn shown(endpoint: Endpoint<IpAddr>) -> std::net::SocketAddr {
    std::net::SocketAddr::new(endpoint.addr, endpoint.port)
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::super::{ipvsadm, keepalived};
    use super::*;
    use crate::ipvs::SystemNames;

    fn fitted(mut draft: Draft) -> (Draft, Vec<String>) {
        fit(&mut draft);
        let notes = draft.notes().iter().map(ToString::to_string).collect();
        (draft, notes)
    }

    fn from_keepalived(text: &str) -> (Draft, Vec<String>) {
        let files = [(PathBuf::from("k.conf"), text.to_owned())];
        fitted(keepalived::read(&files, None).unwrap())
    }

    fn rules(text: &str) -> Draft {
        ipvsadm::read(text, Path::new("r"), &SystemNames::default()).unwrap()
    }

    #[test]
    fn a_name_is_of_one_service() {
        let service = |n: u16| {
            format!(
                "virtual_server 10.0.0.1 {n} {{\n protocol TCP\n snmp_name web\n\
                 real_server 10.2.0.1 80\n}}\n"
            )
        };

        let (draft, notes) = from_keepalived(&(service(80) + &service(81)));

        let names: Vec<_> = draft
            .services
            .iter()
            .map(|it| it.service.name.clone())
            .collect();
        assert_eq!(names, [Some("web".to_owned()), None]);
        assert_eq!(
            notes,
            ["k.conf:6: its name web is that of another service: left out"]
        );
    }

    #[test]
    fn a_quorum_is_in_reach_of_the_servers_that_are_taken_over() {
        let (draft, notes) = from_keepalived(
            "virtual_server 10.0.0.1 80 {\n protocol TCP\n quorum 5\n hysteresis 4\n\
             real_server 10.2.0.1 80 {\n weight 3\n TCP_CHECK {\n}\n}\n\
             real_server 2001:db8::1 80 {\n weight 3\n TCP_CHECK {\n}\n}\n}\n",
        );

        let health = draft.services[0].service.health.as_ref().unwrap();
        assert_eq!((health.quorum, health.hysteresis), (3, 2));
        assert!(
            notes.contains(
                &"k.conf:1: its quorum 5 becomes 3, all that its servers here weigh".to_owned()
            ),
            "{notes:?}"
        );
    }

    #[test]
    fn mh_has_no_more_servers_than_its_table() {
        let (draft, notes) = from_keepalived(
            "virtual_server 10.0.0.1 80 {\n protocol TCP\n lb_algo mh\n\
             ~SEQ(A, 1, 17) ~SEQ(B, 1, 250) real_server 10.2.${A}.${B} 80\n}\n",
        );

        assert_eq!(draft.service_count(), 0);
        assert_eq!(
            notes,
            [
                "k.conf:1: tcp 10.0.0.1:80 is left out: it has 4250 servers, but mh chooses among \
                 4093 at most"
            ]
        );
    }

    #[test]
    fn a_local_address_is_nobody_elses() {
        let (draft, notes) = fitted(rules(
            "-A -t 10.0.0.1:80\n-a -t 10.0.0.1:80 -r 10.2.0.1 -b\n\
             -P -t 10.0.0.1:80 -z 10.0.0.1\n-P -t 10.0.0.1:80 -z 10.2.0.1\n\
             -P -t 10.0.0.1:80 -z 127.0.0.1\n-P -t 10.0.0.1:80 -z 10.2.0.9\n",
        ));

        let pool = draft.services[0].pool.as_ref().unwrap();
        let kept: Vec<_> = pool
            .addresses
            .iter()
            .map(|(_, it)| it.to_string())
            .collect();
        assert_eq!(kept, ["10.2.0.9"]);
        assert_eq!(
            notes,
            [
                "r:3: local address 10.0.0.1 is left out: it is a VIP here, so servers would \
                 answer to the service",
                "r:4: local address 10.2.0.1 is left out: it is a server's own",
                "r:5: local address 127.0.0.1 is left out: it is a loopback address",
            ]
        );
    }

    #[test]
    fn what_keeps_the_port_has_the_services() {
        let (draft, notes) = fitted(rules(
            "-A -f 1\n-a -f 1 -r 10.2.0.1:80 -g\n-a -f 1 -r 10.2.0.1:81 -i\n\
             -a -f 1 -r 10.2.0.1:82 -m\n",
        ));

        let written = draft.services[0].servers.iter();
        let written: Vec<_> = written
            .filter(|server| !server.is_left_out)
            .map(|server| server.server.endpoint.port)
            .collect();
        assert_eq!(written, [0, 82]);
        assert_eq!(
            notes,
            [
                "r:2: server 10.2.0.1:80 gets port 0: dr cannot change the port",
                "r:3: server 10.2.0.1:81 gets port 0: tun cannot change the port",
                "r:3: server 10.2.0.1:0 is left out: it is there already",
            ]
        );
    }

    #[test]
    fn fullnat_needs_local_addresses_and_sessions() {
        let (draft, notes) = fitted(rules(
            "-A -u 10.0.0.1:80\n-a -u 10.0.0.1:80 -r 10.2.0.1 -b\n\
             -A -u 10.0.0.1:81 -o\n-a -u 10.0.0.1:81 -r 10.2.0.1 -b\n",
        ));

        assert_eq!(draft.server_count(), 1);
        assert_eq!(
            notes,
            [
                "r:2: server 10.2.0.1:80 is reached by fullnat, but its service has no local \
                 addresses: its connections are dropped until there is a `local_pool`",
                "r:4: server 10.2.0.1:81 is left out: one-packet scheduling and fullnat exclude \
                 each other",
            ]
        );
    }
}
