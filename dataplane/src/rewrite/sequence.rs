//! Moves a FULLNAT client's sequence numbers forward.
//!
//! A server sees many clients behind one local address. When a local port is used again soon,
//! the server may still hold the old connection in TIME_WAIT and take the new client's SYN for
//! an old duplicate, by its sequence number or its timestamp (RFC 6191 §2, RFC 9293 §3.6.1).
//! So the SYN loses its timestamps and the client's sequence numbers all move by one distance;
//! what the server says about them moves back.
//!
//! ```text
//! client -> server   sequence number + delta; timestamps of a SYN overwritten
//! server -> client   acknowledgement number - delta, SACK edges - delta
//! ```

use super::{segment, tcp_options};
use crate::drop_reason::DropReason;
use crate::wire::tcp::Flags;

/// How far a client's sequence numbers are moved on their way to the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SeqShift {
    /// The distance, modulo 2^32.
    pub delta: u32,
}

impl SeqShift {
    /// The shift that makes `client` (a client's initial sequence number) `server` (the one the
    /// server is to see).
    #[must_use]
    pub const fn between(client: u32, server: u32) -> Self {
        Self {
            delta: server.wrapping_sub(client),
        }
    }

    /// Moves the sequence number of a client's segment, and takes the timestamps out of a SYN.
    ///
    /// What is not TCP, or a later fragment, is left alone. Every segment's number moves, that of a RST too: the client took it from
    /// what it was told in its own numbers.
    ///
    /// # Errors
    ///
    /// [`DropReason::TruncatedTransport`] for less than a TCP header;
    /// [`DropReason::BadTcpOptions`] for a SYN whose options are not all there.
    #[inline]
    pub fn to_server(self, ip: &mut [u8]) -> Result<(), DropReason> {
        let Some(mut tcp) = segment(ip)? else {
            return Ok(());
        };
        tcp.set_sequence(tcp.view().sequence().wrapping_add(self.delta));
        if tcp.view().flags().contains(Flags::SYN) {
            tcp_options::strip_timestamps(&mut tcp)?;
        }
        Ok(())
    }

