//! The range of check addresses against all other addresses: it stands for servers, and nobody has
//! an address of it.

use std::net::IpAddr;

use super::super::RawConfig;
use super::super::section::Problems;
use super::see;
use crate::health::check_path::CheckRange;

pub(super) fn check(raw: &RawConfig<'_>, problems: &Problems) {
    let Some(range) = raw.check_interface.range else {
        return;
    };
    let line = raw.root.line_of("health.check_addresses");
    let refuse = |at: usize, what: &str, address: IpAddr| {
        let message = format!(
            "{what} {address} is one of `check_addresses`{}, which stand for servers: give checks \
             a range that nobody uses",
            see(line)
        );
        problems.refuse(at, message);
    };
    for service in raw.checked_services() {
        if let Some(vip) = service.value.vip().filter(|vip| range.contains(*vip)) {
            refuse(service.at.line_of("vip"), "VIP", vip);
        }
        let sorry = service.value.sorry_server().map(|it| it.endpoint.addr);
        if let Some(address) = sorry.filter(|addr| range.contains(*addr)) {
            refuse(
                service.at.line_of("sorry_server.address"),
                "sorry server",
                address,
            );
        }
        for (server, at) in service.value.servers.iter().zip(&service.parts) {
            let address = server.endpoint.addr;
            if range.contains(address) {
                refuse(at.line_of("address"), "server", address);
            }
        }
    }
    for pool in raw.checked_pools() {
        let inside = pool.value.lips().find(|lip| range.contains(*lip));
        if let Some(lip) = inside {
            refuse(pool.at.line_of("addresses"), "local address", lip);
        }
    }
    check_ports(raw, range, &refuse, problems);
}

fn check_ports(
    raw: &RawConfig<'_>,
    range: CheckRange,
    refuse: &dyn Fn(usize, &str, IpAddr),
    problems: &Problems,
) {
    let name = &raw.check_interface.name;
    for port in &raw.ports {
        let tables = std::iter::once(port.at).chain(port.parts.iter().copied());
        for ((_, interface), at) in port.value.interfaces().zip(tables) {
            let own = interface.addresses.iter().map(|it| it.address);
            if let Some(address) = own.into_iter().find(|it| range.contains(*it)) {
                refuse(at.line_of("addresses"), "address", address);
            }
            if interface.twin.name == *name {
                let message = format!(
                    "twin \"{name}\" has the name of the check interface: give one of them another"
                );
                problems.refuse(at.line_of("twin.name"), message);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{config, refusals};

    const RANGE: &str = "[health]\ncheck_addresses = \"198.18.0.0/20\"\n";

    #[test]
    fn no_service_pool_or_port_has_an_address_of_the_range() {
        let text = format!(
            "{RANGE}[[port]]\nname = \"wan\"\ndevice = \"net_null0\"\n\
             addresses = [\"198.18.1.1/24\"]\ntwin = {{ name = \"sluice-check\" }}\n\
             [[local_pool]]\nname = \"lips\"\naddresses = [\"198.18.2.1-198.18.2.9\"]\n\
             [[service]]\nprotocol = \"tcp\"\nvip = \"198.18.3.1\"\nport = 80\n\
             [[service.server]]\naddress = \"198.18.4.1\"\n"
        );
        let is_one = "is one of `check_addresses` (line 2), which stand for servers: \
                      give checks a range that nobody uses";

        assert_eq!(
            refusals(&text),
            [
                format!("6: address 198.18.1.1 {is_one}"),
                "7: twin \"sluice-check\" has the name of the check interface: give one of them \
                 another"
                    .to_owned(),
                format!("10: local address 198.18.2.1 {is_one}"),
                format!("13: VIP 198.18.3.1 {is_one}"),
                format!("16: server 198.18.4.1 {is_one}"),
            ]
        );
        let beside = text
            .replace("198.18.", "198.17.")
            .replacen("198.17.", "198.18.", 1);
        config(&beside.replace("sluice-check", "sluice-wan"));
    }
}
