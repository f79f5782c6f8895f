//! VIPs, RIPs and LIPs against each other: an address has one role.

use std::collections::HashMap;
use std::net::IpAddr;

use super::super::RawConfig;
use super::super::section::Problems;
use super::see;

pub(super) fn check(raw: &RawConfig<'_>, problems: &Problems) {
    let mut vips: HashMap<IpAddr, usize> = HashMap::new();
    for service in &raw.services {
        if let Some(vip) = service.value.vip() {
            vips.entry(vip).or_insert(service.at.line_of("vip"));
        }
    }
    let mut lips: HashMap<IpAddr, usize> = HashMap::new();
    for pool in &raw.local_pools {
        let line = pool.at.line_of("addresses");
        for lip in pool.value.lips() {
            lips.entry(lip).or_insert(line);
            if let Some(&vip_line) = vips.get(&lip) {
                let message = format!(
                    "local address {lip} is also a VIP{}: servers would answer to the service; \
                     take it out of the pool",
                    see(vip_line)
                );
                problems.refuse(line, message);
            }
        }
    }
    check_servers(raw, &vips, &lips, problems);
}

fn check_servers(
    raw: &RawConfig<'_>,
    vips: &HashMap<IpAddr, usize>,
    lips: &HashMap<IpAddr, usize>,
    problems: &Problems,
) {
    for service in &raw.services {
        let parts = service.parts.iter().copied();
        let servers = service.value.servers.iter().zip(parts);
        let sorry = service.value.sorry_server().into_iter();
        let sorry = sorry.zip(std::iter::once(service.at));
        for (server, at) in servers.chain(sorry) {
            let rip = server.endpoint.addr;
            let is_sorry = std::ptr::eq(at, service.at);
            let line = at.line_of(["address", "sorry_server.address"][usize::from(is_sorry)]);
            if let Some(&vip_line) = vips.get(&rip) {
                let message = format!(
                    "server {rip} has the address of a VIP{}: it is this gateway itself, and \
                     Linux gets its packets",
                    see(vip_line)
                );
                problems.warn(line, message);
            }
            if let Some(&lip_line) = lips.get(&rip) {
                let message = format!(
                    "server {rip} has a local address of a pool{}: \
                     give the server's own address, or take it out of the pool",
                    see(lip_line)
                );
                problems.refuse(line, message);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{refusals, warnings};

    const SERVICE: &str = "[[service]]\nprotocol = \"tcp\"\nvip = \"10.1.0.1\"\nport = 80\n\
                           [[service.server]]\naddress = \"10.2.0.11\"\n";

    #[test]
    fn a_server_with_the_address_of_a_vip_is_the_gateway() {
        let text = SERVICE.to_owned()
            + "[[service]]\nprotocol = \"udp\"\nvip = \"10.2.0.11\"\nport = 53\n";

        assert_eq!(
            warnings(&text)[0],
            "6: server 10.2.0.11 has the address of a VIP (line 9): it is this gateway itself, \
             and Linux gets its packets"
        );
    }

    #[test]
    fn a_local_address_is_neither_a_vip_nor_a_server() {
        let text = SERVICE.to_owned()
            + "[[local_pool]]\nname = \"p\"\naddresses = [\"10.2.0.10-10.2.0.12\"]\n\
               [[local_pool]]\nname = \"q\"\naddresses = [\"10.1.0.1\"]\n";

        assert_eq!(
            refusals(&text),
            [
                "6: server 10.2.0.11 has a local address of a pool (line 9): \
                 give the server's own address, or take it out of the pool",
                "12: local address 10.1.0.1 is also a VIP (line 3): servers would answer to \
                 the service; take it out of the pool",
            ]
        );
    }
}
