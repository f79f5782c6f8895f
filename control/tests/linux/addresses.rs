//! VIPs and LIPs on twins, as Linux and a host on the wire see them.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use control::linux::addresses::{AddressKeeper, PlacedAddress, PlacedBy, WantedAddress};
use control::linux::journal::{AddressRole, Journal};
use control::linux::pump::Pump;
use control::linux::twin::{Twin, TwinConfig, TwinLink};
use dataplane::address::MacAddr;
use dataplane::id::InterfaceId;

use crate::frames::Arp;
use crate::mirror::{LAN, lan};
use crate::namespace::{eventually, in_namespace, ip};
use crate::wire::Wire;

/// A state directory, removed at the end.
struct StateDir(PathBuf);

impl StateDir {
    fn new(name: &str) -> Self {
        let unique = format!("sluice-addresses-{name}-{}", std::process::id());
        Self(std::env::temp_dir().join(unique))
    }

    fn has_journal(&self) -> bool {
        self.0.join("addresses.json").exists()
    }
}

impl Drop for StateDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

struct Lan {
    wire: Wire,
    link: TwinLink,
    pump: Pump,
}

impl Lan {
    fn new() -> Self {
        let wire = Wire::default();
        let twin = lan();
        let link = twin.link().clone();
        let pump = Pump::start(vec![twin], vec![wire.port(LAN)], None).unwrap();
        Self { wire, link, pump }
    }

    fn keeper(&self, dir: &StateDir) -> AddressKeeper {
        let journal = Journal::open(&dir.0).unwrap();
        AddressKeeper::open(
            journal,
            std::slice::from_ref(&self.link),
            self.pump.sender(),
        )
        .unwrap()
    }
}

fn wanted(addr: &str, role: AddressRole) -> WantedAddress {
    WantedAddress {
        addr: addr.parse().unwrap(),
        role,
        interface: None,
    }
}

fn vip(addr: &str) -> WantedAddress {
    wanted(addr, AddressRole::Vip)
}

fn lip(addr: &str) -> WantedAddress {
    wanted(addr, AddressRole::Lip)
}

fn shown() -> String {
    ip("address show lan0")
}

#[test]
fn addresses_are_added_changed_and_removed_as_wanted() {
    in_namespace(|| {
        let lan = Lan::new();
        let dir = StateDir::new("life");
        let mut keeper = lan.keeper(&dir);

        let placed = keeper
            .apply(&[vip("10.0.0.80"), lip("10.0.0.200"), vip("2001:db8::80")])
            .unwrap();
        assert!(placed.iter().all(|one| one.by == PlacedBy::Gateway(LAN)));
        for there in ["10.0.0.80/32 scope global", "10.0.0.200/32 scope host"] {
            assert!(shown().contains(there), "{there} in {}", shown());
        }
        assert!(shown().contains("2001:db8::80/128"), "{}", shown());
        assert!(dir.has_journal());

        keeper.apply(&[lip("10.0.0.80"), vip("10.0.0.81")]).unwrap();
        for there in ["10.0.0.80/32 scope host", "10.0.0.81/32 scope global"] {
            assert!(shown().contains(there), "{there} in {}", shown());
        }
        for gone in ["10.0.0.200/32", "2001:db8::80/128"] {
            assert!(!shown().contains(gone), "{gone} in {}", shown());
        }

        keeper.remove_all().unwrap();
        assert!(!shown().contains("/32"), "{}", shown());
        assert!(shown().contains("10.0.0.1/24"), "{}", shown());
        assert!(!dir.has_journal());
    });
}

