//! ICMP errors about packets of NAT and FULLNAT sessions: the error, and the packet it quotes.
//!
//! ```text
//! about a reply    router -> VIP, quoting VIP:vport -> client
//!          becomes router -> RIP, quoting RIP:rport -> client, or -> LIP:lport   (to_server)
//! about a request  router -> client, quoting client -> RIP:rport, or
//!                  router -> LIP, quoting LIP:lport -> RIP:rport
//!          becomes VIP -> client, quoting client -> VIP:vport                    (to_client)
//! ```
//!
//! So each side reads of a packet as it sent it. A server is told who complains; a client sees
//! the VIP alone, whoever it was.
//!
//! The checksums of the outer header and of the message are carried over. The quoted header gets a
//! new one, as in the kernel, for a router may quote a header that it has changed already. The
//! quoted transport's stays as it was: most of what it is computed over is not there.

use super::{not_ip, not_transport, replace_addresses};
use crate::address::{Endpoint, Protocol, V4};
use crate::drop_reason::DropReason;
use crate::wire::checksum::Change;
use crate::wire::icmp::{IcmpMut, QuotedTransportMut};
use crate::wire::ipv4::Ipv4Mut;

/// Sends an error about a reply to the server that sent it to `local`: its client, or with FULLNAT
/// a local address and port.
///
/// # Errors
///
/// [`DropReason::TruncatedTransport`] when not all of the quoted ports are there;
/// [`DropReason::TruncatedIp`] and [`DropReason::BadIpHeader`] for what is no IPv4 packet, or
/// quotes none.
pub fn to_server(
    ip: &mut [u8],
    local: Endpoint<V4>,
    server: Endpoint<V4>,
) -> Result<(), DropReason> {
    let ends = Quoted {
        source: server,
        destination: local,
        sequence_back: 0,
    };
    readdress(ip, None, server, ends)
}

/// Sends an error about a request to the client that sent it to `vip`. `sequence_delta` is what
/// was added to the client's sequence numbers ([`super::sequence`]).
///
/// # Errors
///
/// As [`to_server`].
pub fn to_client(
    ip: &mut [u8],
    vip: Endpoint<V4>,
    client: Endpoint<V4>,
    sequence_delta: u32,
) -> Result<(), DropReason> {
    let ends = Quoted {
        source: client,
        destination: vip,
        sequence_back: sequence_delta,
    };
    readdress(ip, Some(vip), client, ends)
}

/// What the quoted packet is to say.
#[derive(Clone, Copy)]
struct Quoted {
    source: Endpoint<V4>,
    destination: Endpoint<V4>,
    /// How far the sequence number of a TCP segment goes back.
    sequence_back: u32,
}

fn readdress(
    ip: &mut [u8],
    source: Option<Endpoint<V4>>,
    destination: Endpoint<V4>,
    quoted: Quoted,
) -> Result<(), DropReason> {
    let (mut header, message) = Ipv4Mut::parse(ip).map_err(not_ip)?;
    replace_addresses(&mut header, source, Some(destination));
    let (mut icmp, quotation) = IcmpMut::parse(message).map_err(not_transport)?;
    let change = readdress_quoted(quotation, quoted)?;
    let checksum = change.apply(icmp.view().checksum());
    icmp.set_checksum(checksum);
    Ok(())
}

