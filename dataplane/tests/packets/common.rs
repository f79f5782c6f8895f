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
