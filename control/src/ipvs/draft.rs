//! Collects what the options of one line say, and puts it together when the line ends.

use std::net::IpAddr;

use dataplane::address::{Endpoint, Protocol};
use dataplane::service::Method;

use super::command::{
    Change, Columns, Command, Family, ListOptions, Persistent, SchedulerFlags, ServerLine,
    ServiceLine, ServiceName, Subject, Tunnel, TunnelChecksum,
};
use super::failure::Failure;
use super::names::Names;
use super::options::{Detail, Given, Kind, Verb, check, missing};
use super::values;

/// The scheduler of a service that names none.
const DEFAULT_SCHEDULER: &str = "wlc";

/// Characters of a scheduler's name; what follows is cut off.
const SCHEDULER_CHARACTERS: usize = 15;

/// `-p` without a number.
const DEFAULT_PERSISTENCE_SECONDS: u32 = 360;

/// The largest weight and threshold: what a signed number holds.
const MAX_NUMBER: u32 = u32::MAX >> 1;

/// What was read of a line so far.
#[derive(Debug)]
pub(super) struct Draft {
    verb: Verb,
    given: Given,
    service: Option<ServiceName>,
    server: Option<Endpoint<IpAddr>>,
    local: Option<IpAddr>,
    scheduler: Option<String>,
    flag_words: String,
    flags: SchedulerFlags,
    persistence_seconds: u32,
    netmask: Option<u32>,
    engine: Option<String>,
    method: Method,
    weight: u32,
    upper_threshold: u32,
    lower_threshold: u32,
    tunnel: TunnelWord,
    tunnel_port: u16,
    timeouts: [u32; 3],
}

/// `--tun-type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TunnelWord {
    Ipip,
    Gue,
    Gre,
}

impl Draft {
    pub(super) fn new(verb: Verb) -> Self {
        Self {
            verb,
            given: Given::default(),
            service: None,
            server: None,
            local: None,
            scheduler: None,
            flag_words: String::new(),
            flags: SchedulerFlags::default(),
            persistence_seconds: DEFAULT_PERSISTENCE_SECONDS,
            netmask: None,
            engine: None,
            method: Method::Dr,
            weight: 1,
            upper_threshold: 0,
            lower_threshold: 0,
            tunnel: TunnelWord::Ipip,
            tunnel_port: 0,
            timeouts: [0; 3],
        }
    }

    /// Notes that an option stands in the line.
    pub(super) fn note(&mut self, kind: Kind) -> Result<(), Failure> {
        if self.given.insert(kind) {
            return Ok(());
        }
        let text = format!("multiple '{}' options specified", kind.name());
        Err(Failure::usage(text))
    }

    /// Reads an option that may stand once.
    pub(super) fn read(
        &mut self,
        kind: Kind,
        detail: Detail,
        argument: Option<&str>,
        names: &dyn Names,
    ) -> Result<(), Failure> {
        let text = argument.unwrap_or_default();
        match kind {
            Kind::Service => {
                let service = read_service(detail, text, names)?;
                self.take_service(service);
            }
            Kind::Server => self.server = Some(self.read_server(text, names)?),
            Kind::Scheduler => {
                let name = text.chars().take(SCHEDULER_CHARACTERS).collect();
                self.scheduler = Some(name);
            }
            Kind::Flags => text.clone_into(&mut self.flag_words),
            Kind::Persistent => {
                if let Some(text) = argument {
                    self.persistence_seconds = values::timeout(text, 1)?;
                }
            }
            Kind::Netmask => self.netmask = Some(self.read_netmask(text, names)?),
            Kind::Engine => self.engine = Some(text.to_owned()),
            Kind::Forward => {
                self.method = match detail {
                    Detail::Masquerading => Method::Nat,
                    Detail::Ipip => Method::Tun,
                    Detail::Fullnat => Method::Fullnat,
                    _ => Method::Dr,
                }
            }
            Kind::Local => {
                let local = values::address(text, names);
                let illegal = || Failure::usage("illegal local address specified");
                self.local = Some(local.ok_or_else(illegal)?);
            }
            Kind::Weight => self.weight = bounded(text, MAX_NUMBER, "weight")?,
            Kind::Upper => self.upper_threshold = bounded(text, MAX_NUMBER, "u_threshold")?,
            Kind::Lower => self.lower_threshold = bounded(text, MAX_NUMBER, "l_threshold")?,
            Kind::TunType => {
                self.tunnel = match text {
                    "ipip" => TunnelWord::Ipip,
                    "gue" => TunnelWord::Gue,
                    "gre" => TunnelWord::Gre,
                    _ => return Err(Failure::usage("illegal tunnel type specified")),
                }
            }
            Kind::TunPort => self.tunnel_port = port(text, "tunnel port")?,
            _ => check_daemon_value(kind, text)?,
        }
        Ok(())
    }

