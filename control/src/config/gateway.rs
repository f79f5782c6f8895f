//! `[gateway]`: cores, memory, sockets — what the daemon needs before any port or service.

use std::net::SocketAddr;
use std::path::PathBuf;

use dataplane::id::CoreId;
use serde::{Serialize, Serializer};

use super::announce::{self, Announce};
use super::document::{Node, Value};
use super::section::Section;
use super::timeouts::read_duration;

/// The most workers: each needs at least one entry of a 128-entry redirection table.
pub const MAX_WORKERS: u16 = 128;

/// The highest core number that glibc's CPU sets can name.
const MAX_CORE: u16 = 1023;

/// The path of a Unix socket must fit `sockaddr_un` with its final zero.
const MAX_SOCKET_PATH: usize = 107;

/// The longest hand-over, in seconds: whoever stops a service waits about so long before it kills.
const MAX_HAND_OVER: u32 = 60;

/// The smallest buffer: DPDK's 2,048 bytes behind 128 bytes of headroom.
pub const MIN_BUFFER_BYTES: u16 = 2176;

/// What the daemon needs before any port or service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gateway {
    /// Which cores forward packets.
    pub workers: Workers,
    /// Whether memory comes from huge pages.
    pub huge_pages: HugePages,
    /// Megabytes that DPDK takes at start, for packet buffers and descriptors.
    pub memory_mb: u32,
    /// Keeps several gateways on one machine apart (EAL's `--file-prefix`).
    pub file_prefix: String,
    /// The Unix socket of the API, an absolute path.
    pub socket: PathBuf,
    /// The Unix group that may use the socket besides its owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control_group: Option<String>,
    /// What everybody else may.
    pub others: Others,
    /// Where `/metrics` listens; `None` is nowhere.
    #[serde(serialize_with = "socket_or_off")]
    pub metrics: Option<SocketAddr>,
    /// Whether `/metrics` also has the names that node_exporter gives for the kernel's IPVS.
    pub node_ipvs_metrics: bool,
    /// Places in each worker's session table.
    pub sessions_per_worker: u32,
    /// What a worker does when nothing arrives.
    pub idle: Idle,
    /// Where the journal of added addresses is kept; emptied by a reboot. An absolute path.
    pub state_dir: PathBuf,
    /// Packet buffers per socket; `None` is as many as the ports need
    /// ([`super::Config::pool_buffers`]).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool_buffers: Option<u32>,
    /// Bytes of one packet buffer with its headroom; `None` is what the largest MTU needs
    /// ([`super::Config::buffer_bytes`]).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buffer_bytes: Option<u16>,
    /// The routing tables that are mirrored, each once.
    pub route_tables: Vec<RouteTable>,
    /// Seconds that external VIPs have to leave the twins when the gateway is told to stop; 0 stops
    /// at once.
    pub hand_over: u32,
    /// The routing table in which VIPs are announced; none of `route_tables`. `None` announces
    /// nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub announce_table: Option<u32>,
    /// When a VIP is announced that several services have.
    pub announce: Announce,
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            workers: Workers::Count(1),
            huge_pages: HugePages::Auto,
            memory_mb: 512,
            file_prefix: "sluice".to_owned(),
            socket: PathBuf::from("/run/sluice/sluice.sock"),
            control_group: None,
            others: Others::Nothing,
            metrics: Some(SocketAddr::from(([127, 0, 0, 1], 9911))),
            node_ipvs_metrics: false,
            sessions_per_worker: 1_000_000,
            idle: Idle::Sleep,
            state_dir: PathBuf::from("/run/sluice"),
            pool_buffers: None,
            buffer_bytes: None,
            route_tables: vec![RouteTable::MAIN],
            hand_over: 5,
            announce_table: None,
            announce: Announce::Any,
        }
    }
}

/// Which cores forward packets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Workers {
    /// This many, on the first cores the process may use.
    Count(u16),
    /// One on each of these, in this order; never empty, no core twice.
    Cores(#[serde(serialize_with = "core_numbers")] Vec<CoreId>),
}

impl Workers {
    /// How many workers there are, at least 1.
    #[must_use]
    pub fn count(&self) -> u16 {
        match self {
            Self::Count(count) => *count,
            Self::Cores(cores) => u16::try_from(cores.len()).unwrap_or(MAX_WORKERS),
        }
    }
}

/// Whether memory comes from huge pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HugePages {
    /// From huge pages if there are enough, else from ordinary ones, with a warning.
    #[default]
    Auto,
    /// The gateway does not start without them.
    Required,
    /// From ordinary pages.
    Never,
}

impl Serialize for HugePages {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Required => serializer.serialize_bool(true),
            Self::Never => serializer.serialize_bool(false),
        }
    }
}

