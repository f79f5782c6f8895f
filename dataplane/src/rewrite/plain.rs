//! [`replace_ends`](super::replace_ends) and [`decrement_ttl`](super::decrement_ttl) in one, for
//! packets that are whole, without IP options, and TCP or UDP with a checksum.

use crate::address::{Endpoint, Protocol, V4};
use crate::wire::plain::{LEN, PlainIpv4Mut, TcpRestMut};

/// Gives the packet `ip` new ends and one hop less to live. False, and nothing is changed, when
/// it is none of the packets this is for.
#[inline(always)]
pub fn readdress(
    ip: &mut [u8],
    protocol: Protocol,
    source: Endpoint<V4>,
    destination: Endpoint<V4>,
) -> bool {
    let Some((front, behind)) = ip.split_first_chunk_mut::<LEN>() else {
        return false;
    };
    let mut front = PlainIpv4Mut::new(front);
    match protocol {
        Protocol::Tcp => match TcpRestMut::parse(behind) {
            Some(mut tcp) => {
                tcp.change(front.readdress(source, destination));
                true
            }
            None => false,
        },
        Protocol::Udp if front.udp_checksum() != 0 => {
            let change = front.readdress(source, destination);
            front.change_udp(change);
            true
        }
        Protocol::Udp | Protocol::Sctp => false,
    }
}

/// Takes one hop to live from the packet `ip`; false when it is cut short.
#[inline]
pub fn decrement_ttl(ip: &mut [u8]) -> bool {
    let front = ip.first_chunk_mut::<LEN>().map(PlainIpv4Mut::new);
    front.map(|mut front| front.decrement_ttl()).is_some()
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

            let done = readdress(&mut plain, protocol, local, server);

            general_ttl(&mut general).unwrap();
            replace_ends(&mut general, Some(local), Some(server)).unwrap();
            prop_assert_eq!(plain, if done { general } else { packet });
        }
    }
}
