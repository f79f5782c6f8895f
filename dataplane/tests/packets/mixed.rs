//! A method belongs to a server, so one service may mix them.

use dataplane::address::{Endpoint, Protocol};
use dataplane::testing::*;

use crate::common::*;

#[test]
fn each_server_is_reached_by_its_own_method() {
    // Given one service with a server of each method, added in this order.
    let rip_4 = endpoint([10, 2, 0, 14], 80);
    let service = service(Protocol::Udp, VIP)
        .dr(RIP_1)
        .nat(RIP_2)
        .tun(RIP_3)
        .fullnat(rip_4);
    let mut gateway = serving(Setup::two_arm(), &service);
    gateway.change(|editor| {
        let rip_4 = std::net::IpAddr::from([10, 2, 0, 14]);
        editor.set_neighbour(SERVER_SIDE, rip_4, Some(RIP_1_MAC));
    });

    // When four clients ask; round robin begins with the server added last.
    let sent: Vec<_> = (1..=4_u16)
        .flat_map(|n| gateway.forward(&udp().dont_fragment().from(client(n + 1_023)).build()))
        .collect();

    // Then each packet is as its server's method wants it.
    let to = |mac| (GATEWAY_SERVER_MAC, mac);
    let datagram = |mac, ends| on(udp().dont_fragment(), &hop(to(mac), ends, 63)).build();
    let inner = datagram(RIP_3_MAC, (client(1_025), VIP));
    let dip = Endpoint::new(DIP_SERVER_SIDE, 0);
    let outer = ip(4).dont_fragment().id(0).payload(&inner[14..]);
    assert_eq!(
        sent,
        [
            datagram(RIP_1_MAC, (LIP, rip_4)),
            on(outer, &hop(to(RIP_3_MAC), (dip, RIP_3), 63)).build(),
            datagram(RIP_2_MAC, (client(1_026), RIP_2)),
            datagram(RIP_1_MAC, (client(1_027), VIP)),
        ]
    );
    for server in [RIP_1, RIP_2, RIP_3, rip_4] {
        assert_eq!(gateway.traffic(server).in_packets, 1);
    }
}
