//! What alerts and dashboards ask for is what the gateway counts, and `docs/monitoring.md` explains
//! all of it. Where Debian's promtool is installed, the tests of the alerts are run, too.
// Helpers of tests may panic as tests do.
#![allow(clippy::expect_used)]

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use control::health::check_path::Refusal;
use dataplane::drop_reason::DropReason;
use serde_json::{Value, json};

const ALERTS: &str = include_str!("../conf/prometheus/alerts.yml");
const TESTS: &str = include_str!("../conf/prometheus/alerts_test.yml");
const PAGE: &str = include_str!("../docs/monitoring.md");

/// Metrics that no panel shows, and why.
const ON_NO_PANEL: [(&str, &str); 2] = [
    (
        "sluice_ethdev_link_full_duplex",
        "its speed and its losses show a link that is not",
    ),
    (
        "sluice_service_info",
        "it is there to be joined with others",
    ),
];

/// Where runbooks are read.
const BOOK: &str = "runbook_url: \"https://github.com/sluice-lb/sluice/blob/main/";

fn place(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The text of each file in a folder.
fn texts(folder: &str) -> impl Iterator<Item = String> {
    let files = fs::read_dir(place(folder)).expect("the folder is there");
    files.map(|file| fs::read_to_string(file.expect("it is there").path()).expect("it is text"))
}

/// Every word that has the form of a metric's name.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("sluice_") && !word.ends_with('_'))
}

/// Whatever stands behind `before`, up to `end`.
fn behind<'a>(text: &'a str, before: &'a str, end: char) -> impl Iterator<Item = &'a str> {
    let rests = text.split(before).skip(1);
    rests.filter_map(move |rest| rest.split(end).next())
}

#[test]
fn every_metric_that_is_asked_for_is_there_and_every_one_is_explained() {
    // The names are written out where the metrics are gathered.
    let sources: String = texts("control/src/metrics").collect();
    let metrics: BTreeSet<_> = names(&sources).collect();
    let asking = [ALERTS, TESTS, PAGE].map(str::to_owned).into_iter();
    let asking: String = asking.chain(texts("conf/grafana/dashboards")).collect();
    let is_there = |name: &str| {
        let mut parts = ["_bucket", "_sum", "_count"].iter();
        let whole = parts.find_map(|part| name.strip_suffix(part));
        metrics.contains(whole.unwrap_or(name))
    };

    let mut unknown = names(&asking).filter(|name| !is_there(name));
    let explained: HashSet<_> = names(PAGE).collect();
    let mut left_out = metrics.iter().filter(|name| !explained.contains(*name));

    assert!(metrics.len() > 80, "only {} were found", metrics.len());
    assert_eq!((unknown.next(), left_out.next()), (None, None));
}

#[test]
fn every_metric_is_on_a_panel_or_there_is_a_reason() {
    let sources: String = texts("control/src/metrics").collect();
    let mut panels = String::new();
    for text in texts("conf/grafana/dashboards") {
        let board: Value = serde_json::from_str(&text).expect("it is JSON");
        panels.push_str(&board["panels"].to_string());
    }
    let is_shown = |name: &str| {
        let bucket = format!("{name}_bucket");
        names(&panels).any(|it| it == name || it == bucket)
    };

    for name in names(&sources) {
        let left_out = ON_NO_PANEL.iter().any(|(it, _)| *it == name);
        assert!(is_shown(name) != left_out, "{name}");
    }
}

