//! Cases: what arrives, what must leave, and the two gateways that must agree on it.

use dataplane::address::Endpoint;
use dataplane::io::memory::MemoryPacket;
use dataplane::service::Method;
use dataplane::testing::*;

use crate::gateway::PcapGateway;

/// A frame with the ethdev it arrives or leaves at.
pub(crate) type At = (u16, Vec<u8>);

/// Every forwarding method.
pub(crate) const METHODS: [Method; 4] = [Method::Dr, Method::Nat, Method::Tun, Method::Fullnat];

/// A gateway with the frames that arrive at it and those that must leave it. In a turn it
/// receives a burst from ethdev 0 and then one from ethdev 1.
pub(crate) struct Case {
    pub(crate) setup: Setup,
    pub(crate) service: TestService,
    pub(crate) arriving: Vec<At>,
    pub(crate) leaving: Vec<At>,
}

impl Case {
    /// Plays it through DPDK and in memory: the frames must be the expected ones, byte for byte,
    /// and the same counters must move in both. Gives these.
    pub(crate) fn check(self, name: &str) -> Vec<(&'static str, u64)> {
        let services = [self.service];
        let mut memory = self.setup.clone().start();
        memory.serve(&services);
        let mut gateway = PcapGateway::start(self.setup.clone(), &services);
        for (ethdev, frame) in &self.arriving {
            memory.put(0, *ethdev, MemoryPacket::new(frame));
            gateway.put(*ethdev, frame);
        }

        memory.settle();
        gateway.settle();

        let ethdevs = 0..self.setup.ethdevs();
        let expected: Vec<Vec<_>> = (ethdevs.clone())
            .map(|ethdev| at(ethdev, &self.leaving).cloned().collect())
            .collect();
        let in_memory: Vec<_> = ethdevs.map(|ethdev| memory.sent(ethdev)).collect();
        assert_eq!(in_memory, expected, "{name} in memory");
        let expected: Vec<Vec<_>> = (expected.iter())
            .map(|frames| frames.iter().map(|f| gateway.addressed(f)).collect())
            .collect();
        let moved = gateway.moved();
        assert_eq!(gateway.stop(), expected, "{name}");
        assert_eq!(moved, memory.moved(), "{name}");
        moved
    }
}

/// The frames of one ethdev, in order.
fn at(ethdev: u16, frames: &[At]) -> impl Iterator<Item = &Vec<u8>> {
    (frames.iter())
        .filter(move |(at, _)| *at == ethdev)
        .map(|(_, frame)| frame)
}

/// The outer packet from the gateway to [`RIP_1`], around the IP packet in `inner`'s frame.
pub(crate) fn tunnel(inner: &[u8]) -> Builder<Raw> {
    let ends = (Endpoint::new(DIP_SERVER_SIDE, 0), RIP_1);
    on(ip(4).payload(&inner[14..]).id(0), &hop(TO_SERVER, ends, 63))
}
