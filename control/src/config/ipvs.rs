//! `[ipvs]`: what the kernel's IPVS has as variables below `net.ipv4.vs`, under their names there.

use dataplane::schedule::load::Rules;
use dataplane::service::LOCALITY_EXPIRATION_SECONDS;
use serde::{Serialize, Serializer};

use super::section::Section;
use super::timeouts::read_duration;

/// How sessions are scheduled, for all services.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ipvs {
    /// By which kernel's rules servers are overloaded and compared.
    #[serde(serialize_with = "write_rules")]
    pub rules: Rules,
    /// Seconds after which lblc forgets a VIP that nobody asks for.
    pub lblc_expiration: u32,
    /// Seconds after which lblcr forgets a VIP that nobody asks for, and takes a server out of a
    /// set that has not changed.
    pub lblcr_expiration: u32,
}

const RULES: [(&str, Rules); 2] = [
    ("6.1.192", Rules::Linux6_1_192),
    ("6.1.176", Rules::Linux6_1_176),
];

impl Default for Ipvs {
    fn default() -> Self {
        Self {
            rules: Rules::default(),
            lblc_expiration: LOCALITY_EXPIRATION_SECONDS,
            lblcr_expiration: LOCALITY_EXPIRATION_SECONDS,
        }
    }
}

impl Ipvs {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let default = Self::default();
        let ipvs = Self {
            rules: section.or("rules", default.rules, |node| node.word(&RULES)),
            lblc_expiration: section.or("lblc_expiration", default.lblc_expiration, read_duration),
            lblcr_expiration: section.or(
                "lblcr_expiration",
                default.lblcr_expiration,
                read_duration,
            ),
        };
        section.finish();
        ipvs
    }
}

fn write_rules<S: Serializer>(rules: &Rules, serializer: S) -> Result<S::Ok, S::Error> {
    let written = RULES.iter().find(|(_, meaning)| meaning == rules);
    serializer.serialize_str(written.map_or("6.1.192", |(word, _)| word))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{config, refusals};
    use super::*;

    #[test]
    fn what_is_not_said_is_the_kernels() {
        assert_eq!(*config("").ipvs(), Ipvs::default());
        assert_eq!(*config("[ipvs]\n").ipvs(), Ipvs::default());
        assert_eq!(Ipvs::default().lblc_expiration, 86_400);
    }

    #[test]
    fn every_key_is_read() {
        let text = "[ipvs]\nrules = \"6.1.176\"\nlblc_expiration = 30\nlblcr_expiration = \"2h\"\n";

        assert_eq!(
            *config(text).ipvs(),
            Ipvs {
                rules: Rules::Linux6_1_176,
                lblc_expiration: 30,
                lblcr_expiration: 7200,
            }
        );
    }

    #[test]
    fn values_that_do_not_exist_are_refused() {
        assert_eq!(
            refusals("[ipvs]\nrules = \"5.10\"\nlblc_expiration = 0\n"),
            [
                "2: `rules` \"5.10\" is not known: what can stand here is 6.1.192, 6.1.176",
                "3: `lblc_expiration` 0 is no time at all: give at least 1 second",
            ]
        );
    }
}
