//! The log's line for each change of state: a sentence for people, and its parts as fields for
//! programs that read the log as JSON.

use std::net::SocketAddr;

use serde_json::Value;

use super::actor;
use super::events::{EventKind, ServerName};

/// The lines of one change; what it changes besides is counted.
const LINES: usize = 20;

/// What one change has brought about.
#[derive(Debug, Default)]
pub(super) struct Entry {
    told: usize,
}

impl Entry {
    /// Writes a line about `kind`, if nobody else does and there are not too many yet.
    pub(super) fn note(&mut self, kind: &EventKind) {
        let Some(sentence) = sentence(kind) else {
            return;
        };
        self.told += 1;
        if self.told > LINES {
            return;
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

/// A server as health names it.
fn server(ServerName { service, server }: &ServerName) -> String {
    let server = SocketAddr::new(server.addr, server.port);
    format!("server {server} of {service}")
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use nix::unistd::Uid;
    use parking_lot::Mutex;

    use super::*;
    use crate::gateway::testing::gateway;

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
    fn a_large_change_is_told_in_part_and_counted() {
        let vip = |last: u8| EventKind::VipWithdrawn {
            vip: [10, 0, 0, last].into(),
        };

        let lines = logged(|| {
            let mut entry = Entry::default();
            (1..=30).for_each(|last| entry.note(&vip(last)));
            entry.end();
        });

        assert_eq!(lines.len(), LINES + 1);
        assert_eq!(lines[0]["message"], "vip 10.0.0.1 is withdrawn");
        assert_eq!(lines[0]["vip"], "10.0.0.1");
        assert_eq!(lines[LINES]["message"], "and 10 changes more");
    }
}
