//! One session, laid out so that a packet from the client touches one cache line of it.
//!
//! ```text
//!        0        16     24              28        32         40        48         56     60    64
//! line 1 │ addrs  │ ports│ prot meth st fl│ deadline│ to_server│ in_bytes│ in_packets│ srv  │ end │
//! line 2 │ out_bytes │ out_packets │ to_client │ wheel links │ created, service, seq, template, … │
//! ```
//!
//! (IPv4; an IPv6 session takes three lines.) Its ends are kept as the packets of both sides say
//! them when they arrive, byte for byte, so that those are compared and replaced in one go. What
//! names a session is fixed when it is made, because the table files it under that; the rest is
//! open to the pipeline.

use super::flags::SessionFlags;
use super::state::State;
use super::transition::{Direction, Event, TcpRules, next_state, next_state_under};
use super::wheel::{Links, Timed};
use crate::address::{Address, Endpoint, FlowKey, Protocol, V4, V6};
use crate::id::{AdjacencySlot, ServerSlot, ServiceSlot};
use crate::intrinsics::prefetch_read;
use crate::memory::plain_data;
use crate::persistence::TemplateLink;
use crate::service::Method;
use crate::time::Tick;
use crate::wire::tuple::Tuple;

plain_data! {
    /// A next hop as a session remembers it: where it stands, and in which version of the
    /// forwarding table that was found.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    #[repr(C)]
    pub struct AdjacencyRef {
        /// Where the next hop stands in the snapshot.
        pub slot: AdjacencySlot,
        /// The version of the forwarding table that gave it.
        pub epoch: u32,
    }
}

impl AdjacencyRef {
    /// No next hop.
    pub const NOWHERE: Self = Self {
        slot: AdjacencySlot(u32::MAX),
        epoch: 0,
    };

    /// No next hop, because the address is the gateway's own. No snapshot has this slot either, so
    /// it is looked up again and again, and only who finds no next hop has to ask for it.
    pub const LOCAL: Self = Self {
        slot: AdjacencySlot(u32::MAX - 1),
        epoch: 0,
    };
}

/// What a session is made from; none of it but the next hops changes later.
#[derive(Clone, Copy, Debug)]
pub struct NewSession<A> {
    /// Who sent the first packet.
    pub client: Endpoint<A>,
    /// Whom it was sent to.
    pub vip: Endpoint<A>,
    /// Who the server thinks sent it: the client, or with FULLNAT a local address and port.
    pub local: Endpoint<A>,
    /// The real server.
    pub server: Endpoint<A>,
    /// The transport.
    pub protocol: Protocol,
    /// How packets reach the server.
    pub method: Method,
    /// The virtual service.
    pub service: ServiceSlot,
    /// The real server's place in the snapshot.
    pub server_slot: ServerSlot,
    /// The next hop towards the server.
    pub to_server: AdjacencyRef,
    /// The next hop towards the client.
    pub to_client: AdjacencyRef,
}

/// What a packet did to the count of active sessions of its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// Nothing.
    Unchanged,
    /// The session became active.
    Began,
    /// The session became inactive.
    Ended,
}

plain_data! {
    /// One flow and the server it goes to.
    #[derive(Clone, Copy, Debug)]
    #[repr(C, align(64))]
    pub struct Session<A: Address> {
        /// Client and VIP.
        client_addresses: A::Pair,
        /// Server and local address.
        server_addresses: A::Pair,
        client_ports: u32,
        server_ports: u32,
        /// The IP protocol number; 0 marks a place in the table that holds no session.
        protocol: u8,
        method: Method,
        /// How far it has come.
        pub state: State,
        /// What else is true of it.
        pub flags: SessionFlags,
        pub(super) deadline: Tick,
        /// The next hop towards the server.
        pub to_server: AdjacencyRef,
        /// IP bytes from the client, before any rewriting.
        pub in_bytes: u64,
        /// Packets from the client.
        pub in_packets: u64,
        /// The real server's place in the snapshot.
        pub server_slot: ServerSlot,
        /// The sequence number, as the server counts, after the last byte the client sent.
        pub last_client_end: u32,

        /// IP bytes from the server.
        pub out_bytes: u64,
        /// Packets from the server.
        pub out_packets: u64,
        /// The next hop towards the client.
        pub to_client: AdjacencyRef,
        links: Links,
        created: Tick,
        /// The virtual service's place in the snapshot.
        pub service: ServiceSlot,
        /// What is added to the client's sequence numbers, if the flag SEQ_SHIFT is set.
        pub seq_delta: u32,
        /// Tells this session from earlier ones in the same place.
        pub(super) serial: u32,
        /// What chose its server, if that was not the scheduler: it is one of its children.
        pub template: TemplateLink,
        /// The largest segment size SYN and SYN-ACK may announce; 0 is any.
        mss_clamp: u16,
    }
}

