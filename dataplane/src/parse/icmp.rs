//! ICMP errors (RFC 792): which packet one is about.
//!
//! ```text
//! | ICMP 8 | quoted IP 20–60 | its transport, 4 bytes or more |
//! | ICMP 8 | quoted IP, protocol 4 | inner IP | its transport, 4 bytes or more |
//! ```
//!
//! Only the errors that can be about a session are read: unreachable, source quench, time
//! exceeded, about a packet with ports or one in a tunnel. The others are Linux's. The checksum is
//! not looked at: most of what comes here is about no session. RFC 792 wants 8 bytes of the
//! transport; the kernel is content with the ports, and so is this.

use crate::address::{Endpoint, FlowKey, Protocol, V4};
use crate::wire::icmp::{self, Icmp, kind};
use crate::wire::ipv4::{Ipv4, protocol};
use crate::wire::ports;

/// An ICMP error about a packet that may be a session's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelatedError {
    /// What it says, one of [`kind`].
    pub kind: u8,
    /// More about what it says.
    pub code: u8,
    /// Bytes that fit the next link, in "fragmentation needed"; anything in others.
    pub mtu: u16,
    /// The packet it is about.
    pub about: About,
}

/// What packet an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// One with ports: who sent it to whom.
    Flow(FlowKey<V4>),
    /// One in a tunnel of IP in IP (RFC 2003).
    Tunnel(QuotedTunnel),
}

/// A packet in a tunnel, as an error quotes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotedTunnel {
    /// Where the tunnel begins.
    pub source: V4,
    /// Where it ends.
    pub destination: V4,
    /// Who sent the inner packet to whom.
    pub inner: FlowKey<V4>,
    /// Where the inner packet begins, in bytes from the front of the ICMP message.
    pub inner_offset: u8,
    /// Whether the inner packet must not be fragmented.
    pub dont_fragment: bool,
}

impl RelatedError {
    /// Reads an ICMP message; `None` for what is Linux's: no error of these types, or one about a
    /// later fragment, another protocol, or a packet of which too little is quoted.
    #[must_use]
    pub fn parse(message: &[u8]) -> Option<Self> {
        let (icmp, quoted) = Icmp::parse(message).ok()?;
        if !is_about_delivery(icmp.kind()) {
            return None;
        }
        let (header, payload) = whole_or_first(quoted)?;
        let about = if header.protocol() == protocol::IPIP {
            About::Tunnel(tunnel(&header, payload)?)
        } else {
            About::Flow(flow(&header, payload)?)
        };
        Some(Self {
            kind: icmp.kind(),
            code: icmp.code(),
            mtu: icmp.mtu(),
            about,
        })
    }
}

/// The types that the kernel's IPVS looks at (connections.md §8).
const fn is_about_delivery(kind: u8) -> bool {
    matches!(
        kind,
        kind::UNREACHABLE | kind::SOURCE_QUENCH | kind::TIME_EXCEEDED
    )
}

/// Splits a quoted packet into header and what is there of its payload; `None` for a later
/// fragment, which has no ports.
fn whole_or_first(packet: &[u8]) -> Option<(Ipv4<'_>, &[u8])> {
    let (header, payload) = Ipv4::parse_quoted(packet).ok()?;
    (header.fragment_offset() == 0).then_some((header, payload))
}

fn flow(header: &Ipv4<'_>, transport: &[u8]) -> Option<FlowKey<V4>> {
    let protocol = Protocol::from_number(header.protocol())?;
    let (source, destination) = ports(transport).ok()?;
    Some(FlowKey {
        source: Endpoint::new(header.source(), source),
        destination: Endpoint::new(header.destination(), destination),
        protocol,
    })
}

