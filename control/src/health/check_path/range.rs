//! The range of check addresses, and which server has which.
//!
//! ```text
//! 198.18.0.0/20   198.18.0.1          198.18.0.2 ..= 198.18.15.254
//!                 the check           one for each server of each service
//!                 interface itself
//! ```

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use dataplane::address::Endpoint;
use dataplane::service::ServiceKey;
use serde::{Serialize, Serializer};

/// The longest prefix: with it there is one server.
pub const MAX_PREFIX_LEN: u8 = 30;

/// The shortest prefix: 16 million servers.
pub const MIN_PREFIX_LEN: u8 = 8;

/// A network whose addresses stand for servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckRange {
    network: u32,
    prefix_len: u8,
}

impl CheckRange {
    /// The network of `prefix_len` bits around `address`; `None` for a prefix that is shorter than
    /// [`MIN_PREFIX_LEN`] or longer than [`MAX_PREFIX_LEN`].
    #[must_use]
    pub fn new(address: Ipv4Addr, prefix_len: u8) -> Option<Self> {
        if !(MIN_PREFIX_LEN..=MAX_PREFIX_LEN).contains(&prefix_len) {
            return None;
        }
        let mask = u32::MAX << (32 - prefix_len);
        Some(Self {
            network: address.to_bits() & mask,
            prefix_len,
        })
    }

    /// Bits of the network.
    #[must_use]
    pub const fn prefix_len(&self) -> u8 {
        self.prefix_len
    }

    /// The check interface's own address, from which checks come.
    #[must_use]
    pub const fn own(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.network + 1)
    }

    /// Whether an address is one of the range.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let IpAddr::V4(address) = address else {
            return false;
        };
        (address.to_bits() ^ self.network) >> (32 - self.prefix_len) == 0
    }

    /// The address of the server with this number, from 0; `None` beyond the range.
    fn server(&self, number: u32) -> Option<Ipv4Addr> {
        let last = u32::MAX.checked_shr(self.prefix_len.into()).unwrap_or(0) - 1;
        let host = number.checked_add(2).filter(|host| *host <= last)?;
        Some(Ipv4Addr::from_bits(self.network + host))
    }
}

impl FromStr for CheckRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((address, prefix_len)) = text.split_once('/') else {
            return Err(format!(
                "\"{text}\" has no prefix length: write it like 198.18.0.0/20"
            ));
        };
        let address: Ipv4Addr = address.parse().map_err(|_| {
            format!("\"{text}\" is not a network of IPv4: write it like 198.18.0.0/20")
        })?;
        let prefix_len = prefix_len.parse().ok();
        let range = prefix_len.and_then(|prefix_len| Self::new(address, prefix_len));
        let range = range.ok_or_else(|| {
            format!(
                "\"{text}\" has a wrong prefix length: \
                 give {MIN_PREFIX_LEN} to {MAX_PREFIX_LEN} after the /"
            )
        })?;
        if range.network != address.to_bits() {
            return Err(format!(
                "\"{text}\" has bits behind its prefix: write {range}"
            ));
        }
        Ok(range)
    }
}

impl fmt::Display for CheckRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let network = Ipv4Addr::from_bits(self.network);
        write!(f, "{network}/{}", self.prefix_len)
    }
}

impl Serialize for CheckRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What names a server that has a check address: a server of two services has two.
pub(super) type Checked = (ServiceKey, Endpoint<IpAddr>);

/// Which server has which check address.
///
/// A new server gets the lowest address that no server had yet, and when there is none left the
/// one that is free for longest: packets of a check that has ended may still be on their way.
#[derive(Debug)]
pub(super) struct AddressBook {
    range: CheckRange,
    given: HashMap<Checked, Ipv4Addr>,
    /// How many addresses were given for the first time.
    begun: u32,
    returned: VecDeque<Ipv4Addr>,
    /// How many servers have none.
    without: usize,
}

impl AddressBook {
    pub(super) fn new(range: CheckRange) -> Self {
        Self {
            range,
            given: HashMap::new(),
            begun: 0,
            returned: VecDeque::new(),
            without: 0,
        }
    }

