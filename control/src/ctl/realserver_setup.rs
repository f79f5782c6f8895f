//! What makes a real server of a machine: shown, as a script, or done here. Asks no gateway.

use std::net::IpAddr;

use clap::Args;
use serde_json::json;

use super::failure::Failure;
use super::method::MethodWord;
use super::{Console, Exit};
use crate::realserver::{
    self, Done, Keeper, Plan, System, Wanted, commands, plan, script, undoing,
};

/// A real server to be.
#[derive(Debug, Args)]
pub(super) struct Setup {
    /// How the gateway forwards to it.
    #[arg(long, value_enum)]
    method: MethodWord,

    /// The services' addresses (dr, tun); several with commas, or again.
    #[arg(long = "vip", value_name = "ADDRESS", value_delimiter = ',')]
    vips: Vec<IpAddr>,

    /// The gateway's address on the server's segment (nat), which becomes the default route.
    #[arg(long, value_name = "ADDRESS")]
    gateway: Option<IpAddr>,

    /// The interface towards the gateway: ARP is set on it only (otherwise on all), and nat's
    /// default route leaves by it.
    #[arg(long, value_name = "NAME")]
    interface: Option<String>,

    /// What runs on the server.
    #[arg(long, value_enum, default_value_t = System::Linux)]
    os: System,

    /// What keeps it over a reboot; without it, it lasts until then.
    #[arg(long, value_enum)]
    persist: Option<Keeper>,

    /// The largest packet, in bytes, that the path from the gateway carries (tun).
    #[arg(long, value_name = "BYTES", default_value_t = 1_500)]
    path_mtu: u16,

    /// Does it although the server's default route for nat is in the way of dr and tun, or the
    /// gateway does not answer, or ssh comes by another default route. Scripts never look.
    #[arg(long)]
    force: bool,

    /// Takes it back, with what was there before, and what any --persist has written.
    #[arg(long)]
    undo: bool,

    /// Does it on this machine, as root, instead of showing it; stops at the first failure.
    #[arg(long, conflicts_with = "script")]
    apply: bool,

    /// Shows a script for start, stop and status instead.
    #[arg(long, conflicts_with_all = ["persist", "undo"])]
    script: bool,
}

/// Shows what is to be done on a server, or does it here.
pub(super) fn run(setup: &Setup, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let wanted = Wanted {
        method: setup.method.into(),
        vips: setup.vips.clone(),
        gateway: setup.gateway,
        interface: setup.interface.clone(),
        system: setup.os,
        keeper: setup.persist,
        path_mtu: setup.path_mtu,
        is_forced: setup.force || setup.script,
    };
    let planned = if setup.undo {
        undoing(&wanted)
    } else {
        plan(&wanted)
    };
    let plan = planned.map_err(|error| refused(error.to_string()))?;
    if setup.apply {
        may_apply(setup.os)?;
        return apply(&plan, setup.undo, console);
    }
    if console.json {
        let view = json!({ "title": plan.title, "notes": plan.notes, "steps": plan.steps });
        console.raw(view.to_string().as_bytes())?;
    } else if setup.script {
        write!(console.out, "{}", script(&plan))?;
    } else {
        write!(console.out, "{}", commands(&plan, setup.undo))?;
    }
    Ok(Exit::Well)
}

fn refused(sentence: String) -> Failure {
    Failure::Refused(vec![sentence])
}

fn may_apply(system: System) -> Result<(), Failure> {
    if system != System::Linux {
        let sentence = "--apply is for Linux: run the commands on the server itself";
        return Err(refused(sentence.to_owned()));
    }
    if !nix::unistd::geteuid().is_root() {
        let sentence =
            "--apply changes this machine: become root, or leave it out to see what it does";
        return Err(refused(sentence.to_owned()));
    }
    Ok(())
}

fn apply(plan: &Plan, is_undone: bool, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let mut gone_through = Vec::new();
    let mut tell = |done: &Done| gone_through.push(done.clone());
    let outcome = realserver::apply(plan, is_undone, &mut tell);
    if console.json {
        let line = |it: &Done| json!({ "what": it.what, "was_so": it.was_so });
        let done: Vec<_> = gone_through.iter().map(line).collect();
        let errors: Vec<_> = outcome
            .as_ref()
            .err()
            .map(ToString::to_string)
            .into_iter()
            .collect();
        let view =
            json!({ "title": plan.title, "undone": is_undone, "done": done, "errors": errors });
        console.raw(view.to_string().as_bytes())?;
        return Ok(if outcome.is_ok() {
            Exit::Well
        } else {
            Exit::No
        });
    }
    for Done { what, was_so } in &gone_through {
        let word = match (is_undone, was_so) {
            (true, _) => "undone: ",
            (false, true) => "already:",
            (false, false) => "done:   ",
        };
        writeln!(console.out, "{word} {what}")?;
    }
    if !is_undone {
        plan.notes
            .iter()
            .try_for_each(|note| writeln!(console.out, "{note}"))?;
    }
    outcome.map_err(|error| refused(error.to_string()))?;
    Ok(Exit::Well)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::Exit;

    fn setup(words: &str) -> (Exit, String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let words = format!("sluicectl realserver-setup {words}");
        let exit = super::super::run(words.split(' '), &mut out, &mut err);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (exit, text(out), text(err))
    }

    #[test]
    fn commands_are_printed_and_nothing_is_done() {
        let (exit, out, err) = setup("--method dr --vip 10.2.0.100");

        assert_eq!((exit, err.as_str()), (Exit::Well, ""));
        assert!(
            out.contains("ip address add 10.2.0.100/32 dev lo\n"),
            "{out}"
        );
    }

    #[test]
    fn json_has_each_step_with_its_condition_its_commands_and_those_that_undo_it() {
        let (_, out, _) = setup("--json --method dr --vip 10.2.0.100");

        let view: Value = serde_json::from_str(&out).unwrap();
        let steps = view["steps"].as_array().unwrap();
        let address = steps.last().unwrap();
        assert_eq!(address["what"], "10.2.0.100 is on lo");
        assert_eq!(address["run"][1], "ip address add 10.2.0.100/32 dev lo");
        assert!(address["holds"].is_string() && address["undo"][0].is_string());
    }

    #[test]
    fn what_cannot_be_exits_with_1_and_says_why() {
        for (words, expected) in [
            (
                "--method tun",
                "a server of tun has the VIP itself: name it with --vip\n",
            ),
            (
                "--method dr --vip 10.2.0.100 --os freebsd --apply",
                "--apply is for Linux: run the commands on the server itself\n",
            ),
        ] {
            let (exit, out, err) = setup(words);
            assert_eq!((exit, out.as_str(), err.as_str()), (Exit::No, "", expected));
        }
    }
}
