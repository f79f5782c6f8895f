//! Rules as `ipvsadm -S` saves them, or the lines of a script that sets them.
//!
//! The lines go through `ipvsadm`'s own grammar and table, so they mean here what they mean there,
//! and what is wrong with one is said in `ipvsadm`'s words. Blank lines and comments are nothing.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;

use dataplane::address::Endpoint;
use dataplane::service::Persistence;

use super::draft::{Draft, PoolDraft, ServerDraft, ServiceDraft, Timeout};
use super::place::{Note, Place};
use crate::config::{Placement, Service};
use crate::ipvs::{
    AddressKind, Change, Command, Entry, Names, Refusal, ServiceName, Table, parse, pool_name,
};

/// Reads rules; `file` is what notes call them.
///
/// # Errors
///
/// What `ipvsadm` says of each line it would not take.
pub(super) fn read(text: &str, file: &Path, names: &dyn Names) -> Result<Draft, Vec<Note>> {
    let mut rules = Rules::default();
    let start = Place::new(file, 0);
    rules.draft.heading = vec![
        format!(
            "Virtual services of {}, taken over by `sluicectl import ipvsadm`.",
            file.display()
        ),
        "The gateway puts each VIP on its twin. With `vip = { address = \"...\", place = \
         \"external\" }`"
            .to_owned(),
        "it leaves that to keepalived, BIRD or you.".to_owned(),
    ];
    let mut errors = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let place = start.at(number);
        if let Some(words) = words(line)
            && let Err(message) = rules.line(&words, &place, names)
        {
            errors.push(Note::new(&place, message));
        }
    }
    if errors.is_empty() {
        Ok(rules.finish())
    } else {
        Err(errors)
    }
}

/// The words of a line behind the name of the program, as `-R` splits them; none if the line says
/// nothing.
fn words(line: &str) -> Option<Vec<String>> {
    if line.trim_start().starts_with('#') {
        return None;
    }
    let words = line
        .split([' ', '\t', '\r'])
        .filter(|word| !word.is_empty());
    let is_program = |word: &str| word == "ipvsadm" || word.ends_with("/ipvsadm");
    let words: Vec<_> = words.filter(|word| !is_program(word)).collect();
    (!words.is_empty()).then(|| words.into_iter().map(str::to_owned).collect())
}

/// The table as the lines make it, and where everything in it came from.
#[derive(Default)]
struct Rules {
    table: Table,
    services: HashMap<ServiceName, Place>,
    servers: HashMap<(ServiceName, Endpoint<IpAddr>), Place>,
    locals: HashMap<(ServiceName, IpAddr), Place>,
    /// What stands above a service although the service does not say it.
    comments: HashMap<ServiceName, Vec<String>>,
    /// Lines that are left out and belong to no service.
    strays: Vec<String>,
    draft: Draft,
}

impl Rules {
    fn line(&mut self, words: &[String], place: &Place, names: &dyn Names) -> Result<(), String> {
        let command = parse(words, names).map_err(|failure| failure.text.trim_end().to_owned())?;
        match command {
            Command::Change(change) => self.change(change, words, place),
            Command::SetTimeouts { tcp, tcp_fin, udp } => {
                self.set_timeouts([tcp, tcp_fin, udp], place);
                Ok(())
            }
            Command::StartDaemon | Command::StopDaemon => {
                let message = "connections are not synchronised by this version: left out";
                self.draft.notes.push(Note::new(place, message));
                Ok(())
            }
            Command::Restore => Err("-R reads rules from elsewhere: give that file".to_owned()),
            // They say nothing of services.
            Command::Zero(_)
            | Command::List(_)
            | Command::ListLocal(_)
            | Command::Save { .. }
            | Command::Help
            | Command::Version => Ok(()),
        }
    }

