//! Watches whether the ethdevs' RSS does what they say.
//!
//! Owners are named by computing the ethdev's hash in software. The first packets of each ethdev
//! show whether both agree; one that does not makes the worker say so, and control then steers
//! by software.

use super::Lane;
use crate::counters::WorkerCounters;
use crate::id::{EthdevId, WorkerId};
use crate::io::Packet;
use crate::steering::{RssCheck, RssVerdict, Steering};

/// The checks of all ethdevs of one worker.
#[derive(Debug, Default)]
pub(super) struct RssWatch {
    checks: Vec<RssCheck>,
}

impl RssWatch {
    /// Looks at the packets of a burst while the ethdev's check is undecided.
    #[inline]
    pub(super) fn observe<'a, P: Packet>(
        &mut self,
        steering: &Steering,
        worker: WorkerId,
        ethdev: EthdevId,
        arrived: impl Iterator<Item = (&'a P, &'a Option<Lane>)>,
        counters: &WorkerCounters,
    ) {
        let Steering::Toeplitz(rss) = steering else {
            return;
        };
        if self.checks.len() <= ethdev.index() {
            self.checks.resize_with(ethdev.index() + 1, RssCheck::new);
        }
        let check = &mut self.checks[ethdev.index()];
        if !matches!(check.verdict(), RssVerdict::Undecided(_)) {
            return;
        }
        // NICs hash fragments, packets with options and SCTP without their ports; plain packets
        // are none of these.
        for (packet, lane) in arrived {
            let key = lane
                .as_ref()
                .and_then(|lane| lane.plain.key(packet.bytes()));
            if let Some(key) = key {
                check.observe(rss, &key, packet.rss_hash(), worker);
            }
        }
        if check.verdict() == RssVerdict::Mismatch {
            counters.rss_mismatches.add(1);
        }
    }
}
