//! The virtual services as IPVS keeps them, and when it refuses to change them.
//!
//! The table follows `do_ip_vs_set_ctl` and its netlink twin of Linux 6.1: the same changes are
//! refused, and of several reasons the same one is given.

use std::net::IpAddr;

use dataplane::address::Endpoint;
use dataplane::service::{Method, SchedulerKind};
use indexmap::IndexMap;
use indexmap::map::Entry as MapEntry;

use super::command::{Change, Family, ServerLine, ServiceLine, ServiceName, Tunnel};
use super::failure::Refusal;
use super::specs::scheduler;

/// What is known of a server's address beyond what it says itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AddressKind {
    /// One host has it, this one or another.
    #[default]
    Unicast,
    /// The broadcast address of a connected subnet.
    Broadcast,
}

/// A virtual service and its servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// As it was said last.
    pub service: ServiceLine,
    /// The scheduler that its name means, with the options that its flags mean.
    pub scheduler: SchedulerKind,
    servers: IndexMap<Endpoint<IpAddr>, Server>,
}

/// A server of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Server {
    /// As it was said last.
    line: ServerLine,
    /// How often it was edited.
    edits: u32,
}

impl Entry {
    fn new(service: &ServiceLine) -> Result<Self, Refusal> {
        Ok(Self {
            service: service.clone(),
            scheduler: known_scheduler(service)?,
            servers: IndexMap::new(),
        })
    }

    /// The servers, in the order in which they were added.
    pub fn servers(&self) -> impl DoubleEndedIterator<Item = &ServerLine> {
        self.servers.values().map(|server| &server.line)
    }

    /// The servers likewise, with how often each was edited.
    pub(super) fn servers_and_edits(&self) -> impl Iterator<Item = (&ServerLine, u32)> {
        let servers = self.servers.values();
        servers.map(|server| (&server.line, server.edits))
    }
}

/// All virtual services.
#[derive(Clone, Debug, Default)]
pub struct Table {
    services: IndexMap<ServiceName, Entry>,
}

impl Table {
    /// The services, in the order in which they were added.
    pub fn services(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.services.values()
    }

    /// One service.
    #[must_use]
    pub fn service(&self, name: &ServiceName) -> Option<&Entry> {
        self.services.get(name)
    }

    /// Changes the table, or leaves it as it is. `address` is what is known of the address of a
    /// server that is added.
    ///
    /// # Errors
    ///
    /// When IPVS would not do it.
    pub fn apply(&mut self, change: &Change, address: AddressKind) -> Result<(), Refusal> {
        match change {
            Change::AddService(line) => self.add_service(line),
            Change::EditService(line) => self.edit_service(line),
            Change::DeleteService(name) => self.delete_service(name),
            Change::AddServer(service, line) => {
                if !is_unicast(line.endpoint.addr) || address == AddressKind::Broadcast {
                    self.check_new_server(service, line)?;
                    return Err(Refusal::Invalid);
                }
                self.add_server(service, line)
            }
            Change::EditServer(service, line) => self.edit_server(service, line),
            Change::DeleteServer(service, server) => self.delete_server(service, server),
            Change::Flush => {
                self.services.clear();
                Ok(())
            }
        }
    }

    fn add_service(&mut self, line: &ServiceLine) -> Result<(), Refusal> {
        check_family(&line.name)?;
        match self.services.entry(line.name) {
            MapEntry::Occupied(_) => Err(Refusal::ServiceExists),
            MapEntry::Vacant(place) => {
                place.insert(Entry::new(line)?);
                Ok(())
            }
        }
    }

    /// Everything but the servers becomes as the line says.
    fn edit_service(&mut self, line: &ServiceLine) -> Result<(), Refusal> {
        check_family(&line.name)?;
        let entry = self.services.get_mut(&line.name);
        let entry = entry.ok_or(Refusal::NoService)?;
        entry.scheduler = known_scheduler(line)?;
        entry.service = line.clone();
        Ok(())
    }

    fn delete_service(&mut self, name: &ServiceName) -> Result<(), Refusal> {
        check_family(name)?;
        let removed = self.services.shift_remove(name);
        removed.map(drop).ok_or(Refusal::NoService)
    }

    fn add_server(&mut self, service: &ServiceName, line: &ServerLine) -> Result<(), Refusal> {
        let entry = self.check_new_server(service, line)?;
        let server = Server {
            line: *line,
            edits: 0,
        };
        entry.servers.insert(line.endpoint, server);
        Ok(())
    }

    /// The service that the server may be added to, as far as its address does not matter.
    fn check_new_server(
        &mut self,
        service: &ServiceName,
        line: &ServerLine,
    ) -> Result<&mut Entry, Refusal> {
        let entry = self.entry_of_server(service)?;
        check_server(line)?;
        if entry.servers.contains_key(&line.endpoint) {
            return Err(Refusal::ServerExists);
        }
        Ok(entry)
    }

