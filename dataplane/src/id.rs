//! Numbers that could be swapped, each with a type of its own.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(transparent)]
        pub struct $name(pub $inner);

        impl $name {
            /// The number as an index into a slice.
            #[inline]
            #[must_use]
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// One core's loop, counted from 0.
    WorkerId(u16)
);
id!(
    /// A CPU core, as Linux numbers them.
    CoreId(u16)
);
id!(
    /// A NIC or vdev, in the order of the configuration.
    EthdevId(u16)
);
id!(
    /// A receive or transmit queue of an ethdev.
    QueueId(u16)
);
id!(
    /// An ethdev, or one VLAN of it: what has a twin, a MAC and an MTU.
    InterfaceId(u16)
);
id!(
    /// An IEEE 802.1Q VLAN identifier, 1–4094.
    VlanId(u16)
);
id!(
    /// Where a virtual service stands in the snapshot.
    ServiceSlot(u32)
);
id!(
    /// Where a real server of one service stands in the snapshot.
    ServerSlot(u32)
);
id!(
    /// Where a next hop stands in the snapshot.
    AdjacencySlot(u32)
);
id!(
    /// Where a session stands in its worker's table.
    SessionId(u32)
);
id!(
    /// A real server's weight, 0–65535; 0 takes no new sessions.
    Weight(u32)
);
