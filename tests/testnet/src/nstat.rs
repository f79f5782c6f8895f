//! The counters Linux keeps about itself, by nstat.

use std::collections::HashMap;

use crate::namespace::Namespace;

/// Linux's counters in one namespace at one moment.
#[derive(Clone, Debug)]
pub struct Nstat(HashMap<String, u64>);

impl Nstat {
    /// Reads all counters of `namespace`.
    ///
    /// # Panics
    ///
    /// When nstat fails or prints something else than its JSON.
    #[must_use]
    pub fn read(namespace: &Namespace) -> Self {
        let text = namespace.run("nstat --ignore --zeros --noupdate --json");
        let json: serde_json::Value = serde_json::from_str(&text).expect("nstat prints JSON");
        let counters = json["kernel"]
            .as_object()
            .expect("nstat names the kernel's counters");
        Self(
            counters
                .iter()
                .map(|(name, value)| (name.clone(), value.as_u64().unwrap_or(0)))
                .collect(),
        )
    }

    /// One counter by the name nstat prints, such as `TcpRetransSegs`.
    ///
    /// # Panics
    ///
    /// When this kernel has no such counter: a misspelt name must not read as zero.
    #[must_use]
    pub fn get(&self, name: &str) -> u64 {
        *self
            .0
            .get(name)
            .unwrap_or_else(|| panic!("nstat knows no counter {name}"))
    }

    /// How far a counter has moved since `earlier`.
    #[must_use]
    pub fn moved_since(&self, earlier: &Self, name: &str) -> u64 {
        self.get(name) - earlier.get(name)
    }

    /// Packets with a wrong checksum that Linux met, over IP, TCP, UDP and ICMP.
    #[must_use]
    pub fn checksum_errors(&self) -> u64 {
        [
            "IpExtInCsumErrors",
            "TcpInCsumErrors",
            "UdpInCsumErrors",
            "IcmpInCsumErrors",
        ]
        .into_iter()
        .map(|name| self.get(name))
        .sum()
    }
}
