//! The kinds of checks by their names in the file, and which keys are for which.

use super::super::section::Section;
use super::CheckKind;

/// What `type` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Tcp,
    Http,
    Https,
    Udp,
    Dns,
    Smtp,
    Grpc,
    Script,
    Icmp,
}

/// Every kind by its name.
pub(super) const KINDS: [(&str, Kind); 9] = [
    ("tcp", Kind::Tcp),
    ("http", Kind::Http),
    ("https", Kind::Https),
    ("udp", Kind::Udp),
    ("dns", Kind::Dns),
    ("smtp", Kind::Smtp),
    ("grpc", Kind::Grpc),
    ("script", Kind::Script),
    ("icmp", Kind::Icmp),
];

const HTTP: &[Kind] = &[Kind::Http, Kind::Https];

const TLS: &[Kind] = &[Kind::Https, Kind::Grpc];

/// Those that the gateway itself sends to a port.
const SENT: &[Kind] = &[
    Kind::Tcp,
    Kind::Http,
    Kind::Https,
    Kind::Udp,
    Kind::Dns,
    Kind::Smtp,
    Kind::Grpc,
];

/// Those that have a port: a script is told it.
const PORTS: &[Kind] = &[
    Kind::Tcp,
    Kind::Http,
    Kind::Https,
    Kind::Udp,
    Kind::Dns,
    Kind::Smtp,
    Kind::Grpc,
    Kind::Script,
];

/// The keys that are not for every kind, and the kinds that they are for.
const KEYS: [(&str, &[Kind]); 26] = [
    ("port", PORTS),
    ("via", SENT),
    ("method", HTTP),
    ("path", HTTP),
    ("host", HTTP),
    ("status", HTTP),
    ("body_regex", HTTP),
    ("body_digest", HTTP),
    ("load_header", HTTP),
    ("load_json", HTTP),
    ("tls", &[Kind::Grpc]),
    ("sni", TLS),
    ("verify", TLS),
    ("ca", TLS),
    ("send", &[Kind::Udp]),
    ("send_hex", &[Kind::Udp]),
    ("expect", &[Kind::Udp]),
    ("expect_hex", &[Kind::Udp]),
    ("query", &[Kind::Dns]),
    ("record", &[Kind::Dns]),
    ("answer", &[Kind::Dns]),
    ("helo", &[Kind::Smtp]),
    ("service", &[Kind::Grpc]),
    ("command", &[Kind::Script]),
    ("weight_by_status", &[Kind::Script]),
    ("user", &[Kind::Script]),
];

impl Kind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Http => "http",
            Self::Https => "https",
            Self::Udp => "udp",
            Self::Dns => "dns",
            Self::Smtp => "smtp",
            Self::Grpc => "grpc",
            Self::Script => "script",
            Self::Icmp => "icmp",
        }
    }

    /// Refuses the keys of other kinds: a reader that does not ask for them would say that there
    /// are no such keys.
    pub(super) fn refuse_others(self, section: &mut Section<'_>) {
        for (key, kinds) in KEYS {
            if section.has(key) && !kinds.contains(&self) {
                let names: Vec<_> = kinds.iter().map(|kind| kind.name()).collect();
                let message = format!(
                    "is for {}, not for {}: take it away, or change `type`",
                    names.join(", "),
                    self.name()
                );
                section.optional(key, |_| Err::<(), _>(message));
            }
        }
    }
}

impl CheckKind {
    /// The kind's name in the file.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        let kind = match self {
            Self::Tcp => Kind::Tcp,
            Self::Http(http) if http.tls.is_some() => Kind::Https,
            Self::Http(_) => Kind::Http,
            Self::Udp(_) => Kind::Udp,
            Self::Dns(_) => Kind::Dns,
            Self::Smtp { .. } => Kind::Smtp,
            Self::Grpc(_) => Kind::Grpc,
            Self::Script(_) => Kind::Script,
            Self::Icmp => Kind::Icmp,
        };
        kind.name()
    }

    /// Whether it needs a port.
    pub(in super::super) const fn has_port(&self) -> bool {
        !matches!(self, Self::Script(_) | Self::Icmp)
    }
}