    /// Everything but the server's place becomes as the line says.
    fn edit_server(&mut self, service: &ServiceName, line: &ServerLine) -> Result<(), Refusal> {
        let entry = self.entry_of_server(service)?;
        check_server(line)?;
        let server = entry.servers.get_mut(&line.endpoint);
        let server = server.ok_or(Refusal::NoServer)?;
        server.line = *line;
        server.edits = server.edits.wrapping_add(1);
        Ok(())
    }

    fn delete_server(
        &mut self,
        service: &ServiceName,
        server: &Endpoint<IpAddr>,
    ) -> Result<(), Refusal> {
        let entry = self.entry_of_server(service)?;
        let removed = entry.servers.shift_remove(server);
        removed.map(drop).ok_or(Refusal::NoServer)
    }

    fn entry_of_server(&mut self, service: &ServiceName) -> Result<&mut Entry, Refusal> {
        check_family(service)?;
        let entry = self.services.get_mut(service);
        entry.ok_or(Refusal::ServiceNotDefined)
    }
}

/// Services are of IPv4, as in a kernel that was built without IPv6.
fn check_family(name: &ServiceName) -> Result<(), Refusal> {
    match name.family() {
        Family::V4 => Ok(()),
        Family::V6 => Err(Refusal::Family),
    }
}

fn known_scheduler(line: &ServiceLine) -> Result<SchedulerKind, Refusal> {
    match scheduler(&line.scheduler, line.flags) {
        Some(kind) if line.engine.is_none() => Ok(kind),
        _ => Err(Refusal::SchedulerNotFound),
    }
}

/// What is wrong with a server whatever there is in the table.
fn check_server(line: &ServerLine) -> Result<(), Refusal> {
    if Family::of(line.endpoint.addr) == Family::V6 {
        return Err(Refusal::Family);
    }
    if line.method == Method::Tun && line.tunnel != Tunnel::Ipip {
        return Err(Refusal::TunnelType(line.tunnel));
    }
    if line.lower_threshold > line.upper_threshold {
        return Err(Refusal::OutOfRange);
    }
    Ok(())
}

