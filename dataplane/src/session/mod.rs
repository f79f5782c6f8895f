//! Remembers which server a flow goes to.
//!
//! A worker owns one [`SessionTable`] per family and nobody else touches it. A burst goes
//! through it in stages, so that the cache misses of its packets overlap:
//!
//! ```text
//! hash every key ─► prefetch_bucket ─► prefetch_candidate ─► find ─► advance, count, extend
//!                                                             │
//!                                                             └ miss: insert (full: evict)
//! ```
//!
//! Nothing here allocates after the start, reads a clock or knows where packets come from.

mod buckets;
mod candidate;
mod entry;
mod eviction;
mod flags;
mod fragments;
mod hash;
mod namesakes;
mod probes;
mod record;
mod sctp;
mod state;
mod table;
mod tcp;
#[cfg(test)]
pub(crate) mod testing;
mod timeouts;
mod transition;
mod wheel;

pub use candidate::Candidate;
pub use entry::{Activity, AdjacencyRef, NewSession, Session};
pub(crate) use eviction::quiet_ticks;
pub use flags::SessionFlags;
pub use fragments::{FRAGMENT_LIFE_TICKS, FragmentKey, FragmentNote, FragmentTable, FragmentWay};
pub use hash::HashSecret;
pub use probes::{ProbeCounters, Probes};
pub use record::{Binding, SessionRecord};
pub use state::{Phase, State};
pub use table::{Hashes, KeysPerSession, SessionHandle, SessionTable, TableFull};
pub use timeouts::Timeouts;
pub use transition::{Direction, Event, TcpRules, next_state, next_state_under};
