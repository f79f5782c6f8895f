//! DR: the server has the VIP itself, so the packet reaches it by its MAC alone.
//!
//! The next hop's MAC is written with every packet's Ethernet header, elsewhere; all that is
//! left is what any router does. Ports, addresses and a UDP checksum of 0 stay as they are.

use crate::drop_reason::DropReason;

/// Makes the packet `ip` ready for its server: one hop less to live.
///
/// # Errors
///
/// As [`super::decrement_ttl`].
#[inline]
pub fn to_server(ip: &mut [u8]) -> Result<(), DropReason> {
    super::decrement_ttl(ip)
}

#[cfg(test)]
mod tests {
    use super::super::samples::*;
    use super::*;

    #[test]
    fn nothing_but_the_ttl_changes() {
        for packet in [
            tcp(CLIENT, VIP, |tcp| tcp, b"GET"),
            udp(CLIENT, VIP, b"query"),
            udp_without_checksum(CLIENT, VIP, b"query"),
            sctp(CLIENT, VIP, b"data"),
            later_fragment(udp(CLIENT, VIP, b"query")),
            damaged(tcp(CLIENT, VIP, |tcp| tcp, b"GET")),
        ] {
            let mut forwarded = packet.clone();

            assert_eq!(to_server(&mut forwarded), Ok(()));

            assert_eq!(forwarded, with_ip(packet, |ip| ip.set_ttl(TTL - 1)));
        }
    }

    #[test]
    fn a_packet_at_its_last_hop_is_not_forwarded() {
        let mut packet = with_ip(tcp(CLIENT, VIP, |tcp| tcp, b""), |ip| ip.set_ttl(1));

        assert_eq!(to_server(&mut packet), Err(DropReason::TtlExpired));
    }
}
