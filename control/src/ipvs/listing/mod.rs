//! What `ipvsadm` prints, letter for letter: from plain data to text.
//!
//! Nothing here knows the gateway; that the letters are right is shown with what the kernel and
//! Debian's `ipvsadm` 1.31 printed of the same.

mod connections;
mod locals;
mod naming;
mod numbers;
mod order;
mod save;
#[cfg(test)]
mod samples;
mod services;

pub use connections::{ConnectionRow, connections};
pub use locals::{LocalRow, locals};
pub use naming::Naming;
pub use save::save;
pub use services::{ServerRow, ServiceRow, Style, services};

use dataplane::service::Method;

/// `--timeout`: the three time-outs that `--set` sets, in seconds.
#[must_use]
pub fn timeouts(tcp: u32, tcp_fin: u32, udp: u32) -> String {
    format!("Timeout (tcp tcpfin udp): {tcp} {tcp_fin} {udp}\n")
}

/// A method's name in listings.
const fn method_word(method: Method) -> &'static str {
    match method {
        Method::Dr => "Route",
        Method::Nat => "Masq",
        Method::Tun => "Tunnel",
        Method::Fullnat => "FullNat",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_outs_stand_in_the_order_of_set() {
        assert_eq!(
            timeouts(900, 120, 300),
            "Timeout (tcp tcpfin udp): 900 120 300\n"
        );
    }
}
