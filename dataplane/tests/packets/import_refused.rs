//! Sessions that stay away, each for a reason that is told, and how many come in at once.

use std::collections::HashMap;
use std::slice::from_ref;
use std::time::Duration;

use dataplane::address::Protocol;
use dataplane::id::WorkerId;
use dataplane::import::Outcome;
use dataplane::service::Method;
use dataplane::session::{SessionRecord, State};
use dataplane::testing::*;
use proptest::prelude::*;

use crate::common::*;
use crate::import::{ip, record, told, v4};

#[test]
fn what_does_not_belong_here_is_told_apart_and_holds_nothing() {
    type Change = fn(&mut SessionRecord);
    let wrong: [(Change, Outcome); 9] = [
        (|it| it.vip.port = 81, Outcome::NoService),
        (|it| it.protocol = Protocol::Udp, Outcome::NoService),
        (|it| it.vip.addr = [0; 16].into(), Outcome::NoService),
        (|it| it.server = ip(RIP_2), Outcome::NoServer),
        (|it| it.server.port = 81, Outcome::NoServer),
        (|it| it.method = Method::Nat, Outcome::NoServer),
        (|it| it.local.port = 19_999, Outcome::PortNotFree),
        (
            |it| it.local.addr = [10, 2, 0, 201].into(),
            Outcome::PortNotFree,
        ),
        (|it| it.local.addr = [0; 16].into(), Outcome::PortNotFree),
    ];
    for (number, (change, outcome)) in wrong.into_iter().enumerate() {
        let mut gateway = gateway(Protocol::Tcp, Method::Fullnat);
        let mut record = record(Protocol::Tcp, Method::Fullnat);
        change(&mut record);

        let outcomes = gateway.import(&[record]);

        assert_eq!(told(outcomes), [(outcome, 1)], "{number}");
        assert_eq!(gateway.moved(), []);
        assert_eq!(
            (gateway.load(RIP_1), gateway.lent_ports(LIP.addr)),
            ((0, 0), Some(0))
        );
    }
}

#[test]
fn who_is_there_already_stays() {
    let record = record(Protocol::Tcp, Method::Fullnat);
    let mut gateway = gateway(Protocol::Tcp, Method::Fullnat);
    assert_eq!(
        told(gateway.import(from_ref(&record))),
        [(Outcome::Imported, 1)]
    );
    gateway.receive(0, &tcp().fin().build());

    // Given the same session, and another that has its port.
    let mut other = record.clone();
    other.client.port += 1;
    let outcomes = gateway.import(&[record, other]);

    let expected = [(Outcome::AlreadyThere, 1), (Outcome::PortNotFree, 1)];
    assert_eq!(told(outcomes), expected);
    assert_eq!(gateway.session().state, State::CloseWait);
    assert_eq!(
        (gateway.load(RIP_1), gateway.lent_ports(LIP.addr)),
        ((0, 1), Some(1))
    );
}

#[test]
fn a_server_that_left_takes_no_sessions() {
    let nat = service(Protocol::Tcp, VIP).nat(RIP_2);
    let mut gateway = gateway(Protocol::Tcp, Method::Nat);
    gateway.receive(0, &tcp().from(client(9)).syn().build());
    gateway.serve(from_ref(&nat));

    let outcomes = gateway.import(&[record(Protocol::Tcp, Method::Nat)]);

    assert_eq!(told(outcomes), [(Outcome::NoServer, 1)]);
    assert_eq!(gateway.load(RIP_1), (1, 1));
}

#[test]
fn what_a_worker_knows_by_now_counts_and_not_what_control_knew() {
    // Given a session on its way to its worker.
    let mut gateway = gateway(Protocol::Tcp, Method::Nat);
    let before = gateway.begin_import(&[record(Protocol::Tcp, Method::Nat)]);
    assert_eq!(told(before), []);

    // When its server is replaced before it arrives.
    gateway
        .editor
        .set_services(&[service(Protocol::Tcp, VIP).nat(RIP_2).spec()]);
    gateway.change(|_| {});

    // Then it is refused.
    assert_eq!(told(gateway.imported()), [(Outcome::NoServer, 1)]);
    assert_eq!(gateway.load(RIP_2), (0, 0));
}

#[test]
fn a_full_table_takes_no_more_and_evicts_nobody() {
    let service = service(Protocol::Tcp, VIP).fullnat(RIP_1);
    let mut gateway = serving(Setup::two_arm().sessions(2), &service);
    let record = record(Protocol::Tcp, Method::Fullnat);
    let numbered = |n| {
        let mut record = record.clone();
        record.client.port += n;
        record.local.port += n;
        record.state = State::SynRecv;
        record
    };

    let outcomes = gateway.import(&[0, 1, 2, 3].map(numbered));

    let expected = [(Outcome::Imported, 2), (Outcome::TableFull, 2)];
    assert_eq!(told(outcomes), expected);
    assert_eq!(gateway.moved(), [("imported", 2)]);
    assert_eq!(gateway.lent_ports(LIP.addr), Some(2));
    assert_eq!(gateway.load(RIP_1), (2, 2));
}

