//! Sessions to a file and from one, over the API and by `sluicectl`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::net::UnixStream;

use control::ctl::Exit;
use dataplane::testing::tcp;
use serde_json::{Value, json};

use crate::ctl::ask as sluicectl;
use crate::fixture::{Running, gateway};
use crate::http::{Answer, ask, get};

/// A service of each method: DR on port 80, NAT on 81, TUN on 82, FULLNAT on 83.
const CONFIG: &str = r#"
[[port]]
name = "wan"
device = "net_null0"

[[local_pool]]
name = "lips"
addresses = ["10.2.0.200"]
ports = "20000-20063"

[[service]]
protocol = "tcp"
vip = "10.1.0.100"
port = 80
[[service.server]]
address = "10.2.0.11"
method = "dr"

[[service]]
protocol = "udp"
vip = "10.1.0.100"
port = 81
[[service.server]]
address = "10.2.0.11"
method = "nat"

[[service]]
protocol = "sctp"
vip = "10.1.0.100"
port = 82
[[service.server]]
address = "10.2.0.11"
method = "tun"

[[service]]
protocol = "tcp"
vip = "10.1.0.100"
port = 83
local_pool = "lips"
[[service.server]]
address = "10.2.0.11"
method = "fullnat"
"#;

/// A session of each service.
const LINES: &str = concat!(
    r#"{"protocol":"tcp","method":"dr","client":"10.1.0.9:1","vip":"10.1.0.100:80","#,
    r#""server":"10.2.0.11:80","state":"ESTABLISHED","expires_seconds":600}"#,
    "\n",
    r#"{"protocol":"udp","method":"nat","client":"10.1.0.9:2","vip":"10.1.0.100:81","#,
    r#""server":"10.2.0.11:81","state":"UDP","expires_seconds":600,"#,
    r#""traffic":{"in_packets":1,"in_bytes":2,"out_packets":3,"out_bytes":4}}"#,
    "\n",
    r#"{"protocol":"sctp","method":"tun","client":"10.1.0.9:3","vip":"10.1.0.100:82","#,
    r#""server":"10.2.0.11:82","state":"C-WAIT","expires_seconds":600,"age_seconds":7}"#,
    "\n",
    r#"{"protocol":"tcp","method":"fullnat","client":"10.1.0.9:4","vip":"10.1.0.100:83","#,
    r#""local":"10.2.0.200:20007","server":"10.2.0.11:83","state":"FIN_WAIT","#,
    r#""expires_seconds":600,"seq_delta":9,"last_client_end":8,"mss_clamp":1400}"#,
    "\n",
);

fn four_methods() -> Running {
    Running::start_with(CONFIG, 4_096)
}

fn import(running: &Running, lines: &str) -> Answer {
    let path = "POST /v1/sessions/import";
    ask(&running.socket, path, "", lines.as_bytes())
}

/// How many had which outcome, those that nobody had left out.
fn counts(answer: &Answer) -> Vec<(String, u64)> {
    let view = answer.json();
    let counts = view.as_object().unwrap().iter();
    counts
        .filter_map(|(name, count)| Some((name.clone(), count.as_u64()?)))
        .filter(|(_, count)| *count > 0)
        .collect()
}

fn count(name: &str, count: u64) -> (String, u64) {
    (name.to_owned(), count)
}

/// The lines of an export, by client, without what the clock moves.
fn timeless(lines: &str) -> Vec<Value> {
    let mut sessions: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for session in &mut sessions {
        let expires = session["expires_seconds"].as_f64().unwrap();
        assert!((500.0..=600.0).contains(&expires), "{session}");
        let session = session.as_object_mut().unwrap();
        session.remove("expires_seconds");
        session.remove("age_seconds");
    }
    sessions.sort_by_key(|session| session["client"].to_string());
    sessions
}

