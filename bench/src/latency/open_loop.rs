//! Asks by schedule, whatever the answers do.
//!
//! One thread, because with two cores a second one would only take turns with it. A request that
//! finds all kept connections busy waits for one, and its wait counts: it was due.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use super::connection::Connection;
use super::failure::Failure;
use super::http;
use super::reactor::Reactor;
use super::schedule::{Due, Load, Schedule};
use super::sources::Sources;

/// How long after its window an answer may still come.
const GRACE: Duration = Duration::from_secs(5);

/// From the end of the preparations to the first request.
const LEAD: Duration = Duration::from_millis(20);

/// Response times of one window, in nanoseconds from when each request was due.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Of requests on kept connections.
    pub kept: Vec<u64>,
    /// Of requests that made a connection, which counts.
    pub opened: Vec<u64>,
    /// How late the generator got to requests: its own share of the response times, whatever the
    /// path does.
    pub late: Vec<u64>,
}

/// Puts `load` on `target`, each of whose answers must be `expected`, with connections from
/// `sources`; to be called in the client's network namespace.
///
/// # Errors
///
/// When one request is not answered, or not with 200 and `expected`.
pub fn run(
    target: SocketAddrV4,
    expected: &[u8],
    sources: &mut Sources,
    load: Load,
) -> Result<Outcome, Failure> {
    let mut open_loop = OpenLoop::prepare(target, expected, sources, load)
        .map_err(Failure::machine("prepare the connections"))?;
    open_loop.run(load)?;
    Ok(open_loop.outcome)
}

struct OpenLoop<'a> {
    target: SocketAddrV4,
    expected: &'a [u8],
    sources: &'a mut Sources,
    reactor: Reactor,
    places: Vec<Place>,
    /// Places of kept connections without a request.
    idle: Vec<usize>,
    /// Places without a connection.
    free: Vec<usize>,
    /// Requests that are due but found no idle connection.
    waiting: VecDeque<Due>,
    unanswered: u32,
    outcome: Outcome,
}

#[derive(Default)]
struct Place {
    connection: Option<Connection>,
    /// The request on it.
    asked: Option<Due>,
}

impl<'a> OpenLoop<'a> {
    /// Makes the kept connections; they ask for the first time in [`Self::warm_up`].
    fn prepare(
        target: SocketAddrV4,
        expected: &'a [u8],
        sources: &'a mut Sources,
        load: Load,
    ) -> io::Result<Self> {
        let mut open_loop = OpenLoop {
            target,
            expected,
            sources,
            reactor: Reactor::new()?,
            places: Vec::new(),
            idle: Vec::new(),
            free: Vec::new(),
            waiting: VecDeque::new(),
            unanswered: 0,
            outcome: Outcome::default(),
        };
        for _ in 0..load.kept {
            let place = open_loop.connect()?;
            open_loop.idle.push(place);
        }
        Ok(open_loop)
    }

    fn run(&mut self, load: Load) -> Result<(), Failure> {
        self.warm_up(load)?;
        self.outcome = Outcome::default();
        let mut schedule = Schedule::new(Instant::now() + LEAD, load);
        self.follow(&mut schedule)
    }

    /// Asks once on every kept connection, so that all are made, and as often on new ones, so that
    /// every table on the way knows the way.
    fn warm_up(&mut self, load: Load) -> Result<(), Failure> {
        for opens in [false, true] {
            for _ in 0..load.kept {
                let at = Instant::now();
                self.ask(Due { at, opens })?;
            }
        }
        let none = Load {
            window: Duration::ZERO,
            ..load
        };
        self.follow(&mut Schedule::new(Instant::now(), none))
    }

    /// Sends what the schedule says and waits for all the answers.
    fn follow(&mut self, schedule: &mut Schedule) -> Result<(), Failure> {
        let mut places = Vec::new();
        let mut deadline = Instant::now() + GRACE;
        loop {
            while let Some(due) = schedule.peek().filter(|due| due.at <= Instant::now()) {
                self.ask(due)?;
                schedule.next();
                deadline = due.at + GRACE;
            }
            let next = schedule.peek().map(|due| due.at);
            if next.is_none() && self.unanswered == 0 {
                return Ok(());
            }
            if next.is_none() && Instant::now() > deadline {
                let reason = format!("{} requests had no answer in {GRACE:?}", self.unanswered);
                return Err(self.failed(reason));
            }
            self.reactor
                .wait(next.unwrap_or(deadline), &mut places)
                .map_err(Failure::machine("wait for answers"))?;
            for place in places.drain(..) {
                self.advance(place)?;
            }
        }
    }

    fn ask(&mut self, due: Due) -> Result<(), Failure> {
        self.unanswered += 1;
        self.outcome.late.push(nanos_since(due.at));
        let place = if due.opens {
            self.connect()
                .map_err(|error| self.failed(error.to_string()))?
        } else if let Some(place) = self.idle.pop() {
            place
        } else {
            self.waiting.push_back(due);
            return Ok(());
        };
        self.send(place, due)
    }