#[test]
fn an_address_somebody_else_put_there_is_used_and_never_removed() {
    in_namespace(|| {
        let lan = Lan::new();
        let dir = StateDir::new("others");
        let mut keeper = lan.keeper(&dir);
        ip("address add 10.0.0.80/32 dev lan0");
        ip("address add 10.0.0.81/32 dev lo");

        let both = [vip("10.0.0.80"), vip("10.0.0.81"), vip("10.0.0.1")];
        let placed = keeper.apply(&both).unwrap();
        keeper.remove_all().unwrap();

        let expected = both.map(|wanted| PlacedAddress {
            addr: wanted.addr,
            by: PlacedBy::Operator,
        });
        assert_eq!(placed, expected);
        assert!(shown().contains("10.0.0.80/32"), "{}", shown());
        assert!(shown().contains("10.0.0.1/24"), "{}", shown());
        assert!(ip("address show lo").contains("10.0.0.81/32"));
        assert!(!dir.has_journal());
    });
}

#[test]
fn after_a_sudden_death_what_is_wanted_is_adopted_and_the_rest_removed() {
    in_namespace(|| {
        let lan = Lan::new();
        let dir = StateDir::new("death");
        let mut first = lan.keeper(&dir);
        let both = [vip("10.0.0.80"), vip("10.0.0.81")];
        first.apply(&both).unwrap();
        // A sudden death: nothing is removed, and the journal stays.
        drop(first);
        ip("address add 10.0.0.99/32 dev lan0");

        let mut second = lan.keeper(&dir);
        let placed = second.apply(&[vip("10.0.0.81"), vip("10.0.0.82")]).unwrap();

        assert!(placed.iter().all(|one| one.by == PlacedBy::Gateway(LAN)));
        assert!(!shown().contains("10.0.0.80/32"), "{}", shown());
        assert!(shown().contains("10.0.0.81/32"), "{}", shown());
        assert!(shown().contains("10.0.0.82/32"), "{}", shown());
        second.remove_all().unwrap();
        assert!(!shown().contains("10.0.0.8"), "{}", shown());
        assert!(shown().contains("10.0.0.99/32"), "{}", shown());
    });
}

#[test]
fn what_an_earlier_start_left_on_a_twin_no_longer_configured_is_removed() {
    in_namespace(|| {
        let lan = Lan::new();
        let dir = StateDir::new("moved");
        let other = Twin::open(&TwinConfig {
            interface: InterfaceId(5),
            name: "old0".to_owned(),
            mac: MacAddr([2, 0, 0, 0, 0, 5]),
            mtu: 1500,
            persist: true,
        })
        .unwrap();
        let links = [lan.link.clone(), other.link().clone()];
        let mut first =
            AddressKeeper::open(Journal::open(&dir.0).unwrap(), &links, lan.pump.sender()).unwrap();
        let mut named = vip("10.0.0.80");
        named.interface = Some(InterfaceId(5));
        first.apply(&[named]).unwrap();
        assert!(ip("address show old0").contains("10.0.0.80/32"));
        drop(first);

        let mut second = lan.keeper(&dir);
        second.apply(&[vip("10.0.0.80")]).unwrap();

        assert!(!ip("address show old0").contains("10.0.0.80/32"));
        assert!(shown().contains("10.0.0.80/32"), "{}", shown());
    });
}

#[test]
fn linux_never_picks_a_lip_as_its_source() {
    in_namespace(|| {
        let lan = Lan::new();
        let dir = StateDir::new("source");
        // The worst case: the LIP is there first, and the router is in no subnet.
        ip("address flush dev lan0");
        let mut keeper = lan.keeper(&dir);
        keeper
            .apply(&[lip("10.0.0.200"), lip("2001:db8::200")])
            .unwrap();
        ip("address add 10.5.0.1/24 dev lan0");
        ip("address add 2001:db8:5::1/64 dev lan0 nodad");
        ip("route add default via 192.0.2.1 dev lan0 onlink");
        ip("route add default via 2001:db8::fe dev lan0 onlink");

        for there in ["8.8.8.8", "192.0.2.1", "10.0.0.201", "10.5.0.7"] {
            let route = ip(&format!("route get {there}"));
            assert!(route.contains("src 10.5.0.1 "), "{route}");
        }
        for there in ["2001:db8::201", "2001:db9::1"] {
            let route = ip(&format!("route get {there}"));
            assert!(route.contains("src 2001:db8:5::1 "), "{route}");
        }
    });
}

