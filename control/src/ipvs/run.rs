//! One invocation of `ipvsadm`, from its words to its output and exit code.

use dataplane::session::State;
use dataplane::time::TICKS_PER_SECOND;
use serde::{Deserialize, Serialize};

use super::command::{Change, Command, Family, ListOptions, ServiceName, Subject};
use super::failure::{Failure, Refusal};
use super::grammar::parse;
use super::help::{HELP, VERSION};
use super::host::Host;
use super::listing::{self, ConnectionRow, Naming, ServerRow, ServiceRow, Style};
use super::names::{Names, SystemNames};
use super::table::{AddressKind, Entry};

/// What `ipvsadm` prints, and how it ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// For standard output.
    pub stdout: String,
    /// For standard error.
    pub stderr: String,
    /// The exit code.
    pub status: i32,
}

/// Runs `ipvsadm` with these arguments; `stdin` is what `-R` reads.
pub fn run(args: &[String], stdin: &str, host: &mut dyn Host) -> Reply {
    run_with(args, stdin, host, &SystemNames::default())
}

/// As [`run`], with other names than this system's.
pub fn run_with(args: &[String], stdin: &str, host: &mut dyn Host, names: &dyn Names) -> Reply {
    let mut run = Run {
        host,
        names,
        reply: Reply::default(),
        is_behind: false,
    };
    run.line(args, Some(stdin));
    run.catch_up();
    run.reply
}

/// Whether `-R` goes on with its next line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Goes,
    Ends,
}

struct Run<'a> {
    host: &'a mut dyn Host,
    names: &'a dyn Names,
    reply: Reply,
    /// Whether the packet path does not know yet what was added.
    is_behind: bool,
}