    /// Lets exactly the `wanted` servers have addresses, in their order; one that had an address
    /// keeps it. Returns how many have none since the range is too small.
    pub(super) fn renew(&mut self, wanted: &[Checked]) -> usize {
        let mut before = std::mem::take(&mut self.given);
        for checked in wanted {
            if let Some(address) = before.remove(checked) {
                self.given.insert(*checked, address);
            }
        }
        let mut returned: Vec<_> = before.into_values().collect();
        returned.sort_unstable();
        self.returned.extend(returned);
        let mut without = 0;
        for checked in wanted {
            if self.given.contains_key(checked) {
                continue;
            }
            match self.next() {
                Some(address) => drop(self.given.insert(*checked, address)),
                None => without += 1,
            }
        }
        self.without = without;
        without
    }

    /// How many servers have no address since the range is too small.
    pub(super) const fn without(&self) -> usize {
        self.without
    }

    /// The address of a server.
    pub(super) fn address(&self, checked: &Checked) -> Option<Ipv4Addr> {
        self.given.get(checked).copied()
    }

    fn next(&mut self) -> Option<Ipv4Addr> {
        match self.range.server(self.begun) {
            Some(address) => {
                self.begun += 1;
                Some(address)
            }
            None => self.returned.pop_front(),
        }
    }
}

#[cfg(test)]
mod tests {
    use dataplane::address::{Address, Protocol};
    use dataplane::testing::{RIP_1, RIP_2, RIP_3, VIP};

    use super::*;

    fn range(text: &str) -> CheckRange {
        let (address, prefix_len) = text.split_once('/').unwrap();
        CheckRange::new(address.parse().unwrap(), prefix_len.parse().unwrap()).unwrap()
    }

    fn servers() -> [Checked; 3] {
        let vip = Endpoint::new(VIP.addr.to_ip(), VIP.port);
        let key = ServiceKey::address(Protocol::Tcp, vip);
        [RIP_1, RIP_2, RIP_3].map(|rip| (key, Endpoint::new(rip.addr.to_ip(), rip.port)))
    }

    fn host(text: &str) -> Option<Ipv4Addr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn the_first_host_is_the_interfaces_and_the_broadcast_address_is_nobodys() {
        let small = range("198.18.0.7/29");

        assert_eq!(Some(small.own()), host("198.18.0.1"));
        assert_eq!(small.server(0), host("198.18.0.2"));
        assert_eq!(small.server(4), host("198.18.0.6"));
        assert_eq!(small.server(5), None);
        assert_eq!(
            range("10.0.0.0/8").server(0xff_fffc),
            host("10.255.255.254")
        );
        assert_eq!(range("10.0.0.0/8").server(0xff_fffd), None);
        assert_eq!(CheckRange::new(Ipv4Addr::LOCALHOST, 31), None);
        assert_eq!(CheckRange::new(Ipv4Addr::LOCALHOST, 7), None);
    }

    #[test]
    fn a_server_keeps_its_address_while_others_come_and_go() {
        let [one, two, three] = servers();
        let mut book = AddressBook::new(range("198.18.0.0/20"));
        assert_eq!(book.renew(&[one, two]), 0);

        assert_eq!(book.renew(&[three, two]), 0);

        assert_eq!(book.address(&one), None);
        assert_eq!(book.address(&two), host("198.18.0.3"));
        assert_eq!(book.address(&three), host("198.18.0.4"));
    }

    #[test]
    fn a_full_range_gives_what_is_free_for_longest_and_says_who_has_none() {
        let [one, two, three] = servers();
        let mut book = AddressBook::new(range("198.18.0.0/29"));
        let tcp = |port| (one.0, Endpoint::new(one.1.addr, port));
        let five: Vec<_> = (1..=5).map(tcp).collect();
        assert_eq!(book.renew(&five), 0);
        assert_eq!(book.renew(&five[1..]), 0);
        assert_eq!(book.renew(&five[2..]), 0);

        let wanted = [&five[2..], &[one, two, three]].concat();

        assert_eq!(book.renew(&wanted), 1);
        assert_eq!(book.address(&one), host("198.18.0.2"));
        assert_eq!(book.address(&two), host("198.18.0.3"));
        assert_eq!(book.address(&three), None);
    }
}
