//! What is the same for every import: where it goes, what it stands behind, and that it never
//! breaks.

use std::path::PathBuf;

use proptest::prelude::*;

use super::*;

/// A directory that is gone when the test is over.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let folder = format!("sluice-import-{}-{name}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// What is said of a configuration of keepalived, without the directory.
    fn keepalived(&self, text: &str) -> (Exit, String) {
        let file = self.file("k.conf", text);
        let ran = sluicectl(&["import", "keepalived", &file]);
        let folder = format!("{}/", self.0.display());
        (ran.exit, ran.err.replace(&folder, ""))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

const ONE: &str = "virtual_server 10.1.0.1 80 {\n protocol TCP\n real_server 10.2.0.1 80\n}\n";

#[test]
fn it_goes_to_a_file_if_one_is_named() {
    let scratch = Scratch::new("output");
    let from = scratch.file("k.conf", ONE);
    let to = scratch.file("out.toml", "");

    let ran = sluicectl(&["import", "keepalived", &from, "--output", &to]);

    assert_eq!(ran.exit, Exit::Well);
    assert_eq!(
        ran.out,
        format!("Wrote {to}: services 1, real servers 1.\n")
    );
    let written = std::fs::read_to_string(&to).unwrap();
    assert_eq!(keys(&loaded(&written)), ["tcp 10.1.0.1:80"]);
}

#[test]
fn a_file_that_cannot_be_written_is_named() {
    let scratch = Scratch::new("unwritable");
    let from = scratch.file("k.conf", ONE);

    let ran = sluicectl(&["import", "keepalived", &from, "--output", "/nowhere/x"]);

    assert_eq!(ran.exit, Exit::Failed);
    assert!(
        ran.err
            .starts_with("/nowhere/x: cannot be written: No such file"),
        "{}",
        ran.err
    );
}

#[test]
fn a_program_gets_it_as_json() {
    let scratch = Scratch::new("json");
    let from = scratch.file("k.conf", &format!("{ONE}vrrp_instance A {{\n}}\n"));

    let ran = sluicectl(&["--json", "import", "keepalived", &from]);

    assert_eq!((ran.exit, ran.err.as_str()), (Exit::Well, ""));
    let view: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        (&view["services"], &view["servers"]),
        (&1.into(), &1.into())
    );
    let broken = scratch.file("b.conf", "a {\n");
    let refused = sluicectl(&["--json", "import", "keepalived", &broken]);
    assert_eq!((refused.exit, refused.err.as_str()), (Exit::No, ""));
    let errors: serde_json::Value = serde_json::from_str(&refused.out).unwrap();
    let error = format!("{broken}:1: the `{{` of `a` is not closed");
    assert_eq!(errors["errors"][0], error.as_str());
    assert_eq!(view["warnings"][0]["line"], 5);
    assert_eq!(view["warnings"][0]["path"], from.as_str());
    loaded(view["toml"].as_str().unwrap());
}

#[test]
fn it_stands_behind_the_other_sections_of_a_base() {
    let scratch = Scratch::new("base");
    let from = scratch.file(
        "k.conf",
        &format!("global_defs {{\n lvs_timeouts udp 9\n}}\n{ONE}"),
    );
    let base = scratch.file(
        "base.toml",
        "# Ours.\n[gateway]\nworkers = 1\n\n# The old site.\n[[service]]\nprotocol = \"tcp\"\n\
         vip = \"10.9.0.1\"\nport = 80\n\n  # Its server.\n  [[service.server]]\n  \
         address = \"10.9.0.2\"\n\n# The port.\n[[port]]\nname = \"wan\"\n\
         device = \"net_null0\"\n\n[timeouts]\nudp = 7\n",
    );

    let ran = sluicectl(&["import", "keepalived", &from, "--base", &base]);

    assert_eq!(ran.exit, Exit::Well, "{}", ran.err);
    let start = "# Ours.\n[gateway]\nworkers = 1\n\n# The port.\n[[port]]\nname = \"wan\"\n\
                 device = \"net_null0\"\n\n# Virtual services of ";
    assert!(ran.out.starts_with(start), "{}", ran.out);
    let (config, _) = Config::from_toml(&ran.out, Path::new("whole.toml")).unwrap();
    assert_eq!(keys(&config), ["tcp 10.1.0.1:80"]);
    assert_eq!(
        ran.err,
        format!(
            "{base}:20: its [timeouts] are left out: those taken over stand in their place, so \
             add what else was said here\n\
             {base}:6: its services are left out: those taken over stand in their place\n"
        )
    );
}

