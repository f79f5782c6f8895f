//! What clients, servers and routers send in a random scenario.

use std::time::Duration;

use dataplane::address::{Endpoint, Protocol, V4};
use dataplane::testing::{Builder, Transport, arp_request, icmp_echo, icmp_error, sctp, tcp, udp};
use dataplane::wire::sctp::chunk;
use dataplane::wire::tcp::Flags;

use crate::draft::{DIRECTOR, Draft, VIP, address};

use super::numbers::Numbers;
use super::services::Service;

/// A client and where it sends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Talk {
    pub(super) client: Endpoint<V4>,
    pub(super) target: Endpoint<V4>,
    pub(super) protocol: Protocol,
    /// The service's index.
    pub(super) service: usize,
}

/// Bytes of a server's answer that the smallest MTU of its side has room for.
const LONGEST_ANSWER: usize = 1_300;

/// The types of errors that are about sessions, and one that is not.
const ERRORS: [(u8, u8); 6] = [(3, 4), (3, 1), (3, 3), (11, 0), (4, 0), (12, 0)];

/// A packet of any transport.
#[derive(Clone, Debug)]
enum Packet {
    Tcp(Builder<dataplane::testing::Tcp>),
    Udp(Builder<dataplane::testing::Udp>),
    Sctp(Builder<dataplane::testing::Sctp>),
}

/// Does the same to a packet of any transport.
macro_rules! each {
    ($packet:expr, $builder:ident => $body:expr) => {
        match $packet {
            Packet::Tcp($builder) => $body,
            Packet::Udp($builder) => $body,
            Packet::Sctp($builder) => $body,
        }
    };
}

impl Packet {
    fn map<F: Change>(self, change: &F) -> Self {
        match self {
            Self::Tcp(packet) => Self::Tcp(change.apply(packet)),
            Self::Udp(packet) => Self::Udp(change.apply(packet)),
            Self::Sctp(packet) => Self::Sctp(change.apply(packet)),
        }
    }
}

/// Something that can be done to a packet of any transport.
trait Change {
    fn apply<T: Transport>(&self, packet: Builder<T>) -> Builder<T>;
}

/// What every packet has.
struct Common {
    ends: (Endpoint<V4>, Endpoint<V4>),
    ttl: u8,
    tos: u8,
    payload: usize,
    dont_fragment: bool,
    bad_checksum: bool,
    cut: Option<usize>,
}

impl Common {
    fn draw(numbers: &mut Numbers, ends: (Endpoint<V4>, Endpoint<V4>)) -> Self {
        let lengths = [(6, 0), (6, 20), (3, 333), (2, 1_372), (1, 1_440)];
        let ttls = [(40, 64), (5, 128), (2, 2), (2, 1)];
        Self {
            ends,
            ttl: numbers.weighted(&ttls).unwrap_or(64),
            tos: if numbers.percent(10) { 0xb9 } else { 0 },
            payload: numbers.weighted(&lengths).unwrap_or(0),
            dont_fragment: numbers.percent(30),
            bad_checksum: numbers.percent(2),
            cut: numbers.percent(1).then_some(6),
        }
    }
}

impl Change for Common {
    fn apply<T: Transport>(&self, packet: Builder<T>) -> Builder<T> {
        let mut packet = packet.from(self.ends.0).to(self.ends.1);
        packet = packet.ttl(self.ttl).tos(self.tos).payload_len(self.payload);
        if self.dont_fragment {
            packet = packet.dont_fragment();
        }
        if self.bad_checksum {
            packet = packet.bad_checksum();
        }
        match self.cut {
            Some(len) => packet.cut(len),
            None => packet,
        }
    }
}

impl Talk {
    /// The client's first packet.
    pub(super) fn open(&self, draft: &mut Draft, numbers: &mut Numbers) {
        let packet = match self.protocol {
            Protocol::Tcp => Packet::Tcp(tcp().syn().mss(1_460)),
            Protocol::Udp => self.datagram(numbers),
            Protocol::Sctp => Packet::Sctp(sctp().init()),
        };
        self.ask(draft, numbers, packet);
    }

