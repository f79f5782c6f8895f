//! `[[service]]` and `[[service.server]]`: virtual services and their real servers.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use dataplane::address::{Endpoint, Protocol};
use dataplane::id::Weight;
use dataplane::service::{
    LOCALITY_EXPIRATION_SECONDS, Method, MssClamp, Persistence, SchedulerKind, ServiceKey, Unserved,
};

use super::document::{Node, Table, Value};
use super::health::{Health, ServerHealth};
use super::network::{not_a_host, parse_address};
use super::section::{Section, Written};
use super::timeouts::read_duration;
use super::vip::{Placement, read_vip};
use crate::ipvs::SchedulerFlags;

/// The most sessions a threshold can ask for: more than a session table can hold.
pub(super) const MAX_THRESHOLD: u32 = i32::MAX as u32;

/// An MSS, from the default of IPv4 (RFC 9293 §3.7.1), below which clamping breaks senders, to a
/// 65,535-byte packet without 40 bytes of headers.
pub(super) const MSS: RangeInclusive<u16> = 536..=u16::MAX - 40;

/// The largest weight: what the kernel's signed number holds.
pub(super) const MAX_WEIGHT: u32 = u32::MAX >> 1;

/// What `persistent_netmask` of an IPv6 service can be; 0 is refused by `ipvsadm` too.
pub(super) const PREFIX_LENGTHS_V6: RangeInclusive<u32> = 1..=128;

/// What a server's address has to be.
pub(super) const WANTED_RIP: &str = "the real server's own address";

/// One virtual service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// What tables and metrics call it; `None` is its key.
    pub name: Option<String>,
    /// What it is for: a transport, a VIP and a port (0 is every port that no other service of the
    /// VIP has), or a mark.
    pub key: ServiceKey,
    /// Who puts the VIP on a twin, and on which; the same for every service of the VIP.
    pub placement: Placement,
    /// How a server is chosen.
    pub scheduler: SchedulerKind,
    /// Flags that were given to the scheduler and that it does not ask for; the others are in
    /// `scheduler`. They are kept, as the kernel keeps them, and change nothing.
    pub idle_flags: SchedulerFlags,
    /// The pool of its FULLNAT servers.
    pub local_pool: Option<String>,
    /// What becomes of other packets to the VIP; `None` leaves it to its other services
    /// ([`super::Config::vips`] tells the result).
    pub unserved: Option<Unserved>,
    /// Whether the MSS of TCP is lowered.
    pub mss_clamp: MssClamp,
    /// Whether clients meet their servers again. Of a service of IPv6 `netmask` is the length of a
    /// prefix.
    pub persistence: Option<Persistence>,
    /// Whether every datagram is scheduled for itself.
    pub one_packet: bool,
    /// How its servers are watched; `None` is not at all.
    pub health: Option<Arc<Health>>,
    /// Its servers, in the order of the file.
    pub servers: Vec<Server>,
}

impl Service {
    /// What names the service on the packet path.
    #[must_use]
    pub const fn key(&self) -> ServiceKey {
        self.key
    }

    /// Who serves while it has no quorum.
    #[must_use]
    pub fn sorry_server(&self) -> Option<&Server> {
        self.health.as_ref()?.sorry_server.as_ref()
    }

    /// Whether everything about it but its servers is the same.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        let without = |service: &Self| Self {
            servers: Vec::new(),
            name: service.name.clone(),
            placement: service.placement.clone(),
            local_pool: service.local_pool.clone(),
            health: service.health.clone(),
            ..*service
        };
        without(self) == without(other)
    }

    /// The address that clients speak to, unless the service has a mark.
    #[must_use]
    pub const fn vip(&self) -> Option<IpAddr> {
        match self.key.virtual_endpoint() {
            Some(end) => Some(end.addr),
            None => None,
        }
    }
}

