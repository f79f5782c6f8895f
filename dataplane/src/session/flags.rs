//! What is true of a session beside its state: a bit for each.

/// What is true of a session beside its state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct SessionFlags(u8);

impl SessionFlags {
    /// No packet of the server was seen, and none is expected to pass (DR, TUN): the state
    /// follows the client's packets alone.
    pub const NO_OUTPUT: Self = Self(1);
    /// The session is counted as active at its server.
    pub const ACTIVE: Self = Self(1 << 1);
    /// Sequence numbers are moved by `seq_delta`.
    pub const SEQ_SHIFT: Self = Self(1 << 2);
    /// SYN and SYN-ACK get at most the MSS of [`Session::mss_clamp`]; here, so that other packets
    /// need not look there.
    pub const CLAMP_MSS: Self = Self(1 << 3);
    /// Its local port was given back when its server had ended it; it stays for late packets until
    /// it expires, or until the port is lent for another session with the same server.
    pub const PORT_RETURNED: Self = Self(1 << 4);

    /// It is in full swing: what a plain TCP segment or datagram does, in any direction it may
    /// come, is to leave the session as it is. [`Session::advance`] keeps this up to date.
    pub const STEADY: Self = Self(1 << 5);
    /// Its client has used the same port for another VIP of the same server since, so a younger
    /// session gets the server's packets.
    pub const OUTDATED: Self = Self(1 << 6);

    /// No flag.
    #[must_use]
    pub const fn empty() -> Self {
        Self(0)
    }

    /// Whether all of `flags` are set.
    #[inline]
    #[must_use]
    pub const fn contains(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// Sets all of `flags`.
    #[inline]
    pub const fn insert(&mut self, flags: Self) {
        self.0 |= flags.0;
    }

    /// Clears all of `flags`.
    #[inline]
    pub const fn remove(&mut self, flags: Self) {
        self.0 &= !flags.0;
    }

    /// Sets or clears all of `flags`.
    #[inline]
    pub const fn set(&mut self, flags: Self, on: bool) {
        if on {
            self.insert(flags);
        } else {
            self.remove(flags);
        }
    }
}