    /// Moves back the acknowledgement number and the SACK edges of a server's segment.
    ///
    /// Without the ACK flag neither means anything, and both stay (a RST that answers a stray
    /// segment).
    ///
    /// # Errors
    ///
    /// As [`SeqShift::to_server`], for any segment with ACK.
    #[inline]
    pub fn to_client(self, ip: &mut [u8]) -> Result<(), DropReason> {
        let Some(mut tcp) = segment(ip)? else {
            return Ok(());
        };
        if !tcp.view().flags().contains(Flags::ACK) {
            return Ok(());
        }
        tcp.set_acknowledgement(tcp.view().acknowledgement().wrapping_sub(self.delta));
        tcp_options::lower_sack_edges(&mut tcp, self.delta)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{fullnat, samples::*};
    use super::*;
    use crate::testing::{Builder, Tcp};

    const SHIFT: SeqShift = SeqShift { delta: 0xf000_0001 };

    type Segment = Builder<Tcp>;

    /// A client's segment with this sequence number and these options.
    fn request(sequence: u32, options: &[u8], edit: impl FnOnce(Segment) -> Segment) -> Vec<u8> {
        let header = |tcp: Segment| edit(tcp.seq(sequence).option(options));
        tcp(LIP, SERVER, header, b"data")
    }

    /// A server's segment with this acknowledgement number and these options.
    fn reply(number: u32, options: &[u8], edit: impl FnOnce(Segment) -> Segment) -> Vec<u8> {
        let header = |tcp: Segment| edit(tcp.ack_no(number).option(options));
        tcp(SERVER, LIP, header, b"data")
    }

    fn rst_ack(tcp: Segment) -> Segment {
        tcp.flags(Flags::RST.with(Flags::ACK))
    }

    /// NOP, NOP, then a SACK option with these edges.
    fn sack(edges: &[u32]) -> Vec<u8> {
        let len = u8::try_from(2 + edges.len() * 4).unwrap();
        let edges = edges.iter().flat_map(|edge| edge.to_be_bytes());
        [1, 1, 5, len].into_iter().chain(edges).collect()
    }

    #[test]
    fn a_clients_sequence_number_moves_around_the_end() {
        let mut packet = request(0x2000_0000, &[], Segment::ack);

        assert_eq!(SHIFT.to_server(&mut packet), Ok(()));

        assert_eq!(packet, request(0x1000_0001, &[], Segment::ack));
    }

    #[test]
    fn a_syn_loses_its_timestamps() {
        let before = [
            2, 4, 5, 180, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7,
        ];
        let after = [2, 4, 5, 180, 4, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3, 3, 7];
        let mut packet = request(0, &before, Segment::syn);

        assert_eq!(SHIFT.to_server(&mut packet), Ok(()));

        assert_eq!(packet, request(SHIFT.delta, &after, Segment::syn));
    }

    #[test]
    fn timestamps_at_an_odd_place_are_found_too() {
        let before = [1, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 0];
        let after = [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0];
        let mut packet = request(0, &before, Segment::syn);

        assert_eq!(SHIFT.to_server(&mut packet), Ok(()));

        assert_eq!(packet, request(SHIFT.delta, &after, Segment::syn));
    }

    #[test]
    fn timestamps_behind_the_syn_stay() {
        let options = [1, 1, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0];
        let mut packet = request(0, &options, Segment::ack);

        assert_eq!(SHIFT.to_server(&mut packet), Ok(()));

        assert_eq!(packet, request(SHIFT.delta, &options, Segment::ack));
    }

    #[test]
    fn a_servers_acknowledgement_and_sack_edges_move_back() {
        let delta = SHIFT.delta;
        let before = sack(&[delta, delta + 10, 5, 6, 7, u32::MAX]);
        let minus = |edge: u32| edge.wrapping_sub(delta);
        let after = sack(&[0, 10, minus(5), minus(6), minus(7), minus(u32::MAX)]);
        let mut packet = reply(delta + 1000, &before, Segment::ack);

        assert_eq!(SHIFT.to_client(&mut packet), Ok(()));

        assert_eq!(packet, reply(1000, &after, Segment::ack));
    }

    #[test]
    fn sack_edges_at_odd_places_keep_the_checksum_right() {
        let (before, after) = (sack(&[SHIFT.delta, SHIFT.delta + 10]), sack(&[0, 10]));
        let odd = |sack: &[u8]| [&sack[1..], &[0]].concat();
        let mut packet = reply(SHIFT.delta, &odd(&before), Segment::ack);

        assert_eq!(SHIFT.to_client(&mut packet), Ok(()));

        assert_eq!(packet, reply(0, &odd(&after), Segment::ack));
    }

    #[test]
    fn a_sack_option_of_an_impossible_length_is_left_to_the_receiver_to_ignore() {
        let options = [5, 8, 1, 2, 3, 4, 5, 6];
        let mut packet = reply(SHIFT.delta, &options, Segment::ack);

        assert_eq!(SHIFT.to_client(&mut packet), Ok(()));

        assert_eq!(packet, reply(0, &options, Segment::ack));
    }

    #[test]
    fn a_rst_without_ack_keeps_its_acknowledgement_number() {
        let mut packet = reply(77, &[], Segment::rst);

        assert_eq!(SHIFT.to_client(&mut packet), Ok(()));

        assert_eq!(packet, reply(77, &[], Segment::rst));
    }

    #[test]
    fn a_rst_with_ack_moves_like_any_segment() {
        let mut from_server = reply(SHIFT.delta + 1, &[], rst_ack);
        let mut from_client = request(1, &[], rst_ack);

        assert_eq!(SHIFT.to_client(&mut from_server), Ok(()));
        assert_eq!(SHIFT.to_server(&mut from_client), Ok(()));

        assert_eq!(from_server, reply(1, &[], rst_ack));
        assert_eq!(from_client, request(SHIFT.delta + 1, &[], rst_ack));
    }

    #[test]
    fn later_fragments_and_other_transports_are_left_alone() {
        for packet in [
            later_fragment(request(1, &[], Segment::syn)),
            udp(LIP, SERVER, &[0x10; 40]),
        ] {
            let mut moved = packet.clone();

            assert_eq!(SHIFT.to_server(&mut moved), Ok(()));
            assert_eq!(SHIFT.to_client(&mut moved), Ok(()));

            assert_eq!(moved, packet);
        }
    }

    #[test]
    fn options_that_are_not_all_there_are_a_named_drop() {
        for words in [0, 4, 15] {
            let mut syn = request(1, &[], Segment::syn);
            let mut ack = reply(1, &[], Segment::ack);
            syn[32] = words << 4;
            ack[32] = words << 4;

            assert_eq!(SHIFT.to_server(&mut syn), Err(DropReason::BadTcpOptions));
            assert_eq!(SHIFT.to_client(&mut ack), Err(DropReason::BadTcpOptions));
        }
    }

    #[test]
    fn a_wrong_checksum_stays_wrong() {
        let mut packet = damaged(request(1, &[], Segment::ack));

        assert_eq!(SHIFT.to_server(&mut packet), Ok(()));

        let expected = damaged(request(SHIFT.delta + 1, &[], Segment::ack));
        assert_eq!(packet, expected);
    }

    #[test]
    fn the_shift_between_two_numbers_leads_from_one_to_the_other() {
        let shift = SeqShift::between(u32::MAX, 5);
        let mut packet = request(u32::MAX, &[], Segment::syn);

        assert_eq!(shift.to_server(&mut packet), Ok(()));

        assert_eq!(packet, request(5, &[], Segment::syn));
    }

    proptest! {
        #[test]
        fn what_the_server_acknowledges_is_what_the_client_sent(
            sequence: u32, delta: u32, edges in proptest::collection::vec(any::<u32>(), 4),
            client in any_end(), vip in any_end(), local in any_end(), server in any_end(),
        ) {
            let shift = SeqShift { delta };
            let sent = |tcp: Segment| tcp.seq(sequence);
            let mut request = tcp(client, vip, sent, b"data");
            prop_assert_eq!(fullnat::to_server(&mut request, local, server), Ok(()));
            prop_assert_eq!(shift.to_server(&mut request), Ok(()));
            prop_assert!(transport_is_sound(&request));

            // The server answers what it saw: its edges are the client's, moved.
            let answer = |number: u32, edges: Vec<u32>| {
                move |tcp: Segment| tcp.ack_no(number).option(&sack(&edges))
            };
            let seen = u32::from_be_bytes([request[24], request[25], request[26], request[27]]);
            let moved = edges.iter().map(|edge| edge.wrapping_add(delta)).collect();
            let mut reply = tcp(server, local, answer(seen.wrapping_add(4), moved), b"ok");
            prop_assert_eq!(shift.to_client(&mut reply), Ok(()));
            prop_assert_eq!(fullnat::to_client(&mut reply, vip, client), Ok(()));

            let expected = tcp(vip, client, answer(sequence.wrapping_add(4), edges), b"ok");
            prop_assert_eq!(reply, expected);
        }

        #[test]
        fn any_options_are_survived_and_keep_the_checksum_right(
            options in proptest::collection::vec(any::<u8>(), 0..=40), delta: u32, syn: bool,
        ) {
            let mut packet = reply(1, &options, |tcp| if syn { tcp.syn_ack() } else { tcp.ack() });

            let _ = SeqShift { delta }.to_client(&mut packet);
            let _ = SeqShift { delta }.to_server(&mut packet);

            prop_assert!(transport_is_sound(&packet));
        }
    }
}
