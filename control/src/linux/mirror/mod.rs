//! Mirrors what Linux knows about the twins: links, addresses, routes, neighbours.
//!
//! ```text
//!   kernel --multicast--> [mirror thread: view] --batches of events--> listener
//!          <----dump-----
//! ```
//!
//! The thread subscribes first and then reads everything, so nothing is missed in between. It
//! compares before it tells: after notifications were lost (`ENOBUFS`), or when Linux changes
//! something it does not report in full, everything is read again and only the differences are
//! told. A listener that is slow holds the thread back, and the kernel's bounded buffer takes the
//! rest: nothing grows without limit.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dataplane::counters::Counter;
use netlink_packet_core::{NLM_F_REPLACE, NetlinkPayload};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::sync::mpsc;

use self::view::Trust;
use super::netlink::{Messages, receive};
use super::twin::TwinLink;

/// What the mirror tells its listener.
mod event;
/// Turns rtnetlink messages into facts.
mod fact;
/// Everything Linux knows, read when somebody asks.
mod picture;
/// What Linux knows, and how it changes.
mod view;

pub use self::event::{InterfaceAddress, MirrorEvent, NextHop, Prefix, Route, RouteTarget};
pub use self::picture::Picture;

/// The main routing table (`RT_TABLE_MAIN`).
pub const MAIN_TABLE: u32 = 254;

/// Events after which a batch is handed over though more are waiting.
const BATCH_EVENTS: usize = 1024;

/// The kernel's buffer for notifications; it grants at most `net.core.rmem_max`.
const NOTIFICATION_BUFFER_BYTES: u32 = 4 << 20;

/// How long after its cause everything is read again: causes come in swarms.
const RESYNC_DELAY: Duration = Duration::from_millis(50);

/// Between two full readings pass at least this many times the duration of one.
const RESYNC_REST: u32 = 4;

/// `RTNLGRP_LINK`, `NEIGH`, `IPV4_IFADDR`, `IPV4_ROUTE`, `IPV6_IFADDR`, `IPV6_ROUTE`
/// (`linux/rtnetlink.h`).
const GROUPS: [u32; 6] = [1, 3, 5, 7, 9, 11];

/// What the mirror counts about itself.
#[derive(Debug, Default)]
pub struct MirrorCounters {
    /// Events told.
    pub events: Counter,
    /// Times everything was read again.
    pub resyncs: Counter,
    /// Times the kernel lost notifications because they were not read in time.
    pub overruns: Counter,
    /// Addresses that Linux has on the twins (a gauge, as the next two).
    pub addresses: Counter,
    /// Prefixes that Linux has a route to, in the tables that are looked at.
    pub routes: Counter,
    /// Neighbours that Linux has resolved.
    pub neighbours: Counter,
    /// When something changed last, in milliseconds since 1970.
    pub changed_at: Counter,
}

/// The running mirror. Dropping it ends its thread.
pub struct Mirror {
    counters: Arc<MirrorCounters>,
    /// Closing it wakes the thread, which then ends.
    _stop: UnixStream,
}

impl Mirror {
    /// Starts to mirror `twins` and the routing `tables` (first looked at first) of the calling
    /// thread's network namespace into `listener`.
    ///
    /// Linux looks a destination up in one table after the other; the mirror merges them, and
    /// for the same prefix the first table wins. The batch with [`MirrorEvent::Synchronised`]
    /// completes the first picture. The channel closes if the mirror fails.
    ///
    /// # Errors
    ///
    /// When a socket or thread cannot be made.
    pub fn start(
        twins: &[TwinLink],
        tables: &[u32],
        listener: mpsc::Sender<Vec<MirrorEvent>>,
    ) -> io::Result<Self> {
        let (stop, stopped) = UnixStream::pair()?;
        let counters = Arc::new(MirrorCounters::default());
        let mut reflector = Reflector {
            picture: Picture::new(twins, tables)?,
            notifications: subscribe()?,
            buffer: Vec::new(),
            listener,
            counters: Arc::clone(&counters),
            resync_at: Some(Instant::now()),
            rest_until: Instant::now(),
        };
        std::thread::Builder::new()
            .name("sluice-mirror".to_owned())
            .spawn(move || match reflector.run(&stopped) {
                Ok(()) => {}
                Err(error) => tracing::error!("the mirror of Linux's routes has failed: {error}"),
            })?;
        Ok(Self {
            counters,
            _stop: stop,
        })
    }

    /// What it counts about itself.
    #[must_use]
    pub const fn counters(&self) -> &Arc<MirrorCounters> {
        &self.counters
    }
}

fn subscribe() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    let groups = GROUPS.iter().fold(0, |mask, group| mask | 1 << (group - 1));
    socket.bind(&SocketAddr::new(0, groups))?;
    socket.set_non_blocking(true)?;
    socket.set_rx_buf_sz(NOTIFICATION_BUFFER_BYTES)?;
    Ok(socket)
}

