//! What the panels of our dashboards ask, as Grafana sends it, and which of it may be zero.

use std::fs;

use serde_json::Value;
use testnet::Prometheus;

use crate::place;

/// The gateway and the workers as an operator chooses them: `.*`, which stands for all of them, would
/// also find what has no such label.
const CHOSEN: [(&str, &str); 2] = [("$instance", "127.0.0.1:9911"), ("$worker", "0|1")];

/// A dashboard, what only one query of it has, and why that is not like the others.
type Exception = (&'static str, &'static str, &'static str);

/// Queries that may show zero here. All others must show that something moves.
const QUIET: [Exception; 26] = [
    (
        "internals",
        "sluice_worker_generation",
        "workers follow at once",
    ),
    (
        "internals",
        "sluice_rss_mismatches_total",
        "AF_PACKET has no hash",
    ),
    (
        "internals",
        "sluice_evicted_sessions_total",
        "there is room",
    ),
    (
        "internals",
        "sluice_imported_sessions_total",
        "it had no predecessor",
    ),
    (
        "internals",
        "sluice_reused_local_ports_total",
        "there are plenty",
    ),
    (
        "internals",
        "sluice_refused_templates_total",
        "there is room",
    ),
    ("internals", "sluice_template_lock_waits_total", WAITS),
    (
        "internals",
        "sluice_punt_limited_packets_total",
        "nobody sends that much",
    ),
    (
        "internals",
        "sluice_suppressed_icmp_error_packets_total",
        "nobody sends that much",
    ),
    (
        "internals",
        "sluice_ipv6_packets_total",
        "the lab has IPv6 off",
    ),
    ("internals", "sluice_ethdev_missed_packets_total", LOSES),
    ("internals", "sluice_ethdev_no_buffer_packets_total", LOSES),
    ("internals", "sluice_ethdev_receive_errors_total", LOSES),
    ("internals", "sluice_ethdev_transmit_errors_total", LOSES),
    ("internals", "sluice_ethdev_queue_lost_packets_total", LOSES),
    (
        "internals",
        "sluice_ethdev_link_speed_bytes",
        "Linux has the interfaces, too",
    ),
    (
        "internals",
        "sluice_twin_to_linux_failed_frames_total",
        LOSES,
    ),
    (
        "internals",
        "sluice_twin_from_linux_failed_frames_total",
        LOSES,
    ),
    ("internals", "sluice_twin_read_failures_total", LOSES),
    (
        "internals",
        "sluice_mirror_resyncs_total",
        "no notification was lost",
    ),
    (
        "internals",
        "sluice_mirror_overruns_total",
        "no notification was lost",
    ),
    (
        "internals",
        "sluice_checks_late_total",
        "a machine at ease leaves none out",
    ),
    (
        "internals",
        "sluice_check_path_not_delivered_packets_total",
        LOSES,
    ),
    (
        "internals",
        "sluice_check_path_refused_packets_total",
        "only checks come there",
    ),
    (
        "service",
        "sluice_service_scheduler_lock_waits_total",
        WAITS,
    ),
    (
        "service",
        "sluice_server_overloaded",
        "no server has a threshold",
    ),
];

const WAITS: &str = "one client seldom makes workers meet";
const LOSES: &str = "the machine loses nothing that is counted";

/// Queries that need not show anything before the gateway is ill, but then.
const ILL: [Exception; 11] = [
    ("overview", "count(sluice_service_quorum", CUT),
    ("overview", "sluice_maintenance", MAINTAINED),
    ("overview", "sluice_warnings", MAINTAINED),
    ("overview", "sluice_healthy", TWIN),
    ("overview", "sluice_ready", MAINTAINED),
    (
        "overview",
        "sluice_configuration_last_apply_successful",
        REFUSED,
    ),
    ("overview", "sluice_ethdev_link_up", CUT),
    ("overview", "sluice_server_state_changes_total", CUT),
    ("internals", "sluice_server_state_changes_total", CUT),
    (
        "internals",
        "sluice_configuration_last_apply_successful",
        REFUSED,
    ),
    ("internals", "sluice_twin_removed", TWIN),
];

const CUT: &str = "the servers' cable is cut";
const MAINTAINED: &str = "maintenance begins";
const REFUSED: &str = "it is given half a file";
const TWIN: &str = "a twin is removed";

/// A query of a panel.
#[derive(Debug)]
pub(super) struct Asked {
    dashboard: String,
    #[expect(dead_code, reason = "it is for those who read what a failure prints")]
    panel: String,
    pub(super) query: String,
    /// The labels by which the panel names what it shows.
    labels: Vec<String>,
}

impl Asked {
    fn is(&self, (dashboard, part, _): &Exception) -> bool {
        self.dashboard == *dashboard && self.query.contains(part)
    }

    /// Whether it may be zero while all is well.
    pub(super) fn is_quiet(&self) -> bool {
        QUIET.iter().any(|it| self.is(it))
    }

    /// Whether it tells of what is wrong.
    pub(super) fn is_of_the_ill(&self) -> bool {
        ILL.iter().any(|it| self.is(it))
    }

    /// The numbers that it gives now, of what can be named.
    pub(super) fn numbers(&self, prometheus: &Prometheus<'_>) -> Vec<f64> {
        let answer = prometheus.ask("query", &[("query", &self.query)]);
        let is_named = |it: &&Value| {
            self.labels
                .iter()
                .all(|label| it["metric"][label].is_string())
        };
        let number = |it: &Value| it["value"][1].as_str()?.parse().ok();
        let numbers = list(&answer["result"]).filter(is_named).filter_map(number);
        numbers.filter(|it: &f64| !it.is_nan()).collect()
    }
}

/// The dashboards, by the stems of their names.
pub(super) fn dashboards() -> Vec<(String, Value)> {
    let files = fs::read_dir(place("conf/grafana/dashboards")).expect("the folder is there");
    let read = |file: std::io::Result<fs::DirEntry>| {
        let path = file.expect("it was just there").path();
        let text = fs::read_to_string(&path).expect("it is text");
        let stem = path.file_stem().expect("a file has a name");
        let board = serde_json::from_str(&text).expect("it is JSON");
        (stem.to_string_lossy().into_owned(), board)
    };
    files.map(read).collect()
}

pub(super) fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Every query of every panel, panels in folded rows included.
pub(super) fn asked(service: &str) -> Vec<Asked> {
    let mut asked = Vec::new();
    for (dashboard, board) in dashboards() {
        let folded = list(&board["panels"]).flat_map(|it| list(&it["panels"]));
        for panel in list(&board["panels"]).chain(folded) {
            for target in list(&panel["targets"]) {
                let legend = text(&target["legendFormat"]);
                let labels = legend.split("{{").skip(1);
                let labels = labels.filter_map(|it| Some(it.split_once("}}")?.0.to_owned()));
                let labels: Vec<_> = labels.collect();
                let query = filled(&text(&target["expr"]), service);
                asked.extend(with_sides(query).into_iter().map(|query| Asked {
                    dashboard: dashboard.clone(),
                    panel: text(&panel["title"]),
                    query,
                    labels: labels.clone(),
                }));
            }
        }
    }
    asked
}

/// A query, and if it falls back to zeros of something else, its two sides. Linux has the
/// interfaces, too, so that none has a speed: a metric with the same labels stands in for it.
fn with_sides(query: String) -> Vec<String> {
    let Some((first, second)) = query.split_once(" or 0 * ") else {
        return vec![query];
    };
    let first = first.replace("sluice_ethdev_link_speed_bytes", "sluice_ethdev_link_up");
    let second = second.to_owned();
    vec![query, first, second]
}

/// A query as Grafana sends it, with the service `service`.
pub(super) fn filled(query: &str, service: &str) -> String {
    let mut filled = query
        .replace("$__rate_interval", "1m")
        .replace("$__interval", "15s")
        .replace("$__range", "5m")
        .replace("$service", service);
    for (variable, value) in CHOSEN {
        filled = filled.replace(variable, value);
    }
    assert!(!filled.contains('$'), "an unknown variable: {filled}");
    filled
}

/// An exception silences one query alone, and none whose zeros are not the gateway's own.
pub(super) fn every_exception_is_of_one_query(all: &[Asked]) {
    assert!(all.len() > 80, "only {} queries were found", all.len());
    for exception in QUIET.iter().chain(&ILL) {
        let count = all.iter().filter(|it| it.is(exception)).count();
        assert_eq!(count, 1, "{exception:?}");
    }
    for asked in all.iter().filter(|it| it.is_quiet()) {
        assert!(!asked.query.contains("vector("), "{asked:?}");
    }
}
