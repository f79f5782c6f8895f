//! Chooses the server that ranks first, without looking at all of them.
//!
//! What a server ranks by is the scheduler's own ([`Rank`]); a [`MinTree`] keeps the keys of all
//! of them, and the [`Field`] tells it whose may have changed.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use arrayvec::ArrayVec;

use super::field::{Board, Field};
use super::min_tree::{Key, MinTree};
use super::{FlowInfo, Schedule, load};
use crate::service::RealServer;

/// How a scheduler ranks servers.
pub trait Rank: fmt::Debug {
    /// What `server` is judged by, the least first; [`Key::OUT`] when it takes no new sessions.
    /// It may depend on the version and on what its seat is marked for: the counts of its
    /// sessions and the overload flag.
    fn key(server: &RealServer) -> Key;
}

/// A scheduler for which the server with the least key wins, and of equals the first in the list.
#[derive(Debug)]
pub struct Tournament<R: Rank> {
    /// `None` without servers.
    field: Option<Field<Ranking<R>>>,
    /// Whether a session may overload a server, which stays so when the session goes again.
    has_thresholds: bool,
}

/// The keys of all servers.
#[derive(Debug)]
struct Ranking<R> {
    tree: MinTree,
    rank: PhantomData<fn() -> R>,
}

impl<R: Rank> Board for Ranking<R> {
    fn new(places: usize) -> Self {
        Self {
            tree: MinTree::new(places),
            rank: PhantomData,
        }
    }

    fn fill(&self, servers: &[Arc<RealServer>]) {
        self.tree.fill(servers.iter().map(|server| R::key(server)));
    }

    #[inline]
    fn judge(&self, place: usize, server: &RealServer) {
        self.tree.set(place, R::key(server));
    }
}

impl<R: Rank> Ranking<R> {
    /// Binds a session to the winner, and judges it anew while nobody else decides, so that
    /// nothing has to be marked for the next decision.
    #[inline]
    fn take(&self, servers: &[Arc<RealServer>], is_active: bool) -> Option<u32> {
        let place = self.tree.winner()?;
        let server = servers.get(place)?;
        load::bind_unmarked(server, is_active);
        self.judge(place, server);
        u32::try_from(place).ok()
    }
}

impl<R: Rank> Tournament<R> {
    pub(super) fn new(servers: &[Arc<RealServer>]) -> Self {
        Self {
            field: Field::new(servers),
            has_thresholds: servers.iter().any(|server| server.upper_threshold > 0),
        }
    }

    /// Decides up to `count` times while nobody else does, as [`Schedule::take`]; only once where
    /// a server's sessions are limited.
    #[inline(never)]
    pub(super) fn choose_ahead<const MOST: usize>(
        &self,
        servers: &[Arc<RealServer>],
        is_active: bool,
        count: usize,
        places: &mut ArrayVec<u32, MOST>,
    ) {
        let Some(field) = &self.field else { return };
        let most = if self.has_thresholds { 1 } else { count };
        let count = most.min(places.remaining_capacity());
        let decide = |ranking: &Ranking<R>| {
            places.extend((0..count).map_while(|_| ranking.take(servers, is_active)));
        };
        field.decide_often(servers, count, |ranking| &ranking.tree, decide);
    }

    pub(super) fn lock_waits(&self) -> u64 {
        self.field.as_ref().map_or(0, Field::lock_waits)
    }
}

impl<R: Rank> Schedule for Tournament<R> {
    /// Costs three or four cache lines for each server whose load changed since the last
    /// decision of any worker.
    #[inline(never)]
    fn pick(&self, servers: &[Arc<RealServer>], _client: FlowInfo) -> Option<usize> {
        let field = self.field.as_ref()?;
        field.decide(servers, |ranking| ranking.tree.winner())
    }

