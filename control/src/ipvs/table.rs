//! The virtual services as IPVS keeps them, and when it refuses to change them.
//!
//! The table follows `do_ip_vs_set_ctl` and its netlink twin of Linux 6.1: the same changes are
//! refused, and of several reasons the same one is given.

use std::net::IpAddr;

use dataplane::address::Endpoint;
use dataplane::service::{Method, SchedulerKind};
use indexmap::map::Entry as MapEntry;
use indexmap::{IndexMap, IndexSet};

use super::address_kind::AddressKind;
use super::command::{
    Change, Family, SchedulerFlags, ServerLine, ServiceLine, ServiceName, Tunnel,
};
use super::failure::Refusal;
use super::specs::{flags as flags_of, scheduler};

/// A virtual service and its servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// As it was said last.
    pub service: ServiceLine,
    /// The scheduler that its name means, with the options that its flags mean.
    pub scheduler: SchedulerKind,
    servers: IndexMap<Endpoint<IpAddr>, Server>,
    /// From where FULLNAT speaks to its servers, in the order in which they were added.
    pub local_addresses: IndexSet<IpAddr>,
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
            local_addresses: IndexSet::new(),
        })
    }

    /// A service as a configuration has it, which says more than the names of `ipvsadm` do.
    pub(super) fn configured(
        service: ServiceLine,
        scheduler: SchedulerKind,
        servers: impl Iterator<Item = ServerLine>,
        local_addresses: IndexSet<IpAddr>,
    ) -> Self {
        let servers = servers.map(|line| (line.endpoint, Server { line, edits: 0 }));
        Self {
            service,
            scheduler,
            servers: servers.collect(),
            local_addresses,
        }
    }

    /// The flags that its scheduler does not ask for.
    #[must_use]
    pub const fn idle_flags(&self) -> SchedulerFlags {
        self.service.flags.without(flags_of(self.scheduler))
    }

    /// The servers, in the order in which they were added.
    pub fn servers(&self) -> impl DoubleEndedIterator<Item = &ServerLine> {
        self.servers.values().map(|server| &server.line)
    }

    fn remember_edits(&mut self, before: &Self) {
        for (endpoint, server) in &mut self.servers {
            let known = before.servers.get(endpoint);
            server.edits = known.map_or(server.edits, |known| known.edits);
        }
    }

    /// How often a server was edited.
    #[must_use]
    pub fn edits(&self, server: Endpoint<IpAddr>) -> u32 {
        self.servers.get(&server).map_or(0, |server| server.edits)
    }

    /// The servers likewise, with how often each was edited.
    pub fn servers_and_edits(&self) -> impl Iterator<Item = (&ServerLine, u32)> {
        let servers = self.servers.values();
        servers.map(|server| (&server.line, server.edits))
    }
}

/// All virtual services.
#[derive(Clone, Debug, Default)]
pub struct Table {
    services: IndexMap<ServiceName, Entry>,
}

impl FromIterator<Entry> for Table {
    fn from_iter<T: IntoIterator<Item = Entry>>(entries: T) -> Self {
        let named = |entry: Entry| (entry.service.name, entry);
        Self {
            services: entries.into_iter().map(named).collect(),
        }
    }
}

impl Table {
    /// Takes over how often servers were edited that are in `before` too.
    pub(super) fn remember_edits(&mut self, before: &Self) {
        for (name, entry) in &mut self.services {
            if let Some(before) = before.services.get(name) {
                entry.remember_edits(before);
            }
        }
    }

    /// Replaces, adds or removes a service; one that `left` its place comes behind the others.
    pub(super) fn put(&mut self, name: ServiceName, entry: Option<Entry>, left: bool) {
        if left || entry.is_none() {
            self.services.shift_remove(&name);
        }
        let Some(mut entry) = entry else { return };
        if let Some(before) = self.services.get(&name) {
            entry.remember_edits(before);
        }
        self.services.insert(name, entry);
    }

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
            Change::AddLocal(service, local) => self.add_local(service, *local),
            Change::DeleteLocal(service, local) => {
                let entry = self.entry_of_server(service)?;
                let removed = entry.local_addresses.shift_remove(local);
                removed.then_some(()).ok_or(Refusal::NoLocal)
            }
            Change::Flush => {
                self.services.clear();
                Ok(())
            }
        }
    }

    fn add_service(&mut self, line: &ServiceLine) -> Result<(), Refusal> {
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
        let entry = self.services.get_mut(&line.name);
        let entry = entry.ok_or(Refusal::NoService)?;
        entry.scheduler = known_scheduler(line)?;
        entry.service = line.clone();
        Ok(())
    }

    fn delete_service(&mut self, name: &ServiceName) -> Result<(), Refusal> {
        let removed = self.services.shift_remove(name);
        removed.map(drop).ok_or(Refusal::NoService)
    }

    fn add_server(&mut self, service: &ServiceName, line: &ServerLine) -> Result<(), Refusal> {
        let entry = self.check_new_server(service, line)?;
        check_tunnel(line)?;
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
        check_tunnel(line)?;
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

    fn add_local(&mut self, service: &ServiceName, local: IpAddr) -> Result<(), Refusal> {
        let entry = self.entry_of_server(service)?;
        if Family::of(local) != service.family() {
            return Err(Refusal::Family);
        }
        if !is_unicast(local) {
            return Err(Refusal::Invalid);
        }
        let is_new = entry.local_addresses.insert(local);
        is_new.then_some(()).ok_or(Refusal::LocalExists)
    }

    fn entry_of_server(&mut self, service: &ServiceName) -> Result<&mut Entry, Refusal> {
        let entry = self.services.get_mut(service);
        entry.ok_or(Refusal::ServiceNotDefined)
    }
}

