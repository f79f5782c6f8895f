//! A private corner of Linux for one scenario.
//!
//! The thread that enters it, and whatever it starts, have a network namespace with the
//! director's interfaces and a mount namespace in which our commands come first:
//!
//! ```text
//! /mnt/bin     PATH of shell lines: plain tools, and `ipvsadm`, `ip`, `tc`, `sysctl`, `sleep`,
//!              which are one script that asks the player
//! /mnt/calls   where the script writes what it was asked, and finds the answer
//! /mnt/real    /proc/sys/net/ipv4 as it is
//! /proc/sys/net/ipv4   the same by links, with the gateway's knobs as files in `vs`
//! ```
//!
//! All of it ends with the thread: nothing has to be removed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::mount::{MsFlags, mount};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, killpg};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};

const BIN: &str = "/mnt/bin";
const CALLS: &str = "/mnt/calls";
const QUEUE: &str = "/mnt/calls/queue";
const OUTPUT: &str = "/mnt/output";
const ERRORS: &str = "/mnt/errors";
const REAL: &str = "/mnt/real";
const SYSCTLS: &str = "/proc/sys/net/ipv4";
const KNOBS: &str = "/proc/sys/net/ipv4/vs";

/// Programs that the player answers for.
const ASKING: [&str; 7] = [
    "ipvsadm",
    "ipvsadm-save",
    "ipvsadm-restore",
    "ip",
    "tc",
    "sysctl",
    "sleep",
];

/// Programs of the machine that shell lines may use: none of them can change a network.
pub(super) const TOOLS: [&str; 25] = [
    "basename", "cat", "cut", "dirname", "echo", "expr", "false", "grep", "head", "mkdir",
    "printf", "rm", "sed", "seq", "sort", "tail", "tee", "test", "touch", "tr", "true", "uniq",
    "wc", "awk", "[",
];

/// Where programs are looked for.
const SYSTEM: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Asks the player, and leaves to the machine's own program what the player does not answer.
const ASK: &str = r#"#!/bin/sh
PATH=/usr/sbin:/usr/bin:/sbin:/bin
call=/mnt/calls/$$
mkdir "$call" && mkfifo "$call/status" || exit 126
printf '%s\0' "${0##*/}" "$@" >"$call/words"
case "${0##*/} $* " in *" -R "* | *" --restore "* | ipvsadm-restore*) cat >"$call/input" ;; esac
echo "$$" >/mnt/calls/queue
read -r status <"$call/status"
if [ "$status" = pass ]; then exec "${0##*/}" "$@"; fi
cat "$call/output"
cat "$call/errors" >&2
exit "$status"
"#;

/// How long a shell line may take by the machine's clock; the scenario's stands still.
const PATIENCE: Duration = Duration::from_secs(30);

/// A program that a shell line called and that the player answers for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Call {
    /// Its name.
    pub(super) program: String,
    /// What follows the name.
    pub(super) arguments: Vec<String>,
    /// Its standard input, if it reads that.
    pub(super) input: String,
}

/// What a program says, or a shell line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// On standard output.
    pub(super) output: String,
    /// On standard error.
    pub(super) errors: String,
    /// Its exit code.
    pub(super) status: i32,
}

/// What becomes of a call.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// This is said.
    Say(Said),
    /// The machine's program of the name does it.
    Pass,
}

/// What a shell line did.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ran {
    /// Its exit code is 128 and the signal's number if it was ended.
    pub(super) said: Said,
    /// Whether it did not end by itself.
    pub(super) was_ended: bool,
}

/// The namespaces of the thread that made it.
#[derive(Debug)]
pub(super) struct Sandbox {
    queue: File,
    /// Answers that callers may still be about to read.
    answers: Vec<File>,
}

impl Sandbox {
    /// Takes the calling thread into namespaces of its own, for good.
    pub(super) fn enter() -> io::Result<Self> {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)?;
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>)?;
        mount_tmpfs("/mnt")?;
        for folder in [BIN, CALLS, REAL] {
            fs::create_dir(folder)?;
        }
        hide_sysctls()?;
        install_programs()?;
        mkfifo(QUEUE, Mode::S_IRWXU)?;
        let queue = open_fifo(Path::new(QUEUE))?;
        Ok(Self {
            queue,
            answers: Vec::new(),
        })
    }

    /// The files that stand for IPVS's variables.
    pub(super) const fn knobs(&self) -> KnobFiles {
        KnobFiles(())
    }

    /// Runs a shell line, asking `answer` for what the programs it calls should say.
    pub(super) fn run(
        &mut self,
        line: &str,
        mut answer: impl FnMut(&Call) -> io::Result<Answer>,
    ) -> io::Result<Ran> {
        let (output, errors) = (File::create(OUTPUT)?, File::create(ERRORS)?);
        let mut shell = Command::new("/bin/sh")
            .args(["-c", line])
            .env_clear()
            .envs([("PATH", BIN), ("LC_ALL", "C"), ("HOME", "/mnt")])
            .current_dir("/mnt")
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .spawn()?;
        let ended = self.attend(&mut shell, &mut answer);
        if !matches!(ended, Ok(Some(_))) {
            end_group(&mut shell)?;
        }
        self.answers.clear();
        Ok(Ran {
            was_ended: ended?.is_none(),
            said: Said {
                output: String::from_utf8_lossy(&fs::read(OUTPUT)?).into_owned(),
                errors: String::from_utf8_lossy(&fs::read(ERRORS)?).into_owned(),
                status: code(shell.wait()?),
            },
        })
    }

    /// Answers calls until the shell has ended; `None` when it takes too long.
    fn attend(
        &mut self,
        shell: &mut Child,
        answer: &mut impl FnMut(&Call) -> io::Result<Answer>,
    ) -> io::Result<Option<ExitStatus>> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let ended = shell.try_wait()?;
            for folder in self.called(ended.is_none())? {
                let answer = answer(&read_call(&folder)?)?;
                self.answers.push(give_answer(&folder, answer)?);
            }
            if ended.is_some() {
                return Ok(ended);
            }
        }
        Ok(None)
    }

    /// The folders of the calls that wait; of the next ones if there are none and `patient`.
    fn called(&mut self, patient: bool) -> io::Result<Vec<PathBuf>> {
        let mut queue = [PollFd::new(self.queue.as_fd(), PollFlags::POLLIN)];
        let limit = PollTimeout::from(u8::from(patient));
        if poll(&mut queue, limit)? == 0 {
            return Ok(Vec::new());
        }
        let mut names = [0; 4_096];
        let count = self.queue.read(&mut names)?;
        let names = String::from_utf8_lossy(&names[..count]).into_owned();
        let folders = names.lines().map(|name| Path::new(CALLS).join(name));
        Ok(folders.collect())
    }
}

