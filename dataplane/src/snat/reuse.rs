//! What a new session must know of the TCP session that had its local port before.
//!
//! A server that closed first keeps the old connection in TIME_WAIT (RFC 9293 §3.6.1: twice the
//! maximum segment life; Linux takes 60 s, others up to 240 s) and swallows a new SYN from the
//! same address and port unless its sequence number lies beyond the old ones (RFC 6191). A port
//! that comes back within [`REUSE_WINDOW_SECONDS`] is therefore lent together with the last
//! sequence number it used: the rewriter removes timestamps and moves the new sequence forward.
//!
//! The record belongs to a port and a bucket of servers, not to one server. As every session
//! that begins within the window begins beyond the end before it, the numbers on the port only
//! go forward, whichever server of the bucket they were used with.

use crate::time::{TICKS_PER_SECOND, Tick};

/// How long after its release a port counts as just used.
pub const REUSE_WINDOW_SECONDS: u32 = 120;

/// A local port, lent to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lent {
    /// The local port.
    pub port: u16,
    /// The sequence number behind the last one that TCP used on this port towards these servers,
    /// if that was less than [`REUSE_WINDOW_SECONDS`] ago. Always `None` for other transports.
    pub previous_end: Option<u32>,
}

/// Where the last TCP session on a port ended, and when.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TcpEnd {
    pub(super) sequence: u32,
    pub(super) freed: Tick,
}

impl TcpEnd {
    /// The last sequence number, if it still matters.
    #[inline]
    pub(super) fn within_reuse_window(&self, now: Tick) -> Option<u32> {
        // A record 194 days old looks young again for two minutes; the price is a session
        // without timestamps.
        let age = now.0.wrapping_sub(self.freed.0);
        (age < REUSE_WINDOW_SECONDS * TICKS_PER_SECOND).then_some(self.sequence)
    }
}
