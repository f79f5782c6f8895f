//! The data plane in memory, beside a Linux that says where its interfaces lead, with a clock
//! that the scenario turns.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use control::gateway::{Ledger, Mirrored};
use control::ipvs::Counters;
use control::linux::mirror::{MAIN_TABLE, MirrorEvent, Picture};
use control::linux::twin::TwinLink;
use dataplane::address::Address;
use dataplane::editor::Editor;
use dataplane::id::InterfaceId;
use dataplane::io::memory::MemoryPacket;
use dataplane::testing::{Setup, TestGateway};

use super::network;
use crate::outcome::{Input, Outcome, Output};

/// Time passes in pieces of at most this, so that what happens at a time-out happens then.
const STEP: Duration = Duration::from_millis(500);

/// What the daemon does about once a second is done once a second.
const SECOND: Duration = Duration::from_secs(1);

/// A veth takes frames of the MTU, an Ethernet header and a VLAN tag.
const VETH_OVERHEAD: usize = 18;

/// The gateway that plays.
pub(super) struct Director {
    gateway: TestGateway,
    workers: usize,
    links: Vec<TwinLink>,
    picture: Picture,
    /// Addresses on `lo`; routes through it are Linux's own.
    loopback: Picture,
    mirrored: Mirrored,
    /// What servers counted that are gone.
    ledger: Ledger,
    /// Since the gateway started.
    now: Duration,
    /// When the play began, likewise.
    began: Duration,
    /// Frames the scenario has played.
    played: usize,
}

impl Director {
    /// A gateway between these interfaces, with what Linux says of them.
    pub(super) fn new(
        links: Vec<TwinLink>,
        loopback: TwinLink,
        workers: u16,
        sessions: usize,
    ) -> io::Result<Self> {
        let setup = Setup::bare(network::interfaces(&links));
        let setup = setup.workers(workers).sessions(sessions);
        Ok(Self {
            gateway: setup.start(),
            workers: workers.into(),
            picture: Picture::new(&links, &[MAIN_TABLE])?,
            loopback: Picture::new(&[loopback], &[])?,
            links,
            mirrored: Mirrored::default(),
            ledger: Ledger::default(),
            now: Duration::ZERO,
            began: Duration::ZERO,
            played: 0,
        })
    }

    /// The data plane, with its editor.
    pub(super) const fn gateway(&mut self) -> &mut TestGateway {
        &mut self.gateway
    }

