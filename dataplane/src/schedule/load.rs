//! Keeps the session counts of real servers, and the overload flag that follows from them.
//!
//! A server with an upper threshold is overloaded from the session that reaches it until its
//! sessions fall below the lower threshold (by default three quarters of the upper). The rules
//! are those of Linux 6.1.192 (`ip_vs_dest_update_overload`), or those of kernels before it: see
//! [`Rules`]. All workers share the counts; they
//! change only when a session is made, changes between active and inactive, or ends; whoever
//! changes them marks the server in the [standings](super::Standings) of its service.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::service::{RealServer, ServerShared};

/// By which kernel's rules servers are overloaded, what their sessions cost, and which errors reach
/// them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Rules {
    /// Linux 6.1.192's: reaching the upper threshold sets the flag, falling below the lower one
    /// clears it, new thresholds are judged at once. An active session costs 257. ICMP errors reach
    /// a server of DR and TUN whatever their checksum.
    #[default]
    Linux6_1_192,
    /// Linux 6.1.176's and those of most kernels before it: any session that leaves the server at
    /// or above its upper threshold sets the flag, any end below the lower one clears it, and so
    /// does an upper threshold that rises or goes away. An active session costs 256. ICMP errors with
    /// a wrong checksum reach no server.
    Linux6_1_176,
}

/// How many sessions a server has, and how many of them are active, as one number: whoever
/// changes both changes them at once.
#[derive(Debug, Default)]
pub(crate) struct SessionCounts(AtomicU64);

impl SessionCounts {
    /// An active session, in the upper half.
    const ACTIVE: u64 = 1 << 32;

    /// Sessions bound to the server, active or not.
    #[inline]
    pub(crate) fn sessions(&self) -> u32 {
        sessions(self.0.load(Ordering::SeqCst))
    }

    /// Sessions in an active state.
    #[inline]
    pub(crate) fn active(&self) -> u32 {
        active(self.0.load(Ordering::SeqCst))
    }

    /// Nobody's sessions.
    pub(super) fn reset(&self) {
        self.0.store(0, Ordering::SeqCst);
    }

    /// Counts that only years or mistakes reach.
    #[cfg(test)]
    pub(super) fn set_active(&self, active: u32) {
        let counts = u64::from(active) << 32 | u64::from(self.sessions());
        self.0.store(counts, Ordering::SeqCst);
    }

