//! Local pools against each other and against the interfaces.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use super::super::RawConfig;
use super::super::local_pool::LocalPool;
use super::super::section::{Problems, Written};
use super::super::sizing;
use super::{Names, listed, see};

pub(super) fn check(raw: &RawConfig<'_>, names: &Names<'_>, problems: &Problems) {
    let own = own_addresses(raw);
    let mut pools = HashMap::new();
    let mut lips = HashMap::new();
    for pool in &raw.local_pools {
        let name = &pool.value.name;
        if let Some(first) = pools.insert(name, pool.at.line_of("name")) {
            let message = format!(
                "local pool \"{name}\" already exists{}: give this one another name",
                see(first)
            );
            problems.refuse(pool.at.line_of("name"), message);
        }
        check_lips(pool, &mut lips, problems);
    }
    for pool in raw.checked_pools() {
        check_own(pool, &own, problems);
        check_ports(pool, raw.gateway.workers.count(), problems);
        check_interface(pool, names, problems);
    }
}

/// Says what local addresses take of the memory, where that is much: no other key says it.
pub(super) fn check_memory(raw: &RawConfig<'_>, problems: &Problems) {
    const MUCH_MB: u64 = 1024;

    let mut seen = HashSet::new();
    let pools = raw.local_pools.iter();
    let lips = pools.flat_map(|pool| pool.value.lips().map(|lip| (lip, pool.value.ports.count())));
    let ports: u64 = lips
        .filter(|(lip, _)| seen.insert(*lip))
        .map(|(_, ports)| u64::from(ports))
        .sum();
    let workers = raw.gateway.workers.count();
    let needed = sizing::local_ports_mb(ports, workers);
    if let Some(pool) = raw.local_pools.first()
        && workers > 1
        && needed > MUCH_MB
    {
        let message = format!(
            "the {} addresses of all local pools take {needed} MB beside `memory_mb` where NICs \
             steer by RSS (each of {workers} workers may lend each port), {} MB otherwise: see that \
             there is as much, or give fewer addresses or `ports`",
            seen.len(),
            sizing::local_ports_mb(ports, 1),
        );
        problems.warn(pool.at.line_of("addresses"), message);
    }
}

fn own_addresses(raw: &RawConfig<'_>) -> HashSet<IpAddr> {
    let ports = raw.ports.iter();
    ports
        .flat_map(|port| port.value.interfaces())
        .flat_map(|(_, interface)| interface.addresses.iter())
        .map(|written| written.address)
        .collect()
}

fn check_lips<'a>(
    pool: &'a Written<'_, LocalPool>,
    lips: &mut HashMap<IpAddr, &'a LocalPool>,
    problems: &Problems,
) {
    let line = pool.at.line_of("addresses");
    let pool = &pool.value;
    for lip in pool.lips() {
        let Some(other) = lips.insert(lip, pool) else {
            continue;
        };
        let name = &other.name;
        // Services whose pools overlap share what they have in common.
        let is_shared = name != &pool.name;
        if is_shared && (other.ports, &other.interface) == (pool.ports, &pool.interface) {
            continue;
        }
        let message = match is_shared {
            true => format!(
                "local address {lip} is in pool \"{name}\" too: give both pools the same `ports` \
                 and `interface`"
            ),
            false => format!("local address {lip} is in pool \"{name}\" twice: once is enough"),
        };
        problems.refuse(line, message);
    }
}

fn check_own(pool: &Written<'_, LocalPool>, own: &HashSet<IpAddr>, problems: &Problems) {
    let line = pool.at.line_of("addresses");
    for lip in pool.value.lips() {
        if own.contains(&lip) {
            let message = format!(
                "local address {lip} is also the gateway's own: keep `ports` {} of pool \"{}\" \
                 apart from net.ipv4.ip_local_port_range, or take an address of its own",
                pool.value.ports, pool.value.name
            );
            problems.warn(line, message);
        }
    }
}

