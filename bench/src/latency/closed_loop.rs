//! Asks as fast as the answers come: a fixed number of clients, each of which makes a connection,
//! asks once, waits for the answer and begins again.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use super::connection::Connection;
use super::failure::Failure;
use super::http;
use super::reactor::Reactor;
use super::sources::Sources;

/// A request that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// What came of a closed loop.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Requests answered with 200, by who answered.
    pub answered: BTreeMap<String, u64>,
    /// Requests that were not, by what happened instead.
    pub failed: BTreeMap<String, u64>,
    /// Answers a second, without the beginning and the end, where not all clients are busy.
    pub per_second: f64,
    /// Response times of the answered ones in nanoseconds, the connection included.
    pub nanos: Vec<u64>,
}

impl Tally {
    /// How many requests failed.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failed.values().sum()
    }
}

/// Sends `requests` requests to `target` by `clients` clients, each from the next of `sources`; to
/// be called in their network namespace.
///
/// # Errors
///
/// When this machine cannot make sockets; failed requests are counted, not errors.
pub fn run(
    target: SocketAddrV4,
    sources: &mut Sources,
    clients: usize,
    requests: u64,
) -> Result<Tally, Failure> {
    let reactor = Reactor::new().map_err(Failure::machine("make a poll descriptor"))?;
    let mut closed_loop = ClosedLoop {
        target,
        sources,
        request: http::request(target, false),
        reactor,
        clients: (0..clients).map(|_| None).collect(),
        to_start: requests,
        ends: Vec::new(),
        tally: Tally::default(),
    };
    let start = Instant::now();
    closed_loop.run()?;
    let mut tally = closed_loop.tally;
    tally.per_second = steady_rate(start, &closed_loop.ends);
    Ok(tally)
}

struct ClosedLoop<'a> {
    target: SocketAddrV4,
    sources: &'a mut Sources,
    request: Vec<u8>,
    reactor: Reactor,
    /// What each client is at, with the start.
    clients: Vec<Option<(Connection, Instant)>>,
    to_start: u64,
    /// When each answer came.
    ends: Vec<Instant>,
    tally: Tally,
}

impl ClosedLoop<'_> {
    fn run(&mut self) -> Result<(), Failure> {
        for client in 0..self.clients.len() {
            self.begin(client)?;
        }
        let mut changed = Vec::new();
        let mut next_look = Instant::now() + PATIENCE;
        while self.clients.iter().any(Option::is_some) {
            self.reactor
                .wait(next_look, &mut changed)
                .map_err(Failure::machine("wait for answers"))?;
            for client in changed.drain(..) {
                self.advance(client)?;
            }
            if Instant::now() >= next_look {
                next_look = Instant::now() + Duration::from_secs(1);
                self.give_up_on_the_slow()?;
            }
        }
        Ok(())
    }

    fn begin(&mut self, client: usize) -> Result<(), Failure> {
        self.clients[client] = None;
        while self.to_start > 0 {
            self.to_start -= 1;
            match Connection::open(self.sources.take(), self.target) {
                Ok(mut connection) => {
                    connection.ask(&self.request);
                    self.reactor
                        .watch(connection.stream(), client)
                        .map_err(Failure::machine("watch a connection"))?;
                    self.clients[client] = Some((connection, Instant::now()));
                    return Ok(());
                }
                Err(error) => self.count_failure(&error.to_string()),
            }
        }
        Ok(())
    }

    fn advance(&mut self, client: usize) -> Result<(), Failure> {
        let Some((connection, start)) = &mut self.clients[client] else {
            return Ok(());
        };
        match connection.advance() {
            Ok(false) => return Ok(()),
            Ok(true) => match connection.answer() {
                Some((200, body)) => {
                    let server = String::from_utf8_lossy(body).trim().to_owned();
                    let took = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
                    *self.tally.answered.entry(server).or_default() += 1;
                    self.tally.nanos.push(took);
                    self.ends.push(Instant::now());
                }
                other => {
                    let status = other.map(|(status, _)| status);
                    self.count_failure(&format!("status {status:?}"));
                }
            },
            Err(error) => self.count_failure(&error.to_string()),
        }
        self.begin(client)
    }

    fn give_up_on_the_slow(&mut self) -> Result<(), Failure> {
        for client in 0..self.clients.len() {
            let started = self.clients[client].as_ref().map(|(_, start)| *start);
            if started.is_some_and(|start| start.elapsed() > PATIENCE) {
                self.count_failure(&format!("no answer in {PATIENCE:?}"));
                self.begin(client)?;
            }
        }
        Ok(())
    }

    fn count_failure(&mut self, reason: &str) {
        *self.tally.failed.entry(reason.to_owned()).or_default() += 1;
    }
}

/// Answers a second over the middle eight tenths of the time: at both ends not all clients are
/// busy. The window is one of time, so that answers that come in groups do not count too much.
#[expect(clippy::cast_precision_loss, reason = "far below 2^52 answers")]
fn steady_rate(start: Instant, ends: &[Instant]) -> f64 {
    let Some(whole) = ends.last().map(|last| last.duration_since(start)) else {
        return 0.0;
    };
    let (from, to) = (start + whole / 10, start + whole / 10 * 9);
    let inside = ends.iter().filter(|end| (from..to).contains(*end));
    inside.count() as f64 / (to - from).as_secs_f64().max(1e-9)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::super::slow_server::{Limits, SlowServer};
    use super::*;

    #[test]
    fn the_ends_of_a_run_do_not_count_into_its_rate() {
        let start = Instant::now();
        let millis = |millis| start + Duration::from_millis(millis);
        // Ten a second, but nothing in the first second, and the last answer after a long wait.
        let mut ends: Vec<_> = (10..90).map(|tenth| millis(tenth * 100)).collect();
        ends.push(millis(10_000));

        assert!((steady_rate(start, &ends) - 10.0).abs() < 1e-6);
        assert_eq!(steady_rate(start, &[]).to_bits(), 0.0_f64.to_bits());
    }

    #[test]
    fn a_saturated_server_answers_everybody_and_not_beyond_its_capacity() {
        // 400 a second.
        let limits = Limits {
            service: Duration::from_millis(5),
            at_once: 2,
            queue: 8,
        };
        let server = SlowServer::start("tester", 0, limits).expect("the loopback is up");
        let target = SocketAddrV4::new(Ipv4Addr::LOCALHOST, server.port());

        let start = Instant::now();
        let tally = run(target, &mut Sources::default(), 6, 200).expect("sockets can be made");
        let took = start.elapsed();

        assert_eq!(tally.failed, BTreeMap::new());
        assert_eq!(tally.answered["tester"], 200);
        assert_eq!(tally.nanos.len(), 200);
        // However slow the machine is: two places, each of which serves a hundred in turn.
        assert!(took >= 100 * limits.service, "{took:?}");
    }

    #[test]
    fn requests_that_are_turned_away_count_as_failed() {
        // It serves nobody, so that it does not matter how fast they come.
        let limits = Limits {
            service: Duration::from_millis(50),
            at_once: 0,
            queue: 0,
        };
        let server = SlowServer::start("tester", 0, limits).expect("the loopback is up");
        let target = SocketAddrV4::new(Ipv4Addr::LOCALHOST, server.port());

        let tally = run(target, &mut Sources::default(), 3, 3).expect("sockets can be made");

        assert_eq!(tally.answered, BTreeMap::new());
        assert_eq!(tally.failed["status Some(503)"], 3);
        assert_eq!(tally.failures(), 3);
    }
}