    #[inline(never)]
    fn take(
        &self,
        servers: &[Arc<RealServer>],
        _client: FlowInfo,
        is_active: bool,
    ) -> Option<usize> {
        let field = self.field.as_ref()?;
        let place = field.decide(servers, |ranking| ranking.take(servers, is_active))?;
        Some(place as usize)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use proptest::prelude::*;

    use super::super::ends::Ends;
    use super::super::samples::{FLOW, server};
    use super::super::{Scheduler, Standings};
    use super::*;
    use crate::id::Weight;
    use crate::service::SchedulerKind;

    const KINDS: [SchedulerKind; 6] = [
        SchedulerKind::Wlc,
        SchedulerKind::Lc,
        SchedulerKind::Sed,
        SchedulerKind::Nq,
        SchedulerKind::Fo,
        SchedulerKind::Ovf,
    ];

    /// What the kernel does: a walk over all servers, in which the first keeps its place until
    /// one is better.
    fn scan(kind: SchedulerKind, servers: &[Arc<RealServer>]) -> Option<usize> {
        let weight = |at: usize| i64::from(servers[at].weight.0);
        let active = |at: usize| i64::from(servers[at].shared.active().cast_signed());
        let overhead = |at: usize| i64::from(load::overhead(&servers[at]));
        let delay =
            |at: usize| i64::from(servers[at].shared.active().cast_signed().wrapping_add(1));
        let mut eligible = (0..servers.len()).filter(|at| servers[*at].is_eligible());
        let idle = eligible.clone().find(|at| active(*at) == 0);
        if let (SchedulerKind::Nq, Some(idle)) = (kind, idle) {
            return Some(idle);
        }
        if kind == SchedulerKind::Ovf {
            let full = |at: &usize| servers[*at].shared.active() > servers[*at].weight.0;
            let room: Vec<usize> = eligible.filter(|at| !full(at)).collect();
            return heaviest(&room, weight);
        }
        let first = eligible.next()?;
        Some(eligible.fold(first, |best, at| {
            let better = match kind {
                SchedulerKind::Wlc => overhead(best) * weight(at) > overhead(at) * weight(best),
                SchedulerKind::Lc => overhead(at) < overhead(best),
                SchedulerKind::Fo => weight(at) > weight(best),
                _ => delay(best) * weight(at) > delay(at) * weight(best),
            };
            if better { at } else { best }
        }))
    }

    fn heaviest(places: &[usize], weight: impl Fn(usize) -> i64) -> Option<usize> {
        let most = places.iter().map(|at| weight(*at)).max()?;
        places.iter().copied().find(|at| weight(*at) == most)
    }

    /// What may happen between two decisions, to the server at a place.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Bind,
        Unbind,
        Activate,
        Deactivate,
        Edit {
            weight: u32,
            upper: u32,
        },
        Add {
            weight: u32,
            upper: u32,
        },
        Remove,
        /// Counts that only years or mistakes reach.
        Flood(u32),
    }

    fn weight() -> impl Strategy<Value = u32> {
        prop_oneof![4 => 0..4_u32, 1 => 0..=65_535_u32]
    }

