//! Debian's Prometheus, in the foreground of a host, with the files of `conf/prometheus`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::namespace::Namespace;
use crate::run::{self, Running};

/// Where it listens: the host's loopback.
const ADDRESS: &str = "127.0.0.1:9090";

/// A running Prometheus; it is killed when dropped.
#[derive(Debug)]
pub struct Prometheus<'a> {
    host: &'a Namespace,
    _child: Running,
    log: PathBuf,
}

impl<'a> Prometheus<'a> {
    /// Starts it on `host` with the configuration and the rules of `folder`, all intervals and what
    /// alerts wait for a second long, and waits until it can be asked.
    ///
    /// # Panics
    ///
    /// When it does not answer within half a minute, with its log.
    #[must_use]
    pub fn start(host: &'a Namespace, folder: &Path) -> Self {
        let own = host.dir().join("prometheus");
        std::fs::create_dir_all(&own).expect("the directory is writable");
        for file in std::fs::read_dir(folder).expect("the folder is there") {
            let file = file.expect("it was just there").path();
            let text = std::fs::read_to_string(&file).expect("it is text");
            let name = file.file_name().expect("a file has a name");
            let faster: String = text.lines().map(faster).collect();
            std::fs::write(own.join(name), faster).expect("the directory is writable");
        }
        let log = own.join("log");
        let to = File::create(&log).expect("the directory is writable");
        let line = format!(
            "prometheus --config.file={dir}/prometheus.yml --storage.tsdb.path={dir}/data \
             --web.listen-address={ADDRESS} --log.level=warn",
            dir = own.display()
        );
        let child = host.command(&line).stderr(to).spawn();
        let child = child.expect("it is installed by scripts/setup --test");
        let prometheus = Self {
            host,
            _child: Running(child),
            log,
        };
        let line = format!("curl --silent --fail --max-time 5 http://{ADDRESS}/-/ready");
        let is_ready = || run::output(&mut host.command(&line)).status.success();
        let up = run::eventually(Duration::from_secs(30), is_ready);
        assert!(up, "{}", prometheus.log());
        prometheus
    }

    /// The values that `query` has now.
    ///
    /// # Panics
    ///
    /// When Prometheus cannot evaluate it, with its words.
    #[must_use]
    pub fn query(&self, query: &str) -> Vec<f64> {
        let answer = self.ask("query", &[("query", query)]);
        let samples = answer["result"].as_array().expect("samples are a list");
        let number = |sample: &Value| sample["value"][1].as_str()?.parse().ok();
        samples.iter().filter_map(number).collect()
    }

    /// What the HTTP API has at `path` below `/api/v1/`.
    ///
    /// # Panics
    ///
    /// When it refuses, with its words.
    #[must_use]
    pub fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let mut command = self.host.command("curl --silent --show-error --get");
        command.args(["--max-time", "30"]);
        for (name, value) in parameters {
            command
                .arg("--data-urlencode")
                .arg(format!("{name}={value}"));
        }
        command.arg(format!("http://{ADDRESS}/api/v1/{path}"));
        let text = run::must(&mut command);
        let answer: Value = serde_json::from_str(&text).expect("it answers with JSON");
        assert_eq!(answer["status"], "success", "{parameters:?}: {text}");
        answer["data"].clone()
    }

    /// Everything it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Prometheus<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("Prometheus's log:\n{}", self.log());
        }
    }
}

/// A line of the configuration or the rules, with a second for its time.
fn faster(line: &str) -> String {
    let times = [
        "scrape_interval",
        "scrape_timeout",
        "evaluation_interval",
        "for",
    ];
    match line.split_once(": ") {
        Some((key, _)) if times.contains(&key.trim()) => format!("{key}: 1s\n"),
        _ => format!("{line}\n"),
    }
}
