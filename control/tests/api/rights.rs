//! Who may do what: asked by processes of other users and groups, which takes root.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use nix::unistd::{Gid, Uid};

use crate::fixture::{CAPACITY, CONFIG, Running};
use crate::http::{ANY, ask};

/// A user without any right (`nobody`).
const NOBODY: u32 = 65_534;

/// A group that every Debian has.
const GROUP: &str = "daemon";

fn started(keys: &str) -> Option<Running> {
    if !Uid::effective().is_root() {
        assert!(std::env::var_os("CI_NO_SKIP").is_none(), "this takes root");
        eprintln!("SKIPPED: only root can become somebody else");
        return None;
    }
    let text = CONFIG.replace("[gateway]", &format!("[gateway]\n{keys}"));
    let running = Running::start_with(&text, CAPACITY);
    for directory in ["", "run"] {
        let path = running.directory.path(directory);
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }
    Some(running)
}

fn group() -> Gid {
    let group = nix::unistd::Group::from_name(GROUP).unwrap();
    group.expect("Debian has it").gid
}

/// What `curl` with these arguments prints as somebody else: the body and the status, if any.
fn curl_as(running: &Running, group: u32, groups: &str, arguments: &[&str]) -> String {
    let output = Command::new("setpriv")
        .args([
            &format!("--reuid={NOBODY}"),
            &format!("--regid={group}"),
            groups,
        ])
        .args(["curl", "--silent", "--write-out", " %{http_code}"])
        .arg("--unix-socket")
        .arg(&running.socket)
        .args(arguments)
        .output()
        .expect("setpriv and curl are installed");
    String::from_utf8(output.stdout).unwrap()
}

const READ: [&str; 1] = ["http://sluice/v1/version"];
const WRITE: [&str; 7] = [
    "--header",
    "If-Match: *",
    "http://sluice/v1/sysctl/sloppy_tcp",
    "--request",
    "PUT",
    "--data",
    "1",
];

#[test]
fn others_may_read_if_the_file_says_so_and_the_group_may_write() {
    let Some(running) = started("control_group = \"daemon\"\nothers = \"read\"") else {
        return;
    };
    crate::log::begin();
    let in_group = format!("--groups={}", group());
    let may_write = |group, groups: &str| curl_as(&running, group, groups, &WRITE);

    let read = curl_as(&running, NOBODY, "--clear-groups", &READ);
    let refused = may_write(NOBODY, "--clear-groups");
    let supplementary = may_write(NOBODY, &in_group);
    let primary = may_write(group().as_raw(), "--clear-groups");

    assert!(read.ends_with("200"), "{read}");
    assert_eq!(
        refused,
        format!(
            "{{\"errors\":[\"only root and members of the group \\\"daemon\\\" may change the \
             gateway: you are user {NOBODY}, and may read\"]}} 403"
        )
    );
    let told = "is not allowed PUT /v1/sysctl/{name}";
    let line = crate::log::line(&format!("user {NOBODY} {told}"));
    assert_eq!(
        (&line["level"], &line["user"]),
        (&"WARN".into(), &NOBODY.into())
    );
    assert!(supplementary.ends_with("200"), "{supplementary}");
    assert!(primary.ends_with("200"), "{primary}");
}

#[test]
fn who_may_read_may_list_with_ipvsadm_and_not_change() {
    let Some(running) = started("control_group = \"daemon\"\nothers = \"read\"") else {
        return;
    };
    crate::log::begin();
    let ipvsadm = |args: &str| {
        let call = format!("{{\"args\": {args}}}");
        let arguments = ["--data", &call, "http://sluice/v1/ipvsadm"];
        curl_as(&running, NOBODY, "--clear-groups", &arguments)
    };

    let listed = ipvsadm("[\"-Ln\"]");
    let refused = ipvsadm("[\"-C\"]");

    assert!(listed.contains("TCP  10.1.0.100:80 rr"), "{listed}");
    assert!(listed.ends_with(" 200"), "{listed}");
    assert!(
        refused.contains("may change the gateway: you are user"),
        "{refused}"
    );
    assert!(refused.ends_with(" 403"), "{refused}");
    crate::log::line(&format!("user {NOBODY} is not allowed POST /v1/ipvsadm"));
    assert_eq!(running.gateway.config().services().len(), 2);
}

