//! What runs inside user-mode Linux, from the first process on.
//!
//! The same program file as outside, seen through hostfs: only what is mounted here is the
//! guest's own.

/// What the kernel's command line says.
pub(super) mod settings;
/// Other programs: `ip`, `ipvsadm`, shells.
mod command;
/// Why something cannot be done here.
mod trouble;
/// File systems, modules and what holds for all namespaces.
mod system;
/// The director and its cables.
mod network;
/// The player's end of a cable.
mod port;
/// Plays steps and writes down what comes out.
mod player;
/// The listings at the end.
mod listings;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use self::network::Director;
use self::player::Player;
use self::settings::Settings;
use self::trouble::Trouble;
use super::folder;
use super::report::{Event, Log};
use super::script::Script;

/// The kernel adds up statistics every 2 s.
const STATISTICS: Duration = Duration::from_millis(2_100);

/// Plays the batch that the kernel's command line names, and turns the guest off.
pub fn run() {
    let settings = Settings::of_environment();
    if let Err(trouble) = system::prepare(&settings).and_then(|()| batch(&settings)) {
        // Whoever owns the guest reads the console.
        eprintln!("{trouble}");
    }
    nix::unistd::sync();
    let Err(error) = reboot(RebootMode::RB_POWER_OFF);
    eprintln!("the guest cannot be turned off: {error}");
}

/// A scenario that was played; its statistics may still be missing.
struct Played {
    folder: PathBuf,
    log: Log,
    /// The director, unless it could not be built.
    director: Option<Director>,
}

/// Where waiting costs nothing each scenario waits for its statistics, and its namespaces go
/// before the next; elsewhere all of them wait together.
fn batch(settings: &Settings) -> Result<(), Trouble> {
    let run = Path::new(system::RUN);
    let count = fs::read_to_string(run.join(folder::BATCH))?;
    let count: usize = count.trim().parse().map_err(io::Error::other)?;
    let mut played = Vec::new();
    for number in 0..count {
        played.push(scenario(run.join(number.to_string()), settings)?);
        if !settings.real_time {
            finish(&mut played)?;
        }
    }
    finish(&mut played)
}

fn scenario(folder: PathBuf, settings: &Settings) -> Result<Played, Trouble> {
    let script = fs::read(folder.join(folder::SCRIPT))?;
    let script: Script = serde_json::from_slice(&script).map_err(io::Error::other)?;
    std::env::set_current_dir(&folder)?;
    let mut log = Log::default();
    let director = match play(&script, settings, &mut log) {
        Ok(director) => Some(director),
        Err(trouble) => {
            log.add(&Event::Refused(trouble.to_string()));
            None
        }
    };
    end_programs();
    fs::write(folder.join(folder::PLAYED), "")?;
    Ok(Played {
        folder,
        log,
        director,
    })
}

fn play(script: &Script, settings: &Settings, log: &mut Log) -> Result<Director, Trouble> {
    let director = network::build(script)?;
    let mut player = Player::new(director.ports(), settings, log);
    for step in &script.before {
        player.step(step)?;
    }
    player.begin();
    for step in &script.play {
        player.step(step)?;
    }
    player.settle();
    listings::at_once(log)?;
    Ok(director)
}

/// Adds the statistics and closes the reports.
fn finish(played: &mut Vec<Played>) -> Result<(), Trouble> {
    if played.iter().any(|played| played.director.is_some()) {
        thread::sleep(STATISTICS);
    }
    for mut played in played.drain(..) {
        if let Some(director) = &played.director {
            director.enter()?;
            listings::statistics(&mut played.log)?;
        }
        played.log.add(&Event::Done);
        fs::write(played.folder.join(folder::REPORT), played.log.text())?;
    }
    Ok(())
}

/// Ends what the scenario's commands left running.
fn end_programs() {
    // From the first process on, -1 is every other one; when there is none, that is an error.
    let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
    while waitpid(None, None).is_ok() {}
}
