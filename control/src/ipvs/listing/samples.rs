//! Services for tests of listings. What the kernel and Debian's `ipvsadm` 1.31 printed of them is
//! in `samples/`.

use dataplane::counters::TrafficTotals;

use super::{ServerRow, ServiceRow};
use crate::ipvs::command::{Change, Command};
use crate::ipvs::grammar::parse;
use crate::ipvs::meter::Rates;
use crate::ipvs::names::testing::FewNames;

/// The lines that made the samples: services in the order of the kernel's hash table, servers in
/// the order in which they were added.
pub(super) const LINES: &str = "\
-A -t 10.1.0.100:443 -s sh -p 600 -M 255.255.255.0 -b sh-fallback,sh-port
-a -t 10.1.0.100:443 -r 10.2.0.11 -g
-A -t [2001:db8:1::100]:80 -s sed -p 50 -M 64
-a -t [2001:db8:1::100]:80 -r [2001:db8:2::11]:8080 -m
-a -t [2001:db8:1::100]:80 -r 10.2.0.11 -i
-A -u 10.1.0.100:5060 -s mh -p 300 --pe sip -b mh-fallback,mh-port
-A -t 192.168.77.1:80 -s fo
-A -u 10.1.0.100:53 -s rr -o
-a -u 10.1.0.100:53 -r 10.2.0.11 -i
-a -u 10.1.0.100:53 -r 10.2.0.12 -i --tun-type gue --tun-port 6080 --tun-csum
-A -t 10.1.0.100:21 -s rr
-a -t 10.1.0.100:21 -r 10.2.0.11 -m
-A --sctp-service 10.1.0.100:38412 -s lc
-a --sctp-service 10.1.0.100:38412 -r 10.2.0.11 -m
-A -t 10.1.0.100:0 -s lblcr -p
-a -t 10.1.0.100:0 -r 10.2.0.11
-A -t 10.1.0.100:82 -s nq -b flag-1,flag-3
-A -t 10.1.0.100:83 -s twos
-A -t 10.1.0.100:80
-a -t 10.1.0.100:80 -r 10.2.0.11:8080 -m -w 100 -x 1000 -y 500
-a -t 10.1.0.100:80 -r 10.2.0.12:8080 -m -w 65535
-a -t 10.1.0.100:80 -r 192.168.5.7:8080 -m -w 0
-A -t 10.1.0.100:81 -s ovf
-A -t 10.1.0.100:84 -s lblc
-A -f 1 -s wrr
-a -f 1 -r 10.2.0.11 -w 3
-A -f 2 -6 -s dh -p
-a -f 2 -6 -r [2001:db8:2::11]:0
";

/// The services that lines make, without sessions or traffic.
pub(super) fn rows(lines: &str) -> Vec<ServiceRow> {
    let mut rows: Vec<ServiceRow> = Vec::new();
    for line in lines.lines() {
        let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        match parse(&words, &FewNames) {
            Ok(Command::Change(Change::AddService(service))) => rows.push(ServiceRow {
                service,
                traffic: TrafficTotals::default(),
                rates: Rates::default(),
                servers: Vec::new(),
                local_addresses: Vec::new(),
            }),
            Ok(Command::Change(Change::AddLocal(name, local))) => {
                let row = rows.iter_mut().find(|row| row.service.name == name);
                row.unwrap().local_addresses.push(local);
            }
            Ok(Command::Change(Change::AddServer(name, server))) => {
                let row = rows.iter_mut().find(|row| row.service.name == name);
                let servers = &mut row.unwrap().servers;
                let row = ServerRow {
                    server,
                    active: 0,
                    inactive: 0,
                    templates: 0,
                    traffic: TrafficTotals::default(),
                    rates: Rates::default(),
                };
                servers.insert(0, row);
            }
            other => panic!("{line}: {other:?}"),
        }
    }
    rows
}
