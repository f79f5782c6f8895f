//! The log's line for each change of state: a sentence for people, and its parts as fields for
//! programs that read the log as JSON.

use std::net::SocketAddr;

use dataplane::id::Weight;
use serde_json::Value;

use super::actor;
use super::events::{EventKind, ServerName};
use crate::config::Server;
use crate::health::standing::is_disabled;

/// The lines about services and servers of one change; what it changes besides is counted.
const LINES: usize = 20;

/// Something that happened, and what the log says of it besides.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) kind: EventKind,
    /// What became otherwise: `weight 5 -> 3`.
    pub(super) what: Option<String>,
}

impl From<EventKind> for Change {
    fn from(kind: EventKind) -> Self {
        Self { kind, what: None }
    }
}

/// What one change has brought about.
#[derive(Debug, Default)]
pub(super) struct Entry {
    told: usize,
}

impl Entry {
    /// Writes a line about a change, if nobody else does and there are not too many yet. VIPs and
    /// maintenance always have theirs.
    pub(super) fn note(&mut self, Change { kind, what }: &Change) {
        let Some(mut sentence) = sentence(kind) else {
            return;
        };
        if !is_of_vips(kind) {
            self.told += 1;
            if self.told > LINES {
                return;
            }
        }
        if let Some(what) = what {
            sentence = format!("{sentence}: {what}");
        }
        let is_bad = matches!(kind, EventKind::ServerOverloaded(_));
        write(is_bad, Some(kind), &sentence);
    }

    /// Says how much there was besides.
    pub(super) fn end(self) {
        let rest = self.told.saturating_sub(LINES);
        if rest > 0 {
            write(false, None, &format!("and {rest} changes more"));
        }
    }
}

/// Writes a line about `kind` into the log: a warning, if it `is_bad`.
pub(crate) fn write(is_bad: bool, kind: Option<&EventKind>, sentence: &str) {
    let parts = serde_json::to_value(kind).unwrap_or_default();
    let part = |name: &str| parts.get(name).and_then(Value::as_str);
    let user = actor::user().map(|user| user.as_raw());
    let by = user.map(|user| format!(" (by user {user})"));
    let by = by.unwrap_or_default();
    macro_rules! line {
        ($level:expr) => {
            tracing::event!(
                $level,
                event = part("kind"),
                service = part("service"),
                server = part("server"),
                vip = part("vip"),
                reason = part("reason"),
                user,
                "{sentence}{by}"
            )
        };
    }
    if is_bad {
        line!(tracing::Level::WARN);
    } else {
        line!(tracing::Level::INFO);
    }
}

/// The sentence about `kind`; `None` where whoever brings it about has a better one: the file that
/// was read again, health about servers and quorums, and each warning about itself.
fn sentence(kind: &EventKind) -> Option<String> {
    let sentence = match kind {
        EventKind::ConfigurationApplied if actor::user().is_some() => {
            "a configuration was applied".to_owned()
        }
        EventKind::ConfigurationChanged { what } => format!("{what} was changed"),
        EventKind::ServiceAdded { service } => format!("service {service} was added"),
        EventKind::ServiceChanged { service } => format!("service {service} was changed"),
        EventKind::ServiceRemoved { service } => format!("service {service} was removed"),
        EventKind::ServerAdded(name) => format!("{} was added", server(name)),
        EventKind::ServerChanged(name) => format!("{} was changed", server(name)),
        EventKind::ServerRemoved(name) => format!("{} was removed", server(name)),
        EventKind::ServerOverloaded(name) => {
            format!("{} has reached its upper threshold", server(name))
        }
        EventKind::ServerAvailable(name) => format!("{} takes new sessions again", server(name)),
        EventKind::MaintenanceChanged { on: true } => "maintenance has begun".to_owned(),
        EventKind::MaintenanceChanged { on: false } => "maintenance is over".to_owned(),
        EventKind::VipAnnounced { vip } => format!("vip {vip} is announced"),
        EventKind::VipWithdrawn { vip } => format!("vip {vip} is withdrawn"),
        EventKind::ConfigurationApplied
        | EventKind::ServerUp(_)
        | EventKind::ServerDown { .. }
        | EventKind::ServerDraining { .. }
        | EventKind::ServerDisabled { .. }
        | EventKind::ServiceQuorumGained { .. }
        | EventKind::ServiceQuorumLost { .. }
        | EventKind::Warning { .. } => return None,
    };
    Some(sentence)
}

/// Whether all clients of VIPs meet it.
const fn is_of_vips(kind: &EventKind) -> bool {
    matches!(
        kind,
        EventKind::MaintenanceChanged { .. }
            | EventKind::VipAnnounced { .. }
            | EventKind::VipWithdrawn { .. }
    )
}

