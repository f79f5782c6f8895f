//! Identification numbers for the IPv4 packets the gateway makes itself.

/// A counter of identification numbers, owned by one worker.
///
/// Only packets without «do not fragment» take one: those with it are atomic, and their
/// identification means nothing (RFC 6864 §4.1).
#[derive(Clone, Copy, Debug)]
pub struct IpIds(u16);

impl IpIds {
    /// A counter that begins anywhere: give it a random number, so that an onlooker learns
    /// nothing from the first packets.
    #[must_use]
    pub const fn starting_at(first: u16) -> Self {
        Self(first)
    }

    /// The next number, which comes again after 65,536 of them.
    #[inline]
    #[must_use]
    pub const fn next(&mut self) -> u16 {
        let id = self.0;
        self.0 = id.wrapping_add(1);
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_each_other_around_the_end() {
        let mut ids = IpIds::starting_at(u16::MAX);

        assert_eq!([ids.next(), ids.next(), ids.next()], [u16::MAX, 0, 1]);
    }
}
