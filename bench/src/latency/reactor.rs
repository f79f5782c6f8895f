//! Waits for sockets and for a moment, whichever comes first.
//!
//! The moment is a timer of the kernel's own (timerfd), because time-outs of `epoll_wait` count
//! in milliseconds and sleeps come late by the thread's timer slack of 50 µs.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;
use nix::sys::timer::{Expiration, TimerSetTimeFlags};
use nix::sys::timerfd::{ClockId, TimerFd, TimerFlags};

/// What the timer's readiness is called; no place of a socket is as large.
const TIMER: u64 = u64::MAX;

/// Sockets and a timer to wait for.
#[derive(Debug)]
pub struct Reactor {
    epoll: Epoll,
    timer: TimerFd,
    armed_for: Option<Instant>,
    events: Vec<EpollEvent>,
}

impl Reactor {
    /// Waits for nothing yet.
    ///
    /// # Errors
    ///
    /// When no file descriptor is left.
    pub fn new() -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
        epoll.add(&timer, EpollEvent::new(EpollFlags::EPOLLIN, TIMER))?;
        Ok(Self {
            epoll,
            timer,
            armed_for: None,
            events: vec![EpollEvent::empty(); 256],
        })
    }

    /// Reports `socket` as `place` whenever something has changed about it. It is forgotten when
    /// it is closed.
    ///
    /// # Errors
    ///
    /// When the kernel refuses it.
    pub fn watch(&self, socket: &impl AsFd, place: usize) -> io::Result<()> {
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLET;
        let event = EpollEvent::new(flags, u64::try_from(place).unwrap_or(TIMER));
        Ok(self.epoll.add(socket, event)?)
    }

    /// Waits until something has changed or `until` has come, and puts the places of what has
    /// changed into `places`.
    ///
    /// # Errors
    ///
    /// When the kernel refuses to wait.
    pub fn wait(&mut self, until: Instant, places: &mut Vec<usize>) -> io::Result<()> {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = if left.is_zero() {
            EpollTimeout::ZERO
        } else {
            self.arm(until, left)?;
            EpollTimeout::NONE
        };
        let count = match self.epoll.wait(&mut self.events, timeout) {
            Err(nix::errno::Errno::EINTR) => 0,
            other => other?,
        };
        places.clear();
        for event in &self.events[..count] {
            match event.data() {
                // Setting it anew takes the readiness back.
                TIMER => self.armed_for = None,
                place => places.extend(usize::try_from(place)),
            }
        }
        Ok(())
    }

    fn arm(&mut self, until: Instant, left: Duration) -> io::Result<()> {
        if self.armed_for != Some(until) {
            let once = Expiration::OneShot(TimeSpec::from_duration(left));
            self.timer.set(once, TimerSetTimeFlags::empty())?;
            self.armed_for = Some(until);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_wait_ends_at_its_time_and_not_before() {
        let mut reactor = Reactor::new().expect("there are descriptors");
        let mut places = vec![7];

        for _ in 0..3 {
            let until = Instant::now() + Duration::from_millis(5);
            reactor.wait(until, &mut places).expect("it can wait");
            assert!(Instant::now() >= until);
            assert!(places.is_empty());
        }
    }

    #[test]
    fn a_socket_with_news_ends_the_wait() {
        let mut reactor = Reactor::new().expect("there are descriptors");
        let (near, mut far) = UnixStream::pair().expect("there are descriptors");
        let mut places = Vec::new();
        reactor.watch(&near, 3).expect("it is a socket");
        let far_away = Instant::now() + Duration::from_secs(60);
        reactor.wait(far_away, &mut places).expect("it is writable");

        far.write_all(b"x").expect("it has room");
        reactor.wait(far_away, &mut places).expect("it can wait");

        assert_eq!(places, [3]);
    }
}