#[test]
fn what_comes_in_goes_out_again() {
    let running = four_methods();

    let answer = import(&running, LINES);
    let lines = get(&running.socket, "/v1/sessions/export");

    assert_eq!(answer.status, 200);
    assert_eq!(counts(&answer), [count("imported", 4)]);
    assert!(lines.head.contains("content-type: application/x-ndjson"));
    assert_eq!(timeless(&lines.body), timeless(LINES));
    assert!(lines.body.contains(r#""age_seconds":7"#), "{}", lines.body);
    assert_eq!(running.gateway.status().local_addresses[0].in_use, 1);
    let services = running.gateway.services();
    let load = services.iter().map(|service| &service.servers[0]);
    let load: Vec<_> = load.map(|it| (it.active, it.inactive)).collect();
    assert_eq!(load, [(1, 0), (0, 1), (0, 1), (0, 1)]);
}

#[test]
fn an_export_has_the_names_of_a_listing() {
    let running = four_methods();
    import(&running, LINES);

    let listing = get(&running.socket, "/v1/sessions").json();
    let lines = get(&running.socket, "/v1/sessions/export").body;

    let sessions = listing["sessions"].as_array().unwrap();
    for line in lines.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let same = sessions.iter().find(|it| it["client"] == line["client"]);
        for (name, value) in line.as_object().unwrap() {
            let listed = &same.unwrap()[name];
            match name.as_str() {
                "expires_seconds" | "age_seconds" => assert!(listed.is_f64()),
                "traffic" => assert_eq!(listed["out_bytes"], value["out_bytes"]),
                _ => assert_eq!(listed, value, "{name}"),
            }
        }
    }
    // And what a listing says comes in as well.
    let session = serde_json::to_string(&sessions[0]).unwrap();
    assert_eq!(
        counts(&import(&running, &session)),
        [count("already_there", 1)]
    );
}

#[test]
fn an_export_shows_what_is_asked_for() {
    let running = four_methods();
    import(&running, LINES);
    let export = |filter: &str| get(&running.socket, &format!("/v1/sessions/export?{filter}"));

    assert_eq!(export("protocol=tcp").body.lines().count(), 2);
    assert_eq!(export("client=10.1.0.8").body, "");
    assert_eq!(export("protocol=icmp").status, 400);
    assert_eq!(export("colour=red").status, 400);
}

#[test]
fn lines_that_are_no_sessions_are_named_and_the_rest_goes_on() {
    let running = four_methods();
    let mut lines: Vec<_> = LINES.lines().map(str::to_owned).collect();
    lines.insert(1, "{".to_owned());
    lines.insert(3, String::new());
    lines.insert(4, "x".repeat(5_000));
    let last = lines[5].replace("C-WAIT", "C-SLEEP");
    lines.push(last);

    let answer = import(&running, &lines.join("\n"));

    let expected = [count("imported", 4), count("not_understood", 3)];
    assert_eq!(counts(&answer), expected);
    let mistakes = answer.json()["mistakes"].clone();
    let expected = json!([
        "line 2: EOF while parsing an object, column 1",
        "line 5: it is longer than 4096 bytes",
        "line 8: sctp has no state \"C-SLEEP\"",
    ]);
    assert_eq!(mistakes, expected);
}

#[test]
fn no_more_than_ten_mistakes_are_told() {
    let running = four_methods();

    let answer = import(&running, &"?\n".repeat(1_000));

    assert_eq!(counts(&answer), [count("not_understood", 1_000)]);
    assert_eq!(answer.json()["mistakes"].as_array().unwrap().len(), 10);
}

#[test]
fn sessions_that_do_not_belong_here_are_told_apart() {
    let running = Running::start_with(CONFIG, 4);
    let line = |number: usize| LINES.lines().nth(number).unwrap().to_owned();
    import(&running, &[line(0), line(1), line(3)].join("\n"));

    let lines = [
        line(0),
        line(1).replace("10.1.0.100:81", "10.1.0.100:84"),
        line(1).replace("10.2.0.11:81", "10.2.0.12:81"),
        line(3).replace("10.1.0.9:4", "10.1.0.9:5"),
        line(2),
        line(0).replace("10.1.0.9:1", "10.1.0.9:6"),
    ];
    let answer = import(&running, &lines.join("\r\n"));

    let expected = [
        count("already_there", 1),
        count("imported", 1),
        count("local_port_not_free", 1),
        count("no_such_server", 1),
        count("no_such_service", 1),
        count("table_full", 1),
    ];
    assert_eq!(counts(&answer), expected);
}

#[test]
fn an_import_at_a_time() {
    // Given an import whose sender pauses.
    let running = four_methods();
    let (first, rest) = LINES.split_once('\n').unwrap();
    let head = format!(
        "POST /v1/sessions/import HTTP/1.1\r\nHost: sluice\r\nContent-Length: {}\r\n\r\n{first}",
        LINES.len()
    );
    // It may come while the other one is under way, and is then refused itself.
    let (mut stream, refused) = loop {
        let mut stream = UnixStream::connect(&running.socket).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        let answer = import(&running, "");
        if answer.status != 200 {
            break (stream, answer);
        }
        drop(stream);
        running.until("no import is under way", |_| {
            import(&running, "").status == 200
        });
    };

    // Then another is refused, until the sender goes away; what was whole is in.
    assert_eq!(refused.status, 409);
    let sentence = "another import is under way: wait until it has ended";
    assert_eq!(refused.errors(), [sentence]);
    write!(stream, "\n{}", &rest[..40]).unwrap();
    drop(stream);
    running.until("the import has ended", |_| {
        import(&running, "").status == 200
    });
    let answer = import(&running, LINES);
    let told = counts(&answer);
    let all: u64 = told.iter().map(|(_, count)| count).sum();
    assert_eq!(all, 4, "{told:?}");
    assert_eq!(running.gateway.status().sessions, 4);
}

#[test]
fn an_import_that_was_given_up_is_not_counted_in_the_next() {
    let (gateway, mut worker, _) = gateway();
    worker.turn(0);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let line = |client: u16| {
        let line = LINES.lines().next().unwrap();
        line.replace("10.1.0.9:1", &format!("10.1.0.9:{client}"))
    };

    runtime.block_on(async {
        // Given an import that ends while its sessions are on their way.
        let mut first = gateway.import().unwrap();
        first.take(line(1).as_bytes()).await.unwrap();
        let given_up = tokio::time::timeout(std::time::Duration::from_millis(5), first.finish());
        assert!(given_up.await.is_err());

        // When another follows, then it counts its own only.
        let mut second = gateway.import().unwrap();
        second.take(line(2).as_bytes()).await.unwrap();
        let turning = async {
            loop {
                worker.turn(0);
                tokio::task::yield_now().await;
            }
        };
        let view = tokio::select! {
            view = second.finish() => view.unwrap(),
            () = turning => unreachable!("it turns for ever"),
        };
        assert_eq!((view.imported, view.already_there), (1, 0));
    });
    assert_eq!(worker.pipeline().sessions.len(), 2);
}

#[test]
fn sluicectl_writes_a_file_that_another_gateway_reads() {
    // Given a gateway with sessions.
    let (old, new) = (four_methods(), four_methods());
    import(&old, LINES);
    let file = old.directory.path("sessions");
    let file = file.to_str().unwrap();

    // When they go to a file and from there to another gateway.
    let exported = sluicectl(&old, &["sessions", "--export", file]);
    let imported = sluicectl(&new, &["sessions", "--import", file]);
    let again = sluicectl(&new, &["--json", "sessions", "--import", file]);
    let shown = sluicectl(&new, &["sessions", "--export", "-", "--protocol", "udp"]);

    // Then it has them too.
    let text = format!("Exported 4 sessions to {file}.\n");
    assert_eq!(exported, (Exit::Well, text, String::new()));
    let counts = "imported 4, already there 0, no such service 0, no such server 0, \
                  local port not free 0, table full 0, not understood 0\n";
    assert_eq!(imported, (Exit::Well, counts.to_owned(), String::new()));
    let again: Value = serde_json::from_str(&again.1).unwrap();
    assert_eq!(again["already_there"], 4);
    assert_eq!(timeless(&shown.1), timeless(LINES.lines().nth(1).unwrap()));
    assert_eq!(new.gateway.status().sessions, 4);
}

#[test]
fn sluicectl_exits_with_1_when_a_line_was_not_understood() {
    let running = four_methods();
    let file = running.directory.path("sessions");
    fs::write(&file, format!("{LINES}never\n")).unwrap();

    let (exit, out, _) = sluicectl(&running, &["sessions", "--import", file.to_str().unwrap()]);

    assert_eq!(exit, Exit::No);
    let end = "not understood 1 (line 5: expected ident, column 2)\n";
    assert!(
        out.starts_with("imported 4, ") && out.ends_with(end),
        "{out}"
    );
}

#[test]
fn sluicectl_says_which_file_it_cannot_use() {
    let running = four_methods();
    let directory = running.directory.path("");
    let directory = directory.to_str().unwrap();

    let missing = sluicectl(&running, &["sessions", "--import", "/nonexistent/file"]);
    let unreadable = sluicectl(&running, &["sessions", "--import", directory]);
    let unwritable = sluicectl(&running, &["sessions", "--export", directory]);

    for ((exit, _, err), sentence) in [
        (missing, "/nonexistent/file: cannot be read: "),
        (unreadable, &format!("{directory}: cannot be read: ")),
        (unwritable, &format!("{directory}: cannot be written: ")),
    ] {
        assert_eq!(exit, Exit::Failed);
        assert!(err.starts_with(sentence), "{err}");
    }
}

#[test]
fn a_hundred_thousand_sessions_go_in_and_out() {
    // Given a file of as many, of clients with 50 ports each.
    let running = Running::start_with(CONFIG, 131_072);
    let mut lines = String::new();
    for n in 0..100_000 {
        let (addr, port) = (n / 50, 1_000 + n % 50);
        let (high, low) = (addr / 250, 1 + addr % 250);
        writeln!(
            lines,
            r#"{{"protocol":"tcp","method":"dr","client":"11.0.{high}.{low}:{port}","vip":"10.1.0.100:80","server":"10.2.0.11:80","state":"ESTABLISHED","expires_seconds":600}}"#,
        )
        .unwrap();
    }
    let file = running.directory.path("sessions");
    fs::write(&file, &lines).unwrap();

    let imported = sluicectl(&running, &["sessions", "--import", file.to_str().unwrap()]);
    let exported = get(&running.socket, "/v1/sessions/export").body;

    assert_eq!(imported.0, Exit::Well);
    assert!(
        imported.1.starts_with("imported 100000, "),
        "{}",
        imported.1
    );
    assert_eq!(running.gateway.status().sessions, 100_000);
    let clients = |lines: &str| -> BTreeSet<String> {
        let sessions = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        sessions
            .map(|session: Value| session["client"].to_string())
            .collect()
    };
    assert_eq!(exported.lines().count(), 100_000);
    assert_eq!(clients(&exported), clients(&lines));

    // And they are met.
    let client = dataplane::testing::endpoint([11, 0, 0, 1], 1_000);
    running.send(&tcp().from(client).ack().build());
    running.until("the packet met its session", |gateway| {
        gateway.status().workers[0].session_hits == 1
    });
}