fn tunnel(outer: &Ipv4<'_>, packet: &[u8]) -> Option<QuotedTunnel> {
    const ICMP_HEADER_LEN: u8 = 8;
    const _: () = assert!(ICMP_HEADER_LEN as usize == icmp::HEADER_LEN);

    let (header, payload) = whole_or_first(packet)?;
    Some(QuotedTunnel {
        source: outer.source(),
        destination: outer.destination(),
        inner: flow(&header, payload)?,
        inner_offset: ICMP_HEADER_LEN + outer.header_len(),
        dont_fragment: header.dont_fragment(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rewrite::samples::{SERVER, first_fragment, later_fragment};
    use crate::testing::{CLIENT, DIP_SERVER_SIDE, VIP, icmp_error, ip, tcp, udp};

    /// The message of an error about the packet in `frame`.
    fn message(kind: u8, code: u8, frame: &[u8]) -> Vec<u8> {
        icmp_error(kind, code).mtu(1_400).about(frame).build()[34..].to_vec()
    }

    /// A packet as [`message`] wants it, with an Ethernet header in front.
    fn framed(packet: &[u8]) -> Vec<u8> {
        [&[0; 14], packet].concat()
    }

    /// The VIP's answer to the client.
    fn reply() -> Vec<u8> {
        tcp().from(VIP).to(CLIENT).payload(b"an answer").build()
    }

    /// The client's question in a tunnel to the server.
    fn tunnelled(inner: &[u8]) -> Vec<u8> {
        let ends = (Endpoint::new(DIP_SERVER_SIDE, 0), SERVER);
        ip(4).from(ends.0).to(ends.1).payload(&inner[14..]).build()
    }

    #[test]
    fn an_error_names_the_packet_it_is_about() {
        for kind in [3, 4, 11] {
            let error = RelatedError::parse(&message(kind, 1, &reply())).unwrap();

            let about = About::Flow(FlowKey {
                source: VIP,
                destination: CLIENT,
                protocol: Protocol::Tcp,
            });
            let expected = RelatedError {
                kind,
                code: 1,
                mtu: 1_400,
                about,
            };
            assert_eq!(error, expected);
        }
    }

    #[test]
    fn other_messages_are_not_read() {
        for kind in [0, 5, 8, 12, 13, 255] {
            assert_eq!(RelatedError::parse(&message(kind, 0, &reply())), None);
        }
    }

    #[test]
    fn a_quotation_needs_the_ports_behind_all_options() {
        let with_options = udp().ip_options(&[148, 4, 0, 0]).payload(b"question");
        for (frame, header_len) in [(udp().build(), 20), (with_options.build(), 24)] {
            let message = message(3, 3, &frame);
            let enough = icmp::HEADER_LEN + header_len + 4;

            assert!(RelatedError::parse(&message[..enough]).is_some());
            for len in 0..enough {
                assert_eq!(RelatedError::parse(&message[..len]), None, "{len}");
            }
        }
    }

    #[test]
    fn a_first_fragment_is_a_flows_and_a_later_one_nobodys() {
        let packet = udp().payload(b"question").build()[14..].to_vec();
        let first = framed(&first_fragment(packet.clone()));
        let later = framed(&later_fragment(packet));

        assert!(RelatedError::parse(&message(11, 1, &first)).is_some());
        assert_eq!(RelatedError::parse(&message(11, 1, &later)), None);
        for (inner, is_read) in [(first, true), (later, false)] {
            let error = RelatedError::parse(&message(3, 1, &tunnelled(&inner)));
            assert_eq!(error.is_some(), is_read);
        }
    }

    #[test]
    fn a_quoted_protocol_without_ports_is_nobodys() {
        let frame = ip(47).payload(&[0; 20]).build();

        assert_eq!(RelatedError::parse(&message(3, 2, &frame)), None);
        assert_eq!(
            RelatedError::parse(&message(3, 2, &tunnelled(&frame))),
            None
        );
    }

    #[test]
    fn a_tunnel_shows_its_ends_and_the_packet_inside() {
        let question = udp().dont_fragment().payload(b"question").build();

        let error = RelatedError::parse(&message(3, 4, &tunnelled(&question))).unwrap();

        let expected = QuotedTunnel {
            source: DIP_SERVER_SIDE,
            destination: SERVER.addr,
            inner: FlowKey {
                source: CLIENT,
                destination: VIP,
                protocol: Protocol::Udp,
            },
            inner_offset: 28,
            dont_fragment: true,
        };
        assert_eq!(error.about, About::Tunnel(expected));
        assert_eq!(error.mtu, 1_400);
    }

    proptest! {
        #[test]
        fn any_message_is_survived(
            mut message in proptest::collection::vec(any::<u8>(), 0..120),
            looks_right: bool,
        ) {
            if let [kind, _, _, _, _, _, _, _, version, ..] = &mut message[..]
                && looks_right
            {
                (*kind, *version) = (3, 0x45);
            }
            if let Some(RelatedError { about: About::Tunnel(tunnel), .. }) =
                RelatedError::parse(&message)
            {
                let inner = message.get(usize::from(tunnel.inner_offset)..);
                prop_assert!(inner.is_some_and(|inner| inner.len() >= 24));
            }
        }
    }
}
