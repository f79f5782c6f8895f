//! DPDK's own software hash as the judge of ours, and of where FULLNAT replies land.

use std::net::IpAddr;

use proptest::prelude::*;

use crate::address::{Address, Endpoint, FlowKey, Protocol, V4, V6};
use crate::id::WorkerId;
use crate::snat::{DEFAULT_PORTS, LocalAddress};
use crate::steering::{DEFAULT_KEY, KEY_BYTES, Steering, Toeplitz};

/// The hash of a tuple as `rte_softrss` takes it: addresses, then source and destination port,
/// in words of the machine's order.
fn softrss(key: &[u8; KEY_BYTES], flow: &FlowKey<impl Address>) -> u32 {
    // DPDK reads the key in words.
    let words: Vec<u32> = words(key).map(u32::from_ne_bytes).collect();
    let mut tuple: Vec<u32> = Vec::new();
    for end in [flow.source, flow.destination] {
        match end.addr.to_ip() {
            IpAddr::V4(addr) => tuple.push(addr.to_bits()),
            IpAddr::V6(addr) => tuple.extend(self::words(&addr.octets()).map(u32::from_be_bytes)),
        }
    }
    tuple.push(u32::from(flow.source.port) << 16 | u32::from(flow.destination.port));
    let count = u32::try_from(tuple.len()).unwrap();
    // SAFETY: the tuple has `count` words and the key one word more, in aligned memory.
    unsafe { dpdk_sys::shim_softrss(tuple.as_mut_ptr(), count, words.as_ptr().cast()) }
}

fn words(bytes: &[u8]) -> impl Iterator<Item = [u8; 4]> {
    let words = bytes.chunks_exact(4);
    words.map(|word| word.try_into().unwrap())
}

fn flow<A>(source: (A, u16), destination: (A, u16)) -> FlowKey<A> {
    FlowKey {
        source: Endpoint::new(source.0, source.1),
        destination: Endpoint::new(destination.0, destination.1),
        protocol: Protocol::Tcp,
    }
}

/// A multiplicative generator; its high bits are random enough.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        u32::try_from(self.0 >> 32).unwrap()
    }

    fn port(&mut self) -> u16 {
        u16::try_from(self.roll() >> 16).unwrap()
    }
}

/// Lends 2000 ports to random workers towards random servers; for each, the entry of the
/// redirection table that `rte_softrss` of the reply names must be the worker that asked.
fn replies_land_on_their_owner(queues: u16, entries: u16, lip: V4) {
    let reta: Vec<_> = (0..entries).map(|entry| WorkerId(entry % queues)).collect();
    let steering = Steering::toeplitz(&DEFAULT_KEY, &reta).unwrap();
    let local = LocalAddress::new(lip.to_ip(), DEFAULT_PORTS, &steering, queues.into(), 0);
    let mut dice = Dice(u64::from(queues) << 32 | u64::from(entries));

    for n in 0..2_000 {
        let worker = WorkerId(dice.port() % queues);
        let server = Endpoint::new(V4(dice.roll()), dice.port());
        let lent = local.take(worker, server, Protocol::Tcp, crate::time::Tick(n));
        let port = lent.unwrap().port;

        let reply = flow((server.addr, server.port), (lip, port));
        let hash = softrss(&DEFAULT_KEY, &reply);
        let entry = usize::try_from(hash).unwrap() % reta.len();
        assert_eq!(reta[entry], worker, "{queues} queues, {entries} entries");
    }
}

#[test]
fn fullnat_replies_land_on_their_owner_for_2_to_16_queues() {
    for queues in 2..=16 {
        for entries in [128, 512] {
            replies_land_on_their_owner(queues, entries, V4::from([10, 2, 0, 1]));
        }
    }
}

proptest! {
    #[test]
    fn our_hash_is_dpdks(
        key in any::<[u8; KEY_BYTES]>(),
        source in (any::<u128>(), any::<u16>()), destination in (any::<u128>(), any::<u16>()),
    ) {
        let toeplitz = Toeplitz::new(&key);
        let half = |addr: u128| V4(u32::try_from(addr >> 96).unwrap());
        let four = flow((half(source.0), source.1), (half(destination.0), destination.1));
        let six = flow((V6(source.0), source.1), (V6(destination.0), destination.1));

        prop_assert_eq!(toeplitz.hash(&four), softrss(&key, &four));
        prop_assert_eq!(toeplitz.hash(&six), softrss(&key, &six));
    }
}
