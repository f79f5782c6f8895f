//! Kernel variables as scenarios set and read them.
//!
//! Those of IPVS are the gateway's knobs. Others are Linux's: a value that changes nothing here
//! is taken in silence, and any other makes the scenario mean something else than it says.

use std::fs;

use dataplane::knobs::{KnobProblem, Knobs};

use super::sandbox::Said;

/// Where IPVS's variables are.
const IPVS: &str = "net.ipv4.vs.";

/// Variables of IPVS that the gateway has no use for, with what they are unless they are set.
/// As long as they are that, it makes no difference.
const UNUSED: [(&str, &str); 11] = [
    ("backup_only", "0"),
    ("cache_bypass", "0"),
    ("conntrack", "0"),
    ("ignore_tunneled", "0"),
    ("sync_persist_mode", "0"),
    ("sync_ports", "1"),
    ("sync_refresh_period", "0"),
    ("sync_retries", "0"),
    ("sync_sock_size", "0"),
    ("sync_threshold", "3 50"),
    ("sync_version", "1"),
];

/// Variables of Linux, the last name of each, and the value with which they change nothing:
/// the one that the kernel's side has anyway, or any (`""`).
const HARMLESS: [(&str, &str); 16] = [
    ("ip_forward", "1"),
    ("forwarding", "1"),
    ("rp_filter", "0"),
    ("accept_local", "1"),
    ("send_redirects", "0"),
    ("icmp_ratelimit", "0"),
    ("icmp_ratemask", "0"),
    ("accept_redirects", ""),
    ("secure_redirects", ""),
    ("log_martians", ""),
    ("ip_nonlocal_bind", ""),
    ("arp_ignore", ""),
    ("arp_announce", ""),
    ("arp_filter", ""),
    ("disable_ipv6", ""),
    ("accept_dad", ""),
];

/// What became of a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Assigned {
    /// It is the variable's now.
    Taken,
    /// The variable cannot have it (EINVAL).
    Invalid,
    /// There is no such variable (ENOENT).
    Missing,
    /// It would change what the gateway cannot: the scenario is not comparable, and why.
    Foreign(String),
}

/// Every variable of IPVS with its value, as files should hold them.
pub(super) fn of_ipvs(knobs: &Knobs) -> Vec<(&'static str, String)> {
    let own = Knobs::NAMES.iter();
    let own = own.filter_map(|name| Some((*name, knobs.get(name)?)));
    let unused = UNUSED
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()));
    own.chain(unused).collect()
}

/// Gives a variable a value; `key` has dots.
pub(super) fn assign(knobs: &mut Knobs, key: &str, value: &str) -> Assigned {
    let Some(name) = key.strip_prefix(IPVS) else {
        return assign_other(key, value);
    };
    match knobs.set(name, value).map_err(|error| error.problem) {
        Ok(()) => Assigned::Taken,
        Err(KnobProblem::Unknown) => Assigned::Missing,
        Err(KnobProblem::NotANumber(_) | KnobProblem::OutOfRange { .. }) => Assigned::Invalid,
        Err(KnobProblem::NotApplicable(why)) => {
            let words = |text: &str| {
                text.split_whitespace()
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            };
            let same =
                |(known, usual): &&(&str, &str)| *known == name && words(usual) == words(value);
            match UNUSED.iter().find(same) {
                Some(_) => Assigned::Taken,
                None => Assigned::Foreign(format!("{key}={value}: {why}")),
            }
        }
    }
}

fn assign_other(key: &str, value: &str) -> Assigned {
    let last = key.rsplit('.').next().unwrap_or(key);
    let is_harmless = HARMLESS.iter().any(|(known, harmless)| {
        *known == last && (harmless.is_empty() || *harmless == value.trim())
    });
    if is_harmless && key.starts_with("net.") {
        Assigned::Taken
    } else {
        Assigned::Foreign(format!("{key}={value} is not the gateway's to set"))
    }
}

/// The variable and the value of a line that writes one and does nothing else:
/// `echo VALUE > /proc/sys/KEY`.
pub(super) fn written(line: &str) -> Option<(String, String)> {
    let (said, path) = line.trim().strip_prefix("echo ")?.split_once('>')?;
    let key = path.trim().strip_prefix("/proc/sys/")?;
    let value = said.trim();
    let value = value.strip_prefix("-n ").unwrap_or(value).trim();
    let quoted = ['\'', '"']
        .iter()
        .find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
    let value = quoted.unwrap_or(value);
    let is_plain = |text: &str, more: &[u8]| {
        let mut bytes = text.bytes();
        bytes.all(|it| it.is_ascii_alphanumeric() || more.contains(&it))
    };
    let plain = is_plain(value, b"-. \t") && is_plain(key, b"/_.-") && !key.contains("..");
    plain.then(|| (key.replace('/', "."), value.to_owned()))
}

/// What the shell says of such a line.
pub(super) fn said_of_writing(key: &str, assigned: &Assigned) -> Said {
    match assigned {
        Assigned::Taken | Assigned::Foreign(_) => Said::default(),
        Assigned::Invalid => failed("/bin/sh: 1: echo: echo: I/O error\n".to_owned(), 1),
        Assigned::Missing => {
            let path = key.replace('.', "/");
            let errors =
                format!("/bin/sh: 1: cannot create /proc/sys/{path}: Directory nonexistent\n");
            failed(errors, 2)
        }
    }
}

