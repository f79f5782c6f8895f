//! Lends a local port to a FULLNAT session: one that no other session has, whatever the pools say.

use super::{Context, Pipeline};
use crate::address::{Address, Endpoint, FlowKey, Protocol, V4};
use crate::drop_reason::DropReason;
use crate::io::Io;
use crate::service::Service;
use crate::snat::Lent;

/// Local ports, each of the next local address, that one new session tries before it gives up.
const LOCAL_TRIES: usize = 16;

impl<I: Io> Pipeline<I> {
    /// A local port for a session to `server`, if need be from a session that matters less.
    pub(super) fn find_port(
        &mut self,
        context: Context<'_>,
        service: &Service,
        server: Endpoint<V4>,
        protocol: Protocol,
    ) -> Result<Loan, DropReason> {
        let mut lent = self.borrow_port(context, service, server, protocol);
        if lent.is_none() && self.reclaim_port(context, &service.local_addresses, server) {
            lent = self.borrow_port(context, service, server, protocol);
        }
        self.local_turn = self.local_turn.wrapping_add(1);
        lent.ok_or(DropReason::LocalPortsExhausted)
    }

    /// The local address and port that the next session to `server` would get, if one is free.
    pub(super) fn peek_port(
        &self,
        context: Context<'_>,
        service: &Service,
        server: Endpoint<V4>,
    ) -> Option<Endpoint<V4>> {
        let pools = &service.local_addresses;
        (0..LOCAL_TRIES.min(pools.len())).find_map(|step| {
            let pool = pools.get(self.local_turn.wrapping_add(step) % pools.len())?;
            let port = pool.peek(self.worker, server, context.now)?;
            Some(Endpoint::new(V4::from_ip(pool.addr())?, port))
        })
    }

    /// Tries the service's local addresses in turn.
    fn borrow_port(
        &mut self,
        context: Context<'_>,
        service: &Service,
        server: Endpoint<V4>,
        protocol: Protocol,
    ) -> Option<Loan> {
        (0..LOCAL_TRIES).find_map(|step| {
            let lent = self.lend(context, service, server, protocol, step)?;
            self.settle(context, server, protocol, lent)
        })
    }

    /// Takes a free local port of the local address whose turn it is, or of one `step` turns
    /// later, and asks for the bucket of the reply.
    fn lend(
        &self,
        context: Context<'_>,
        service: &Service,
        server: Endpoint<V4>,
        protocol: Protocol,
        step: usize,
    ) -> Option<Loan> {
        let pools = &service.local_addresses;
        let turn = self
            .local_turn
            .wrapping_add(step)
            .checked_rem(pools.len())?;
        let pool = pools.get(turn)?;
        let addr = V4::from_ip(pool.addr())?;
        let lent = pool.take(self.worker, server, protocol, context.now)?;
        let local = Endpoint::new(addr, lent.port);
        let reply_hash = self.sessions.hash(&reply_to(local, server, protocol));
        self.sessions.prefetch_bucket(reply_hash);
        Some(Loan {
            local,
            lent,
            reply_hash,
        })
    }

    /// Makes sure that no session has the port that was lent: one that gave it back ends now.
    fn settle(
        &mut self,
        context: Context<'_>,
        server: Endpoint<V4>,
        protocol: Protocol,
        mut loan: Loan,
    ) -> Option<Loan> {
        let reply = reply_to(loan.local, server, protocol);
        if let Some(id) = self.sessions.holder(loan.reply_hash, &reply) {
            if !self.returned_its_port(id) {
                // It has the port from a pool that this one replaced (its range was changed)
                // and gives it back here when it ends.
                return None;
            }
            let end = self.end_for_its_port(context, id);
            let previous_end = &mut loan.lent.previous_end;
            *previous_end = previous_end.and(end).or(*previous_end);
        }
        Some(loan)
    }
}

/// A local port that a session gets, if nobody has it.
#[derive(Clone, Copy)]
pub(super) struct Loan {
    pub(super) local: Endpoint<V4>,
    pub(super) lent: Lent,
    /// The hash of the server's packets.
    pub(super) reply_hash: u64,
}

/// The key of the server's packets to a local port.
const fn reply_to(local: Endpoint<V4>, server: Endpoint<V4>, protocol: Protocol) -> FlowKey<V4> {
    FlowKey {
        source: server,
        destination: local,
        protocol,
    }
}
