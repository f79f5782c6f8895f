//! NAT: the client speaks to the VIP, the server sees the client; only the server's end of the
//! flow is rewritten.
//!
//! ```text
//! client -> VIP:vport  becomes  client -> RIP:rport   (to_server)
//! RIP:rport -> client  becomes  VIP:vport -> client   (to_client)
//! ```

use crate::address::{Endpoint, V4};
use crate::drop_reason::DropReason;

/// Sends a client's packet to `server`.
///
/// The TTL is not touched: [`super::decrement_ttl`] comes first, for an ICMP error about a
/// packet too big quotes it with its own addresses but the lower TTL.
///
/// # Errors
///
/// As [`super::replace_ends`].
#[inline]
pub fn to_server(ip: &mut [u8], server: Endpoint<V4>) -> Result<(), DropReason> {
    super::replace_ends(ip, None, Some(server))
}

/// Sends a server's reply to its client, as coming from `vip`.
///
/// # Errors
///
/// As [`super::replace_ends`].
#[inline]
pub fn to_client(ip: &mut [u8], vip: Endpoint<V4>) -> Result<(), DropReason> {
    super::replace_ends(ip, Some(vip), None)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::samples::*;
    use super::*;

    #[test]
    fn a_request_goes_to_the_server_with_all_else_as_it_was() {
        let cases = [
            (
                tcp(CLIENT, VIP, |tcp| tcp, b"GET"),
                tcp(CLIENT, SERVER, |tcp| tcp, b"GET"),
            ),
            (udp(CLIENT, VIP, b"query"), udp(CLIENT, SERVER, b"query")),
            (sctp(CLIENT, VIP, b"data"), sctp(CLIENT, SERVER, b"data")),
        ];
        for (mut packet, expected) in cases {
            assert_eq!(to_server(&mut packet, SERVER), Ok(()));

            assert_eq!(packet, expected);
        }
    }

    #[test]
    fn a_reply_comes_from_the_vip() {
        let cases = [
            (
                tcp(SERVER, CLIENT, |tcp| tcp, b"200"),
                tcp(VIP, CLIENT, |tcp| tcp, b"200"),
            ),
            (udp(SERVER, CLIENT, b"answer"), udp(VIP, CLIENT, b"answer")),
            (sctp(SERVER, CLIENT, b"data"), sctp(VIP, CLIENT, b"data")),
        ];
        for (mut packet, expected) in cases {
            assert_eq!(to_client(&mut packet, VIP), Ok(()));

            assert_eq!(packet, expected);
        }
    }

    #[test]
    fn a_reply_without_checksum_gets_one() {
        let mut packet = udp_without_checksum(SERVER, CLIENT, b"answer");

        assert_eq!(to_client(&mut packet, VIP), Ok(()));

        assert_eq!(packet, udp(VIP, CLIENT, b"answer"));
    }

    proptest! {
        #[test]
        fn an_echo_comes_back_from_where_it_was_sent_to(
            client in any_end(), vip in any_end(), server in any_end(),
            packet in any_content(),
        ) {
            let mut request = packet.between(client, vip);
            prop_assert_eq!(to_server(&mut request, server), Ok(()));
            prop_assert_eq!(&request, &packet.between(client, server));
            prop_assert!(transport_is_sound(&request) && header_is_sound(&request));

            let mut reply = packet.between(server, client);
            prop_assert_eq!(to_client(&mut reply, vip), Ok(()));
            prop_assert_eq!(&reply, &packet.between(vip, client));
            prop_assert!(transport_is_sound(&reply) && header_is_sound(&reply));
        }
    }
}