/// The files of `vs`, in the thread that has the sandbox.
#[derive(Clone, Copy, Debug)]
pub(super) struct KnobFiles(());

impl KnobFiles {
    /// Makes the files hold these values.
    pub(super) fn write(self, knobs: &[(&str, String)]) -> io::Result<()> {
        for (name, value) in knobs {
            fs::write(Path::new(KNOBS).join(name), format!("{value}\n"))?;
        }
        Ok(())
    }

    /// What the files hold, in the order of their names.
    pub(super) fn read(self) -> io::Result<Vec<(String, String)>> {
        let mut knobs = Vec::new();
        for entry in fs::read_dir(KNOBS)? {
            let entry = entry?;
            let value = fs::read_to_string(entry.path())?;
            let name = entry.file_name().to_string_lossy().into_owned();
            knobs.push((name, value.trim().to_owned()));
        }
        knobs.sort_unstable();
        Ok(knobs)
    }
}

fn mount_tmpfs(at: &str) -> io::Result<()> {
    mount(
        Some("tmpfs"),
        at,
        Some("tmpfs"),
        MsFlags::empty(),
        None::<&str>,
    )?;
    Ok(())
}

/// Lays `net/ipv4` anew, with links to what Linux has and room for the gateway's knobs.
fn hide_sysctls() -> io::Result<()> {
    let nothing = None::<&str>;
    mount(Some(SYSCTLS), REAL, nothing, MsFlags::MS_BIND, nothing)?;
    mount_tmpfs(SYSCTLS)?;
    for entry in fs::read_dir(REAL)? {
        let name = entry?.file_name();
        symlink(Path::new(REAL).join(&name), Path::new(SYSCTLS).join(&name))?;
    }
    fs::create_dir_all(KNOBS)
}

fn install_programs() -> io::Result<()> {
    let script = Path::new("/mnt/ask");
    fs::write(script, ASK)?;
    fs::set_permissions(script, fs::Permissions::from_mode(0o755))?;
    for name in ASKING {
        symlink(script, Path::new(BIN).join(name))?;
    }
    for name in TOOLS {
        let found = SYSTEM.iter().map(|folder| Path::new(folder).join(name));
        if let Some(program) = found.into_iter().find(|program| program.exists()) {
            symlink(program, Path::new(BIN).join(name))?;
        }
    }
    Ok(())
}

/// Opens a FIFO so that neither opening nor reading it waits for anybody.
fn open_fifo(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    options.custom_flags(OFlag::O_NONBLOCK.bits()).open(path)
}

fn read_call(folder: &Path) -> io::Result<Call> {
    let words = fs::read_to_string(folder.join("words"))?;
    let mut words = words.split_terminator('\0').map(str::to_owned);
    let input = match fs::read_to_string(folder.join("input")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        read => read?,
    };
    Ok(Call {
        program: words.next().unwrap_or_default(),
        arguments: words.collect(),
        input,
    })
}

/// Writes the answer; the file must stay open until the caller has read it.
fn give_answer(folder: &Path, answer: Answer) -> io::Result<File> {
    let mut status = open_fifo(&folder.join("status"))?;
    match answer {
        Answer::Say(said) => {
            fs::write(folder.join("output"), said.output)?;
            fs::write(folder.join("errors"), said.errors)?;
            writeln!(status, "{}", said.status)?;
        }
        Answer::Pass => status.write_all(b"pass\n")?,
    }
    Ok(status)
}

/// Ends a shell with everything it has started.
fn end_group(shell: &mut Child) -> io::Result<()> {
    let group = Pid::from_raw(i32::try_from(shell.id()).map_err(io::Error::other)?);
    // It may have ended just now.
    let _gone = killpg(group, Signal::SIGKILL);
    shell.wait().map(drop)
}

fn code(status: ExitStatus) -> i32 {
    let signalled = status.signal().map(|signal| 128 + signal);
    status.code().or(signalled).unwrap_or(-1)
}