/// The state of the thread.
struct Reflector {
    picture: Picture,
    notifications: Socket,
    buffer: Vec<u8>,
    listener: mpsc::Sender<Vec<MirrorEvent>>,
    counters: Arc<MirrorCounters>,
    /// When everything is to be read again, if it is.
    resync_at: Option<Instant>,
    /// Until when the next full reading has to wait.
    rest_until: Instant,
}

/// Why the thread goes on or ends.
#[derive(PartialEq, Eq)]
enum Listener {
    Listens,
    Left,
}

impl Reflector {
    fn run(&mut self, stopped: &UnixStream) -> io::Result<()> {
        loop {
            if self.wait(stopped)? == Listener::Left {
                return Ok(());
            }
            let events = self.read_batch()?;
            if self.tell(events) == Listener::Left {
                return Ok(());
            }
            // After the notifications, or they would tell the past once more.
            if self.resync_at.is_some_and(|at| at <= Instant::now()) {
                let events = self.resync()?;
                if self.tell(events) == Listener::Left {
                    return Ok(());
                }
            }
        }
    }

    /// Waits for notifications, a resync that is due, or the end.
    fn wait(&self, stopped: &UnixStream) -> io::Result<Listener> {
        let timeout = match self.resync_at {
            // Rounded up, so as not to spin through the last millisecond.
            Some(at) => {
                let left = at.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
                PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
            }
            None => PollTimeout::NONE,
        };
        let mut fds = [
            PollFd::new(self.notifications.as_fd(), PollFlags::POLLIN),
            PollFd::new(stopped.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        Ok(match fds[1].any() {
            Some(true) => Listener::Left,
            _ => Listener::Listens,
        })
    }

    /// Takes in the notifications that are waiting.
    fn read_batch(&mut self) -> io::Result<Vec<MirrorEvent>> {
        let mut events = Vec::new();
        while events.len() < BATCH_EVENTS {
            match receive(&self.notifications, &mut self.buffer) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                    self.discard_notifications()?;
                    self.ask_resync();
                    break;
                }
                Err(error) => return Err(error),
            }
            self.take_in(&mut events);
        }
        Ok(events)
    }

    /// Empties the kernel's buffer after it ran over. Until it is empty Linux throws away every
    /// notification without reporting that again, so a reading begun earlier could miss some.
    fn discard_notifications(&mut self) -> io::Result<()> {
        self.counters.overruns.add(1);
        loop {
            match receive(&self.notifications, &mut self.buffer) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn take_in(&mut self, events: &mut Vec<MirrorEvent>) {
        let mut trust_lost = false;
        for message in Messages(&self.buffer) {
            let NetlinkPayload::InnerMessage(inner) = &message.payload else {
                continue;
            };
            if let Some(fact) = self.picture.scope.fact(inner) {
                let replaces = message.header.flags & NLM_F_REPLACE != 0;
                let view = &mut self.picture.view;
                trust_lost |= view.apply(fact, replaces, events) == Trust::Lost;
            }
        }
        if trust_lost {
            self.ask_resync();
        }
    }

    fn ask_resync(&mut self) {
        let soon = (Instant::now() + RESYNC_DELAY).max(self.rest_until);
        self.resync_at.get_or_insert(soon);
    }

    /// Reads everything and tells what differs.
    fn resync(&mut self) -> io::Result<Vec<MirrorEvent>> {
        let began = Instant::now();
        let mut events = self.picture.look()?;
        events.push(MirrorEvent::Synchronised);
        self.counters.resyncs.add(1);
        self.resync_at = None;
        self.rest_until = Instant::now() + began.elapsed() * RESYNC_REST;
        tracing::debug!(events = events.len(), took = ?began.elapsed(), "read Linux's tables");
        Ok(events)
    }

    fn count(&self, events: &[MirrorEvent]) {
        let [addresses, routes, neighbours] = self.picture.view.sizes();
        self.counters.addresses.set(addresses as u64);
        self.counters.routes.set(routes as u64);
        self.counters.neighbours.set(neighbours as u64);
        self.counters.events.add(events.len() as u64);
        if events.iter().any(|it| *it != MirrorEvent::Synchronised) {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            let millis = now.unwrap_or_default().as_millis();
            let millis = u64::try_from(millis).unwrap_or(u64::MAX);
            self.counters.changed_at.set(millis);
        }
    }

    fn tell(&self, events: Vec<MirrorEvent>) -> Listener {
        if events.is_empty() {
            return Listener::Listens;
        }
        self.count(&events);
        match self.listener.blocking_send(events) {
            Ok(()) => Listener::Listens,
            Err(_) => Listener::Left,
        }
    }
}
