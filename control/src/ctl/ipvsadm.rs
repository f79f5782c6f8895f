//! The programs of LVS that `sluicectl` is under their names: `ipvsadm`, `ipvsadm-save` and
//! `ipvsadm-restore`.
//!
//! They print and exit as those of Debian do; where those say that the kernel has no IPVS, these
//! say that no gateway answers.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::arguments::{DEFAULT_SOCKET, SOCKET_VARIABLE};
use super::client::Client;
use super::failure::Failure;
use super::{Console, Exit};
use crate::ipvs::{Call, Program, Reply, version_and_help};

/// The exit code when no gateway answers: that of an `ipvsadm` whose kernel has no IPVS.
const NO_GATEWAY: i32 = 2;

/// The exit code of what IPVS refuses.
const REFUSED: i32 = 255;

/// What the gateway at `socket` makes of a program's words and standard input.
pub(super) fn run(
    program: Program,
    args: Vec<String>,
    socket: &Path,
    stdin: &mut dyn Read,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let reply = match program.call(args, stdin) {
        Ok(Ok(call)) if call.needs_nobody() => version_and_help(&call),
        Ok(Ok(call)) => ask(socket, &call).unwrap_or_else(|failure| no_gateway(&failure)),
        Ok(Err(reply)) => reply,
        Err(error) => Reply {
            stderr: format!("cannot read the standard input: {error}\n"),
            status: NO_GATEWAY,
            ..Reply::default()
        },
    };
    console.out.write_all(reply.stdout.as_bytes())?;
    console.err.write_all(reply.stderr.as_bytes())?;
    Ok(Exit::Code(u8::try_from(reply.status).unwrap_or(u8::MAX)))
}

fn ask(socket: &Path, call: &Call) -> Result<Reply, Failure> {
    let body = serde_json::to_vec(call).map_err(io::Error::from)?;
    let client = Client::new(socket)?;
    let answer = client.post("/v1/ipvsadm", "application/json", body)?;
    answer.accepted()?.view()
}

fn no_gateway(failure: &Failure) -> Reply {
    let (stderr, status) = match failure {
        // These programs have no option for it.
        Failure::NoSocket(path) => {
            let text = format!(
                "Can't initialize ipvs: there is no gateway at {}: is it running, and is this its \
                 `socket`? (the environment variable {SOCKET_VARIABLE} names another)\n",
                path.display()
            );
            (text, NO_GATEWAY)
        }
        // It is there, and does not do it for this caller.
        Failure::Refused(_) => (format!("{failure}\n"), REFUSED),
        _ => (format!("Can't initialize ipvs: {failure}\n"), NO_GATEWAY),
    };
    Reply {
        stdout: String::new(),
        stderr,
        status,
    }
}

/// Where a program under one of these names finds the gateway.
pub(super) fn socket() -> PathBuf {
    let named = std::env::var_os(SOCKET_VARIABLE);
    named.map_or_else(|| DEFAULT_SOCKET.into(), PathBuf::from)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::ipvs::testing::Plain;

    fn console<'a>(out: &'a mut Vec<u8>, err: &'a mut Vec<u8>) -> Console<'a> {
        Console {
            out,
            err,
            json: false,
            is_terminal: false,
            colour: super::super::Painted::default(),
        }
    }

    #[test]
    fn without_a_gateway_it_ends_as_without_ipvs() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut console = console(&mut out, &mut err);
        let nowhere = Path::new("/nonexistent/sluice.sock");

        let args = vec!["-Ln".to_owned()];
        let exit = run(
            Program::Ipvsadm,
            args,
            nowhere,
            &mut io::empty(),
            &mut console,
        );

        assert!(matches!(exit, Ok(Exit::Code(2))));
        assert_eq!(out, b"");
        let said = String::from_utf8(err).unwrap();
        assert_eq!(
            said,
            "Can't initialize ipvs: there is no gateway at /nonexistent/sluice.sock: is it \
             running, and is this its `socket`? (the environment variable SLUICE_SOCKET names \
             another)\n"
        );
    }

    /// Answers as a gateway with these services would, once for each call.
    fn gateway(name: &str, calls: usize) -> (PathBuf, std::thread::JoinHandle<Plain>) {
        let socket =
            std::env::temp_dir().join(format!("sluice-{name}-{}.sock", std::process::id()));
        let _new = std::fs::remove_file(&socket);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let listener = {
            let _entered = runtime.enter();
            tokio::net::UnixListener::bind(&socket).unwrap()
        };
        let (host, left) = (
            Arc::new(Mutex::new(Plain::default())),
            Arc::new(Semaphore::new(0)),
        );
        let (asked, answered) = (Arc::clone(&host), Arc::clone(&left));
        let router = crate::api::ipvsadm(move |call: &Call| {
            answered.add_permits(1);
            crate::ipvs::run(&call.args, &call.stdin, &mut *asked.lock())
        });
        let serving = std::thread::spawn(move || {
            let all = async move { drop(left.acquire_many(calls.try_into().unwrap()).await) };
            let serving = axum::serve(listener, router).with_graceful_shutdown(all);
            runtime.block_on(serving.into_future()).unwrap();
            drop(runtime);
            Arc::into_inner(host).unwrap().into_inner()
        });
        (socket, serving)
    }

    #[test]
    fn a_line_reaches_the_gateway_and_its_answer_comes_back() {
        let (socket, serving) = gateway("line", 3);
        let said = |program, args: &[&str], stdin: &str| {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let mut console = console(&mut out, &mut err);
            let args = args.iter().map(|it| (*it).to_owned()).collect();
            let exit = run(program, args, &socket, &mut stdin.as_bytes(), &mut console);
            let text = |bytes| String::from_utf8(bytes).unwrap();
            let Ok(Exit::Code(code)) = exit else {
                panic!("no code")
            };
            (code, text(out), text(err))
        };

        // When rules are restored of which the second is refused,
        let rules = "-A -f 1 -s rr\n-A -f 1\n-a -f 1 -r 10.2.0.11:0 -m\n";
        let restored = said(Program::Restore, &[], rules);
        // then the others are there, and the code is the last line's.
        assert_eq!(
            restored,
            (0, String::new(), "Service already exists\n".to_owned())
        );

        let saved = "-A -f 1 -s rr\n-a -f 1 -r 10.2.0.11:0 -m -w 1\n";
        assert_eq!(
            said(Program::Save, &["-n"], ""),
            (0, saved.to_owned(), String::new())
        );

        let refused = said(Program::Ipvsadm, &["-A", "-f", "1"], "");
        assert_eq!(
            refused,
            (255, String::new(), "Service already exists\n".to_owned())
        );

        let host = serving.join().unwrap();
        assert_eq!(host.table.services().count(), 1);
        std::fs::remove_file(&socket).unwrap();
    }

    #[test]
    fn help_and_version_need_no_gateway() {
        for (line, expected) in [("-v", "ipvsadm v1.31"), ("--help", "ipvsadm v1.31")] {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let mut console = console(&mut out, &mut err);
            let nowhere = Path::new("/nonexistent/sluice.sock");

            let args = vec![line.to_owned()];
            let exit = run(
                Program::Ipvsadm,
                args,
                nowhere,
                &mut io::empty(),
                &mut console,
            );

            assert!(matches!(exit, Ok(Exit::Code(0))), "{line}");
            assert!(
                String::from_utf8(out).unwrap().starts_with(expected),
                "{line}"
            );
            assert_eq!(err, b"", "{line}");
        }
    }
}
