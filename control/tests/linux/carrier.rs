//! The carrier of twins, as Linux shows it.

use std::sync::Arc;

use control::linux::carrier::{Beside, CarrierChange, CarrierKeeper, Links};
use control::linux::twin::{Twin, TwinConfig};
use dataplane::address::MacAddr;
use dataplane::id::{EthdevId, InterfaceId};
use parking_lot::Mutex;

use crate::namespace::{in_namespace, ip};

/// Links that the test plugs and cuts.
#[derive(Clone)]
struct Cables(Arc<Mutex<Vec<Option<bool>>>>);

impl Links for Cables {
    fn up(&mut self) -> Vec<Option<bool>> {
        self.0.lock().clone()
    }
}

fn twin(interface: u16, name: &str) -> Twin {
    let config = TwinConfig {
        interface: InterfaceId(interface),
        name: name.to_owned(),
        mac: MacAddr([2, 0, 0, 0, 0, 1]),
        mtu: 1500,
        persist: false,
    };
    Twin::open(&config).unwrap()
}

fn beside(ethdev: u16, twin: &Twin) -> Beside {
    Beside {
        ethdev: EthdevId(ethdev),
        ifindex: twin.link().ifindex,
        name: twin.link().name.clone(),
    }
}

fn has_carrier(name: &str) -> bool {
    !ip(&format!("link show {name}")).contains("NO-CARRIER")
}

#[test]
fn twins_lose_and_regain_their_carrier_with_the_link_of_their_ethdev() {
    in_namespace(|| {
        let (wan, vlan, lan) = (twin(0, "wan0"), twin(1, "wan0.7"), twin(2, "lan0"));
        let cables = Cables(Arc::new(Mutex::new(vec![Some(true), None])));
        let twins = vec![beside(0, &wan), beside(0, &vlan), beside(1, &lan)];
        let mut keeper = CarrierKeeper::open(Box::new(cables.clone()), twins).unwrap();
        assert_eq!(keeper.follow().unwrap(), []);

        *cables.0.lock() = vec![Some(false), None];
        let cut = keeper.follow().unwrap();

        let change = |twin: &str, up| CarrierChange {
            twin: twin.to_owned(),
            up,
        };
        assert_eq!(cut, [change("wan0", false), change("wan0.7", false)]);
        assert!(!has_carrier("wan0") && !has_carrier("wan0.7"));
        // Nobody knows about the other one.
        assert!(has_carrier("lan0"));

        *cables.0.lock() = vec![Some(true), Some(true)];
        let plugged = keeper.follow().unwrap();

        assert_eq!(plugged, [change("wan0", true), change("wan0.7", true)]);
        assert!(has_carrier("wan0") && has_carrier("wan0.7"));
        assert_eq!(keeper.follow().unwrap(), []);
    });
}

#[test]
fn a_twin_that_is_gone_is_told_once_and_keeps_the_others_from_nothing() {
    in_namespace(|| {
        let (wan, lan) = (twin(0, "wan0"), twin(1, "lan0"));
        let cables = Cables(Arc::new(Mutex::new(vec![Some(false), Some(false)])));
        let twins = vec![beside(0, &wan), beside(1, &lan)];
        let mut keeper = CarrierKeeper::open(Box::new(cables), twins).unwrap();
        ip("link del wan0");

        let error = keeper.follow().unwrap_err();

        assert_eq!(error.raw_os_error(), Some(nix::libc::ENODEV));
        assert!(!has_carrier("lan0"));
        assert_eq!(keeper.follow().unwrap(), [], "it is not told for ever");
    });
}
