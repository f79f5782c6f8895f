//! The way of checks to the VIP on a server: the check interface and its addresses.

use control::config::Config;
use control::health::check_path::CheckPath;
use control::linux::check_device::CheckDevice;
use control::linux::check_lane::CheckLane;

use super::StartError;

/// What a tunnel takes of a packet's room: its own IPv4 header.
const TUNNEL_BYTES: u16 = 20;

/// Makes the check interface, if the configuration has addresses for it.
pub(super) fn open(config: &Config) -> Result<Option<(CheckPath, CheckLane)>, StartError> {
    let interface = config.check_interface();
    let Some(range) = interface.range else {
        return Ok(None);
    };
    // What Linux sends there has to fit any way to a server, in a tunnel too.
    let mtus = config.interfaces().map(|it| it.interface.mtu);
    let mtu = mtus.min().unwrap_or(u16::MAX).saturating_sub(TUNNEL_BYTES);
    let device = CheckDevice::open(&interface.name, range, mtu)?;
    let path = CheckPath::new(range);
    Ok(Some((path.clone(), CheckLane::new(device, path))))
}
