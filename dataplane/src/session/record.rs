//! A session as plain data: for listings, and to bring it back elsewhere.

use std::net::IpAddr;

use super::entry::{AdjacencyRef, NewSession, Session};
use super::flags::SessionFlags;
use super::state::State;
use crate::address::{Address, Endpoint, Protocol};
use crate::id::{ServerSlot, ServiceSlot};
use crate::service::Method;
use crate::time::Tick;

/// Everything that makes a session, in terms that mean the same in another process: times are
/// relative, and no place in a snapshot is needed to bring it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRecord {
    /// The transport.
    pub protocol: Protocol,
    /// How packets reach the server.
    pub method: Method,
    /// How far it has come; [`State::name`] and [`State::from_name`] carry it through text.
    pub state: State,
    /// Who sent the first packet.
    pub client: Endpoint<IpAddr>,
    /// Whom it was sent to.
    pub vip: Endpoint<IpAddr>,
    /// Whom the server sees: the client, or with FULLNAT a local address and port.
    pub local: Endpoint<IpAddr>,
    /// The real server.
    pub server: Endpoint<IpAddr>,
    /// The virtual service's place in the snapshot it was made by.
    pub service: ServiceSlot,
    /// The real server's place in the snapshot it was made by.
    pub server_slot: ServerSlot,
    /// Whether only the client's packets pass the gateway.
    pub is_one_sided: bool,
    /// Whether its local port is no longer its own, because its server has ended it.
    pub has_returned_port: bool,
    /// What is added to the client's sequence numbers, if anything is.
    pub seq_delta: Option<u32>,
    /// The sequence number, as the server counts, after the last byte the client sent.
    pub last_client_end: u32,
    /// The largest segment size SYN and SYN-ACK may announce; 0 is any.
    pub mss_clamp: u16,
    /// Ticks until it ends; 0 when it is overdue.
    pub expires_in_ticks: u32,
    /// Ticks since it was made.
    pub age_ticks: u32,
    /// Packets from the client.
    pub in_packets: u64,
    /// IP bytes from the client.
    pub in_bytes: u64,
    /// Packets from the server.
    pub out_packets: u64,
    /// IP bytes from the server.
    pub out_bytes: u64,
}

/// Where a session that is brought back belongs in the present snapshot.
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    /// The virtual service.
    pub service: ServiceSlot,
    /// The real server.
    pub server_slot: ServerSlot,
    /// The next hop towards the server.
    pub to_server: AdjacencyRef,
    /// The next hop towards the client.
    pub to_client: AdjacencyRef,
}

impl SessionRecord {
    /// The session as it is at `now`.
    #[must_use]
    pub fn new<A: Address>(session: &Session<A>, now: Tick) -> Self {
        let flags = session.flags;
        let has_shift = flags.contains(SessionFlags::SEQ_SHIFT);
        Self {
            protocol: session.protocol(),
            method: session.method(),
            state: session.state,
            client: to_ip(session.client()),
            vip: to_ip(session.vip()),
            local: to_ip(session.local()),
            server: to_ip(session.server()),
            service: session.service,
            server_slot: session.server_slot,
            is_one_sided: flags.contains(SessionFlags::NO_OUTPUT),
            has_returned_port: flags.contains(SessionFlags::PORT_RETURNED),
            seq_delta: has_shift.then_some(session.seq_delta),
            last_client_end: session.last_client_end,
            mss_clamp: session.mss_clamp(),
            expires_in_ticks: now.until(session.deadline()).max(0).cast_unsigned(),
            age_ticks: session.created().until(now).max(0).cast_unsigned(),
            in_packets: session.in_packets,
            in_bytes: session.in_bytes,
            out_packets: session.out_packets,
            out_bytes: session.out_bytes,
        }
    }