    /// `-6` turns a mark into one of IPv6 packets.
    pub(super) fn read_ipv6(&mut self) -> Result<(), Failure> {
        match &self.service {
            Some(ServiceName::Mark { mark, .. }) => {
                let (mark, family) = (*mark, Family::V6);
                self.take_service(ServiceName::Mark { mark, family });
            }
            // The line feed is ipvsadm's own.
            _ => return Err(Failure::usage("-6 used before -f\n")),
        }
        Ok(())
    }

    /// A service of IPv6 forgets a mask that was read before, since it was none of IPv6.
    const fn take_service(&mut self, service: ServiceName) {
        if matches!(service.family(), Family::V6) {
            self.netmask = None;
        }
        self.service = Some(service);
    }

    /// A server without a port has the service's, if that was named before.
    fn read_server(&self, text: &str, names: &dyn Names) -> Result<Endpoint<IpAddr>, Failure> {
        let service = self.service.as_ref();
        // To ipvsadm, a mark is of TCP.
        let protocol = service.map(|name| name.protocol().unwrap_or(Protocol::Tcp));
        let (addr, port) = values::address_and_port(text, protocol, names)
            .ok_or_else(|| Failure::usage("illegal real server address[:port] specified"))?;
        let port = port.unwrap_or_else(|| service.map_or(0, ServiceName::port));
        Ok(Endpoint::new(addr, port))
    }

    /// A mask is of the family of the service named before.
    fn read_netmask(&self, text: &str, names: &dyn Names) -> Result<u32, Failure> {
        match self.service.map(|service| service.family()) {
            Some(Family::V6) => values::number(text, 1..=128)
                .ok_or_else(|| Failure::usage("illegal ipv6 netmask specified")),
            _ => match values::ipv4(text, names) {
                Some(mask) => Ok(mask.to_bits()),
                None => Err(Failure::usage(
                    "illegal virtual server persistent mask specified",
                )),
            },
        }
    }