/// One real server of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// RIP and port; port 0 (only where the service's is 0) keeps the packet's.
    pub endpoint: Endpoint<IpAddr>,
    /// Its share of new sessions; 0 takes none.
    pub weight: Weight,
    /// How packets reach it.
    pub method: Method,
    /// Sessions at which it is overloaded; 0 is never.
    pub upper_threshold: u32,
    /// Sessions below which it no longer is; 0 is three quarters of the upper threshold.
    pub lower_threshold: u32,
    /// What is otherwise about watching it than its service says.
    pub health: Option<Arc<ServerHealth>>,
}

const PROTOCOLS: [(&str, Protocol); 3] = [
    ("tcp", Protocol::Tcp),
    ("udp", Protocol::Udp),
    ("sctp", Protocol::Sctp),
];

const METHODS: [(&str, Method); 4] = [
    ("dr", Method::Dr),
    ("nat", Method::Nat),
    ("tun", Method::Tun),
    ("fullnat", Method::Fullnat),
];

/// Every scheduler. What `scheduler_flags` and `[ipvs]` say of one is not here.
const SCHEDULERS: [(&str, SchedulerKind); 15] = [
    ("rr", SchedulerKind::Rr),
    ("wrr", SchedulerKind::Wrr),
    ("lc", SchedulerKind::Lc),
    ("wlc", SchedulerKind::Wlc),
    ("sed", SchedulerKind::Sed),
    ("nq", SchedulerKind::Nq),
    ("fo", SchedulerKind::Fo),
    ("ovf", SchedulerKind::Ovf),
    ("twos", SchedulerKind::Twos),
    ("dh", SchedulerKind::Dh),
    (
        "sh",
        SchedulerKind::Sh {
            fallback: false,
            port: false,
        },
    ),
    (
        "mh",
        SchedulerKind::Mh {
            fallback: false,
            port: false,
        },
    ),
    (
        "lblc",
        SchedulerKind::Lblc {
            expiration_seconds: LOCALITY_EXPIRATION_SECONDS,
        },
    ),
    (
        "lblcr",
        SchedulerKind::Lblcr {
            expiration_seconds: LOCALITY_EXPIRATION_SECONDS,
        },
    ),
    ("none", SchedulerKind::None),
];

/// The words of `scheduler_flags`, the schedulers they are for (none: for all), and their meaning.
pub(super) const SCHEDULER_FLAGS: [(&str, (Option<&str>, SchedulerFlags)); 7] = [
    ("sh-fallback", (Some("sh"), SchedulerFlags::FIRST)),
    ("sh-port", (Some("sh"), SchedulerFlags::SECOND)),
    ("mh-fallback", (Some("mh"), SchedulerFlags::FIRST)),
    ("mh-port", (Some("mh"), SchedulerFlags::SECOND)),
    ("flag-1", (None, SchedulerFlags::FIRST)),
    ("flag-2", (None, SchedulerFlags::SECOND)),
    ("flag-3", (None, SchedulerFlags::THIRD)),
];

pub(super) const UNSERVED: [(&str, Unserved); 3] = [
    ("linux", Unserved::Linux),
    ("reject", Unserved::Reject),
    ("drop", Unserved::Drop),
];

impl Service {
    pub(super) fn read(mut section: Section<'_>) -> Option<Written<'_, Self>> {
        let at = section.table();
        let name = section.optional("name", read_name);
        let key = read_key(&mut section);
        let (scheduler, idle_flags) = read_scheduler(&mut section);
        let local_pool = section.optional("local_pool", |node| Ok(node.text()?.to_owned()));
        let unserved = section.optional("unserved", |node| node.word(&UNSERVED));
        let mss_clamp = section.or("mss_clamp", MssClamp::Auto, read_mss_clamp);
        let is_v6 = key.whole.as_ref().is_some_and(|(key, _)| key.is_ipv6());
        let persistence = read_persistence(&mut section, is_v6);
        let one_packet = section.or("one_packet", false, Node::boolean);
        let health = Health::read(&mut section, key.port);
        let (servers, parts) = read_servers(&mut section, key.port);
        section.finish();
        let (key, placement) = key.whole?;
        let value = Self {
            name,
            key,
            placement,
            scheduler,
            idle_flags,
            local_pool,
            unserved,
            mss_clamp,
            persistence,
            one_packet,
            health,
            servers,
        };
        Some(Written { value, at, parts })
    }
}

impl Server {
    /// `service_port` is the default port, `None` when the service's cannot be read.
    pub(super) fn read(section: &mut Section<'_>, service_port: Option<u16>) -> Option<Self> {
        let plain = Self::read_plain(section, service_port);
        let mut threshold = |key| section.or(key, 0, |node| node.number(0, MAX_THRESHOLD));
        let upper_threshold = threshold("upper_threshold");
        let lower_threshold = threshold("lower_threshold");
        let health = ServerHealth::read(section);
        Some(Self {
            upper_threshold,
            lower_threshold,
            health,
            ..plain?
        })
    }

