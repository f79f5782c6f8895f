//! lblc and lblcr: what goes to the same destination meets the same servers, until they have too
//! much to do.
//!
//! Both remember, for each address that clients speak to, who served it last. With one VIP that is
//! one address; they are meant for caches behind a firewall mark that stands for many.
//!
//! All workers and all versions of a service share the [`Table`]; each version has a [`Roster`] of
//! where the servers that the table names stand in its list. Whoever makes a session holds the
//! table's lock, also while it asks for the server with the fewest sessions: so two workers never
//! give one destination to two servers.

use std::sync::Arc;

use super::field::{Board, Field};
use super::least_connection::CostPerWeight;
use super::min_tree::{Key, MinTree};
use super::spin::SpinLock;
use super::tournament::Rank;
use crate::service::RealServer;
use crate::time::{TICKS_PER_SECOND, Tick};

pub use self::lblc::LocalityBased;
pub use self::lblcr::LocalityBasedReplicated;

use self::large_set::LargeSet;
use self::roster::Roster;
use self::table::Table;

mod collector;
mod large_set;
mod lblc;
mod lblcr;
mod roster;
mod table;

/// What both schedulers have.
#[derive(Debug)]
struct Locality {
    table: Arc<SpinLock<Table>>,
    roster: Roster,
    /// `None` without servers.
    field: Option<Field<Notes>>,
    /// How long an entry that nobody asks for is remembered.
    expiration_ticks: u32,
}

/// What is noted of the servers.
#[derive(Debug)]
struct Notes {
    /// By the rank of wlc.
    cost: MinTree,
    /// Those with room for as many active sessions again as they have.
    half_idle: MinTree,
    /// One set of lblcr by the rank of wlc.
    set: LargeSet,
}

impl Board for Notes {
    fn new(places: usize) -> Self {
        Self {
            cost: MinTree::new(places),
            half_idle: MinTree::new(places),
            set: LargeSet::new(places),
        }
    }

    fn fill(&self, servers: &[Arc<RealServer>]) {
        let costs = servers.iter().map(|server| CostPerWeight::key(server));
        self.cost.fill(costs);
        let half_idle = servers.iter().map(|server| half_idle(server));
        self.half_idle.fill(half_idle);
        self.set.clear();
    }

    #[inline]
    fn judge(&self, place: usize, server: &RealServer) {
        let cost = CostPerWeight::key(server);
        self.cost.set(place, cost);
        self.set.judge(place, cost);
        self.half_idle.set(place, half_idle(server));
    }
}

/// The same key for all servers with fewer active sessions than half their weight, eligible or
/// not.
#[inline]
fn half_idle(server: &RealServer) -> Key {
    if u64::from(server.shared.active()) * 2 < u64::from(server.weight.0) {
        Key::FIRST
    } else {
        Key::OUT
    }
}

impl Locality {
    fn new(expiration_seconds: u32, member_limit: usize, servers: &[Arc<RealServer>]) -> Self {
        Self {
            table: Arc::new(SpinLock::new(Table::new(member_limit))),
            roster: Roster::new(servers),
            field: Field::new(servers),
            expiration_ticks: ticks(expiration_seconds),
        }
    }

    /// The table goes on, whatever changes.
    fn changed(&self, expiration_seconds: u32, servers: &[Arc<RealServer>]) -> Self {
        let remembered = || table::remembered(&self.table);
        Self {
            table: Arc::clone(&self.table),
            roster: self.roster.changed(servers, remembered),
            field: Field::new(servers),
            expiration_ticks: ticks(expiration_seconds),
        }
    }

    fn lock_waits(&self) -> u64 {
        self.table.waits() + self.field.as_ref().map_or(0, Field::lock_waits)
    }

    /// The server that wlc chooses.
    #[inline]
    fn cheapest(&self, servers: &[Arc<RealServer>]) -> Option<usize> {
        let field = self.field.as_ref()?;
        field.decide(servers, |notes| notes.cost.winner())
    }

    /// Whether a server has more active sessions than its weight says while another one, be it
    /// overloaded by its thresholds or not, has fewer than half of its weight.
    #[inline]
    fn has_too_much(&self, server: &RealServer, servers: &[Arc<RealServer>]) -> bool {
        server.shared.active() > server.weight.0
            && self.field.as_ref().is_some_and(|field| {
                field.decide(servers, |notes| notes.half_idle.winner().is_some())
            })
    }
}

/// Longer than [`Tick::MAX_TIMEOUT_SECONDS`] is as long as that.
const fn ticks(seconds: u32) -> u32 {
    if seconds < Tick::MAX_TIMEOUT_SECONDS {
        seconds * TICKS_PER_SECOND
    } else {
        Tick::MAX_TIMEOUT_SECONDS * TICKS_PER_SECOND
    }
}
