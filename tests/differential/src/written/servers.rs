//! Servers and services that rest, go and come back while sessions live.

use dataplane::testing::udp;

use crate::draft::Draft;

use super::Written;
use super::talk::{ACK, DR, FIN, METHODS, Method, NAT, SYN, SYN_ACK, Talk, serve_tcp, serve_udp};

pub(super) fn all() -> Vec<Written> {
    let mut all = Vec::new();
    for method in METHODS {
        all.push(rests(method));
        for expire in [false, true] {
            all.push(goes(method, expire));
            all.push(rests_and_is_reused(method, expire));
        }
    }
    all.extend([
        counts_of_one_that_is_away(),
        service_goes(),
        last_service_goes(),
        flush(),
        method_changes(),
        one_process_each(),
    ]);
    all
}

fn rests(method: Method) -> Written {
    let mut draft = Draft::new(format!("server-rests-{}", method.name));
    serve_tcp(&mut draft, "-s rr", method, &[1, 1]);
    let talks: Vec<Talk> = (1..=4).map(|number| Talk::new(method, number)).collect();
    for talk in &talks {
        talk.ask_tcp(&mut draft, SYN);
        talk.ask_tcp(&mut draft, ACK);
    }
    draft.ipvsadm(format!(
        "-e -t 10.1.0.100:80 -r 10.2.0.11:80 {} -w 0",
        method.option
    ));
    for talk in &talks {
        talk.ask_tcp(&mut draft, ACK);
    }
    for number in 10..13 {
        Talk::new(method, number).ask_tcp(&mut draft, SYN);
    }
    draft.dump("one rests").wait(1_050).dump("it has drained");
    Written::new(
        draft,
        "A server of weight 0 keeps its sessions and gets no new ones.",
    )
}

fn goes(method: Method, expire: bool) -> Written {
    let kind = if expire {
        "expire-nodest"
    } else {
        "server-goes"
    };
    let mut draft = Draft::new(format!("{kind}-{}", method.name));
    draft.knob("expire_nodest_conn", expire.into());
    serve_tcp(&mut draft, "-s rr", method, &[1]);
    let (first, second) = (Talk::new(method, 1), Talk::new(method, 2));
    first.establish(&mut draft);
    second.establish(&mut draft);
    draft.ipvsadm("-a -t 10.1.0.100:80 -r 10.2.0.12:80 -m");
    draft.ipvsadm("-d -t 10.1.0.100:80 -r 10.2.0.11:80").tick();
    draft.dump("one has gone");
    first.ask_tcp(&mut draft, ACK);
    first.answer_tcp(&mut draft, ACK);
    second.ask_tcp(&mut draft, SYN);
    draft.tick().dump("its sessions' packets");
    draft
        .ipvsadm(format!(
            "-a -t 10.1.0.100:80 -r 10.2.0.11:80 {}",
            method.option
        ))
        .tick();
    draft.dump("it is back");
    first.ask_tcp(&mut draft, ACK);
    first.answer_tcp(&mut draft, FIN);
    second.ask_tcp(&mut draft, ACK);
    draft.dump("sessions go on");
    let about = match expire {
        true => "With expire_nodest_conn the sessions of a removed server end at once.",
        false => "The packets of a removed server's sessions are dropped until it comes back.",
    };
    Written::new(draft, about)
}

fn rests_and_is_reused(method: Method, expire: bool) -> Written {
    let kind = if expire {
        "expire-nodest"
    } else {
        "keep-nodest"
    };
    let mut draft = Draft::new(format!("{kind}-weight-0-{}", method.name));
    draft
        .knob("expire_nodest_conn", expire.into())
        .knob("conn_reuse_mode", 0);
    serve_tcp(&mut draft, "-s rr", method, &[1]);
    let talk = Talk::new(method, 1);
    talk.establish(&mut draft);
    draft.ipvsadm(format!(
        "-e -t 10.1.0.100:80 -r 10.2.0.11:80 {} -w 0",
        method.option
    ));
    draft.ipvsadm(format!(
        "-a -t 10.1.0.100:80 -r 10.2.0.12:80 {}",
        method.option
    ));
    talk.ask_tcp(&mut draft, ACK);
    talk.ask_tcp(&mut draft, SYN);
    draft.tick();
    talk.ask_tcp(&mut draft, ACK);
    draft.dump("after a SYN from the same port");
    Written::new(
        draft,
        "A SYN on a session whose server rests: expire_nodest_conn decides who gets it.",
    )
}

fn counts_of_one_that_is_away() -> Written {
    let mut draft = Draft::new("server-away-keeps-counts");
    serve_tcp(&mut draft, "-s rr", NAT, &[1, 1]);
    for number in 1..=2 {
        Talk::new(NAT, number)
            .served_by(number % 2)
            .establish(&mut draft);
    }
    draft.wait(5);
    draft.ipvsadm("-d -t 10.1.0.100:80 -r 10.2.0.11:80").wait(5);
    draft.ipvsadm("-Z").wait(5);
    draft.ipvsadm("-a -t 10.1.0.100:80 -r 10.2.0.11:80 -m");
    draft.wait(5).ipvsadm("-Ln --stats");
    Written::new(
        draft,
        "-Z does not reach a server that is away: it comes back with all that it counted.",
    )
}