    fn change(
        &mut self,
        mut change: Change,
        words: &[String],
        place: &Place,
    ) -> Result<(), String> {
        self.take_engine(&mut change, place);
        match self.table.apply(&change, AddressKind::Unicast) {
            Ok(()) => {}
            Err(refusal @ Refusal::TunnelType(_)) => {
                self.left_out(&change, words, place, &refusal.to_string());
                return Ok(());
            }
            Err(refusal) => return Err(refusal.to_string()),
        }
        match change {
            Change::AddService(line) => {
                self.services.insert(line.name, place.clone());
            }
            Change::AddServer(service, server) => {
                let key = (service, server.endpoint);
                self.servers.insert(key, place.clone());
            }
            Change::AddLocal(service, local) => {
                self.locals.insert((service, local), place.clone());
            }
            Change::DeleteService(service) => {
                self.comments.remove(&service);
            }
            Change::Flush => {
                self.comments.clear();
                self.strays.clear();
                self.draft.notes.clear();
            }
            _ => {}
        }
        Ok(())
    }

    /// Takes away what this version does not know of a change.
    fn take_engine(&mut self, change: &mut Change, place: &Place) {
        if let Change::AddService(line) | Change::EditService(line) = change
            && let Some(engine) = line.engine.take()
        {
            let message = format!(
                "persistence engine {engine} is left out: clients meet their servers again by \
                 their addresses alone"
            );
            self.comment(&line.name, place, &message);
            self.draft.notes.push(Note::new(place, message));
        }
    }

    /// Keeps a line as a comment.
    fn left_out(&mut self, change: &Change, words: &[String], place: &Place, why: &str) {
        let line = words.join(" ");
        let message = format!("left out: {line}: {why}");
        let service = match change {
            Change::AddServer(service, _) if self.services.contains_key(service) => Some(*service),
            _ => None,
        };
        match service {
            Some(service) => self.comment(&service, place, &message),
            None => self.strays.push(format!("{place}: {message}")),
        }
        self.draft.notes.push(Note::new(place, message));
    }

    fn comment(&mut self, service: &ServiceName, place: &Place, message: &str) {
        let lines = self.comments.entry(*service).or_default();
        lines.push(format!("{}: {message}", place.line));
    }

    fn set_timeouts(&mut self, seconds: [u32; 3], place: &Place) {
        let keys = ["tcp_established", "tcp_fin_wait", "udp"];
        for (key, seconds) in keys.into_iter().zip(seconds) {
            if seconds == 0 {
                continue;
            }
            self.draft.timeouts.retain(|timeout| timeout.key != key);
            self.draft.timeouts.push(Timeout {
                place: place.clone(),
                key,
                seconds,
            });
        }
    }

    fn finish(mut self) -> Draft {
        self.draft.heading.append(&mut self.strays);
        let entries: Vec<Entry> = self.table.services().cloned().collect();
        for entry in entries {
            self.service(&entry);
        }
        self.draft
    }

    fn service(&mut self, entry: &Entry) {
        let line = &entry.service;
        let Some(place) = self.services.get(&line.name) else {
            return;
        };
        let mut comments = vec![place.to_string()];
        comments.extend(self.comments.remove(&line.name).unwrap_or_default());
        let servers = entry.servers().filter_map(|server| {
            let place = self.servers.get(&(line.name, server.endpoint))?;
            Some(ServerDraft {
                place: place.clone(),
                comments: Vec::new(),
                server: server.into(),
                is_left_out: false,
            })
        });
        self.draft.services.push(ServiceDraft {
            place: place.clone(),
            comments,
            service: service_of(entry),
            servers: servers.collect(),
            pool: self.pool(entry),
            is_left_out: false,
        });
    }

    /// The local addresses of a service.
    fn pool(&self, entry: &Entry) -> Option<PoolDraft> {
        let name = entry.service.name;
        let addresses = entry.local_addresses.iter();
        let addresses: Vec<_> = addresses
            .filter_map(|local| Some((self.locals.get(&(name, *local))?.clone(), *local)))
            .collect();
        let (place, _) = addresses.first()?;
        Some(PoolDraft {
            place: place.clone(),
            addresses,
        })
    }
}

