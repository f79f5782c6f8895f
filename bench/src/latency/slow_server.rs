//! A web server with a fixed service time and a fixed number of requests at once.
//!
//! Its capacity is exact: when a request is taken, its end is computed from when its place is
//! free, not from when this thread gets to it. So a late thread answers late, but the next
//! request does not start later for it, and a busy machine does not make the server slower than
//! its numbers say.
//!
//! The server closes each connection after its answer, unless it is asked to keep it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::http;
use super::reactor::Reactor;

/// How often the thread looks whether it should end.
const BREATH: Duration = Duration::from_millis(50);

/// What a server can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long each request takes.
    pub service: Duration,
    /// How many are served at the same time.
    pub at_once: usize,
    /// How many more may wait; those beyond are answered 503 at once.
    pub queue: usize,
}

impl Limits {
    /// Requests a second when there is always one waiting.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a few places")]
    pub fn capacity(&self) -> f64 {
        self.at_once as f64 / self.service.as_secs_f64()
    }
}

/// When each of the places that serve is free again.
#[derive(Clone, Debug)]
struct Places {
    limits: Limits,
    free_at: BinaryHeap<Reverse<Instant>>,
}

impl Places {
    fn new(limits: Limits, now: Instant) -> Self {
        Self {
            limits,
            free_at: std::iter::repeat_n(Reverse(now), limits.at_once).collect(),
        }
    }

    /// When a request that comes `now` will have been served; none when too many wait, of which
    /// there are `inside` with those being served.
    fn admit(&mut self, now: Instant, inside: usize) -> Option<Instant> {
        if inside >= self.limits.at_once + self.limits.queue {
            return None;
        }
        let Reverse(free) = self.free_at.pop()?;
        let end = free.max(now) + self.limits.service;
        self.free_at.push(Reverse(end));
        Some(end)
    }
}

/// A running server; it ends when dropped.
#[derive(Debug)]
pub struct SlowServer {
    port: u16,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl SlowServer {
    /// Starts one in the network namespace of the calling thread, on all its addresses and
    /// `port`, or a free one for 0. It answers its `name`.
    ///
    /// # Errors
    ///
    /// When the port is taken.
    pub fn start(name: &str, port: u16, limits: Limits) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let stop = Arc::new(AtomicBool::new(false));
        let mut work = Work::new(listener, name, limits)?;
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name(format!("slow-{name}"))
            .spawn(move || {
                while !stopped.load(Ordering::Relaxed) {
                    if let Err(error) = work.turn() {
                        eprintln!("{}: cannot go on serving: {error}", work.name);
                        return;
                    }
                }
            })?;
        Ok(Self {
            port,
            stop,
            thread: Some(thread),
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for SlowServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

struct Work {
    name: String,
    listener: TcpListener,
    reactor: Reactor,
    connections: Vec<Option<(TcpStream, Vec<u8>)>>,
    free: Vec<usize>,
    places: Places,
    /// Connections whose answer is due, with the time.
    due: BinaryHeap<Reverse<(Instant, usize)>>,
}

impl Work {
    /// The listener's place in the reactor; connections have the places behind.
    const LISTENER: usize = 0;

    fn new(listener: TcpListener, name: &str, limits: Limits) -> io::Result<Self> {
        let reactor = Reactor::new()?;
        reactor.watch(&listener, Self::LISTENER)?;
        Ok(Self {
            name: name.to_owned(),
            listener,
            reactor,
            connections: Vec::new(),
            free: Vec::new(),
            places: Places::new(limits, Instant::now()),
            due: BinaryHeap::new(),
        })
    }

    fn turn(&mut self) -> io::Result<()> {
        let breath = Instant::now() + BREATH;
        let next = self
            .due
            .peek()
            .map_or(breath, |Reverse((at, _))| breath.min(*at));
        let mut changed = Vec::new();
        self.reactor.wait(next, &mut changed)?;
        for place in changed {
            match place.checked_sub(Self::LISTENER + 1) {
                None => self.accept()?,
                Some(connection) => self.read(connection),
            }
        }
        while let Some(Reverse((at, connection))) = self.due.peek().copied() {
            if at > Instant::now() {
                break;
            }
            self.due.pop();
            self.answer(connection, "200 OK");
        }
        Ok(())
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                // A client that gave up before it was accepted.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error),
            };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let place = self.free.pop().unwrap_or(self.connections.len());
            self.reactor.watch(&stream, place + Self::LISTENER + 1)?;
            if place == self.connections.len() {
                self.connections.push(None);
            }
            self.connections[place] = Some((stream, Vec::new()));
        }
    }

    /// Takes in what a client sent; a whole request is admitted or turned away.
    fn read(&mut self, place: usize) {
        let Some((stream, request)) = &mut self.connections[place] else {
            return;
        };
        let had_request = http::header_end(request).is_some();
        let mut buffer = [0; 2048];
        loop {
            match stream.read(&mut buffer) {
                // A client that leaves early still costs its service, as a real one would.
                Ok(0) if had_request => return,
                Ok(length) if length > 0 => request.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                _ if had_request => return,
                _ => return self.close(place),
            }
        }
        if had_request || http::header_end(request).is_none() {
            return;
        }
        match self.places.admit(Instant::now(), self.due.len()) {
            Some(end) => self.due.push(Reverse((end, place))),
            None => self.answer(place, "503 Service Unavailable"),
        }
    }

    fn answer(&mut self, place: usize, status: &str) {
        let Some((stream, request)) = &mut self.connections[place] else {
            return;
        };
        let kept = request.windows(10).any(|word| word == b"keep-alive");
        let close = if kept { "" } else { "Connection: close\r\n" };
        let length = self.name.len() + 1;
        let answer = format!(
            "HTTP/1.1 {status}\r\n{close}Content-Length: {length}\r\n\r\n{}\n",
            self.name
        );
        // A client that left has lost its answer, which it will count itself.
        let sent = stream.write(answer.as_bytes());
        if kept && sent.is_ok() {
            request.clear();
        } else {
            self.close(place);
        }
    }

    fn close(&mut self, place: usize) {
        self.connections[place] = None;
        self.free.push(place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        service: Duration::from_millis(10),
        at_once: 2,
        queue: 1,
    };

    #[test]
    fn requests_beyond_the_places_wait_for_one_and_those_beyond_the_queue_are_turned_away() {
        let now = Instant::now();
        let mut places = Places::new(LIMITS, now);
        let after = |millis| Some(now + Duration::from_millis(millis));

        assert_eq!(places.admit(now, 0), after(10));
        assert_eq!(places.admit(now, 1), after(10));
        assert_eq!(places.admit(now, 2), after(20));
        assert_eq!(places.admit(now, 3), None);
    }

    #[test]
    fn a_place_that_was_free_for_long_starts_now_and_not_then() {
        let now = Instant::now();
        let mut places = Places::new(LIMITS, now);
        let later = now + Duration::from_secs(1);

        assert_eq!(places.admit(later, 0), Some(later + LIMITS.service));
    }

    #[test]
    fn the_capacity_is_places_over_service_time() {
        assert!((LIMITS.capacity() - 200.0).abs() < 1e-9);
    }
}
