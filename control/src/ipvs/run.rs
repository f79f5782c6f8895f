//! One invocation of `ipvsadm`, from its words to its output and exit code.

use dataplane::session::State;
use dataplane::time::TICKS_PER_SECOND;
use indexmap::IndexSet;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::address_kind::AddressKind;
use super::call::Call;
use super::command::{Change, Command, ListOptions, ServiceName, Subject};
use super::failure::{Failure, Refusal};
use super::grammar::parse;
use super::help::{HELP, VERSION};
use super::host::Host;
use super::listing::{self, ConnectionRow, LocalRow, Naming, ServerRow, ServiceRow, Style};
use super::names::{Names, SystemNames};
use super::table::Entry;

/// What `ipvsadm` prints, and how it ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
        behind: IndexSet::new(),
    };
    run.line(args, Some(stdin));
    if let Err(failure) = run.catch_up() {
        run.fail(&failure);
    }
    run.reply
}

/// What a call says that asks for the version, or for help; nothing if it asks for neither.
#[must_use]
pub fn version_and_help(call: &Call) -> Reply {
    let stdout = match parse(&call.args, &SystemNames::default()) {
        Ok(Command::Help) => format!("{VERSION}{HELP}"),
        Ok(Command::Version) => VERSION.to_owned(),
        _ => String::new(),
    };
    Reply {
        stdout,
        ..Reply::default()
    }
}

/// Whether `-R` goes on with its next line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Goes,
    Ends,
}

/// Which servers are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    /// Those that new sessions can meet.
    Running,
    /// Those that were asked for.
    Configured,
}

struct Run<'a> {
    host: &'a mut dyn Host,
    names: &'a dyn Names,
    reply: Reply,
    /// The services of which the packet path does not know yet what was added.
    behind: IndexSet<ServiceName>,
}

