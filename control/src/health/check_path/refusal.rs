//! Why a packet on the check interface was not sent to a server.

/// The reasons; each is a label of `sluice_check_path_refused_packets_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Refusal {
    /// No check has sent it: it does not come from the check interface's own address, or is none of TCP,
    /// UDP and ICMP echo.
    NotACheck,
    /// No server has the check address that it is for.
    NoServer,
    /// It is a fragment.
    Fragment,
    /// The packet path has no route, no MAC or no address of its own to send it from.
    NoWay,
    /// A check of another server of the VIP speaks from the same port.
    PortTaken,
    /// Too many checks are under way.
    TooMany,
    /// The packet ends before it should, or has no room for a tunnel.
    Malformed,
    /// The twin whose ethdev it would leave by is gone, or its ring is full.
    NotSent,
}

impl Refusal {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::NotACheck,
        Self::NoServer,
        Self::Fragment,
        Self::NoWay,
        Self::PortTaken,
        Self::TooMany,
        Self::Malformed,
        Self::NotSent,
    ];

    /// The label of metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotACheck => "not_a_check",
            Self::NoServer => "no_server",
            Self::Fragment => "fragment",
            Self::NoWay => "no_way",
            Self::PortTaken => "port_taken",
            Self::TooMany => "too_many",
            Self::Malformed => "malformed",
            Self::NotSent => "not_sent",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_stands_at_its_number_under_a_name_of_its_own() {
        for (number, refusal) in Refusal::ALL.iter().enumerate() {
            assert_eq!(*refusal as usize, number);
            let names = Refusal::ALL.iter().filter(|it| it.name() == refusal.name());
            assert_eq!(names.count(), 1, "{refusal:?}");
        }
    }
}