/// What those may who are neither root nor in the control group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Others {
    /// The socket is closed to them.
    #[default]
    Nothing,
    /// They may ask, and change nothing.
    Read,
}

/// What a worker does when nothing arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Idle {
    /// Pauses, then sleeps for short whiles; never under load.
    #[default]
    Sleep,
    /// Polls without a pause: the lowest latency, and the core is always busy.
    Spin,
}

/// A routing table of Linux by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteTable(pub u32);

impl RouteTable {
    /// `main`, where `ip route` puts routes that name no table.
    pub const MAIN: Self = Self(254);
    /// `default`.
    pub const DEFAULT: Self = Self(253);
}

impl Serialize for RouteTable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::MAIN => serializer.serialize_str("main"),
            Self::DEFAULT => serializer.serialize_str("default"),
            Self(number) => serializer.serialize_u32(number),
        }
    }
}

impl Gateway {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let default = Self::default();
        let route_tables = read_route_tables(&mut section).unwrap_or(default.route_tables);
        let gateway = Self {
            workers: read_workers(&mut section).unwrap_or(default.workers),
            huge_pages: section.or("huge_pages", default.huge_pages, read_huge_pages),
            // 64 MB is the least with which EAL starts, 1 TB more than any gateway has use for.
            memory_mb: section.or("memory_mb", default.memory_mb, |n| n.number(64, 1_048_576)),
            file_prefix: section.or("file_prefix", default.file_prefix, read_file_prefix),
            socket: section.or("socket", default.socket, read_socket_path),
            control_group: section.optional("control_group", read_group),
            others: section.or("others", default.others, |node| {
                node.word(&[("nothing", Others::Nothing), ("read", Others::Read)])
            }),
            metrics: section.or("metrics", default.metrics, read_metrics),
            node_ipvs_metrics: section.or(
                "node_ipvs_metrics",
                default.node_ipvs_metrics,
                Node::boolean,
            ),
            sessions_per_worker: section.or(
                "sessions_per_worker",
                default.sessions_per_worker,
                // At 143 bytes a session, 100 million are 14.3 GB for each worker.
                |n| n.number(1024, 100_000_000),
            ),
            idle: section.or("idle", default.idle, |node| {
                node.word(&[("sleep", Idle::Sleep), ("spin", Idle::Spin)])
            }),
            state_dir: section.or("state_dir", default.state_dir, read_absolute_path),
            pool_buffers: section.optional("pool_buffers", |n| n.number(1024, 16_777_216)),
            buffer_bytes: section
                .optional("buffer_bytes", |n| n.number(MIN_BUFFER_BYTES, u16::MAX)),
            hand_over: section.or("hand_over", default.hand_over, read_hand_over),
            announce_table: announce::read_table(&mut section, &route_tables),
            announce: section.or("announce", default.announce, announce::read),
            route_tables,
        };
        section.finish();
        gateway
    }
}

fn read_workers(section: &mut Section<'_>) -> Option<Workers> {
    let is_list = |node: &Node| Ok(matches!(node.value, Value::List(_)));
    if !section.optional("workers", is_list)? {
        return section.optional("workers", |node| match node.value {
            Value::Integer(_) => Ok(Workers::Count(node.number(1, MAX_WORKERS)?)),
            _ => Err("must be a list of cores like [1, 2], or how many".to_owned()),
        });
    }
    let line = section.table().line_of("workers");
    let cores = section.list("workers", |node| node.number(0, MAX_CORE))?;
    if section.is_empty_list("workers") {
        section.refuse(line, "`workers` has no core: name at least one, like [1]");
    }
    if cores.len() > usize::from(MAX_WORKERS) {
        let message = format!(
            "`workers` names {} cores: at most {MAX_WORKERS} can share a port's traffic",
            cores.len()
        );
        section.refuse(line, &message);
    }
    if let Some(core) = first_repeated(&cores) {
        let message = format!("`workers` names core {core} twice: a core runs one worker");
        section.refuse(line, &message);
    }
    let cores: Vec<_> = cores.into_iter().map(CoreId).collect();
    (!cores.is_empty()).then_some(Workers::Cores(cores))
}

fn read_huge_pages(node: &Node) -> Result<HugePages, String> {
    match &node.value {
        Value::Boolean(true) => Ok(HugePages::Required),
        Value::Boolean(false) => Ok(HugePages::Never),
        Value::Text(text) if text == "auto" => Ok(HugePages::Auto),
        _ => Err("must be \"auto\", true or false".to_owned()),
    }
}

fn read_file_prefix(node: &Node) -> Result<String, String> {
    let text = node.text()?;
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if (1..=32).contains(&text.len()) && text.bytes().all(is_good) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "\"{text}\" cannot be part of a file name: use 1 to 32 letters, digits, `-` and `_`"
        ))
    }
}

