//! Plays steps one after the other and writes down what comes out.
//!
//! The kernel handles a frame within the call that sends it, so what comes out belongs to the
//! frame sent last; where time is real, a kernel thread may finish it a little later.

use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use super::command;
use super::port::Port;
use super::settings::Settings;
use super::trouble::Trouble;
use crate::kernel::report::{Event, Log};
use crate::kernel::script::Step;

/// How often in a row nothing has come before nothing more is expected.
const IDLE_TURNS: u32 = 3;

/// More than the longest frame, in bytes.
const LONGEST_FRAME: usize = 70_000;

/// Plays steps into a director.
#[derive(Debug)]
pub(super) struct Player<'guest> {
    ports: &'guest [Port],
    settle: Duration,
    log: &'guest mut Log,
    /// When the play began; before, nothing that comes out counts.
    began: Option<Instant>,
    buffer: Vec<u8>,
}

impl<'guest> Player<'guest> {
    /// A player whose play has not begun.
    pub(super) fn new(ports: &'guest [Port], settings: &Settings, log: &'guest mut Log) -> Self {
        Self {
            ports,
            settle: settings.settle(),
            log,
            began: None,
            buffer: vec![0; LONGEST_FRAME],
        }
    }

    /// Starts the play's clock.
    pub(super) fn begin(&mut self) {
        self.settle();
        self.began = Some(Instant::now());
    }

    /// Does one thing.
    pub(super) fn step(&mut self, step: &Step) -> Result<(), Trouble> {
        match step {
            Step::Set { key, value } => command::set(key, value)?,
            Step::Restore(rules) => self.restore(rules)?,
            Step::Shell(command) => self.shell(command)?,
            Step::Packet { interface, frame } => self.packet(interface, frame)?,
            Step::Wait(time) => self.wait_until(Instant::now() + *time),
            Step::At(time) => self.wait_until(self.began.unwrap_or_else(Instant::now) + *time),
        }
        Ok(())
    }

    /// Takes everything that comes out, until nothing does.
    pub(super) fn settle(&mut self) {
        let mut idle = 0;
        while idle < IDLE_TURNS {
            idle = if self.take() { 0 } else { idle + 1 };
            thread::yield_now();
        }
        if !self.settle.is_zero() {
            thread::sleep(self.settle);
            self.take();
        }
    }

    fn packet(&mut self, interface: &str, frame: &[u8]) -> Result<(), Trouble> {
        let port = self.ports.iter().find(|port| port.interface() == interface);
        let port = port.ok_or_else(|| Trouble::NoInterface(interface.to_owned()))?;
        self.log.add(&Event::Input {
            nanos: self.nanos(),
            interface: interface.to_owned(),
            frame: frame.to_vec(),
        });
        if let Err(error) = port.send(frame) {
            let reason = format!("a frame of {} bytes cannot be played: {error}", frame.len());
            self.log.add(&Event::Refused(reason));
        }
        self.settle();
        Ok(())
    }

    fn shell(&mut self, line: &str) -> Result<(), Trouble> {
        self.take();
        let said = command::run("/bin/sh", &["-c", line], "")?;
        self.log.add(&Event::Shell {
            command: line.to_owned(),
            output: said.output,
            errors: said.errors,
            status: said.status,
        });
        self.settle();
        Ok(())
    }

    /// Like `ipvsadm-restore`, which is silent as long as all goes well.
    fn restore(&mut self, rules: &[String]) -> Result<(), Trouble> {
        let said = command::run("ipvsadm", &["-R"], &format!("{}\n", rules.join("\n")))?;
        if said.status != 0 || !said.output.is_empty() || !said.errors.is_empty() {
            self.log.add(&Event::Shell {
                command: "ipvsadm -R".to_owned(),
                output: said.output,
                errors: said.errors,
                status: said.status,
            });
        }
        Ok(())
    }

    /// Lets time pass, and takes what comes out when it does.
    fn wait_until(&mut self, moment: Instant) {
        loop {
            self.take();
            let left = moment.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let wanted = |port| PollFd::new(port, PollFlags::POLLIN);
            let mut ports: Vec<_> = self.ports.iter().map(AsFd::as_fd).map(wanted).collect();
            // Interrupted or not, the clock decides.
            let _ = ppoll(&mut ports, Some(TimeSpec::from_duration(left)), None);
        }
    }

    /// Takes what has come out, and answers whether there was something.
    fn take(&mut self) -> bool {
        let nanos = self.nanos();
        let mut some = false;
        for port in self.ports {
            while let Some(frame) = port.receive(&mut self.buffer) {
                some = true;
                if self.began.is_some() {
                    self.log.add(&Event::Output {
                        nanos,
                        interface: port.interface().to_owned(),
                        frame: frame.to_vec(),
                    });
                }
            }
        }
        some
    }

    /// Nanoseconds since the play began.
    fn nanos(&self) -> u64 {
        let passed = self.began.map_or(Duration::ZERO, |began| began.elapsed());
        u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX)
    }
}
