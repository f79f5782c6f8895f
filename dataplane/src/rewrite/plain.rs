//! [`replace_ends`](super::replace_ends) and [`decrement_ttl`](super::decrement_ttl) in one, for
//! packets that are whole, without IP options, and TCP or UDP with a checksum.

use crate::address::{Protocol, V4};
use crate::wire::plain::PlainIpv4Mut;
use crate::wire::tuple::Tuple;

/// Gives a packet new ends and one hop less to live. False, and nothing is changed, when it has no
/// checksum that could be carried over.
#[inline(always)]
pub fn readdress(packet: &mut PlainIpv4Mut<'_>, protocol: Protocol, ends: Tuple<V4>) -> bool {
    match protocol {
        Protocol::Tcp => {
            let change = packet.readdress(ends);
            packet.change_tcp(change);
            true
        }
        Protocol::Udp if packet.view().udp_checksum() != 0 => {
            let change = packet.readdress(ends);
            packet.change_udp(change);
            true
        }
        Protocol::Udp | Protocol::Sctp => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::samples::*;
    use super::super::{decrement_ttl as general_ttl, replace_ends};
    use super::*;

    proptest! {
        #[test]
        fn it_does_what_the_general_functions_do_or_nothing(
            client in any_end(), vip in any_end(), local in any_end(), server in any_end(),
            content in any_content(), is_damaged: bool,
        ) {
            let mut packet = content.between(client, vip);
            if is_damaged {
                packet = damaged(packet);
            }
            let protocol = Protocol::from_number(packet[9]).unwrap();
            let (mut plain, mut general) = (packet.clone(), packet.clone());

            let ends = Tuple::new(local, server);
            let view = PlainIpv4Mut::new(&mut plain);
            let done = view.is_some_and(|mut view| readdress(&mut view, protocol, ends));

            general_ttl(&mut general).unwrap();
            replace_ends(&mut general, Some(local), Some(server)).unwrap();
            prop_assert_eq!(plain, if done { general } else { packet });
        }
    }
}
