//! Sessions that control brings in: filed as if they had begun here, some in each turn.

use super::session_life::has_port;
use super::way::{resolve, towards_server};
use super::{Context, Pipeline};
use crate::address::{Address, V4};
use crate::import::{Outcome, SessionBatch, bound};
use crate::io::{BURST, Io};
use crate::schedule::load;
use crate::service::{Method, Service};
use crate::session::{AdjacencyRef, Binding, Session, SessionFlags, SessionRecord};
use crate::snapshot::Snapshot;
use crate::time::Tick;

/// Sessions that come in in one turn: a turn then takes as long as one whose burst makes a
/// session with each packet.
const BUDGET: usize = BURST;

impl<I: Io> Pipeline<I> {
    /// Goes on with a batch; returns how many sessions were looked at. Nobody is evicted for
    /// them, and what is there already stays.
    pub fn import(&mut self, snapshot: &Snapshot, now: Tick, batch: &mut SessionBatch) -> usize {
        let context = Context { snapshot, now };
        let (records, outcomes) = batch.advance(BUDGET);
        for record in records {
            let brought = self.bring_in(context, record);
            outcomes.add(brought.err().unwrap_or(Outcome::Imported));
        }
        self.counters().sessions.set(self.sessions.len() as u64);
        records.len()
    }

    /// Puts one session into the table and counts it at its server.
    fn bring_in(&mut self, context: Context<'_>, record: &SessionRecord) -> Result<(), Outcome> {
        let Context { snapshot, now } = context;
        let (service, server) = bound(snapshot, record)?;
        // A bound record whose client is of this family has only its local address of another.
        let session = restore(context, record).ok_or(Outcome::PortNotFree)?;
        let key = session.client_key();
        let hash = self.sessions.hash(&key);
        if self.sessions.find(hash, &key, now).is_some() || self.is_outdated(context, &session) {
            return Err(Outcome::AlreadyThere);
        }
        if self.sessions.is_full() {
            return Err(Outcome::TableFull);
        }
        if session.method() == Method::Fullnat {
            self.reserve_port(context, service, &session)?;
        }
        let filed = self.sessions.insert(&session, now, record.expires_in_ticks);
        if filed.is_err() {
            self.return_port(context, &session);
            return Err(Outcome::TableFull);
        }
        load::bind(server, session.flags.contains(SessionFlags::ACTIVE));
        self.counters().sessions_imported.add(1);
        Ok(())
    }

    /// Whether the server takes packets of a NAT session for those of a younger one: its client
    /// has used the same port for another VIP since. Filed last, it would get the answers.
    fn is_outdated(&self, context: Context<'_>, session: &Session<V4>) -> bool {
        if session.method() != Method::Nat {
            return false;
        }
        let key = session.server_key();
        let hash = self.sessions.hash(&key);
        let found = self.sessions.find(hash, &key, context.now);
        found.is_some_and(|(id, _)| {
            let younger = self.sessions.get(id).created();
            session.created().until(younger) > 0
        })
    }

    /// Takes the local port of a FULLNAT session that had it before. One that gave its port back
    /// needs none, but the server must not take it for another.
    fn reserve_port(
        &mut self,
        context: Context<'_>,
        service: &Service,
        session: &Session<V4>,
    ) -> Result<(), Outcome> {
        let (local, server) = (session.local(), session.server());
        let addr = local.addr.to_ip();
        let mut pools = service.local_addresses.iter();
        let pool = pools.find(|pool| pool.addr() == addr);
        let pool = pool.ok_or(Outcome::PortNotFree)?;
        let needs_port = has_port(session);
        if needs_port && !pool.reserve(self.worker, server, local.port) {
            return Err(Outcome::PortNotFree);
        }
        // As when a port is lent: its last session may still wait for late packets, or have it
        // from a pool that this one replaced.
        let reply = session.server_key();
        match self.sessions.holder(self.sessions.hash(&reply), &reply) {
            None => Ok(()),
            Some(id) if needs_port && self.returned_its_port(id) => {
                let _end = self.end_for_its_port(context, id);
                Ok(())
            }
            Some(_) => {
                self.return_port(context, session);
                Err(Outcome::PortNotFree)
            }
        }
    }
}

/// The session of a bound record, with the next hops of this moment.
fn restore(context: Context<'_>, record: &SessionRecord) -> Option<Session<V4>> {
    let Context { snapshot, now } = context;
    let client = V4::from_ip(record.client.addr)?;
    let server = V4::from_ip(record.server.addr)?;
    let binding = Binding {
        service: record.service,
        server_slot: record.server_slot,
        to_server: towards_server(snapshot, server),
        to_client: if record.method.sees_replies() {
            resolve(snapshot, client)
        } else {
            AdjacencyRef::default()
        },
    };
    record.restore(&binding, now)
}
