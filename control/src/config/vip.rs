//! `vip`: the address that clients speak to, and who puts it on a twin.

use std::net::IpAddr;

use super::document::{Node, Value};
use super::network::{not_a_host, parse_address};
use super::section::Section;

/// What a VIP has to be.
pub(super) const WANTED_VIP: &str = "a unicast address that clients can reach";

/// Who puts a VIP on a twin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Placement {
    /// The gateway, on the twin whose subnet covers it, else on that of the default route.
    #[default]
    Auto,
    /// The gateway, on the twin of this interface (by its name in this file).
    Interface(String),
    /// Nobody here: keepalived, BIRD or an operator.
    External,
}

/// `vip = "10.1.0.100"` or `vip = { address = "10.1.0.100", place = "external" }`.
pub(super) fn read_vip(section: &mut Section<'_>) -> Option<(IpAddr, Placement)> {
    const MISSING: &str = "give the address that clients speak to, like \"10.1.0.100\"";
    let is_table = |node: &Node| Ok(matches!(node.value, Value::Table(_)));
    if section.optional("vip", is_table) != Some(true) {
        let address = section.required("vip", MISSING, |node| read_host(node, WANTED_VIP))?;
        return Some((address, Placement::Auto));
    }
    let mut vip = section.inner("vip")?;
    let address = vip.required("address", MISSING, |node| read_host(node, WANTED_VIP));
    let is_external = vip.or("place", false, |node| {
        node.word(&[("auto", false), ("external", true)])
    });
    let interface = vip.optional("interface", |node| Ok(node.text()?.to_owned()));
    let placement = match interface {
        Some(_) if is_external => {
            let line = vip.table().line_of("interface");
            vip.refuse(
                line,
                "`interface` says where the gateway puts the VIP, but with place = \"external\" \
                 it does not: take one of them away",
            );
            Placement::External
        }
        None if is_external => Placement::External,
        Some(interface) => Placement::Interface(interface),
        None => Placement::Auto,
    };
    vip.finish();
    Some((address?, placement))
}

fn read_host(node: &Node, wanted: &str) -> Result<IpAddr, String> {
    let address = parse_address(node.text()?)?;
    match not_a_host(address) {
        Some(what) => Err(format!("{address} is {what}: give {wanted}")),
        None => Ok(address),
    }
}
