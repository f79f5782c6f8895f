//! The checksum in the first fragment of a datagram whose other fragments are known.
//!
//! ```text
//! first fragment                     later ones
//! | header: ports, checksum | data | | data ......... | data ... |
//!                       ▲            '------- Tail: length, sum -'
//!                       '---- is over all of it, and changes with the ends
//! ```
//!
//! A TCP or UDP checksum is carried over to new ends by what changed, wherever the other bytes
//! are. An SCTP CRC changes by an amount that depends on how many bytes follow the ports, and a UDP
//! checksum that is not there has to be computed over all of them.

use super::{not_ip, not_transport};
use crate::address::{Protocol, V4};
use crate::drop_reason::DropReason;
use crate::wire::checksum::{ones_complement_sum, pseudo_v4};
use crate::wire::crc32c;
use crate::wire::ipv4::{Ipv4, Ipv4Mut};
use crate::wire::sctp::SctpMut;
use crate::wire::tuple::Tuple;
use crate::wire::udp::UdpMut;

/// What stands in all fragments of a datagram but the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    len: usize,
    sum: u32,
}

impl Tail {
    /// Bytes that stand in them.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.len
    }

    /// Adds the payload of a fragment. All but the datagram's last have whole words.
    pub fn add(&mut self, payload: &[u8]) {
        self.len += payload.len();
        self.sum = ones_complement_sum(payload, self.sum);
    }
}

/// Makes the first fragment `ip`, which still has its old ends, ready to be given the ends
/// `after`: a UDP checksum that was left out is there then, and SCTP has its new ports and the CRC
/// over all.
///
/// # Errors
///
/// [`DropReason::TruncatedTransport`] when there is no whole transport header, or when the datagram
/// is shorter than its UDP header says; [`DropReason::TruncatedIp`] and
/// [`DropReason::BadIpHeader`] for what is no IPv4 packet.
pub fn settle(ip: &mut [u8], after: &Tuple<V4>, tail: Tail) -> Result<(), DropReason> {
    let (header, transport) = Ipv4Mut::parse(ip).map_err(not_ip)?;
    let header = header.view();
    match Protocol::from_number(header.protocol()) {
        Some(Protocol::Udp) => settle_udp(header, transport, tail),
        Some(Protocol::Sctp) => settle_sctp(transport, after, tail),
        Some(Protocol::Tcp) | None => Ok(()),
    }
}

fn settle_udp(header: Ipv4<'_>, transport: &mut [u8], tail: Tail) -> Result<(), DropReason> {
    let first_len = transport.len();
    let (mut udp, payload) = UdpMut::parse(transport).map_err(not_transport)?;
    if udp.view().checksum() != 0 {
        return Ok(());
    }
    let len = udp.view().length();
    if usize::from(len) != first_len + tail.len {
        return Err(DropReason::TruncatedTransport);
    }
    let pseudo = pseudo_v4(
        header.source(),
        header.destination(),
        header.protocol(),
        len,
    );
    udp.fill_checksum(pseudo + tail.sum, payload);
    Ok(())
}

fn settle_sctp(transport: &mut [u8], after: &Tuple<V4>, tail: Tail) -> Result<(), DropReason> {
    let len = transport.len() + tail.len;
    let (mut sctp, _) = SctpMut::parse(transport).map_err(not_transport)?;
    let old = ports(sctp.view().source_port(), sctp.view().destination_port());
    let (source, destination) = (after.source().port, after.destination().port);
    let changed = old ^ ports(source, destination);
    // A CRC is linear: it changes by what the bits that changed, and nothing but zeros behind
    // them, come to in a register that begins with zero. So a wrong one stays wrong.
    let change = crc32c::update(0, &changed.to_be_bytes());
    let change = crc32c::update_by_zeros(change, len - size_of_val(&changed));
    sctp.set_source_port(source);
    sctp.set_destination_port(destination);
    sctp.set_checksum(sctp.view().checksum() ^ change);
    Ok(())
}

fn ports(source: u16, destination: u16) -> u32 {
    u32::from(source) << 16 | u32::from(destination)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::samples::*;
    use super::*;
    use crate::rewrite::replace_ends;

    /// A packet as a first fragment with `len` bytes of payload, and the rest.
    fn cut(packet: &[u8], len: usize) -> (Vec<u8>, Tail) {
        let (first, rest) = packet.split_at(20 + len);
        let mut tail = Tail::default();
        rest.chunks(8).for_each(|part| tail.add(part));
        let total = u16::try_from(first.len()).unwrap();
        let first = with_ip(first.to_vec(), |ip| {
            ip.set_total_len(total);
            ip.set_more_fragments(true);
        });
        (first, tail)
    }

    /// What becomes of the first 24 bytes behind the IP header when the packet goes on.
    fn rewritten(packet: &[u8]) -> Vec<u8> {
        let (mut first, tail) = cut(packet, 24);
        assert_eq!(settle(&mut first, &Tuple::new(LIP, SERVER), tail), Ok(()));
        assert_eq!(replace_ends(&mut first, Some(LIP), Some(SERVER)), Ok(()));
        first
    }

    fn first_of(packet: &[u8]) -> Vec<u8> {
        cut(packet, 24).0
    }

    #[test]
    fn a_udp_datagram_without_checksum_gets_one_over_all_of_it() {
        for len in [16, 17, 100, 333] {
            let payload: Vec<u8> = (0..=u8::MAX).cycle().take(len).collect();

            let first = rewritten(&udp_without_checksum(CLIENT, VIP, &payload));

            assert_eq!(first, first_of(&udp(LIP, SERVER, &payload)), "{len}");
        }
    }

    #[test]
    fn a_udp_checksum_that_is_there_is_carried_over() {
        let first = rewritten(&damaged(udp(CLIENT, VIP, &[7; 100])));

        assert_eq!(first, first_of(&damaged(udp(LIP, SERVER, &[7; 100]))));
    }

    #[test]
    fn a_udp_length_that_is_not_the_datagrams_is_refused() {
        for len in [0_u16, 107, 109, u16::MAX] {
            let mut packet = udp_without_checksum(CLIENT, VIP, &[7; 100]);
            packet[24..26].copy_from_slice(&len.to_be_bytes());
            let (mut first, tail) = cut(&packet, 24);

            let result = settle(&mut first, &Tuple::new(CLIENT, SERVER), tail);

            assert_eq!(result, Err(DropReason::TruncatedTransport), "{len}");
        }
    }

    #[test]
    fn an_sctp_crc_over_all_goes_with_the_ports_and_a_wrong_one_stays_wrong() {
        for change in [damaged, |packet| packet] {
            for len in [16, 100, 1_004] {
                let payload: Vec<u8> = (0..=u8::MAX).cycle().take(len).collect();

                let first = rewritten(&change(sctp(CLIENT, VIP, &payload)));

                assert_eq!(first, first_of(&change(sctp(LIP, SERVER, &payload))));
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(
            bytes in proptest::collection::vec(any::<u8>(), 0..120), len in 0..66_000_usize,
        ) {
            let mut bytes = bytes;
            if let Some(byte) = bytes.first_mut() {
                *byte = 0x45;
            }
            let tail = Tail { len, sum: 0xffff };
            let _ = settle(&mut bytes, &Tuple::new(LIP, SERVER), tail);
        }
    }
}
