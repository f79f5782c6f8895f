//! Servers chosen ahead for the new sessions of a turn.
//!
//! ```text
//!   new sessions of a turn:   1 2 3 4 5 6 7 8 9        one passage ─► 1 2 3 4 5 6 7 8
//!                             each takes the next ◄────────────────── bound already
//! ```
//!
//! Workers that choose among the same servers wait for each other, and for the cache lines that
//! the other one wrote. Who chooses for many at a time waits once. The decisions are those that
//! would be made one by one: whenever the worker is about to change a count in another way, and
//! when its packets are done, it lets go of the servers that it did not use.

use arrayvec::ArrayVec;

use super::{Context, Pipeline};
use crate::id::ServiceSlot;
use crate::io::{BURST, Io};
use crate::schedule::load;
use crate::service::Service;
use crate::snapshot::Snapshot;

/// The servers that one worker has chosen and bound sessions to that are yet to begin.
#[derive(Debug, Default)]
pub(super) struct Allotment {
    /// Their places in the service's list, in the order of the decisions; those before `next` are
    /// used.
    places: ArrayVec<u32, BURST>,
    next: usize,
    /// For whom: new sessions of this service, in an active state or not.
    purpose: Option<(ServiceSlot, bool)>,
    /// Servers used, before these, since the last time that any might have been let go.
    run: usize,
    /// How many that were of late.
    usual: usize,
}

impl Allotment {
    /// The place of the server for the next session of a service whose scheduler can
    /// [choose ahead](crate::schedule::Scheduler::can_choose_ahead), which is bound to it.
    #[inline]
    pub(super) fn take(
        &mut self,
        snapshot: &Snapshot,
        service: &Service,
        is_active: bool,
    ) -> Option<usize> {
        if self.next == self.places.len() || self.purpose != Some((service.slot, is_active)) {
            self.choose(snapshot, service, is_active);
        }
        let place = *self.places.get(self.next)?;
        self.next += 1;
        Some(place as usize)
    }

    /// Chooses for as many sessions as usual; beyond these for one, one, two, four and so on.
    #[inline(never)]
    fn choose(&mut self, snapshot: &Snapshot, service: &Service, is_active: bool) {
        if self.purpose != Some((service.slot, is_active)) {
            self.let_go(snapshot);
            self.purpose = Some((service.slot, is_active));
        }
        self.run += self.places.len();
        self.next = 0;
        self.places.clear();
        let count = self.run.abs_diff(self.usual).clamp(1, BURST);
        (service.scheduler).choose_ahead(&service.servers, is_active, count, &mut self.places);
    }

    /// Unbinds what was not used.
    #[inline]
    fn let_go(&mut self, snapshot: &Snapshot) {
        if self.purpose.is_some() {
            self.end_run(snapshot);
        }
    }

    #[inline(never)]
    fn end_run(&mut self, snapshot: &Snapshot) {
        let Some((slot, is_active)) = self.purpose.take() else {
            return;
        };
        if let Some(Some(service)) = snapshot.services.get(slot.index()) {
            for place in &self.places[self.next..] {
                if let Some(server) = service.servers.get(*place as usize) {
                    load::unbind(server, is_active);
                }
            }
        }
        // Falls at once and rises slowly: what is chosen in vain costs two changes of a count.
        self.usual = (self.run + self.next).min(2 * self.usual.max(1));
        self.run = 0;
        self.next = 0;
        self.places.clear();
    }
}

impl<I: Io> Pipeline<I> {
    /// Lets go of the servers chosen ahead: to be called before this worker changes what a
    /// decision is made by, and when the packets of a turn are done.
    #[inline]
    pub(super) fn let_go(&mut self, context: Context<'_>) {
        self.allotment.let_go(context.snapshot);
    }
}
