//! Moves the packets of checks between the check interface and the twins' rings.
//!
//! The pump turns it with the twins: what checks send leaves by an ethdev as frames of Linux do, and
//! what the packet path has for Linux comes by here first.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use dataplane::id::InterfaceId;
use dataplane::io::Packet;

use super::check_device::CheckDevice;
use super::losses::Losses;
use crate::health::check_path::{Carrier, CheckPath, CheckPathCounters, Refusal};

/// Packets read from the check interface before the twins get their turn.
const READS_PER_TURN: usize = 64;

/// The check interface joined with what rewrites its packets.
pub struct CheckLane {
    device: CheckDevice,
    carrier: Carrier,
    /// The time of this turn.
    now: Instant,
    is_removed: bool,
    losses: Losses,
}

impl CheckLane {
    /// Carries the packets of `path`'s checks over `device`.
    #[must_use]
    pub fn new(device: CheckDevice, path: CheckPath) -> Self {
        Self {
            device,
            carrier: Carrier::new(path),
            now: Instant::now(),
            is_removed: false,
            losses: Losses::default(),
        }
    }

    /// Tells its losses to these from now on.
    pub(super) fn lose_to(&mut self, losses: Losses) {
        self.losses = losses;
    }

    /// Sends what checks have sent by `inject`, which says whether it could, up to a bound; returns how
    /// many packets there were.
    pub(super) fn collect_sent(
        &mut self,
        buffer: &mut [u8],
        inject: &mut dyn FnMut(InterfaceId, &[u8]) -> bool,
    ) -> usize {
        if self.is_removed {
            return 0;
        }
        self.carrier.renew();
        self.now = Instant::now();
        for read in 0..READS_PER_TURN {
            match self.device.read_packet(buffer) {
                Ok(Some(len)) => self.send(&buffer[..len], inject),
                Ok(None) => return read,
                Err(error) => {
                    self.read_failed(&error);
                    return read;
                }
            }
        }
        READS_PER_TURN
    }

    fn send(&mut self, packet: &[u8], inject: &mut dyn FnMut(InterfaceId, &[u8]) -> bool) {
        // On every interface Linux itself asks for routers and tells its groups.
        if packet.first().is_some_and(|first| first >> 4 == 6) {
            return;
        }
        let outcome = self.carrier.carry_there(packet, self.now);
        let outcome = outcome.and_then(|outgoing| {
            let is_sent = inject(outgoing.interface, outgoing.frame.bytes());
            is_sent.then_some(()).ok_or(Refusal::NotSent)
        });
        match outcome {
            Ok(()) => self.counters().to_servers.add(1),
            Err(refusal) => self.counters().refused(refusal).add(1),
        }
    }

    /// Takes a frame that the packet path has for Linux if a check waits for it; says whether it did.
    #[inline]
    pub(super) fn take(&mut self, frame: &[u8]) -> bool {
        let Some(packet) = self.carrier.carry_back(frame, self.now) else {
            return false;
        };
        let delivered = self.device.write_packet(packet);
        match delivered {
            Ok(()) => self.counters().to_checks.add(1),
            Err(_) => self.counters().not_delivered.add(1),
        }
        true
    }

    /// What ends a wait, unless it is gone.
    pub(super) fn waits_on(&self) -> Option<BorrowedFd<'_>> {
        (!self.is_removed).then(|| self.device.as_fd())
    }

    fn counters(&self) -> &CheckPathCounters {
        self.carrier.path().counters()
    }

    fn read_failed(&mut self, error: &io::Error) {
        if error.raw_os_error() == Some(libc::EBADFD) {
            self.is_removed = true;
            tracing::error!("the check interface was removed: checks to VIPs fail until a restart");
            self.losses
                .add("the check interface was removed".to_owned());
        }
    }
}
