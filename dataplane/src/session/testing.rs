//! Sessions by number and dice that always fall the same, for the tests of this module.

use super::entry::{AdjacencyRef, NewSession, Session};
use super::hash::HashSecret;
use crate::address::{Address, Endpoint, Protocol, V4, V6};
use crate::id::{ServerSlot, ServiceSlot};
use crate::service::Method;
use crate::time::Tick;

/// A secret of random digits (those of pi).
pub(super) const SECRET: HashSecret = HashSecret([
    0x243f_6a88_85a3_08d3,
    0x1319_8a2e_0370_7344,
    0xa409_3822_299f_31d0,
    0x082e_fa98_ec4e_6c89,
]);

/// Dice (SplitMix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u32) -> u32 {
        u32::try_from(self.next() % u64::from(end)).unwrap()
    }

    /// True once in `times`.
    pub(crate) fn once_in(&mut self, times: u32) -> bool {
        self.below(times) == 0
    }
}

/// The address with this number, of any family.
pub(super) fn addr<A: Address>(number: u32) -> A {
    let v6 = V6((0x2001_0db8 << 96) + u128::from(number));
    A::from_ip(V4(number).to_ip())
        .or_else(|| A::from_ip(v6.to_ip()))
        .unwrap()
}

/// What a session of client number `number` to one VIP is made from; FULLNAT ones have a local
/// port of their own.
pub(super) fn flow<A: Address>(number: u32, method: Method, protocol: Protocol) -> NewSession<A> {
    let port = |number: u32| u16::try_from(1024 + number % 50_000).unwrap();
    let client = Endpoint::new(addr(0x0a01_0000 + number / 50_000), port(number));
    let vip = Endpoint::new(addr(0xc000_0201), 80);
    let local = match method {
        Method::Fullnat => Endpoint::new(addr(0x0a09_0000 + number / 50_000), port(number)),
        _ => client,
    };
    let server = match method {
        Method::Dr | Method::Tun => Endpoint::new(addr(0x0a02_0001 + number % 7), 80),
        _ => Endpoint::new(addr(0x0a02_0001 + number % 7), 8080),
    };
    NewSession {
        client,
        vip,
        local,
        server,
        protocol,
        method,
        service: ServiceSlot(1),
        server_slot: ServerSlot(number % 7),
        to_server: AdjacencyRef::default(),
        to_client: AdjacencyRef::default(),
    }
}

/// A NAT session over TCP.
pub(super) fn nat(number: u32, now: Tick) -> Session<V4> {
    Session::new(&flow(number, Method::Nat, Protocol::Tcp), now)
}

/// A DR session over `protocol`.
pub(super) fn dr(number: u32, protocol: Protocol, now: Tick) -> Session<V4> {
    Session::new(&flow(number, Method::Dr, protocol), now)
}