    /// The words that are no options: the time-outs of `--set`. Answers the first that is left.
    pub(super) fn read_others<'a>(
        &mut self,
        mut others: &[&'a str],
    ) -> Result<Option<&'a str>, Failure> {
        if self.verb == Verb::Set {
            let [tcp, tcp_fin, udp, rest @ ..] = others else {
                return Err(Failure::usage("--set option requires 3 timeout values"));
            };
            for (timeout, text) in self.timeouts.iter_mut().zip([tcp, tcp_fin, udp]) {
                *timeout = values::timeout(text, 0)?;
            }
            others = rest;
        }
        Ok(others.first().copied())
    }

    /// The command, once all words were read.
    pub(super) fn finish(mut self) -> Result<Command, Failure> {
        let scheduler = self.scheduler.as_deref().unwrap_or_default();
        self.flags = values::flags(&self.flag_words, scheduler)?;
        check(self.verb, self.given)?;
        Ok(match self.verb {
            Verb::AddService => Command::Change(Change::AddService(self.service_line()?)),
            Verb::EditService => Command::Change(Change::EditService(self.service_line()?)),
            Verb::DeleteService => Command::Change(Change::DeleteService(self.service()?)),
            Verb::AddServer => {
                Command::Change(Change::AddServer(self.service()?, self.server_line()?))
            }
            Verb::EditServer => {
                Command::Change(Change::EditServer(self.service()?, self.server_line()?))
            }
            Verb::DeleteServer => {
                Command::Change(Change::DeleteServer(self.service()?, self.server()?))
            }
            Verb::AddLocal => Command::Change(Change::AddLocal(self.service()?, self.local()?)),
            Verb::DeleteLocal => {
                Command::Change(Change::DeleteLocal(self.service()?, self.local()?))
            }
            Verb::ListLocal => Command::ListLocal(self.service),
            Verb::Flush => Command::Change(Change::Flush),
            Verb::List => Command::List(self.list_options()?),
            Verb::Zero => Command::Zero(self.service),
            Verb::Restore => Command::Restore,
            Verb::Save => Command::Save {
                numeric: self.given.has(Kind::Numeric),
            },
            Verb::Set => {
                let [tcp, tcp_fin, udp] = self.timeouts;
                Command::SetTimeouts { tcp, tcp_fin, udp }
            }
            Verb::StartDaemon => Command::StartDaemon,
            Verb::StopDaemon => Command::StopDaemon,
            Verb::Help => Command::Help,
            Verb::Version => Command::Version,
        })
    }

    /// The service; the check of options has seen to it that there is one.
    fn service(&self) -> Result<ServiceName, Failure> {
        self.service
            .ok_or_else(|| missing(Kind::Service, self.verb))
    }

    /// The server; the check of options has seen to it that there is one.
    fn server(&self) -> Result<Endpoint<IpAddr>, Failure> {
        self.server.ok_or_else(|| missing(Kind::Server, self.verb))
    }

    /// The local address; the check of options has seen to it that there is one.
    fn local(&self) -> Result<IpAddr, Failure> {
        self.local.ok_or_else(|| missing(Kind::Local, self.verb))
    }

    fn service_line(self) -> Result<ServiceLine, Failure> {
        let name = self.service()?;
        let is_persistent = self.given.has(Kind::Persistent);
        let one_packet = self.given.has(Kind::OnePacket);
        if let ServiceName::Address { protocol, endpoint } = name {
            if endpoint.port == 0 && !is_persistent {
                return Err(Failure::usage(
                    "Zero port specified for non-persistent service",
                ));
            }
            if one_packet && protocol != Protocol::Udp {
                return Err(Failure::usage(
                    "One-Packet Scheduling is only for UDP virtual services",
                ));
            }
        }
        let every_client = match name.family() {
            Family::V4 => u32::MAX,
            Family::V6 => 128,
        };
        let scheduler = self.scheduler.filter(|it| !it.is_empty());
        Ok(ServiceLine {
            name,
            scheduler: scheduler.unwrap_or_else(|| DEFAULT_SCHEDULER.to_owned()),
            flags: self.flags,
            persistence: is_persistent.then_some(Persistent {
                timeout_seconds: self.persistence_seconds,
                netmask: self.netmask.unwrap_or(every_client),
            }),
            engine: self.engine,
            one_packet,
        })
    }

    fn server_line(&self) -> Result<ServerLine, Failure> {
        let service = self.service()?;
        let mut endpoint = self.server()?;
        // Only NAT changes the port a packet was sent to.
        if !self.method.sees_replies() && service.protocol().is_some() {
            endpoint.port = service.port();
        }
        if Family::of(endpoint.addr) != service.family() && self.method != Method::Tun {
            return Err(Failure::usage(
                "Different address family is allowed only for tunneling servers",
            ));
        }
        Ok(ServerLine {
            endpoint,
            method: self.method,
            tunnel: self.tunnel()?,
            weight: self.weight,
            upper_threshold: self.upper_threshold,
            lower_threshold: self.lower_threshold,
        })
    }

    fn tunnel(&self) -> Result<Tunnel, Failure> {
        const OPTIONS: [Kind; 5] = [
            Kind::TunType,
            Kind::TunPort,
            Kind::TunNocsum,
            Kind::TunCsum,
            Kind::TunRemcsum,
        ];
        if self.method != Method::Tun && self.given.has_any(&OPTIONS) {
            return Err(Failure::usage(
                "Tunnel options conflict with forward method",
            ));
        }
        let (name, illegal): (_, &[Kind]) = match self.tunnel {
            TunnelWord::Ipip => ("ipip", &OPTIONS[1..]),
            TunnelWord::Gue => ("gue", &[]),
            TunnelWord::Gre => ("gre", &[Kind::TunPort, Kind::TunRemcsum]),
        };
        if let Some(kind) = illegal.iter().find(|kind| self.given.has(**kind)) {
            let option = kind.name();
            return Err(Failure::usage(format!(
                "Illegal '{option}' option with the '{name}' tunnel type"
            )));
        }
        if self.tunnel == TunnelWord::Gue && !self.given.has(Kind::TunPort) {
            return Err(Failure::usage(
                "You need to supply the 'tun-port' option for the 'gue' tunnel type",
            ));
        }
        let checksum = self.tunnel_checksum(name)?;
        Ok(match self.tunnel {
            TunnelWord::Ipip => Tunnel::Ipip,
            TunnelWord::Gue => Tunnel::Gue {
                port: self.tunnel_port,
                checksum,
            },
            TunnelWord::Gre => Tunnel::Gre { checksum },
        })
    }

    fn tunnel_checksum(&self, tunnel: &str) -> Result<TunnelChecksum, Failure> {
        let words = [
            (Kind::TunNocsum, TunnelChecksum::None),
            (Kind::TunCsum, TunnelChecksum::Full),
            (Kind::TunRemcsum, TunnelChecksum::Remote),
        ];
        let mut given = words.into_iter().filter(|(kind, _)| self.given.has(*kind));
        let Some((first, checksum)) = given.next() else {
            return Ok(TunnelChecksum::default());
        };
        match given.next() {
            None => Ok(checksum),
            Some((second, _)) => Err(Failure::usage(format!(
                "The option '{}' conflicts with the '{}' option in the '{tunnel}' tunnel type",
                second.name(),
                first.name()
            ))),
        }
    }

    fn list_options(&self) -> Result<ListOptions, Failure> {
        let given = self.given;
        let is_subject = given.has_any(&[Kind::Connection, Kind::Timeout, Kind::Daemon]);
        let is_counted = given.has_any(&[Kind::Stats, Kind::Rate, Kind::Thresholds]);
        let is_short = given.has_any(&[Kind::Timeout, Kind::Daemon]);
        if (is_subject && is_counted) || (is_short && given.has(Kind::PersistentConn)) {
            return Err(Failure::usage("options conflicts in the list command"));
        }
        let subject = match self.service {
            Some(service) => Subject::Service(service),
            None if given.has(Kind::Connection) => Subject::Connections,
            None if given.has(Kind::Timeout) => Subject::Timeouts,
            None if given.has(Kind::Daemon) => Subject::Daemons,
            None => Subject::Services,
        };
        let columns = [
            (Kind::Stats, Columns::Stats),
            (Kind::Rate, Columns::Rate),
            (Kind::Thresholds, Columns::Thresholds),
            (Kind::PersistentConn, Columns::Persistent),
            (Kind::TunInfo, Columns::Tunnels),
        ];
        let columns = columns.into_iter().find(|(kind, _)| given.has(*kind));
        Ok(ListOptions {
            subject,
            numeric: given.has(Kind::Numeric),
            columns: columns.map(|(_, columns)| columns).unwrap_or_default(),
            exact: given.has(Kind::Exact),
            unsorted: given.has(Kind::Nosort),
            engines: given.has(Kind::PersistentConn),
        })
    }
}