fn read_group(node: &Node) -> Result<String, String> {
    let text = node.text()?;
    if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c == ':') {
        return Err(format!(
            "\"{text}\" is not the name of a Unix group: write it as in /etc/group"
        ));
    }
    Ok(text.to_owned())
}

fn read_absolute_path(node: &Node) -> Result<PathBuf, String> {
    let text = node.text()?;
    if text.starts_with('/') && !text.contains('\0') {
        Ok(PathBuf::from(text))
    } else {
        Err(format!(
            "\"{text}\" is not an absolute path: begin it with /"
        ))
    }
}

fn read_socket_path(node: &Node) -> Result<PathBuf, String> {
    let path = read_absolute_path(node)?;
    if path.as_os_str().len() > MAX_SOCKET_PATH {
        return Err(format!(
            "is a path of {} bytes: a Unix socket's has at most {MAX_SOCKET_PATH}",
            path.as_os_str().len()
        ));
    }
    Ok(path)
}

fn read_metrics(node: &Node) -> Result<Option<SocketAddr>, String> {
    match node.text()? {
        "off" => Ok(None),
        text => text.parse().map(Some).map_err(|_| {
            format!("\"{text}\" is not where to listen: write \"127.0.0.1:9911\" or \"off\"")
        }),
    }
}

/// A duration, or none at all.
fn read_hand_over(node: &Node) -> Result<u32, String> {
    let is_zero = match &node.value {
        Value::Integer(seconds) => *seconds == 0,
        Value::Text(text) => text == "0s",
        _ => false,
    };
    if is_zero {
        return Ok(0);
    }
    match read_duration(node)? {
        seconds @ ..=MAX_HAND_OVER => Ok(seconds),
        seconds => Err(format!(
            "{seconds} seconds is too long to wait for others: give at most {MAX_HAND_OVER}"
        )),
    }
}

fn read_route_tables(section: &mut Section<'_>) -> Option<Vec<RouteTable>> {
    let tables = section.list("route_tables", |node| match &node.value {
        Value::Text(text) if text == "main" => Ok(RouteTable::MAIN),
        Value::Text(text) if text == "default" => Ok(RouteTable::DEFAULT),
        Value::Integer(_) => node.number(1, u32::MAX).map(RouteTable),
        _ => Err("must hold \"main\", \"default\" or a table's number".to_owned()),
    })?;
    let line = section.table().line_of("route_tables");
    if section.is_empty_list("route_tables") {
        section.refuse(line, "`route_tables` is empty: name at least \"main\"");
    }
    if let Some(RouteTable(number)) = first_repeated(&tables) {
        let message = format!("`route_tables` names table {number} twice: take one away");
        section.refuse(line, &message);
    }
    Some(tables)
}

fn first_repeated<T: Copy + PartialEq>(items: &[T]) -> Option<T> {
    let mut rest = items.iter().copied().enumerate();
    rest.find(|(index, item)| items[..*index].contains(item))
        .map(|(_, item)| item)
}

fn socket_or_off<S: Serializer>(
    metrics: &Option<SocketAddr>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match metrics {
        Some(listen) => serializer.collect_str(listen),
        None => serializer.serialize_str("off"),
    }
}

