//! FULLNAT: both ends of the flow are rewritten, so that replies come back by themselves.
//!
//! ```text
//! client -> VIP:vport     becomes  LIP:lport -> RIP:rport   (to_server)
//! RIP:rport -> LIP:lport  becomes  VIP:vport -> client      (to_client)
//! ```
//!
//! Both ends change in one pass over the checksum. Where a local port is used again too soon
//! for the server's TIME_WAIT, [`super::sequence`] moves the sequence numbers as well.

use crate::address::{Endpoint, V4};
use crate::drop_reason::DropReason;

/// Sends a client's packet from `local` to `server`.
///
/// # Errors
///
/// As [`super::replace_ends`].
#[inline]
pub fn to_server(
    ip: &mut [u8],
    local: Endpoint<V4>,
    server: Endpoint<V4>,
) -> Result<(), DropReason> {
    super::replace_ends(ip, Some(local), Some(server))
}

/// Sends a server's reply from `vip` to `client`.
///
/// # Errors
///
/// As [`super::replace_ends`].
#[inline]
pub fn to_client(ip: &mut [u8], vip: Endpoint<V4>, client: Endpoint<V4>) -> Result<(), DropReason> {
    super::replace_ends(ip, Some(vip), Some(client))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::samples::*;
    use super::*;

    #[test]
    fn a_request_comes_from_the_local_address() {
        let cases = [
            (
                tcp(CLIENT, VIP, |tcp| tcp, b"GET"),
                tcp(LIP, SERVER, |tcp| tcp, b"GET"),
            ),
            (udp(CLIENT, VIP, b"query"), udp(LIP, SERVER, b"query")),
            (
                udp_without_checksum(CLIENT, VIP, b"query"),
                udp(LIP, SERVER, b"query"),
            ),
            (sctp(CLIENT, VIP, b"data"), sctp(LIP, SERVER, b"data")),
        ];
        for (mut packet, expected) in cases {
            assert_eq!(to_server(&mut packet, LIP, SERVER), Ok(()));

            assert_eq!(packet, expected);
        }
    }

    #[test]
    fn a_reply_restores_vip_and_client() {
        let cases = [
            (
                tcp(SERVER, LIP, |tcp| tcp, b"200"),
                tcp(VIP, CLIENT, |tcp| tcp, b"200"),
            ),
            (udp(SERVER, LIP, b"answer"), udp(VIP, CLIENT, b"answer")),
            (
                udp_without_checksum(SERVER, LIP, b"answer"),
                udp(VIP, CLIENT, b"answer"),
            ),
            (sctp(SERVER, LIP, b"data"), sctp(VIP, CLIENT, b"data")),
        ];
        for (mut packet, expected) in cases {
            assert_eq!(to_client(&mut packet, VIP, CLIENT), Ok(()));

            assert_eq!(packet, expected);
        }
    }

    proptest! {
        #[test]
        fn there_and_back_gives_the_packet_back(
            client in any_end(), vip in any_end(), local in any_end(), server in any_end(),
            packet in any_content(),
        ) {
            let mut bytes = packet.between(client, vip);
            prop_assert_eq!(to_server(&mut bytes, local, server), Ok(()));
            prop_assert_eq!(&bytes, &packet.between(local, server));
            prop_assert!(transport_is_sound(&bytes) && header_is_sound(&bytes));

            // The other direction's function also undoes this one, with the ends swapped.
            prop_assert_eq!(to_client(&mut bytes, client, vip), Ok(()));
            prop_assert_eq!(bytes, packet.between(client, vip));
        }
    }
}
