//! One call of `ipvsadm`, on its way to the gateway.

use std::net::{IpAddr, Ipv4Addr};

use dataplane::address::Protocol;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::command::Command;
use super::grammar::parse;
use super::names::Names;
use super::run::lines_of;

/// What `ipvsadm` was called with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"args": ["-Ln"], "stdin": ""}))]
pub struct Call {
    /// The words behind the program's name.
    pub args: Vec<String>,
    /// What `-R` reads.
    #[serde(default)]
    pub stdin: String,
}

impl Call {
    /// A call that reads nothing.
    #[must_use]
    pub fn new(args: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            args: args.into_iter().map(Into::into).collect(),
            stdin: String::new(),
        }
    }

    /// Whether `ipvsadm` reads standard input when it is called so.
    #[must_use]
    pub fn reads_input(&self) -> bool {
        matches!(self.command(), Some(Command::Restore))
    }

    /// Whether it only says something of the gateway, and changes nothing. What is not understood
    /// changes nothing either.
    #[must_use]
    pub fn only_asks(&self) -> bool {
        self.command().is_none_or(|command| command.only_asks())
    }

    /// Whether it needs no gateway: help, version.
    #[must_use]
    pub fn needs_nobody(&self) -> bool {
        matches!(self.command(), Some(Command::Help | Command::Version))
    }

    /// Asks `names` for whatever it names, which may take a while: later they know it.
    pub fn look_up(&self, names: &dyn Names) {
        if let Ok(Command::Restore) = parse(&self.args, names) {
            for words in lines_of(&self.stdin) {
                // What is wrong with it is said when it is run.
                let _understood = parse(&words, names);
            }
        }
    }

    /// What it asks for, whatever its names stand for.
    fn command(&self) -> Option<Command> {
        parse(&self.args, &AllNames).ok()
    }
}

/// Who knows every name, as something.
struct AllNames;

impl Names for AllNames {
    fn port(&self, _name: &str, _protocol: Protocol) -> Option<u16> {
        Some(1)
    }

    fn service(&self, _port: u16, _protocol: Protocol) -> Option<String> {
        None
    }

    fn address(&self, _name: &str) -> Option<Ipv4Addr> {
        Some(Ipv4Addr::LOCALHOST)
    }

    fn host(&self, _addr: IpAddr) -> Option<String> {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn call(line: &str) -> Call {
        Call::new(line.split_whitespace())
    }

    /// Notes what it is asked for.
    #[derive(Default)]
    struct Asked(RefCell<Vec<String>>);

    impl Names for Asked {
        fn port(&self, name: &str, protocol: Protocol) -> Option<u16> {
            AllNames.port(name, protocol)
        }

        fn service(&self, _port: u16, _protocol: Protocol) -> Option<String> {
            None
        }

        fn address(&self, name: &str) -> Option<Ipv4Addr> {
            self.0.borrow_mut().push(name.to_owned());
            AllNames.address(name)
        }

        fn host(&self, _addr: IpAddr) -> Option<String> {
            None
        }
    }

    #[test]
    fn all_hosts_are_asked_for_ahead() {
        let asked = Asked::default();
        let restore = Call {
            stdin: "-A -t vip.example:80\nnonsense\n-a -t 10.1.0.100:80 -r one.example\n"
                .to_owned(),
            ..call("-R")
        };

        call("-A -u dns.example:53").look_up(&asked);
        restore.look_up(&asked);

        let expected = ["dns.example", "vip.example", "one.example"];
        assert_eq!(asked.0.into_inner(), expected);
    }

    #[test]
    fn input_is_read_by_a_restoration_only() {
        assert!(call("-R").reads_input());
        assert!(call("--restore").reads_input());
        for line in ["", "-Ln", "-R -n", "-S", "-A -t 10.1.0.100:80"] {
            assert!(!call(line).reads_input(), "{line}");
        }
    }

    #[test]
    fn listings_ask_and_everything_else_changes_something() {
        for line in [
            "",
            "-Ln",
            "-L -t www.example.net:http",
            "-S",
            "-h",
            "-v",
            "--nonsense",
        ] {
            assert!(call(line).only_asks(), "{line}");
        }
        for line in [
            "-A -t 10.1.0.100:80",
            "-D -t www.example.net:http",
            "-C",
            "-Z",
            "-R",
            "--set 1 2 3",
            "--start-daemon master",
        ] {
            assert!(!call(line).only_asks(), "{line}");
        }
    }

    #[test]
    fn a_call_without_input_needs_not_say_so() {
        let read: Call = serde_json::from_str(r#"{"args":["-Ln"]}"#).unwrap();

        assert_eq!(read, call("-Ln"));
        assert!(serde_json::from_str::<Call>(r#"{"args":[],"other":1}"#).is_err());
    }
}
