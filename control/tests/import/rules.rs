//! Rules that `ipvsadm` saved, and scripts that call it.

use super::*;

fn rules(name: &str) -> Config {
    let file = corpus(&format!("{name}.rules"));
    imports(name, &["import", "ipvsadm", &file])
}

/// What is said of a file with these lines, and how it ends.
fn said(name: &str, lines: &str) -> (Exit, String) {
    let file = std::env::temp_dir().join(format!("sluice-{}-{name}", std::process::id()));
    std::fs::write(&file, lines).unwrap();
    let ran = sluicectl(&["import", "ipvsadm", file.to_str().unwrap()]);
    std::fs::remove_file(&file).unwrap();
    let name = format!("{}:", file.display());
    (ran.exit, ran.err.replace(&name, "f:"))
}

#[test]
fn saved_rules() {
    let config = rules("saved");

    assert_eq!(
        keys(&config),
        [
            "tcp 10.1.0.100:80",
            "tcp 10.1.0.100:443",
            "udp 10.1.0.100:53",
            "udp 10.1.0.100:5060",
            "tcp [2001:db8:1::100]:80",
            "mark 1",
            "mark6 2",
            "tcp 10.1.0.101:80",
        ]
    );
    assert_eq!(
        servers(&config),
        [
            "10.2.0.11:80 dr 1",
            "10.2.0.12:80 tun 2",
            "10.2.0.11:443 nat 100",
            "10.2.0.12:8443 nat 0",
            "10.2.0.12:53 tun 1",
            "10.2.0.11:5060 nat 1",
            "2001:db8:2::11:8080 nat 1",
            "10.2.0.11:0 dr 3",
            "10.2.0.13:8080 fullnat 5",
        ]
    );
    let services = config.services();
    let netmasks: Vec<_> = services.iter().filter_map(|it| it.persistence).collect();
    let netmasks: Vec<_> = netmasks.iter().map(|it| it.netmask).collect();
    assert_eq!(netmasks, [0xffff_ff00, u32::MAX, 64, 128]);
    let fullnat = services.last().unwrap();
    assert_eq!(fullnat.scheduler_flags(), ["flag-2", "flag-3"]);
    let pool = config.local_pool(fullnat.local_pool.as_deref().unwrap());
    let lips: Vec<_> = pool.unwrap().lips().map(|it| it.to_string()).collect();
    assert_eq!(lips, ["10.2.0.200", "10.2.0.201"]);
}

#[test]
fn the_commands_that_everyone_types() {
    let config = rules("script");

    assert_eq!(
        keys(&config),
        [
            "tcp 10.1.0.100:80",
            "tcp 10.1.0.101:80",
            "tcp 10.1.0.102:80"
        ]
    );
    assert_eq!(
        servers(&config),
        [
            "10.2.0.11:80 dr 1",
            "10.2.0.12:80 dr 3",
            "10.2.0.11:80 tun 1",
            "10.2.0.12:80 tun 3",
            "10.2.0.11:80 nat 7",
            "10.2.0.12:8080 nat 3",
        ]
    );
    assert_eq!(config.services()[1].scheduler.name(), "rr");
    let toml = config.to_toml().unwrap();
    assert!(toml.contains("tcp_established = 1800") && toml.contains("udp = 60"));
}

/// What follows a command in the transcripts of a page, up to the next.
fn shown<'a>(page: &'a str, command: &str) -> Vec<&'a str> {
    let lines = page
        .lines()
        .map(|line| line.strip_prefix("    ").unwrap_or(line));
    let lines = lines.skip_while(|line| *line != command).skip(1);
    lines.take_while(|line| !line.starts_with("$ ")).collect()
}

#[test]
fn the_operations_page_shows_what_is_written() {
    let page = std::fs::read_to_string("../docs/operations.md").unwrap();
    let script = shown(&page, "$ cat lvs.sh").join("\n");
    let file = std::env::temp_dir().join(format!("sluice-{}-lvs.sh", std::process::id()));
    std::fs::write(&file, script).unwrap();

    let ran = sluicectl(&["import", "ipvsadm", file.to_str().unwrap()]);

    std::fs::remove_file(&file).unwrap();
    let written = ran.out.replace(file.to_str().unwrap(), "lvs.sh");
    let expected = shown(&page, "$ sluicectl import ipvsadm lvs.sh");
    assert_eq!(written.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn lines_that_ipvsadm_would_refuse_are_refused_in_its_words() {
    let (exit, err) = said(
        "refused",
        "-A -t 10.1.0.100:80 -s rr\n\
         # a comment\n\
         -A -t 10.1.0.100:80\n\
         -A -t 10.1.0.100:81 -s nosuch\n\
         -a -t 10.1.0.100:82 -r 10.2.0.11\n\
         -a -t 10.1.0.100:80 -r 10.2.0.11 -x 5 -y 6\n\
         -a -t 10.1.0.100:80 -r 224.0.0.1\n\
         -A -t 10.1.0.100:0\n\
         -A -t 10.1.0.100:80 --bogus\n\
         -R\n\
         foo\n",
    );

    assert_eq!(exit, Exit::No);
    assert_eq!(
        err,
        "f:3: Service already exists\n\
         f:4: Scheduler or persistence engine not found\n\
         f:5: Service not defined\n\
         f:6: Numerical result out of range\n\
         f:7: Invalid operation.  Possibly wrong module version, address not unicast, ...\n\
         f:8: Zero port specified for non-persistent service\n\
         f:9: --bogus: unknown option\n\
         f:10: -R reads rules from elsewhere: give that file\n\
         f:11: Try `ipvsadm -h' or 'ipvsadm --help' for more information.\n"
    );
}

#[test]
fn what_was_flushed_or_deleted_is_not_spoken_of() {
    let (exit, err) = said(
        "flushed",
        "-A -t [2001:db8::1]:80\n\
         -A -u 10.1.0.100:5060 -p 300 --pe sip\n\
         -C\n\
         -A -t 10.1.0.100:80\n\
         -D -t 10.1.0.100:80\n",
    );

    assert_eq!((exit, err.as_str()), (Exit::Well, ""));
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let ran = sluicectl(&["import", "ipvsadm", "/nowhere/rules"]);

    assert_eq!(ran.exit, Exit::Failed);
    assert_eq!(
        ran.err,
        "/nowhere/rules: cannot be read: No such file or directory (os error 2)\n"
    );
}

#[test]
fn local_addresses_that_were_given_back_make_no_pool() {
    let lines = "-A -t 10.1.0.100:80 -s rr\n\
                 -P -t 10.1.0.100:80 -z 10.2.0.1\n\
                 -a -t 10.1.0.100:80 -r 10.2.0.11 -b\n\
                 -Q -t 10.1.0.100:80 -z 10.2.0.1\n";

    let (exit, err) = said("local", lines);

    assert_eq!(exit, Exit::Well);
    assert_eq!(
        err,
        "f:3: server 10.2.0.11:80 is reached by fullnat, but its service has no local addresses: \
         its connections are dropped until there is a `local_pool`\n"
    );
}