impl Run<'_> {
    /// Does what one line says; `stdin` is for `-R`, which has none for its own lines.
    fn line(&mut self, args: &[String], stdin: Option<&str>) -> Next {
        let done = parse(args, self.names).and_then(|command| self.command(command, stdin));
        match done {
            Ok(next) => next,
            Err(failure) => {
                self.fail(&failure);
                if failure.is_final {
                    Next::Ends
                } else {
                    Next::Goes
                }
            }
        }
    }

    fn fail(&mut self, failure: &Failure) {
        self.reply.stderr.push_str(&failure.text);
        self.reply.stderr.push('\n');
        self.reply.status = failure.status;
    }

    fn command(&mut self, command: Command, stdin: Option<&str>) -> Result<Next, Failure> {
        self.reply.status = 0;
        match command {
            Command::Change(change) => self.change(&change)?,
            Command::Zero(service) => self.zero(service)?,
            Command::SetTimeouts { tcp, tcp_fin, udp } => self.set_timeouts(tcp, tcp_fin, udp),
            Command::List(options) => self.list(&options)?,
            Command::ListLocal(service) => self.list_local(service.as_ref())?,
            Command::Save { numeric } => {
                let rows = self.rows(None, Which::Configured);
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
    fn change(&mut self, change: &Change) -> Result<(), Failure> {
        let is_addition = matches!(
            change,
            Change::AddService(_) | Change::AddServer(..) | Change::AddLocal(..)
        );
        if !is_addition {
            self.catch_up()?;
        }
        let address = match change {
            Change::AddServer(_, server) => self.host.address_kind(server.endpoint.addr),
            _ => AddressKind::default(),
        };
        let table = self.host.table_mut();
        let changed: Vec<_> = match change.service() {
            Some(service) => vec![service],
            None => table.services().map(|entry| entry.service.name).collect(),
        };
        table.apply(change, address)?;
        self.behind.extend(changed);
        if !is_addition {
            self.catch_up()?;
        }
        Ok(())
    }

    fn catch_up(&mut self) -> Result<(), Failure> {
        if self.behind.is_empty() {
            return Ok(());
        }
        let changed: Vec<_> = self.behind.drain(..).collect();
        let published = self.host.publish(&changed);
        published.map_err(Failure::gateway)
    }

    fn zero(&mut self, service: Option<ServiceName>) -> Result<(), Failure> {
        self.catch_up()?;
        if let Some(service) = &service {
            self.check_known(service)?;
        }
        self.host.zero(service.as_ref());
        Ok(())
    }

    fn check_known(&self, service: &ServiceName) -> Result<(), Refusal> {
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
        self.catch_up()?;
        let naming = Naming::new(options.numeric, self.names);
        let style = Style {
            columns: options.columns,
            exact: options.exact,
            naming,
        };
        let text = match options.subject {
            Subject::Services => {
                let rows = self.rows(None, Which::Running);
                listing::services(rows, style, true, options.unsorted)
            }
            Subject::Service(service) => {
                self.check_known(&service)
                    .map_err(|refusal| Failure::listing(&refusal))?;
                let rows = self.rows(Some(&service), Which::Running);
                listing::services(rows, style, false, options.unsorted)
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

    fn list_local(&mut self, service: Option<&ServiceName>) -> Result<(), Failure> {
        self.catch_up()?;
        if let Some(service) = service {
            let known = self.check_known(service);
            known.map_err(|refusal| Failure::listing(&refusal))?;
        }
        let lists = |entry: &&Entry| match service {
            Some(service) => entry.service.name == *service,
            None => !entry.local_addresses.is_empty(),
        };
        let entries = self.host.table().services().filter(lists);
        let rows = entries.map(|entry| {
            let addresses = entry.local_addresses.iter();
            LocalRow {
                service: entry.service.name,
                addresses: addresses
                    .map(|it| (*it, self.host.ports_in_use(*it)))
                    .collect(),
            }
        });
        let rows: Vec<_> = rows.collect();
        self.reply.stdout.push_str(&listing::locals(&rows));
        Ok(())
    }

    /// All services, or one, as the kernel would list them: addresses before marks. What was
    /// added last comes first; the kernel's own order is one of chance.
    fn rows(&self, only: Option<&ServiceName>, which: Which) -> Vec<ServiceRow> {
        let table = self.host.table();
        let row = |entry| self.row(entry, which);
        let mut rows: Vec<_> = match only {
            Some(name) => table.service(name).map(row).into_iter().collect(),
            None => table.services().rev().map(row).collect(),
        };
        rows.sort_by_key(|row| matches!(row.service.name, ServiceName::Mark { .. }));
        rows
    }

    fn row(&self, entry: &Entry, which: Which) -> ServiceRow {
        let name = &entry.service.name;
        let known = self.host.counts(name);
        let traffic = known.traffic;
        let running = match which {
            Which::Running => self.host.running(name),
            Which::Configured => None,
        };
        let lines = running.unwrap_or_else(|| entry.servers().copied().collect());
        let servers = lines.into_iter().rev().map(|server| {
            let counts = known.servers.get(&server.endpoint);
            let counts = counts.copied().unwrap_or_default();
            ServerRow {
                server,
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
            local_addresses: entry.local_addresses.iter().copied().collect(),
        }
    }

    /// Does what lines say, one after the other. What IPVS refuses is said, and the next line
    /// read; a line that is wrong in itself ends it all. The last line's exit code is that of all.
    fn restore(&mut self, lines: &str) -> Result<Next, Failure> {
        for words in lines_of(lines) {
            if self.line(&words, None) == Next::Ends {
                return Ok(Next::Ends);
            }
        }
        Ok(Next::Goes)
    }
}

/// The words of each line that `-R` reads.
pub(super) fn lines_of(text: &str) -> impl Iterator<Item = Vec<String>> {
    let lines = text.lines().map(|line| {
        let words = line.split([' ', '\t', '\r']);
        let words = words.filter(|word| !word.is_empty() && *word != "ipvsadm");
        words.map(str::to_owned).collect()
    });
    lines.filter(|words: &Vec<_>| !words.is_empty())
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