    fn send(&mut self, place: usize, due: Due) -> Result<(), Failure> {
        let request = http::request(self.target, !due.opens);
        if let Some(connection) = &mut self.places[place].connection {
            connection.ask(&request);
        }
        self.places[place].asked = Some(due);
        self.advance(place)
    }

    /// Goes on with the request of a place, if it has one.
    fn advance(&mut self, place: usize) -> Result<(), Failure> {
        let Some(due) = self.places[place].asked else {
            return Ok(());
        };
        let Some(connection) = &mut self.places[place].connection else {
            return Ok(());
        };
        match connection.advance() {
            Ok(false) => return Ok(()),
            Ok(true) => {}
            Err(error) => {
                let kind = if due.opens { "new" } else { "kept" };
                return Err(self.failed(format!("on a {kind} connection: {error}")));
            }
        }
        let took = nanos_since(due.at);
        if connection.answer() != Some((200, self.expected)) {
            let answer = connection
                .answer()
                .map(|(status, body)| (status, String::from_utf8_lossy(body).into_owned()));
            let expected = String::from_utf8_lossy(self.expected).into_owned();
            return Err(self.failed(format!("answered {answer:?} instead of {expected:?}")));
        }
        self.unanswered -= 1;
        self.places[place].asked = None;
        if due.opens {
            self.outcome.opened.push(took);
            self.places[place].connection = None;
            self.free.push(place);
            return Ok(());
        }
        self.outcome.kept.push(took);
        match self.waiting.pop_front() {
            Some(due) => self.send(place, due),
            None => {
                self.idle.push(place);
                Ok(())
            }
        }
    }

    /// A place with a connection that is being made.
    fn connect(&mut self) -> io::Result<usize> {
        let connection = Connection::open(self.sources.take(), self.target)?;
        let place = self.free.pop().unwrap_or(self.places.len());
        self.reactor.watch(connection.stream(), place)?;
        if place == self.places.len() {
            self.places.push(Place::default());
        }
        self.places[place].connection = Some(connection);
        Ok(place)
    }

    const fn failed(&self, reason: String) -> Failure {
        Failure::Request {
            target: self.target,
            reason,
        }
    }
}

fn nanos_since(moment: Instant) -> u64 {
    u64::try_from(moment.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::slow_server::{Limits, SlowServer};
    use super::*;

    const LOOPBACK: std::net::Ipv4Addr = std::net::Ipv4Addr::LOCALHOST;

    fn limits(service_ms: u64, at_once: usize) -> Limits {
        Limits {
            service: Duration::from_millis(service_ms),
            at_once,
            queue: 1_000,
        }
    }

    #[test]
    fn every_request_is_answered_and_counted_from_when_it_was_due() {
        let server = SlowServer::start("tester", 0, limits(1, 100)).expect("the loopback is up");
        let load = Load {
            rate: 200,
            window: Duration::from_millis(200),
            new_every: 4,
            kept: 8,
        };

        let target = SocketAddrV4::new(LOOPBACK, server.port());
        let outcome =
            run(target, b"tester\n", &mut Sources::default(), load).expect("all are answered");

        assert_eq!((outcome.kept.len(), outcome.opened.len()), (30, 10));
        assert_eq!(outcome.late.len(), 40);
        let all = outcome.kept.iter().chain(&outcome.opened);
        assert!(all.clone().all(|nanos| *nanos >= 1_000_000), "{outcome:?}");
    }

    #[test]
    fn a_server_that_stalls_shows_in_the_requests_that_were_due_meanwhile() {
        // One at a time in 20 ms, asked every 10 ms: each request waits 10 ms longer.
        let server = SlowServer::start("tester", 0, limits(20, 1)).expect("the loopback is up");
        let load = Load {
            rate: 100,
            window: Duration::from_millis(200),
            new_every: 1_000,
            kept: 1,
        };

        let target = SocketAddrV4::new(LOOPBACK, server.port());
        let outcome =
            run(target, b"tester\n", &mut Sources::default(), load).expect("all are answered");

        let slowest = outcome.kept.iter().max().copied().unwrap_or_default();
        assert_eq!(outcome.kept.len(), 20);
        assert!(slowest > 150_000_000, "{outcome:?}");
    }

    #[test]
    fn another_answer_than_expected_ends_the_run() {
        let server = SlowServer::start("tester", 0, limits(1, 100)).expect("the loopback is up");
        let load = Load {
            rate: 100,
            window: Duration::from_millis(50),
            new_every: 4,
            kept: 1,
        };

        let target = SocketAddrV4::new(LOOPBACK, server.port());
        let failure = run(target, b"somebody else\n", &mut Sources::default(), load)
            .expect_err("it is another");

        assert!(failure.to_string().contains("instead of"), "{failure}");
    }
}
