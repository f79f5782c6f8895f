//! Lowers the maximum segment size that the ends of a connection tell each other.
//!
//! Segments then fit a tunnel without path MTU discovery, which many networks break. Only a SYN
//! or SYN-ACK carries the option (RFC 9293 §3.7.1).

use arrayvec::ArrayVec;

use super::segment;
use crate::wire::tcp::{Flags, TcpMut, kind};

/// As many MSS options as 40 bytes of options hold; one is all that a sane sender uses.
const MOST_OPTIONS: usize = 10;

/// Lowers the MSS of a SYN or SYN-ACK to `most`; never raises it, and never adds one.
///
/// What is not such a segment, or cannot be
/// read as one, is left alone.
#[inline]
pub fn clamp(ip: &mut [u8], most: u16) {
    if let Ok(Some(mut tcp)) = segment(ip)
        && tcp.view().flags().contains(Flags::SYN)
    {
        lower(&mut tcp, most);
    }
}

fn lower(tcp: &mut TcpMut<'_>, most: u16) {
    let Some(options) = tcp.view().options() else {
        return;
    };
    let places: ArrayVec<usize, MOST_OPTIONS> = options
        .filter(|option| option.kind == kind::MSS && is_above(option.data, most))
        .map(|option| option.offset + 2)
        .collect();
    for place in places {
        tcp.set_option_bytes(place, most.to_be_bytes());
    }
}

fn is_above(mss: &[u8], most: u16) -> bool {
    <[u8; 2]>::try_from(mss).is_ok_and(|mss| u16::from_be_bytes(mss) > most)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::samples::*;
    use super::*;

    fn syn(options: &[u8]) -> Vec<u8> {
        tcp(CLIENT, VIP, |tcp| tcp.syn().option(options), b"")
    }

    /// MSS 1460, then SACK permitted.
    const MSS_1460: [u8; 8] = [2, 4, 0x05, 0xb4, 4, 2, 1, 1];
    /// MSS 1400, then SACK permitted.
    const MSS_1400: [u8; 8] = [2, 4, 0x05, 0x78, 4, 2, 1, 1];

    #[test]
    fn a_larger_mss_is_lowered() {
        let mut packet = syn(&MSS_1460);

        clamp(&mut packet, 1400);

        assert_eq!(packet, syn(&MSS_1400));
    }

    #[test]
    fn a_syn_ack_is_clamped_too() {
        let syn_ack = |options: &[u8]| tcp(VIP, CLIENT, |tcp| tcp.syn_ack().option(options), b"");
        let mut packet = syn_ack(&MSS_1460);

        clamp(&mut packet, 1400);

        assert_eq!(packet, syn_ack(&MSS_1400));
    }

    #[test]
    fn an_mss_at_an_odd_place_keeps_the_checksum_right() {
        let odd = |mss: [u8; 8]| [&[1], &mss[..7]].concat();
        let mut packet = syn(&odd(MSS_1460));

        clamp(&mut packet, 1400);

        assert_eq!(packet, syn(&odd(MSS_1400)));
    }

    #[test]
    fn an_equal_or_smaller_mss_is_never_raised() {
        for most in [1400, 1401, u16::MAX] {
            let mut packet = syn(&MSS_1400);

            clamp(&mut packet, most);

            assert_eq!(packet, syn(&MSS_1400));
        }
    }

    #[test]
    fn a_syn_without_mss_stays_without() {
        for options in [&[][..], &[4, 2, 1, 1], &[2, 3, 5, 0], &[0, 2, 4, 5]] {
            let mut packet = syn(options);

            clamp(&mut packet, 500);

            assert_eq!(packet, syn(options));
        }
    }

    #[test]
    fn what_is_no_syn_is_left_alone() {
        let mut misread = syn(&MSS_1460);
        misread[32] = 0xf0;
        for packet in [
            tcp(CLIENT, VIP, |tcp| tcp.ack().option(&MSS_1460), b""),
            later_fragment(syn(&MSS_1460)),
            udp(CLIENT, VIP, &[2; 40]),
            misread,
            syn(&MSS_1460)[..39].to_vec(),
        ] {
            let mut clamped = packet.clone();

            clamp(&mut clamped, 500);

            assert_eq!(clamped, packet);
        }
    }

    #[test]
    fn every_mss_option_is_lowered() {
        let options: Vec<u8> = [2, 4, 0xff, 0xff].repeat(10);
        let mut packet = syn(&options);

        clamp(&mut packet, 0x0578);

        assert_eq!(packet, syn(&[2, 4, 0x05, 0x78].repeat(10)));
    }

    proptest! {
        #[test]
        fn any_options_keep_the_checksum_right(
            options in proptest::collection::vec(0..10_u8, 0..=40), most: u16,
        ) {
            let mut packet = syn(&options);

            clamp(&mut packet, most);

            prop_assert!(transport_is_sound(&packet));
        }
    }
}
