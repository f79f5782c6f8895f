//! The services of a random scenario, and how an operator changes them.

use std::time::Duration;

use dataplane::address::{Endpoint, Protocol, V4};

use crate::draft::{Draft, OTHER_VIP, SERVERS, VIP, address, server};

use super::numbers::Numbers;

/// The mark of firewall-mark services.
const MARK: u32 = 7;
/// What is marked.
const MARKED: &str = "10.9.0.0/16";

/// Schedulers with the flags they have; `twos` draws at random and is not among them.
const SCHEDULERS: [(&str, &[&str]); 12] = [
    ("rr", &[]),
    ("wrr", &[]),
    ("lc", &[]),
    ("wlc", &[]),
    ("sed", &[]),
    ("nq", &[]),
    ("fo", &[]),
    ("ovf", &[]),
    ("dh", &[]),
    ("lblc", &[]),
    ("lblcr", &[]),
    ("sh", &["sh-fallback", "sh-port"]),
];
const MAGLEV: (&str, &[&str]) = ("mh", &["mh-fallback", "mh-port"]);

/// How packets reach clients of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One port of the first VIP.
    Port(u16),
    /// Every port of the second VIP.
    AnyPort,
    /// Whatever is marked.
    Mark,
}

/// A server of a service.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) address: V4,
    /// As `-r` says; 0 where the packet's is taken.
    pub(super) port: u16,
    /// `-m`, `-g` or `-i`.
    pub(super) method: &'static str,
    /// When it was taken away.
    gone: Option<Duration>,
}

impl Server {
    /// Whether packets reach it by NAT, so that its replies have its own address.
    pub(super) fn is_nat(&self) -> bool {
        self.method == "-m"
    }

    /// Where its replies come from when a client asked `service`.
    pub(super) fn endpoint(&self, service: Endpoint<V4>) -> Endpoint<V4> {
        match (self.is_nat(), self.port) {
            (false, _) => service,
            (true, 0) => Endpoint::new(self.address, service.port),
            (true, port) => Endpoint::new(self.address, port),
        }
    }
}

/// A service.
#[derive(Clone, Debug)]
pub(super) struct Service {
    pub(super) kind: Kind,
    pub(super) protocol: Protocol,
    pub(super) servers: Vec<Server>,
    /// Seconds that clients keep their server.
    pub(super) persistence: Option<u32>,
    /// Whether each datagram is scheduled anew.
    pub(super) one_packet: bool,
    /// When it was taken away.
    gone: Option<Duration>,
    /// What follows `-A SERVICE`.
    options: String,
}

impl Service {
    /// A service of any kind; `number` tells it from the others.
    pub(super) fn draw(numbers: &mut Numbers, number: u16, with_marks: bool) -> Self {
        let protocols = [(6, Protocol::Tcp), (4, Protocol::Udp), (1, Protocol::Sctp)];
        let protocol = numbers.weighted(&protocols).unwrap_or_default();
        let kind = match numbers.below(10) {
            0 => Kind::AnyPort,
            1 if with_marks => Kind::Mark,
            _ => Kind::Port(80 + number),
        };
        let persists = kind == Kind::AnyPort || numbers.percent(25);
        let mut service = Self {
            kind,
            protocol,
            servers: Vec::new(),
            persistence: None,
            one_packet: protocol == Protocol::Udp && numbers.percent(12),
            gone: None,
            options: String::new(),
        };
        service.draw_options(numbers, persists);
        for _ in 0..numbers.within(1, 5) {
            service.draw_server(numbers);
        }
        service
    }

    fn draw_options(&mut self, numbers: &mut Numbers, persists: bool) {
        let choice = match numbers.percent(8) {
            true => Some(&MAGLEV),
            false => numbers.pick(&SCHEDULERS),
        };
        let (scheduler, flags) = choice.copied().unwrap_or(("rr", &[]));
        let mut options = format!("-s {scheduler}");
        let drawn = flags.iter().filter(|_| numbers.percent(50));
        let flags: Vec<&str> = drawn.copied().collect();
        if !flags.is_empty() {
            options.push_str(&format!(" -b {}", flags.join(",")));
        }
        self.persistence = persists.then(|| numbers.pick(&[30, 90, 360]).copied().unwrap_or(90));
        if let Some(seconds) = self.persistence {
            options.push_str(&format!(" -p {seconds}"));
            if numbers.percent(40) {
                options.push_str(" -M 255.255.255.0");
            }
        }
        options.push_str(if self.one_packet { " -o" } else { "" });
        self.options = options;
    }

    fn draw_server(&mut self, numbers: &mut Numbers) {
        let used: Vec<V4> = self.servers.iter().map(|server| server.address).collect();
        let free: Vec<V4> = (0..SERVERS)
            .map(server)
            .filter(|other| !used.contains(other))
            .collect();
        let Some(address) = numbers.pick(&free).copied() else {
            return;
        };
        let methods = [(5, "-m"), (3, "-g"), (2, "-i")];
        let method = numbers.weighted(&methods).unwrap_or("-m");
        let port = match self.kind {
            Kind::Port(port) if method == "-m" && numbers.percent(40) => 8_000 + port,
            Kind::Port(port) => port,
            Kind::AnyPort | Kind::Mark => 0,
        };
        self.servers.push(Server {
            address,
            port,
            method,
            gone: None,
        });
    }