fn service_of(entry: &Entry) -> Service {
    let key = entry.service.name.key();
    Service {
        name: None,
        key,
        placement: Placement::Auto,
        scheduler: entry.scheduler,
        idle_flags: entry.idle_flags(),
        local_pool: (!entry.local_addresses.is_empty()).then(|| pool_name(key)),
        unserved: None,
        mss_clamp: dataplane::service::MssClamp::Auto,
        persistence: entry.service.persistence.map(|persistent| Persistence {
            timeout_seconds: persistent.timeout_seconds,
            netmask: persistent.netmask,
        }),
        one_packet: entry.service.one_packet,
        health: None,
        servers: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use dataplane::address::Protocol;
    use proptest::prelude::*;

    use super::*;
    use crate::config::Config;
    use crate::import::fit::fit;

    /// Nobody knows a name: what tests find must not depend on a name server.
    struct NoNames;

    impl Names for NoNames {
        fn port(&self, _name: &str, _protocol: Protocol) -> Option<u16> {
            None
        }

        fn service(&self, _port: u16, _protocol: Protocol) -> Option<String> {
            None
        }

        fn address(&self, _name: &str) -> Option<Ipv4Addr> {
            None
        }

        fn host(&self, _addr: IpAddr) -> Option<String> {
            None
        }
    }

    fn word() -> impl Strategy<Value = String> {
        prop_oneof![
            2 => prop::sample::select(vec![
                "-A", "-A", "-a", "-a", "-E", "-e", "-D", "-d", "-C", "-6", "-g", "-i", "-m", "-o", "-P",
                "-P", "-Q", "-b",
            ])
            .prop_map(str::to_owned),
            3 => "-[tu] (10\\.1\\.0\\.[12]|\\[2001:db8::[12]\\]):(0|80)",
            1 => "-f [0-3]",
            1 => "-z (10\\.2\\.0\\.[1-3]|10\\.1\\.0\\.[14]|127\\.0\\.0\\.1|2001:db8::9)",
            3 => "-r (10\\.1\\.0\\.[1-4]|127\\.0\\.0\\.1|224\\.0\\.0\\.1|\\[2001:db8::[1-4]\\])(:80|:81|)",
            1 => "-s (rr|sh|mh|none|nosuch)|-p( [0-9]{1,3})?|-M 255\\.0\\.0\\.255",
            1 => "-w [0-9]{1,10}|-x [0-9]{1,3}|-y [0-9]|-b (sh-port|mh-port|flag-[1-3])",
            1 => "--pe sip|--tun-type (gre|ipip)|--set [0-9] [0-9] [0-9]| |[ -~]{0,4}",
        ]
    }

    proptest! {
        /// Whatever the lines say: they are refused with a sentence, or what is written loads.
        #[test]
        fn lines_are_refused_or_taken_over(
            lines in prop::collection::vec(prop::collection::vec(word(), 0..5), 0..12)
        ) {
            let lines: Vec<_> = lines.iter().map(|words| words.join(" ")).collect();
            let mut good = String::new();
            for line in &lines {
                let more = format!("{good}{line}\n");
                if read(&more, Path::new("rules"), &NoNames).is_ok() {
                    good = more;
                }
            }

            for lines in [lines.join("\n"), good] {
                match read(&lines, Path::new("rules"), &NoNames) {
                    Err(errors) => prop_assert!(!errors.is_empty()),
                    Ok(mut draft) => {
                        fit(&mut draft);
                        let port = "[[port]]\nname = \"wan\"\ndevice = \"net_null0\"\n";
                        let text = format!("{port}{}", draft.toml());
                        let loaded = Config::from_toml(&text, Path::new("written"));
                        prop_assert!(loaded.is_ok(), "{loaded:?}: {text}");
                    }
                }
            }
        }
    }
}
