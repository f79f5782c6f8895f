//! The time between the order to stop and the stop, in which another gateway takes the VIPs over.
//!
//! ```text
//! SIGTERM ─► not ready ─► keepalived takes the VIPs off the twins ─► the other gateway has them
//!            │◄──────────── this gateway forwards all the while ────────────►│ linger │ stop
//! ```
//!
//! Clients send to this gateway's MAC until the other one's gratuitous ARP reaches them, which the
//! data plane serves without any address on a twin. So nothing is lost if it goes on until then.

use std::time::{Duration, Instant};

/// The other gateway takes over within its skew time, which is shorter than the interval of
/// advertisements, and that is a second as a rule (RFC 9568 §6.1).
const LINGER: Duration = Duration::from_secs(1);

/// So long without a packet of any session says that clients have gone over.
const QUIET: Duration = Duration::from_millis(500);

/// So long after the last packet, or after a VIP has left, clients may still come: nobody has told
/// all of them yet.
const LATELY: Duration = Duration::from_secs(1);

/// What the gateway sees while it hands over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sight {
    /// VIPs that bring traffic here.
    pub(super) vips: usize,
    /// Packets of clients, since the start.
    pub(super) packets: u64,
}

/// When clients were last seen to come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Traffic {
    packets: u64,
    last: Option<Instant>,
}

impl Traffic {
    /// Takes note of how many packets there were until `now`. To be called several times a second.
    pub(super) fn see(&mut self, packets: u64, now: Instant) {
        if std::mem::replace(&mut self.packets, packets) != packets {
            self.last = Some(now);
        }
    }
}

/// Whether something happened less than [`LATELY`] ago.
fn was_lately(at: Option<Instant>, now: Instant) -> bool {
    at.is_some_and(|at| now.saturating_duration_since(at) < LATELY)
}

/// How a hand-over ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The VIPs have left, and nobody asks for them here any more.
    Done,
    /// The VIPs have left, but packets still come.
    StillAsked,
    /// VIPs are still here.
    StillHere(usize),
}

/// A hand-over that has begun.
#[derive(Debug)]
pub(super) struct HandOver {
    end: Instant,
    /// Since when no VIP is here.
    gone: Option<Instant>,
    traffic: Traffic,
}

impl HandOver {
    /// Begins one that may take as long as `limit`; `None` when there is nothing to hand over, or
    /// no time for it. `traffic` is what was seen until now, and `left` is when a VIP has left:
    /// somebody else may have begun already.
    pub(super) fn begin(
        sight: Sight,
        traffic: Traffic,
        left: Option<Instant>,
        now: Instant,
        limit: Duration,
    ) -> Option<Self> {
        let may_come = sight.vips > 0 || was_lately(traffic.last, now) || was_lately(left, now);
        (may_come && !limit.is_zero()).then_some(Self {
            end: now + limit,
            gone: None,
            traffic,
        })
    }

    /// Whether it is over, and how it ended.
    pub(super) fn look(&mut self, sight: Sight, now: Instant) -> Option<End> {
        self.traffic.see(sight.packets, now);
        self.gone = match sight.vips {
            0 => self.gone.or(Some(now)),
            _ => None,
        };
        let since = |start| now.saturating_duration_since(start);
        let is_quiet = self.traffic.last.is_none_or(|last| since(last) >= QUIET);
        match self.gone {
            Some(gone) if since(gone) >= LINGER && is_quiet => Some(End::Done),
            Some(_) if now >= self.end => Some(End::StillAsked),
            None if now >= self.end => Some(End::StillHere(sight.vips)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Sight = Sight {
        vips: 1,
        packets: 10,
    };
    const GONE: Sight = Sight { vips: 0, ..HERE };
    const LIMIT: Duration = Duration::from_secs(5);

    fn after(start: Instant, tenths: u64) -> Instant {
        start + Duration::from_millis(tenths * 100)
    }

    /// The traffic of [`HERE`], last seen then.
    fn traffic(last: Option<Instant>) -> Traffic {
        let packets = HERE.packets;
        Traffic { packets, last }
    }

    fn begun(start: Instant) -> HandOver {
        HandOver::begin(HERE, traffic(None), None, start, LIMIT).unwrap()
    }

    #[test]
    fn nothing_to_hand_over_or_no_time_for_it_is_no_hand_over() {
        let start = Instant::now();
        let (long_ago, now) = (Some(start), after(start, 10));
        let begin = |sight, limit| HandOver::begin(sight, traffic(long_ago), long_ago, now, limit);

        assert!(begin(GONE, LIMIT).is_none());
        assert!(begin(HERE, Duration::ZERO).is_none());
    }

    #[test]
    fn vips_that_have_just_left_are_handed_over_too() {
        let start = Instant::now();
        let (lately, now) = (Some(start), after(start, 9));

        // keepalived was stopped a moment ago; or maintenance was begun, and it is a quiet night.
        let busy = HandOver::begin(GONE, traffic(lately), None, now, LIMIT);
        let idle = HandOver::begin(GONE, traffic(None), lately, now, LIMIT);

        for mut hand_over in [busy.unwrap(), idle.unwrap()] {
            assert_eq!(hand_over.look(GONE, after(start, 10)), None);
            assert_eq!(hand_over.look(GONE, after(start, 20)), Some(End::Done));
        }
    }

    #[test]
    fn it_ends_a_second_after_the_last_vip_has_left() {
        let start = Instant::now();
        let mut hand_over = begun(start);

        assert_eq!(hand_over.look(HERE, after(start, 1)), None);
        assert_eq!(hand_over.look(GONE, after(start, 2)), None);
        assert_eq!(hand_over.look(GONE, after(start, 11)), None);
        assert_eq!(hand_over.look(GONE, after(start, 12)), Some(End::Done));
    }

    #[test]
    fn it_goes_on_while_packets_come_but_not_for_ever() {
        let start = Instant::now();
        let mut hand_over = begun(start);
        let mut ends = (1..=50).map(|tenth| {
            let sight = Sight {
                packets: 10 + tenth,
                ..GONE
            };
            hand_over.look(sight, after(start, tenth))
        });

        assert_eq!(ends.find_map(|end| end), Some(End::StillAsked));
        assert_eq!(ends.next(), None, "not before its time is over");
    }

    #[test]
    fn a_vip_that_stays_or_comes_back_holds_it_until_its_time_is_over() {
        let start = Instant::now();
        let mut hand_over = begun(start);

        assert_eq!(hand_over.look(GONE, after(start, 2)), None);
        assert_eq!(hand_over.look(HERE, after(start, 11)), None);
        assert_eq!(hand_over.look(HERE, after(start, 49)), None);
        assert_eq!(
            hand_over.look(HERE, after(start, 50)),
            Some(End::StillHere(1))
        );
    }
}
