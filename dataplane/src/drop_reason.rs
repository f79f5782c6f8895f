//! Why a packet was not forwarded: one closed list, each entry one sentence for an operator.
//!
//! The name is the label of `sluice_dropped_packets_total` and what tests assert.

use std::fmt;

macro_rules! drop_reasons {
    ($($(#[doc = $text:literal])+ $variant:ident = $name:literal,)+) => {
        /// Why a packet was dropped.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum DropReason {
            $($(#[doc = $text])+ $variant,)+
        }

        impl DropReason {
            /// Every reason, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// How many reasons there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The label of metrics and tables: lower case with underscores.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// One sentence that tells an operator what happened.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$variant => concat!($($text),+).trim_ascii(),)+ }
            }
        }
    };
}

drop_reasons! {
    /// The frame ends before its Ethernet header or VLAN tag does.
    TruncatedEthernet = "truncated_ethernet",
    /// The frame is addressed to another station's MAC.
    NotOurMac = "not_our_mac",
    /// The frame carries a VLAN tag for which no VLAN is configured on this port.
    UnknownVlan = "unknown_vlan",
    /// The frame lies in more than one buffer: it is larger than the port's MTU allows.
    MultiSegment = "multi_segment",
    /// The frame ends before its IP packet does; AF_PACKET cuts what is longer than `framesz` allows.
    TruncatedIp = "truncated_ip",
    /// The IP header says a version, header length or total length that cannot be.
    BadIpHeader = "bad_ip_header",
    /// The IPv4 header checksum is wrong.
    BadIpChecksum = "bad_ip_checksum",
    /// The IP source is one no host can have: multicast, broadcast, loopback or zero.
    MartianSource = "martian_source",
    /// The IPv4 header asks for source routing (RFC 7126 §4.3 and §4.4 advise to drop it).
    SourceRoute = "source_route",
    /// The packet ends before its transport header does.
    TruncatedTransport = "truncated_transport",
    /// An ICMP error about a session has a wrong checksum.
    BadIcmpChecksum = "bad_icmp_checksum",
    /// A later fragment arrived whose first fragment was not forwarded.
    FragmentWithoutFirst = "fragment_without_first",
    /// A fragment waited 30 s in vain, for its first one or for the rest of its datagram.
    FragmentTimeout = "fragment_timeout",
    /// Too many fragments were waiting: the one that had waited longest, or one too many of a datagram.
    FragmentNoRoom = "fragment_no_room",
    /// A fragment repeats bytes of its datagram that another one brought before.
    FragmentOverlap = "fragment_overlap",
    /// A fragmented SCTP packet needs another port, and its CRC cannot be told from a fragment.
    FragmentedSctp = "fragmented_sctp",
    /// The packet's time to live ran out here.
    TtlExpired = "ttl_expired",
    /// The packet is larger than the path to its next hop and says do not fragment.
    TooBig = "too_big",
    /// The packet could not be cut into fragments: no buffer was free, or it takes too many.
    FragmentationFailed = "fragmentation_failed",
    /// The service has no server that may take a new session.
    NoServer = "no_server",
    /// The packet would have begun a session while `drop_packet` defends against too many of them.
    DropPacket = "drop_packet",
    /// A NAT server's packet belongs to no session, and the server was told so (`nat_icmp_send`).
    NoSessionForReply = "no_session_for_reply",
    /// The session's server was removed from its service.
    ServerRemoved = "server_removed",
    /// The session table is full, and nothing in it may be evicted for a new session.
    SessionTableFull = "session_table_full",
    /// Every local address and port of the FULLNAT pool that could be used is taken.
    LocalPortsExhausted = "local_ports_exhausted",
    /// A packet to a local address belongs to no session (Linux must not answer it).
    NoSessionForLocalAddress = "no_session_for_local_address",
    /// The server is the gateway itself, and Linux would not take the packet there.
    LocalServerUnreachable = "local_server_unreachable",
    /// A server's reply arrived on a port to which no route to that server points.
    ReplyOnWrongPort = "reply_on_wrong_port",
    /// The service is set to drop what it does not serve.
    Unserved = "unserved",
    /// The service is set to reject what it does not serve, and the sender was told so.
    Rejected = "rejected",
    /// Linux has no route to the next hop.
    NoRoute = "no_route",
    /// The next hop's MAC is not known yet; Linux was asked to find it.
    NextHopUnresolved = "next_hop_unresolved",
    /// The port that leads to a TUN server has no address that the tunnel could begin at.
    NoTunnelSource = "no_tunnel_source",
    /// An ICMP error about a tunnel packet of the gateway was read; the client is told if it must know.
    TunnelError = "tunnel_error",
    /// The buffer has no room for the outer header.
    NoHeadroom = "no_headroom",
    /// The TCP options could not be changed as the method asks.
    BadTcpOptions = "bad_tcp_options",
    /// The ring to Linux for this class of packets is full or over its rate.
    PuntLimit = "punt_limit",
    /// The ring to the worker that owns the session is full.
    HandoverFull = "handover_full",
    /// The port's transmit queue is full.
    TransmitFull = "transmit_full",
    /// A frame that Linux sent could not get the VLAN tag of its interface.
    InjectFailed = "inject_failed",
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_labels_and_sentences_end() {
        for (number, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, number);
            assert!(
                reason
                    .name()
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b == b'_' || b.is_ascii_digit())
            );
            assert!(reason.sentence().ends_with('.'), "{reason}");
            let same = DropReason::ALL
                .iter()
                .filter(|other| other.name() == reason.name());
            assert_eq!(same.count(), 1, "{reason}");
        }
    }
}
