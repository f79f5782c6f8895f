//! Where Sluice differs from the kernel on purpose, by name.
//!
//! Each rule accepts precisely what it names, and the report counts how often it did.

use dataplane::wire::ethernet::{Ethernet, HEADER_LEN, ethertype};
use dataplane::wire::icmp::{self, IcmpMut};
use dataplane::wire::ipv4::{MIN_HEADER_LEN, protocol};

use super::frames::Case;
use super::host::is_arp;
use super::masks::{announced_mtu, error_about, icmp_of};

/// Bytes of a tunnel's header.
const TUNNEL_LEN: u16 = 20;

/// A deliberate difference between frames.
#[derive(Clone, Copy)]
pub struct Deliberate {
    /// What reports count it by.
    pub name: &'static str,
    /// What differs, and why that is right.
    pub what: &'static str,
    accepts: Accepts,
}

/// Which frames a rule looks at.
#[derive(Clone, Copy)]
enum Accepts {
    /// A frame of each side on the same interface: the kernel's and the gateway's.
    Pair(fn(&Case<'_>, &[u8], &[u8]) -> bool),
    /// A frame that only the kernel sent.
    Kernel(fn(&Case<'_>, &[u8]) -> bool),
}

/// All of them.
pub const RULES: [Deliberate; 4] = [
    Deliberate {
        name: "tunnel MTU",
        what: "When a router behind a tunnel says that a packet is too big, the kernel's first \
               error to the client carries the MTU that the route had before; Sluice's carries \
               the one the router named, less the tunnel's header",
        accepts: Accepts::Pair(is_stale_mtu),
    },
    Deliberate {
        name: "neighbour asked for",
        what: "The kernel asks for the MAC address of an unknown next hop itself; Sluice lets \
               Linux ask on the twin",
        accepts: Accepts::Kernel(is_arp_request),
    },
    Deliberate {
        name: "reassembly given up",
        what: "The kernel's host tells the sender when fragments of a datagram stay away for 30 s; \
               Sluice holds no datagram that long",
        accepts: Accepts::Kernel(is_reassembly_error),
    },
    Deliberate {
        name: "IPv6 neighbourhood",
        what: "The director's interfaces join IPv6 groups when they come up; twins do that on \
               their own",
        accepts: Accepts::Kernel(is_ipv6_multicast),
    },
];

impl Deliberate {
    /// Finds the first frames that this rule accepts: the kernel's and the gateway's index.
    pub(super) fn find(
        &self,
        case: &Case<'_>,
        kernel: &[(String, Vec<u8>)],
        gateway: &[(String, Vec<u8>)],
    ) -> Option<(usize, Option<usize>)> {
        for (index, (interface, theirs)) in kernel.iter().enumerate() {
            match self.accepts {
                Accepts::Kernel(accepts) if accepts(case, theirs) => return Some((index, None)),
                Accepts::Kernel(_) => {}
                Accepts::Pair(accepts) => {
                    let ours = gateway.iter().position(|(other, ours)| {
                        other == interface && accepts(case, theirs, ours)
                    });
                    if ours.is_some() {
                        return Some((index, ours));
                    }
                }
            }
        }
        None
    }
}

fn is_stale_mtu(case: &Case<'_>, theirs: &[u8], ours: &[u8]) -> bool {
    let about_tunnel = error_about(case.whole).is_some_and(|ip| ip.protocol() == protocol::IPIP);
    let (Some(named), Some(old), Some(new)) = (
        announced_mtu(case.whole),
        announced_mtu(theirs),
        announced_mtu(ours),
    ) else {
        return false;
    };
    let right = named.checked_sub(TUNNEL_LEN) == Some(new) && old > new;
    about_tunnel && right && with_mtu(theirs, new).as_deref() == Some(ours)
}

/// A frame with an ICMP error that announces another MTU.
fn with_mtu(frame: &[u8], mtu: u16) -> Option<Vec<u8>> {
    let mut frame = frame.to_vec();
    let message = frame.get_mut(HEADER_LEN + MIN_HEADER_LEN..)?;
    let (mut icmp, data) = IcmpMut::parse(message).ok()?;
    icmp.set_mtu(mtu);
    icmp.fill_checksum(data);
    Some(frame)
}

fn is_arp_request(_: &Case<'_>, theirs: &[u8]) -> bool {
    is_arp(theirs) && theirs.get(20..22) == Some(&[0, 1])
}

fn is_reassembly_error(_: &Case<'_>, theirs: &[u8]) -> bool {
    icmp_of(theirs)
        .is_some_and(|(icmp, _)| (icmp.kind(), icmp.code()) == (icmp::kind::TIME_EXCEEDED, 1))
}

fn is_ipv6_multicast(_: &Case<'_>, theirs: &[u8]) -> bool {
    Ethernet::parse(theirs)
        .is_ok_and(|(link, _)| link.ethertype() == ethertype::IPV6 && link.destination().is_group())
}

#[cfg(test)]
mod tests {
    use dataplane::testing::{CLIENT, VIP, icmp_error, ip, tcp};

    use super::*;

    /// A router's word that a tunnel's packet does not fit 1000 bytes, and both sides' answers.
    fn errors(old: u16, new: u16) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
        let packet = tcp().dont_fragment().build();
        let tunnel = ip(protocol::IPIP).payload(&packet[HEADER_LEN..]).build();
        let answer = icmp_error(3, 4).from(VIP).to(CLIENT).about(&packet);
        (
            icmp_error(3, 4).mtu(1_000).about(&tunnel).build(),
            answer.clone().mtu(old).build(),
            answer.mtu(new).build(),
        )
    }

    fn accepted(input: &[u8], theirs: &[u8], ours: &[u8]) -> Vec<&'static str> {
        let case = Case { whole: input };
        let (kernel, gateway) = (
            [("eth0".to_owned(), theirs.to_vec())],
            [("eth0".to_owned(), ours.to_vec())],
        );
        let rules = RULES
            .iter()
            .filter(|rule| rule.find(&case, &kernel, &gateway).is_some());
        rules.map(|rule| rule.name).collect()
    }

    #[test]
    fn a_stale_mtu_is_accepted_only_when_ours_is_right() {
        let (input, theirs, ours) = errors(1_480, 980);
        assert_eq!(accepted(&input, &theirs, &ours), ["tunnel MTU"]);

        let (input, theirs, ours) = errors(1_480, 970);
        assert!(accepted(&input, &theirs, &ours).is_empty());
        let (input, theirs, ours) = errors(900, 980);
        assert!(accepted(&input, &theirs, &ours).is_empty());
        let (_, theirs, ours) = errors(1_480, 980);
        assert!(accepted(&tcp().build(), &theirs, &ours).is_empty());
    }

    #[test]
    fn other_fields_of_the_error_must_be_the_same() {
        let (input, theirs, mut ours) = errors(1_480, 980);
        ours[22] = 63;

        assert!(accepted(&input, &theirs, &ours).is_empty());
    }

    #[test]
    fn rules_have_names_of_their_own() {
        let mut names: Vec<_> = RULES.iter().map(|rule| rule.name).collect();
        names.sort_unstable();
        names.dedup();

        assert_eq!(names.len(), RULES.len());
        assert!(RULES.iter().all(|rule| !rule.what.is_empty()));
    }
}