    /// What a sorry server has too.
    pub(super) fn read_plain(section: &mut Section<'_>, service_port: Option<u16>) -> Option<Self> {
        let address = section.required(
            "address",
            "give the real server's address, like \"10.2.0.11\"",
            read_rip,
        );
        let written_port = section.optional("port", |node| node.number(0, u16::MAX));
        let weight = section.or("weight", 1, |node| node.number(0, MAX_WEIGHT));
        let method = section.or("method", Method::Dr, |node| node.word(&METHODS));
        Some(Self {
            endpoint: Endpoint::new(address?, written_port.or(service_port)?),
            weight: Weight(weight),
            method,
            upper_threshold: 0,
            lower_threshold: 0,
            health: None,
        })
    }
}

/// What a service is for, as far as it can be read.
struct ReadKey {
    /// All of it.
    whole: Option<(ServiceKey, Placement)>,
    /// The port, which its servers have too if they do not say another.
    port: Option<u16>,
}

/// `mark = 3`, of IPv6 packets with `family = "ipv6"`, or `protocol`, `vip` and `port`.
fn read_key(section: &mut Section<'_>) -> ReadKey {
    if section.has("mark") {
        return read_mark(section);
    }
    let protocol = section.required("protocol", "give \"tcp\", \"udp\" or \"sctp\"", |node| {
        node.word(&PROTOCOLS)
    });
    let vip = read_vip(section);
    let port = section.required("port", "give the L4 port, or 0 for every port", |node| {
        node.number(0, u16::MAX)
    });
    // Known, so that a misspelt one gets the right advice.
    let _absent = section.optional("mark", |node| node.number(1, u32::MAX));
    if section.optional("family", |_| Ok(())).is_some() {
        let line = section.table().line_of("family");
        section.refuse(
            line,
            "`family` tells the packets of a `mark`, and a VIP tells its own: take it away",
        );
    }
    let whole = protocol.zip(vip).zip(port);
    let whole = whole.map(|((protocol, (vip, placement)), port)| {
        let key = ServiceKey::address(protocol, Endpoint::new(vip, port));
        (key, placement)
    });
    ReadKey { whole, port }
}

fn read_mark(section: &mut Section<'_>) -> ReadKey {
    let mark = section.optional("mark", |node| node.number(1, u32::MAX));
    let is_v6 = section.or("family", false, |node| {
        node.word(&[("ipv4", false), ("ipv6", true)])
    });
    let key_of = |mark| match is_v6 {
        true => ServiceKey::Mark6(mark),
        false => ServiceKey::Mark(mark),
    };
    for key in ["protocol", "vip", "port"] {
        if section.optional(key, |_| Ok(())).is_some() {
            let line = section.table().line_of(key);
            let message = format!(
                "`{key}` says what the service is for, but `mark` does too: take one of them away"
            );
            section.refuse(line, &message);
        }
    }
    ReadKey {
        whole: mark.map(|mark| (key_of(mark), Placement::Auto)),
        port: Some(0),
    }
}

/// `persistent = "5m"`, and `persistent_netmask = "255.255.255.0"` for clients that change their
/// addresses within a network.
fn read_persistence(section: &mut Section<'_>, is_v6: bool) -> Option<Persistence> {
    let timeout = section.optional("persistent", read_duration);
    let netmask = section.optional("persistent_netmask", |node| {
        if is_v6 {
            node.number(*PREFIX_LENGTHS_V6.start(), *PREFIX_LENGTHS_V6.end())
        } else {
            read_netmask(node)
        }
    });
    if netmask.is_some() && !section.has("persistent") {
        let line = section.table().line_of("persistent_netmask");
        section.refuse(
            line,
            "`persistent_netmask` needs `persistent`, which says for how long: give both or none",
        );
    }
    timeout.map(|timeout_seconds| Persistence {
        timeout_seconds,
        netmask: netmask.unwrap_or(every_client(is_v6)),
    })
}

/// The netmask that tells every client from every other.
pub(crate) const fn every_client(is_v6: bool) -> u32 {
    if is_v6 {
        *PREFIX_LENGTHS_V6.end()
    } else {
        Persistence::NETMASK
    }
}

/// A netmask of any bits in dots, or the length of a prefix.
fn read_netmask(node: &Node) -> Result<u32, String> {
    match &node.value {
        Value::Integer(_) => {
            let len = node.number(0, 32_u32)?;
            Ok(u32::MAX.checked_shl(32 - len).unwrap_or(0))
        }
        Value::Text(text) => match text.parse::<std::net::Ipv4Addr>() {
            Ok(mask) => Ok(mask.to_bits()),
            Err(_) => Err(format!(
                "\"{text}\" is not a netmask: write it like \"255.255.255.0\", or 24"
            )),
        },
        other => Err(format!(
            "must be a netmask like \"255.255.255.0\", or the length of a prefix, not {}",
            other.kind()
        )),
    }
}

fn read_servers<'a>(
    section: &mut Section<'a>,
    service_port: Option<u16>,
) -> (Vec<Server>, Vec<&'a Table>) {
    let mut servers = Vec::new();
    let mut tables = Vec::new();
    for mut section in section.tables("server") {
        let at = section.table();
        let server = Server::read(&mut section, service_port);
        section.finish();
        if let Some(server) = server {
            servers.push(server);
            tables.push(at);
        }
    }
    (servers, tables)
}