fn read_service(detail: Detail, text: &str, names: &dyn Names) -> Result<ServiceName, Failure> {
    let protocol = match detail {
        Detail::Udp => Protocol::Udp,
        Detail::Sctp => Protocol::Sctp,
        Detail::Mark => {
            return Ok(ServiceName::Mark {
                mark: values::mark(text)?,
                family: Family::V4,
            });
        }
        _ => Protocol::Tcp,
    };
    let (addr, port) = values::address_and_port(text, Some(protocol), names)
        .ok_or_else(|| Failure::usage("illegal virtual server address[:port] specified"))?;
    Ok(ServiceName::Address {
        protocol,
        endpoint: Endpoint::new(addr, port.unwrap_or(0)),
    })
}

/// A number from 0 to `most`, or a refusal that says what it should have been.
fn bounded(text: &str, most: u32, what: &str) -> Result<u32, Failure> {
    values::number(text, 0..=most)
        .ok_or_else(|| Failure::usage(format!("illegal {what} specified")))
}

/// A port other than 0.
fn port(text: &str, what: &str) -> Result<u16, Failure> {
    let port = values::number(text, 1..=u32::from(u16::MAX));
    port.and_then(|port| u16::try_from(port).ok())
        .ok_or_else(|| Failure::usage(format!("illegal {what} specified")))
}

/// The options of synchronisation daemons: read, so that their mistakes are named, and forgotten.
fn check_daemon_value(kind: Kind, text: &str) -> Result<(), Failure> {
    let illegal = |what: &str| Err(Failure::usage(format!("illegal {what} specified")));
    let is_within = |range| values::number(text, range).is_some();
    match kind {
        Kind::SyncId if !is_within(0..=255) => illegal("syncid"),
        Kind::SyncMaxlen if !is_within(1..=65_507) => illegal("sync-maxlen"),
        Kind::McastPort if !is_within(1..=65_535) => illegal("mcast-port"),
        Kind::McastTtl if !is_within(1..=255) => illegal("mcast-ttl"),
        Kind::McastGroup => match text.parse::<IpAddr>() {
            Ok(group) if group.is_multicast() => Ok(()),
            Ok(IpAddr::V6(_)) => Err(Failure::usage(format!("invalid IPv6 mcast-group `{text}'"))),
            _ => Err(Failure::usage(format!("invalid IPv4 mcast-group `{text}'"))),
        },
        _ => Ok(()),
    }
}