    /// Where the data plane counts.
    pub(super) fn counters(&self) -> Counters<'_> {
        Counters {
            snapshot: self.gateway.state(),
            ledger: &self.ledger,
        }
    }

    /// The addresses of the interfaces, with their prefix lengths.
    pub(super) fn addresses(&self) -> impl Iterator<Item = (IpAddr, u8)> {
        let all = self.mirrored.addresses().values().flatten();
        all.map(|it| (it.addr, it.prefix_len))
    }

    /// Since the play began.
    pub(super) fn played_for(&self) -> Duration {
        self.now - self.began
    }

    /// Starts the play's clock; what came out before does not count.
    pub(super) fn begin(&mut self, outcome: &mut Outcome) {
        self.began = self.now;
        self.gather(outcome);
        outcome.frames.clear();
        outcome.punted.clear();
    }

    /// The number of an interface.
    pub(super) fn interface(&self, name: &str) -> Option<InterfaceId> {
        let link = self.links.iter().find(|link| link.name == name);
        link.map(|link| link.interface)
    }

    /// Changes the configuration; all workers adopt it.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Editor)) {
        self.gateway.change(change);
        self.gateway.settle();
    }

    /// Takes over what Linux says now of the interfaces.
    pub(super) fn mirror(&mut self, outcome: &mut Outcome) -> io::Result<()> {
        let mut events = self.picture.look()?;
        events.extend(self.loopback.look()?);
        if events.is_empty() {
            return Ok(());
        }
        for event in &events {
            if let MirrorEvent::LinkChanged {
                interface, mac, up, ..
            } = event
                && let Some(link) = self.links.get(interface.index())
                && (link.mac != *mac || !up)
            {
                let reason = format!("{} was set down or got another MAC", link.name);
                outcome.not_comparable.push(reason);
            }
        }
        let mirrored = &mut self.mirrored;
        self.gateway.change(|editor| {
            for event in &events {
                mirrored.apply(event, editor);
            }
        });
        self.gather(outcome);
        Ok(())
    }

    /// Lets a frame arrive, and everything that follows from it happen.
    pub(super) fn receive(&mut self, interface: InterfaceId, frame: &[u8], outcome: &mut Outcome) {
        outcome.inputs.push(Input {
            nanos: nanos(self.played_for()),
            interface: self.links[interface.index()].name.clone(),
            frame: frame.to_vec(),
        });
        // By turns, so that with several workers most frames meet one that has to hand them on.
        let worker = self.played % self.workers;
        self.played += 1;
        let known = self.gateway.state().interfaces.get(interface);
        let mtu = known.map_or(0, |known| usize::from(known.mtu));
        if frame.len() <= mtu + VETH_OVERHEAD {
            let packet = MemoryPacket::new(frame);
            self.gateway.receive_at(worker, interface.0, packet);
        }
        self.gather(outcome);
    }

    /// Lets time pass, and tells `second` of each second that the gateway has run.
    pub(super) fn wait(
        &mut self,
        time: Duration,
        outcome: &mut Outcome,
        mut second: impl FnMut(&Self, u64),
    ) {
        let end = self.now + time;
        while self.now < end {
            let into_second = Duration::from_nanos(self.now.subsec_nanos().into());
            let step = STEP.min(SECOND - into_second).min(end - self.now);
            self.gateway.advance(step);
            self.now += step;
            if self.now.subsec_nanos() == 0 {
                self.collect();
                second(self, self.now.as_secs());
            }
            self.gather(outcome);
        }
        self.let_expire();
        self.gather(outcome);
    }

    /// Notes at the end what the data plane lacked that the kernel has.
    pub(super) fn finish(&mut self, outcome: &mut Outcome) {
        while let Some(wanted) = self.gateway.wanted() {
            let link = self.links.get(wanted.interface.index());
            let name = link.map_or("an unknown interface", |link| link.name.as_str());
            let reason = format!("the MAC of {} on {name} is not said", wanted.addr.to_ip());
            outcome.not_comparable.push(reason);
        }
        let suppressed = self
            .gateway
            .sum(|counters| &counters.icmp_errors_suppressed);
        if suppressed > 0 {
            let reason = format!("{suppressed} ICMP errors were above the gateway's limit");
            outcome.not_comparable.push(reason);
        }
    }

    /// Frees what removed servers held, and remembers what was counted about them.
    fn collect(&mut self) {
        let before = self.gateway.state().clone();
        self.gateway.collect_at(self.now);
        self.ledger.close(&before, self.gateway.state());
    }

    /// Lets all end whose time is over: a turn ends a bounded number of sessions.
    fn let_expire(&mut self) {
        loop {
            let expired = self.gateway.sum(|counters| &counters.sessions_expired);
            for _ in 0..4 {
                self.gateway.turn();
            }
            if self.gateway.sum(|counters| &counters.sessions_expired) == expired {
                return;
            }
        }
    }

    /// Takes what left and what was given to Linux.
    pub(super) fn gather(&mut self, outcome: &mut Outcome) {
        let (after, nanos) = (self.played.checked_sub(1), nanos(self.played_for()));
        for link in &self.links {
            let output = |frame| Output {
                after,
                nanos,
                interface: link.name.clone(),
                frame,
            };
            let sent = self.gateway.sent(link.interface.0);
            outcome.frames.extend(sent.into_iter().map(output));
            let punted = self.gateway.punted(link.interface);
            outcome.punted.extend(punted.into_iter().map(output));
        }
    }
}

/// Nanoseconds; a scenario of more than 500 years ends there.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