/// The kernel's only persistence engine.
const ENGINE: &str = "sip";

fn known_scheduler(line: &ServiceLine) -> Result<SchedulerKind, Refusal> {
    match (scheduler(&line.scheduler, line.flags), &line.engine) {
        (Some(kind), None) => Ok(kind),
        (Some(_), Some(engine)) if engine == ENGINE => Err(Refusal::Engine),
        _ => Err(Refusal::SchedulerNotFound),
    }
}

/// What is wrong with a server whatever there is in the table.
fn check_server(line: &ServerLine) -> Result<(), Refusal> {
    if line.lower_threshold > line.upper_threshold {
        return Err(Refusal::OutOfRange);
    }
    Ok(())
}

/// What the kernel would do and Sluice does not: after all that both refuse.
fn check_tunnel(line: &ServerLine) -> Result<(), Refusal> {
    if line.method == Method::Tun && line.tunnel != Tunnel::Ipip {
        return Err(Refusal::TunnelType(line.tunnel));
    }
    Ok(())
}

/// What the kernel's `inet_addr_type` and `ipv6_addr_type` say of an address whatever interfaces
/// there are.
const fn is_unicast(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(addr) => !addr.is_unspecified() && !addr.is_broadcast() && !addr.is_multicast(),
        IpAddr::V6(addr) => {
            let is_mapped = addr.to_ipv4_mapped().is_some();
            let is_nobodys = addr.is_unspecified() || addr.is_multicast() || is_mapped;
            !is_nobodys && !addr.is_unicast_link_local()
        }
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
            ("-A -t 10.1.0.100:81 -p --pe sip", Refusal::Engine),
            (
                "-A -t 10.1.0.100:81 -p --pe other",
                Refusal::SchedulerNotFound,
            ),
            (
                "-A -t 10.1.0.100:81 -s nosuch -p --pe sip",
                Refusal::SchedulerNotFound,
            ),
            ("-a -t 10.1.0.100:80 -r [fe80::1]:80 -i", Refusal::Invalid),
            ("-a -t 10.1.0.100:80 -r [ff02::1]:80 -i", Refusal::Invalid),
            ("-a -t 10.1.0.100:80 -r [::]:80 -i", Refusal::Invalid),
            (
                "-a -t 10.1.0.100:80 -r [::ffff:10.2.0.11]:80 -i",
                Refusal::Invalid,
            ),
            (
                "-P -t 10.1.0.100:81 -z 10.2.0.1",
                Refusal::ServiceNotDefined,
            ),
            ("-P -t 10.1.0.100:80 -z 224.0.0.1", Refusal::Invalid),
            ("-P -t 10.1.0.100:80 -z 2001:db8::1", Refusal::Family),
            ("-Q -t 10.1.0.100:80 -z 10.2.0.1", Refusal::NoLocal),
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
                "-e -t 10.1.0.100:80 -r 10.2.0.12 -i --tun-type gre",
                Refusal::NoServer,
            ),
            (
                "-a -t 10.1.0.100:80 -r 10.2.0.11 -i --tun-type gre",
                Refusal::ServerExists,
            ),
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
    fn services_of_both_families_stand_beside_each_other() {
        let table = table(&[
            "-A -f 1",
            "-A -f 1 -6 -p -M 64",
            "-A -t [2001:db8::100]:80",
            "-a -t [2001:db8::100]:80 -r [2001:db8::11]:8080 -m",
            "-a -t [2001:db8::100]:80 -r 10.2.0.11 -i",
        ]);

        assert_eq!(table.services().count(), 3);
        assert_eq!(
            servers(&table),
            ["2001:db8::11:8080 nat 1", "10.2.0.11:80 tun 1"]
        );
        // The packet path forwards IPv4 alone.
        assert_eq!(table.specs(Locality::default()).len(), 1);
    }

    #[test]
    fn local_addresses_are_added_and_deleted_each_once() {
        let mut table = table(&[
            "-A -t 10.1.0.100:80",
            "-a -t 10.1.0.100:80 -r 10.2.0.11:8080 -b",
            "-P -t 10.1.0.100:80 -z 10.2.0.1",
            "-P -t 10.1.0.100:80 -z 10.2.0.2",
            "-Q -t 10.1.0.100:80 -z 10.2.0.1",
        ]);

        let again = change("-P -t 10.1.0.100:80 -z 10.2.0.2");
        let refusal = table.apply(&again, AddressKind::Unicast);

        assert_eq!(refusal, Err(Refusal::LocalExists));
        assert_eq!(servers(&table), ["10.2.0.11:8080 fullnat 1"]);
        let entry = table.services().next().unwrap();
        let left: Vec<_> = entry
            .local_addresses
            .iter()
            .map(IpAddr::to_string)
            .collect();
        assert_eq!(left, ["10.2.0.2"]);
    }

    #[test]
    fn flushing_leaves_nothing() {
        let mut table = table(&["-A -t 10.1.0.100:80", "-A -f 1"]);

        table.apply(&Change::Flush, AddressKind::Unicast).unwrap();

        assert_eq!(table.services().count(), 0);
    }
}