fn service_goes() -> Written {
    let mut draft = Draft::new("service-goes");
    serve_tcp(&mut draft, "-s rr", NAT, &[1]);
    serve_udp(&mut draft, "-s rr", NAT, &[1]);
    let talk = Talk::new(NAT, 1);
    talk.establish(&mut draft);
    draft.ipvsadm("-D -t 10.1.0.100:80").tick();
    talk.ask_tcp(&mut draft, ACK);
    talk.answer_tcp(&mut draft, ACK);
    Talk::new(NAT, 2).ask_tcp(&mut draft, SYN);
    draft.dump("without the service");
    draft.ipvsadm("-A -t 10.1.0.100:80 -s rr").tick();
    talk.ask_tcp(&mut draft, ACK);
    draft
        .ipvsadm("-a -t 10.1.0.100:80 -r 10.2.0.11:80 -m")
        .tick();
    talk.ask_tcp(&mut draft, ACK);
    talk.answer_tcp(&mut draft, ACK);
    draft.dump("it is back");
    Written::new(
        draft,
        "Sessions of a removed service wait for it, another service keeps IPVS going.",
    )
}

fn last_service_goes() -> Written {
    let mut draft = Draft::new("last-service-goes");
    serve_tcp(&mut draft, "-s rr", DR, &[1]);
    let talk = Talk::new(DR, 1);
    talk.ask_tcp(&mut draft, SYN);
    talk.ask_tcp(&mut draft, ACK);
    draft.ipvsadm("-D -t 10.1.0.100:80").tick();
    talk.ask_tcp(&mut draft, ACK);
    draft.dump("no service is left");
    draft.ipvsadm("-A -t 10.1.0.100:80 -s rr");
    draft
        .ipvsadm("-a -t 10.1.0.100:80 -r 10.2.0.11:80 -g")
        .tick();
    talk.ask_tcp(&mut draft, ACK);
    draft.dump("it is back");
    Written::new(
        draft,
        "Without any service all packets are the host's; sessions go on when one comes back.",
    )
}

fn flush() -> Written {
    let mut draft = Draft::new("flush");
    serve_tcp(&mut draft, "-s rr", NAT, &[1, 1]);
    serve_udp(&mut draft, "-s rr", NAT, &[1, 1]);
    let (tcp, udp) = (
        Talk::new(NAT, 1).served_by(1),
        Talk::new(NAT, 2).served_by(1),
    );
    tcp.establish(&mut draft);
    udp.exchange_udp(&mut draft);
    draft.ipvsadm("-C").tick().dump("flushed");
    tcp.ask_tcp(&mut draft, ACK);
    udp.exchange_udp(&mut draft);
    draft.ipvsadm("-A -t 10.1.0.100:80 -s rr").tick();
    tcp.ask_tcp(&mut draft, ACK);
    tcp.answer_tcp(&mut draft, ACK);
    draft.dump("a service again");
    Written::new(draft, "`-C` takes services away and leaves sessions.")
}

fn method_changes() -> Written {
    let mut draft = Draft::new("method-changes");
    serve_tcp(&mut draft, "-s rr", NAT, &[1]);
    let before = Talk::new(NAT, 1);
    before.establish(&mut draft);
    draft
        .ipvsadm("-e -t 10.1.0.100:80 -r 10.2.0.11:80 -i")
        .tick();
    before.ask_tcp(&mut draft, ACK);
    before.answer_tcp(&mut draft, SYN_ACK);
    Talk::new(NAT, 2).ask_tcp(&mut draft, SYN);
    draft.dump("a tunnel");
    // A server that has had packets by NAT gets none by DR in the kernel: it keeps the old route.
    draft
        .ipvsadm("-a -t 10.1.0.100:80 -r 10.2.0.12:80 -m")
        .ipvsadm("-e -t 10.1.0.100:80 -r 10.2.0.12:80 -w 5")
        .tick();
    for number in 3..=4 {
        Talk::new(NAT, number).ask_tcp(&mut draft, SYN);
    }
    draft.dump("edited without a method");
    Written::new(
        draft,
        "Sessions keep the method they began with; an edit without one means DR.",
    )
}

fn one_process_each() -> Written {
    let mut draft = Draft::new("rules-one-by-one");
    draft.each();
    for rule in [
        "-A -t 10.1.0.100:80 -s rr",
        "-A -t 10.1.0.100:80 -s wlc",
        "-A -t 10.1.0.100:81 -s nosuch",
        "-A -t 10.1.0.100:0 -s rr",
        "-a -t 10.1.0.100:80 -r 10.2.0.11 -m",
        "-a -t 10.1.0.100:80 -r 10.2.0.11:80 -m",
        "-a -t 10.1.0.100:80 -r 10.2.0.12 -x 5 -y 6",
        "-a -t 10.1.0.100:99 -r 10.2.0.12",
        "-e -t 10.1.0.100:80 -r 10.2.0.99",
        "-d -t 10.1.0.100:80 -r 10.2.0.99",
        "-D -t 10.1.0.100:99",
        "-Ln",
    ] {
        draft.rule(rule);
    }
    Talk::new(NAT, 1).establish(&mut draft);
    Talk::new(NAT, 2).ask(&mut draft, udp());
    draft.ipvsadm("-Sn");
    Written::new(
        draft,
        "Rules given one by one, with what ipvsadm says about wrong ones.",
    )
}
