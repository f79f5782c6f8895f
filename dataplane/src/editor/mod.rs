//! The writer's side of the snapshot: typed changes in, the next snapshot out.
//!
//! Control owns one editor. It derives each snapshot from the one before, so that a change costs
//! what it changes; it decides which slot a server or next hop stands in, and when a slot that
//! sessions may still refer to is free again.

mod addresses;
mod collect;
mod index;
mod routes;
mod services;
mod specs;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::address::V4;
use crate::id::InterfaceId;
use crate::knobs::Knobs;
use crate::marks::{MarkRule, MarkRules};
use crate::persistence::Templates;
use crate::session::Timeouts;
use crate::snapshot::{Interface, Interfaces, Snapshot};
use crate::steering::Steering;

pub use collect::REMEMBERED;
pub use routes::NextHop;
pub use specs::{LocalSpec, ServerSpec, ServiceSpec};

/// Derives snapshots from typed changes.
#[derive(Debug)]
pub struct Editor {
    workers: usize,
    next: Snapshot,
    services: services::ServiceBook,
    routes: routes::RouteBook,
    addresses: addresses::AddressBook,
    index: index::IndexBook,
    template_room: usize,
}

impl Editor {
    /// An editor whose first snapshot knows these interfaces and nothing else.
    #[must_use]
    pub fn new(
        workers: usize,
        steering: Steering,
        timeouts: Timeouts,
        interfaces: Vec<Interface>,
    ) -> Self {
        let next = Snapshot {
            interfaces: Arc::new(Interfaces::new(interfaces)),
            steering: Arc::new(steering),
            timeouts: Arc::new(timeouts),
            ..Snapshot::default()
        };
        Self {
            workers,
            next,
            services: services::ServiceBook::default(),
            routes: routes::RouteBook::default(),
            addresses: addresses::AddressBook::default(),
            index: index::IndexBook::default(),
            template_room: Templates::<V4>::CAPACITY,
        }
    }

    /// The next snapshot, with all changes so far.
    #[must_use]
    pub fn snapshot(&mut self) -> Arc<Snapshot> {
        self.next.generation += 1;
        Arc::new(self.next.clone())
    }

    /// The present state, as the next snapshot would have it.
    #[must_use]
    pub const fn state(&self) -> &Snapshot {
        &self.next
    }

    /// Replaces the time-outs; sessions get the new ones with their next packet.
    pub fn set_timeouts(&mut self, timeouts: Timeouts) {
        self.next.timeouts = Arc::new(timeouts);
    }

    /// Replaces the variables that steer IPVS. `lblc_expiration` and `lblcr_expiration` also come
    /// with each service's scheduler.
    pub fn set_knobs(&mut self, knobs: Knobs) {
        self.next.knobs = Arc::new(knobs);
    }

    /// Says for how many persistent clients there is room; [`Templates::CAPACITY`] otherwise. Only
    /// before the first persistent service.
    pub const fn set_template_room(&mut self, templates: usize) {
        self.template_room = templates;
    }

    /// Replaces the rules that give packets firewall marks.
    pub fn set_marks(&mut self, rules: Vec<MarkRule>) {
        self.next.marks = Arc::new(MarkRules::new(rules));
    }

    /// Gives an interface another MTU, as Linux says of its twin.
    pub fn set_mtu(&mut self, id: InterfaceId, mtu: u16) {
        if self.change_interface(id, |interface| {
            std::mem::replace(&mut interface.mtu, mtu) != mtu
        }) {
            self.relearn_mtu(id);
        }
    }

    /// Says which of its addresses an interface begins tunnels from.
    pub fn set_interface_address(&mut self, id: InterfaceId, address: Option<V4>) {
        self.change_interface(id, |interface| {
            std::mem::replace(&mut interface.address, address) != address
        });
    }

    /// Changes an interface in the next snapshot, if `change` says it did.
    fn change_interface(
        &mut self,
        id: InterfaceId,
        change: impl FnOnce(&mut Interface) -> bool,
    ) -> bool {
        let mut list: Vec<Interface> = self.next.interfaces.iter().cloned().collect();
        let changed = list.get_mut(id.index()).is_some_and(change);
        if changed {
            self.next.interfaces = Arc::new(Interfaces::new(list));
        }
        changed
    }
}