#[test]
fn linux_answers_arp_for_a_lip_and_a_vip_is_announced_twice() {
    in_namespace(|| {
        let lan = Lan::new();
        let dir = StateDir::new("arp");
        let mut keeper = lan.keeper(&dir);

        keeper
            .apply(&[vip("10.0.0.80"), lip("10.0.0.200")])
            .unwrap();
        // Nothing new, so nothing to announce.
        keeper
            .apply(&[vip("10.0.0.80"), lip("10.0.0.200")])
            .unwrap();

        let question = Arp {
            reply: false,
            sender_mac: MacAddr([2, 0, 0, 0, 0, 0x22]),
            sender: Ipv4Addr::new(10, 0, 0, 2),
            target_mac: MacAddr::default(),
            target: Ipv4Addr::new(10, 0, 0, 200),
        };
        lan.wire.send(question.frame_to(MacAddr::BROADCAST));
        let answer = || {
            lan.wire
                .find(|frame| Arp::parse(frame).filter(|arp| arp.reply))
        };
        eventually("an ARP reply", || answer().is_some());
        assert_eq!(answer().unwrap().sender, question.target);
        let announced = || {
            lan.wire.count(|frame| {
                let arp = Arp::parse(frame)?;
                (!arp.reply && arp.sender == arp.target && arp.sender.octets()[3] == 80)
                    .then_some(())
            })
        };
        eventually("two announcements", || announced() == 2);
        assert_eq!(lan.wire.find(Arp::parse).unwrap().sender_mac, lan.link.mac);
    });
}

#[test]
fn an_address_with_no_place_keeps_the_others_from_nothing() {
    in_namespace(|| {
        let lan = Lan::new();
        let dir = StateDir::new("nowhere");
        let mut keeper = lan.keeper(&dir);
        let mut nowhere = vip("10.0.0.81");
        nowhere.interface = Some(InterfaceId(9));

        let placed = keeper.apply(&[vip("10.0.0.80"), nowhere]).unwrap();

        assert_eq!(placed[0].by, PlacedBy::Gateway(LAN));
        assert!(
            matches!(placed[1].by, PlacedBy::Nobody(error) if error.to_string().contains("interface 9")),
            "{placed:?}"
        );
        assert!(shown().contains("10.0.0.80/32"), "{}", shown());
        assert!(!shown().contains("10.0.0.81"), "{}", shown());
    });
}

#[test]
fn an_address_that_linux_refuses_keeps_the_others_from_nothing() {
    in_namespace(|| {
        let lan = Lan::new();
        let dir = StateDir::new("refused");
        let mut keeper = lan.keeper(&dir);
        // Loopback addresses belong to no other interface; IPv4 comes first, so both sides of
        // the refused one are looked at.
        let refused = vip("::1");
        let wanted = [vip("10.0.0.80"), refused, vip("2001:db8::80")];
        ip("link set dev lo up");
        ip("address del ::1/128 dev lo");

        let error = keeper.apply(&wanted).unwrap_err();

        assert!(error.to_string().contains("::1"), "{error}");
        assert!(shown().contains("10.0.0.80/32"), "{}", shown());
        assert!(shown().contains("2001:db8::80/128"), "{}", shown());
    });
}

#[test]
fn an_address_wanted_for_both_is_a_vip() {
    in_namespace(|| {
        let lan = Lan::new();
        let dir = StateDir::new("both");
        let mut keeper = lan.keeper(&dir);

        let placed = keeper.apply(&[lip("10.0.0.80"), vip("10.0.0.80")]).unwrap();

        assert_eq!(placed.len(), 1);
        assert_eq!(placed[0].addr, "10.0.0.80".parse::<IpAddr>().unwrap());
        assert!(shown().contains("10.0.0.80/32 scope global"), "{}", shown());
    });
}
