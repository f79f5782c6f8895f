//! The variables of IPVS: over the API, and by `sluicectl sysctl`.

use control::ctl::Exit;
use dataplane::knobs::Knobs;
use dataplane::testing::tcp;
use serde_json::json;

use crate::ctl;
use crate::fixture::{CONFIG, Running, config};
use crate::http::{ANY, ask, get};

#[test]
fn every_variable_is_listed_with_what_the_file_says() {
    let text = format!("[ipvs]\ndrop_entry = 2\n{CONFIG}");
    let running = Running::start_with(&text, 4_096);

    let listed = get(&running.socket, "/v1/sysctl").json();
    let one = get(&running.socket, "/v1/sysctl/drop_entry").json();

    let names: Vec<_> = (listed.as_array().unwrap().iter())
        .map(|it| it["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, Knobs::NAMES);
    let expected = json!({"name": "drop_entry", "value": "2", "configured": "2"});
    assert_eq!(one, expected);
    assert_eq!(listed[3], expected);
}

#[test]
fn a_variable_set_while_running_acts_until_a_configuration_is_applied() {
    // Given a gateway where a lone ACK begins no session.
    let running = Running::start();
    let ack = tcp().ack().build();
    running.send(&ack);
    assert_eq!(running.gateway.status().sessions, 0);

    // When any segment may.
    let set = ask(&running.socket, "PUT /v1/sysctl/sloppy_tcp", ANY, b"1\n");
    assert_eq!(set.status, 200);
    assert_eq!(
        set.json(),
        json!({"name": "sloppy_tcp", "value": "1", "configured": "0"})
    );
    running.until("the worker knows", |gateway| gateway.health().healthy);

    // Then it does, until the configuration is applied again.
    running.until("the ACK begins a session", |gateway| {
        running.send(&ack);
        gateway.status().sessions == 1
    });
    running.gateway.apply(config(CONFIG)).unwrap();
    let now = get(&running.socket, "/v1/sysctl/sloppy_tcp").json();
    assert_eq!(now["value"], "0");
}

#[test]
fn what_linux_refuses_is_refused_in_a_sentence() {
    let running = Running::start();
    let set = |name: &str, value: &[u8]| {
        let answer = ask(
            &running.socket,
            &format!("PUT /v1/sysctl/{name}"),
            ANY,
            value,
        );
        (answer.status, answer.errors().concat())
    };

    assert_eq!(
        set("drop_packet", b"4"),
        (400, "`drop_packet` 4 is above 3: give 0 to 3".to_owned())
    );
    assert_eq!(
        set("drop_packet", b"on"),
        (400, "`drop_packet` \"on\" is not a whole number".to_owned())
    );
    assert_eq!(
        set("conntrack", b"0"),
        (
            404,
            "`conntrack` is not applicable here: packets do not pass netfilter".to_owned()
        )
    );
    let absent = get(&running.socket, "/v1/sysctl/sloppy_udp");
    assert_eq!(
        (absent.status, absent.errors()),
        (
            404,
            vec!["`sloppy_udp` is no variable of IPVS: did you mean `sloppy_tcp`?".to_owned()]
        )
    );
}

#[test]
fn sluicectl_writes_variables_as_sysctl_does() {
    let running = Running::start();

    let all = ctl::ask(&running, &["sysctl"]);
    let one = ctl::ask(&running, &["sysctl", "secure_tcp"]);
    let set = ctl::ask(&running, &["sysctl", "net.ipv4.vs.secure_tcp=3"]);
    let refused = ctl::ask(&running, &["sysctl", "secure_tcp=x"]);

    assert_eq!(all.1.lines().count(), Knobs::NAMES.len());
    assert_eq!(all.1.lines().next(), Some("am_droprate = 10"));
    assert_eq!(
        one,
        (Exit::Well, "secure_tcp = 0\n".to_owned(), String::new())
    );
    let note = "until a configuration is applied: the one that runs says 0";
    assert_eq!(set.1, format!("secure_tcp = 3  # {note}\n"));
    assert_eq!(
        refused,
        (
            Exit::No,
            String::new(),
            "`secure_tcp` \"x\" is not a whole number\n".to_owned()
        )
    );
}
