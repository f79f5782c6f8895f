//! Takes out of a frame what is legitimately free.
//!
//! The kernel numbers the IP packets it makes itself as it likes: tunnel headers that may be
//! fragmented (one that must not be has the identification 0), and ICMP errors. The header's
//! checksum follows the identification.

use dataplane::wire::ethernet::{Ethernet, HEADER_LEN, ethertype};
use dataplane::wire::icmp::{self, Icmp};
use dataplane::wire::ipv4::{Ipv4, Ipv4Mut, protocol};

/// The frame with an identification of 0 where it is free. `input` is what the side was given
/// before.
pub(super) fn masked(frame: &[u8], input: Option<&[u8]>) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let inside = made_inside(&frame, input);
    let outside = has_free_id(&frame, input).then_some(HEADER_LEN);
    for place in [outside, inside].into_iter().flatten() {
        zero_id(frame.get_mut(place..).unwrap_or_default());
    }
    frame
}

fn zero_id(packet: &mut [u8]) {
    if let Ok((mut ip, _)) = Ipv4Mut::parse(packet) {
        // A checksum that is wrong stays to be compared.
        let sound = ip.view().verify_checksum();
        ip.set_id(0);
        if sound {
            ip.fill_checksum();
        }
    }
}

fn has_free_id(frame: &[u8], input: Option<&[u8]>) -> bool {
    let Some((ip, payload)) = ipv4(frame) else {
        return false;
    };
    match ip.protocol() {
        protocol::IPIP => !ip.dont_fragment(),
        // Echo replies are Linux's work and not compared byte for byte.
        _ => is_error_made_here(&ip, payload, input),
    }
}

/// Where a packet begins that the kernel has made, in one that goes through a tunnel.
fn made_inside(frame: &[u8], input: Option<&[u8]>) -> Option<usize> {
    let (ip, packet) = ipv4(frame).filter(|(ip, _)| ip.protocol() == protocol::IPIP)?;
    let (inner, payload) = Ipv4::parse(packet).ok()?;
    let is_made = is_error_made_here(&inner, payload, input);
    is_made.then_some(HEADER_LEN + usize::from(ip.header_len()))
}

fn is_error_made_here(ip: &Ipv4<'_>, payload: &[u8], input: Option<&[u8]>) -> bool {
    let is_error = || Icmp::parse(payload).is_ok_and(|(icmp, _)| icmp.is_error());
    ip.protocol() == protocol::ICMP && is_error() && !input.is_some_and(is_forwarded_error)
}

/// Whether an input is an ICMP error that would be passed on. One about a tunnel's packet is
/// answered with another.
fn is_forwarded_error(input: &[u8]) -> bool {
    error_about(input).is_some_and(|about| about.protocol() != protocol::IPIP)
}

/// The IPv4 header and its payload.
pub(super) fn ipv4(frame: &[u8]) -> Option<(Ipv4<'_>, &[u8])> {
    let (link, packet) = Ethernet::parse(frame).ok()?;
    (link.ethertype() == ethertype::IPV4)
        .then(|| Ipv4::parse(packet).ok())
        .flatten()
}

/// The ICMP message of a frame and its data.
pub(super) fn icmp_of(frame: &[u8]) -> Option<(Icmp<'_>, &[u8])> {
    let (ip, payload) = ipv4(frame)?;
    let whole = ip.protocol() == protocol::ICMP && ip.fragment_offset() == 0;
    whole.then(|| Icmp::parse(payload).ok()).flatten()
}

/// What the ICMP error in a frame is about.
pub(super) fn error_about(frame: &[u8]) -> Option<Ipv4<'_>> {
    let (icmp, data) = icmp_of(frame)?;
    let (about, _) = icmp.is_error().then(|| Ipv4::parse_quoted(data).ok())??;
    Some(about)
}

/// The MTU an ICMP error announces, if it is of that kind.
pub(super) fn announced_mtu(frame: &[u8]) -> Option<u16> {
    let (icmp, _) = icmp_of(frame)?;
    let kind = (icmp.kind(), icmp.code());
    let too_big = (
        icmp::kind::UNREACHABLE,
        icmp::unreachable::FRAGMENTATION_NEEDED,
    );
    (kind == too_big).then(|| icmp.mtu())
}

#[cfg(test)]
mod tests {
    use dataplane::testing::{Builder, Transport, icmp_error, ip, tcp, udp};

    use super::*;

    fn pair<T: Transport>(packet: &Builder<T>) -> [Vec<u8>; 2] {
        [packet.clone().id(1).build(), packet.clone().id(2).build()]
    }

    fn agree(frames: &[Vec<u8>; 2], input: Option<&[u8]>) -> bool {
        masked(&frames[0], input) == masked(&frames[1], input)
    }

    #[test]
    fn the_kernel_numbers_what_it_makes_as_it_likes() {
        let input = udp().build();
        let tunnel = ip(protocol::IPIP).payload(&input[HEADER_LEN..]);
        let error = icmp_error(3, 3).about(&input);

        assert!(agree(&pair(&tunnel), Some(&input)));
        assert!(agree(&pair(&error), Some(&input)));
        assert!(!agree(&pair(&tunnel.dont_fragment()), Some(&input)));
        assert!(!agree(&pair(&tcp()), Some(&input)));
    }

    #[test]
    fn an_error_that_is_passed_on_keeps_its_number() {
        let error = icmp_error(3, 3).about(&udp().build());
        let tunnel = ip(protocol::IPIP)
            .payload(&udp().build()[HEADER_LEN..])
            .build();
        let about_tunnel = icmp_error(3, 4).about(&tunnel).build();

        assert!(!agree(&pair(&error), Some(&error.build())));
        assert!(agree(&pair(&error), Some(&about_tunnel)));
    }

    #[test]
    fn an_error_in_a_tunnel_has_a_free_number_only_if_the_kernel_made_it() {
        let input = udp().build();
        let error = icmp_error(11, 0).about(&input);
        let tunnels = pair(&error).map(|error| {
            let tunnel = ip(protocol::IPIP).payload(&error[HEADER_LEN..]);
            tunnel.dont_fragment().build()
        });

        assert!(agree(&tunnels, Some(&input)));
        assert!(!agree(&tunnels, Some(&error.build())));
    }

    #[test]
    fn a_wrong_checksum_stays_a_difference() {
        let sound = icmp_error(3, 3).about(&udp().build());
        let wrong = sound.clone().bad_ip_checksum();

        assert_ne!(masked(&sound.build(), None), masked(&wrong.build(), None));
    }
}