#[test]
fn a_base_that_does_not_fit_is_refused() {
    let scratch = Scratch::new("misfit");
    let from = scratch.file("k.conf", ONE);
    let base = scratch.file(
        "base.toml",
        &format!("{BASE}[[local_pool]]\nname = \"p\"\naddresses = [\"10.1.0.1\"]\n"),
    );

    let ran = sluicectl(&["import", "keepalived", &from, "--base", &base]);

    assert_eq!(ran.exit, Exit::No);
    assert!(
        ran.err.contains("local address 10.1.0.1 is also a VIP"),
        "{}",
        ran.err
    );
    let missing = sluicectl(&["import", "keepalived", &from, "--base", "/nowhere/b"]);
    assert_eq!(missing.exit, Exit::Failed);
    assert!(missing.err.starts_with("/nowhere/b: cannot be read: "));
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let ran = sluicectl(&["import", "keepalived", "/nowhere/k.conf"]);

    assert_eq!(ran.exit, Exit::Failed);
    assert_eq!(
        ran.err,
        "/nowhere/k.conf: cannot be read: No such file or directory (os error 2)\n"
    );
}

#[test]
fn a_file_must_be_named() {
    let ran = sluicectl(&["import", "keepalived"]);

    assert_eq!(ran.exit, Exit::Failed);
    assert!(ran.err.contains("<FILE>..."), "{}", ran.err);
}

#[test]
fn braces_sequences_and_parameters_that_make_no_sense_are_refused() {
    let scratch = Scratch::new("refused");
    for (text, said) in [
        (
            "virtual_server 10.1.0.1 80 {\n real_server 10.2.0.1 80 {\n }\n",
            "k.conf:1: the `{` of `virtual_server 10.1.0.1 80` is not closed\n",
        ),
        ("}\n", "k.conf:1: `}` closes what nothing opened\n"),
        (
            "~SEQ(A, 1, 0, 3) x\n",
            "k.conf:1: ~SEQ: a step of 0 comes to no end\n",
        ),
        (
            "$A=$A\nvirtual_server $A\n",
            "k.conf:2: `A` stands for more than a line can hold\n",
        ),
        (
            "virtual_server_group G {\n 10.0.0.0/16 80\n 10.1.0.0/16 80\n 10.2.0.0/16 80\n\
             10.3.0.0/16 80\n 10.4.0.0/16 80\n 10.5.0.0/16 80\n 10.6.0.0/16 80\n\
             10.7.0.0/16 80\n}\nvirtual_server group G {\n protocol TCP\n\
             real_server 1.1.1.1 80\n}\n",
            "k.conf:11: services and real servers are more than 1000000 from here on\n",
        ),
    ] {
        let (exit, err) = scratch.keepalived(text);
        assert_eq!(exit, Exit::No, "{text}");
        assert!(err.ends_with(said), "{text}: {err}");
    }
}

#[test]
fn a_file_that_includes_itself_is_refused() {
    let scratch = Scratch::new("cycle");
    scratch.file("b.conf", "x\ninclude k.conf\n");

    let (exit, err) = scratch.keepalived("include b.conf\n");

    assert_eq!(exit, Exit::No);
    assert!(
        err.starts_with("b.conf:2: include: ") && err.ends_with("k.conf includes itself\n"),
        "{err}"
    );
}

#[test]
fn files_are_not_included_without_end() {
    let scratch = Scratch::new("deep");
    for number in 0..40 {
        let next = format!("include {}.conf\n", number + 1);
        scratch.file(&format!("{number}.conf"), &next);
    }

    let (exit, err) = scratch.keepalived("include 0.conf\n");

    assert_eq!(exit, Exit::No);
    assert_eq!(
        err,
        "31.conf:1: include: files are more than 32 deep here\n"
    );
}

#[test]
fn includes_that_cannot_be_read_are_said_and_passed_over() {
    let scratch = Scratch::new("include");
    std::fs::create_dir(scratch.0.join("d")).unwrap();

    let (exit, err) = scratch.keepalived(&format!("include d\nincluder no.conf\n{ONE}"));

    assert_eq!(exit, Exit::Well);
    assert_eq!(
        err,
        "k.conf:1: include: d cannot be read: it is no plain file\n\
         k.conf:2: include: no file matches no.conf\n"
    );
}

