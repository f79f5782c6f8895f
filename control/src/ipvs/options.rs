//! The options of `ipvsadm`: how they are spelled, and which of them a command takes.

use super::failure::Failure;

/// What a word on the command line may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opt {
    /// A command.
    Verb(Verb),
    /// An option that commands take or not, of which each may be given once.
    Named(Kind, Detail),
    /// `-6`.
    Ipv6,
    /// `--sort`, which changes nothing.
    Sort,
}

/// A command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    AddService,
    EditService,
    DeleteService,
    AddServer,
    EditServer,
    DeleteServer,
    AddLocal,
    DeleteLocal,
    ListLocal,
    Flush,
    List,
    Zero,
    Restore,
    Save,
    Set,
    StartDaemon,
    StopDaemon,
    Help,
    Version,
}

impl Verb {
    /// As messages call it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::AddService => "add-service",
            Self::EditService => "edit-service",
            Self::DeleteService => "delete-service",
            Self::AddServer => "add-server",
            Self::EditServer => "edit-server",
            Self::DeleteServer => "delete-server",
            Self::AddLocal => "add-laddr",
            Self::DeleteLocal => "del-laddr",
            Self::ListLocal => "get-laddr",
            Self::Flush => "flush",
            Self::List => "list",
            Self::Zero => "zero",
            Self::Restore => "restore",
            Self::Save => "save",
            Self::Set => "set",
            Self::StartDaemon => "start-daemon",
            Self::StopDaemon => "stop-daemon",
            Self::Help => "help",
            Self::Version => "version",
        }
    }

    /// Whether it describes a real server, of which `-b` says that FULLNAT reaches it.
    pub(super) const fn describes_server(self) -> bool {
        matches!(self, Self::AddServer | Self::EditServer)
    }
}

/// What a message calls an option; spellings that exclude each other are one kind. In the order
/// in which a line is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Numeric,
    Connection,
    Service,
    Scheduler,
    Persistent,
    Netmask,
    Server,
    Forward,
    Weight,
    Upper,
    Lower,
    McastInterface,
    Timeout,
    Daemon,
    Stats,
    Rate,
    Thresholds,
    PersistentConn,
    Nosort,
    SyncId,
    Exact,
    OnePacket,
    Engine,
    Flags,
    McastGroup,
    McastPort,
    McastTtl,
    SyncMaxlen,
    TunInfo,
    TunType,
    TunPort,
    TunNocsum,
    TunCsum,
    TunRemcsum,
    Local,
}

impl Kind {
    /// All, in the order of checking, by the names of messages.
    pub(super) const ALL: [(Self, &'static str); 35] = [
        (Self::Numeric, "numeric"),
        (Self::Connection, "connection"),
        (Self::Service, "service-address"),
        (Self::Scheduler, "scheduler"),
        (Self::Persistent, "persistent"),
        (Self::Netmask, "netmask"),
        (Self::Server, "real-server"),
        (Self::Forward, "forwarding-method"),
        (Self::Weight, "weight"),
        (Self::Upper, "u-threshold"),
        (Self::Lower, "l-threshold"),
        (Self::McastInterface, "mcast-interface"),
        (Self::Timeout, "timeout"),
        (Self::Daemon, "daemon"),
        (Self::Stats, "stats"),
        (Self::Rate, "rate"),
        (Self::Thresholds, "thresholds"),
        (Self::PersistentConn, "persistent-conn"),
        (Self::Nosort, "nosort"),
        (Self::SyncId, "syncid"),
        (Self::Exact, "exact"),
        (Self::OnePacket, "ops"),
        (Self::Engine, "pe"),
        (Self::Flags, "sched-flags"),
        (Self::McastGroup, "mcast-group"),
        (Self::McastPort, "mcast-port"),
        (Self::McastTtl, "mcast-ttl"),
        (Self::SyncMaxlen, "sync-maxlen"),
        (Self::TunInfo, "tun-info"),
        (Self::TunType, "tun-type"),
        (Self::TunPort, "tun-port"),
        (Self::TunNocsum, "tun-nocsum"),
        (Self::TunCsum, "tun-csum"),
        (Self::TunRemcsum, "tun-remcsum"),
        (Self::Local, "local-address"),
    ];

    /// As messages call it.
    pub(super) const fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

/// Which spelling of a [`Kind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detail {
    /// The only one.
    Only,
    Tcp,
    Udp,
    Sctp,
    Mark,
    Gatewaying,
    Ipip,
    Masquerading,
    Fullnat,
}

/// Which kinds a line has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Given(u64);

impl Given {
    /// Notes a kind; false when it was there already.
    pub(super) const fn insert(&mut self, kind: Kind) -> bool {
        let bit = 1 << kind as u8;
        let is_new = self.0 & bit == 0;
        self.0 |= bit;
        is_new
    }