fn read_name(node: &Node) -> Result<String, String> {
    let text = node.text()?;
    check_name(text)?;
    Ok(text.to_owned())
}

/// Whether a service can have this name, or why not.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > 64 || name.chars().any(char::is_control) {
        return Err("must have 1 to 64 printable characters".to_owned());
    }
    Ok(())
}

fn read_rip(node: &Node) -> Result<IpAddr, String> {
    let address = parse_address(node.text()?)?;
    match not_a_server(address) {
        Some(what) => Err(format!("{address} is {what}: give {WANTED_RIP}")),
        None => Ok(address),
    }
}

/// Why no real server can have an address. A loopback address is the gateway itself.
pub(super) fn not_a_server(address: IpAddr) -> Option<&'static str> {
    not_a_host(address).filter(|_| !address.is_loopback())
}

fn read_scheduler(section: &mut Section<'_>) -> (SchedulerKind, SchedulerFlags) {
    let kind = section.or("scheduler", SchedulerKind::Wlc, |node| {
        let text = node.text()?;
        let known = SCHEDULERS.iter().find(|(name, _)| *name == text);
        known.map(|(_, kind)| *kind).ok_or_else(|| {
            // All names are short: to guess which one was meant would mislead.
            let names = SCHEDULERS.map(|(name, _)| name).join(", ");
            format!("\"{text}\" is not a scheduler: give one of {names}")
        })
    });
    let flags = section
        .list("scheduler_flags", |node| {
            let (of, flag) = node.word(&SCHEDULER_FLAGS)?;
            match of.filter(|of| *of != kind.name()) {
                None => Ok(flag),
                Some(of) => Err(format!(
                    "\"{}\" is for {of}, not for {}: take it away",
                    node.text()?,
                    kind.name()
                )),
            }
        })
        .unwrap_or_default();
    let flags = flags.into_iter();
    let flags = flags.fold(SchedulerFlags::default(), SchedulerFlags::with);
    let fallback = flags.contains(SchedulerFlags::FIRST);
    let port = flags.contains(SchedulerFlags::SECOND);
    let asked = SchedulerFlags::FIRST.with(SchedulerFlags::SECOND);
    match kind {
        SchedulerKind::Sh { .. } => (SchedulerKind::Sh { fallback, port }, flags.without(asked)),
        SchedulerKind::Mh { .. } => (SchedulerKind::Mh { fallback, port }, flags.without(asked)),
        other => (other, flags),
    }
}