    fn upper() -> impl Strategy<Value = u32> {
        prop_oneof![2 => Just(0), 1 => 1..6_u32]
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            20 => Just(Step::Bind),
            12 => Just(Step::Unbind),
            8 => Just(Step::Activate),
            6 => Just(Step::Deactivate),
            2 => (weight(), upper()).prop_map(|(weight, upper)| Step::Edit { weight, upper }),
            1 => (weight(), upper()).prop_map(|(weight, upper)| Step::Add { weight, upper }),
            1 => Just(Step::Remove),
            1 => any::<u32>().prop_map(Step::Flood),
        ]
    }

    struct Service {
        standings: Arc<Standings>,
        servers: Vec<Arc<RealServer>>,
        kind: SchedulerKind,
        scheduler: Scheduler,
    }

    impl Service {
        fn new(kind: SchedulerKind, servers: &[(u32, u32)]) -> Self {
            let standings = Standings::new();
            let servers: Vec<_> = (servers.iter())
                .map(|(weight, upper)| server(&standings, *weight, *upper))
                .collect();
            Self {
                scheduler: Scheduler::new(kind, &servers),
                kind,
                servers,
                standings,
            }
        }

        fn step(&mut self, at: usize, step: Step) {
            let server = &self.servers[at];
            let sessions = server.shared.sessions();
            let active = server.shared.active();
            match step {
                Step::Bind => load::bind(server, false),
                Step::Unbind if sessions > 0 => load::unbind(server, false),
                Step::Activate => load::activate(&server.shared),
                Step::Deactivate if active > 0 => load::deactivate(&server.shared),
                Step::Unbind | Step::Deactivate => {}
                Step::Flood(count) => {
                    server.shared.counts().set_active(count);
                    load::activate(&server.shared);
                }
                Step::Edit { weight, upper } => {
                    let edited = Arc::new(RealServer {
                        weight: Weight(weight),
                        upper_threshold: upper,
                        ..RealServer::clone(server)
                    });
                    load::thresholds_changed(&edited, server.upper_threshold);
                    self.servers[at] = edited;
                    self.renew();
                }
                Step::Add { weight, upper } => {
                    let added = self::server(&self.standings, weight, upper);
                    self.servers.insert(0, added);
                    self.renew();
                }
                Step::Remove if self.servers.len() > 1 => {
                    self.servers.remove(at);
                    self.renew();
                }
                Step::Remove => {}
            }
        }

        fn renew(&mut self) {
            self.scheduler = Scheduler::new(self.kind, &self.servers);
        }

        fn pick(&self) -> Option<usize> {
            self.scheduler.pick(&self.servers, FLOW)
        }

        /// Sessions, those active, and whether they are too many, of each server.
        fn loads(&self) -> Vec<(u32, u32, bool)> {
            let load = |server: &Arc<RealServer>| {
                let shared = &server.shared;
                (shared.sessions(), shared.active(), server.is_overloaded())
            };
            self.servers.iter().map(load).collect()
        }

        fn scan(&self) -> Option<usize> {
            scan(self.kind, &self.servers)
        }
    }

    proptest! {
        #[test]
        fn every_decision_is_that_of_a_walk_over_all_servers(
            kind in prop::sample::select(&KINDS[..]),
            servers in prop::collection::vec((weight(), upper()), 1..300),
            steps in prop::collection::vec(
                (any::<prop::sample::Index>(), step(), 0..4_u8, any::<bool>()),
                1..200,
            ),
        ) {
            let mut service = Service::new(kind, &servers);
            for (at, step, picks, is_active) in steps {
                service.step(at.index(service.servers.len()), step);
                for turn in 0..picks {
                    let first = service.scan();
                    let picked = if turn % 2 == 0 {
                        service.scheduler.take(&service.servers, FLOW, is_active)
                    } else {
                        service.pick()
                    };

                    prop_assert_eq!(picked, first, "{:?}", kind);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn choosing_ahead_decides_as_choosing_one_by_one(
            kind in prop::sample::select(&KINDS[..]),
            servers in prop::collection::vec((weight(), upper()), 1..100),
            limited: bool,
            steps in prop::collection::vec(
                (any::<prop::sample::Index>(), step(), 1..33_usize, any::<bool>()),
                1..40,
            ),
        ) {
            let upper = |upper| if limited { upper } else { 0 };
            let servers: Vec<_> = servers.iter().map(|(weight, u)| (*weight, upper(*u))).collect();
            let [mut ahead, mut one_by_one] = [(); 2].map(|()| Service::new(kind, &servers));
            for (at, step, count, is_active) in steps {
                let at = at.index(ahead.servers.len());
                ahead.step(at, step);
                one_by_one.step(at, step);

                let mut chosen = ArrayVec::<u32, 32>::new();
                (ahead.scheduler).choose_ahead(&ahead.servers, is_active, count, &mut chosen);
                let again = || one_by_one.scheduler.take(&one_by_one.servers, FLOW, is_active);
                let limited = one_by_one.servers.iter().any(|server| server.upper_threshold > 0);
                let count = if limited { 1 } else { count };
                let model: Vec<_> = (0..count).map_while(|_| again()).collect();
                let chosen: Vec<_> = chosen.iter().map(|place| *place as usize).collect();

                prop_assert_eq!(chosen, model, "{:?}", kind);
                prop_assert_eq!(ahead.loads(), one_by_one.loads());
            }
        }
    }

    #[test]
    fn choosing_ahead_ends_where_there_is_no_room() {
        let service = Service::new(SchedulerKind::Wlc, &[(1, 0), (1, 0)]);
        let mut chosen = ArrayVec::<u32, 3>::new();

        (service.scheduler).choose_ahead(&service.servers, true, 2, &mut chosen);
        (service.scheduler).choose_ahead(&service.servers, true, 2, &mut chosen);

        assert_eq!(chosen[..], [0, 1, 0]);
        assert_eq!(service.loads(), [(2, 2, false), (1, 1, false)]);
    }

    #[test]
    fn a_service_without_servers_has_none_to_choose() {
        for kind in KINDS {
            let mut ahead = ArrayVec::<u32, 1>::new();
            let scheduler = Scheduler::new(kind, &[]);

            scheduler.choose_ahead(&[], false, 1, &mut ahead);

            assert_eq!((scheduler.pick(&[], FLOW), ahead.first()), (None, None));
        }
    }

    #[test]
    fn versions_in_use_at_the_same_time_decide_each_by_its_own_list() {
        // Given two versions of a service, the second with a lighter server more, in front.
        let mut old = Service::new(SchedulerKind::Wlc, &[(2, 0), (1, 0)]);
        let mut servers = old.servers.clone();
        servers.insert(0, server(&old.standings, 1, 0));
        let new = Scheduler::new(SchedulerKind::Wlc, &servers);

        // When workers decide by both in turn, and sessions come and go.
        for round in 0..100 {
            let picked = [old.pick(), new.pick(&servers, FLOW)];

            assert_eq!(picked, [old.scan(), scan(old.kind, &servers)], "{round}");
            load::bind(&servers[picked[1].unwrap()], false);
            load::bind(&old.servers[picked[0].unwrap()], false);
            if round % 3 == 0 {
                old.step(0, Step::Unbind);
            }
        }
    }

    #[test]
    fn a_server_that_left_may_lose_sessions_and_come_back() {
        let mut service = Service::new(SchedulerKind::Wlc, &[(1, 0), (1, 0)]);
        let gone = service.servers.remove(0);
        load::bind(&gone, false);
        load::bind(&service.servers[0], false);
        service.renew();
        assert_eq!(service.pick(), Some(0));

        load::unbind(&gone, false);
        assert_eq!(service.pick(), Some(0));
        service.servers.push(gone);
        service.renew();

        assert_eq!(service.pick(), Some(1));
    }

    #[test]
    fn workers_that_choose_ahead_and_end_many_at_once_leave_no_count_and_no_flag() {
        const ROUNDS: usize = 4_000;
        for upper in [0, 40] {
            let service = Service::new(SchedulerKind::Wlc, &[(1, upper), (2, 0), (3, 0)].repeat(7));

            // Given two workers that end all the sessions that they make.
            let worker = |step: usize| {
                for round in 0..ROUNDS {
                    let is_active = round % 2 == 0;
                    let mut chosen = ArrayVec::<u32, 32>::new();
                    let count = round * step % 32 + 1;
                    (service.scheduler).choose_ahead(
                        &service.servers,
                        is_active,
                        count,
                        &mut chosen,
                    );
                    assert!(!chosen.is_empty());
                    let mut ends = Ends::default();
                    for place in chosen {
                        ends.push(&service.servers[place as usize], is_active);
                    }
                }
            };
            std::thread::scope(|scope| {
                scope.spawn(|| worker(5));
                scope.spawn(|| worker(11));
            });

            // When it is quiet again, then nobody has sessions and decisions are exact.
            assert!(service.loads().iter().all(|load| *load == (0, 0, false)));
            for _ in 0..100 {
                let first = service.scan();
                let taken = service.scheduler.take(&service.servers, FLOW, false);
                assert_eq!(taken, first);
            }
        }
    }

    #[test]
    fn workers_at_the_same_time_leave_a_ranking_as_of_a_walk() {
        const SESSIONS: usize = 20_000;
        let service = Service::new(
            SchedulerKind::Wlc,
            &[(1, 0), (2, 0), (3, 400), (5, 0), (0, 0)].repeat(5),
        );
        let done = AtomicUsize::new(0);

        // Given two workers that make sessions and end all but the last few of them.
        let worker = || {
            let mut bound = std::collections::VecDeque::new();
            for n in 0..SESSIONS {
                let at = service.scheduler.take(&service.servers, FLOW, false);
                let server = &service.servers[at.unwrap()];
                load::activate(&server.shared);
                bound.push_back(server);
                if n >= 300 {
                    let oldest = bound.pop_front().unwrap();
                    load::deactivate(&oldest.shared);
                    load::unbind(oldest, false);
                }
            }
            done.fetch_add(bound.len(), Ordering::SeqCst);
        };
        std::thread::scope(|scope| {
            scope.spawn(worker);
            scope.spawn(worker);
        });

        // When it is quiet again, then counts add up and decisions are exact.
        let shared = || service.servers.iter().map(|server| &server.shared);
        let sessions: u32 = shared().map(|s| s.sessions()).sum();
        let active: u32 = shared().map(|s| s.active()).sum();
        assert_eq!((sessions, active), (600, 600));
        assert_eq!(done.into_inner(), 600);
        for _ in 0..200 {
            let picked = service.pick();
            assert_eq!(picked, service.scan());
            load::bind(&service.servers[picked.unwrap()], false);
        }
    }
}