    /// What a session of this kind adds when it is bound.
    #[inline]
    const fn share(is_active: bool) -> u64 {
        1 + if is_active { Self::ACTIVE } else { 0 }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
const fn sessions(counts: u64) -> u32 {
    counts as u32
}

const fn active(counts: u64) -> u32 {
    (counts >> 32) as u32
}

/// What made the flag be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// The sessions rose to the upper threshold.
    Rose,
    /// The sessions fell below the lower threshold.
    Fell,
    /// The thresholds are others than before.
    Configured,
}

/// A session was bound to `server`, in an active state or not.
#[inline]
pub fn bind(server: &RealServer, is_active: bool) {
    bind_unmarked(server, is_active);
    server.shared.seat().mark();
}

/// As [`bind`], by whoever judges the server anew itself before anybody else decides.
#[inline]
pub(super) fn bind_unmarked(server: &RealServer, is_active: bool) {
    let share = SessionCounts::share(is_active);
    let before = server.shared.counts().0.fetch_add(share, Ordering::SeqCst);
    let (sessions, upper) = (sessions(before) + 1, server.upper_threshold);
    if sessions == upper || (sessions > upper && upper > 0 && is_old(server)) {
        update(server, Cause::Rose);
    }
}

/// A session of `server` ended, in an active state or not.
#[inline]
pub fn unbind(server: &RealServer, is_active: bool) {
    unbind_unmarked(server, is_active);
    server.shared.seat().mark();
}

/// As [`unbind`], by whoever marks the server a moment later.
#[inline]
pub(super) fn unbind_unmarked(server: &RealServer, is_active: bool) {
    let share = SessionCounts::share(is_active);
    let before = server.shared.counts().0.fetch_sub(share, Ordering::SeqCst);
    debug_assert!(
        sessions(before) > 0 && active(before) >= active(share),
        "a session ended that was not bound"
    );
    let (before, low) = (sessions(before), low_mark(server));
    if before == low || (before < low && is_old(server)) {
        update(server, Cause::Fell);
    }
}

/// A bound session became active.
#[inline]
pub fn activate(server: &ServerShared) {
    let counts = &server.counts().0;
    counts.fetch_add(SessionCounts::ACTIVE, Ordering::SeqCst);
    server.seat().mark();
}

/// An active session became inactive.
#[inline]
pub fn deactivate(server: &ServerShared) {
    let counts = &server.counts().0;
    let before = counts.fetch_sub(SessionCounts::ACTIVE, Ordering::SeqCst);
    debug_assert!(active(before) > 0, "an inactive session became inactive");
    server.seat().mark();
}

/// `server` is a version with other thresholds than the one before it, whose upper one was
/// `upper_before` (0 without one). To be called when the version is made. To be called once more
/// when all workers have adopted it, then with its own upper threshold: a worker that still had
/// the old version may have set the flag by the old thresholds.
pub fn thresholds_changed(server: &RealServer, upper_before: u32) {
    match server.shared.rules() {
        Rules::Linux6_1_192 => update(server, Cause::Configured),
        Rules::Linux6_1_176 => {
            let upper = server.upper_threshold;
            if upper == 0 || upper > upper_before {
                server.shared.overloaded.store(false, Ordering::SeqCst);
            }
        }
    }
    server.shared.seat().mark();
}

/// Whether it is judged by the rules before Linux 6.1.192.
#[inline]
pub(crate) fn is_old(server: &RealServer) -> bool {
    server.shared.rules() == Rules::Linux6_1_176
}

/// The cost of a server's sessions for wlc, as the kernel's `ip_vs_dest_conn_overhead`: a wrapping
/// 32-bit number.
#[inline]
pub(super) fn overhead(server: &RealServer) -> i32 {
    let counts = server.shared.counts().0.load(Ordering::SeqCst);
    let each = if is_old(server) { 255 } else { 256 };
    active(counts)
        .wrapping_mul(each)
        .wrapping_add(sessions(counts))
        .cast_signed()
}

/// The count below which a server is no longer overloaded.
#[inline]
const fn low_mark(server: &RealServer) -> u32 {
    match server.lower_threshold {
        0 => server.upper_threshold - (server.upper_threshold >> 2),
        lower => lower,
    }
}

/// Sets the flag as the counts demand, or leaves it.
#[cold]
fn update(server: &RealServer, cause: Cause) {
    let mut cause = cause;
    while let Some(overloaded) = verdict(server, cause) {
        server.shared.overloaded.store(overloaded, Ordering::SeqCst);
        // Another worker may have crossed the other mark between our look at the count and our
        // store, and its store may lie before ours. A flag that is wrong then would stay wrong: an
        // overloaded server gets no session that could correct it.
        let sessions = server.shared.sessions();
        cause = match overloaded {
            true if sessions < low_mark(server) => Cause::Fell,
            false if server.upper_threshold > 0 && sessions >= server.upper_threshold => {
                Cause::Rose
            }
            _ => return,
        };
    }
}

/// What the flag must be; `None` leaves it as it is.
fn verdict(server: &RealServer, cause: Cause) -> Option<bool> {
    let upper = server.upper_threshold;
    let sessions = server.shared.sessions();
    if upper == 0 {
        return Some(false);
    }
    let (set_from, keep_from) = match cause {
        Cause::Rose => (low_mark(server), low_mark(server)),
        Cause::Fell => (upper, upper),
        Cause::Configured => (upper, low_mark(server)),
    };
    if sessions >= set_from {
        Some(true)
    } else if sessions >= keep_from {
        None
    } else {
        Some(false)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::Standings;
    use super::*;
    use crate::address::Endpoint;
    use crate::id::{ServerSlot, Weight};
    use crate::service::Method;

    fn server(upper: u32, lower: u32) -> RealServer {
        server_under(Rules::default(), upper, lower)
    }

    fn server_under(rules: Rules, upper: u32, lower: u32) -> RealServer {
        RealServer {
            service: crate::service::ServiceKey::WEB,
            slot: ServerSlot(0),
            endpoint: Endpoint::new([10, 2, 0, 11].into(), 80),
            weight: Weight(1),
            last_weight: Weight(1),
            method: Method::Nat,
            upper_threshold: upper,
            lower_threshold: lower,
            available: true,
            shared: Arc::new(ServerShared::new(1, &Standings::under(rules))),
        }
    }

    fn after(server: &RealServer, step: fn(&RealServer, bool)) -> (u32, bool) {
        step(server, false);
        let sessions = server.shared.sessions();
        (sessions, server.is_overloaded())
    }

    #[test]
    fn a_server_is_overloaded_from_its_upper_until_below_its_lower_threshold() {
        let server = server(4, 2);

        assert_eq!(after(&server, bind), (1, false));
        assert_eq!(after(&server, bind), (2, false));
        assert_eq!(after(&server, bind), (3, false));
        assert_eq!(after(&server, bind), (4, true));
        assert_eq!(after(&server, bind), (5, true));
        assert_eq!(after(&server, unbind), (4, true));
        assert_eq!(after(&server, unbind), (3, true));
        assert_eq!(after(&server, unbind), (2, true));
        assert_eq!(after(&server, unbind), (1, false));
        assert_eq!(after(&server, bind), (2, false));
    }

    #[test]
    fn without_a_lower_threshold_three_quarters_of_the_upper_stand_for_it() {
        let server = server(10, 0);
        for _ in 0..10 {
            bind(&server, false);
        }

        // 10 − 10/4 = 8
        assert_eq!(after(&server, unbind), (9, true));
        assert_eq!(after(&server, unbind), (8, true));
        assert_eq!(after(&server, unbind), (7, false));
    }

    #[test]
    fn without_thresholds_nothing_overloads() {
        let server = server(0, 0);

        assert_eq!(after(&server, bind), (1, false));
        assert_eq!(after(&server, unbind), (0, false));
    }

    #[test]
    fn new_thresholds_are_judged_at_once() {
        let old = server(4, 2);
        for _ in 0..4 {
            bind(&old, false);
        }
        let with = |upper, lower| RealServer {
            upper_threshold: upper,
            lower_threshold: lower,
            ..old.clone()
        };

        for (upper, lower, expected) in [
            (8, 3, true), // between the marks: stays as it is
            (8, 5, false),
            (8, 3, false),
            (3, 1, true),
            (0, 0, false),
        ] {
            thresholds_changed(&with(upper, lower), 4);
            assert_eq!(old.is_overloaded(), expected, "-x {upper} -y {lower}");
        }
    }

    #[test]
    fn a_flag_never_outlives_the_sessions_that_set_it() {
        let server = server(3, 2);

        for _ in 0..200 {
            std::thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        for _ in 0..100 {
                            bind(&server, true);
                            unbind(&server, true);
                        }
                    });
                }
            });
            assert_eq!((server.shared.sessions(), server.shared.active()), (0, 0));
            assert!(!server.is_overloaded());
        }
    }

    #[test]
    fn an_active_session_costs_257() {
        let server = server(0, 0);
        bind(&server, false);
        bind(&server, false);
        activate(&server.shared);

        assert_eq!(overhead(&server), 258);
        deactivate(&server.shared);
        assert_eq!(overhead(&server), 2);
        bind(&server, true);
        assert_eq!(overhead(&server), 259);
        assert_eq!((server.shared.sessions(), server.shared.active()), (3, 1));
        unbind(&server, true);
        assert_eq!(overhead(&server), 2);
    }

    #[test]
    fn by_the_old_rules_an_active_session_costs_256() {
        let server = server_under(Rules::Linux6_1_176, 0, 0);
        bind(&server, false);
        bind(&server, false);
        activate(&server.shared);

        assert_eq!(overhead(&server), 257);
    }

    #[test]
    fn by_the_old_rules_raising_the_upper_threshold_frees_a_server_that_is_still_above_it() {
        let old = server_under(Rules::Linux6_1_176, 4, 2);
        for _ in 0..9 {
            bind(&old, false);
        }
        let with = |upper, lower| RealServer {
            upper_threshold: upper,
            lower_threshold: lower,
            ..old.clone()
        };

        for (before, upper, lower, expected) in [
            (4, 3, 1, true),
            (3, 3, 2, true),
            (3, 5, 2, false),
            // Lowering sets nothing: that is left to the next session.
            (5, 2, 1, false),
        ] {
            thresholds_changed(&with(upper, lower), before);
            assert_eq!(old.is_overloaded(), expected, "-x {upper} -y {lower}");
        }
        assert_eq!(after(&with(2, 1), bind), (10, true));
        thresholds_changed(&with(0, 0), 2);
        assert!(!old.is_overloaded());
    }

    #[test]
    fn by_the_old_rules_any_end_below_the_lower_threshold_frees_a_server() {
        let server = server_under(Rules::Linux6_1_176, 2, 0);
        assert_eq!(after(&server, bind), (1, false));
        assert_eq!(after(&server, bind), (2, true));
        let raised = RealServer {
            upper_threshold: 8,
            ..server
        };

        // Three quarters of 8 are 6, and 1 is below.
        assert_eq!(after(&raised, unbind), (1, false));
    }
}
