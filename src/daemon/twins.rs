//! From ports and VLANs to twins: Linux's interfaces beside them.

use control::config::Config;
use control::linux::Twins;
use control::linux::furnish::furnish;
use control::linux::netlink::RouteSocket;
use control::linux::twin::TwinConfig;

use super::StartError;
use super::ethdevs::Ethdevs;

/// Makes or finds the twin of each interface and puts the configured addresses on it.
pub(super) fn open(config: &Config, ethdevs: &Ethdevs) -> Result<Twins, StartError> {
    let wanted: Vec<TwinConfig> = (config.interfaces())
        .map(|numbered| TwinConfig {
            interface: numbered.id,
            name: numbered.interface.twin.name.clone(),
            mac: ethdevs.mac(numbered.ethdev.index()),
            mtu: numbered.interface.mtu,
            persist: numbered.interface.twin.persist,
        })
        .collect();
    let twins = Twins::open(&wanted)?;
    let mut socket = RouteSocket::open()?;
    for (numbered, link) in config.interfaces().zip(twins.links()) {
        let interface = numbered.interface;
        furnish(&mut socket, &link, &interface.addresses, &interface.routes)?;
    }
    Ok(twins)
}
