//! Services against each other and against what they refer to.

use std::collections::HashMap;
use std::net::IpAddr;

use dataplane::address::Protocol;
use dataplane::schedule::MAGLEV_MAX_SERVERS;
use dataplane::service::{SchedulerKind, Unserved};

use super::super::section::{Problems, Written};
use super::super::service::Service;
use super::super::vip::Placement;
use super::super::written::unserved_word;
use super::super::{RawConfig, Vip};
use super::{Names, health, listed, see, servers};

pub(super) fn check(raw: &RawConfig<'_>, names: &Names<'_>, problems: &Problems) {
    check_unique(raw, problems);
    check_shared_vips(raw, problems);
    for service in raw.checked_services() {
        servers::check(service, raw, problems);
        health::check(service, raw, problems);
        check_references(service, names, problems);
        if let Err((line, message)) = check_kind(service) {
            problems.refuse(line, message);
        }
        if service.value.key.is_ipv6() {
            let message = format!(
                "{}: this version does not forward IPv6; its packets go to Linux",
                service.value.key()
            );
            let key = service.value.vip().map_or("family", |_| "vip");
            problems.warn(service.at.line_of(key), message);
        }
        let servers = service.value.servers.len();
        if matches!(service.value.scheduler, SchedulerKind::Mh { .. })
            && servers > MAGLEV_MAX_SERVERS
        {
            let message = format!(
                "{} has {servers} servers, but mh chooses among {MAGLEV_MAX_SERVERS} at most: give \
                 it another scheduler, or split it",
                service.value.key()
            );
            problems.refuse(service.at.line_of("scheduler"), message);
        }
        // Servers that could not be read are there all the same.
        if service.value.servers.is_empty() && super::tables(service.at, "server").is_empty() {
            let message = format!(
                "{} has no server: every connection is refused until one is added",
                service.value.key()
            );
            problems.warn(service.at.line, message);
        }
    }
}

/// Every VIP once, with what its services say about it together.
pub(in super::super) fn vips(services: &[Service]) -> Vec<Vip<'_>> {
    let mut slots: HashMap<IpAddr, usize> = HashMap::new();
    let mut vips: Vec<Vip<'_>> = Vec::new();
    for service in services {
        let Some(address) = service.vip() else {
            continue;
        };
        let slot = *slots.entry(address).or_insert_with(|| {
            vips.push(Vip {
                address,
                placement: &Placement::Auto,
                unserved: Unserved::Linux,
            });
            vips.len() - 1
        });
        if let Some(unserved) = service.unserved {
            vips[slot].unserved = unserved;
        }
        if service.placement != Placement::Auto {
            vips[slot].placement = &service.placement;
        }
    }
    vips
}

fn check_unique(raw: &RawConfig<'_>, problems: &Problems) {
    let mut keys = HashMap::new();
    let mut names = HashMap::new();
    for service in &raw.services {
        let key = service.value.key();
        if let Some(first) = keys.insert(key, service.at.line) {
            let other = service.value.vip().map_or("mark", |_| "port");
            let message = format!(
                "service {key} already exists{}: put these servers there, or change the {other}",
                see(first)
            );
            problems.refuse(service.at.line, message);
        }
        let Some(name) = &service.value.name else {
            continue;
        };
        let line = service.at.line_of("name");
        if let Some(first) = names.insert(name, line) {
            let message = format!(
                "\"{name}\" is already the name of another service{}: give this one another",
                see(first)
            );
            problems.refuse(line, message);
        }
    }
}

fn check_shared_vips(raw: &RawConfig<'_>, problems: &Problems) {
    let mut unserved: HashMap<IpAddr, (Unserved, usize)> = HashMap::new();
    let mut placements: HashMap<IpAddr, (&Placement, usize)> = HashMap::new();
    for Written { value, at, .. } in &raw.services {
        let Some(vip) = value.vip() else {
            continue;
        };
        if let Some(now) = value.unserved {
            let line = at.line_of("unserved");
            let (first, first_line) = *unserved.entry(vip).or_insert((now, line));
            if first != now {
                let message = format!(
                    "`unserved` of VIP {vip} is \"{}\" here and \"{}\" elsewhere{}: \
                     it belongs to the VIP, so say the same or leave it out",
                    unserved_word(now),
                    unserved_word(first),
                    see(first_line)
                );
                problems.refuse(line, message);
            }
        }
        if value.placement != Placement::Auto {
            let line = at.line_of("vip");
            let now = &value.placement;
            let (first, first_line) = *placements.entry(vip).or_insert((now, line));
            if first != now {
                let message = format!(
                    "VIP {vip} is placed otherwise by another of its services{}: \
                     say the same or leave it out",
                    see(first_line)
                );
                problems.refuse(line, message);
            }
        }
    }
}