const _: () = assert!(size_of::<Session<V4>>() == 128);
const _: () = assert!(size_of::<Session<V6>>() == 192);
const _: () = assert!(std::mem::offset_of!(Session<V4>, out_bytes) == 64);

impl<A: Address> Session<A> {
    /// A session no packet has been counted or judged for.
    #[must_use]
    pub fn new(new: &NewSession<A>, now: Tick) -> Self {
        let mut flags = SessionFlags::empty();
        flags.set(SessionFlags::NO_OUTPUT, !new.method.sees_replies());
        let from_client = Tuple::new(new.client, new.vip);
        let from_server = Tuple::new(new.server, new.local);
        Self {
            client_addresses: from_client.addresses,
            server_addresses: from_server.addresses,
            client_ports: from_client.ports,
            server_ports: from_server.ports,
            protocol: new.protocol as u8,
            method: new.method,
            state: State::None,
            flags,
            deadline: now,
            to_server: new.to_server,
            in_bytes: 0,
            in_packets: 0,
            server_slot: new.server_slot,
            last_client_end: 0,
            out_bytes: 0,
            out_packets: 0,
            to_client: new.to_client,
            links: Links::default(),
            created: now,
            service: new.service,
            seq_delta: 0,
            serial: 0,
            template: TemplateLink::NONE,
            mss_clamp: 0,
        }
    }

    /// The ends of packets that go in `direction`, as they arrive.
    #[inline]
    #[must_use]
    pub const fn arriving(&self, direction: Direction) -> Tuple<A> {
        match direction {
            Direction::ToServer => Tuple {
                addresses: self.client_addresses,
                ports: self.client_ports,
            },
            Direction::ToClient => Tuple {
                addresses: self.server_addresses,
                ports: self.server_ports,
            },
        }
    }

    /// The client, as the VIP's owner sees it.
    #[inline]
    #[must_use]
    pub fn client(&self) -> Endpoint<A> {
        self.arriving(Direction::ToServer).source()
    }

    /// The virtual address and port the client talks to.
    #[inline]
    #[must_use]
    pub fn vip(&self) -> Endpoint<A> {
        self.arriving(Direction::ToServer).destination()
    }

    /// Whom the server sees: the client, or with FULLNAT a local address and port.
    #[inline]
    #[must_use]
    pub fn local(&self) -> Endpoint<A> {
        self.arriving(Direction::ToClient).destination()
    }

    /// The real server.
    #[inline]
    #[must_use]
    pub fn server(&self) -> Endpoint<A> {
        self.arriving(Direction::ToClient).source()
    }

