//! Schemathesis, which makes requests of the document, and finds answers that it does not allow.
//!
//! ```text
//! schemathesis --TCP--> [bridge] --Unix socket--> gateway over wires in memory
//! ```
//!
//! `scripts/setup --test` installs it; `SCHEMATHESIS` names another one.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::fixture::{CAPACITY, CONFIG, Running};

/// With something of everything that paths can name.
const MORE: &str = r#"
[[local_pool]]
name = "lips"
addresses = ["10.2.0.200-10.2.0.203"]

[[mark]]
mark = 3
protocol = "udp"

[[service]]
mark = 3
"#;

/// The same requests each time.
const SEED: &str = "1";

/// Requests that are made up for each operation, besides those that the document's limits suggest.
const EXAMPLES: &str = "12";

/// What is looked at in every answer.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance,\
                      unsupported_method";

fn installed() -> Option<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/schemathesis/bin/schemathesis");
    let path = std::env::var_os("SCHEMATHESIS").map_or(own, PathBuf::from);
    if path.exists() {
        return Some(path);
    }
    assert_ne!(
        std::env::var("CI_NO_SKIP").as_deref(),
        Ok("1"),
        "{} is not there, and CI_NO_SKIP=1 forbids to skip it",
        path.display()
    );
    eprintln!("SKIPPED: schemathesis is not installed: scripts/setup --test does it");
    None
}

/// Carries what arrives by TCP to the socket, and back.
fn bridge(socket: &Path) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let socket = socket.to_owned();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let gateway = UnixStream::connect(&socket).unwrap();
            carry(client, gateway);
        }
    });
    address
}

fn carry(client: TcpStream, gateway: UnixStream) {
    let (mut from_client, mut to_client) = (client.try_clone().unwrap(), client);
    let (mut from_gateway, mut to_gateway) = (gateway.try_clone().unwrap(), gateway);
    // Either side may hang up in the middle, and does.
    std::thread::spawn(move || {
        let _broken = io::copy(&mut from_client, &mut to_gateway);
        let _gone = to_gateway.shutdown(Shutdown::Write);
    });
    std::thread::spawn(move || {
        let _broken = io::copy(&mut from_gateway, &mut to_client);
        let _gone = to_client.shutdown(Shutdown::Both);
    });
}

/// Runs it with these further arguments; returns whether it found nothing, and what it said.
fn found_nothing(program: &Path, further: &[&str]) -> (bool, String) {
    let running = Running::start_with(&format!("{CONFIG}{MORE}"), CAPACITY);
    let address = bridge(&running.socket);
    let output = Command::new(program)
        .args(["run", &format!("http://{address}/v1/openapi.json")])
        .args(["--url", &format!("http://{address}")])
        .args([
            "--checks",
            CHECKS,
            "--seed",
            SEED,
            "--max-examples",
            EXAMPLES,
        ])
        .args([
            "--phases",
            "examples,coverage,fuzzing,stateful",
            "--request-timeout",
            "10",
        ])
        // It never ends, and has tests of its own.
        .args(["--exclude-path", "/v1/watch"])
        // In maintenance, which is tried too, it has to answer 503; it has tests of its own.
        .args(["--exclude-path", "/v1/ready", "--warnings", "off"])
        .args(further)
        .current_dir(running.directory.path(""))
        .env("PYTHONWARNINGS", "ignore")
        .output()
        .unwrap();
    running.until("the gateway works as before", |gateway| {
        gateway.health().healthy
    });
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (
        output.status.success(),
        said + &String::from_utf8_lossy(&output.stderr),
    )
}

#[test]
#[ignore = "takes a minute: scripts/test asks for it"]
fn schemathesis_finds_no_answer_that_the_document_does_not_allow() {
    let Some(program) = installed() else { return };

    // With `If-Match: *` changes are made, without it new things are.
    for further in [&["--header", "If-Match: *"][..], &[]] {
        let (is_good, said) = found_nothing(&program, further);
        println!("{said}");
        assert!(is_good, "{said}");
    }
}
