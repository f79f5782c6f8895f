//! Traffic as IPVS shows it: looked at every two seconds, counted from the last `-Z`, with smoothed
//! rates (`ip_vs_est.c` of Linux 6.1).

use dataplane::counters::TrafficTotals;

/// Seconds between two looks.
pub const SECONDS_PER_LOOK: u32 = 2;

/// What there is of something in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Sessions made.
    pub sessions: u64,
    /// Packets from clients.
    pub in_packets: u64,
    /// Packets from servers.
    pub out_packets: u64,
    /// IP bytes from clients.
    pub in_bytes: u64,
    /// IP bytes from servers.
    pub out_bytes: u64,
}

impl Rates {
    /// In the order of listings: sessions, packets in and out, bytes in and out.
    #[must_use]
    pub const fn columns(self) -> [u64; 5] {
        [
            self.sessions,
            self.in_packets,
            self.out_packets,
            self.in_bytes,
            self.out_bytes,
        ]
    }
}

/// The traffic of one service or server, as listings show it.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    /// As of the last look.
    seen: TrafficTotals,
    /// What `-Z` made zero.
    zero: TrafficTotals,
    sessions: Smooth<10>,
    in_packets: Smooth<10>,
    out_packets: Smooth<10>,
    in_bytes: Smooth<5>,
    out_bytes: Smooth<5>,
}

/// A smoothed number per second, in units of 1/2^`SHIFT`: a quarter of every look is new.
#[derive(Clone, Copy, Debug, Default)]
struct Smooth<const SHIFT: u32>(i64);

impl<const SHIFT: u32> Smooth<SHIFT> {
    /// Takes in what was counted between two looks, which is twice the number per second.
    fn look(&mut self, before: u64, now: u64) {
        let counted = i64::try_from(now.saturating_sub(before)).unwrap_or(i64::MAX >> SHIFT);
        let per_second = counted.saturating_mul(1 << (SHIFT - 1));
        self.0 += per_second.saturating_sub(self.0) >> 2;
    }

    /// The number per second, rounded.
    const fn shown(self) -> u64 {
        let half = (1 << (SHIFT - 1)) - 1;
        ((self.0 + half) >> SHIFT).cast_unsigned()
    }
}

impl Meter {
    /// Looks at what was counted since the gateway started; to be done every two seconds.
    pub fn look(&mut self, now: TrafficTotals) {
        let before = self.seen;
        self.sessions.look(before.sessions, now.sessions);
        self.in_packets.look(before.in_packets, now.in_packets);
        self.out_packets.look(before.out_packets, now.out_packets);
        self.in_bytes.look(before.in_bytes, now.in_bytes);
        self.out_bytes.look(before.out_bytes, now.out_bytes);
        self.seen = now;
    }

    /// Counts from what was seen last, and forgets the rates.
    pub fn zero(&mut self) {
        *self = Self {
            seen: self.seen,
            zero: self.seen,
            ..Self::default()
        };
    }

    /// What was seen last, since the last [`zero`](Self::zero).
    #[must_use]
    pub const fn totals(&self) -> TrafficTotals {
        let Self { seen, zero, .. } = self;
        TrafficTotals {
            sessions: seen.sessions.saturating_sub(zero.sessions),
            in_packets: seen.in_packets.saturating_sub(zero.in_packets),
            in_bytes: seen.in_bytes.saturating_sub(zero.in_bytes),
            out_packets: seen.out_packets.saturating_sub(zero.out_packets),
            out_bytes: seen.out_bytes.saturating_sub(zero.out_bytes),
        }
    }

    /// What there is in a second.
    #[must_use]
    pub const fn rates(&self) -> Rates {
        Rates {
            sessions: self.sessions.shown(),
            in_packets: self.in_packets.shown(),
            out_packets: self.out_packets.shown(),
            in_bytes: self.in_bytes.shown(),
            out_bytes: self.out_bytes.shown(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(sessions: u64) -> TrafficTotals {
        TrafficTotals {
            sessions,
            in_packets: sessions,
            in_bytes: 40 * sessions,
            ..TrafficTotals::default()
        }
    }

    #[test]
    fn one_look_at_twenty_sessions_shows_what_the_kernel_showed() {
        // Given a service, and 20 sessions of one packet with 40 bytes.
        let mut meter = Meter::default();

        // When they are looked at once.
        meter.look(totals(20));

        // Then the rates are those of the kernel in this case: a quarter of 10 each second.
        assert_eq!(
            meter.rates(),
            Rates {
                sessions: 2,
                in_packets: 2,
                in_bytes: 100,
                ..Rates::default()
            }
        );
        assert_eq!(meter.totals(), totals(20));
    }

    #[test]
    fn a_steady_load_is_shown_as_it_is_and_then_fades() {
        let mut meter = Meter::default();
        for look in 1..=60 {
            meter.look(totals(2_000 * look));
        }
        assert_eq!(meter.rates().sessions, 1_000);
        assert_eq!(meter.rates().in_bytes, 40_000);

        for _ in 0..60 {
            meter.look(totals(120_000));
        }
        assert_eq!(meter.rates(), Rates::default());
    }

    #[test]
    fn zero_counts_anew_from_what_was_seen() {
        let mut meter = Meter::default();
        meter.look(totals(20));

        meter.zero();

        assert_eq!(meter.totals(), TrafficTotals::default());
        assert_eq!(meter.rates(), Rates::default());
        meter.look(totals(25));
        assert_eq!(meter.totals(), totals(5));
    }
}