fn core_numbers<S: Serializer>(cores: &[CoreId], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(cores.iter().map(|core| core.0))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{config, refusals};
    use super::*;

    #[test]
    fn an_absent_gateway_is_the_default() {
        assert_eq!(config("").gateway(), &Gateway::default());
        assert_eq!(config("[gateway]\n").gateway(), &Gateway::default());
    }

    #[test]
    fn every_key_is_read() {
        let config = config(
            "[gateway]\nworkers = [2, 1]\nhuge_pages = true\nmemory_mb = 1024\n\
             file_prefix = \"blue\"\nsocket = \"/run/blue.sock\"\ncontrol_group = \"adm\"\n\
             others = \"read\"\nmetrics = \"off\"\nnode_ipvs_metrics = true\n\
             sessions_per_worker = 2048\nidle = \"spin\"\n\
             state_dir = \"/run/blue\"\npool_buffers = 65535\nbuffer_bytes = 4096\n\
             route_tables = [\"main\", \"default\", 100]\n\
             announce_table = 201\nannounce = \"all\"\n\
             hand_over = \"8s\"\n",
        );

        assert_eq!(
            config.gateway(),
            &Gateway {
                workers: Workers::Cores(vec![CoreId(2), CoreId(1)]),
                huge_pages: HugePages::Required,
                memory_mb: 1024,
                file_prefix: "blue".to_owned(),
                socket: PathBuf::from("/run/blue.sock"),
                control_group: Some("adm".to_owned()),
                others: Others::Read,
                metrics: None,
                node_ipvs_metrics: true,
                sessions_per_worker: 2048,
                idle: Idle::Spin,
                state_dir: PathBuf::from("/run/blue"),
                pool_buffers: Some(65_535),
                buffer_bytes: Some(4096),
                route_tables: vec![RouteTable::MAIN, RouteTable::DEFAULT, RouteTable(100)],
                hand_over: 8,
                announce_table: Some(201),
                announce: Announce::All,
            }
        );
        assert_eq!(config.gateway().workers.count(), 2);
        assert_eq!(
            (config.pool_buffers(), config.buffer_bytes()),
            (65_535, 4096)
        );
    }

    #[test]
    fn workers_are_cores_or_a_count() {
        assert_eq!(
            config("[gateway]\nworkers = 4\n").gateway().workers,
            Workers::Count(4)
        );
        for (value, sentence) in [
            ("[]", "`workers` has no core: name at least one, like [1]"),
            (
                "[1, 2, 1]",
                "`workers` names core 1 twice: a core runs one worker",
            ),
            ("[1024]", "`workers` 1024 is above 1023: give 0 to 1023"),
            ("0", "`workers` 0 is below 1: give 1 to 128"),
            ("129", "`workers` 129 is above 128: give 1 to 128"),
            (
                "\"all\"",
                "`workers` must be a list of cores like [1, 2], or how many",
            ),
        ] {
            assert_eq!(
                refusals(&format!("[gateway]\nworkers = {value}\n")),
                [format!("2: {sentence}")]
            );
        }
        let many: Vec<_> = (0..129).collect();
        assert_eq!(
            refusals(&format!(
                "[gateway]\nmemory_mb = 4096\nworkers = {many:?}\n"
            )),
            ["3: `workers` names 129 cores: at most 128 can share a port's traffic"]
        );
    }

    #[test]
    fn wrong_texts_say_what_to_write() {
        let long = format!("/{}", "x".repeat(107));
        for (line, sentence) in [
            (
                "huge_pages = \"yes\"",
                "`huge_pages` must be \"auto\", true or false".to_owned(),
            ),
            (
                "file_prefix = \"a/b\"",
                "`file_prefix` \"a/b\" cannot be part of a file name: \
                 use 1 to 32 letters, digits, `-` and `_`"
                    .to_owned(),
            ),
            (
                "socket = \"run/x.sock\"",
                "`socket` \"run/x.sock\" is not an absolute path: begin it with /".to_owned(),
            ),
            (
                &*format!("socket = \"{long}\""),
                "`socket` is a path of 108 bytes: a Unix socket's has at most 107".to_owned(),
            ),
            (
                "state_dir = \"x\"",
                "`state_dir` \"x\" is not an absolute path: begin it with /".to_owned(),
            ),
            (
                "control_group = \"a b\"",
                "`control_group` \"a b\" is not the name of a Unix group: \
                 write it as in /etc/group"
                    .to_owned(),
            ),
            (
                "metrics = \"9911\"",
                "`metrics` \"9911\" is not where to listen: write \"127.0.0.1:9911\" or \"off\""
                    .to_owned(),
            ),
            (
                "others = \"write\"",
                "`others` \"write\" is not known: what can stand here is nothing, read".to_owned(),
            ),
            (
                "idle = \"slep\"",
                "`idle` \"slep\" is not known: did you mean `sleep`?".to_owned(),
            ),
        ] {
            assert_eq!(
                refusals(&format!("[gateway]\n{line}\n")),
                [format!("2: {sentence}")]
            );
        }
    }

    #[test]
    fn a_hand_over_takes_no_time_or_up_to_a_minute() {
        let read = |value: &str| {
            let config = config(&format!("[gateway]\nhand_over = {value}\n"));
            config.gateway().hand_over
        };

        assert_eq!(["0", "\"0s\"", "3", "\"1m\""].map(read), [0, 0, 3, 60]);
        assert_eq!(
            refusals("[gateway]\nhand_over = \"2m\"\n"),
            ["2: `hand_over` 120 seconds is too long to wait for others: give at most 60"]
        );
    }

    #[test]
    fn route_tables_are_names_or_numbers_each_once() {
        for (value, sentence) in [
            ("[]", "`route_tables` is empty: name at least \"main\""),
            (
                "[\"main\", 254]",
                "`route_tables` names table 254 twice: take one away",
            ),
            (
                "[\"blue\"]",
                "`route_tables` must hold \"main\", \"default\" or a table's number",
            ),
            ("[0]", "`route_tables` 0 is below 1: give 1 to 4294967295"),
        ] {
            assert_eq!(
                refusals(&format!("[gateway]\nroute_tables = {value}\n")),
                [format!("2: {sentence}")]
            );
        }
    }
}
