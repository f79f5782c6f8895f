//! What requests leave in the log, besides the changes that they make.

use std::io;
use std::sync::{LazyLock, Mutex};

use serde_json::Value;

use crate::fixture::{CONFIG, Running};
use crate::http::{ANY, ask};

static TEXT: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// The log of all tests of this process.
#[derive(Clone, Copy)]
struct Log;

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        TEXT.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Logs from now on, whoever asks for it first.
pub(crate) fn begin() {
    static BEGUN: LazyLock<()> = LazyLock::new(|| {
        let json = tracing_subscriber::fmt().json().flatten_event(true);
        let lines = json.with_writer(|| Log).finish();
        tracing::subscriber::set_global_default(lines).unwrap();
    });
    LazyLock::force(&BEGUN);
}

/// The line with this message; there must be one.
pub(crate) fn line(message: &str) -> Value {
    let text = String::from_utf8(TEXT.lock().unwrap().clone()).unwrap();
    let lines = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    let found = lines
        .into_iter()
        .find(|it: &Value| it["message"] == message);
    found.unwrap_or_else(|| panic!("{message} is not in:\n{text}"))
}

fn user() -> u32 {
    nix::unistd::Uid::effective().as_raw()
}

#[test]
fn a_refused_configuration_says_why_and_whose_it_was() {
    begin();
    let running = Running::start();
    let wrong = CONFIG.replace("scheduler = \"rr\"", "shceduler = \"rr\"");
    let toml = "Content-Type: application/toml\r\n";
    let put = |headers: &str, body: &str| {
        let headers = format!("{headers}{toml}");
        ask(
            &running.socket,
            "PUT /v1/config?name=log-test",
            &headers,
            body.as_bytes(),
        )
    };

    let mistaken = put(ANY, &wrong);
    let unmarked = put("If-Match: \"log-test\"\r\n", CONFIG);

    assert_eq!((mistaken.status, unmarked.status), (422, 412));
    for answer in [mistaken, unmarked] {
        let [why] = &answer.errors()[..] else {
            panic!("{answer:?}");
        };
        let user = user();
        let line = line(&format!(
            "a configuration was refused: {why} (by user {user})"
        ));
        assert_eq!(
            (&line["level"], &line["user"]),
            (&"WARN".into(), &user.into())
        );
    }
}

#[test]
fn an_import_of_sessions_is_told_with_what_came_of_it() {
    begin();
    let running = Running::start();

    let answer = ask(
        &running.socket,
        "POST /v1/sessions/import",
        "",
        b"a\nb\nc\n",
    );

    assert_eq!(answer.status, 200, "{answer:?}");
    let by = format!(" (by user {})", user());
    line(&format!("sessions are being imported{by}"));
    let came = "sessions were imported: 0 came in, 0 were there, 3 were refused";
    assert_eq!(line(&format!("{came}{by}"))["level"], "INFO");
}
