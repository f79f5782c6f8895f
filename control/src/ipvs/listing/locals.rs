//! `-G`: the local addresses of services, as DPVS lists them.

use std::fmt::Write;
use std::net::IpAddr;

use super::naming::Naming;
use crate::ipvs::command::ServiceName;

/// A service with its local addresses.
#[derive(Clone, Debug)]
pub struct LocalRow {
    /// Which service.
    pub service: ServiceName,
    /// Each address, with how many of its ports are lent.
    pub addresses: Vec<(IpAddr, usize)>,
}

/// The listing. No port is ever lent twice, so there are no conflicts.
#[must_use]
pub fn locals(rows: &[LocalRow]) -> String {
    let line = |columns: [&str; 5]| {
        let [service, total, address, conflicts, connections] = columns;
        format!("{service:<20} {total:<8} {address:<20} {conflicts:<10} {connections:<10}\n")
    };
    let mut text = line(["VIP:VPORT", "TOTAL", "SNAT_IP", "CONFLICTS", "CONNS"]);
    for row in rows {
        let name = match row.service {
            ServiceName::Address { endpoint, .. } => Naming::NUMERIC.endpoint(endpoint, None),
            ServiceName::Mark { .. } => Naming::NUMERIC.service(&row.service),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<20} {:<8}", row.addresses.len());
        for (address, lent) in &row.addresses {
            let (address, lent) = (address.to_string(), lent.to_string());
            text.push_str(&line(["", "", &address, "0", &lent]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use dataplane::address::{Endpoint, Protocol};

    use super::*;

    #[test]
    fn local_addresses_stand_below_their_service() {
        let service = ServiceName::Address {
            protocol: Protocol::Tcp,
            endpoint: Endpoint::new([10, 1, 0, 100].into(), 80),
        };
        let addresses = vec![([10, 2, 0, 1].into(), 7), ([10, 2, 0, 2].into(), 0)];

        let text = locals(&[LocalRow { service, addresses }]);

        assert_eq!(
            text,
            "\
VIP:VPORT            TOTAL    SNAT_IP              CONFLICTS  CONNS     
10.1.0.100:80        2       
                              10.2.0.1             0          7         
                              10.2.0.2             0          0         
"
        );
    }
}
