//! The program as a gateway and its operator see it.
#![allow(clippy::panic, clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A running agent, which ends with the test.
struct Agent {
    process: Child,
    address: SocketAddr,
    state: PathBuf,
}

impl Agent {
    fn start(name: &str) -> Self {
        let state = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        let mut process = Command::new(env!("CARGO_BIN_EXE_sluice-agent"))
            .args(["--listen", "127.0.0.1:0", "--file"])
            .arg(&state)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut told = String::new();
        let stderr = process.stderr.take().unwrap();
        BufReader::new(stderr).read_line(&mut told).unwrap();
        let address = told.trim().rsplit(' ').next().unwrap().parse();
        Self {
            address: address.unwrap_or_else(|_| panic!("it said: {told}")),
            process,
            state,
        }
    }

    fn connect(&self) -> TcpStream {
        let connection = TcpStream::connect(self.address).unwrap();
        connection
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        connection
    }

    fn says(&self) -> String {
        let mut said = String::new();
        self.connect().read_to_string(&mut said).unwrap();
        said
    }

    fn write(&self, word: &str) {
        std::fs::write(&self.state, word).unwrap();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_file(&self.state);
    }
}

/// Whether this is `ready up NN%`, the weight that is left of 1 to 100 percent.
fn is_well(line: &str) -> bool {
    let percent = line
        .strip_prefix("ready up ")
        .and_then(|rest| rest.strip_suffix("%\n"));
    percent.is_some_and(|number| {
        number
            .parse()
            .is_ok_and(|number: u8| (1..=100).contains(&number))
    })
}

#[test]
fn whoever_connects_is_told_one_line_and_the_operators_word_comes_first() {
    let agent = Agent::start("sluice-agent-words");

    let well = agent.says();
    agent.write("drain\n");
    let drain = agent.says();
    agent.write("down disk full\n");
    let down = agent.says();
    agent.write("up\n");
    let back = agent.says();

    assert!(is_well(&well), "{well}");
    assert_eq!(drain, "drain up\n");
    assert_eq!(down, "ready down #disk full\n");
    assert!(is_well(&back), "{back}");
}

#[test]
fn nobody_who_connects_and_waits_holds_up_others() {
    let agent = Agent::start("sluice-agent-waiting");
    let waiting: Vec<_> = (0..50).map(|_| agent.connect()).collect();
    let mut talking = agent.connect();
    talking.write_all(b"what about you?\n").unwrap();

    let line = agent.says();

    assert!(is_well(&line), "{line}");
    let mut answer = String::new();
    talking.read_to_string(&mut answer).unwrap();
    assert!(is_well(&answer), "{answer}");
    drop(waiting);
}

#[test]
fn sigterm_ends_it() {
    let mut agent = Agent::start("sluice-agent-end");
    let process = Pid::from_raw(i32::try_from(agent.process.id()).unwrap());

    kill(process, Signal::SIGTERM).unwrap();

    assert!(agent.process.wait().unwrap().success());
}

#[test]
fn once_prints_the_line_and_ends() {
    let output = Command::new(env!("CARGO_BIN_EXE_sluice-agent"))
        .args(["--once", "--connections", "1:100000"])
        .output()
        .unwrap();

    assert!(output.status.success(), "{output:?}");
    let line = String::from_utf8(output.stdout).unwrap();
    assert!(is_well(&format!("ready {line}")), "{line}");
}

#[test]
fn an_address_that_is_taken_is_said() {
    let agent = Agent::start("sluice-agent-taken");

    let output = Command::new(env!("CARGO_BIN_EXE_sluice-agent"))
        .args(["--listen", &agent.address.to_string()])
        .output()
        .unwrap();

    let said = String::from_utf8(output.stderr).unwrap();
    let expected = format!("sluice-agent: cannot listen at {}: ", agent.address);
    assert!(said.starts_with(&expected), "{said}");
    assert!(!output.status.success());
}

#[test]
fn the_unit_for_systemd_starts_it() {
    let unit = include_str!("../../conf/sluice-agent.service").replace("\\\n", " ");
    let line = unit
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart="));
    let mut words = line.unwrap().split_ascii_whitespace();
    assert_eq!(words.next(), Some("/usr/bin/sluice-agent"));

    let output = Command::new(env!("CARGO_BIN_EXE_sluice-agent"))
        .args(words)
        .arg("--once")
        .output()
        .unwrap();

    assert!(output.status.success(), "{output:?}");
}
