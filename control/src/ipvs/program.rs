//! The programs of LVS: `ipvsadm`, and the scripts that save and restore rules by it.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::path::Path;

use super::call::Call;
use super::run::Reply;

/// The longest standard input: the rules of 100,000 servers have some 6 MB.
const MAX_INPUT: u64 = 32 << 20;

/// The exit code of a script that was told something it does not know.
const HELPED: i32 = 1;

/// Which program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// `ipvsadm`.
    Ipvsadm,
    /// `ipvsadm-save`.
    Save,
    /// `ipvsadm-restore`.
    Restore,
}

impl Program {
    /// The program of this name, wherever it lies.
    #[must_use]
    pub fn called(path: &OsStr) -> Option<Self> {
        match Path::new(path).file_name()?.to_str()? {
            "ipvsadm" => Some(Self::Ipvsadm),
            "ipvsadm-save" => Some(Self::Save),
            "ipvsadm-restore" => Some(Self::Restore),
            _ => None,
        }
    }

    /// The call of `ipvsadm` that it makes with these words; or what it says itself.
    ///
    /// # Errors
    ///
    /// When the standard input, which is read only if it is needed, cannot be.
    pub fn call(self, args: Vec<String>, stdin: &mut dyn Read) -> io::Result<Result<Call, Reply>> {
        Ok(match self {
            Self::Ipvsadm => {
                let mut call = Call::new(args);
                if call.reads_input() {
                    call.stdin = read(stdin)?;
                }
                Ok(call)
            }
            Self::Save => {
                let is_known = |arg: &String| arg == "-n" || !arg.starts_with('-');
                if !args.iter().all(is_known) {
                    return Ok(Err(save_help()));
                }
                let numeric = args.iter().any(|arg| arg == "-n").then_some("-n");
                Ok(Call::new(["-S"].into_iter().chain(numeric)))
            }
            Self::Restore => {
                // Services there were are gone first, in the same call: nobody comes between.
                let rules = read(stdin)?;
                let rules = rules.lines().filter(|line| !line.starts_with('#'));
                let lines: Vec<_> = ["-C"].into_iter().chain(rules).collect();
                Ok(Call {
                    stdin: lines.join("\n"),
                    ..Call::new(["-R"])
                })
            }
        })
    }
}

/// All of the standard input, as far as a gateway would take it.
fn read(stdin: &mut dyn Read) -> io::Result<String> {
    let mut bytes = Vec::new();
    stdin.take(MAX_INPUT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_INPUT {
        let limit = MAX_INPUT >> 20;
        return Err(io::Error::other(format!("it has more than {limit} MiB")));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What `ipvsadm-save` says of itself.
fn save_help() -> Reply {
    Reply {
        stderr: "ipvsadm-save: Script to save the IPVS table to stdout.\n   \
                 With the -n option, prints out the table in numeric format.\n"
            .to_owned(),
        status: HELPED,
        ..Reply::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(program: Program, args: &[&str], stdin: &str) -> Result<Call, Reply> {
        let args = args.iter().map(|it| (*it).to_owned()).collect();
        program.call(args, &mut stdin.as_bytes()).unwrap()
    }

    #[test]
    fn a_program_is_known_by_its_name_wherever_it_lies() {
        for (path, expected) in [
            ("ipvsadm", Some(Program::Ipvsadm)),
            ("/sbin/ipvsadm", Some(Program::Ipvsadm)),
            ("./ipvsadm-save", Some(Program::Save)),
            ("/usr/sbin/ipvsadm-restore", Some(Program::Restore)),
            ("sluicectl", None),
            ("/opt/ipvsadm/sluicectl", None),
            ("", None),
        ] {
            assert_eq!(Program::called(path.as_ref()), expected, "{path}");
        }
    }

    #[test]
    fn standard_input_is_read_only_when_the_line_needs_it() {
        /// Whoever reads this waits for a terminal for ever.
        struct Terminal;

        impl Read for Terminal {
            fn read(&mut self, _bytes: &mut [u8]) -> io::Result<usize> {
                panic!("read")
            }
        }

        for line in [
            vec!["-Ln"],
            vec!["-R", "-n"],
            vec!["-A", "-t", "10.1.0.100:80"],
            vec![],
        ] {
            let args = line.iter().map(|it| (*it).to_owned()).collect();
            let call = Program::Ipvsadm.call(args, &mut Terminal).unwrap();
            assert_eq!(call, Ok(Call::new(line)));
        }
        let restored = call(Program::Ipvsadm, &["-R"], "-C\n").unwrap();
        assert_eq!(restored.stdin, "-C\n");
    }

    #[test]
    fn rules_are_saved_by_name_or_by_number() {
        assert_eq!(call(Program::Save, &[], ""), Ok(Call::new(["-S"])));
        assert_eq!(
            call(Program::Save, &["-n", "more"], ""),
            Ok(Call::new(["-S", "-n"]))
        );
        for unknown in ["-h", "--help", "-x", "--numeric"] {
            let help = call(Program::Save, &["-n", unknown], "").unwrap_err();
            assert_eq!((help.status, help.stdout.as_str()), (1, ""), "{unknown}");
            assert!(
                help.stderr.starts_with("ipvsadm-save: Script to save"),
                "{unknown}"
            );
        }
    }

    #[test]
    fn rules_are_restored_in_place_of_those_there_were() {
        let rules = "# saved\n-A -f 1 -s rr\n#-A -f 2\n-a -f 1 -r 10.2.0.11:0\n";

        let call = call(Program::Restore, &["--whatever"], rules).unwrap();

        assert_eq!(call.args, ["-R"]);
        assert_eq!(call.stdin, "-C\n-A -f 1 -s rr\n-a -f 1 -r 10.2.0.11:0");
    }
}
