//! What written scenarios are made of: methods, and conversations whose server is known.

use dataplane::address::{Endpoint, V4};
use dataplane::testing::{Builder, Transport, sctp, tcp, udp};
use dataplane::wire::tcp::Flags;

use crate::draft::{Draft, VIP, client, server};

pub(super) const SYN: Flags = Flags::SYN;
pub(super) const ACK: Flags = Flags::ACK;
pub(super) const RST: Flags = Flags::RST;
pub(super) const FIN: Flags = Flags::FIN.with(Flags::ACK);
pub(super) const SYN_ACK: Flags = Flags::SYN.with(Flags::ACK);

/// A forwarding method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Method {
    /// In the names of scenarios.
    pub(super) name: &'static str,
    /// As `ipvsadm` has it.
    pub(super) option: &'static str,
}

pub(super) const NAT: Method = Method {
    name: "nat",
    option: "-m",
};
pub(super) const DR: Method = Method {
    name: "dr",
    option: "-g",
};
pub(super) const TUN: Method = Method {
    name: "tun",
    option: "-i",
};
pub(super) const METHODS: [Method; 3] = [NAT, DR, TUN];

/// A client, what it asks, and who answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Talk {
    pub(super) client: Endpoint<V4>,
    pub(super) service: Endpoint<V4>,
    pub(super) server: Endpoint<V4>,
    pub(super) method: Method,
}

impl Talk {
    /// Client `number` with the first server of port 80 behind the VIP.
    pub(super) fn new(method: Method, number: u8) -> Self {
        Self {
            client: client(number, 1_000 + u16::from(number)),
            service: Endpoint::new(VIP, 80),
            server: Endpoint::new(server(0), 80),
            method,
        }
    }

    /// The same with another server.
    pub(super) fn served_by(self, number: u8) -> Self {
        let server = Endpoint::new(server(number), self.server.port);
        Self { server, ..self }
    }

    /// The same with another port on both sides.
    pub(super) fn on_port(self, port: u16) -> Self {
        Self {
            service: Endpoint::new(self.service.addr, port),
            server: Endpoint::new(self.server.addr, port),
            ..self
        }
    }

    /// A packet of the client's.
    pub(super) fn ask<T: Transport>(&self, draft: &mut Draft, packet: Builder<T>) {
        draft.from_client(packet.from(self.client).to(self.service));
    }

    /// A packet of the server's, as far as the director sees it: those of NAT.
    pub(super) fn answer<T: Transport>(&self, draft: &mut Draft, packet: Builder<T>) {
        if self.method == NAT {
            draft.from_server(self.server.addr, packet.from(self.server).to(self.client));
        }
    }

    /// A packet of the server's that has the director for a router, whatever the method.
    pub(super) fn answer_by_way<T: Transport>(&self, draft: &mut Draft, packet: Builder<T>) {
        let from = match self.method {
            NAT => self.server,
            _ => self.service,
        };
        draft.from_server(self.server.addr, packet.from(from).to(self.client));
    }

    /// A TCP segment of the client's.
    pub(super) fn ask_tcp(&self, draft: &mut Draft, flags: Flags) {
        self.ask(draft, tcp().flags(flags));
    }

    /// A TCP segment of the server's.
    pub(super) fn answer_tcp(&self, draft: &mut Draft, flags: Flags) {
        self.answer(draft, tcp().flags(flags));
    }

    /// The three segments that establish a connection.
    pub(super) fn establish(&self, draft: &mut Draft) {
        self.ask_tcp(draft, SYN);
        self.answer_tcp(draft, SYN_ACK);
        self.ask_tcp(draft, ACK);
    }

    /// A datagram each way.
    pub(super) fn exchange_udp(&self, draft: &mut Draft) {
        self.ask(draft, udp().payload(b"question"));
        self.answer(draft, udp().payload(b"answer"));
    }

    /// A packet of the client's with an SCTP chunk of this type.
    pub(super) fn ask_sctp(&self, draft: &mut Draft, chunk: u8) {
        self.ask(draft, sctp().chunk(chunk).payload(&[7; 12]));
    }

    /// The server's.
    pub(super) fn answer_sctp(&self, draft: &mut Draft, chunk: u8) {
        self.answer(draft, sctp().chunk(chunk).payload(&[7; 12]));
    }
}

/// A service on the VIP with servers from the first on, all by this method and with these weights.
pub(super) fn serve(
    draft: &mut Draft,
    service: &str,
    options: &str,
    method: Method,
    weights: &[u32],
) {
    draft.rule(format!("-A {service} {options}"));
    for (number, weight) in (0..).zip(weights) {
        let port = service.rsplit_once(':').map_or("0", |(_, port)| port);
        let (server, option) = (server(number), method.option);
        draft.rule(format!(
            "-a {service} -r {server}:{port} {option} -w {weight}"
        ));
    }
}

/// A TCP service on port 80 of the VIP.
pub(super) fn serve_tcp(draft: &mut Draft, options: &str, method: Method, weights: &[u32]) {
    serve(draft, "-t 10.1.0.100:80", options, method, weights);
}

/// A UDP service on port 80 of the VIP.
pub(super) fn serve_udp(draft: &mut Draft, options: &str, method: Method, weights: &[u32]) {
    serve(draft, "-u 10.1.0.100:80", options, method, weights);
}
