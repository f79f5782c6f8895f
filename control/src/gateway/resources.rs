//! The parts of the gateway that the API shows one by one.

use std::collections::BTreeMap;
use std::sync::Arc;

use dataplane::service::ServiceKey;

use super::Gateway;
use crate::config::Config;
use crate::view::{LocalAddressesView, NeighbourView, PortView};

impl Gateway {
    /// The configuration that runs, with the variables of IPVS as they are now: written to a file
    /// and applied, it changes nothing.
    #[must_use]
    pub fn running(&self) -> Arc<Config> {
        self.running_and_revision().0
    }

    /// The configuration as [`Self::running`] tells it, and the number of changes that led to it.
    #[must_use]
    pub fn running_and_revision(&self) -> (Arc<Config>, u64) {
        let state = self.state.lock();
        let mut config = Arc::clone(&state.config);
        let knobs = &state.editor.state().knobs;
        if config.ipvs().knobs != **knobs {
            Arc::make_mut(&mut config).set_knobs((**knobs).clone());
        }
        (config, state.revision)
    }

    /// Each port with its VLANs, in the order of the configuration.
    #[must_use]
    pub fn ports(&self) -> Vec<PortView> {
        let config = self.config();
        let counted = self.plane().ethdevs.stats();
        let interfaces = self.status().interfaces;
        let ports = config.ports().iter().map(|port| {
            let name = port.interface.name.clone();
            let own: Vec<_> = port.interfaces().map(|(_, it)| it.name.as_str()).collect();
            let interfaces = interfaces.iter();
            let interfaces = interfaces.filter(|it| own.contains(&it.name.as_str()));
            let counted = counted.iter().find(|it| it.name == name);
            let counted = counted.cloned().unwrap_or_default();
            PortView {
                name,
                device: port.device.devargs().to_owned(),
                interfaces: interfaces.cloned().collect(),
                received_packets: counted.received.0,
                received_bytes: counted.received.1,
                transmitted_packets: counted.transmitted.0,
                transmitted_bytes: counted.transmitted.1,
                missed_packets: counted.missed,
                receive_errors: counted.receive_errors,
                transmit_errors: counted.transmit_errors,
                no_buffer: counted.no_buffer,
            }
        });
        ports.collect()
    }

    /// The neighbours that Linux has told, and those that it should find, by interface and address.
    #[must_use]
    pub fn neighbours(&self) -> Vec<NeighbourView> {
        let config = self.config();
        let wished = self.wished_neighbours();
        let mut found: BTreeMap<_, _> = wished.into_iter().map(|it| (it, (None, true))).collect();
        for (interface, address, mac) in self.state.lock().editor.neighbours() {
            found.entry((interface, address)).or_insert((None, false)).0 = Some(mac);
        }
        let names: BTreeMap<_, _> = config
            .interfaces()
            .map(|numbered| (numbered.id, numbered.interface.name.as_str()))
            .collect();
        let views = found
            .into_iter()
            .map(|((interface, address), (mac, wanted))| NeighbourView {
                interface: (*names.get(&interface).unwrap_or(&"")).to_owned(),
                address,
                mac: mac.map(|mac| mac.to_string()),
                wanted,
            });
        views.collect()
    }

    /// The local addresses of a service; nothing if there is no such service.
    #[must_use]
    pub fn local_addresses_of(&self, key: ServiceKey) -> Option<LocalAddressesView> {
        let config = self.config();
        let mut services = config.services().iter();
        let service = services.find(|service| service.key() == key)?;
        let name = service.local_pool.as_deref();
        let pool = name.and_then(|name| config.local_pool(name));
        let own: Vec<_> = pool.iter().flat_map(|pool| pool.lips()).collect();
        let all = self.status().local_addresses.into_iter();
        Some(LocalAddressesView {
            pool: service.local_pool.clone(),
            addresses: all.filter(|it| own.contains(&it.address)).collect(),
        })
    }
}