    pub(super) const fn has(self, kind: Kind) -> bool {
        self.0 & (1 << kind as u8) != 0
    }

    pub(super) fn has_any(self, kinds: &[Kind]) -> bool {
        kinds.iter().any(|kind| self.has(*kind))
    }
}

/// Whether an option stands alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Argument {
    None,
    Required,
    /// The next word, unless that begins with a hyphen.
    Optional,
}

/// An option as it is spelled.
#[derive(Debug)]
pub(super) struct Spelling {
    pub(super) long: &'static str,
    /// Its letters, one after the other.
    pub(super) short: &'static str,
    pub(super) argument: Argument,
    pub(super) opt: Opt,
}

const fn spelling(
    long: &'static str,
    short: &'static str,
    argument: Argument,
    opt: Opt,
) -> Spelling {
    Spelling {
        long,
        short,
        argument,
        opt,
    }
}

const fn verb(long: &'static str, short: &'static str, verb: Verb) -> Spelling {
    spelling(long, short, Argument::None, Opt::Verb(verb))
}

const fn flag(long: &'static str, short: &'static str, kind: Kind) -> Spelling {
    let opt = Opt::Named(kind, Detail::Only);
    spelling(long, short, Argument::None, opt)
}

const fn value(long: &'static str, short: &'static str, kind: Kind) -> Spelling {
    let opt = Opt::Named(kind, Detail::Only);
    spelling(long, short, Argument::Required, opt)
}

const fn service(long: &'static str, short: &'static str, detail: Detail) -> Spelling {
    let opt = Opt::Named(Kind::Service, detail);
    spelling(long, short, Argument::Required, opt)
}

const fn method(long: &'static str, short: &'static str, detail: Detail) -> Spelling {
    let opt = Opt::Named(Kind::Forward, detail);
    spelling(long, short, Argument::None, opt)
}

const fn daemon(long: &'static str, it: Verb) -> Spelling {
    spelling(long, "", Argument::Required, Opt::Verb(it))
}

/// `-b` of a server; of a service it is `--sched-flags`.
pub(super) const FULLNAT: Spelling = method("fullnat", "", Detail::Fullnat);

/// Every option.
pub(super) const SPELLINGS: &[Spelling] = &[
    verb("add-service", "A", Verb::AddService),
    verb("edit-service", "E", Verb::EditService),
    verb("delete-service", "D", Verb::DeleteService),
    verb("add-server", "a", Verb::AddServer),
    verb("edit-server", "e", Verb::EditServer),
    verb("delete-server", "d", Verb::DeleteServer),
    verb("add-laddr", "P", Verb::AddLocal),
    verb("del-laddr", "Q", Verb::DeleteLocal),
    verb("get-laddr", "G", Verb::ListLocal),
    verb("clear", "C", Verb::Flush),
    verb("list", "Ll", Verb::List),
    verb("zero", "Z", Verb::Zero),
    verb("restore", "R", Verb::Restore),
    verb("save", "S", Verb::Save),
    verb("set", "", Verb::Set),
    daemon("start-daemon", Verb::StartDaemon),
    daemon("stop-daemon", Verb::StopDaemon),
    verb("help", "h", Verb::Help),
    verb("version", "v", Verb::Version),
    service("tcp-service", "t", Detail::Tcp),
    service("udp-service", "u", Detail::Udp),
    service("sctp-service", "", Detail::Sctp),
    service("fwmark-service", "f", Detail::Mark),
    spelling("ipv6", "6", Argument::None, Opt::Ipv6),
    value("scheduler", "s", Kind::Scheduler),
    spelling(
        "persistent",
        "p",
        Argument::Optional,
        Opt::Named(Kind::Persistent, Detail::Only),
    ),
    value("netmask", "M", Kind::Netmask),
    value("pe", "", Kind::Engine),
    value("sched-flags", "b", Kind::Flags),
    flag("ops", "o", Kind::OnePacket),
    value("real-server", "r", Kind::Server),
    method("gatewaying", "g", Detail::Gatewaying),
    method("ipip", "i", Detail::Ipip),
    method("masquerading", "m", Detail::Masquerading),
    FULLNAT,
    value("local-address", "z", Kind::Local),
    value("weight", "w", Kind::Weight),
    value("u-threshold", "x", Kind::Upper),
    value("l-threshold", "y", Kind::Lower),
    value("tun-type", "", Kind::TunType),
    value("tun-port", "", Kind::TunPort),
    flag("tun-nocsum", "", Kind::TunNocsum),
    flag("tun-csum", "", Kind::TunCsum),
    flag("tun-remcsum", "", Kind::TunRemcsum),
    flag("numeric", "n", Kind::Numeric),
    flag("connection", "c", Kind::Connection),
    flag("timeout", "", Kind::Timeout),
    flag("daemon", "", Kind::Daemon),
    flag("stats", "", Kind::Stats),
    flag("rate", "", Kind::Rate),
    flag("thresholds", "", Kind::Thresholds),
    flag("persistent-conn", "", Kind::PersistentConn),
    flag("tun-info", "", Kind::TunInfo),
    flag("exact", "X", Kind::Exact),
    flag("nosort", "", Kind::Nosort),
    spelling("sort", "", Argument::None, Opt::Sort),
    value("mcast-interface", "", Kind::McastInterface),
    value("syncid", "", Kind::SyncId),
    value("sync-maxlen", "", Kind::SyncMaxlen),
    value("mcast-group", "", Kind::McastGroup),
    value("mcast-port", "", Kind::McastPort),
    value("mcast-ttl", "", Kind::McastTtl),
];