#[test]
fn root_and_the_own_user_may_write_without_a_group() {
    let Some(running) = started("others = \"read\"") else {
        return;
    };

    let refused = curl_as(&running, group().as_raw(), "--clear-groups", &WRITE);

    assert!(
        refused.contains("only root (name a group as `control_group` to let its members) may"),
        "{refused}"
    );
    let put = "PUT /v1/sysctl/sloppy_tcp";
    assert_eq!(ask(&running.socket, put, ANY, b"1").status, 200);
}

#[test]
fn others_cannot_even_connect_unless_the_file_says_so() {
    let Some(running) = started("control_group = \"daemon\"") else {
        return;
    };
    let in_group = format!("--groups={}", group());

    let outside = curl_as(&running, NOBODY, "--clear-groups", &READ);
    let inside = curl_as(&running, NOBODY, &in_group, &READ);

    assert_eq!(outside, " 000");
    assert!(inside.ends_with("200"), "{inside}");
}

#[test]
fn whoever_connects_through_a_door_that_was_opened_by_hand_is_refused() {
    let Some(running) = started("control_group = \"daemon\"") else {
        return;
    };
    fs::set_permissions(&running.socket, Permissions::from_mode(0o666)).unwrap();

    let refused = curl_as(&running, NOBODY, "--clear-groups", &READ);

    assert_eq!(
        refused,
        format!(
            "{{\"errors\":[\"only root and members of the group \\\"daemon\\\" may speak to the \
             gateway: you are user {NOBODY}\"]}} 403"
        )
    );
}

#[test]
fn a_script_that_the_group_brings_runs_as_who_brings_it_or_not_at_all() {
    let Some(running) = started("control_group = \"daemon\"") else {
        return;
    };
    let in_group = format!("--groups={}", group());
    let add = |port: u16, user: &str| {
        let body = format!(
            "{{\"protocol\":\"tcp\",\"vip\":\"10.1.0.100\",\"port\":{port},\"scheduler\":\"rr\",\
             \"check\":[{{\"type\":\"script\",\"command\":[\"/bin/true\"]{user}}}]}}"
        );
        let path = format!("http://sluice/v1/services/tcp-10.1.0.100-{port}");
        let arguments = [
            "--request",
            "PUT",
            "--header",
            "Content-Type: application/json",
            "--data",
            &body,
            &path,
        ];
        curl_as(&running, NOBODY, &in_group, &arguments)
    };

    let as_root = add(8_001, "");
    let as_another = add(8_002, ",\"user\":\"daemon\"");
    let as_himself = add(8_003, ",\"user\":\"nobody\"");
    let text = running.gateway.config().to_toml().unwrap();
    let with_script = text
        + "\n[[service]]\nprotocol = \"tcp\"\nvip = \"10.1.0.100\"\nport = 8004\n\
           [[service.check]]\ntype = \"script\"\ncommand = [\"/bin/sh\"]\n";
    let replace = |text: &str| {
        let arguments = [
            "--request",
            "PUT",
            "--header",
            "Content-Type: application/toml",
            "--header",
            "If-Match: *",
            "--data-binary",
            text,
            "http://sluice/v1/config",
        ];
        curl_as(&running, NOBODY, &in_group, &arguments)
    };
    let by_file = replace(&with_script);
    let refused = running.gateway.applies();

    assert_eq!(
        as_root,
        "{\"errors\":[\"service tcp 10.1.0.100:8001: only root may add a check that runs /bin/true \
         as the gateway's user: let it run as yourself (`user`), or let root add it\"]} 403"
    );
    assert!(
        as_another.contains("/bin/true as \\\"daemon\\\""),
        "{as_another}"
    );
    assert!(as_another.ends_with(" 403"), "{as_another}");
    assert!(as_himself.ends_with(" 201"), "{as_himself}");
    assert!(by_file.ends_with(" 403"), "{by_file}");
    assert!(refused.last_refused, "{refused:?}");
    // What root has added stays, whoever changes the rest.
    let path = "PUT /v1/config";
    let status = |text: &str| {
        let headers = "If-Match: *\r\nContent-Type: application/toml\r\n";
        ask(&running.socket, path, headers, text.as_bytes()).status
    };
    assert_eq!(status(&with_script), 200);
    assert!(replace(&with_script).ends_with(" 200"));
}
