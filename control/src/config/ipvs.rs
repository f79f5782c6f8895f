//! `[ipvs]`: what the kernel's IPVS has as variables below `net.ipv4.vs`, under their names there.
//!
//! Which variables there are, and what may stand in them, is the packet path's to say
//! ([`Knobs`]); here they are read and written.

use dataplane::knobs::Knobs;
use dataplane::schedule::load::Rules;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::document::{Node, Value};
use super::section::Section;
use super::timeouts::read_duration;

/// How sessions are scheduled and kept, for all services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ipvs {
    /// By which kernel's rules servers are overloaded and compared.
    pub rules: Rules,
    /// The kernel's variables.
    pub knobs: Knobs,
}

const RULES: [(&str, Rules); 2] = [
    ("6.1.192", Rules::Linux6_1_192),
    ("6.1.176", Rules::Linux6_1_176),
];

/// Variables that are times: they may have a unit.
const DURATIONS: [&str; 2] = ["lblc_expiration", "lblcr_expiration"];

impl Ipvs {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let rules = section.or("rules", Rules::default(), |node| node.word(&RULES));
        let mut knobs = Knobs::default();
        for name in Knobs::NAMES {
            section.optional(name, |node| read_knob(&mut knobs, name, node));
        }
        for (name, why) in Knobs::not_applicable() {
            // Asked for only when it is there, or it would be advised for a misspelt key.
            if section.has(name) {
                section.optional(name, |_| Err::<(), _>(why.to_string()));
            }
        }
        section.finish();
        Self { rules, knobs }
    }
}

/// Reads one variable: a number as in Linux, for a switch also true or false, for a time also
/// text with a unit.
fn read_knob(knobs: &mut Knobs, name: &str, node: &Node) -> Result<(), String> {
    let number = match node.value {
        _ if DURATIONS.contains(&name) => read_duration(node)?.into(),
        Value::Integer(number) => number,
        Value::Boolean(on) if Knobs::is_switch(name) => on.into(),
        _ if Knobs::is_switch(name) => {
            let kind = node.value.kind();
            return Err(format!("must be true or false, or 1 or 0, not {kind}"));
        }
        _ => node.number(0, i64::MAX)?,
    };
    let set = knobs.set(name, &number.to_string());
    set.map_err(|error| error.problem.to_string())
}

impl Serialize for Ipvs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let rules = RULES.iter().find(|(_, meaning)| *meaning == self.rules);
        let mut keys = serializer.serialize_map(Some(1 + Knobs::NAMES.len()))?;
        keys.serialize_entry("rules", rules.map_or("6.1.192", |(word, _)| word))?;
        for name in Knobs::NAMES {
            let value = self
                .knobs
                .get(name)
                .and_then(|text| text.parse::<i64>().ok());
            keys.serialize_entry(name, &value.unwrap_or(0))?;
        }
        keys.end()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{config, refusals};
    use super::*;

    #[test]
    fn what_is_not_said_is_the_kernels() {
        assert_eq!(*config("").ipvs(), Ipvs::default());
        assert_eq!(*config("[ipvs]\n").ipvs(), Ipvs::default());
        assert_eq!(Ipvs::default().knobs, Knobs::default());
    }

    #[test]
    fn every_variable_is_read_under_its_name() {
        let lines: String = (Knobs::NAMES.iter())
            .map(|name| format!("{name} = 2\n"))
            .collect();

        let config = config(&format!("[ipvs]\nrules = \"6.1.176\"\n{lines}"));

        assert_eq!(config.ipvs().rules, Rules::Linux6_1_176);
        for name in Knobs::NAMES {
            let expected = if Knobs::is_switch(name) { "1" } else { "2" };
            assert_eq!(
                config.ipvs().knobs.get(name).as_deref(),
                Some(expected),
                "{name}"
            );
        }
    }

    #[test]
    fn switches_are_true_or_false_and_times_have_units() {
        let text = "[ipvs]\nsloppy_tcp = true\npmtu_disc = false\nlblc_expiration = 30\n\
                    lblcr_expiration = \"2h\"\n";

        let knobs = config(text).ipvs().knobs.clone();

        assert_eq!((knobs.sloppy_tcp, knobs.pmtu_disc), (true, false));
        assert_eq!((knobs.lblc_expiration, knobs.lblcr_expiration), (30, 7200));
    }

    #[test]
    fn values_that_do_not_exist_are_refused() {
        assert_eq!(
            refusals(
                "[ipvs]\nrules = \"5.10\"\nlblc_expiration = 0\ndrop_entry = 4\n\
                 secure_tcp = true\nsloppy_tcp = \"on\"\nconn_reuse_mode = -1\n\
                 am_droprate = 2_147_483_648\n"
            ),
            [
                "2: `rules` \"5.10\" is not known: what can stand here is 6.1.192, 6.1.176",
                "3: `lblc_expiration` 0 is no time at all: give at least 1 second",
                "4: `drop_entry` 4 is above 3: give 0 to 3",
                "5: `secure_tcp` must be a whole number, not true or false",
                "6: `sloppy_tcp` must be true or false, or 1 or 0, not text",
                "7: `conn_reuse_mode` -1 is below 0: give 0 to 255",
                "8: `am_droprate` 2147483648 is above 2147483647: give 0 to 2147483647",
            ]
        );
    }

    #[test]
    fn variables_that_do_not_apply_say_why_and_are_not_advised() {
        assert_eq!(
            refusals("[ipvs]\nconntrack = 0\nsync_port = 1\n"),
            [
                "2: `conntrack` is not applicable here: packets do not pass netfilter".to_owned(),
                format!(
                    "3: `sync_port` is not a key here: what can stand here is rules, {}, conntrack",
                    Knobs::NAMES.join(", ")
                ),
            ]
        );
    }
}