/// What a service of this key cannot have.
fn check_kind(service: &Written<'_, Service>) -> Result<(), (usize, String)> {
    let Written { value, at, .. } = service;
    let key = value.key();
    if value.one_packet && key.protocol().is_some_and(|it| it != Protocol::Udp) {
        let message = format!(
            "`one_packet` schedules every datagram for itself, but {key} has none: take it away"
        );
        return Err((at.line_of("one_packet"), message));
    }
    if value.unserved.is_some() && value.vip().is_none() {
        let message = format!(
            "`unserved` belongs to a VIP, and {key} has none: take it away, or say it in a \
             service of the VIP"
        );
        return Err((at.line_of("unserved"), message));
    }
    Ok(())
}

fn check_references(service: &Written<'_, Service>, names: &Names<'_>, problems: &Problems) {
    let Written { value, at, .. } = service;
    let pool = value.local_pool.as_deref();
    if let Some(pool) = pool.filter(|pool| !names.pools.contains(pool)) {
        let message = match listed(&names.pools).as_str() {
            "" => format!("there is no local pool \"{pool}\": add a [[local_pool]] of this name"),
            pools => format!("there is no local pool \"{pool}\": the names are {pools}"),
        };
        problems.refuse(at.line_of("local_pool"), message);
    }
    let Placement::Interface(interface) = &value.placement else {
        return;
    };
    if !names.interfaces.contains(interface.as_str()) {
        let message = format!(
            "no port or VLAN is called `{interface}`: the names are {}",
            listed(&names.interfaces)
        );
        problems.refuse(at.line_of("vip.interface"), message);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{config, refusals, warnings};
    use super::*;

    /// A service of four lines and a server of two.
    fn service(vip: &str, port: u16, rest: &str) -> String {
        format!(
            "[[service]]\nprotocol = \"tcp\"\nvip = {vip}\nport = {port}\n{rest}\
             [[service.server]]\naddress = \"10.2.0.11\"\n"
        )
    }

    #[test]
    fn a_service_is_there_once() {
        let text = service("\"10.1.0.1\"", 80, "") + &service("\"10.1.0.1\"", 80, "");

        assert_eq!(
            refusals(&text),
            ["7: service tcp 10.1.0.1:80 already exists (line 1): \
                 put these servers there, or change the port"]
        );
        config(&text.replacen("tcp", "udp", 1));
    }

    #[test]
    fn a_services_name_is_its_own() {
        let text = service("\"10.1.0.1\"", 80, "name = \"web\"\n")
            + &service("\"10.1.0.1\"", 81, "name = \"web\"\n");

        assert_eq!(
            refusals(&text),
            [
                "12: \"web\" is already the name of another service (line 5): \
                 give this one another"
            ]
        );
    }

    #[test]
    fn what_belongs_to_the_vip_must_agree() {
        let vip = |rest: &str| format!("{{ address = \"10.1.0.1\"{rest} }}");
        let text = service(
            &vip(", place = \"external\""),
            80,
            "unserved = \"reject\"\n",
        ) + &service(&vip(", interface = \"wan\""), 81, "unserved = \"drop\"\n")
            + &service(&vip(""), 82, "");

        assert_eq!(
            refusals(&text),
            [
                "10: VIP 10.1.0.1 is placed otherwise by another of its services (line 3): \
                 say the same or leave it out",
                "12: `unserved` of VIP 10.1.0.1 is \"drop\" here and \"reject\" elsewhere \
                 (line 5): it belongs to the VIP, so say the same or leave it out",
            ]
        );
    }

    #[test]
    fn a_vip_gathers_what_its_services_say() {
        let text = service("\"10.1.0.1\"", 80, "")
            + &service("\"10.1.0.2\"", 80, "")
            + &service(
                "{ address = \"10.1.0.1\", interface = \"wan\" }",
                81,
                "unserved = \"drop\"\n",
            );

        let config = config(&text);

        let wan = Placement::Interface("wan".to_owned());
        assert_eq!(
            config.vips(),
            [
                Vip {
                    address: "10.1.0.1".parse().unwrap(),
                    placement: &wan,
                    unserved: Unserved::Drop,
                },
                Vip {
                    address: "10.1.0.2".parse().unwrap(),
                    placement: &Placement::Auto,
                    unserved: Unserved::Linux,
                },
            ]
        );
    }

    #[test]
    fn references_to_nothing_are_refused() {
        let text = service(
            "{ address = \"10.1.0.1\", interface = \"lan\" }",
            80,
            "local_pool = \"lips\"\n",
        );

        assert_eq!(
            refusals(&text),
            [
                "3: no port or VLAN is called `lan`: the names are wan",
                "5: there is no local pool \"lips\": add a [[local_pool]] of this name",
            ]
        );
        let pool = "[[local_pool]]\nname = \"lip\"\naddresses = [\"10.2.0.200\"]\n";
        assert!(
            refusals(&(text + pool))
                .contains(&"5: there is no local pool \"lips\": the names are lip".to_owned())
        );
    }

    #[test]
    fn a_reference_to_something_unreadable_is_no_second_mistake() {
        let text = service("\"10.1.0.1\"", 80, "local_pool = \"lips\"\n")
            + "method = \"fullnat\"\n[[local_pool]]\nname = \"lips\"\naddresses = [\"x\"]\n";

        assert_eq!(
            refusals(&text),
            ["11: `addresses` \"x\" is not an IP address: \
                 write it like 10.2.0.11 or 2001:db8::11"]
        );
    }

    #[test]
    fn mh_takes_no_more_servers_than_its_table_has_slots() {
        let server = |n: usize| {
            let [high, low] = [n / 250, n % 250 + 1];
            format!("[[service.server]]\naddress = \"10.2.{high}.{low}\"\n")
        };
        let text = "[[service]]\nprotocol = \"tcp\"\nvip = \"10.1.0.1\"\nport = 80\n\
                    scheduler = \"mh\"\n"
            .to_owned();
        let most: String = (0..MAGLEV_MAX_SERVERS).map(server).collect();

        assert_eq!(
            config(&(text.clone() + &most)).services()[0].servers.len(),
            MAGLEV_MAX_SERVERS
        );
        assert_eq!(
            refusals(&(text + &most + &server(MAGLEV_MAX_SERVERS))),
            [
                "5: tcp 10.1.0.1:80 has 4094 servers, but mh chooses among 4093 at most: give it \
              another scheduler, or split it"
            ]
        );
    }

    #[test]
    fn what_a_kind_of_service_cannot_have_is_refused() {
        let text = service("\"10.1.0.1\"", 80, "one_packet = true\n")
            + "[[service]]\nmark = 3\nunserved = \"drop\"\n\
               [[service.server]]\naddress = \"10.2.0.11\"\n";

        assert_eq!(
            refusals(&text),
            [
                "5: `one_packet` schedules every datagram for itself, but tcp 10.1.0.1:80 has \
                 none: take it away",
                "10: `unserved` belongs to a VIP, and mark 3 has none: take it away, or say it in \
                 a service of the VIP",
            ]
        );
    }

    #[test]
    fn a_mark_has_one_service_and_no_vip() {
        let text = "[[service]]\nmark = 3\n[[service.server]]\naddress = \"10.2.0.11\"\n";

        assert!(config(text).vips().is_empty());
        assert_eq!(
            refusals(&(text.to_owned() + text)),
            [
                "5: service mark 3 already exists (line 1): put these servers there, or change the \
                 mark"
            ]
        );
    }

    #[test]
    fn services_that_cannot_serve_are_warnings() {
        assert_eq!(
            warnings("[[service]]\nprotocol = \"tcp\"\nvip = \"2001:db8::1\"\nport = 80\n"),
            [
                "1: tcp [2001:db8::1]:80 has no server: \
                 every connection is refused until one is added",
                "3: tcp [2001:db8::1]:80: this version does not forward IPv6; \
                 its packets go to Linux",
            ]
        );
    }
}