fn read_mss_clamp(node: &Node) -> Result<MssClamp, String> {
    match &node.value {
        Value::Integer(_) => node.number(*MSS.start(), *MSS.end()).map(MssClamp::To),
        Value::Text(text) if text == "auto" => Ok(MssClamp::Auto),
        Value::Text(text) if text == "off" => Ok(MssClamp::Off),
        _ => Err("must be \"auto\", \"off\" or a number of bytes".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Config;
    use super::super::testing::{config, refusals};
    use super::*;

    /// The service that these lines make, without what they do not concern.
    fn service(lines: &str) -> Service {
        let text =
            format!("[[service]]\nprotocol = \"tcp\"\nvip = \"10.1.0.100\"\nport = 80\n{lines}\n");
        config(&text).services()[0].clone()
    }

    #[test]
    fn defaults_are_ipvsadms() {
        let service = service("[[service.server]]\naddress = \"10.2.0.11\"");

        assert_eq!(
            service,
            Service {
                name: None,
                key: ServiceKey::address(
                    Protocol::Tcp,
                    Endpoint::new("10.1.0.100".parse().unwrap(), 80),
                ),
                placement: Placement::Auto,
                scheduler: SchedulerKind::Wlc,
                idle_flags: SchedulerFlags::default(),
                local_pool: None,
                unserved: None,
                mss_clamp: MssClamp::Auto,
                persistence: None,
                one_packet: false,
                health: None,
                servers: vec![Server {
                    endpoint: Endpoint::new("10.2.0.11".parse().unwrap(), 80),
                    weight: Weight(1),
                    method: Method::Dr,
                    upper_threshold: 0,
                    lower_threshold: 0,
                    health: None,
                }],
            }
        );
        assert_eq!(service.key().to_string(), "tcp 10.1.0.100:80");
    }

    #[test]
    fn every_key_of_a_server_is_read() {
        let service = service(
            "[[service.server]]\naddress = \"10.2.0.11\"\nport = 8080\nweight = 65535\n\
             method = \"nat\"\nupper_threshold = 100\nlower_threshold = 50",
        );

        assert_eq!(
            service.servers,
            [Server {
                endpoint: Endpoint::new("10.2.0.11".parse().unwrap(), 8080),
                weight: Weight(65_535),
                method: Method::Nat,
                upper_threshold: 100,
                lower_threshold: 50,
                health: None,
            }]
        );
    }

    #[test]
    fn every_word_has_its_meaning() {
        let text = |key: &str, word: &str| format!("{key} = \"{word}\"");
        for (word, meaning) in UNSERVED {
            assert_eq!(service(&text("unserved", word)).unserved, Some(meaning));
        }
        for (word, meaning) in SCHEDULERS {
            assert_eq!(service(&text("scheduler", word)).scheduler, meaning);
            assert_eq!(meaning.name(), word);
        }
        assert_eq!(service("mss_clamp = 1400").mss_clamp, MssClamp::To(1400));
        assert_eq!(service("mss_clamp = \"off\"").mss_clamp, MssClamp::Off);
        let words: Vec<_> = METHODS.map(|(word, method)| (word, method.name())).into();
        assert!(words.iter().all(|(word, name)| word == name));
        let words: Vec<_> = PROTOCOLS.map(|(word, it)| (word, it.name())).into();
        assert!(words.iter().all(|(word, name)| word == name));
    }

    #[test]
    fn flags_are_those_of_sh_and_mh() {
        let flags = |scheduler: &str, flags: &str| {
            let flags = format!("scheduler_flags = [{flags}]");
            service(&format!("scheduler = \"{scheduler}\"\n{flags}")).scheduler
        };
        let mh = |fallback, port| SchedulerKind::Mh { fallback, port };
        let sh = |fallback, port| SchedulerKind::Sh { fallback, port };

        assert_eq!(flags("mh", ""), mh(false, false));
        assert_eq!(flags("mh", "\"mh-port\""), mh(false, true));
        assert_eq!(flags("mh", "\"mh-fallback\", \"mh-port\""), mh(true, true));
        assert_eq!(flags("sh", "\"sh-fallback\""), sh(true, false));
        assert_eq!(flags("sh", "\"flag-2\""), sh(false, true));
    }

    #[test]
    fn flags_that_no_scheduler_asks_for_are_kept_as_written() {
        for (scheduler, written) in [
            ("nq", "[\"flag-1\", \"flag-3\"]"),
            ("mh", "[\"mh-port\", \"flag-3\"]"),
        ] {
            let lines = format!("scheduler = \"{scheduler}\"\nscheduler_flags = {written}");
            let toml = toml::to_string(&service(&lines)).unwrap();
            let shown = format!("scheduler_flags = {written}\n");
            assert!(toml.contains(&shown), "{toml}");
        }
    }

    #[test]
    fn clients_of_ipv6_are_told_apart_by_a_prefix() {
        let begin = "[[service]]\nprotocol = \"tcp\"\nvip = \"2001:db8::1\"\nport = 80\n\
                     persistent = 60\n";
        let netmask = |line: &str| {
            let config = config(&format!("{begin}{line}"));
            config.services()[0].persistence.map(|it| it.netmask)
        };

        assert_eq!(netmask(""), Some(128));
        assert_eq!(netmask("persistent_netmask = 64\n"), Some(64));
        assert_eq!(
            refusals(&format!("{begin}persistent_netmask = 129\n")),
            ["6: `persistent_netmask` 129 is above 128: give 1 to 128"]
        );
    }

    #[test]
    fn a_vip_says_who_puts_it_where() {
        let placement = |vip: &str| {
            let text = format!("[[service]]\nprotocol = \"udp\"\nvip = {vip}\nport = 53\n");
            config(&text).services()[0].placement.clone()
        };

        assert_eq!(placement("{ address = \"10.1.0.1\" }"), Placement::Auto);
        assert_eq!(
            placement("{ address = \"10.1.0.1\", place = \"external\" }"),
            Placement::External
        );
        assert_eq!(
            placement("{ address = \"10.1.0.1\", place = \"auto\", interface = \"wan\" }"),
            Placement::Interface("wan".to_owned())
        );
    }

    #[test]
    fn a_mark_may_be_of_packets_of_ipv6() {
        let text = "[[service]]\nmark = 3\nfamily = \"ipv6\"\nscheduler_flags = [\"flag-2\"]\n\
                    persistent = 60\npersistent_netmask = 64\n\
                    [[service]]\nmark = 3\nfamily = \"ipv4\"\n\
                    [[service]]\nmark = 4\nfamily = \"ipv6\"\npersistent = 60\n";

        let config = config(text);

        let keys: Vec<_> = config.services().iter().map(Service::key).collect();
        assert_eq!(
            keys,
            [
                ServiceKey::Mark6(3),
                ServiceKey::Mark(3),
                ServiceKey::Mark6(4)
            ]
        );
        let netmasks = config.services().iter().map(|it| it.persistence);
        let netmasks: Vec<_> = netmasks.flatten().map(|it| it.netmask).collect();
        assert_eq!(netmasks, [64, 128]);
        let written = config.to_toml().unwrap();
        let again = Config::from_toml(&written, Path::new("again.toml"))
            .unwrap()
            .0;
        assert_eq!(again, config, "{written}");
    }

    #[test]
    fn a_family_is_a_marks() {
        let text = "[[service]]\nmark = 3\nfamily = \"ipv5\"\n\
                    [[service]]\nprotocol = \"tcp\"\nvip = \"10.1.0.1\"\nport = 80\n\
                    family = \"ipv4\"\n";

        assert_eq!(
            refusals(text),
            [
                "3: `family` \"ipv5\" is not known: did you mean `ipv4`?",
                "8: `family` tells the packets of a `mark`, and a VIP tells its own: take it away",
            ]
        );
    }

    #[test]
    fn a_service_may_be_for_a_mark() {
        let text = "[[service]]\nmark = 4294967295\n[[service.server]]\naddress = \"10.2.0.11\"\n";

        let config = config(text);

        let service = &config.services()[0];
        assert_eq!(service.key(), ServiceKey::Mark(u32::MAX));
        assert_eq!(service.key().to_string(), "mark 4294967295");
        assert_eq!(service.servers[0].endpoint.port, 0);
        assert_eq!(
            refusals("[[service]]\nmark = 0\n"),
            ["2: `mark` 0 is below 1: give 1 to 4294967295"]
        );
        let both = "says what the service is for, but `mark` does too: take one of them away";
        assert_eq!(
            refusals("[[service]]\nmark = 1\nport = 80\nvip = \"10.1.0.1\"\nprotocol = \"tcp\"\n"),
            [
                format!("3: `port` {both}"),
                format!("4: `vip` {both}"),
                format!("5: `protocol` {both}")
            ]
        );
    }

    #[test]
    fn clients_may_meet_their_servers_again() {
        let persistence = |lines: &str| service(lines).persistence;
        let by = |netmask| {
            Some(Persistence {
                timeout_seconds: 300,
                netmask,
            })
        };

        assert_eq!(persistence(""), None);
        assert_eq!(persistence("persistent = 300"), by(u32::MAX));
        let masks = [
            ("\"255.255.255.0\"", 0xffff_ff00),
            ("24", 0xffff_ff00),
            ("0", 0),
            ("32", u32::MAX),
            ("\"0.255.0.255\"", 0x00ff_00ff),
        ];
        for (written, netmask) in masks {
            let lines = format!("persistent = \"5m\"\npersistent_netmask = {written}");
            assert_eq!(persistence(&lines), by(netmask));
        }
        assert!(service("one_packet = false").persistence.is_none());
    }

    #[test]
    fn netmasks_that_are_none_are_refused() {
        let begin = "[[service]]\nprotocol = \"udp\"\nvip = \"10.1.0.1\"\nport = 53\n";
        for (lines, refusal) in [
            (
                "persistent_netmask = 24\n",
                "5: `persistent_netmask` needs `persistent`, which says for how long: \
                 give both or none",
            ),
            (
                "persistent = 0\n",
                "5: `persistent` 0 is no time at all: give at least 1 second",
            ),
            (
                "persistent = 1\npersistent_netmask = 33\n",
                "6: `persistent_netmask` 33 is above 32: give 0 to 32",
            ),
            (
                "persistent = 1\npersistent_netmask = \"/24\"\n",
                "6: `persistent_netmask` \"/24\" is not a netmask: \
                 write it like \"255.255.255.0\", or 24",
            ),
            (
                "persistent = 1\npersistent_netmask = true\n",
                "6: `persistent_netmask` must be a netmask like \"255.255.255.0\", \
                 or the length of a prefix, not true or false",
            ),
        ] {
            assert_eq!(refusals(&format!("{begin}{lines}")), [refusal]);
        }
        let one_packet = config(&format!("{begin}one_packet = true\n"));
        assert!(one_packet.services()[0].one_packet);
    }

    #[test]
    fn missing_keys_are_refused() {
        let vip = "give the address that clients speak to, like \"10.1.0.100\"";

        assert_eq!(
            refusals("[[service]]\n[[service.server]]\n"),
            [
                "1: `protocol` is missing: give \"tcp\", \"udp\" or \"sctp\"".to_owned(),
                format!("1: `vip` is missing: {vip}"),
                "1: `port` is missing: give the L4 port, or 0 for every port".to_owned(),
                "2: `address` is missing: give the real server's address, like \"10.2.0.11\""
                    .to_owned(),
            ]
        );
        assert_eq!(
            refusals("[[service]]\nprotocol = \"tcp\"\nport = 80\nvip = { place = \"auto\" }\n"),
            [format!("4: `address` is missing: {vip}")]
        );
    }

    #[test]
    fn values_that_do_not_exist_are_refused() {
        let found = refusals(
            "[[service]]\nname = \"\"\nprotocol = \"tpc\"\nvip = \"10.1.0\"\nport = 65536\n\
             scheduler = \"lcc\"\nunserved = \"accept\"\nmss_clamp = 100\n\
             [[service.server]]\naddress = \"10.2.0.11\"\nweight = 2147483648\nmethod = \"masq\"\n\
             port = -1\nupper_threshold = \"1\"\n\
             [[service]]\nscheduler_flags = [\"mh-prot\"]\nmss_clamp = \"on\"\n\
             protocol = \"tcp\"\nvip = \"10.1.0.1\"\nport = 80\n",
        );

        assert_eq!(
            found,
            [
                "2: `name` must have 1 to 64 printable characters",
                "3: `protocol` \"tpc\" is not known: did you mean `tcp`?",
                "4: `vip` \"10.1.0\" is not an IP address: \
                 write it like 10.2.0.11 or 2001:db8::11",
                "5: `port` 65536 is above 65535: give 0 to 65535",
                "6: `scheduler` \"lcc\" is not a scheduler: give one of rr, wrr, lc, wlc, sed, nq, \
                 fo, ovf, twos, dh, sh, mh, lblc, lblcr, none",
                "7: `unserved` \"accept\" is not known: \
                 what can stand here is linux, reject, drop",
                "8: `mss_clamp` 100 is below 536: give 536 to 65495",
                "11: `weight` 2147483648 is above 2147483647: give 0 to 2147483647",
                "12: `method` \"masq\" is not known: what can stand here is dr, nat, tun, fullnat",
                "13: `port` -1 is below 0: give 0 to 65535",
                "14: `upper_threshold` must be a whole number, not text",
                "16: `scheduler_flags` \"mh-prot\" is not known: did you mean `mh-port`?",
                "17: `mss_clamp` must be \"auto\", \"off\" or a number of bytes",
            ]
        );
    }

    #[test]
    fn flags_of_another_scheduler_are_refused() {
        assert_eq!(
            refusals(
                "[[service]]\nprotocol = \"tcp\"\nvip = \"10.1.0.1\"\nport = 80\n\
                 scheduler_flags = [\"mh-port\"]\n"
            ),
            ["5: `scheduler_flags` \"mh-port\" is for mh, not for wlc: take it away"]
        );
    }

    #[test]
    fn addresses_that_no_host_has_are_refused() {
        for (address, what) in [
            ("0.0.0.0", "the unspecified address"),
            ("239.0.0.1", "a multicast address"),
            ("255.255.255.255", "the broadcast address"),
        ] {
            let found = refusals(&format!(
                "[[service]]\nprotocol = \"tcp\"\nvip = \"{address}\"\nport = 80\n\
                 [[service.server]]\naddress = \"{address}\"\n"
            ));
            assert_eq!(
                found,
                [
                    format!(
                        "3: `vip` {address} is {what}: \
                         give a unicast address that clients can reach"
                    ),
                    format!("6: `address` {address} is {what}: give the real server's own address"),
                ]
            );
        }
    }

    #[test]
    fn an_external_vip_with_an_interface_is_refused() {
        assert_eq!(
            refusals(
                "[[service]]\nprotocol = \"tcp\"\nport = 80\n\
                 vip = { address = \"10.1.0.1\", place = \"external\", interface = \"wan\" }\n"
            ),
            [
                "4: `interface` says where the gateway puts the VIP, but with place = \
                 \"external\" it does not: take one of them away"
            ]
        );
    }
}