#[test]
fn several_files_are_one_configuration() {
    let scratch = Scratch::new("several");
    let group = scratch.file("g.conf", "virtual_server_group G {\n 10.0.0.1 80\n}\n");
    let server = "virtual_server group G {\n protocol TCP\n real_server 10.2.0.1 80\n}\n";
    let server = scratch.file("s.conf", server);

    let ran = sluicectl(&["import", "keepalived", &server, &group]);

    assert_eq!((ran.exit, ran.err.as_str()), (Exit::Well, ""));
    assert_eq!(keys(&loaded(&ran.out)), ["tcp 10.0.0.1:80"]);
}

/// Words that mean something to keepalived, and some that do not.
const WORDS: [&str; 64] = [
    "virtual_server",
    "virtual_server_group",
    "real_server",
    "group",
    "fwmark",
    "sorry_server",
    "lb_algo",
    "lb_kind",
    "lvs_method",
    "protocol",
    "TCP",
    "UDP",
    "SCTP",
    "NAT",
    "DR",
    "TUN",
    "type",
    "gue",
    "wrr",
    "sh",
    "mh",
    "none",
    "sh-port",
    "flag-3",
    "ops",
    "weight",
    "quorum",
    "persistence_timeout",
    "persistence_granularity",
    "uthreshold",
    "lthreshold",
    "snmp_name",
    "vrrp_instance",
    "virtual_ipaddress",
    "static_ipaddress",
    "global_defs",
    "lvs_timeouts",
    "tcp",
    "udp",
    "TCP_CHECK",
    "10.1.0.1",
    "10.1.0.2",
    "10.1.0.1-9",
    "10.1.0.0/29",
    "255.255.255.0",
    "224.0.0.1",
    "127.0.0.1",
    "2001:db8::1",
    "0",
    "1",
    "80",
    "443",
    "65536",
    "4294967296",
    "-1",
    "{",
    "}",
    "\n",
    "\n",
    "\n",
    "\"a \\n b\"",
    "'",
    "${X}",
    "\u{e9}\u{7f}",
];

/// What a line may begin with.
const STARTS: [&str; 8] = [
    "$X=",
    "$X= \\",
    "~SEQ(X,1,3) ",
    "~LST(X,a,$X) ",
    "@other ",
    "@^other ",
    "# ",
    "",
];

fn configuration() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        8 => prop::sample::select(&WORDS[..]).prop_map(str::to_owned),
        1 => "[ -~]{0,8}",
    ];
    let line = (
        prop::sample::select(&STARTS[..]),
        prop::collection::vec(word, 0..5),
    );
    let line = line.prop_map(|(start, words)| format!("{start}{}", words.join(" ")));
    let service = (
        prop::sample::select(&WORDS[40..54]),
        prop::sample::select(&WORDS[40..54]),
        prop::collection::vec(line.clone(), 0..6),
        prop::sample::select(&WORDS[40..54]),
        prop::sample::select(&WORDS[40..54]),
        prop::collection::vec(line.clone(), 0..4),
    );
    let service = service.prop_map(|(vip, port, lines, rip, rport, inner)| {
        format!(
            "virtual_server {vip} {port} {{\n{}\nreal_server {rip} {rport} {{\n{}\n}}\n}}",
            lines.join("\n"),
            inner.join("\n")
        )
    });
    let part = prop_oneof![line, service];
    prop::collection::vec(part, 0..8).prop_map(|parts| parts.join("\n"))
}

fn assert_sound(ran: &Ran) {
    match ran.exit {
        Exit::Well => drop(loaded(&ran.out)),
        Exit::No => assert!(!ran.err.is_empty() && ran.out.is_empty()),
        Exit::Failed | Exit::Code(_) => panic!("{}", ran.err),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever stands in the file: either it is refused with a sentence, or what is written loads.
    #[test]
    fn what_is_written_is_always_a_configuration(text in configuration()) {
        let scratch = Scratch::new("random");
        let file = scratch.file("k.conf", &text);

        assert_sound(&sluicectl(&["import", "keepalived", &file]));
    }
}
