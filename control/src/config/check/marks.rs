//! Rules for marks against the ports.

use dataplane::marks::MarkRule;

use super::super::RawConfig;
use super::super::section::Problems;
use super::{Names, listed};

pub(super) fn check(raw: &RawConfig<'_>, names: &Names<'_>, problems: &Problems) {
    for rule in &raw.marks {
        let port = rule.value.port.as_deref();
        if let Some(port) = port.filter(|port| !names.ports.contains(port)) {
            let known = listed(&names.ports);
            let message = format!(
                "there is no [[port]] \"{port}\": what can stand here is {known}; a rule is for \
                 all VLANs of a port"
            );
            problems.refuse(rule.at.line_of("port"), message);
        }
    }
    if let Some(first) = raw.marks.get(MarkRule::MOST) {
        let message = format!("there are more than {} [[mark]] rules", MarkRule::MOST);
        problems.refuse(first.at.line, message);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{config, refusals};

    const PORTS: &str = "[[port]]\nname = \"wan\"\ndevice = \"net_null0\"\n\
                         [[port.vlan]]\nid = 5\nname = \"guests\"\n";

    #[test]
    fn a_rule_names_a_port_and_no_vlan() {
        let rule = |port| format!("[[mark]]\nmark = 1\nport = \"{port}\"\n{PORTS}");

        assert_eq!(config(&rule("wan")).marks().len(), 1);
        assert_eq!(
            refusals(&rule("guests")),
            [
                "3: there is no [[port]] \"guests\": what can stand here is wan; a rule is for all \
              VLANs of a port"
            ]
        );
    }

    #[test]
    fn there_are_at_most_4096_rules() {
        let rules = |count| "[[mark]]\nmark = 1\n".repeat(count);

        assert_eq!(config(&rules(4_096)).marks().len(), 4_096);
        assert_eq!(
            refusals(&rules(4_097)),
            ["8193: there are more than 4096 [[mark]] rules"]
        );
    }
}
