//! NAT and FULLNAT: rewritten there, reversed, and rewritten back, a packet is the same again.

use dataplane::address::Protocol;
use dataplane::service::{Method, MssClamp};
use dataplane::testing::*;
use dataplane::wire::crc32c::crc32c;
use dataplane::wire::tcp::Flags;
use proptest::prelude::*;

use crate::common::*;

/// Everything about a client's packet that a gateway has no business with.
#[derive(Clone, Debug)]
struct Content {
    payload: Vec<u8>,
    tos: u8,
    id: u16,
    ttl: u8,
    dont_fragment: bool,
    alerts: usize,
    padded: bool,
    sequence: u32,
    acknowledgement: u32,
    flags: u8,
    tcp_options: Vec<u8>,
    checksummed: bool,
}

prop_compose! {
    fn any_content()(
        payload in proptest::collection::vec(any::<u8>(), 0..1_400),
        (tos, id, ttl, dont_fragment) in (any::<u8>(), any::<u16>(), 3_u8.., any::<bool>()),
        (alerts, padded) in (0..3_usize, any::<bool>()),
        (sequence, acknowledgement) in any::<(u32, u32)>(),
        flags in any::<u8>(),
        tcp_options in proptest::collection::vec(any::<u8>(), 0..=40),
        checksummed in any::<bool>(),
    ) -> Content {
        Content {
            payload, tos, id, ttl, dont_fragment, alerts, padded, sequence, acknowledgement, flags, tcp_options, checksummed,
        }
    }
}

impl Content {
    fn around<T: Transport>(&self, builder: Builder<T>, ttl: u8) -> Builder<T> {
        let builder = builder
            .payload(&self.payload)
            .tos(self.tos)
            .id(self.id)
            .ttl(ttl)
            .ip_options(&[148, 4, 0, 0].repeat(self.alerts));
        let builder = if self.dont_fragment {
            builder.dont_fragment()
        } else {
            builder
        };
        if self.padded {
            builder.padded()
        } else {
            builder
        }
    }

    /// The client's packet with this TTL. A SYN or RST would begin or end something.
    fn build(&self, protocol: Protocol, ttl: u8) -> Vec<u8> {
        match protocol {
            Protocol::Tcp => {
                let segment = tcp()
                    .flags(Flags(self.flags & !0x06))
                    .seq(self.sequence)
                    .ack_no(self.acknowledgement)
                    .option(&self.tcp_options);
                self.around(segment, ttl).build()
            }
            Protocol::Udp if self.checksummed => self.around(udp(), ttl).build(),
            Protocol::Udp => self.around(udp().no_checksum(), ttl).build(),
            Protocol::Sctp => self.around(sctp().tag(self.sequence), ttl).build(),
        }
    }
}

/// What the other end would send if it echoed the packet: both ends swapped, to the gateway.
/// Internet checksums do not notice; SCTP's CRC is computed anew.
fn echoed(frame: &[u8], protocol: Protocol) -> Vec<u8> {
    let mut echo = frame.to_vec();
    let (link, ip) = echo.split_at_mut(14);
    let (destination, source) = link[..12].split_at_mut(6);
    destination.swap_with_slice(source);
    let (source, destination) = ip[12..20].split_at_mut(4);
    source.swap_with_slice(destination);
    let l4 = usize::from(ip[0] & 0x0f) * 4;
    let (source, destination) = ip[l4..l4 + 4].split_at_mut(2);
    source.swap_with_slice(destination);
    if protocol == Protocol::Sctp {
        ip[l4 + 8..l4 + 12].fill(0);
        let crc = crc32c(&ip[l4..]);
        ip[l4 + 8..l4 + 12].copy_from_slice(&crc.to_le_bytes());
    }
    echo
}

fn there_and_back(
    protocol: Protocol,
    method: Method,
    port: u16,
    content: &Content,
) -> Result<(), TestCaseError> {
    // Given a session that is open.
    let service = service(protocol, VIP)
        .mss_clamp(MssClamp::Off)
        .server(endpoint([10, 2, 0, 11], port), method);
    let mut gateway = serving(Setup::two_arm(), &service);
    let open = match protocol {
        Protocol::Tcp => tcp().syn().build(),
        Protocol::Udp => udp().build(),
        Protocol::Sctp => sctp().init().build(),
    };
    gateway.receive(0, &open);
    prop_assert_eq!(gateway.sent(1).len(), 1);

    // When the server echoes a packet.
    let question = content.build(protocol, content.ttl);
    gateway.receive(0, &question);
    let at_server = gateway.sent(1);
    prop_assert_eq!(at_server.len(), 1);
    gateway.receive(1, &echoed(&at_server[0], protocol));
    let at_client = gateway.sent(0);

    // Then the client gets its packet, two hops older.
    let mut two_hops = content.clone();
    (two_hops.padded, two_hops.checksummed) = (false, true);
    let two_hops = two_hops.build(protocol, content.ttl - 2);
    prop_assert_eq!(at_client.len(), 1);
    prop_assert_eq!(&at_client[0], &echoed(&two_hops, protocol));
    Ok(())
}

proptest! {
    #[test]
    fn an_echo_through_nat_and_fullnat_is_the_packet_again(
        content in any_content(),
        method in prop_oneof![Just(Method::Nat), Just(Method::Fullnat)],
        protocol in prop_oneof![
            Just(Protocol::Tcp), Just(Protocol::Udp), Just(Protocol::Sctp)
        ],
        port in 1_u16..,
    ) {
        there_and_back(protocol, method, port, &content)?;
    }
}
