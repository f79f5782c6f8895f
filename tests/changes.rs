//! Changes while traffic flows: no packet is lost of sessions that they do not concern; and the
//! file read again, whatever was changed meanwhile.
// Helpers of tests may panic as tests do.
#![allow(clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddrV4, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use testnet::gateway_config::{GatewayConfig, IN_TURN, WEIGHTED, http_port};
use testnet::{Arms, Gateway, Lab, Method, binaries, lab, require_namespaces, run, udp_echo};

/// Rounds of ten changes each.
const ROUNDS: usize = 100;

/// Runs a line of `ipvsadm`, which must be done.
fn ipvsadm(socket: &Path, line: &str) {
    let args: Vec<&str> = line.split(' ').collect();
    let body = serde_json::json!({ "args": args }).to_string();
    let mut stream = UnixStream::connect(socket).expect("the gateway listens");
    let request = format!(
        "POST /v1/ipvsadm HTTP/1.1\r\nHost: sluice\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let sent = stream.write_all(request.as_bytes());
    sent.expect("the gateway reads");
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    read.expect("the gateway answers");
    assert!(
        answer.contains("\"stderr\":\"\",\"status\":0"),
        "{line}: {answer}"
    );
}

/// Ten changes: a service comes and goes, with a server; weights of another service and of the one
/// that is spoken to; a server that comes to that and goes; its scheduler.
fn round(lab: &Lab, number: usize) -> [String; 10] {
    let passing = lab.at(Method::Nat, 9_000);
    let weighted = lab.at(Method::Nat, WEIGHTED);
    let echo = lab.at(Method::Nat, udp_echo::PORT);
    let [first, port] = [
        lab::server_address(1).to_string(),
        http_port(Method::Nat, WEIGHTED).to_string(),
    ];
    let weight = 2 + number % 5;
    [
        format!("-A -t {passing} -s rr"),
        format!("-a -t {passing} -r {first}:80 -m"),
        format!("-e -t {weighted} -r {first}:{port} -m -w {weight}"),
        format!("-e -u {echo} -r {first}:{} -m -w {weight}", udp_echo::PORT),
        format!("-a -u {echo} -r 10.2.0.99:7 -m -w 0"),
        format!("-E -u {echo} -s wrr"),
        format!("-d -u {echo} -r 10.2.0.99:7"),
        format!("-E -u {echo} -s rr"),
        format!("-d -t {passing} -r {first}:80"),
        format!("-D -t {passing}"),
    ]
}

/// What one session saw.
#[derive(Debug, Default)]
struct Seen {
    sent: u64,
    answered: u64,
    servers: BTreeSet<String>,
}

/// Sends datagrams of one session, each when the one before was answered, until told to stop.
fn talk(socket: &UdpSocket, to: SocketAddrV4, stop: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    let mut buffer = [0; 2_048];
    while !stop.load(Ordering::Relaxed) {
        let payload = format!("datagram {}", seen.sent);
        let sent = socket.send_to(payload.as_bytes(), to);
        sent.expect("the client has a route");
        seen.sent += 1;
        match socket.recv_from(&mut buffer) {
            Ok((length, _)) => {
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                assert!(
                    text.ends_with(&payload),
                    "{text:?} is no answer to {payload:?}"
                );
                let server = text.split(' ').next().unwrap_or_default();
                seen.servers.insert(server.to_owned());
                seen.answered += 1;
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => panic!("{error}"),
        }
    }
    seen
}

#[test]
fn a_thousand_changes_lose_no_packet_of_sessions_that_they_do_not_concern() {
    require_namespaces!();
    let lab = Lab::build(Arms::Two);
    let config = GatewayConfig::of(&lab).services_of(&lab, Method::Nat);
    let gateway = Gateway::start(lab.gateway(), binaries!(), &config.text());
    let (web, echo) = (
        lab.at(Method::Nat, IN_TURN),
        lab.at(Method::Nat, udp_echo::PORT),
    );
    lab.client().wait_for(web);
    let sockets = [(); 3].map(|()| lab.client().udp_socket());
    let api = Gateway::socket(lab.gateway());
    let stop = AtomicBool::new(false);

    let (seen, files) = std::thread::scope(|scope| {
        let talks: Vec<_> = (sockets.iter())
            .map(|socket| scope.spawn(|| talk(socket, echo, &stop)))
            .collect();
        let files = scope.spawn(|| {
            let mut files = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                // What fills the rings of a busy machine would lose datagrams of its own.
                files.push(lab.client().download_at(web, "20M"));
            }
            files
        });
        for number in 0..ROUNDS {
            for line in round(&lab, number) {
                ipvsadm(&api, &line);
            }
        }
        stop.store(true, Ordering::Relaxed);
        let join = |talk: std::thread::ScopedJoinHandle<'_, Seen>| talk.join().expect("it ended");
        let seen: Vec<_> = talks.into_iter().map(join).collect();
        (seen, files.join().expect("it ended"))
    });

    for one in &seen {
        assert!(one.sent > 100, "{one:?}");
        assert_eq!(one.answered, one.sent, "{one:?}");
        assert_eq!(one.servers.len(), 1, "{one:?}");
    }
    assert!(!files.is_empty());
    assert!(files.iter().all(|file| file == lab.blob().sha256()));
    drop(gateway);
}

#[test]
fn sighup_reads_the_file_again_all_of_it_or_nothing() {
    require_namespaces!();
    let lab = Lab::build(Arms::Two);
    let text = GatewayConfig::of(&lab)
        .services_of(&lab, Method::Nat)
        .text();
    let gateway = Gateway::start(lab.gateway(), binaries!(), &text);
    let weighted = lab.at(Method::Nat, WEIGHTED);
    let api = Gateway::socket(lab.gateway());
    let first = lab::server_address(1);
    let port = http_port(Method::Nat, WEIGHTED);
    let edit = format!("-e -t {weighted} -r {first}:{port} -m -w 77");
    ipvsadm(&api, &edit);
    let has_edit = || run::must(&mut gateway.ctl("config --running")).contains("weight = 77");
    let logs =
        |words: &str| run::eventually(Duration::from_secs(10), || gateway.log().contains(words));

    gateway.reload(&text.replace("scheduler = \"wrr\"", "scheduler = \"wrx\""));
    assert!(
        logs("nothing was changed; mend that and send SIGHUP again"),
        "{}",
        gateway.log()
    );
    assert!(
        gateway.log().contains("\"wrx\" is not a scheduler"),
        "{}",
        gateway.log()
    );
    assert!(has_edit());
    // Who did it is in the log as well.
    let edited = format!("server {first}:{port} of tcp {weighted} was changed: weight 3 -> 77");
    let edited = format!("{edited} (by user 0)");
    assert!(gateway.log().contains(&edited), "{}", gateway.log());

    let larger = text.replace("sessions_per_worker = ", "sessions_per_worker = 1");
    gateway.reload(&larger);
    assert!(
        logs("a running gateway cannot change `sessions_per_worker`"),
        "{}",
        gateway.log()
    );
    assert!(has_edit());

    gateway.reload(&text);
    assert!(logs(" applied: services "), "{}", gateway.log());
    let undone = format!("~ server {first}:{port}: weight 77 -> ");
    assert!(gateway.log().contains(&undone), "{}", gateway.log());
    assert!(!has_edit());
}