/// `sysctl` with these arguments: what it says, and why the scenario is not comparable then.
pub(super) fn sysctl(knobs: &mut Knobs, arguments: &[String]) -> (Said, Vec<String>) {
    let mut said = Said::default();
    let mut reasons = Vec::new();
    let (mut quiet, mut values_only) = (false, false);
    for argument in arguments {
        match argument.as_str() {
            "-w" | "--write" | "-e" | "--ignore" => {}
            "-q" | "--quiet" => quiet = true,
            "-qw" | "-wq" => quiet = true,
            "-n" | "--values" => values_only = true,
            option if option.starts_with('-') => reasons.push(format!("`sysctl {option}`")),
            setting => match setting.split_once('=') {
                Some((key, value)) => {
                    let key = key.trim().replace('/', ".");
                    let assigned = assign(knobs, &key, value.trim());
                    reasons.extend(add_assigned(&mut said, &key, value.trim(), quiet, assigned));
                }
                None => add_read(&mut said, knobs, &setting.replace('/', "."), values_only),
            },
        }
    }
    (said, reasons)
}

/// Adds what is said of one assignment; gives why the scenario is not comparable, if it is not.
fn add_assigned(
    said: &mut Said,
    key: &str,
    value: &str,
    quiet: bool,
    assigned: Assigned,
) -> Option<String> {
    match assigned {
        Assigned::Taken | Assigned::Foreign(_) if quiet => {}
        Assigned::Taken | Assigned::Foreign(_) => {
            said.output += &format!("{key} = {value}\n");
        }
        Assigned::Invalid => {
            said.errors += &format!("sysctl: setting key \"{key}\": Invalid argument\n");
            said.status = 1;
        }
        Assigned::Missing => add_missing(said, key),
    }
    match assigned {
        Assigned::Foreign(why) => Some(why),
        _ => None,
    }
}

fn add_read(said: &mut Said, knobs: &Knobs, key: &str, values_only: bool) {
    let value = match key.strip_prefix(IPVS) {
        Some(name) => {
            let mut known = of_ipvs(knobs).into_iter();
            known.find_map(|(known, value)| (known == name).then_some(value))
        }
        None => fs::read_to_string(format!("/proc/sys/{}", key.replace('.', "/"))).ok(),
    };
    match value {
        Some(value) if values_only => said.output += &format!("{}\n", value.trim()),
        Some(value) => said.output += &format!("{key} = {}\n", value.trim()),
        None => add_missing(said, key),
    }
}

fn add_missing(said: &mut Said, key: &str) {
    let path = key.replace('.', "/");
    said.errors += &format!("sysctl: cannot stat /proc/sys/{path}: No such file or directory\n");
    said.status = 1;
}

fn failed(errors: String, status: i32) -> Said {
    Said {
        errors,
        status,
        ..Said::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn called(knobs: &mut Knobs, arguments: &str) -> (Said, Vec<String>) {
        let arguments: Vec<String> = arguments.split(' ').map(str::to_owned).collect();
        sysctl(knobs, &arguments)
    }

    #[test]
    fn knobs_are_set_and_told_as_sysctl_does() {
        let mut knobs = Knobs::default();

        let (said, reasons) = called(&mut knobs, "-w net.ipv4.vs.sloppy_tcp=1");
        assert_eq!(
            (said.output.as_str(), said.status),
            ("net.ipv4.vs.sloppy_tcp = 1\n", 0)
        );
        assert_eq!(reasons, [""; 0]);
        assert!(knobs.sloppy_tcp);

        let (said, _) = called(
            &mut knobs,
            "-n net/ipv4/vs/sloppy_tcp net.ipv4.vs.sync_threshold",
        );
        assert_eq!(said.output, "1\n3 50\n");
    }

    #[test]
    fn what_linux_would_refuse_is_refused_in_its_words() {
        let mut knobs = Knobs::default();

        let (said, _) = called(
            &mut knobs,
            "-w net.ipv4.vs.drop_entry=4 net.ipv4.vs.nothing=1",
        );

        let errors = "\
sysctl: setting key \"net.ipv4.vs.drop_entry\": Invalid argument
sysctl: cannot stat /proc/sys/net/ipv4/vs/nothing: No such file or directory
";
        assert_eq!((said.errors.as_str(), said.status), (errors, 1));
        assert_eq!(knobs, Knobs::default());
    }

    #[test]
    fn what_would_change_only_the_kernel_is_a_reason() {
        let mut knobs = Knobs::default();

        for (key, value, foreign) in [
            ("net.ipv4.vs.conntrack", "1", true),
            ("net.ipv4.vs.conntrack", "0", false),
            ("net.ipv4.vs.sync_threshold", "3\t50", false),
            ("net.ipv4.ip_forward", "1", false),
            ("net.ipv4.ip_forward", "0", true),
            ("net.ipv4.conf.eth0.rp_filter", "0", false),
            ("kernel.panic", "1", true),
        ] {
            let assigned = assign(&mut knobs, key, value);
            assert_eq!(
                matches!(assigned, Assigned::Foreign(_)),
                foreign,
                "{key}={value}"
            );
        }
    }

    #[test]
    fn a_line_that_only_writes_a_variable_is_known_as_one() {
        let key = || "net.ipv4.vs.drop_entry".to_owned();
        for (line, value) in [
            ("echo 3 > /proc/sys/net/ipv4/vs/drop_entry", "3"),
            ("echo -n 3 >/proc/sys/net/ipv4/vs/drop_entry", "3"),
            ("echo '3 50' > /proc/sys/net/ipv4/vs/drop_entry", "3 50"),
        ] {
            assert_eq!(written(line), Some((key(), value.to_owned())), "{line}");
        }
        for line in [
            "echo 3 > /proc/sys/net/ipv4/vs/drop_entry; ipvsadm -Z",
            "echo $V > /proc/sys/net/ipv4/vs/drop_entry",
            "echo 3 > /tmp/drop_entry",
        ] {
            assert_eq!(written(line), None, "{line}");
        }
    }
}
