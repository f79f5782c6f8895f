//! Looks at the kernel settings that quietly break a gateway, and says what mends them.
//!
//! It changes none: they are the operator's.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// Where settings live. The kernel shows those of the reading thread's network namespace.
const ROOT: &str = "/proc/sys/net";

/// A setting that does not suit a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SysctlWarning {
    /// What goes wrong with it, as a sentence.
    pub consequence: String,
    /// The command that mends it until the next boot.
    pub command: String,
}

impl fmt::Display for SysctlWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; mend it with `{}`", self.consequence, self.command)
    }
}

/// Checks the settings for twins of these names.
#[must_use]
pub fn warnings(twins: &[&str]) -> Vec<SysctlWarning> {
    warnings_in(Path::new(ROOT), twins)
}

/// Checks the settings below `root`, which stands for /proc/sys/net.
pub(crate) fn warnings_in(root: &Path, twins: &[&str]) -> Vec<SysctlWarning> {
    Settings(root.to_owned()).warnings(twins)
}

/// A tree of settings.
struct Settings(PathBuf);

impl Settings {
    fn warnings(&self, twins: &[&str]) -> Vec<SysctlWarning> {
        let mut found = Vec::new();
        found.extend(self.forwarding());
        for twin in twins {
            found.extend(self.redirects(twin));
            found.extend(self.reverse_path(twin));
        }
        found
    }

    fn forwarding(&self) -> Option<SysctlWarning> {
        (self.read("ipv4/ip_forward") == Some(0)).then(|| SysctlWarning {
            consequence: "Linux forwards nothing, so packets that merely pass through the \
                          gateway are lost"
                .to_owned(),
            command: "sysctl -w net.ipv4.ip_forward=1".to_owned(),
        })
    }

    /// Redirects are sent when either the interface or `all` says so.
    fn redirects(&self, twin: &str) -> Option<SysctlWarning> {
        let names: Vec<&str> = ["all", twin]
            .into_iter()
            .filter(|name| {
                self.of(name, "send_redirects")
                    .is_some_and(|value| value != 0)
            })
            .collect();
        (!names.is_empty()).then(|| SysctlWarning {
            consequence: format!(
                "Linux sends ICMP redirects on {twin}, which teach hosts to go around the gateway"
            ),
            command: assignments(&names, "send_redirects", 0),
        })
    }

    /// The larger of the interface's value and that of `all` counts, so 2 (loose) on the
    /// interface is enough against 1 (strict) in either place.
    fn reverse_path(&self, twin: &str) -> Option<SysctlWarning> {
        let effective = ["all", twin]
            .into_iter()
            .filter_map(|name| self.of(name, "rp_filter"))
            .max();
        (effective == Some(1)).then(|| SysctlWarning {
            consequence: format!(
                "Linux drops packets punted to {twin} whose answers would leave by another \
                 interface"
            ),
            command: assignments(&[twin], "rp_filter", 2),
        })
    }

    fn of(&self, interface: &str, setting: &str) -> Option<u32> {
        self.read(format!("ipv4/conf/{interface}/{setting}"))
    }

    fn read(&self, path: impl AsRef<Path>) -> Option<u32> {
        let text = fs::read_to_string(self.0.join(path)).ok()?;
        text.trim().parse().ok()
    }
}

fn assignments(interfaces: &[&str], setting: &str, value: u32) -> String {
    let mut command = "sysctl -w".to_owned();
    for interface in interfaces {
        // A dot in an interface's name would be taken for a separator.
        let separator = if interface.contains('.') { '/' } else { '.' };
        let name = ["net", "ipv4", "conf", interface, setting].join(&separator.to_string());
        command.push_str(&format!(" {name}={value}"));
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree of settings in a directory of its own, removed at the end.
    struct Tree(Settings);

    impl Tree {
        fn new(name: &str, settings: &[(&str, u32)]) -> Self {
            let unique = format!("sluice-sysctl-{name}-{}", std::process::id());
            let root = std::env::temp_dir().join(unique);
            let _ = fs::remove_dir_all(&root);
            for (path, value) in settings {
                let path = root.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, format!("{value}\n")).unwrap();
            }
            Self(Settings(root))
        }

        fn commands(&self, twins: &[&str]) -> Vec<String> {
            let warnings = self.0.warnings(twins);
            warnings.into_iter().map(|one| one.command).collect()
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0.0);
        }
    }

    #[test]
    fn settings_that_suit_a_gateway_give_no_warning() {
        let tree = Tree::new(
            "good",
            &[
                ("ipv4/ip_forward", 1),
                ("ipv4/conf/all/send_redirects", 0),
                ("ipv4/conf/wan0/send_redirects", 0),
                ("ipv4/conf/all/rp_filter", 1),
                ("ipv4/conf/wan0/rp_filter", 2),
            ],
        );

        assert!(tree.commands(&["wan0"]).is_empty());
    }

    #[test]
    fn each_warning_names_the_command_that_mends_it() {
        let tree = Tree::new(
            "bad",
            &[
                ("ipv4/ip_forward", 0),
                ("ipv4/conf/all/send_redirects", 1),
                ("ipv4/conf/wan0/send_redirects", 1),
                ("ipv4/conf/all/rp_filter", 0),
                ("ipv4/conf/wan0/rp_filter", 1),
            ],
        );

        assert_eq!(
            tree.commands(&["wan0"]),
            [
                "sysctl -w net.ipv4.ip_forward=1",
                "sysctl -w net.ipv4.conf.all.send_redirects=0 \
                 net.ipv4.conf.wan0.send_redirects=0",
                "sysctl -w net.ipv4.conf.wan0.rp_filter=2",
            ]
        );
    }

    #[test]
    fn a_strict_filter_for_all_is_mended_on_the_twin_alone() {
        let tree = Tree::new(
            "all",
            &[
                ("ipv4/conf/all/rp_filter", 1),
                ("ipv4/conf/wan0/rp_filter", 0),
            ],
        );

        assert_eq!(
            tree.commands(&["wan0"]),
            ["sysctl -w net.ipv4.conf.wan0.rp_filter=2"]
        );
    }

    #[test]
    fn a_twin_with_a_dot_in_its_name_is_written_with_slashes() {
        let tree = Tree::new("dot", &[("ipv4/conf/wan0.100/rp_filter", 1)]);

        assert_eq!(
            tree.commands(&["wan0.100"]),
            ["sysctl -w net/ipv4/conf/wan0.100/rp_filter=2"]
        );
    }
}
