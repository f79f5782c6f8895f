//! The thread that moves frames between the twins and the data plane.
//!
//! ```text
//!   punt rings --receive_punted--> [pump] --write--> TAP --> Linux
//!   inject ring <-----inject------ [pump] <--read--- TAP <-- Linux
//! ```
//!
//! The packets of checks to VIPs go through it too, between the rings and the check interface.
//!
//! Workers cannot wake anybody without a system call, so the rings are looked at on every turn;
//! when nothing moves, turns become rarer (100 µs, doubling up to 1 ms), and a frame from Linux
//! ends a wait at once.

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_queue::ArrayQueue;
use dataplane::counters::Counter;
use dataplane::id::InterfaceId;
use dataplane::punt::TwinPort;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use super::check_lane::CheckLane;
use super::losses::Losses;
use super::twin::{MAX_FRAME_BYTES, Twin, TwinLink};

/// The first wait after activity, and the longest one.
const SHORTEST_WAIT: Duration = Duration::from_micros(100);
const LONGEST_WAIT: Duration = Duration::from_millis(1);

/// Frames read from one TAP before the others get their turn.
const READS_PER_TURN: usize = 64;

/// Frames of the gateway's own (gratuitous ARP) that may wait to be sent.
const ANNOUNCEMENT_SLOTS: usize = 4096;

/// What the pump counts about one twin.
#[derive(Debug, Default)]
pub struct TwinCounters {
    /// Frames given to Linux.
    pub frames_to_linux: Counter,
    /// Frames Linux would not take, for instance because the twin is set down.
    pub frames_to_linux_failed: Counter,
    /// Frames taken from Linux and given to a worker.
    pub frames_from_linux: Counter,
    /// Frames from Linux that no worker had room for.
    pub frames_from_linux_failed: Counter,
    /// Failures to read from the twin.
    pub read_failures: Counter,
    /// 1 once the interface was removed while the gateway ran, which ends its service.
    pub removed: Counter,
}

/// A twin joined with its end of the data plane's rings.
struct Lane {
    twin: Twin,
    port: Box<dyn TwinPort>,
    counters: Arc<TwinCounters>,
    losses: Losses,
}

/// Sends Ethernet frames out of an interface as if Linux had sent them on its twin.
#[derive(Clone, Debug)]
pub struct FrameSender(Arc<ArrayQueue<Announcement>>);

/// A frame to be sent more than once.
#[derive(Debug)]
struct Announcement {
    interface: InterfaceId,
    frame: Vec<u8>,
    due: Instant,
    repeats: u32,
    gap: Duration,
}

impl FrameSender {
    /// Sends `frame` now and `repeats` times more, `gap` apart. False when too many frames are
    /// waiting already.
    #[must_use]
    pub fn send(
        &self,
        interface: InterfaceId,
        frame: Vec<u8>,
        repeats: u32,
        gap: Duration,
    ) -> bool {
        let announcement = Announcement {
            interface,
            frame,
            due: Instant::now(),
            repeats,
            gap,
        };
        self.0.push(announcement).is_ok()
    }
}

/// The running thread. Dropping it stops the thread and closes the twins.
pub struct Pump {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    sender: FrameSender,
    counters: Vec<(TwinLink, Arc<TwinCounters>)>,
    losses: Losses,
}

impl Pump {
    /// Starts moving frames between `twins` and the ports of the same interfaces, and the packets
    /// of checks.
    ///
    /// # Errors
    ///
    /// When a twin and a port do not pair up (`InvalidInput`), or no thread can be started.
    pub fn start(
        twins: Vec<Twin>,
        ports: Vec<Box<dyn TwinPort>>,
        mut checks: Option<CheckLane>,
    ) -> io::Result<Self> {
        let losses = Losses::default();
        let lanes = pair(twins, ports, &losses)?;
        if let Some(checks) = &mut checks {
            checks.lose_to(losses.clone());
        }
        let counters = lanes
            .iter()
            .map(|lane| (lane.twin.link().clone(), Arc::clone(&lane.counters)))
            .collect();
        let stop = Arc::new(AtomicBool::new(false));
        let sender = FrameSender(Arc::new(ArrayQueue::new(ANNOUNCEMENT_SLOTS)));
        let worker = Turner {
            lanes,
            checks,
            stop: Arc::clone(&stop),
            inbox: sender.clone(),
            waiting: VecDeque::new(),
            buffer: vec![0; MAX_FRAME_BYTES],
        };
        let thread = std::thread::Builder::new()
            .name("sluice-twins".to_owned())
            .spawn(move || worker.run())?;
        Ok(Self {
            stop,
            thread: Some(thread),
            sender,
            counters,
            losses,
        })
    }

    /// Sends frames of the gateway's own out of its interfaces.
    #[must_use]
    pub fn sender(&self) -> FrameSender {
        self.sender.clone()
    }

    /// The twins and what is counted about each.
    #[must_use]
    pub fn counters(&self) -> &[(TwinLink, Arc<TwinCounters>)] {
        &self.counters
    }

    /// Interfaces that were removed under it.
    #[must_use]
    pub const fn losses(&self) -> &Losses {
        &self.losses
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic has told of itself.
            let _panicked = thread.join();
        }
    }
}

fn pair(
    twins: Vec<Twin>,
    mut ports: Vec<Box<dyn TwinPort>>,
    losses: &Losses,
) -> io::Result<Vec<Lane>> {
    let mut lanes = Vec::with_capacity(twins.len());
    for twin in twins {
        let wanted = twin.link().interface;
        let Some(at) = ports.iter().position(|port| port.interface() == wanted) else {
            return Err(unpaired(wanted, "has a twin but no rings"));
        };
        lanes.push(Lane {
            twin,
            port: ports.swap_remove(at),
            counters: Arc::default(),
            losses: losses.clone(),
        });
    }
    match ports.first() {
        Some(port) => Err(unpaired(port.interface(), "has rings but no twin")),
        None => Ok(lanes),
    }
}