    /// `-t 10.1.0.100:80`, `-f 7` and the like.
    pub(super) fn name(&self) -> String {
        let option = match self.protocol {
            Protocol::Tcp => "-t",
            Protocol::Udp => "-u",
            Protocol::Sctp => "--sctp-service",
        };
        match self.kind {
            Kind::Port(port) => format!("{option} {VIP}:{port}"),
            Kind::AnyPort => format!("{option} {OTHER_VIP}:0"),
            Kind::Mark => format!("-f {MARK}"),
        }
    }

    /// Where a client's packet goes.
    pub(super) fn draw_target(&self, numbers: &mut Numbers) -> Endpoint<V4> {
        let any = [80, 443, 8_443];
        let port = numbers.pick(&any).copied().unwrap_or(80);
        match self.kind {
            Kind::Port(port) => Endpoint::new(VIP, port),
            Kind::AnyPort => Endpoint::new(OTHER_VIP, port),
            Kind::Mark => {
                let last = u8::try_from(numbers.within(1, 4)).unwrap_or(1);
                Endpoint::new(address([10, 9, 0, last]), port)
            }
        }
    }

    /// Adds the service and its servers before the play.
    pub(super) fn configure(&self, draft: &mut Draft, numbers: &mut Numbers) {
        if self.kind == Kind::Mark {
            draft.mark(MARKED, MARK);
        }
        draft.rule(format!("-A {} {}", self.name(), self.options));
        for server in &self.servers {
            draft.rule(format!("-a {}", self.server_options(server, numbers)));
        }
    }

    fn server_options(&self, server: &Server, numbers: &mut Numbers) -> String {
        let weights = [(2, 0), (10, 1), (3, 2), (2, 3), (1, 10)];
        let weight = numbers.weighted(&weights).unwrap_or(1);
        let upper = numbers.within(1, 5);
        let lower = numbers.within(0, upper);
        let thresholds = match numbers.below(10) {
            0 => format!(" -x {upper}"),
            1 => format!(" -x {upper} -y {lower}"),
            _ => String::new(),
        };
        let (name, address, port, method) =
            (self.name(), server.address, server.port, server.method);
        format!("{name} -r {address}:{port} {method} -w {weight}{thresholds}")
    }

    /// Changes something in the play at `now`.
    pub(super) fn edit(&mut self, draft: &mut Draft, numbers: &mut Numbers, now: Duration) {
        if let Some(gone) = self.gone {
            if may_come_back(gone, now) {
                self.come_back(draft, numbers, now);
            }
            return;
        }
        match numbers.below(20) {
            0..=1 => {
                self.draw_options(numbers, self.persistence.is_some());
                draft.ipvsadm(format!("-E {} {}", self.name(), self.options));
            }
            2..=4 => {
                let before = self.servers.len();
                self.draw_server(numbers);
                if let Some(server) = self.servers.get(before) {
                    draft.ipvsadm(format!("-a {}", self.server_options(server, numbers)));
                }
            }
            _ => self.edit_server(draft, numbers, now),
        }
        draft.tick();
    }

    /// Takes the service away: the command that does it.
    pub(super) fn remove(&mut self, now: Duration) -> String {
        self.gone = Some(now);
        format!("-D {}", self.name())
    }

    /// Whether it was taken away.
    pub(super) const fn is_gone(&self) -> bool {
        self.gone.is_some()
    }

    /// Adds the service again, with the servers that the kernel remembers.
    fn come_back(&mut self, draft: &mut Draft, numbers: &mut Numbers, now: Duration) {
        draft.ipvsadm(format!("-A {} {}", self.name(), self.options));
        for index in 0..self.servers.len() {
            match self.servers.get_mut(index) {
                Some(server) if server.gone.is_none_or(|gone| may_come_back(gone, now)) => {
                    server.gone = None;
                }
                _ => continue,
            }
            if let Some(server) = self.servers.get(index) {
                draft.ipvsadm(format!("-a {}", self.server_options(server, numbers)));
            }
        }
        self.gone = None;
    }

    fn edit_server(&mut self, draft: &mut Draft, numbers: &mut Numbers, now: Duration) {
        let len = u32::try_from(self.servers.len()).unwrap_or(0);
        let index = usize::try_from(numbers.below(len)).unwrap_or(0);
        let Some(server) = self.servers.get(index) else {
            return;
        };
        let options = self.server_options(server, numbers);
        let key = format!("{} -r {}:{}", self.name(), server.address, server.port);
        let (command, gone) = match server.gone {
            Some(gone) if may_come_back(gone, now) => (format!("-a {options}"), None),
            Some(gone) => (String::new(), Some(gone)),
            None if numbers.percent(30) => (format!("-d {key}"), Some(now)),
            None => (format!("-e {options}"), None),
        };
        if !command.is_empty() {
            draft.ipvsadm(command);
        }
        if let Some(server) = self.servers.get_mut(index) {
            server.gone = gone;
        }
    }
}

/// The kernel remembers a server that was taken away for at least two minutes, and nobody knows how
/// much longer (schedulers §1.8); counts and statistics go on only if it does.
fn may_come_back(gone: Duration, now: Duration) -> bool {
    now.saturating_sub(gone) < Duration::from_secs(100)
}
