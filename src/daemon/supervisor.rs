//! Tells systemd, or whatever supervises the daemon, how far it is: the protocol of `sd_notify(3)`.
//!
//! Datagrams of `KEY=VALUE` lines go to the socket that `NOTIFY_SOCKET` names. Without one nobody
//! is told.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

/// Signs of life for each of the supervisor's deadlines: one that is late costs nothing yet.
const SIGNS_PER_DEADLINE: u32 = 3;

/// What supervises the daemon, if anything does.
#[derive(Debug)]
pub(super) struct Supervisor {
    socket: Option<UnixDatagram>,
    /// How often it wants a sign of life, and when it had one.
    watchdog: Option<(Duration, Instant)>,
}

impl Supervisor {
    /// The one that the environment of this process names. A socket that cannot be used is a
    /// warning.
    pub(super) fn of_environment() -> Self {
        let socket = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty());
        let socket = socket.and_then(|name| match connect(&name) {
            Ok(socket) => Some(socket),
            Err(error) => {
                tracing::warn!(
                    "nobody is told how far the gateway is: NOTIFY_SOCKET {}: {error}",
                    name.display()
                );
                None
            }
        });
        let variable = |name| std::env::var(name).ok();
        let deadline = deadline(
            variable("WATCHDOG_USEC").as_deref(),
            variable("WATCHDOG_PID").as_deref(),
            std::process::id(),
        );
        Self::new(socket, deadline, Instant::now())
    }

    /// One at the other end of `socket` that wants a sign of life before each `deadline`.
    pub(super) fn new(
        socket: Option<UnixDatagram>,
        deadline: Option<Duration>,
        now: Instant,
    ) -> Self {
        Self {
            socket,
            watchdog: deadline.map(|deadline| (deadline / SIGNS_PER_DEADLINE, now)),
        }
    }

    /// The gateway is ready, for the first time or again.
    pub(super) fn ready(&self) {
        self.tell("READY=1");
    }

    /// It reads its configuration again; [`ready`](Self::ready) ends that.
    pub(super) fn reloading(&self) {
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from);
        let micros = now.unwrap_or_default().as_micros();
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    /// It stops.
    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// What it does, in one line for people.
    pub(super) fn status(&self, line: &str) {
        self.tell(&format!("STATUS={}", line.replace('\n', "; ")));
    }

    /// Gives a sign of life if one is due. To be called several times within a deadline, and only
    /// while all is well.
    pub(super) fn alive(&mut self, now: Instant) {
        if let Some((interval, last)) = self.watchdog
            && now.saturating_duration_since(last) >= interval
        {
            self.watchdog = Some((interval, now));
            self.tell("WATCHDOG=1");
        }
    }

    /// A supervisor that cannot be told now is not waited for.
    fn tell(&self, what: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(what.as_bytes())
        {
            tracing::debug!("the supervisor was not told {what}: {error}");
        }
    }
}

/// A path, or after an `@` a name in Linux's abstract namespace.
fn connect(name: &OsStr) -> io::Result<UnixDatagram> {
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// What `WATCHDOG_USEC` asks for, if it is meant for the process `own`.
fn deadline(micros: Option<&str>, process: Option<&str>, own: u32) -> Option<Duration> {
    let is_meant = process.is_none_or(|process| process.parse() == Ok(own));
    let micros = micros?.parse().ok().filter(|micros| *micros > 0);
    micros.filter(|_| is_meant).map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> Vec<String> {
        socket.set_nonblocking(true).unwrap();
        let mut buffer = [0; 256];
        std::iter::from_fn(|| {
            let length = socket.recv(&mut buffer).ok()?;
            Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
        })
        .collect()
    }

    #[test]
    fn the_supervisor_hears_each_step_on_a_path_or_an_abstract_name() {
        let path = std::env::temp_dir().join(format!("sluice-notify-{}", std::process::id()));
        let abstract_name = format!("sluice-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&abstract_name).unwrap();
        let by_path = UnixDatagram::bind(&path).unwrap();
        let by_name = UnixDatagram::bind_addr(&address).unwrap();
        let connected = [
            (connect(path.as_os_str()).unwrap(), by_path),
            (
                connect(OsStr::new(&format!("@{abstract_name}"))).unwrap(),
                by_name,
            ),
        ];
        std::fs::remove_file(&path).unwrap();
        for (socket, listener) in connected {
            let supervisor = Supervisor::new(Some(socket), None, Instant::now());

            supervisor.ready();
            supervisor.status("one\ntwo");
            supervisor.reloading();
            supervisor.stopping();

            let heard = heard(&listener);
            assert_eq!(heard[..2], ["READY=1", "STATUS=one; two"]);
            assert!(
                heard[2].starts_with("RELOADING=1\nMONOTONIC_USEC="),
                "{heard:?}"
            );
            assert_eq!(heard[3..], ["STOPPING=1"]);
        }
    }

    #[test]
    fn signs_of_life_come_three_times_within_a_deadline() {
        let (socket, listener) = UnixDatagram::pair().unwrap();
        let start = Instant::now();
        let deadline = Some(Duration::from_secs(3));
        let mut supervisor = Supervisor::new(Some(socket), deadline, start);

        for tenths in 1..=31 {
            supervisor.alive(start + Duration::from_millis(tenths * 100));
        }

        assert_eq!(heard(&listener), ["WATCHDOG=1"; 3]);
    }

    #[test]
    fn a_deadline_counts_only_for_the_process_it_is_meant_for() {
        let second = Some(Duration::from_secs(1));

        assert_eq!(deadline(Some("1000000"), None, 7), second);
        assert_eq!(deadline(Some("1000000"), Some("7"), 7), second);
        assert_eq!(deadline(Some("1000000"), Some("8"), 7), None);
        assert_eq!(deadline(Some("0"), None, 7), None);
        assert_eq!(deadline(Some("soon"), None, 7), None);
        assert_eq!(deadline(None, Some("7"), 7), None);
    }
}
