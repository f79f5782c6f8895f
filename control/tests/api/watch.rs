//! What changes, as server-sent events.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::fixture::Running;
use crate::http::{ANY, ask, get};
use crate::services::send;

/// Somebody who watches.
struct Watcher(BufReader<UnixStream>);

/// An event as it arrived.
#[derive(Debug, PartialEq)]
struct Arrived {
    name: String,
    id: String,
    data: Value,
}

impl Watcher {
    fn start(running: &Running, headers: &str) -> Self {
        let mut stream = UnixStream::connect(&running.socket).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let request = format!("GET /v1/watch HTTP/1.1\r\nHost: sluice\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut watcher = Self(BufReader::new(stream));
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(watcher.0.read_line(&mut head).unwrap(), 0, "{head}");
        }
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert!(head.contains("content-type: text/event-stream"), "{head}");
        watcher
    }

    fn next(&mut self) -> Arrived {
        let [mut name, mut id, mut data] = [const { None }; 3];
        loop {
            let mut line = String::new();
            assert_ne!(self.0.read_line(&mut line).unwrap(), 0, "it ends");
            let field = |place: &mut Option<String>, name: &str| {
                if let Some(value) = line.trim_end().strip_prefix(name) {
                    *place = Some(value.trim_start().to_owned());
                }
            };
            field(&mut name, "event:");
            field(&mut id, "id:");
            field(&mut data, "data:");
            if let (Some(name), Some(id), Some(data)) = (&name, &id, &data) {
                return Arrived {
                    name: name.clone(),
                    id: id.clone(),
                    data: serde_json::from_str(data).unwrap(),
                };
            }
        }
    }
}

#[test]
fn changes_arrive_as_they_happen_under_the_names_of_paths() {
    let running = Running::start();
    let mut watcher = Watcher::start(&running, "");
    let new = "/v1/services/tcp-10.1.0.101-443";

    send(&running, &format!("PUT {new}"), "", &json!({}));
    send(
        &running,
        &format!("PUT {new}/servers/10.2.0.11-443"),
        "",
        &json!({}),
    );
    send(
        &running,
        &format!("PATCH {new}/servers/10.2.0.11-443"),
        ANY,
        &json!({"weight": 0}),
    );
    send(
        &running,
        &format!("PATCH {new}"),
        ANY,
        &json!({"scheduler": "rr"}),
    );
    ask(
        &running.socket,
        &format!("DELETE {new}/servers/10.2.0.11-443"),
        ANY,
        b"",
    );
    ask(&running.socket, &format!("DELETE {new}"), ANY, b"");
    send(
        &running,
        "PUT /v1/config",
        ANY,
        &get(&running.socket, "/v1/config").json(),
    );

    let arrived: Vec<_> = (0..7).map(|_| watcher.next()).collect();
    let names: Vec<_> = arrived.iter().map(|it| it.name.as_str()).collect();
    let expected = [
        "service-added",
        "server-added",
        "server-changed",
        "service-changed",
        "server-removed",
        "service-removed",
        "configuration-applied",
    ];
    assert_eq!(names, expected);
    assert_eq!(arrived[2].data["kind"], "server-changed");
    assert_eq!(arrived[2].data["service"], "tcp-10.1.0.101-443");
    assert_eq!(arrived[2].data["server"], "10.2.0.11-443");
    let revisions: Vec<_> = arrived
        .iter()
        .map(|it| it.data["revision"].as_u64().unwrap())
        .collect();
    assert!(
        revisions.windows(2).all(|it| it[1] == it[0] + 1),
        "{revisions:?}"
    );
    assert_eq!(revisions[6], running.gateway.revision());
}

#[test]
fn who_comes_back_goes_on_where_it_was() {
    let running = Running::start();
    let web = "PATCH /v1/services/tcp-10.1.0.100-80";
    let mut first = Watcher::start(&running, "");
    for scheduler in ["wrr", "sh", "lc"] {
        send(&running, web, ANY, &json!({"scheduler": scheduler}));
    }
    let [seen, second, third] = [(); 3].map(|()| first.next());
    drop(first);

    let mut back = Watcher::start(&running, &format!("Last-Event-ID: {}\r\n", seen.id));

    assert_eq!(back.next(), second);
    assert_eq!(back.next(), third);
}

#[test]
fn who_was_away_too_long_is_told() {
    let running = Running::start();
    for id in ["1-0", "x", ""] {
        let mut watcher = Watcher::start(&running, &format!("Last-Event-ID: {id}\r\n"));

        let lagged = watcher.next();

        assert_eq!(
            (lagged.name.as_str(), &lagged.data),
            ("lagged", &json!({"missed": 0}))
        );
        // From there it goes on.
        send(&running, "PUT /v1/services/mark-7", ANY, &json!({}));
        let mark = format!("PUT /v1/services/tcp-10.1.0.9-{}", 1 + id.len());
        send(&running, &mark, "", &json!({}));
        assert_eq!(watcher.next().name, "service-added");
    }
}

#[test]
fn only_so_many_watch_at_a_time() {
    let running = Running::start();
    let mut watchers: Vec<_> = (0..64).map(|_| Watcher::start(&running, "")).collect();

    let refused = get(&running.socket, "/v1/watch");

    assert_eq!(refused.status, 503);
    assert_eq!(
        refused.errors(),
        ["64 watch already, and that is the most: end one, or try again later"]
    );
    // One who ends makes room; the gateway notices when it has something to tell.
    watchers.pop();
    running.until("there is room again", |_| {
        let request = "PATCH /v1/services/tcp-10.1.0.100-80";
        let weight = json!({"scheduler": "rr"});
        send(&running, request, ANY, &weight);
        let mut stream = UnixStream::connect(&running.socket).unwrap();
        let question = b"GET /v1/watch HTTP/1.1\r\nHost: sluice\r\n\r\n";
        stream.write_all(question).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        line.starts_with("HTTP/1.1 200 ")
    });
}
