//! Schedulers through the whole worker: what they go by reaches them.

use dataplane::address::{Endpoint, Protocol, V4};
use dataplane::drop_reason::DropReason;
use dataplane::service::{LOCALITY_EXPIRATION_SECONDS, SchedulerKind};
use dataplane::testing::*;

use crate::common::*;

const CLIENTS: std::ops::Range<u16> = 40_000..40_040;
const RIPS: [Endpoint<V4>; 3] = [RIP_1, RIP_2, RIP_3];

const LBLC: SchedulerKind = SchedulerKind::Lblc {
    expiration_seconds: LOCALITY_EXPIRATION_SECONDS,
};

fn under(scheduler: SchedulerKind) -> TestService {
    let service = service(Protocol::Udp, VIP).scheduler(scheduler);
    RIPS.into_iter().fold(service, TestService::nat)
}

/// The sessions that each server has when every client sent a datagram.
fn shares(setup: Setup, service: &TestService) -> [u32; 3] {
    let mut gateway = serving(setup, service);
    for port in CLIENTS {
        gateway.receive(0, &udp().from(client(port)).build());
    }
    RIPS.map(|server| gateway.load(server).1)
}

#[test]
fn dh_goes_by_the_vip() {
    // 10.1.0.100 has bucket 126, which is the first of three servers': the newest.
    assert_eq!(
        shares(Setup::two_arm(), &under(SchedulerKind::Dh)),
        [0, 0, 40]
    );
}

#[test]
fn sh_goes_by_the_client_and_if_asked_to_by_its_port() {
    let sh = |port| SchedulerKind::Sh {
        fallback: false,
        port,
    };

    let mut one_client = shares(Setup::two_arm(), &under(sh(false)));
    one_client.sort_unstable();
    assert_eq!(one_client, [0, 0, 40]);
    let ports = shares(Setup::two_arm(), &under(sh(true)));
    assert!(ports.iter().all(|share| *share > 0), "{ports:?}");
}

#[test]
fn lblc_keeps_the_server_of_a_vip_at_all_workers() {
    // Given clients of two workers, whose sessions are inactive: nobody has too much to do.
    let setup = || Setup::two_arm().workers(2);

    assert_eq!(shares(setup(), &under(LBLC)), [0, 0, 40]);
    let spread = shares(setup(), &under(SchedulerKind::Wlc));
    assert_eq!(spread, [13, 13, 14]);
}

#[test]
fn a_vip_of_lblc_gets_another_server_when_its_own_takes_no_sessions_and_keeps_that() {
    let mut gateway = serving(Setup::two_arm(), &under(LBLC));
    gateway.receive(0, &udp().from(client(1_111)).build());
    let with = |weight| {
        let servers = service(Protocol::Udp, VIP).scheduler(LBLC).nat(RIP_1);
        servers
            .nat(RIP_2)
            .weighted(RIP_3, dataplane::service::Method::Nat, weight)
    };

    gateway.serve(&[with(0)]);
    gateway.receive(0, &udp().from(client(2_222)).build());
    gateway.serve(&[with(1)]);
    gateway.receive(0, &udp().from(client(3_333)).build());

    assert_eq!(RIPS.map(|server| gateway.load(server).1), [0, 2, 1]);
}

#[test]
fn without_a_scheduler_nobody_is_served() {
    let mut gateway = serving(Setup::two_arm(), &under(SchedulerKind::None));

    let _ = gateway.forward(&udp().from(client(1_111)).build());

    assert_eq!(gateway.drops(DropReason::NoServer), 1);
}

#[test]
fn weights_that_move_by_themselves_leave_wrr_in_its_pass() {
    // Given servers of one weight, the newest of which has had the first session.
    let service = under(SchedulerKind::Wrr);
    let mut gateway = serving(Setup::two_arm(), &service);
    gateway.receive(0, &udp().from(client(1_111)).build());

    // When all weigh more each time before the next client comes.
    let mut spec = service.spec();
    for port in [2_222, 3_333] {
        for server in &mut spec.servers {
            server.weight.0 += 10;
        }
        gateway.change(|editor| editor.set_services(&[spec.clone()]));
        gateway.receive(0, &udp().from(client(port)).build());
    }

    // Then each server has had its turn.
    assert_eq!(RIPS.map(|server| gateway.load(server).1), [1, 1, 1]);
}

#[test]
fn an_edit_that_changes_nothing_begins_a_new_pass_of_wrr() {
    // Given servers of one weight, the newest of which has had the first session.
    let chosen = |edits: u32| {
        let service = under(SchedulerKind::Wrr);
        let mut gateway = serving(Setup::two_arm(), &service);
        gateway.receive(0, &udp().from(client(1_111)).build());

        let mut spec = service.spec();
        spec.servers[0].edits = edits;
        gateway.change(|editor| editor.set_services(&[spec]));

        gateway.receive(0, &udp().from(client(2_222)).build());
        RIPS.map(|server| gateway.load(server).1)
    };

    // Then it has the next one too, if another server was edited, and else not.
    assert_eq!(chosen(1), [0, 0, 2]);
    assert_eq!(chosen(0), [0, 1, 1]);
}