/// Changes the quoted packet, and says how for the message's checksum.
fn readdress_quoted(packet: &mut [u8], quoted: Quoted) -> Result<Change, DropReason> {
    let (mut header, transport) = Ipv4Mut::parse(packet).map_err(not_ip)?;
    let (source, destination) = (Some(quoted.source), Some(quoted.destination));
    let before = header.view().checksum();
    let addresses = replace_addresses(&mut header, source, destination);
    header.fill_checksum();
    let change = addresses.u16(before, header.view().checksum());

    let mut transport = QuotedTransportMut::parse(transport).map_err(not_transport)?;
    let ports = transport.ports();
    let new_ports = (quoted.source.port, quoted.destination.port);
    transport.set_ports(new_ports.0, new_ports.1);
    let change = change.u16(ports.0, new_ports.0).u16(ports.1, new_ports.1);

    let is_tcp = Protocol::from_number(header.view().protocol()) == Some(Protocol::Tcp);
    let Some(sequence) = transport.sequence().filter(|_| is_tcp) else {
        return Ok(change);
    };
    let new_sequence = sequence.wrapping_sub(quoted.sequence_back);
    transport.set_sequence(new_sequence);
    Ok(change.u32(sequence, new_sequence))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::samples::*;
    use super::*;
    use crate::testing::icmp_error;

    /// A router somewhere.
    const ROUTER: Endpoint<V4> = crate::testing::endpoint([192, 0, 2, 1], 0);

    /// An error between two hosts about a packet, without Ethernet.
    fn error(from: Endpoint<V4>, to: Endpoint<V4>, about: &[u8]) -> Vec<u8> {
        let frame = [&[0; 14], about].concat();
        let error = icmp_error(3, 1).about(&frame);
        error.from(from).to(to).ttl(TTL).build()[14..].to_vec()
    }

    /// `packet` with the ends of another, but its transport checksum as it was: what a quotation
    /// looks like when it was rewritten.
    fn keeping_checksum(readdressed: Vec<u8>, packet: &[u8]) -> Vec<u8> {
        let place = match packet[9] {
            6 => 36..38,
            17 => 26..28,
            _ => 28..32,
        };
        let mut kept = readdressed;
        kept[place.clone()].copy_from_slice(&packet[place]);
        kept
    }

    #[test]
    fn a_server_reads_of_the_reply_it_sent() {
        for local in [CLIENT, LIP] {
            let quoted = tcp(VIP, CLIENT, |tcp| tcp, b"200");
            let mut packet = error(ROUTER, VIP, &quoted);

            assert_eq!(to_server(&mut packet, local, SERVER), Ok(()));

            let sent = keeping_checksum(tcp(SERVER, local, |tcp| tcp, b"200"), &quoted);
            assert_eq!(packet, error(ROUTER, SERVER, &sent));
        }
    }

    #[test]
    fn a_client_reads_from_the_vip_of_the_request_it_sent() {
        for (local, payload) in [(CLIENT, &b"GET"[..]), (LIP, b"POST")] {
            let quoted = udp(local, SERVER, payload);
            let mut packet = error(ROUTER, local, &quoted);

            assert_eq!(to_client(&mut packet, VIP, CLIENT, 0), Ok(()));

            let sent = keeping_checksum(udp(CLIENT, VIP, payload), &quoted);
            assert_eq!(packet, error(VIP, CLIENT, &sent));
        }
    }

    #[test]
    fn sequence_numbers_go_back_to_the_clients_own() {
        let delta = 0xf000_0001;
        let quoted = tcp(
            LIP,
            SERVER,
            |tcp| tcp.seq(7_u32.wrapping_add(delta)),
            b"GET",
        );
        let mut packet = error(ROUTER, LIP, &quoted);

        assert_eq!(to_client(&mut packet, VIP, CLIENT, delta), Ok(()));

        let sent = keeping_checksum(tcp(CLIENT, VIP, |tcp| tcp.seq(7), b"GET"), &quoted);
        assert_eq!(packet, error(VIP, CLIENT, &sent));
    }

    #[test]
    fn a_wrong_checksum_of_the_message_stays_wrong_and_that_of_the_quoted_header_does_not() {
        let whole = udp(VIP, CLIENT, b"answer");
        let mut stale = whole.clone();
        stale[10] ^= 0x55;
        let mut packet = error(ROUTER, VIP, &stale);
        packet[22] ^= 0x10;

        assert_eq!(to_server(&mut packet, CLIENT, SERVER), Ok(()));

        assert!(header_is_sound(&packet[28..]));
        let sound = error(
            ROUTER,
            SERVER,
            &keeping_checksum(udp(SERVER, CLIENT, b"answer"), &whole),
        );
        assert_ne!(packet[22..24], sound[22..24]);
        packet[22..24].copy_from_slice(&sound[22..24]);
        assert_eq!(packet, sound);
    }

    #[test]
    fn a_cut_quotation_is_a_named_drop_at_every_length() {
        let whole = error(ROUTER, VIP, &udp(VIP, CLIENT, b"answer"));
        for len in 0..20 + 8 + 20 + 4 {
            let mut packet = whole[..len].to_vec();

            let result = to_server(&mut packet, CLIENT, SERVER);

            let ip = [0..20, 28..48].iter().any(|header| header.contains(&len));
            let reason = if ip {
                DropReason::TruncatedIp
            } else {
                DropReason::TruncatedTransport
            };
            assert_eq!(result, Err(reason), "{len}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_quoted_the_checksums_are_right(
            content in any_content(), client in any_end(), vip in any_end(),
            local in any_end(), server in any_end(), delta: u32, cut in 24..80_usize,
        ) {
            let mut quoted = content.between(local, server);
            quoted.truncate(cut);
            // The header still says how long the packet was.
            let frame = [&[0; 14], &content.between(local, server)[..]].concat();
            let len = quoted.len();
            let whole = icmp_error(11, 0).about(&frame).cut(8 + len).from(ROUTER).to(local);
            let mut packet = whole.build()[14..].to_vec();
            // Cutting came after the checksum.
            fill(&mut packet);

            prop_assert_eq!(to_client(&mut packet, vip, client, delta), Ok(()));

            prop_assert!(header_is_sound(&packet));
            prop_assert!(header_is_sound(&packet[28..]));
            let carried = packet.clone();
            fill(&mut packet);
            prop_assert_eq!(carried, packet);
        }

        #[test]
        fn any_bytes_are_survived(mut bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            if let [version, ..] = &mut bytes[..] {
                *version = 0x45;
            }
            if let Some(version) = bytes.get_mut(28) {
                *version = 0x45;
            }
            let _ = to_server(&mut bytes.clone(), CLIENT, SERVER);
            let _ = to_client(&mut bytes, VIP, CLIENT, 1);
        }
    }

    /// Computes the checksum of the message anew.
    fn fill(packet: &mut [u8]) {
        let (mut icmp, data) = IcmpMut::parse(&mut packet[20..]).unwrap();
        icmp.fill_checksum(data);
    }
}
