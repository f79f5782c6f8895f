//! Each forwarding method × transport × direction, with two arms and with one.
//!
//! With two arms the worker receives all that the client sends before what the server sends;
//! with one arm all frames stand in one file, in the order of the conversation.

use dataplane::address::{Endpoint, MacAddr, V4};
use dataplane::service::{Method, MssClamp};
use dataplane::testing::*;

use crate::case::{At, Case, METHODS};
use crate::gateway::PcapGateway;

/// Where the servers are.
struct Arms {
    name: &'static str,
    setup: fn() -> Setup,
    server_ethdev: u16,
    /// The gateway's MAC and address on their side.
    gateway: (MacAddr, V4),
}

const ARMS: [Arms; 2] = [
    Arms {
        name: "two arms",
        setup: Setup::two_arm,
        server_ethdev: 1,
        gateway: (GATEWAY_SERVER_MAC, DIP_SERVER_SIDE),
    },
    Arms {
        name: "one arm",
        setup: Setup::one_arm,
        server_ethdev: 0,
        gateway: (GATEWAY_MAC, DIP_CLIENT_SIDE),
    },
];

/// What a method makes of the ends of a packet to the server; the answer has them reversed.
/// Answers of DR and TUN servers go to the client by themselves.
const fn inner_ends(method: Method) -> (Endpoint<V4>, Endpoint<V4>) {
    match method {
        Method::Dr | Method::Tun => (CLIENT, VIP),
        Method::Nat => (CLIENT, RIP_1),
        Method::Fullnat => (LIP, RIP_1),
    }
}

/// The client's packet of this step as it arrives and as it leaves; `number` counts those before.
fn to_server(arms: &Arms, method: Method, talk: &Talk, step: Step, number: u16) -> [At; 2] {
    let arriving = talk.packet(step, &hop(IN, (CLIENT, VIP), 64));
    let (mac, addr) = arms.gateway;
    let way = |ends| hop((mac, RIP_1_MAC), ends, 63);
    let inner = talk.packet(step, &way(inner_ends(method)));
    let leaving = if method == Method::Tun {
        // Without DF the outer packet takes the next number of the worker.
        let outer = ip(4).payload(&inner[14..]).id(number);
        on(outer, &way((Endpoint::new(addr, 0), RIP_1))).build()
    } else {
        inner
    };
    [(0, arriving), (arms.server_ethdev, leaving)]
}

/// The server's answer as it arrives and as it leaves.
fn to_client(arms: &Arms, method: Method, talk: &Talk) -> [At; 2] {
    let (client, server) = inner_ends(method);
    let way = hop((RIP_1_MAC, arms.gateway.0), (server, client), 64);
    let arriving = talk.packet(Step::Answer, &way);
    let leaving = talk.packet(Step::Answer, &hop(OUT, (VIP, CLIENT), 63));
    [(arms.server_ethdev, arriving), (0, leaving)]
}

fn conversation(arms: &Arms, method: Method, talk: &Talk) -> Case {
    let mut steps = vec![to_server(arms, method, talk, Step::Open, 0)];
    if matches!(method, Method::Nat | Method::Fullnat) {
        steps.push(to_client(arms, method, talk));
    }
    steps.push(to_server(arms, method, talk, Step::More, 1));
    let (arriving, leaving) = steps
        .into_iter()
        .map(|[arriving, leaving]| (arriving, leaving))
        .unzip();
    Case {
        setup: (arms.setup)(),
        service: service(talk.protocol, VIP)
            .mss_clamp(MssClamp::Off)
            .server(RIP_1, method),
        arriving,
        leaving,
    }
}

#[test]
fn every_method_carries_every_transport_in_each_direction() {
    for method in METHODS {
        for talk in TALKS {
            for arms in &ARMS {
                let case = conversation(arms, method, &talk);
                let count = case.arriving.len() as u64;
                let name = format!("{method}, {}, {}", talk.protocol, arms.name);

                let moved = case.check(&name);

                let expected = [
                    ("received", count),
                    ("transmitted", count),
                    ("hits", count - 1),
                    ("created", 1),
                ];
                assert_eq!(moved, expected, "{name}");
            }
        }
    }
}

#[test]
fn an_answer_of_a_dr_or_tun_server_that_comes_by_is_linuxs_to_route() {
    for method in [Method::Dr, Method::Tun] {
        for talk in TALKS {
            let services = [service(talk.protocol, VIP).server(RIP_1, method)];
            let mut gateway = PcapGateway::start(Setup::two_arm(), &services);
            let answer = talk.packet(Step::Answer, &hop(FROM_SERVER, (VIP, CLIENT), 64));
            gateway.put(0, &talk.packet(Step::Open, &hop(IN, (CLIENT, VIP), 64)));
            gateway.put(1, &answer);

            gateway.settle();

            let name = format!("{method}, {}", talk.protocol);
            let expected = gateway.addressed(&answer);
            assert_eq!(gateway.punted(SERVER_SIDE), [expected], "{name}");
            let expected = [
                ("received", 2),
                ("transmitted", 1),
                ("created", 1),
                ("transit", 1),
            ];
            assert_eq!(gateway.moved(), expected, "{name}");
            assert_eq!(gateway.stop()[0], Vec::<Vec<u8>>::new(), "{name}");
        }
    }
}
