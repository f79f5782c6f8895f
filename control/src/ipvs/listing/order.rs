//! The order of services and servers.
//!
//! `ipvsadm` compares by subtracting numbers of 32 bits as if they were signed, so that
//! 192.168.77.1 stands before 10.1.0.100. That is no order in the mathematical sense: what comes
//! of it depends on how one sorts. glibc's `qsort` merges halves, and so does [`sort`].

use std::net::IpAddr;

use dataplane::address::{Endpoint, Protocol};

use crate::ipvs::command::{Family, ServiceName};

/// Sorts by a difference: not above 0 when the first may stay before the second.
pub(super) fn sort<T: Clone>(rows: &mut [T], difference: &impl Fn(&T, &T) -> i32) {
    let half = rows.len() / 2;
    if half == 0 {
        return;
    }
    let (left, right) = rows.split_at_mut(half);
    sort(left, difference);
    sort(right, difference);
    let (left, right) = (left.to_vec(), right.to_vec());
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    for place in rows {
        let takes_left = match (left.peek(), right.peek()) {
            (Some(left), Some(right)) => difference(left, right) <= 0,
            (left, _) => left.is_some(),
        };
        let next = if takes_left {
            left.next()
        } else {
            right.next()
        };
        if let Some(next) = next {
            *place = next;
        }
    }
}

/// Marks first to last by mark (addresses have none), then families, transports, addresses, ports.
pub(super) fn services(left: &ServiceName, right: &ServiceName) -> i32 {
    first([
        signed(mark(left), mark(right)),
        signed(family(left.family()), family(right.family())),
        signed(number(left.protocol()), number(right.protocol())),
        match (left, right) {
            (
                ServiceName::Address { endpoint: left, .. },
                ServiceName::Address {
                    endpoint: right, ..
                },
            ) => endpoints(left, right),
            _ => 0,
        },
    ])
}

/// Addresses, then ports.
pub(super) fn endpoints(left: &Endpoint<IpAddr>, right: &Endpoint<IpAddr>) -> i32 {
    first([
        addresses(left.addr, right.addr),
        i32::from(left.port) - i32::from(right.port),
    ])
}

/// As many words as the first address has; one of IPv4 has a single word, behind which the others
/// are 0.
fn addresses(left: IpAddr, right: IpAddr) -> i32 {
    let differences = words(left).into_iter().zip(words(right));
    let differences = differences.map(|(left, right)| signed(left, right));
    first(differences.take(if left.is_ipv4() { 1 } else { 4 }))
}

/// The 32-bit words of an address.
fn words(addr: IpAddr) -> [u32; 4] {
    match addr {
        IpAddr::V4(addr) => [addr.to_bits(), 0, 0, 0],
        IpAddr::V6(addr) => {
            let segments = addr.segments();
            [0, 2, 4, 6].map(|at| u32::from(segments[at]) << 16 | u32::from(segments[at + 1]))
        }
    }
}

/// The first difference that is one.
fn first(differences: impl IntoIterator<Item = i32>) -> i32 {
    let found = differences.into_iter().find(|it| *it != 0);
    found.unwrap_or(0)
}

const fn signed(left: u32, right: u32) -> i32 {
    left.wrapping_sub(right).cast_signed()
}

const fn mark(name: &ServiceName) -> u32 {
    match name {
        ServiceName::Address { .. } => 0,
        ServiceName::Mark { mark, .. } => *mark,
    }
}

/// Linux's numbers of address families.
const fn family(family: Family) -> u32 {
    match family {
        Family::V4 => 2,
        Family::V6 => 10,
    }
}

fn number(protocol: Option<Protocol>) -> u32 {
    protocol.map_or(0, |protocol| u32::from(protocol as u8))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(addresses: &[&str]) -> Vec<String> {
        let mut endpoints: Vec<Endpoint<IpAddr>> = addresses
            .iter()
            .map(|text| Endpoint::new(text.parse().unwrap(), 80))
            .collect();
        sort(&mut endpoints, &super::endpoints);
        endpoints.iter().map(|it| it.addr.to_string()).collect()
    }

    #[test]
    fn addresses_far_apart_stand_the_wrong_way_round() {
        assert_eq!(
            sorted(&["10.1.0.100", "192.168.77.1", "10.1.0.99"]),
            ["192.168.77.1", "10.1.0.99", "10.1.0.100"]
        );
        assert_eq!(
            sorted(&["2001:db8::2", "2001:db8::1"]),
            ["2001:db8::1", "2001:db8::2"]
        );
    }

    #[test]
    fn of_two_families_the_first_words_are_compared() {
        // 0xfc.. is below 0x20.. to a signed number, and 0x0a.. is between.
        assert_eq!(
            sorted(&["2001:db8::1", "10.2.0.11", "fc00::1"]),
            ["fc00::1", "10.2.0.11", "2001:db8::1"]
        );
    }

    #[test]
    fn what_has_no_order_is_merged_from_halves() {
        // Each of these stands before the next, and the last before the first: it matters how the
        // halves [a] and [b, c] are merged.
        let [a, b, c] = ["10.0.0.1", "90.0.0.1", "170.0.0.1"];

        assert_eq!(sorted(&[a, b, c]), [a, b, c]);
        assert_eq!(sorted(&[c, b, a]), [c, a, b]);
    }

    #[test]
    fn equal_rows_keep_their_order() {
        let mut rows = [(2, 'a'), (1, 'b'), (2, 'c'), (1, 'd'), (0, 'e')];
        sort(&mut rows, &|left, right| left.0 - right.0);
        assert_eq!(rows.map(|(_, letter)| letter), ['e', 'b', 'd', 'a', 'c']);
    }
}