/// What the kernel's `inet_addr_type` says of an address whatever interfaces there are.
const fn is_unicast(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(addr) => !addr.is_unspecified() && !addr.is_broadcast() && !addr.is_multicast(),
        IpAddr::V6(addr) => !addr.is_unspecified() && !addr.is_multicast(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::grammar::parse;
    use super::super::names::testing::FewNames;
    use super::*;
    use crate::ipvs::{Command, Locality};

    fn change(line: &str) -> Change {
        let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        match parse(&words, &FewNames) {
            Ok(Command::Change(change)) => change,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn table(lines: &[&str]) -> Table {
        let mut table = Table::default();
        for line in lines {
            table
                .apply(&change(line), AddressKind::Unicast)
                .unwrap_or_else(|refusal| panic!("{line}: {refusal}"));
        }
        table
    }

    fn servers(table: &Table) -> Vec<String> {
        let lines = table.services().flat_map(Entry::servers);
        let shown = lines.map(|it| {
            let Endpoint { addr, port } = it.endpoint;
            format!("{addr}:{port} {} {}", it.method, it.weight)
        });
        shown.collect()
    }

    #[test]
    fn an_edit_of_a_service_resets_what_it_does_not_say_and_keeps_the_servers() {
        let mut table = table(&[
            "-A -u 10.1.0.100:53 -s sh -p 60 -o -b sh-port",
            "-a -u 10.1.0.100:53 -r 10.2.0.11",
        ]);

        let edit = change("-E -u 10.1.0.100:53");
        table.apply(&edit, AddressKind::Unicast).unwrap();

        let entry = table.services().next().unwrap();
        assert_eq!(entry.scheduler, SchedulerKind::Wlc);
        assert_eq!(entry.service.persistence, None);
        assert!(!entry.service.one_packet && entry.service.flags.is_empty());
        assert_eq!(servers(&table), ["10.2.0.11:53 dr 1"]);
    }

    #[test]
    fn an_edit_of_a_server_resets_what_it_does_not_say_and_keeps_its_place() {
        let mut table = table(&[
            "-A -f 1",
            "-a -f 1 -r 10.2.0.11:0 -m -w 7",
            "-a -f 1 -r 10.2.0.12:0 -m",
        ]);

        let edit = change("-e -f 1 -r 10.2.0.11");
        table.apply(&edit, AddressKind::Unicast).unwrap();

        assert_eq!(servers(&table), ["10.2.0.11:0 dr 1", "10.2.0.12:0 nat 1"]);
    }

    #[test]
    fn the_packet_path_hears_of_every_edit_of_a_server_even_of_one_that_changes_nothing() {
        let mut table = table(&["-A -f 1", "-a -f 1 -r 10.2.0.11:0 -m -w 7"]);
        let edits = |table: &Table| {
            let specs = table.specs(Locality::default());
            specs[0].servers[0].edits
        };
        assert_eq!(edits(&table), 0);

        let edit = change("-e -f 1 -r 10.2.0.11 -m -w 7");
        table.apply(&edit, AddressKind::Unicast).unwrap();

        assert_eq!(servers(&table), ["10.2.0.11:0 nat 7"]);
        assert_eq!(edits(&table), 1);
    }

    #[test]
    fn an_edit_that_is_refused_changes_nothing() {
        let mut table = table(&["-A -t 10.1.0.100:80 -s rr"]);

        let edit = change("-E -t 10.1.0.100:80 -s nosuch -p 5");
        let refusal = table.apply(&edit, AddressKind::Unicast).unwrap_err();

        assert_eq!(refusal, Refusal::SchedulerNotFound);
        let entry = table.services().next().unwrap();
        assert_eq!(entry.service.scheduler, "rr");
        assert_eq!(entry.service.persistence, None);
    }

    #[test]
    fn deleting_keeps_the_order_of_the_others() {
        let mut table = table(&[
            "-A -t 10.1.0.100:80",
            "-a -t 10.1.0.100:80 -r 10.2.0.11 -m",
            "-a -t 10.1.0.100:80 -r 10.2.0.12 -m",
            "-a -t 10.1.0.100:80 -r 10.2.0.13 -m",
        ]);

        let delete = change("-d -t 10.1.0.100:80 -r 10.2.0.11");
        table.apply(&delete, AddressKind::Unicast).unwrap();

        assert_eq!(
            servers(&table),
            ["10.2.0.12:80 nat 1", "10.2.0.13:80 nat 1"]
        );
    }

    #[test]
    fn of_several_reasons_the_kernels_first_is_given() {
        let base = ["-A -t 10.1.0.100:80", "-a -t 10.1.0.100:80 -r 10.2.0.11 -m"];
        for (line, expected) in [
            ("-A -t 10.1.0.100:80 -s nosuch", Refusal::ServiceExists),
            ("-E -t 10.1.0.100:81 -s nosuch", Refusal::NoService),
            (
                "-A -t 10.1.0.100:81 -p --pe sip",
                Refusal::SchedulerNotFound,
            ),
            ("-A -t [2001:db8::1]:80", Refusal::Family),
            ("-A -f 7 -6", Refusal::Family),
            ("-D -t 10.1.0.100:81", Refusal::NoService),
            (
                "-a -t 10.1.0.100:81 -r 0.0.0.0 -x 1 -y 2",
                Refusal::ServiceNotDefined,
            ),
            (
                "-a -t 10.1.0.100:80 -r 10.2.0.11 -m -x 1 -y 2",
                Refusal::OutOfRange,
            ),
            ("-a -t 10.1.0.100:80 -r 10.2.0.11 -m", Refusal::ServerExists),
            ("-a -t 10.1.0.100:80 -r 224.0.0.1", Refusal::Invalid),
            ("-a -t 10.1.0.100:80 -r 255.255.255.255", Refusal::Invalid),
            (
                "-a -t 10.1.0.100:80 -r 0.0.0.0 -x 1 -y 2",
                Refusal::OutOfRange,
            ),
            ("-e -t 10.1.0.100:80 -r 10.2.0.12", Refusal::NoServer),
            ("-d -t 10.1.0.100:80 -r 10.2.0.12", Refusal::NoServer),
            (
                "-a -t 10.1.0.100:80 -r 10.2.0.12 -i --tun-type gre",
                Refusal::TunnelType(Tunnel::Gre {
                    checksum: crate::ipvs::TunnelChecksum::None,
                }),
            ),
        ] {
            let mut table = table(&base);
            let refusal = table.apply(&change(line), AddressKind::Unicast);
            assert_eq!(refusal, Err(expected), "{line}");
        }
    }

    #[test]
    fn a_server_is_no_broadcast_address_of_a_connected_subnet() {
        let mut table = table(&["-A -t 10.1.0.100:80"]);
        let add = change("-a -t 10.1.0.100:80 -r 10.2.0.255");

        let refusal = table.apply(&add, AddressKind::Broadcast);

        assert_eq!(refusal, Err(Refusal::Invalid));
        assert_eq!(servers(&table), Vec::<String>::new());
    }

    #[test]
    fn flushing_leaves_nothing() {
        let mut table = table(&["-A -t 10.1.0.100:80", "-A -f 1"]);

        table.apply(&Change::Flush, AddressKind::Unicast).unwrap();

        assert_eq!(table.services().count(), 0);
    }
}