#[test]
fn every_alert_has_a_test_a_page_and_reasons_that_exist() {
    let mut reasons: HashSet<_> = DropReason::ALL.iter().map(|it| it.name()).collect();
    reasons.extend(Refusal::ALL.iter().map(|it| it.name()).chain([""]));

    // Only a label of what a test expects says that an alert has fired there; a query that asks for
    // it, or a comment, does not.
    let expected: HashSet<_> = TESTS
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- { labels: '{alertname=\""))
        .filter_map(|rest| rest.split_once('"'))
        .map(|(name, _)| name)
        .collect();
    let alerts: Vec<_> = behind(ALERTS, "- alert: ", '\n').collect();
    for alert in &alerts {
        assert!(expected.contains(alert), "{alert} has no test");
    }
    let pages: Vec<_> = behind(ALERTS, BOOK, '"').collect();
    assert_eq!(pages.len(), alerts.len(), "each alert has its page");
    let book = fs::read_to_string(place("docs/SUMMARY.md")).expect("the book has contents");
    for page in pages {
        // Whether its heading is there is seen where links are followed.
        let file = page.split_once('#').map_or(page, |(file, _)| file);
        let name = file
            .strip_prefix("docs/")
            .expect("it is a page of the book");
        assert!(book.contains(&format!("]({name})")), "{page}");
    }
    let asked = behind(ALERTS, "reason", '}').filter(|it| it.starts_with(['=', '!']));
    for reason in asked.flat_map(|it| it.split(['"', '|']).skip(1)) {
        assert!(reasons.contains(reason.trim()), "{reason}");
    }
}

#[test]
fn what_is_provisioned_refers_to_what_is_there() {
    let read = |name: &str| fs::read_to_string(place(name)).expect("the file is there");
    let sources = read("conf/grafana/provisioning/datasources/prometheus.yml");
    let provider = read("conf/grafana/provisioning/dashboards/sluice.yml");
    let compose = read("conf/monitoring-compose.yml");
    let said = |text: &str, key: &str| -> String {
        let value = behind(text, key, '\n').next();
        value.expect(key).trim().to_owned()
    };
    let (uid, kind) = (said(&sources, "uid: "), said(&sources, "type: "));

    // Every panel and variable asks the source that is chosen, and one of its type is provisioned.
    for text in texts("conf/grafana/dashboards") {
        let board: Value = serde_json::from_str(&text).expect("it is JSON");
        let variables = board["templating"]["list"].as_array().expect("a list");
        let chosen = variables.iter().find(|it| it["type"] == "datasource");
        let chosen = chosen.expect("the source can be chosen");
        assert_eq!(chosen["query"], kind, "{}", board["title"]);
        let own = format!("${{{}}}", chosen["name"].as_str().expect("it is named"));
        let asked: Vec<_> = behind(&text, "\"datasource\": {", '\n').collect();
        assert!(asked.len() > 10, "{}", board["title"]);
        for source in asked {
            let named = behind(source, "\"uid\": \"", '"').next();
            assert!(named == Some(&own) || named == Some(&uid), "{source}");
            assert_eq!(behind(source, "\"type\": \"", '"').next(), Some(&*kind));
        }
    }
    // What is mounted exists, and what is looked for is where it was mounted.
    let mounts: Vec<_> = behind(&compose, "- ./", '\n')
        .map(|line| line.split(':').collect::<Vec<_>>())
        .collect();
    assert_eq!(mounts.len(), 3, "{mounts:?}");
    let folder = |inside: &str| {
        let under = |it: &&Vec<&str>| inside.starts_with(&format!("{}/", it[1]));
        let mount = mounts.iter().find(under).expect("it is mounted");
        let rest = &inside[mount[1].len() + 1..];
        place("conf").join(mount[0]).join(rest)
    };
    for mount in &mounts {
        assert!(place("conf").join(mount[0]).is_dir(), "{mount:?}");
    }
    for file in [
        said(&compose, "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH: "),
        said(&compose, "--config.file="),
    ] {
        assert!(folder(&file).is_file(), "{file}");
    }
    assert!(folder(&format!("{}/", said(&provider, "path: "))).is_dir());
    let listens = said(&compose, "--web.listen-address=");
    assert!(sources.contains(&listens), "{listens}");
}

#[test]
fn alerts_do_what_their_tests_say_and_promtool_reads_every_query() {
    if Command::new("promtool").arg("--version").output().is_err() {
        let may_skip = std::env::var_os("CI_NO_SKIP").is_none_or(|value| value != "1");
        assert!(may_skip, "promtool is missing: run scripts/setup --test");
        // Tests that pass hide what `eprintln!` says.
        let _ = writeln!(std::io::stderr(), "SKIPPED alerts: promtool is missing");
        return;
    }
    // The queries of all panels as rules; JSON is YAML, too.
    let mut rules = Vec::new();
    for text in texts("conf/grafana/dashboards") {
        let board: Value = serde_json::from_str(&text).expect("it is JSON");
        let panels = board["panels"].as_array().into_iter().flatten();
        for target in panels.flat_map(|it| it["targets"].as_array().into_iter().flatten()) {
            let name = format!("query{}", rules.len());
            rules.push(json!({ "record": name, "expr": target["expr"] }));
        }
    }
    let rules = json!({ "groups": [{ "name": "panels", "rules": rules }] }).to_string();
    let file = std::env::temp_dir().join(format!("sluice-queries-{}", std::process::id()));
    fs::write(&file, rules.replace("$__rate_interval", "5m")).expect("there is room");

    for (verb, file) in [
        ("check config", place("conf/prometheus/prometheus.yml")),
        ("check rules", file.clone()),
        ("test rules", place("conf/prometheus/alerts_test.yml")),
    ] {
        let (mut promtool, verb) = (Command::new("promtool"), verb.split(' '));
        let said = promtool.args(verb).arg(file).output().expect("it runs");
        assert!(said.status.success(), "{said:?}");
    }
    fs::remove_file(file).expect("it was written");
}
