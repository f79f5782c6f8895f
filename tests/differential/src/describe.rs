//! Tells in one line what a frame is, with every checksum that is wrong.

use std::fmt::Write;

use dataplane::address::{Protocol, V4};
use dataplane::wire::arp::Arp;
use dataplane::wire::checksum::{finish, ones_complement_sum, pseudo_v4};
use dataplane::wire::crc32c::crc32c;
use dataplane::wire::ethernet::{Ethernet, ethertype};
use dataplane::wire::icmp::{Icmp, kind};
use dataplane::wire::ipv4::{Ipv4, protocol};
use dataplane::wire::ports;

/// What a frame is: stations, addresses, header fields that matter.
#[must_use]
pub fn describe(frame: &[u8]) -> String {
    let Ok((link, payload)) = Ethernet::parse(frame) else {
        return format!("{} bytes, no frame", frame.len());
    };
    let what = match link.ethertype() {
        ethertype::IPV4 => packet(payload, 0),
        ethertype::ARP => arp(payload),
        other => format!("ethertype {other:04x}, {} bytes", payload.len()),
    };
    format!("{} > {} {what}", link.source(), link.destination())
}

fn arp(bytes: &[u8]) -> String {
    match Arp::parse(bytes) {
        Ok((arp, _)) => format!(
            "ARP {:?} {} asks for {}",
            arp.operation(),
            arp.sender_addr(),
            arp.target_addr()
        ),
        Err(_) => "ARP, malformed".to_owned(),
    }
}

/// An IP packet, or the beginning of one at a `depth` above 0: within a tunnel or an error.
fn packet(bytes: &[u8], depth: u8) -> String {
    let Ok((ip, payload)) = Ipv4::parse_quoted(bytes) else {
        return "no IPv4 packet".to_owned();
    };
    let announced = usize::from(ip.total_len()).saturating_sub(usize::from(ip.header_len()));
    let cut = payload.len() < announced;
    let payload = payload.get(..announced).unwrap_or(payload);
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write!(text, "{} > {} ", ip.source(), ip.destination());
    if ip.fragment_offset() == 0 {
        text.push_str(&transport(&ip, payload, cut || ip.more_fragments(), depth));
    }
    let _ = write!(
        text,
        " ttl {} tos {:#x} id {} len {}",
        ip.ttl(),
        ip.tos(),
        ip.id(),
        ip.total_len()
    );
    for (said, word) in [(ip.dont_fragment(), " DF"), (ip.more_fragments(), " MF")] {
        text.push_str(if said { word } else { "" });
    }
    if ip.fragment_offset() > 0 {
        let _ = write!(text, " at {}", ip.fragment_offset());
    }
    text.push_str(if ip.verify_checksum() {
        ""
    } else {
        " WRONG IP CHECKSUM"
    });
    text
}

fn transport(ip: &Ipv4<'_>, payload: &[u8], cut: bool, depth: u8) -> String {
    match (ip.protocol(), Protocol::from_number(ip.protocol())) {
        (_, Some(protocol)) => load_balanced(ip, protocol, payload, cut),
        (protocol::ICMP, _) => icmp(payload, depth),
        (protocol::IPIP, _) if depth < 2 => format!("carries ({})", packet(payload, depth + 1)),
        (other, _) => format!("protocol {other}"),
    }
}

fn load_balanced(ip: &Ipv4<'_>, protocol: Protocol, payload: &[u8], cut: bool) -> String {
    let Ok((source, destination)) = ports(payload) else {
        return format!("{protocol} cut to {} bytes", payload.len());
    };
    let detail = match (protocol, payload.get(13), payload.get(12)) {
        (Protocol::Tcp, Some(flags), _) => tcp_flags(*flags),
        (Protocol::Sctp, _, Some(chunk)) => format!("chunk {chunk}"),
        _ => String::new(),
    };
    let wrong = !cut && !checksum_is_right(ip.source(), ip.destination(), protocol, payload);
    let wrong = if wrong { " WRONG CHECKSUM" } else { "" };
    format!("{protocol} {source} > {destination} {detail}{wrong}")
}

fn tcp_flags(flags: u8) -> String {
    let letters = "FSRPAUEC".chars().enumerate();
    let set = letters.filter(|(bit, _)| flags >> bit & 1 != 0);
    format!("[{}]", set.map(|(_, letter)| letter).collect::<String>())
}

/// Whether the checksum of a whole transport segment is right, or left out where it may be.
pub(crate) fn checksum_is_right(
    source: V4,
    destination: V4,
    protocol: Protocol,
    payload: &[u8],
) -> bool {
    let Ok(len) = u16::try_from(payload.len()) else {
        return false;
    };
    match protocol {
        Protocol::Udp if payload.get(6..8) == Some(&[0, 0]) => true,
        Protocol::Tcp | Protocol::Udp => {
            let pseudo = pseudo_v4(source, destination, protocol as u8, len);
            finish(ones_complement_sum(payload, pseudo)) == 0
        }
        Protocol::Sctp => {
            let Some((header, chunks)) = payload.split_first_chunk::<12>() else {
                return false;
            };
            let [tags @ .., a, b, c, d] = *header;
            let bytes = [&tags[..], &[0; 4], chunks].concat();
            crc32c(&bytes).to_le_bytes() == [a, b, c, d]
        }
    }
}

fn icmp(payload: &[u8], depth: u8) -> String {
    let Ok((icmp, data)) = Icmp::parse(payload) else {
        return format!("icmp cut to {} bytes", payload.len());
    };
    let mut text = format!("icmp {}/{}", icmp.kind(), icmp.code());
    if icmp.kind() == kind::UNREACHABLE && icmp.mtu() > 0 {
        // Writing to a string cannot fail.
        let _ = write!(text, " mtu {}", icmp.mtu());
    }
    if icmp.is_error() && depth < 2 {
        let _ = write!(text, " about ({})", packet(data, depth + 1));
    }
    // A quoted error may be cut, so only the outermost can be judged.
    if depth == 0 && !icmp.verify_checksum(data) {
        text.push_str(" WRONG CHECKSUM");
    }
    text
}

#[cfg(test)]
mod tests {
    use dataplane::testing::{icmp_error, tcp, udp};

    use super::*;

    #[test]
    fn a_segment_is_told_with_its_flags() {
        let told = describe(&tcp().syn().ttl(9).dont_fragment().build());

        assert_eq!(
            told,
            "02:00:00:01:00:09 > 02:00:00:01:00:01 10.1.0.9 > 10.1.0.100 tcp 40000 > 80 [S] \
             ttl 9 tos 0x0 id 1 len 40 DF"
        );
    }

    #[test]
    fn an_error_is_told_with_what_it_is_about() {
        let told = describe(&icmp_error(3, 4).mtu(1_000).about(&udp().build()).build());

        assert!(
            told.contains("icmp 3/4 mtu 1000 about (10.1.0.9 > 10.1.0.100 udp 40000 > 80"),
            "{told}"
        );
    }

    #[test]
    fn wrong_checksums_are_told() {
        assert!(describe(&tcp().bad_checksum().build()).contains("WRONG CHECKSUM"));
        assert!(describe(&udp().bad_ip_checksum().build()).contains("WRONG IP CHECKSUM"));
        assert!(!describe(&udp().no_checksum().build()).contains("WRONG"));
    }

    #[test]
    fn what_is_no_packet_is_told_too() {
        assert_eq!(describe(&[0; 3]), "3 bytes, no frame");
        assert!(describe(&[0xff; 20]).contains("ethertype ffff"));
    }
}