/// What a command says to an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    Illegal,
    Allowed,
    Required,
    /// Allowed, but only one of those with this rule.
    Exclusive,
}

/// What `verb` says to `kind`.
pub(super) const fn rule(verb: Verb, kind: Kind) -> Rule {
    match (verb, kind) {
        (
            Verb::AddService
            | Verb::EditService
            | Verb::DeleteService
            | Verb::AddServer
            | Verb::EditServer
            | Verb::DeleteServer
            | Verb::AddLocal
            | Verb::DeleteLocal,
            Kind::Service,
        )
        | (Verb::AddLocal | Verb::DeleteLocal, Kind::Local)
        | (Verb::AddServer | Verb::EditServer | Verb::DeleteServer, Kind::Server) => Rule::Required,
        (
            Verb::AddService | Verb::EditService,
            Kind::Scheduler
            | Kind::Persistent
            | Kind::Netmask
            | Kind::OnePacket
            | Kind::Engine
            | Kind::Flags,
        )
        | (
            Verb::AddServer | Verb::EditServer,
            Kind::Forward
            | Kind::Weight
            | Kind::Upper
            | Kind::Lower
            | Kind::TunType
            | Kind::TunPort
            | Kind::TunNocsum
            | Kind::TunCsum
            | Kind::TunRemcsum,
        )
        | (
            Verb::List,
            Kind::Numeric
            | Kind::SyncId
            | Kind::Stats
            | Kind::Rate
            | Kind::Thresholds
            | Kind::PersistentConn
            | Kind::Nosort
            | Kind::Exact
            | Kind::TunInfo,
        )
        | (Verb::Zero | Verb::ListLocal, Kind::Service)
        | (Verb::ListLocal, Kind::Numeric)
        | (Verb::Save, Kind::Numeric)
        | (
            Verb::StartDaemon,
            Kind::McastInterface
            | Kind::McastGroup
            | Kind::McastPort
            | Kind::McastTtl
            | Kind::SyncMaxlen
            | Kind::SyncId,
        )
        | (Verb::StopDaemon, Kind::SyncId) => Rule::Allowed,
        (Verb::List, Kind::Connection | Kind::Service | Kind::Timeout | Kind::Daemon) => {
            Rule::Exclusive
        }
        _ => Rule::Illegal,
    }
}

/// Whether the command takes all options given, and has those it needs.
pub(super) fn check(verb: Verb, given: Given) -> Result<(), Failure> {
    let command = verb.name();
    let mut exclusive = None;
    for (kind, name) in Kind::ALL {
        let text = match (rule(verb, kind), given.has(kind)) {
            (Rule::Required, false) => return Err(missing(kind, verb)),
            (Rule::Illegal, true) => {
                format!("Illegal '{name}' option with the '{command}' command")
            }
            (Rule::Exclusive, true) => match exclusive.replace(name) {
                None => continue,
                Some(earlier) => format!(
                    "The option '{name}' conflicts with the '{earlier}' option in the '{command}' \
                     command"
                ),
            },
            _ => continue,
        };
        return Err(Failure::usage(text));
    }
    Ok(())
}

/// What a line says that lacks an option its command needs.
pub(super) fn missing(kind: Kind, verb: Verb) -> Failure {
    Failure::usage(format!(
        "You need to supply the '{}' option for the '{}' command",
        kind.name(),
        verb.name()
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn kinds_stand_in_the_order_of_their_bits() {
        for (index, (kind, _)) in Kind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, index);
        }
    }

    #[test]
    fn no_two_options_are_spelled_alike() {
        let mut seen = BTreeSet::new();
        for it in SPELLINGS {
            assert!(seen.insert(it.long.to_owned()), "--{}", it.long);
            for letter in it.short.chars() {
                assert!(seen.insert(letter.to_string()), "-{letter}");
            }
        }
    }
}
