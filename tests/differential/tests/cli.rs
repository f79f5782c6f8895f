//! Our `ipvsadm` against the real one, line by line: the folder `cli`.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "what fails here ends the test"
)]

use std::io::Write;
use std::path::Path;

use dataplane::schedule::load::Rules;
use differential::cli::{self, Comparison};
use differential::gateway::{self, Making};
use differential::kernel::{Kernel, Unusable};
use differential::outcome::Outcome;
use differential::read;
use differential::scenario::Scenario;

/// Lines that are compared at least.
const LINES: usize = 150;

/// Every error text that the real `ipvsadm` can print here. It has a few more for what cannot be
/// brought about: a kernel without IPVS, without memory or of another version, a caller who is not
/// root, a synchronisation daemon that runs already.
const ERRORS: [&str; 50] = [
    "Try `ipvsadm -h' or 'ipvsadm --help' for more information.",
    "--bogus: unknown option",
    "-At: missing argument",
    "--numeric=5: option does not take an argument",
    "invalid option `-A'",
    "unexpected argument extra",
    "multiple 'scheduler' options specified",
    "You need to supply the 'service-address' option for the 'add-service' command",
    "Illegal 'numeric' option with the 'add-service' command",
    "The option 'daemon' conflicts with the 'timeout' option in the 'list' command",
    "options conflicts in the list command",
    "illegal virtual server address[:port] specified",
    "illegal real server address[:port] specified",
    "illegal virtual server persistent mask specified",
    "illegal ipv6 netmask specified",
    "invalid fwmark value `abc' specified",
    "-6 used before -f",
    "invalid timeout value `abc' specified",
    "--set option requires 3 timeout values",
    "incompatible scheduler flag `sh-port'",
    "invalid scheduler flag `bogus'",
    "Zero port specified for non-persistent service",
    "One-Packet Scheduling is only for UDP virtual services",
    "illegal weight specified",
    "illegal u_threshold specified",
    "illegal l_threshold specified",
    "Different address family is allowed only for tunneling servers",
    "Tunnel options conflict with forward method",
    "illegal tunnel type specified",
    "illegal tunnel port specified",
    "You need to supply the 'tun-port' option for the 'gue' tunnel type",
    "Illegal 'tun-remcsum' option with the 'gre' tunnel type",
    "The option 'tun-csum' conflicts with the 'tun-nocsum' option in the 'gue' tunnel type",
    "illegal start-daemon parameter specified",
    "illegal start_daemon specified",
    "illegal syncid specified",
    "illegal sync-maxlen specified",
    "illegal mcast-port specified",
    "illegal mcast-ttl specified",
    "invalid IPv4 mcast-group `10.0.0.1'",
    "invalid IPv6 mcast-group `2001:db8::1'",
    "Service already exists",
    "Scheduler or persistence engine not found",
    "No such service",
    "Service not defined",
    "Destination already exists",
    "No such destination",
    "Numerical result out of range",
    "Invalid operation.  Possibly wrong module version, address not unicast, ...",
    "No daemon is running",
];

/// The scenarios of the folder, in the order of their names.
fn scenarios() -> Vec<Scenario> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cli");
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    let read = files.iter().map(|file| read::load(file));
    let read = read.map(|scenario| cli::each(&scenario.expect("it is a scenario")));
    read.collect()
}

/// What the kernel's side says, or nothing where no kernel is installed, which is said loudly.
fn said_by_the_kernel(scenarios: &[Scenario]) -> Option<Vec<Outcome>> {
    let kernel = match Kernel::find() {
        Ok(kernel) => kernel,
        Err(missing @ Unusable::Missing) => {
            let may_skip = std::env::var_os("CI_NO_SKIP").is_none_or(|value| value != "1");
            assert!(may_skip, "it may not be skipped here: {missing}");
            // Not by `eprintln!`, whose output the test runner hides when a test passes.
            let _ = writeln!(
                std::io::stderr(),
                "SKIPPED ipvsadm beside the real one: {missing}"
            );
            return None;
        }
        Err(unusable) => panic!("{unusable}"),
    };
    Some(kernel.play(scenarios).expect("the kernel plays"))
}

#[test]
fn our_ipvsadm_says_what_the_real_one_says() {
    let scenarios = scenarios();
    let Some(kernel) = said_by_the_kernel(&scenarios) else {
        return;
    };
    let making = Making {
        words_only: true,
        ..Making::from(Rules::default())
    };

    let found = scenarios.iter().zip(&kernel).map(|(scenario, theirs)| {
        let ours = gateway::play_with(scenario, making).expect("the gateway plays");
        cli::compare(scenario, theirs, &ours)
    });
    let found: Vec<Comparison> = found.collect();

    let differences = found.iter().flat_map(|it| &it.differences);
    let differences: Vec<_> = differences.map(ToString::to_string).collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    let lines: usize = found.iter().map(|it| it.lines).sum();
    assert!(lines >= LINES, "{lines}");
    let errors =
        (kernel.iter().flat_map(|it| &it.shell)).map(|line| cli::in_our_words(&line.errors));
    let errors: Vec<_> = errors.collect();
    let errors: Vec<&str> = errors.iter().flat_map(|it| it.lines()).collect();
    for text in ERRORS {
        assert!(errors.contains(&text), "nothing brings about: {text}");
    }
}