fn unpaired(interface: InterfaceId, how: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("interface {interface} {how}"),
    )
}

/// The state of the thread.
struct Turner {
    lanes: Vec<Lane>,
    checks: Option<CheckLane>,
    stop: Arc<AtomicBool>,
    inbox: FrameSender,
    waiting: VecDeque<Announcement>,
    buffer: Vec<u8>,
}

impl Turner {
    fn run(mut self) {
        let mut wait = SHORTEST_WAIT;
        while !self.stop.load(Ordering::Relaxed) {
            if self.turn() > 0 {
                wait = SHORTEST_WAIT;
                continue;
            }
            self.sleep(wait);
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// Moves what is there, up to a bound per twin and direction; returns how many frames.
    fn turn(&mut self) -> usize {
        let mut moved = self.announce() + self.send_checks();
        for lane in &mut self.lanes {
            moved += lane.deliver_punted(self.checks.as_mut());
            moved += lane.collect_sent(&mut self.buffer);
        }
        moved
    }

    /// Sends what checks have sent, up to a bound.
    fn send_checks(&mut self) -> usize {
        let Self {
            checks,
            lanes,
            buffer,
            ..
        } = self;
        let Some(checks) = checks else {
            return 0;
        };
        checks.collect_sent(buffer, &mut |interface, frame| {
            let lane = lane_of(lanes, interface);
            lane.is_some_and(|lane| lane.port.inject(frame))
        })
    }

    /// Waits for a frame from Linux, at most `limit`.
    fn sleep(&self, limit: Duration) {
        let lanes = self.lanes.iter();
        let lanes = lanes.filter(|lane| lane.counters.removed.get() == 0);
        let checks = self.checks.as_ref().and_then(CheckLane::waits_on);
        let mut fds: Vec<PollFd<'_>> = (lanes.map(|lane| lane.twin.as_fd()))
            .chain(checks)
            .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
            .collect();
        // Interrupted or not, the next turn looks at everything anyway; and should polling ever
        // fail outright, sleeping keeps the thread from spinning.
        let outcome = ppoll(&mut fds, Some(TimeSpec::from_duration(limit)), None);
        if outcome.is_err_and(|error| error != nix::errno::Errno::EINTR) {
            std::thread::sleep(limit);
        }
    }

    /// Sends the gateway's own frames that are due.
    fn announce(&mut self) -> usize {
        while self.waiting.len() < ANNOUNCEMENT_SLOTS {
            let Some(announcement) = self.inbox.0.pop() else {
                break;
            };
            self.waiting.push_back(announcement);
        }
        if self.waiting.is_empty() {
            return 0;
        }
        let now = Instant::now();
        let mut sent = 0;
        for _ in 0..self.waiting.len() {
            let Some(mut announcement) = self.waiting.pop_front() else {
                break;
            };
            if announcement.due <= now {
                sent += usize::from(self.inject(&announcement));
                if announcement.repeats == 0 {
                    continue;
                }
                announcement.repeats -= 1;
                announcement.due = now + announcement.gap;
            }
            self.waiting.push_back(announcement);
        }
        sent
    }

    fn inject(&mut self, announcement: &Announcement) -> bool {
        let lane = lane_of(&mut self.lanes, announcement.interface);
        lane.is_some_and(|lane| lane.port.inject(&announcement.frame))
    }
}

fn lane_of(lanes: &mut [Lane], interface: InterfaceId) -> Option<&mut Lane> {
    let mut lanes = lanes.iter_mut();
    lanes.find(|lane| lane.twin.link().interface == interface)
}

impl Lane {
    /// Gives Linux what the packet path has for it, and checks what they wait for.
    fn deliver_punted(&mut self, mut checks: Option<&mut CheckLane>) -> usize {
        let Self {
            twin,
            port,
            counters,
            losses: _,
        } = self;
        port.receive_punted(&mut |frame| {
            if checks.as_mut().is_some_and(|checks| checks.take(frame)) {
                return;
            }
            match twin.write_frame(frame) {
                Ok(()) => counters.frames_to_linux.add(1),
                Err(_) => counters.frames_to_linux_failed.add(1),
            }
        })
    }

    fn collect_sent(&mut self, buffer: &mut [u8]) -> usize {
        if self.counters.removed.get() != 0 {
            return 0;
        }
        for read in 0..READS_PER_TURN {
            match self.twin.read_frame(buffer) {
                Ok(Some(len)) => self.inject(&buffer[..len]),
                Ok(None) => return read,
                Err(error) => {
                    self.read_failed(&error);
                    return read;
                }
            }
        }
        READS_PER_TURN
    }

    fn inject(&mut self, frame: &[u8]) {
        if self.port.inject(frame) {
            self.counters.frames_from_linux.add(1);
        } else {
            self.counters.frames_from_linux_failed.add(1);
        }
    }

    fn read_failed(&self, error: &io::Error) {
        self.counters.read_failures.add(1);
        if error.raw_os_error() == Some(libc::EBADFD) {
            self.counters.removed.set(1);
            let name = &self.twin.link().name;
            tracing::error!(
                "the twin {name} was removed: Linux no longer sees that ethdev until a restart"
            );
            self.losses.add(format!("the twin {name} was removed"));
        }
    }
}
