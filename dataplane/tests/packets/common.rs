//! What the packet tests have in common.

use dataplane::address::{Endpoint, Protocol, V4};
use dataplane::service::Method;
use dataplane::testing::*;

/// A gateway with two arms and one service on [`VIP`] with the server [`RIP_1`].
pub(crate) fn gateway(protocol: Protocol, method: Method) -> TestGateway {
    serving(
        Setup::two_arm(),
        &service(protocol, VIP).server(RIP_1, method),
    )
}

/// A gateway with this one service, before any counter moved.
pub(crate) fn serving(setup: Setup, service: &TestService) -> TestGateway {
    let mut gateway = setup.start();
    gateway.serve(std::slice::from_ref(service));
    assert_eq!(gateway.moved(), []);
    gateway
}

/// A client's end with another port.
pub(crate) fn client(port: u16) -> Endpoint<V4> {
    Endpoint::new(CLIENT.addr, port)
}

/// An end as listings show it.
pub(crate) fn shown(end: Endpoint<std::net::IpAddr>) -> String {
    std::net::SocketAddr::new(end.addr, end.port).to_string()
}

/// The server to which a frame goes.
pub(crate) fn taker(frame: &[u8]) -> Endpoint<V4> {
    let servers = [(RIP_1_MAC, RIP_1), (RIP_2_MAC, RIP_2), (RIP_3_MAC, RIP_3)];
    let taker = servers.iter().find(|(mac, _)| frame[..6] == mac.0);
    let Some((_, taker)) = taker else {
        unreachable!("it goes to none of the servers");
    };
    *taker
}

/// Lets worker 0 receive a client's frame and gives the server that gets it.
pub(crate) fn served(gateway: &mut TestGateway, frame: &[u8]) -> Endpoint<V4> {
    let frames = gateway.forward(frame);
    assert_eq!(frames.len(), 1, "{:?}", gateway.moved());
    taker(&frames[0])
}
