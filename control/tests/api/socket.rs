//! The socket file: its rights, and what stood in its place.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;
use std::time::{Duration, Instant};

use control::api::{ApiSocket, SocketError};
use control::config::Others;

use crate::fixture::{Directory, Running};
use crate::http::get;

#[test]
fn the_socket_is_for_its_owner_and_its_group() {
    let directory = Directory::new();
    let path = directory.path("run/deep/sluice.sock");
    let group = nix::unistd::Group::from_gid(nix::unistd::getgid())
        .unwrap()
        .unwrap();

    let socket = ApiSocket::bind(&path, Some(&group.name), Others::Nothing).unwrap();

    let made = fs::symlink_metadata(&path).unwrap();
    assert!(made.file_type().is_socket());
    assert_eq!(made.permissions().mode() & 0o777, 0o660);
    assert_eq!(made.gid(), group.gid.as_raw());
    drop(socket);
    assert!(!path.exists(), "it is removed with its owner");
}

#[test]
fn a_socket_that_others_may_read_by_is_open_to_all() {
    let directory = Directory::new();
    let path = directory.path("sluice.sock");

    let _socket = ApiSocket::bind(&path, None, Others::Read).unwrap();

    let made = fs::symlink_metadata(&path).unwrap();
    assert_eq!(made.permissions().mode() & 0o777, 0o666);
}

#[test]
fn a_group_that_does_not_exist_leaves_nothing_behind() {
    let directory = Directory::new();
    let path = directory.path("run/sluice.sock");

    let refused = ApiSocket::bind(&path, Some("no-such-group"), Others::Nothing).unwrap_err();

    assert_eq!(
        refused.to_string(),
        "there is no group \"no-such-group\": create it with `groupadd no-such-group`, \
         or change `control_group`"
    );
    assert!(!directory.path("run").exists());
}

#[test]
fn what_a_killed_process_left_is_replaced() {
    let directory = Directory::new();
    let path = directory.path("sluice.sock");
    // std removes no socket files: this is what kill -9 leaves.
    drop(UnixListener::bind(&path).unwrap());
    assert!(UnixStream::connect(&path).is_err());

    let _socket = ApiSocket::bind(&path, None, Others::Nothing).unwrap();

    assert!(UnixStream::connect(&path).is_ok());
}

#[test]
fn a_killed_process_is_waited_for_until_it_has_ended() {
    let directory = Directory::new();
    let path = directory.path("sluice.sock");
    // It still takes connections while the kernel frees its memory.
    let ending = UnixListener::bind(&path).unwrap();
    let end = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        drop(ending);
    });

    let socket = ApiSocket::bind(&path, None, Others::Nothing);

    assert!(socket.is_ok(), "{socket:?}");
    end.join().unwrap();
}

#[test]
fn a_process_that_holds_the_line_keeps_its_socket() {
    let directory = Directory::new();
    let path = directory.path("sluice.sock");
    let _hung = UnixListener::bind(&path).unwrap();

    let refused = ApiSocket::bind(&path, None, Others::Nothing).unwrap_err();

    assert!(matches!(refused, SocketError::InUse(_)), "{refused}");
    assert!(path.exists());
}

#[test]
fn a_running_gateway_keeps_its_socket() {
    let running = Running::start();

    let start = Instant::now();
    let refused = ApiSocket::bind(&running.socket, None, Others::Nothing).unwrap_err();

    assert!(
        start.elapsed() < Duration::from_millis(2_500),
        "it answers at once"
    );
    assert!(matches!(refused, SocketError::InUse(_)));
    assert_eq!(
        refused.to_string(),
        format!(
            "{} is in use by a running gateway: stop it, or give this one another socket",
            running.socket.display()
        )
    );
    assert_eq!(get(&running.socket, "/v1/version").status, 200);
}

#[test]
fn what_is_no_socket_is_left_alone() {
    let directory = Directory::new();
    let file = directory.path("file");
    fs::write(&file, "precious").unwrap();
    let link = directory.path("link");
    let target = directory.path("target.sock");
    let _listener = UnixListener::bind(&target).unwrap();
    symlink(&target, &link).unwrap();

    for path in [&file, &link] {
        let refused = ApiSocket::bind(path, None, Others::Nothing).unwrap_err();

        assert!(matches!(refused, SocketError::NotASocket(_)), "{refused}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    assert!(link.is_symlink() && target.exists());
}

#[test]
fn a_stop_ends_at_once_and_takes_the_socket_away() {
    let mut running = Running::start();
    // A client that stays connected and says nothing must not hold the gateway up.
    let _idle = UnixStream::connect(&running.socket).unwrap();

    let start = Instant::now();
    running.stop_api();

    assert!(
        start.elapsed() < Duration::from_millis(2_500),
        "{:?}",
        start.elapsed()
    );
    assert!(!running.socket.exists());
}

#[test]
fn curl_can_ask() {
    let running = Running::start();
    let curl = Command::new("curl")
        .args(["-sS", "--unix-socket"])
        .arg(&running.socket)
        .arg("http://sluice/v1/version")
        .output();
    let Ok(output) = curl else {
        assert_ne!(
            std::env::var("CI_NO_SKIP").as_deref(),
            Ok("1"),
            "curl is missing"
        );
        eprintln!("SKIPPED: curl is not installed");
        return;
    };

    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("0.1.0 (test)"));
}