    /// The transport.
    #[inline]
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        // A session that can be seen is never a vacant place, so this never falls back.
        match Protocol::from_number(self.protocol) {
            Some(protocol) => protocol,
            None => Protocol::Tcp,
        }
    }

    /// How packets reach the server.
    #[inline]
    #[must_use]
    pub const fn method(&self) -> Method {
        self.method
    }

    /// When the session ends if no packet comes.
    #[inline]
    #[must_use]
    pub const fn deadline(&self) -> Tick {
        self.deadline
    }

    /// When the session was made.
    #[inline]
    #[must_use]
    pub const fn created(&self) -> Tick {
        self.created
    }

    /// The key of the client's packets.
    #[must_use]
    pub fn client_key(&self) -> FlowKey<A> {
        FlowKey {
            source: self.client(),
            destination: self.vip(),
            protocol: self.protocol(),
        }
    }

    /// The key of the server's packets, as they reach the gateway with NAT and FULLNAT.
    #[must_use]
    pub fn server_key(&self) -> FlowKey<A> {
        FlowKey {
            source: self.server(),
            destination: self.local(),
            protocol: self.protocol(),
        }
    }

    /// The MSS that SYN and SYN-ACK may announce at most; 0 is any.
    #[inline]
    #[must_use]
    pub const fn mss_clamp(&self) -> u16 {
        self.mss_clamp
    }

    /// Lets SYN and SYN-ACK announce `most` at most; 0 is any.
    pub const fn set_mss_clamp(&mut self, most: u16) {
        self.mss_clamp = most;
        self.flags.set(SessionFlags::CLAMP_MSS, most != 0);
    }

    /// Whether packets with these ends and this transport belong to this session in `direction`.
    #[inline]
    #[must_use]
    pub fn matches(&self, tuple: &Tuple<A>, protocol: Protocol, direction: Direction) -> bool {
        self.arriving(direction) == *tuple && self.protocol == protocol as u8
    }

    /// Whether giving it this deadline leaves it where the wheel has filed it: it is no earlier.
    #[inline]
    #[must_use]
    pub const fn may_be_stamped(&self, deadline: Tick) -> bool {
        self.deadline.until(deadline) >= 0
    }

    /// Gives it a deadline that [`Self::may_be_stamped`].
    #[inline]
    pub fn stamp(&mut self, deadline: Tick) {
        debug_assert!(self.may_be_stamped(deadline));
        self.deadline = deadline;
    }

    /// Remembers how far the client's sequence numbers, as the server sees them, have come: the
    /// next user of the local port must begin behind that.
    #[inline]
    pub const fn note_client_end(&mut self, end: u32) {
        let is_later = end.wrapping_sub(self.last_client_end).cast_signed() > 0;
        if is_later || self.last_client_end == 0 {
            self.last_client_end = end;
        }
    }

    /// Counts one packet of `bytes` IP bytes.
    #[inline]
    pub const fn count(&mut self, direction: Direction, bytes: u64) {
        match direction {
            Direction::ToServer => {
                self.in_packets += 1;
                self.in_bytes += bytes;
            }
            Direction::ToClient => {
                self.out_packets += 1;
                self.out_bytes += bytes;
            }
        }
    }

    /// Counts `bytes` more of a packet that was counted before.
    pub const fn count_more(&mut self, direction: Direction, bytes: u64) {
        match direction {
            Direction::ToServer => self.in_bytes += bytes,
            Direction::ToClient => self.out_bytes += bytes,
        }
    }

    /// [`Self::advance_under`] the usual rules.
    #[inline]
    pub fn advance(&mut self, direction: Direction, event: Event) -> Activity {
        self.advance_under(TcpRules::Usual, direction, event)
    }

    /// Moves the state as a packet asks. The caller tells the server's count of active sessions
    /// what comes back, and extends the session by the new state's time-out.
    #[inline]
    pub fn advance_under(
        &mut self,
        rules: TcpRules,
        direction: Direction,
        event: Event,
    ) -> Activity {
        if direction == Direction::ToClient {
            // The replies do pass here, whatever the method promised: both sides count now.
            self.flags.remove(SessionFlags::NO_OUTPUT);
        }
        self.state = next_state_under(rules, self.state, direction, self.flags, event);
        let steady = self.is_kept_by_more_of_the_same();
        self.flags.set(SessionFlags::STEADY, steady);

        let was_active = self.flags.contains(SessionFlags::ACTIVE);
        let is_active = self.state.is_active();
        if was_active == is_active {
            return Activity::Unchanged;
        }
        self.flags.set(SessionFlags::ACTIVE, is_active);
        if is_active {
            Activity::Began
        } else {
            Activity::Ended
        }
    }

    /// Whether the packet that went in `direction` and led here from state `before` proves its
    /// template: its connection is established, or (UDP) its server has answered for the first
    /// time (connections.md §5). [`Self::count`] comes first.
    #[inline]
    #[must_use]
    pub fn proves_template(&self, before: State, direction: Direction) -> bool {
        self.template.is_some()
            && match self.state {
                State::Established | State::SctpEstablished => before != self.state,
                State::Udp => direction == Direction::ToClient && self.out_packets == 1,
                _ => false,
            }
    }

    /// Whether the first packet of its server will prove its template, and has not come. What is
    /// no such packet must not be [counted](Self::count) for it until then.
    #[inline]
    #[must_use]
    pub fn awaits_proof(&self) -> bool {
        self.protocol() == Protocol::Udp && self.template.is_some() && self.out_packets == 0
    }

    /// Whether a TCP segment with nothing but ACK, or a datagram, leaves the session as it is
    /// whichever side sends it, and nothing in the packet but its ends has to be changed. A first
    /// reply that nobody promised does not: from then on both sides count. What `secure_tcp` says
    /// makes no difference to an ACK that keeps the state.
    ///
    /// A client's port 0 names no session (`connections.md` §3), so its packets are not to be
    /// taken for more of anything.
    #[inline]
    fn is_kept_by_more_of_the_same(&self) -> bool {
        let event = match self.protocol() {
            Protocol::Tcp => Event::Ack,
            Protocol::Udp => Event::Datagram,
            Protocol::Sctp => return false,
        };
        let keeps = |direction| next_state(self.state, direction, self.flags, event) == self.state;
        let promised = !self.flags.contains(SessionFlags::NO_OUTPUT);
        // Its template is told of the first reply.
        let is_unproven = self.awaits_proof() && self.method.sees_replies();
        !self.flags.contains(SessionFlags::SEQ_SHIFT)
            && !self.flags.contains(SessionFlags::OUTDATED)
            && !is_unproven
            && self.client().port != 0
            && keeps(Direction::ToServer)
            && (!self.method.sees_replies() || promised && keeps(Direction::ToClient))
    }

    /// Whether this place in the table holds a session.
    #[inline]
    pub(super) const fn is_occupied(&self) -> bool {
        self.protocol != 0
    }

    /// Notes that a younger session gets its server's packets. Packets of this burst may have
    /// been looked up before it began, so none takes the express lane by that.
    pub(super) const fn become_outdated(&mut self) {
        self.flags.insert(SessionFlags::OUTDATED);
        self.flags.remove(SessionFlags::STEADY);
    }

    /// Makes this place in the table hold no session.
    pub(super) const fn vacate(&mut self) {
        self.protocol = 0;
    }
}