fn check_ports(pool: &Written<'_, LocalPool>, workers: u16, problems: &Problems) {
    let count = pool.value.ports.count();
    if count < u32::from(workers) {
        let message = format!(
            "`ports` {} are {count} for {workers} workers: every worker needs at least one",
            pool.value.ports
        );
        problems.refuse(pool.at.line_of("ports"), message);
    }
}

fn check_interface(pool: &Written<'_, LocalPool>, names: &Names<'_>, problems: &Problems) {
    let Some(interface) = &pool.value.interface else {
        return;
    };
    if !names.interfaces.contains(interface.as_str()) {
        let message = format!(
            "no port or VLAN is called `{interface}`: the names are {}",
            listed(&names.interfaces)
        );
        problems.refuse(pool.at.line_of("interface"), message);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{config, refusals, warnings};

    fn pool(name: &str, addresses: &str) -> String {
        format!("[[local_pool]]\nname = \"{name}\"\naddresses = [\"{addresses}\"]\n")
    }

    #[test]
    fn two_pools_of_one_name_are_refused() {
        let text = pool("lips", "10.2.0.1") + &pool("lips", "10.2.0.2");

        assert_eq!(
            refusals(&text),
            ["5: local pool \"lips\" already exists (line 2): give this one another name"]
        );
    }

    #[test]
    fn a_local_address_in_two_pools_has_the_same_ports_in_both() {
        let same = pool("a", "10.2.0.1-10.2.0.3") + &pool("b", "10.2.0.3");
        let other = format!("{same}ports = \"1024-2047\"\n");
        let twice = pool("a", "10.2.0.1-10.2.0.3\", \"10.2.0.3");

        assert_eq!(config(&same).local_pools().len(), 2);
        assert_eq!(
            refusals(&other),
            [
                "6: local address 10.2.0.3 is in pool \"a\" too: give both pools the same `ports` \
                 and `interface`"
            ]
        );
        assert_eq!(
            refusals(&twice),
            ["3: local address 10.2.0.3 is in pool \"a\" twice: once is enough"]
        );
    }

    #[test]
    fn fewer_ports_than_workers_are_refused() {
        let text = pool("a", "10.2.0.1") + "ports = \"2000-2002\"\n[gateway]\nworkers = 4\n";

        assert_eq!(
            refusals(&text),
            ["4: `ports` 2000-2002 are 3 for 4 workers: every worker needs at least one"]
        );
        config(&text.replace("2002", "2003"));
    }

    #[test]
    fn much_memory_for_local_ports_is_said_with_both_figures() {
        let workers = |count: u16| format!("[gateway]\nworkers = {count}\n");
        let pools = pool("a", "10.2.0.1-10.2.0.64") + &pool("b", "10.2.0.1-10.2.0.32");

        assert_eq!(
            warnings(&(pools.clone() + &workers(8))),
            [
                "3: the 64 addresses of all local pools take 2016 MB beside `memory_mb` where NICs \
                 steer by RSS (each of 8 workers may lend each port), 252 MB otherwise: see that \
                 there is as much, or give fewer addresses or `ports`"
            ]
        );
        let none: [&str; 0] = [];
        assert_eq!(warnings(&(pools.clone() + &workers(4))), none);
        assert_eq!(warnings(&(pools + &workers(1))), none);
    }

    #[test]
    fn an_interface_that_no_port_names_is_refused() {
        let text = pool("a", "10.2.0.1") + "interface = \"lan\"\n";

        assert_eq!(
            refusals(&text),
            ["4: no port or VLAN is called `lan`: the names are wan"]
        );
        config(&text.replace("\"lan\"", "\"wan\""));
    }

    #[test]
    fn a_local_address_that_is_the_gateways_own_is_a_warning() {
        let text = pool("a", "10.2.0.1")
            + "[[port]]\nname = \"wan\"\ndevice = \"net_null0\"\naddresses = [\"10.2.0.1/24\"]\n";

        assert_eq!(
            warnings(&text),
            [
                "3: local address 10.2.0.1 is also the gateway's own: keep `ports` 1024-65535 of \
                 pool \"a\" apart from net.ipv4.ip_local_port_range, or take an address of its own"
            ]
        );
    }
}
