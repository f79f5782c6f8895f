//! The MSS of SYN and SYN-ACK: clamped for tunnels, to a number, or not at all.

use dataplane::address::Protocol;
use dataplane::service::{Method, MssClamp};
use dataplane::testing::*;

use crate::common::*;

const METHODS: [Method; 4] = [Method::Dr, Method::Nat, Method::Tun, Method::Fullnat];

/// The MSS in the SYN that leaves, when the client's says 1460.
fn clamped(setup: Setup, method: Method, clamp: MssClamp) -> u16 {
    let service = service(Protocol::Tcp, VIP)
        .mss_clamp(clamp)
        .server(RIP_1, method);
    let mut gateway = serving(setup, &service);
    let sent = gateway.forward(&tcp().syn().mss(1_460).build());
    let segment = if method == Method::Tun {
        14 + 40
    } else {
        14 + 20
    };
    assert_eq!(sent[0][segment + 20..segment + 22], [2, 4]);
    u16::from_be_bytes([sent[0][segment + 22], sent[0][segment + 23]])
}

#[test]
fn auto_clamps_tunnels_to_their_path_and_nothing_else() {
    let setup = || Setup::two_arm().mtu(SERVER_SIDE, 1_400);

    let mss = METHODS.map(|method| clamped(setup(), method, MssClamp::Auto));

    // 1400 - 20 - 40.
    assert_eq!(mss, [1_460, 1_460, 1_340, 1_460]);
}

#[test]
fn a_number_clamps_every_method_but_never_raises() {
    let with = |number| METHODS.map(|m| clamped(Setup::two_arm(), m, MssClamp::To(number)));

    assert_eq!(with(1_300), [1_300; 4]);
    assert_eq!(with(9_000), [1_460; 4]);
}

#[test]
fn off_leaves_every_syn_alone() {
    let mss = METHODS.map(|method| clamped(Setup::two_arm(), method, MssClamp::Off));

    assert_eq!(mss, [1_460; 4]);
}

#[test]
fn where_replies_pass_the_syn_ack_is_clamped_too() {
    for (method, to) in [(Method::Nat, CLIENT), (Method::Fullnat, LIP)] {
        let service = service(Protocol::Tcp, VIP)
            .mss_clamp(MssClamp::To(1_300))
            .server(RIP_1, method);
        let mut gateway = serving(Setup::two_arm(), &service);
        gateway.receive(0, &tcp().syn().build());
        let reply = on(
            tcp().syn_ack().mss(1_460),
            &hop(FROM_SERVER, (RIP_1, to), 64),
        );

        gateway.receive(1, &reply.build());

        let expected = on(tcp().syn_ack().mss(1_300), &hop(OUT, (VIP, CLIENT), 63));
        assert_eq!(gateway.sent(0), [expected.build()]);
    }
}