#[test]
fn a_local_port_whose_replies_would_go_astray_is_refused() {
    // Given sessions of one worker, with ports of all kinds.
    let service = service(Protocol::Udp, VIP).fullnat(RIP_1);
    let mut old = serving(Setup::two_arm(), &service);
    (1_000..1_064).for_each(|port| old.receive(0, &udp().from(client(port)).build()));
    let records = old.sessions();

    // When they come to a gateway with two.
    let mut new = serving(Setup::two_arm().workers(2), &service);
    let outcomes = new.import(&records);

    // Then those stay away whose client and local port have different owners there.
    let fits = |record: &&SessionRecord| {
        let steering = &new.state().steering;
        let owner = steering.client_owner_software(Protocol::Udp, v4(record.client));
        owner == WorkerId(record.local.port % 2)
    };
    let count = records.iter().filter(fits).count() as u64;
    assert!((16..48).contains(&count), "{count}");
    let expected = [
        (Outcome::Imported, count),
        (Outcome::PortNotFree, 64 - count),
    ];
    assert_eq!(told(outcomes), expected);
}

#[test]
fn a_worker_takes_no_more_in_a_turn_than_a_burst() {
    let record = record(Protocol::Udp, Method::Dr);
    let records: Vec<_> = (0..100)
        .map(|n| {
            let mut record = record.clone();
            record.client.port += n;
            record.local = record.client;
            record
        })
        .collect();
    let mut gateway = gateway(Protocol::Udp, Method::Dr);
    let _ = gateway.begin_import(&records);

    let handled: Vec<_> = (0..5).map(|_| gateway.turn()).collect();

    assert_eq!(handled, [32, 32, 32, 4, 0]);
    assert_eq!(gateway.sum(|c| &c.sessions), 100);
    // Their places in the table were looked for, too.
    let (entries, _) = gateway.counters(0).probes.counts();
    assert!(entries.iter().sum::<u64>() >= 100, "{entries:?}");
}

/// What happens beside a model.
#[derive(Clone, Debug)]
enum Event {
    /// A session comes: client port, server, local port, seconds.
    Import(u16, bool, u16, u32),
    /// Seconds pass.
    Wait(u32),
}

fn event() -> impl Strategy<Value = Event> {
    let import = (0..24_u16, any::<bool>(), 0..12_u16, 1..60_u32);
    prop_oneof![
        5 => import.prop_map(|(c, s, l, t)| Event::Import(c, s, l, t)),
        1 => (1..20_u32).prop_map(Event::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn imports_behave_as_a_model_of_clients_and_ports(
        events in prop::collection::vec(event(), 1..120)
    ) {
        // Given 8 ports for each of two servers, 12 places, and a model: client → its end.
        let service = service(Protocol::Udp, VIP)
            .local(LIP.addr, LIP.port..=LIP.port + 7)
            .fullnat(RIP_1)
            .fullnat(RIP_2);
        let mut gateway = serving(Setup::two_arm().sessions(12), &service);
        let template = record(Protocol::Udp, Method::Fullnat);
        let mut model = HashMap::<u16, (bool, u16, u32)>::new();
        let mut now = 0;
        for event in events {
            match event {
                Event::Wait(seconds) => {
                    // Well past the deadlines of whole seconds.
                    gateway.advance(Duration::from_secs(seconds.into()));
                    now += seconds;
                    model.retain(|_, (_, _, end)| *end > now);
                    gateway.advance(Duration::from_millis(0));
                }
                Event::Import(client, other, port, seconds) => {
                    let mut record = template.clone();
                    record.client.port = client + 1_000;
                    record.local.port = LIP.port + port;
                    record.server = ip(if other { RIP_2 } else { RIP_1 });
                    record.expires_in_ticks = seconds * 256 - 32;
                    let taken = |(to, of, _): &(bool, u16, u32)| (*to, *of) == (other, port);
                    let expected = if model.contains_key(&client) {
                        Outcome::AlreadyThere
                    } else if model.len() == 12 {
                        Outcome::TableFull
                    } else if port >= 8 || model.values().any(taken) {
                        Outcome::PortNotFree
                    } else {
                        model.insert(client, (other, port, now + seconds));
                        Outcome::Imported
                    };
                    prop_assert_eq!(told(gateway.import(&[record])), [(expected, 1)]);
                }
            }
            let (one, two) = (gateway.load(RIP_1).1, gateway.load(RIP_2).1);
            prop_assert_eq!((one + two) as usize, model.len());
            prop_assert_eq!(gateway.lent_ports(LIP.addr), Some(model.len()));
        }
    }
}
