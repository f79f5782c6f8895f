//! Replays the committed corpus of the fuzz target `pipeline` without a fuzzer.
//!
//! A file `<frames>.<what it is>` must make the gateway send so many frames. Files without a dot
//! are a fuzzer's own findings on this machine, which only must not panic.

use std::path::Path;

use dataplane::address::{Endpoint, V4};
use dataplane::testing::*;
use proptest::prelude::*;

use crate::common::*;

#[test]
fn every_history_makes_the_gateway_send_what_its_name_says() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/pipeline");
    let mut named = 0;

    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        let (_, sent) = play(&std::fs::read(entry.path()).unwrap());
        if let Some((expected, _)) = name.split_once('.') {
            assert_eq!(sent.to_string(), expected, "{name}");
            named += 1;
        }
    }

    assert!(named >= 6, "the corpus has only {named} files");
}

/// A frame of some kind, for any of the servers or clients.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let parts = (
        any::<u8>(),
        0..8_u16,
        any::<u8>(),
        0..2_500_usize,
        any::<bool>(),
    );
    parts.prop_map(|(kind, port, flags, len, df)| {
        let client = client(1_024 + port);
        let flags = dataplane::wire::tcp::Flags(flags);
        let len = len.min(1_400);
        match kind % 10 {
            0 => tcp().syn().from(client).mss(1_460).build(),
            1 => tcp().flags(flags).from(client).payload_len(len).build(),
            2 if df => udp().from(client).payload_len(len).dont_fragment().build(),
            2 => udp().from(client).payload_len(len).build(),
            3 => sctp().init().from(client).payload_len(len).build(),
            4 => udp().from(client).payload_len(len).fragments(600).remove(0),
            5 => udp().fragment_offset(576).payload_len(len.min(64)).build(),
            6 => on(tcp().flags(flags), &hop(FROM_SERVER, (RIP_2, client), 64)).build(),
            7 => on(udp(), &hop(FROM_SERVER, (RIP_1, LIP), 64)).build(),
            8 => any_error(kind / 10, client),
            _ => error_about_a_tunnel(kind / 10, client),
        }
    })
}

/// An ICMP error about a packet of some session's.
fn any_error(kind: u8, client: Endpoint<V4>) -> Vec<u8> {
    let ends = match kind % 3 {
        0 => (VIP, client),
        1 => (client, RIP_2),
        _ => (
            Endpoint::new(LIP.addr, LIP.port + u16::from(kind)),
            endpoint([10, 2, 0, 13], 8_080),
        ),
    };
    let about = udp().from(ends.0).to(ends.1).build();
    icmp_error([3, 4, 11][usize::from(kind % 3)], kind % 5)
        .about(&about)
        .to(ends.0)
        .build()
}

/// An ICMP error about a packet that the gateway sent through a tunnel.
fn error_about_a_tunnel(kind: u8, client: Endpoint<V4>) -> Vec<u8> {
    let dip = Endpoint::new(DIP_SERVER_SIDE, 0);
    let inner = udp().from(client).dont_fragment().payload_len(100).build();
    let about = ip(4).from(dip).to(RIP_3).payload(&inner[14..]).build();
    let error = icmp_error(3, kind % 5)
        .mtu(600 + u16::from(kind))
        .about(&about);
    error.to(dip).build()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_history_is_survived_and_every_session_is_counted_once(
        frames in proptest::collection::vec(
            (0..4_u8, 0..6_u8, any_frame(), any::<Option<(u16, u8)>>()), 0..200
        ),
    ) {
        let mut history = Vec::new();
        for (how, seconds, mut frame, damage) in frames {
            if let Some((place, byte)) = damage {
                let place = usize::from(place) % frame.len();
                frame[place] = byte;
            }
            history.extend(record(seconds, how, &frame));
        }

        let (mut gateway, _) = play(&history);

        // Each living session is counted at its server, and nothing else is.
        let living = u64::try_from(gateway.sessions().len()).unwrap_or(u64::MAX);
        let servers = gateway.state().servers.iter().flatten();
        let bound: u64 = (servers)
            .map(|server| server.shared.sessions())
            .map(u64::from)
            .sum();
        prop_assert_eq!(bound, living);

        // And when all have ended, everything is given back.
        gateway.advance(std::time::Duration::from_secs(1_000));
        let servers = gateway.state().servers.iter().flatten();
        for server in servers {
            prop_assert_eq!(server.shared.sessions(), 0);
            prop_assert_eq!(server.shared.active(), 0);
        }
        prop_assert_eq!(gateway.lent_ports(LIP.addr), Some(0));
    }
}