    /// The session again, to be inserted for [`expires_in_ticks`](Self::expires_in_ticks);
    /// `None` when an address is not of family `A`. It is flagged as active if its state is, so
    /// the caller counts it at its server.
    #[must_use]
    pub fn restore<A: Address>(&self, binding: &Binding, now: Tick) -> Option<Session<A>> {
        let new = NewSession {
            client: of_family(self.client)?,
            vip: of_family(self.vip)?,
            local: of_family(self.local)?,
            server: of_family(self.server)?,
            protocol: self.protocol,
            method: self.method,
            service: binding.service,
            server_slot: binding.server_slot,
            to_server: binding.to_server,
            to_client: binding.to_client,
        };
        let mut session = Session::new(&new, Tick(now.0.wrapping_sub(self.age_ticks)));
        session.state = self.state;
        let flags = &mut session.flags;
        flags.set(SessionFlags::NO_OUTPUT, self.is_one_sided);
        flags.set(SessionFlags::PORT_RETURNED, self.has_returned_port);
        flags.set(SessionFlags::ACTIVE, self.state.is_active());
        flags.set(SessionFlags::SEQ_SHIFT, self.seq_delta.is_some());
        session.seq_delta = self.seq_delta.unwrap_or(0);
        session.last_client_end = self.last_client_end;
        session.set_mss_clamp(self.mss_clamp);
        session.in_packets = self.in_packets;
        session.in_bytes = self.in_bytes;
        session.out_packets = self.out_packets;
        session.out_bytes = self.out_bytes;
        Some(session)
    }
}

fn to_ip<A: Address>(endpoint: Endpoint<A>) -> Endpoint<IpAddr> {
    Endpoint::new(endpoint.addr.to_ip(), endpoint.port)
}

fn of_family<A: Address>(endpoint: Endpoint<IpAddr>) -> Option<Endpoint<A>> {
    A::from_ip(endpoint.addr).map(|addr| Endpoint::new(addr, endpoint.port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::{V4, V6};
    use crate::session::table::{KeysPerSession, SessionTable};
    use crate::session::testing::{SECRET, flow};

    const BINDING: Binding = Binding {
        service: ServiceSlot(5),
        server_slot: ServerSlot(6),
        to_server: AdjacencyRef {
            slot: crate::id::AdjacencySlot(1),
            epoch: 2,
        },
        to_client: AdjacencyRef {
            slot: crate::id::AdjacencySlot(3),
            epoch: 4,
        },
    };

    /// A FULLNAT session as it may look in mid-life, made at 100 and ending at 1,100.
    fn worn<A: Address>() -> Session<A> {
        let new = flow(9, Method::Fullnat, Protocol::Tcp);
        let mut session = Session::new(&new, Tick(100));
        session.state = State::Established;
        session.flags.insert(SessionFlags::ACTIVE);
        session.flags.insert(SessionFlags::SEQ_SHIFT);
        session.flags.insert(SessionFlags::PORT_RETURNED);
        session.seq_delta = 0xffff_0000;
        session.last_client_end = 77;
        session.set_mss_clamp(1_440);
        session.in_packets = 1;
        session.in_bytes = 2;
        session.out_packets = 3;
        session.out_bytes = 4;
        let mut table = SessionTable::new(1, KeysPerSession::Two, SECRET, Tick(100)).unwrap();
        let id = table.insert(&session, Tick(100), 1_000).unwrap();
        *table.get(id)
    }

    #[test]
    fn a_record_brings_the_session_back_in_another_process() {
        // Given the record of a session, taken at 600.
        let record = SessionRecord::new(&worn::<V6>(), Tick(600));
        assert_eq!(record.expires_in_ticks, 500);
        assert_eq!(record.age_ticks, 500);

        // When it is brought back where the clock says 20, by another snapshot.
        let session: Session<V6> = record.restore(&BINDING, Tick(20)).unwrap();

        // Then it gives the same record but for the snapshot's places, and its time goes on.
        assert!(session.flags.contains(SessionFlags::ACTIVE));
        assert_eq!(session.to_client, BINDING.to_client);
        let mut table = SessionTable::new(1, KeysPerSession::Two, SECRET, Tick(20)).unwrap();
        let id = table
            .insert(&session, Tick(20), record.expires_in_ticks)
            .unwrap();
        let again = SessionRecord::new(table.get(id), Tick(20));
        assert_eq!(
            again,
            SessionRecord {
                service: ServiceSlot(5),
                server_slot: ServerSlot(6),
                ..record
            }
        );
    }

    #[test]
    fn a_record_of_the_other_family_is_refused() {
        let record = SessionRecord::new(&worn::<V4>(), Tick(600));

        assert!(record.restore::<V6>(&BINDING, Tick(600)).is_none());
        assert!(record.restore::<V4>(&BINDING, Tick(600)).is_some());
    }

    #[test]
    fn an_overdue_session_has_no_time_left() {
        let record = SessionRecord::new(&worn::<V4>(), Tick(5_000));

        assert_eq!(record.expires_in_ticks, 0);
    }
}
