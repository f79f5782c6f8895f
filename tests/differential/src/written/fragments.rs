//! Datagrams in fragments, both ways and by every method.

use dataplane::testing::{Builder, Transport, tcp, udp};

use crate::draft::Draft;

use super::Written;
use super::talk::{ACK, METHODS, Method, NAT, SYN, Talk, serve_tcp, serve_udp};

pub(super) fn all() -> Vec<Written> {
    let mut all = Vec::new();
    for method in METHODS {
        all.push(from_client(method));
        all.push(unserved(method));
    }
    all.push(from_server());
    all.push(incomplete());
    all
}

/// The order in which fragments come.
#[derive(Clone, Copy)]
enum Order {
    Forwards,
    Backwards,
    /// The middle one last.
    Mixed,
}

const ORDERS: [Order; 3] = [Order::Forwards, Order::Backwards, Order::Mixed];

fn arranged(mut fragments: Vec<Vec<u8>>, order: Order) -> Vec<Vec<u8>> {
    match order {
        Order::Forwards => {}
        Order::Backwards => fragments.reverse(),
        Order::Mixed => {
            let middle = fragments.remove(fragments.len() / 2);
            fragments.push(middle);
        }
    }
    fragments
}

/// A client's packet in fragments.
fn ask<T: Transport>(draft: &mut Draft, talk: &Talk, packet: Builder<T>, mtu: usize, order: Order) {
    let packet = packet.from(talk.client).to(talk.service);
    for fragment in arranged(draft.client_fragments(packet, mtu), order) {
        draft.frame("eth0", fragment);
    }
}

fn from_client(method: Method) -> Written {
    let mut draft = Draft::new(format!("fragments-{}", method.name));
    serve_tcp(&mut draft, "-s rr", method, &[1]);
    serve_udp(&mut draft, "-s rr", method, &[1]);
    let (first, second) = (Talk::new(method, 1), Talk::new(method, 2));
    for order in ORDERS {
        ask(&mut draft, &first, udp().payload_len(3_500), 1_500, order);
    }
    ask(
        &mut draft,
        &first,
        udp().payload_len(2_000).no_checksum(),
        1_000,
        Order::Forwards,
    );
    second.ask_tcp(&mut draft, SYN);
    second.ask_tcp(&mut draft, ACK);
    for order in ORDERS {
        ask(&mut draft, &second, tcp().payload_len(2_500), 1_000, order);
    }
    // Two datagrams at once.
    let packet = |client| udp().payload_len(1_700).from(client).to(first.service);
    let one = draft.client_fragments(packet(first.client), 1_000);
    let other = draft.client_fragments(packet(second.client), 1_000);
    for (one, other) in one.into_iter().zip(other) {
        draft.frame("eth0", one).frame("eth0", other);
    }
    draft.dump("sessions");
    Written::new(draft, "A client's datagrams in fragments, in any order.")
}

fn from_server() -> Written {
    let mut draft = Draft::new("fragments-from-server");
    serve_udp(&mut draft, "-s rr", NAT, &[1]);
    let talk = Talk::new(NAT, 1);
    talk.exchange_udp(&mut draft);
    for order in ORDERS {
        let answer = udp().payload_len(3_500).from(talk.server).to(talk.client);
        let fragments = draft.server_fragments(talk.server.addr, answer, 1_500);
        for fragment in arranged(fragments, order) {
            draft.frame("eth1", fragment);
        }
    }
    draft.dump("the session");
    Written::new(draft, "A server's answers in fragments come from the VIP.")
}

fn unserved(method: Method) -> Written {
    let mut draft = Draft::new(format!("fragments-unserved-{}", method.name));
    serve_udp(&mut draft, "-s rr", method, &[0]);
    let resting = Talk::new(method, 1);
    ask(
        &mut draft,
        &resting,
        udp().payload_len(2_500),
        1_500,
        Order::Forwards,
    );
    ask(
        &mut draft,
        &resting.on_port(81),
        udp().payload_len(2_500),
        1_500,
        Order::Backwards,
    );
    Written::new(
        draft,
        "Fragments to a service without servers, and to no service.",
    )
}

fn incomplete() -> Written {
    let mut draft = Draft::new("fragments-incomplete");
    serve_udp(&mut draft, "-s rr", NAT, &[1]);
    let talk = Talk::new(NAT, 1);
    for missing in 0..3 {
        let packet = udp().payload_len(3_500).from(talk.client).to(talk.service);
        let mut fragments = draft.client_fragments(packet, 1_500);
        fragments.remove(missing);
        for fragment in fragments {
            draft.frame("eth0", fragment);
        }
    }
    talk.exchange_udp(&mut draft);
    draft.dump("one of three is missing");
    Written::new(draft, "Datagrams that never become whole are not sent on.")
}