    /// One more packet of the client's, of any kind. Where it can begin a new session in place of
    /// the old one, the kernel ends that with its next tick; unless the host resets it by then, as
    /// it does when the service is gone: that keeps the old session, and is left out.
    pub(super) fn go_on(&self, draft: &mut Draft, numbers: &mut Numbers, service: &Service) {
        let packet = match self.protocol {
            Protocol::Tcp => Packet::Tcp(tcp().flags(match draw_flags(numbers, false) {
                flags if flags.contains(Flags::SYN) && service.is_gone() => Flags::ACK,
                flags => flags,
            })),
            Protocol::Udp => self.datagram(numbers),
            Protocol::Sctp => Packet::Sctp(sctp().chunk(draw_chunk(numbers, false))),
        };
        self.ask(draft, numbers, packet);
        draft.tick();
    }

    fn datagram(&self, numbers: &mut Numbers) -> Packet {
        let packet = udp();
        Packet::Udp(if numbers.percent(15) {
            packet.no_checksum()
        } else {
            packet
        })
    }

    fn ask(&self, draft: &mut Draft, numbers: &mut Numbers, packet: Packet) {
        let common = Common::draw(numbers, (self.client, self.target));
        each!(packet.map(&common), packet => { draft.from_client(packet); });
    }

    /// Answers from servers of the service. Which one has the session only the director knows, so
    /// most often each of them answers, and the answers of the others are strangers' packets.
    pub(super) fn answer(&self, draft: &mut Draft, numbers: &mut Numbers, service: &Service) {
        let all = numbers.percent(60);
        let chosen = numbers.pick(&service.servers).map(|server| server.address);
        let flags = draw_flags(numbers, true);
        let kind = draw_chunk(numbers, true);
        for server in &service.servers {
            let through_director = server.is_nat() || numbers.percent(10);
            if !through_director || !(all || chosen == Some(server.address)) {
                continue;
            }
            let packet = match self.protocol {
                Protocol::Tcp => Packet::Tcp(tcp().flags(flags)),
                Protocol::Udp => self.datagram(numbers),
                Protocol::Sctp => Packet::Sctp(sctp().chunk(kind)),
            };
            let ends = (server.endpoint(self.target), self.client);
            let mut common = Common::draw(numbers, ends);
            common.payload = common.payload.min(LONGEST_ANSWER);
            let packet = packet.map(&common);
            each!(packet, packet => { draft.from_server(server.address, packet); });
        }
        draft.tick();
    }

    /// A datagram of the client's in fragments.
    pub(super) fn ask_in_fragments(&self, draft: &mut Draft, numbers: &mut Numbers) {
        let packet = match self.protocol {
            Protocol::Tcp => Packet::Tcp(tcp()),
            Protocol::Udp => self.datagram(numbers),
            Protocol::Sctp => Packet::Sctp(sctp()),
        };
        let mut common = Common::draw(numbers, (self.client, self.target));
        common.cut = None;
        common.dont_fragment = false;
        common.payload = usize::try_from(numbers.within(1_600, 4_000)).unwrap_or(2_000);
        let mtu = numbers.pick(&[576, 1_000, 1_500]).copied().unwrap_or(1_500);
        let packet = packet.map(&common);
        let mut fragments = each!(packet, packet => draft.client_fragments(packet, mtu));
        let first = fragments.first().cloned();
        if numbers.percent(30) {
            numbers.shuffle(&mut fragments);
        }
        if numbers.percent(8) {
            // Had the kernel seen the first, it would tell the client after 30 s, and count that
            // for a server that gets packets as they are; on purpose Sluice does not.
            fragments.retain(|fragment| Some(fragment) != first.as_ref());
        }
        for fragment in fragments {
            draft.frame("eth0", fragment);
        }
    }

    /// An ICMP error from the client's side about an answer.
    pub(super) fn complain(&self, draft: &mut Draft, numbers: &mut Numbers) {
        let about = self.quoted(self.target, self.client, numbers);
        let router = Endpoint::new(address([192, 168, 9, 9]), 0);
        let from = if numbers.percent(50) {
            self.client
        } else {
            router
        };
        let error = draw_error(numbers).about(&about).from(from).to(self.target);
        draft.from_client(error);
    }

