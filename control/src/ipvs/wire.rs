//! The way from the `ipvsadm` command to the gateway: a Unix socket, one line of JSON each way.
//!
//! ```text
//! {"args":["-A","-t","10.1.0.100:80"],"stdin":""}
//! {"stdout":"","stderr":"","status":0}
//! ```

use std::env;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::command::Command;
use super::grammar::parse;
use super::host::Host;
use super::names::SystemNames;
use super::run::{Reply, run};

/// Where the gateway answers, unless [`SOCKET_VARIABLE`] says another place.
pub const DEFAULT_SOCKET: &str = "/run/sluice/ipvs.sock";

/// The environment variable that names another socket.
pub const SOCKET_VARIABLE: &str = "SLUICE_IPVS_SOCKET";

/// Bytes of a line: the rules of 100,000 servers are some 6 MB.
const MAX_LINE: u64 = 64 << 20;

/// How long the command may take to send its line, and to read the reply.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the gateway may take to do what it is told: restoring 100,000 servers takes seconds.
const LONG_PATIENCE: Duration = Duration::from_secs(120);

/// The exit code when no gateway answers: that of an `ipvsadm` whose kernel has no IPVS.
const NO_GATEWAY: i32 = 2;

/// One invocation.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    /// The words after the program's name.
    args: Vec<String>,
    /// What `-R` reads.
    stdin: String,
}

/// Answers one connection: reads a request, runs it, replies.
///
/// # Errors
///
/// When the other end is slow, silent, too long or talks nonsense.
pub fn serve_one(mut stream: UnixStream, host: &mut dyn Host) -> io::Result<()> {
    let line = read_line(&mut stream, PATIENCE)?;
    let Request { args, stdin } = serde_json::from_slice(&line)?;
    let reply = run(&args, &stdin, host);
    stream.set_write_timeout(Some(PATIENCE))?;
    write_line(&mut stream, &reply)
}

/// Asks the gateway behind `socket` to run `ipvsadm`.
///
/// # Errors
///
/// When there is none, or it does not answer.
pub fn ask(socket: &Path, args: Vec<String>, stdin: String) -> io::Result<Reply> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write_line(&mut stream, &Request { args, stdin })?;
    let line = read_line(&mut stream, LONG_PATIENCE)?;
    Ok(serde_json::from_slice(&line)?)
}

/// The `ipvsadm` command: arguments, standard input and environment to output and exit code.
#[must_use]
pub fn main() -> ExitCode {
    let lossy = |word: OsString| word.to_string_lossy().into_owned();
    let args: Vec<_> = env::args_os().skip(1).map(lossy).collect();
    let socket = env::var_os(SOCKET_VARIABLE).map_or_else(|| DEFAULT_SOCKET.into(), PathBuf::from);
    let reply = invoke(&socket, args).unwrap_or_else(|error| Reply {
        stdout: String::new(),
        stderr: format!(
            "Can't initialize ipvs: no gateway answers at {}: {error}\n\
             Is sluice running, and may you write to that socket?\n",
            socket.display()
        ),
        status: NO_GATEWAY,
    });
    // Whoever reads may have gone away; that is no reason to fail loudly.
    let _ = io::stdout().write_all(reply.stdout.as_bytes());
    let _ = io::stderr().write_all(reply.stderr.as_bytes());
    ExitCode::from(u8::try_from(reply.status).unwrap_or(u8::MAX))
}

fn invoke(socket: &Path, args: Vec<String>) -> io::Result<Reply> {
    let mut stdin = String::new();
    if matches!(parse(&args, &SystemNames::default()), Ok(Command::Restore)) {
        let mut bytes = Vec::new();
        io::stdin().take(MAX_LINE / 2).read_to_end(&mut bytes)?;
        stdin = String::from_utf8_lossy(&bytes).into_owned();
    }
    ask(socket, args, stdin)
}

fn write_line(stream: &mut UnixStream, message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    stream.write_all(&line)
}

/// The bytes before the next line feed, or an error when they do not all come in time.
fn read_line(stream: &mut UnixStream, patience: Duration) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + patience;
    let mut line = Vec::new();
    let mut piece = [0; 16 << 10];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        let len = stream.read(&mut piece)?;
        let Some(read) = piece.get(..len).filter(|read| !read.is_empty()) else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        if let Some(end) = read.iter().position(|byte| *byte == b'\n') {
            line.extend_from_slice(&read[..end]);
            return Ok(line);
        }
        line.extend_from_slice(read);
        if line.len() as u64 > MAX_LINE {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the line is too long",
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::super::testing::Plain;
    use super::*;

    /// What a host made of `lines` replies to what `client` sends.
    fn served(client: impl FnOnce(UnixStream) + Send + 'static) -> (io::Result<()>, Plain) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let client = thread::spawn(move || client(theirs));
        let mut host = Plain::default();
        let result = serve_one(ours, &mut host);
        client.join().unwrap();
        (result, host)
    }

    #[test]
    fn a_request_is_run_and_answered() {
        let (result, mut host) = served(|mut stream| {
            let args = vec!["-R".to_owned()];
            let stdin = "-A -t 10.1.0.100:80\n-A -t 10.1.0.100:80\n".to_owned();
            write_line(&mut stream, &Request { args, stdin }).unwrap();
            let line = read_line(&mut stream, PATIENCE).unwrap();
            let reply: Reply = serde_json::from_slice(&line).unwrap();
            assert_eq!(reply.stderr, "Service already exists\n");
            assert_eq!(reply.status, 255);
        });

        assert!(result.is_ok());
        assert_eq!(host.table().services().count(), 1);
    }

    #[test]
    fn nonsense_changes_nothing() {
        for text in ["{}\n", "no json\n", "{\"args\":[\"-C\"]", ""] {
            let (result, host) = served(move |mut stream| {
                stream.write_all(text.as_bytes()).unwrap();
            });
            assert!(result.is_err(), "{text:?}");
            assert!(host.published.is_empty());
        }
    }

    #[test]
    fn whoever_is_silent_is_not_waited_for() {
        let (mut ours, _theirs) = UnixStream::pair().unwrap();

        let failure = read_line(&mut ours, Duration::from_millis(20)).unwrap_err();

        let kinds = [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut];
        assert!(kinds.contains(&failure.kind()), "{failure}");
    }

    #[test]
    fn a_gateway_that_is_not_there_is_an_error() {
        let nowhere = Path::new("/nonexistent/ipvs.sock");
        let failure = ask(nowhere, Vec::new(), String::new()).unwrap_err();
        assert_eq!(failure.kind(), io::ErrorKind::NotFound);
    }
}
