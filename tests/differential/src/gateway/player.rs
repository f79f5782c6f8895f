//! Goes through a scenario, line by line.

use std::time::Duration;

use super::director::Director;
use super::sandbox::{Answer, Said, Sandbox};
use super::stage::Stage;
use super::{Failure, Making, network, policy, settings, words};
use crate::outcome::{Outcome, ShellLine};
use crate::scenario::{IpvsLine, NetLine, PlayLine, Scenario};

/// Sessions that a gateway has room for at least.
const SESSIONS: usize = 4_096;

/// The listings at the end: name and arguments of `ipvsadm`.
const DUMPS: [(&str, &str); 4] = [
    ("ln", "-Ln"),
    ("lnc", "-Lnc"),
    ("thresholds", "-Ln --thresholds"),
    ("persistent", "-Ln --persistent-conn"),
];

/// The one listing that is right only when traffic was looked at, which is every two seconds.
const STATISTICS: (&str, &str) = ("stats", "-Ln --stats");
const STATISTICS_WAIT: Duration = Duration::from_millis(2_100);

/// Plays a scenario on a thread that it makes its own.
pub(super) fn play(scenario: &Scenario, making: Making) -> Result<Outcome, Failure> {
    let sandbox = Sandbox::enter().map_err(Failure::Sandbox)?;
    let (links, loopback) = network::build(&scenario.net)?;
    let packets = scenario.play.iter();
    let packets = packets.filter(|line| matches!(line, PlayLine::Packet { .. }));
    // Twice as many as there can be, since a full bucket may turn one away.
    let sessions = (packets.count() * 2).max(SESSIONS);
    let director = Director::new(links, loopback, making.workers, sessions);
    let director = director.map_err(Failure::Linux)?;
    let mut player = Player {
        sandbox,
        stage: Stage::new(director, making),
    };
    player.net(&scenario.net)?;
    player.ipvs(&scenario.ipvs)?;
    player.stage.begin();
    for line in &scenario.play {
        player.line(line)?;
    }
    Ok(player.finish())
}

struct Player {
    sandbox: Sandbox,
    stage: Stage,
}

impl Player {
    fn net(&mut self, lines: &[NetLine]) -> Result<(), Failure> {
        self.write_knobs()?;
        self.stage.mirror()?;
        for line in lines {
            match line {
                NetLine::Sysctl { key, value } => {
                    self.stage.assign(key, value);
                    self.write_knobs()?;
                }
                NetLine::Command(command) => self.shell(command)?,
                NetLine::Route(route) => self.stage.object(policy::of_route(route)),
                NetLine::Rule(rule) => self.stage.object(policy::of_rule(rule)),
                NetLine::Interface { .. } | NetLine::Address { .. } | NetLine::Neighbour { .. } => {
                }
            }
        }
        Ok(())
    }

    fn ipvs(&mut self, lines: &[IpvsLine]) -> Result<(), Failure> {
        let each = lines.contains(&IpvsLine::Each);
        let mut together = String::new();
        for line in lines {
            match line {
                IpvsLine::Each => {}
                IpvsLine::Rule(rule) if each => self.shell(&format!("ipvsadm {rule}"))?,
                IpvsLine::Rule(rule) => {
                    together.push_str(rule);
                    together.push('\n');
                }
                IpvsLine::Shell(command) => {
                    self.restore(&mut together);
                    self.shell(command)?;
                }
            }
        }
        self.restore(&mut together);
        Ok(())
    }

    /// Gives rules that were collected to one `ipvsadm -R`, which is silent as long as all goes
    /// well.
    fn restore(&mut self, rules: &mut String) {
        if rules.is_empty() {
            return;
        }
        let said = self.stage.ipvsadm(&["-R".to_owned()], rules);
        rules.clear();
        if said.status != 0 || !said.output.is_empty() || !said.errors.is_empty() {
            self.note("ipvsadm -R", said);
        }
    }

    fn line(&mut self, line: &PlayLine) -> Result<(), Failure> {
        match line {
            PlayLine::Packet { interface, frame } => self.stage.receive(interface, frame)?,
            PlayLine::Capture { file, .. } => return Err(Failure::Capture(file.clone())),
            PlayLine::Wait(time) => self.stage.wait(*time),
            PlayLine::At(time) => {
                let left = time.saturating_sub(self.stage.director.played_for());
                if left > Duration::ZERO {
                    self.stage.wait(left);
                }
            }
            PlayLine::Shell(command) => self.shell(command)?,
            PlayLine::Ipvsadm(arguments) => self.shell(&format!("ipvsadm {arguments}"))?,
            PlayLine::Dump(_) => {
                self.shell("ipvsadm -Ln")?;
                self.shell("ipvsadm -Lnc")?;
            }
        }
        Ok(())
    }

