//! The gateway with everything that commands of a scenario change about it.

use std::io;
use std::time::Duration;

use control::ipvs::Program;
use dataplane::knobs::Knobs;

use super::director::Director;
use super::ipvs::Ipvs;
use super::sandbox::{Answer, Call, Said};
use super::settings::{self, Assigned};
use super::traffic_control::TrafficControl;
use super::{Failure, Making, policy};
use crate::outcome::Outcome;

/// The gateway, its settings, and what came out so far.
pub(super) struct Stage {
    pub(super) director: Director,
    pub(super) outcome: Outcome,
    /// Whether it only matters what commands say.
    words_only: bool,
    knobs: Knobs,
    traffic_control: TrafficControl,
    ipvs: Ipvs,
}

impl Stage {
    /// A gateway without services.
    pub(super) fn new(mut director: Director, making: Making) -> Self {
        director.change(|editor| editor.set_rules(making.rules));
        Self {
            director,
            outcome: Outcome::default(),
            words_only: making.words_only,
            knobs: Knobs::default(),
            traffic_control: TrafficControl::default(),
            ipvs: Ipvs::default(),
        }
    }

    /// Starts the play's clock; what came out before does not count.
    pub(super) fn begin(&mut self) {
        self.director.begin(&mut self.outcome);
    }

    /// The variables of IPVS.
    pub(super) const fn knobs(&self) -> &Knobs {
        &self.knobs
    }

    /// Notes why the scenario is not comparable, if it is not.
    pub(super) fn object(&mut self, reason: Option<String>) {
        self.outcome.not_comparable.extend(reason);
    }

    /// Takes over what Linux says of the interfaces.
    pub(super) fn mirror(&mut self) -> Result<(), Failure> {
        self.take_interfaces().map_err(Failure::Linux)
    }

    /// As [`Self::mirror`], in the middle of a shell line.
    pub(super) fn take_interfaces(&mut self) -> io::Result<()> {
        self.director.mirror(&mut self.outcome)
    }

    /// Sets a kernel variable; `key` has dots.
    pub(super) fn assign(&mut self, key: &str, value: &str) -> Assigned {
        let before = self.knobs.clone();
        let assigned = settings::assign(&mut self.knobs, key, value);
        if let Assigned::Foreign(why) = &assigned {
            self.object(Some(why.clone()));
        }
        self.publish_knobs(&before);
        assigned
    }

    /// Takes over what a shell line wrote into the files of the variables.
    pub(super) fn take_knobs(&mut self, files: &[(String, String)], line: &str) {
        let known = settings::of_ipvs(&self.knobs);
        for (name, value) in files {
            if known.iter().any(|(known, is)| known == name && is == value) {
                continue;
            }
            let assigned = self.assign(&format!("net.ipv4.vs.{name}"), value);
            if matches!(assigned, Assigned::Invalid | Assigned::Missing) {
                // The shell would have said so at once, and might have gone on otherwise.
                self.object(Some(format!(
                    "Linux refuses {name}={value} within `{line}`"
                )));
            }
        }
    }

    /// Does what `ipvsadm` would with these arguments.
    pub(super) fn ipvsadm(&mut self, arguments: &[String], input: &str) -> Said {
        if !self.words_only {
            self.object(policy::of_ipvsadm(arguments));
            for line in input.lines() {
                let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
                self.object(policy::of_ipvsadm(&words));
            }
        }
        let said = (self.ipvs).run(&mut self.director, &self.knobs, arguments, input);
        self.director.gather(&mut self.outcome);
        said
    }

    /// Does what a program of LVS would.
    fn program(&mut self, call: &Call) -> Said {
        let program = Program::called(call.program.as_ref()).unwrap_or(Program::Ipvsadm);
        let call = program.call(call.arguments.clone(), &mut call.input.as_bytes());
        match call {
            Ok(Ok(call)) => self.ipvsadm(&call.args, &call.stdin),
            Ok(Err(reply)) => Said::from(reply),
            Err(error) => Said {
                errors: error.to_string(),
                status: 2,
                ..Said::default()
            },
        }
    }

    /// What a program says that a shell line called.
    pub(super) fn answer(&mut self, call: &Call) -> Answer {
        match call.program.as_str() {
            "ipvsadm" | "ipvsadm-save" | "ipvsadm-restore" => Answer::Say(self.program(call)),
            "sysctl" => Answer::Say(self.sysctl(&call.arguments)),
            "tc" => Answer::Say(self.tc(&call.arguments)),
            "sleep" => Answer::Say(self.sleep(&call.arguments)),
            _ => {
                self.object(policy::of_ip(&call.arguments));
                Answer::Pass
            }
        }
    }

    /// Lets a frame arrive.
    pub(super) fn receive(&mut self, interface: &str, frame: &[u8]) -> Result<(), Failure> {
        let number = self.director.interface(interface);
        let number = number.ok_or_else(|| Failure::NoInterface(interface.to_owned()))?;
        self.director.receive(number, frame, &mut self.outcome);
        Ok(())
    }

    /// Lets time pass.
    pub(super) fn wait(&mut self, time: Duration) {
        let (ipvs, knobs) = (&mut self.ipvs, &self.knobs);
        let second = |director: &Director, seconds| ipvs.look(director, knobs, seconds);
        self.director.wait(time, &mut self.outcome, second);
    }

    /// What came out.
    pub(super) fn finish(mut self) -> Outcome {
        self.director.finish(&mut self.outcome);
        self.outcome
    }

    fn sysctl(&mut self, arguments: &[String]) -> Said {
        let before = self.knobs.clone();
        let (said, reasons) = settings::sysctl(&mut self.knobs, arguments);
        self.outcome.not_comparable.extend(reasons);
        self.publish_knobs(&before);
        said
    }

    fn tc(&mut self, arguments: &[String]) -> Said {
        let director = &self.director;
        let number = |name: &str| director.interface(name);
        match self.traffic_control.call(arguments, number) {
            Ok(()) => {
                let rules = self.traffic_control.rules();
                self.director.change(|editor| editor.set_marks(rules));
            }
            Err(objection) => self.object(Some(objection)),
        }
        Said::default()
    }

    fn sleep(&mut self, arguments: &[String]) -> Said {
        let seconds = arguments.first().and_then(|text| text.parse().ok());
        let time = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        match time {
            Some(time) => self.wait(time),
            None => self.object(Some(format!("`sleep {}`", arguments.join(" ")))),
        }
        Said::default()
    }

    fn publish_knobs(&mut self, before: &Knobs) {
        if self.knobs != *before {
            let knobs = self.knobs.clone();
            self.director.change(|editor| editor.set_knobs(knobs));
            self.ipvs.knobs_changed(&mut self.director, &self.knobs);
            self.director.gather(&mut self.outcome);
        }
    }
}