/// What of a server became otherwise, as far as one word says it.
pub(super) fn difference(before: &Server, after: &Server) -> Option<String> {
    let (old, new) = (before.weight, after.weight);
    let weight = (old != new).then(|| match new {
        Weight(0) => format!("drained, weight {old} -> 0"),
        _ => format!("weight {old} -> {new}"),
    });
    let disabled = is_disabled(after);
    let switch = (is_disabled(before) != disabled)
        .then(|| if disabled { "disabled" } else { "enabled" }.to_owned());
    let parts: Vec<_> = [weight, switch].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// Writes a line about what somebody asked for that is no change of the configuration, or that was
/// refused: a warning, if it `is_bad`.
pub(crate) fn write_request(is_bad: bool, sentence: &str) {
    write(is_bad, None, sentence);
}

/// A server as health names it.
fn server(ServerName { service, server }: &ServerName) -> String {
    let server = SocketAddr::new(server.addr, server.port);
    format!("server {server} of {service}")
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use dataplane::service::ServiceKey;
    use nix::unistd::Uid;
    use parking_lot::Mutex;

    use super::*;
    use crate::gateway::Edit;
    use crate::gateway::testing::gateway;
    use crate::view::DrainQuery;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged while `work` is done.
    fn logged(work: impl FnOnce()) -> Vec<Value> {
        let lines = Lines::default();
        let to = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .without_time()
            .with_writer(move || to.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, work);
        let text = String::from_utf8(lines.0.lock().clone()).unwrap();
        let lines = text.lines();
        lines.map(|it| serde_json::from_str(it).unwrap()).collect()
    }

    #[test]
    fn a_change_is_a_line_that_says_what_and_who() {
        let gateway = gateway("");
        let _listens = gateway.watch();

        let lines = logged(|| {
            gateway.set_maintenance(true);
            actor::done(Some(Uid::from_raw(7)), || gateway.set_maintenance(false));
        });

        assert_eq!(lines.len(), 2, "{lines:?}");
        assert_eq!(lines[0]["message"], "maintenance has begun");
        assert_eq!(lines[0]["user"], Value::Null);
        assert_eq!(lines[1]["message"], "maintenance is over (by user 7)");
        assert_eq!(lines[1]["event"], "maintenance-changed");
        assert_eq!(lines[1]["user"], 7);
    }

    #[test]
    fn a_large_change_is_told_in_part_and_counted_but_for_its_vips() {
        let service = |mark: u32| EventKind::ServiceAdded {
            service: ServiceKey::Mark(mark),
        };
        let vip = |last: u8| EventKind::VipWithdrawn {
            vip: [10, 0, 0, last].into(),
        };

        let lines = logged(|| {
            let mut entry = Entry::default();
            (1..=30).for_each(|mark| entry.note(&service(mark).into()));
            (1..=30).for_each(|last| entry.note(&vip(last).into()));
            entry.end();
        });

        assert_eq!(lines.len(), LINES + 30 + 1);
        assert_eq!(lines[0]["message"], "service mark 1 was added");
        assert_eq!(lines[LINES]["message"], "vip 10.0.0.1 is withdrawn");
        assert_eq!(lines[LINES]["vip"], "10.0.0.1");
        assert_eq!(lines[LINES + 30]["message"], "and 10 changes more");
    }

    #[test]
    fn who_drains_disables_and_weighs_a_server_is_told_though_nobody_watches() {
        let gateway = gateway(
            "[[service]]\nprotocol = \"tcp\"\nvip = \"10.1.0.100\"\nport = 80\n\
             [[service.server]]\naddress = \"10.2.0.11\"\nweight = 5\n",
        );
        let server = DrainQuery {
            server: "10.2.0.11".to_owned(),
            service: None,
        };
        let by_seven = |work: &dyn Fn()| actor::done(Some(Uid::from_raw(7)), work);

        let lines = logged(|| {
            by_seven(&|| drop(gateway.drain(&server).unwrap()));
            by_seven(&|| drop(gateway.undrain(&server).unwrap()));
            by_seven(&|| drop(gateway.disable(&server).unwrap()));
            by_seven(&|| drop(gateway.enable(&server).unwrap()));
            let mut web = gateway.config().services()[0].clone();
            web.servers[0].weight = Weight(9);
            gateway.edit(vec![Edit::Put(web)], &|_| Ok(())).unwrap();
        });

        let begin = "server 10.2.0.11:80 of tcp 10.1.0.100:80 was changed: ";
        let said: Vec<_> = (lines.iter())
            .map(|it| it["message"].as_str().unwrap().strip_prefix(begin).unwrap())
            .collect();
        assert_eq!(
            said,
            [
                "drained, weight 5 -> 0 (by user 7)",
                "weight 0 -> 5 (by user 7)",
                "disabled (by user 7)",
                "enabled (by user 7)",
                "weight 5 -> 9",
            ]
        );
        assert_eq!(lines[0]["event"], "server-changed");
    }
}