    /// Does what a shell line says, and notes what it said.
    fn shell(&mut self, line: &str) -> Result<(), Failure> {
        let said = self.run(line)?;
        self.note(line, said);
        Ok(())
    }

    fn note(&mut self, line: &str, said: Said) {
        let after = self.stage.outcome.inputs.len();
        self.stage.outcome.shell.push(ShellLine {
            command: line.to_owned(),
            after,
            output: said.output,
            errors: said.errors,
            status: said.status,
        });
    }

    fn run(&mut self, line: &str) -> Result<Said, Failure> {
        if let Some(arguments) = plain_ipvsadm(line) {
            return Ok(self.stage.ipvsadm(&arguments, ""));
        }
        if let Some((key, value)) = settings::written(line) {
            let assigned = self.stage.assign(&key, &value);
            self.write_knobs()?;
            return Ok(settings::said_of_writing(&key, &assigned));
        }
        if let Some(objection) = words::objection(line) {
            self.stage.object(Some(format!("{objection} in `{line}`")));
            return Ok(Said {
                status: 127,
                ..Said::default()
            });
        }
        self.run_shell(line)
    }

    fn run_shell(&mut self, line: &str) -> Result<Said, Failure> {
        let (sandbox, stage) = (&mut self.sandbox, &mut self.stage);
        let knobs = sandbox.knobs();
        let ran = sandbox.run(line, |call| {
            stage.take_knobs(&knobs.read()?, line);
            stage.take_interfaces()?;
            let answer = stage.answer(call);
            if matches!(answer, Answer::Say(_)) {
                knobs.write(&settings::of_ipvs(stage.knobs()))?;
            }
            Ok(answer)
        });
        let ran = ran.map_err(Failure::Linux)?;
        if ran.was_ended {
            stage.object(Some(format!("`{line}` does not end by itself")));
        }
        stage.take_knobs(&knobs.read().map_err(Failure::Linux)?, line);
        self.write_knobs()?;
        self.stage.mirror()?;
        Ok(ran.said)
    }

    fn write_knobs(&self) -> Result<(), Failure> {
        let values = settings::of_ipvs(self.stage.knobs());
        self.sandbox.knobs().write(&values).map_err(Failure::Linux)
    }

    fn finish(mut self) -> Outcome {
        for dump in DUMPS {
            self.dump(dump);
        }
        self.stage.wait(STATISTICS_WAIT);
        self.dump(STATISTICS);
        self.stage.finish()
    }

    fn dump(&mut self, (name, arguments): (&str, &str)) {
        let arguments: Vec<String> = arguments.split(' ').map(str::to_owned).collect();
        let said = self.stage.ipvsadm(&arguments, "");
        let text = said.output + &said.errors;
        self.stage.outcome.dumps.insert(name.to_owned(), text);
    }
}

/// The arguments of a line that calls `ipvsadm`, once and with nothing that the shell would work
/// out first.
fn plain_ipvsadm(line: &str) -> Option<Vec<String>> {
    let mut words = line.split_whitespace();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b" \t-_=./:,[]".contains(&byte);
    let alone = words.next() == Some("ipvsadm") && line.bytes().all(is_plain);
    let arguments: Vec<String> = words.map(str::to_owned).collect();
    // Rules for -R would come from somewhere.
    let restores = arguments
        .iter()
        .any(|word| word == "-R" || word == "--restore");
    (alone && !restores).then_some(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipvsadm_alone_needs_no_shell() {
        let words = plain_ipvsadm("ipvsadm -e -t 10.1.0.100:80 -r 10.2.0.11:80  -m -w 0");
        assert_eq!(words.map(|words| words.len()), Some(8));

        for line in [
            "ipvsadm -Ln | sort",
            "ipvsadm -R",
            "ipvsadm -Sn > /mnt/rules",
            "ipvsadm -e -w $W",
            "ip link",
        ] {
            assert_eq!(plain_ipvsadm(line), None, "{line}");
        }
    }
}
