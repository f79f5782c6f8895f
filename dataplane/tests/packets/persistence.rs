//! Clients of persistent services meet their servers again.

use std::time::Duration;

use dataplane::address::{Endpoint, Protocol, V4};
use dataplane::knobs::Knobs;
use dataplane::service::Method;
use dataplane::session::{State, Timeouts};
use dataplane::testing::*;

use crate::common::*;

const PORTS: std::ops::Range<u16> = 40_000..40_040;
const RIPS: [Endpoint<V4>; 3] = [RIP_1, RIP_2, RIP_3];
const TICKS: u32 = 256;

/// Round robin over three servers, the last one first.
pub(crate) fn three(protocol: Protocol, method: Method) -> TestService {
    let service = service(protocol, VIP).persistent(300);
    RIPS.into_iter()
        .fold(service, |service, server| service.server(server, method))
}

pub(crate) fn host(number: u8, port: u16) -> Endpoint<V4> {
    endpoint([10, 1, 0, number], port)
}

pub(crate) fn question(from: Endpoint<V4>, to: Endpoint<V4>) -> Vec<u8> {
    udp().from(from).to(to).build()
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_client_meets_its_server_again_and_others_meet_the_next() {
    for method in [Method::Dr, Method::Nat, Method::Tun, Method::Fullnat] {
        let mut gateway = serving(Setup::two_arm(), &three(Protocol::Udp, method));

        for (client, server) in [(20, RIP_3), (21, RIP_2), (22, RIP_1), (23, RIP_3)] {
            for port in 5_000..5_005 {
                let frame = question(host(client, port), VIP);
                assert_eq!(served(&mut gateway, &frame), server, "{method} {client}");
            }
        }

        assert_eq!(gateway.load(RIP_3), (0, 10));
        assert_eq!(RIPS.map(|server| gateway.persistent(server)), [1, 1, 2]);
        let mut templates = gateway.templates();
        templates.sort_by_key(|template| template.client);
        let first = &templates[0];
        assert_eq!((templates.len(), first.children), (4, 5));
        assert_eq!(first.protocol, Protocol::Udp as u8);
        assert_eq!(first.client.to_string(), "10.1.0.20");
        assert_eq!(shown(first.virtual_endpoint), "10.1.0.100:80");
        assert_eq!(shown(first.server), "10.2.0.13:80");
        assert_eq!(first.expires_in_ticks, 300 * TICKS);
        assert!(!first.is_assured);
    }
}

#[test]
fn clients_of_one_network_may_be_one() {
    let mut service = service(Protocol::Udp, VIP).persistent_by(300, 0xffff_fffe);
    service = RIPS.into_iter().fold(service, TestService::dr);
    let mut gateway = serving(Setup::two_arm(), &service);

    let servers = [20, 21, 22, 23, 20].map(|client| {
        let frame = question(host(client, 5_000), VIP);
        served(&mut gateway, &frame)
    });

    assert_eq!(servers, [RIP_3, RIP_3, RIP_2, RIP_2, RIP_3]);
    let clients: Vec<_> = (gateway.templates().iter())
        .map(|template| template.client.to_string())
        .collect();
    assert!(clients.contains(&"10.1.0.20".to_owned()), "{clients:?}");
    assert!(clients.contains(&"10.1.0.22".to_owned()), "{clients:?}");
}

#[test]
fn a_client_whose_connections_land_on_several_workers_meets_one_server() {
    let setups = [
        Setup::two_arm().workers(2),
        Setup::two_arm().workers(3),
        Setup::two_arm().rss_workers(4),
    ];
    for setup in setups {
        let mut gateway = serving(setup, &three(Protocol::Udp, Method::Dr));
        let workers = usize::from(gateway.state().steering.workers());

        for port in PORTS {
            // Under RSS a session is made where its first packet arrives.
            let at = usize::from(port) % workers;
            let frame = question(host(20, port), VIP);
            gateway.receive_at(at, 0, dataplane::io::memory::MemoryPacket::new(&frame));
        }

        assert_eq!(gateway.load(RIP_3), (0, 40));
        assert_eq!(RIPS.map(|server| gateway.persistent(server)), [0, 0, 1]);
        assert_eq!(gateway.templates()[0].children, 40);
        let used = (0..workers).filter(|worker| !gateway.sessions_at(*worker).is_empty());
        assert!(used.collect::<Vec<_>>().len() > 1);
    }
}

#[test]
fn a_server_that_takes_nobody_else_keeps_its_clients() {
    // Given a client, and then a server of weight 0 that is overloaded besides.
    let mut gateway = serving(Setup::two_arm(), &three(Protocol::Udp, Method::Dr));
    assert_eq!(served(&mut gateway, &question(host(20, 1), VIP)), RIP_3);
    let mut spec = three(Protocol::Udp, Method::Dr).spec();
    spec.servers[2].weight.0 = 0;
    spec.servers[2].upper_threshold = 1;
    gateway.change(|editor| editor.set_services(&[spec]));

    // When it and another come again.
    let [again, other] = [20, 21].map(|client| {
        let frame = question(host(client, 2), VIP);
        served(&mut gateway, &frame)
    });

    assert_eq!([again, other], [RIP_3, RIP_2]);
}

#[test]
fn expire_quiescent_template_gives_clients_of_weight_0_another_server() {
    let mut gateway = serving(Setup::two_arm(), &three(Protocol::Udp, Method::Dr));
    assert_eq!(served(&mut gateway, &question(host(20, 1), VIP)), RIP_3);
    let mut spec = three(Protocol::Udp, Method::Dr).spec();
    spec.servers[2].weight.0 = 0;
    gateway.change(|editor| {
        editor.set_services(&[spec]);
        editor.set_knobs(Knobs {
            expire_quiescent_template: true,
            ..Knobs::default()
        });
    });

    assert_eq!(served(&mut gateway, &question(host(20, 2), VIP)), RIP_2);
    assert_eq!(served(&mut gateway, &question(host(20, 3), VIP)), RIP_2);

    // The old template can never be found again, and waits for its end.
    let templates = gateway.templates();
    let old = templates
        .iter()
        .find(|it| it.server.port == 65_535)
        .unwrap();
    assert_eq!(shown(old.virtual_endpoint), "10.1.0.100:65535");
    assert_eq!((old.children, templates.len()), (1, 2));
    assert_eq!(RIPS.map(|server| gateway.persistent(server)), [0, 1, 1]);
}

#[test]
fn a_server_that_was_removed_is_no_longer_met_even_when_it_comes_back() {
    let two = service(Protocol::Udp, VIP)
        .persistent(300)
        .dr(RIP_1)
        .dr(RIP_2);
    let all = three(Protocol::Udp, Method::Dr);
    let mut gateway = serving(Setup::two_arm(), &all);
    assert_eq!(served(&mut gateway, &question(host(20, 1), VIP)), RIP_3);

    // Nobody asks while it is away: its client meets it again.
    gateway.serve(std::slice::from_ref(&two));
    gateway.collect();
    gateway.serve(std::slice::from_ref(&all));
    assert_eq!(served(&mut gateway, &question(host(20, 2), VIP)), RIP_3);

    // It asks while it is away: it gets another one for good.
    gateway.serve(std::slice::from_ref(&two));
    let other = served(&mut gateway, &question(host(20, 3), VIP));
    assert_ne!(other, RIP_3);
    gateway.serve(&[all]);
    assert_eq!(served(&mut gateway, &question(host(20, 4), VIP)), other);
}

#[test]
fn a_removed_server_is_remembered_as_long_as_a_template_names_it() {
    // Given a server that left, whose session ends before its template.
    let one = service(Protocol::Udp, VIP).persistent(3_000).dr(RIP_1);
    let mut gateway = serving(Setup::two_arm(), &one);
    assert_eq!(served(&mut gateway, &question(host(20, 1), VIP)), RIP_1);
    gateway.serve(&[service(Protocol::Udp, VIP).persistent(3_000).dr(RIP_2)]);
    gateway.advance(seconds(301));
    gateway.collect();
    assert_eq!(
        (gateway.load(RIP_1), gateway.persistent(RIP_1)),
        ((0, 0), 1)
    );

    gateway.advance(seconds(2_700));
    gateway.collect();

    assert!(gateway.server(RIP_1).is_none());
    assert!(gateway.templates().is_empty());
}

#[test]
fn without_sessions_a_template_lasts_for_the_time_out_after_the_last_one_began() {
    let mut timeouts = Timeouts::default();
    timeouts.set_udp(10);
    let service = three(Protocol::Udp, Method::Dr);
    let mut gateway = serving(Setup::two_arm().timeouts(timeouts), &service);

    // A session at 0 and one at 200: packets of these do not count.
    assert_eq!(served(&mut gateway, &question(host(20, 1), VIP)), RIP_3);
    gateway.advance(seconds(200));
    assert_eq!(served(&mut gateway, &question(host(20, 2), VIP)), RIP_3);
    gateway.advance(seconds(5));
    assert_eq!(served(&mut gateway, &question(host(20, 2), VIP)), RIP_3);
    assert_eq!(gateway.templates()[0].expires_in_ticks, 295 * TICKS);

    gateway.advance(seconds(294));
    assert_eq!(gateway.templates().len(), 1);
    gateway.advance(seconds(1));
    assert!(gateway.templates().is_empty());
    assert_eq!(served(&mut gateway, &question(host(20, 3), VIP)), RIP_2);
    assert_eq!(RIPS.map(|server| gateway.persistent(server)), [0, 1, 0]);
}

#[test]
fn with_sessions_a_template_goes_on_by_60_s_and_stays_with_that() {
    // Given a template of 100 s with a session of 300 s.
    let service = RIPS
        .into_iter()
        .fold(service(Protocol::Udp, VIP).persistent(100), TestService::dr);
    let mut gateway = serving(Setup::two_arm(), &service);
    assert_eq!(served(&mut gateway, &question(host(20, 1), VIP)), RIP_3);

    // It goes on at 100, 160, 220 and 280; then the session has ended, and it ends at 340.
    for (after, left) in [(99, 1), (1, 60), (120, 60), (79, 41)] {
        gateway.advance(seconds(after));
        assert_eq!(gateway.templates()[0].expires_in_ticks, left * TICKS);
    }
    gateway.advance(seconds(2));
    assert_eq!(gateway.templates()[0].children, 0);
    assert_eq!(gateway.templates()[0].expires_in_ticks, 39 * TICKS);

    // A new session restarts its 60 s, not the service's 100.
    gateway.advance(seconds(19));
    assert_eq!(served(&mut gateway, &question(host(20, 2), VIP)), RIP_3);
    assert_eq!(gateway.templates()[0].expires_in_ticks, 60 * TICKS);
}

#[test]
fn an_error_proves_no_template_and_the_answer_behind_it_does() {
    // Given a persistent client of UDP.
    let service = service(Protocol::Udp, VIP).persistent(300).nat(RIP_1);
    let mut gateway = serving(Setup::two_arm(), &service);
    gateway.receive(0, &udp().build());

    // When its server complains about the question, twice.
    let asked = on(udp(), &hop(TO_SERVER, (CLIENT, RIP_1), 63)).build();
    let error = on(
        icmp_error(4, 0).about(&asked),
        &hop(FROM_SERVER, (RIP_1, CLIENT), 64),
    );
    for _ in 0..2 {
        gateway.receive(1, &error.clone().build());
    }
    assert_eq!(gateway.sent(0).len(), 2);
    assert_eq!(gateway.traffic(RIP_1).out_packets, 2);
    assert!(!gateway.templates()[0].is_assured);

    // When it answers after all.
    let answer = on(udp(), &hop(FROM_SERVER, (RIP_1, CLIENT), 64));
    gateway.receive(1, &answer.build());
    assert!(gateway.templates()[0].is_assured);
}

#[test]
fn another_time_out_is_for_new_templates() {
    let with = |timeout| {
        let service = service(Protocol::Udp, VIP).persistent(timeout);
        RIPS.into_iter().fold(service, TestService::dr)
    };
    let mut gateway = serving(Setup::two_arm(), &with(300));
    assert_eq!(served(&mut gateway, &question(host(20, 1), VIP)), RIP_3);

    gateway.serve(&[with(50)]);
    assert_eq!(served(&mut gateway, &question(host(20, 2), VIP)), RIP_3);
    assert_eq!(gateway.templates()[0].expires_in_ticks, 300 * TICKS);
}

#[test]
fn a_service_of_all_ports_keeps_a_client_at_one_server_whatever_its_port() {
    let any = |end: Endpoint<V4>| Endpoint::new(end.addr, 0);
    let service = service(Protocol::Udp, any(VIP)).persistent(300);
    let service = RIPS.map(any).into_iter().fold(service, TestService::nat);
    let mut gateway = serving(Setup::two_arm(), &service);

    for port in [53, 80, 21, 7] {
        let to = Endpoint::new(VIP.addr, port);
        assert_eq!(served(&mut gateway, &question(host(20, 1), to)), RIP_3);
    }

    let templates = gateway.templates();
    assert_eq!((templates.len(), templates[0].children), (1, 4));
    assert_eq!(shown(templates[0].virtual_endpoint), "10.1.0.100:0");
    assert_eq!(shown(templates[0].server), "10.2.0.13:0");
    let ports = gateway
        .sessions()
        .iter()
        .map(|it| it.server.port)
        .sum::<u16>();
    assert_eq!(ports, 53 + 80 + 21 + 7);
}

#[test]
fn ftp_is_persistent_by_address_alone() {
    let ftp = Endpoint::new(VIP.addr, 21);
    let server = Endpoint::new(RIP_1.addr, 2_121);
    let service = service(Protocol::Tcp, ftp).persistent(300).nat(server);
    let mut gateway = serving(Setup::two_arm(), &service);

    gateway.receive(0, &tcp().syn().to(ftp).build());

    assert_eq!(gateway.session().server.port, 2_121);
    let template = &gateway.templates()[0];
    assert_eq!(shown(template.virtual_endpoint), "10.1.0.100:0");
    assert_eq!(shown(template.server), "10.2.0.11:0");
}

#[test]
fn a_syn_that_meets_a_session_that_is_over_stays_with_its_server() {
    // Given a session that was reset.
    let mut gateway = serving(Setup::two_arm(), &three(Protocol::Tcp, Method::Dr));
    assert_eq!(served(&mut gateway, &tcp().syn().build()), RIP_3);
    assert_eq!(served(&mut gateway, &tcp().ack().build()), RIP_3);
    assert_eq!(served(&mut gateway, &tcp().rst().build()), RIP_3);
    assert_eq!(gateway.session().state, State::Close);

    // When its client begins anew from the same port.
    assert_eq!(served(&mut gateway, &tcp().syn().build()), RIP_3);

    // Then it goes on in the same session.
    assert_eq!(gateway.session().state, State::SynRecv);
    assert_eq!(gateway.session().in_packets, 4);
    assert_eq!(gateway.templates()[0].children, 1);
}

#[test]
fn a_fullnat_session_whose_port_was_given_back_is_replaced_by_one_at_the_same_server() {
    // Given a session that its server ended.
    let mut gateway = serving(Setup::two_arm(), &three(Protocol::Tcp, Method::Fullnat));
    let first = served(&mut gateway, &tcp().syn().build());
    let local = Endpoint::new(LIP.addr, gateway.session().local.port);
    let reset = on(
        tcp().rst(),
        &hop((RIP_3_MAC, GATEWAY_SERVER_MAC), (RIP_3, local), 64),
    );
    let _ = gateway.forward_from(1, &reset.build());
    assert!(gateway.session().has_returned_port);

    // When its client begins anew.
    assert_eq!(served(&mut gateway, &tcp().syn().build()), first);

    // Then the session is another one.
    assert!(!gateway.session().has_returned_port);
    assert_eq!(gateway.session().in_packets, 1);
    assert_eq!(gateway.templates()[0].children, 1);
}

#[test]
fn an_established_connection_assures_the_template() {
    let mut gateway = serving(Setup::two_arm(), &three(Protocol::Tcp, Method::Dr));
    gateway.receive(0, &tcp().syn().build());
    assert!(!gateway.templates()[0].is_assured);

    gateway.receive(0, &tcp().ack().build());

    assert!(gateway.templates()[0].is_assured);
}

#[test]
fn an_answer_over_udp_assures_the_template() {
    // Given many questions.
    let service = service(Protocol::Udp, VIP).persistent(300).nat(RIP_1);
    let mut gateway = serving(Setup::two_arm(), &service);
    for _ in 0..3 {
        gateway.receive(0, &udp().padded().build());
    }
    assert!(!gateway.templates()[0].is_assured);

    // When one is answered.
    let reply = on(udp().padded(), &hop(FROM_SERVER, (RIP_1, CLIENT), 64)).build();
    gateway.receive(1, &reply);

    // Then the template knows, and further packets take the express lane.
    assert!(gateway.templates()[0].is_assured);
    let general = gateway.pipeline(0).general_packets();
    gateway.receive(1, &reply);
    gateway.receive(0, &udp().padded().build());
    assert_eq!(gateway.pipeline(0).general_packets(), general);
}

#[test]
fn questions_that_no_answer_passes_for_take_the_express_lane_at_once() {
    let mut gateway = serving(Setup::two_arm(), &three(Protocol::Udp, Method::Dr));
    gateway.receive(0, &udp().padded().build());
    let general = gateway.pipeline(0).general_packets();

    gateway.receive(0, &udp().padded().build());

    assert_eq!(gateway.pipeline(0).general_packets(), general);
}