impl<A: Address> Timed for Session<A> {
    #[inline]
    fn deadline(&self) -> Tick {
        self.deadline
    }

    #[inline]
    fn links(&self) -> Links {
        self.links
    }

    #[inline]
    fn links_mut(&mut self) -> &mut Links {
        &mut self.links
    }

    #[inline]
    fn prefetch(&self) {
        prefetch_read(&self.deadline);
        prefetch_read(&self.links);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::testing::{dr, flow, nat};

    const NOW: Tick = Tick(7);

    #[test]
    fn a_session_matches_its_two_keys_each_in_one_direction() {
        let session = Session::<V6>::new(&flow(1, Method::Fullnat, Protocol::Udp), NOW);
        let [client, server] =
            [Direction::ToServer, Direction::ToClient].map(|direction| session.arriving(direction));
        let matches = |tuple, direction| session.matches(tuple, Protocol::Udp, direction);

        assert_eq!(client, Tuple::of(&session.client_key()));
        assert!(matches(&client, Direction::ToServer));
        assert!(matches(&server, Direction::ToClient));
        assert!(!matches(&client, Direction::ToClient));
        assert!(!matches(&server.turned(), Direction::ToClient));
        assert!(!session.matches(&client, Protocol::Tcp, Direction::ToServer));
        assert_eq!(session.server_key().destination, session.local());
    }

    #[test]
    fn activity_is_told_when_it_changes_and_only_then() {
        let mut session = nat(1, NOW);

        let told = [
            (Direction::ToServer, Event::Syn),
            (Direction::ToServer, Event::Ack),
            (Direction::ToServer, Event::Fin),
            (Direction::ToClient, Event::Fin),
            (Direction::ToServer, Event::Syn),
        ]
        .map(|(direction, event)| session.advance(direction, event));

        assert_eq!(
            told,
            [
                Activity::Began,
                Activity::Unchanged,
                Activity::Ended,
                Activity::Unchanged,
                Activity::Began,
            ]
        );
        assert!(session.flags.contains(SessionFlags::ACTIVE));
    }

    #[test]
    fn a_reply_through_the_gateway_ends_one_sided_states_for_good() {
        // Given an established DR session, whose FIN would lead to FIN_WAIT.
        let mut session = dr(1, Protocol::Tcp, NOW);
        assert!(session.flags.contains(SessionFlags::NO_OUTPUT));
        session.advance(Direction::ToServer, Event::Syn);
        session.advance(Direction::ToServer, Event::Ack);

        // When a packet of the server is seen.
        session.advance(Direction::ToClient, Event::Ack);

        // Then the client's FIN leads to CLOSE_WAIT, as with NAT.
        assert!(!session.flags.contains(SessionFlags::NO_OUTPUT));
        session.advance(Direction::ToServer, Event::Fin);
        assert_eq!(session.state, State::CloseWait);
    }

    #[test]
    fn a_session_is_steady_while_more_of_the_same_changes_nothing() {
        let mut session = nat(1, NOW);

        let steady = [Event::Syn, Event::Ack, Event::Ack, Event::Fin].map(|event| {
            session.advance(Direction::ToServer, event);
            session.flags.contains(SessionFlags::STEADY)
        });

        assert_eq!(steady, [false, true, true, true]);
        // In CLOSE_WAIT the client's ACK changes nothing; in LAST_ACK it closes.
        session.state = State::LastAck;
        session.advance(Direction::ToClient, Event::Ack);
        assert!(!session.flags.contains(SessionFlags::STEADY));
    }

    #[test]
    fn a_session_whose_sequence_numbers_move_is_never_steady() {
        let mut session = nat(1, NOW);
        session.flags.insert(SessionFlags::SEQ_SHIFT);

        session.advance(Direction::ToServer, Event::Syn);
        session.advance(Direction::ToServer, Event::Ack);

        assert_eq!(session.state, State::Established);
        assert!(!session.flags.contains(SessionFlags::STEADY));
    }

    #[test]
    fn packets_are_counted_by_direction() {
        let mut session = nat(1, NOW);

        session.count(Direction::ToServer, 60);
        session.count(Direction::ToServer, 40);
        session.count(Direction::ToClient, 1_500);

        session.count_more(Direction::ToClient, 8);

        assert_eq!((session.in_packets, session.in_bytes), (2, 100));
        assert_eq!((session.out_packets, session.out_bytes), (1, 1_508));
    }
}