    /// An ICMP error from the servers' side about what one of them was sent.
    pub(super) fn refuse(&self, draft: &mut Draft, numbers: &mut Numbers, service: &Service) {
        let Some(server) = numbers.pick(&service.servers) else {
            return;
        };
        let about = self.quoted(self.client, server.endpoint(self.target), numbers);
        let router = Endpoint::new(address([10, 2, 0, 18]), 0);
        let own = Endpoint::new(server.address, 0);
        let from = if numbers.percent(70) { own } else { router };
        let error = draw_error(numbers).about(&about).from(from).to(self.client);
        draft.from_server(server.address, error);
    }

    fn quoted(&self, from: Endpoint<V4>, to: Endpoint<V4>, numbers: &mut Numbers) -> Vec<u8> {
        let packet = match self.protocol {
            Protocol::Tcp => Packet::Tcp(tcp()),
            Protocol::Udp => Packet::Udp(udp()),
            Protocol::Sctp => Packet::Sctp(sctp()),
        };
        let mut common = Common::draw(numbers, (from, to));
        common.cut = None;
        common.ttl = 60;
        each!(packet.map(&common), packet => packet.build())
    }
}

fn draw_error(numbers: &mut Numbers) -> Builder<dataplane::testing::Icmp> {
    let (kind, code) = numbers.pick(&ERRORS).copied().unwrap_or((3, 1));
    let error = icmp_error(kind, code);
    let error = if (kind, code) == (3, 4) {
        error.mtu(1_200)
    } else {
        error
    };
    match numbers.below(20) {
        0 => error.bad_checksum(),
        1 => error.ttl(1),
        _ => error,
    }
}

fn draw_flags(numbers: &mut Numbers, from_server: bool) -> Flags {
    let (syn, fin, ack, rst) = (Flags::SYN, Flags::FIN, Flags::ACK, Flags::RST);
    let (opens, syn_ack) = if from_server { (3, 30) } else { (22, 3) };
    let choices = [
        (opens, syn),
        (syn_ack, syn.with(ack)),
        (25, ack),
        (15, ack.with(Flags::PSH)),
        (20, fin.with(ack)),
        (8, rst),
        (4, rst.with(ack)),
        (2, fin),
        (1, Flags::default()),
        (1, syn.with(fin)),
    ];
    numbers.weighted(&choices).unwrap_or(ack)
}

fn draw_chunk(numbers: &mut Numbers, from_server: bool) -> u8 {
    let (opens, answers) = if from_server { (1, 8) } else { (8, 1) };
    let choices = [
        (opens, chunk::INIT),
        (answers, chunk::INIT_ACK),
        (opens, chunk::COOKIE_ECHO),
        (answers, chunk::COOKIE_ACK),
        (10, chunk::DATA),
        (3, chunk::SACK),
        (3, chunk::SHUTDOWN),
        (3, chunk::SHUTDOWN_ACK),
        (2, chunk::SHUTDOWN_COMPLETE),
        (1, chunk::ERROR),
        (3, chunk::ABORT),
    ];
    numbers.weighted(&choices).unwrap_or(chunk::DATA)
}

/// Packets that are not for a service.
pub(super) fn send_other(draft: &mut Draft, numbers: &mut Numbers, port: u16) {
    let client = Endpoint::new(address([192, 168, 0, 77]), port);
    let unserved = Endpoint::new(VIP, 9_999);
    match numbers.below(7) {
        0 => draft.from_client(tcp().syn().from(client).to(unserved)),
        1 => draft.from_client(udp().from(client).to(unserved)),
        2 => draft.from_client(icmp_echo().from(client).to(unserved).payload(b"hello")),
        3 => draft.from_client(tcp().from(client).to(Endpoint::new(DIRECTOR, 22))),
        4 => draft.from_client(
            udp()
                .from(client)
                .to(Endpoint::new(address([10, 2, 0, 12]), 7)),
        ),
        5 => draft.frame("eth0", arp_request(address([10, 1, 0, 9]), VIP)),
        _ => draft.from_client(tcp().syn().from(Endpoint::new(client.addr, 0)).to(unserved)),
    };
}

/// How long a burst may last because of the ticks in it.
pub(super) const LONGEST_BURST: Duration = Duration::from_millis(1_400);