impl Run<'_> {
    /// Does what one line says; `stdin` is for `-R`, which has none for its own lines.
    fn line(&mut self, args: &[String], stdin: Option<&str>) -> Next {
        let done = parse(args, self.names).and_then(|command| self.command(command, stdin));
        match done {
            Ok(next) => next,
            Err(failure) => {
                self.reply.stderr.push_str(&failure.text);
                self.reply.stderr.push('\n');
                self.reply.status = failure.status;
                if failure.is_final {
                    Next::Ends
                } else {
                    Next::Goes
                }
            }
        }
    }

    fn command(&mut self, command: Command, stdin: Option<&str>) -> Result<Next, Failure> {
        self.reply.status = 0;
        match command {
            Command::Change(change) => self.change(&change)?,
            Command::Zero(service) => self.zero(service)?,
            Command::SetTimeouts { tcp, tcp_fin, udp } => self.set_timeouts(tcp, tcp_fin, udp),
            Command::List(options) => self.list(&options)?,
            Command::Save { numeric } => {
                let rows = self.rows(None);
                let naming = Naming::new(numeric, self.names);
                self.reply.stdout.push_str(&listing::save(rows, naming));
            }
            Command::Restore => return self.restore(stdin.ok_or_else(Failure::hint)?),
            Command::StartDaemon => return Err(Refusal::Synchronisation.into()),
            Command::StopDaemon => return Err(Refusal::NoDaemon.into()),
            Command::Help => {
                self.reply.stdout.push_str(VERSION);
                self.reply.stdout.push_str(HELP);
                return Ok(Next::Ends);
            }
            Command::Version => {
                self.reply.stdout.push_str(VERSION);
                return Ok(Next::Ends);
            }
        }
        Ok(Next::Goes)
    }

    /// Changes the table and tells the packet path, which sees every step: what schedulers do
    /// depends on their history. Additions that follow each other are one step, in their order, so
    /// that restoring many is quick.
    fn change(&mut self, change: &Change) -> Result<(), Refusal> {
        let is_addition = matches!(change, Change::AddService(_) | Change::AddServer(..));
        if !is_addition {
            self.catch_up();
        }
        let address = match change {
            Change::AddServer(_, server) => self.host.address_kind(server.endpoint.addr),
            _ => AddressKind::default(),
        };
        self.host.table().apply(change, address)?;
        self.is_behind = true;
        if !is_addition {
            self.catch_up();
        }
        Ok(())
    }

    fn catch_up(&mut self) {
        if std::mem::take(&mut self.is_behind) {
            self.host.publish();
        }
    }

    fn zero(&mut self, service: Option<ServiceName>) -> Result<(), Refusal> {
        self.catch_up();
        if let Some(service) = &service {
            self.check_known(service)?;
        }
        self.host.zero(service.as_ref());
        Ok(())
    }

    fn check_known(&mut self, service: &ServiceName) -> Result<(), Refusal> {
        if service.family() == Family::V6 {
            return Err(Refusal::Family);
        }
        let known = self.host.table().service(service);
        known.map(|_| ()).ok_or(Refusal::NoService)
    }

    fn set_timeouts(&mut self, tcp: u32, tcp_fin: u32, udp: u32) {
        let mut timeouts = self.host.timeouts();
        if tcp != 0 {
            timeouts.set_tcp(tcp);
        }
        if tcp_fin != 0 {
            timeouts.set_tcp_fin(tcp_fin);
        }
        if udp != 0 {
            timeouts.set_udp(udp);
        }
        self.host.set_timeouts(timeouts);
    }

    fn list(&mut self, options: &ListOptions) -> Result<(), Failure> {
        self.catch_up();
        let naming = Naming::new(options.numeric, self.names);
        let style = Style {
            columns: options.columns,
            exact: options.exact,
            naming,
        };
        let text = match options.subject {
            Subject::Services => listing::services(self.rows(None), style, true, options.unsorted),
            Subject::Service(service) => {
                self.check_known(&service)
                    .map_err(|refusal| Failure::listing(&refusal))?;
                listing::services(self.rows(Some(&service)), style, false, options.unsorted)
            }
            Subject::Connections => {
                let sessions = self.host.sessions();
                let mut rows: Vec<_> = sessions.iter().map(ConnectionRow::from).collect();
                rows.extend(self.host.templates());
                listing::connections(&rows, options.engines, naming)
            }
            Subject::Timeouts => {
                let timeouts = self.host.timeouts();
                let [tcp, tcp_fin, udp] = [State::Established, State::FinWait, State::Udp]
                    .map(|state| timeouts.ticks(state) / TICKS_PER_SECOND);
                listing::timeouts(tcp, tcp_fin, udp)
            }
            // There are none.
            Subject::Daemons => String::new(),
        };
        self.reply.stdout.push_str(&text);
        Ok(())
    }

    /// All services, or one, as the kernel would list them: addresses before marks. What was
    /// added last comes first; the kernel's own order is one of chance.
    fn rows(&mut self, only: Option<&ServiceName>) -> Vec<ServiceRow> {
        let entries: Vec<Entry> = match only {
            Some(name) => self
                .host
                .table()
                .service(name)
                .into_iter()
                .cloned()
                .collect(),
            None => self.host.table().services().rev().cloned().collect(),
        };
        let mut rows: Vec<_> = entries.iter().map(|entry| self.row(entry)).collect();
        rows.sort_by_key(|row| matches!(row.service.name, ServiceName::Mark { .. }));
        rows
    }

    fn row(&self, entry: &Entry) -> ServiceRow {
        let name = &entry.service.name;
        let traffic = self.host.service_traffic(name);
        let servers = entry.servers().rev().map(|server| {
            let counts = self.host.server_counts(name, &server.endpoint);
            ServerRow {
                server: *server,
                active: counts.active,
                inactive: counts.inactive,
                templates: counts.templates,
                traffic: counts.traffic.totals,
                rates: counts.traffic.rates,
            }
        });
        ServiceRow {
            service: entry.service.clone(),
            traffic: traffic.totals,
            rates: traffic.rates,
            servers: servers.collect(),
        }
    }

    /// Does what lines say, one after the other. What IPVS refuses is said, and the next line
    /// read; a line that is wrong in itself ends it all. The last line's exit code is that of all.
    fn restore(&mut self, lines: &str) -> Result<Next, Failure> {
        for line in lines.lines() {
            let words = line.split([' ', '\t', '\r']);
            let words = words.filter(|word| !word.is_empty() && *word != "ipvsadm");
            let words: Vec<_> = words.map(str::to_owned).collect();
            if !words.is_empty() && self.line(&words, None) == Next::Ends {
                return Ok(Next::Ends);
            }
        }
        Ok(Next::Goes)
    }
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
