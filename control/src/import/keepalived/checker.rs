//! Checkers of a real server, as checks of the configuration.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::super::place::Note;
use super::inherited::{Inherited, timer};
use super::tree::Statement;
use super::words::{Token, split};
use crate::config::Check;

/// The checkers that the configuration has, and their names there.
const KINDS: [(&str, &str); 8] = [
    ("TCP_CHECK", "tcp"),
    ("HTTP_GET", "http"),
    ("SSL_GET", "https"),
    ("SMTP_CHECK", "smtp"),
    ("DNS_CHECK", "dns"),
    ("UDP_CHECK", "udp"),
    ("PING_CHECK", "icmp"),
    ("MISC_CHECK", "script"),
];

/// keepalived's defaults.
const DELAY_LOOP: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What is known of a checker's surroundings.
pub(super) struct Around<'a> {
    /// What the real server says, and the virtual server around it.
    pub(super) inherited: &'a Inherited<'a>,
    /// What the virtual server alone says.
    pub(super) service: &'a Inherited<'a>,
    /// The port that has to be said, where the server's is that of each packet.
    pub(super) port: Option<u16>,
    /// Whether the server has a port.
    pub(super) has_port: bool,
    /// As whom scripts run that do not say it.
    pub(super) script_user: Option<&'a str>,
}

/// Whether a keyword is that of a checker with a check for it.
pub(super) fn is_checker(keyword: &str) -> bool {
    KINDS.iter().any(|(name, _)| *name == keyword)
}

/// The checks that a checker becomes; `None`, and a note, if it can become none.
pub(super) fn read(
    checker: &Statement,
    around: &Around<'_>,
    notes: &mut Vec<Note>,
) -> Option<Vec<Check>> {
    let (_, kind) = KINDS.iter().find(|(name, _)| *name == checker.keyword())?;
    let mut draft = Draft {
        checker,
        kind,
        keys: Map::new(),
        urls: Vec::new(),
        inherited: Inherited::default(),
        limit: None,
        left_out: Vec::new(),
        notes,
    };
    draft.lines(checker.statements());
    if *kind == "udp" && !draft.keys.contains_key("send_hex") {
        draft.say("no payload is said: an empty datagram is sent, not a random one");
    }
    draft.finish(around)
}

/// A check that grows line by line.
struct Draft<'a, 'n> {
    checker: &'a Statement,
    kind: &'static str,
    keys: Map<String, Value>,
    urls: Vec<Map<String, Value>>,
    inherited: Inherited<'a>,
    /// `misc_timeout`.
    limit: Option<Duration>,
    /// Keywords that have no equivalent.
    left_out: Vec<&'a str>,
    notes: &'n mut Vec<Note>,
}

impl<'a> Draft<'a, '_> {
    fn say(&mut self, message: impl std::fmt::Display) {
        let message = format!("{}: {message}", self.checker.keyword());
        self.notes.push(Note::new(&self.checker.place, message));
    }

    fn set(&mut self, key: &str, value: Value) {
        self.keys.insert(key.to_owned(), value);
    }

    fn lines(&mut self, lines: &'a [Statement]) {
        for line in lines {
            // `alpha` and `inhibit_on_failure` are a server's here.
            let is_servers = matches!(line.keyword(), "alpha" | "inhibit_on_failure");
            if is_servers || !self.inherited.read(line, self.notes) && !self.line(line) {
                self.left_out.push(line.keyword());
            }
        }
    }

    /// A line of the checker alone; whether it means something here.
    fn line(&mut self, line: &'a Statement) -> bool {
        let argument = line.argument();
        match (self.kind, line.keyword()) {
            (_, "connect_ip") => self.set("address", json!(argument)),
            (kind, "connect_port") if !matches!(kind, "icmp" | "script") => {
                let port = super::value::number(line, 1..=65_535, self.notes);
                self.set("port", json!(port));
            }
            ("http" | "https", "url") => {
                let url = self.url(line);
                self.urls.push(url);
            }
            // A name is always sent, so that a server of several sites knows which is meant.
            ("https", "enable_sni") | (_, "log_all_failures") => {}
            // An older way to say where; the answer is the same.
            ("smtp", "host") => self.lines(line.statements()),
            ("smtp", "helo_name") => self.set("helo", json!(argument)),
            ("dns", "type") => {
                let record = argument.unwrap_or_default().to_ascii_uppercase();
                self.set("record", json!(record));
            }
            ("dns", "name") => self.set("query", json!(argument)),
            ("udp", "payload") => self.set("send_hex", json!(line.arguments().join(" "))),
            ("udp", "require_reply") => self.reply(line),
            ("script", "misc_path") => self.set("command", json!(command(line))),
            ("script", "misc_timeout") => self.limit = timer(line, self.notes),
            ("script", "misc_dynamic") => self.set("weight_by_status", json!(true)),
            ("script", "user") => self.set("user", json!(argument)),
            _ => return false,
        }
        true
    }

    /// `url { … }`, one check each.
    fn url(&mut self, url: &'a Statement) -> Map<String, Value> {
        let mut keys = Map::new();
        let (mut regex, mut options, mut is_inverse) = (None, String::new(), false);
        for line in url.statements() {
            let argument = line.argument();
            let (key, value) = match line.keyword() {
                "path" => ("path", json!(argument.map(graphic))),
                "digest" => ("body_digest", json!(argument.map(|it| format!("md5:{it}")))),
                "status_code" => ("status", json!(line.arguments().join(","))),
                "virtualhost" => ("host", json!(argument)),
                "regex" => {
                    regex = argument;
                    continue;
                }
                "regex_no_match" => {
                    is_inverse = true;
                    continue;
                }
                "regex_options" => {
                    options = line.arguments().iter().filter_map(|it| flag(it)).collect();
                    continue;
                }
                keyword => {
                    self.left_out.push(keyword);
                    continue;
                }
            };
            keys.insert(key.to_owned(), value);
        }
        let flags = if options.is_empty() {
            String::new()
        } else {
            format!("(?{options})")
        };
        if let Some(regex) = regex.map(|regex| format!("{flags}{regex}")) {
            if is_inverse {
                self.say(format_args!(
                    "regex {regex} is left out: with regex_no_match it must not match, which has \
                     no equivalent"
                ));
            } else if regex::bytes::Regex::new(&regex).is_ok() {
                keys.insert("body_regex".to_owned(), json!(regex));
            } else {
                self.say(format_args!(
                    "regex {regex} is left out: it is no regular expression without backtracking"
                ));
            }
        }
        keys
    }

    /// `require_reply [BYTES[/MASK]]`.
    fn reply(&mut self, line: &Statement) {
        let bytes = line.arguments().join(" ");
        if bytes.contains('/') {
            self.say("any reply is right: a mask for it has no equivalent");
            self.set("expect", json!(""));
        } else if bytes.is_empty() {
            self.set("expect", json!(""));
        } else {
            self.set("expect_hex", json!(bytes));
        }
    }

    fn finish(mut self, around: &Around<'_>) -> Option<Vec<Check>> {
        let inherited = self.inherited.within(around.inherited);
        self.times(&inherited, around.service);
        if !matches!(self.kind, "icmp" | "script") && !self.keys.contains_key("port") {
            if !around.has_port && around.port.is_none() {
                self.say("kept as a comment: it says no port, and its service is of every port");
                return None;
            }
            self.set("port", json!(around.port));
        }
        self.set("type", json!(self.kind));
        let is_nobodys = self.kind == "script" && !self.keys.contains_key("user");
        if let Some(user) = around.script_user.filter(|_| is_nobodys) {
            self.set("user", json!(user));
        }
        if !self.left_out.is_empty() {
            let words = std::mem::take(&mut self.left_out).join(", ");
            self.say(format_args!("left out: {words}"));
        }
        if matches!(self.kind, "http" | "https") && !self.keys.contains_key("host") {
            self.set("host", json!(inherited.virtualhost));
        }
        if matches!(self.kind, "http" | "https") {
            let all = self.urls.len();
            self.urls.retain(|url| url.contains_key("path"));
            if self.urls.len() < all {
                self.say("a url without path is left out, as keepalived does");
            }
            if self.urls.is_empty() {
                self.say("kept as a comment: it has no url, so keepalived does not run it");
                return None;
            }
        }
        if self.urls.len() > 1 {
            let count = self.urls.len();
            self.say(format_args!("its {count} urls become {count} checks"));
        }
        let mut variants = std::mem::take(&mut self.urls);
        if variants.is_empty() {
            variants.push(Map::new());
        }
        let mut checks = Vec::new();
        for variant in variants {
            let mut keys = self.keys.clone();
            keys.extend(variant);
            match Check::from_json(&Value::Object(keys)) {
                Ok(check) => checks.push(check),
                Err(why) => {
                    self.say(format_args!("kept as a comment: {}", why.join("; ")));
                    return None;
                }
            }
        }
        if is_nobodys && around.script_user.is_none() {
            self.say(
                "it runs as the gateway does, which is root: add a `user` (keepalived takes \
                 keepalived_script, if there is such a user)",
            );
        }
        Some(checks)
    }

    fn times(&mut self, inherited: &Inherited<'_>, service: &Inherited<'_>) {
        let interval = inherited.delay_loop.unwrap_or(DELAY_LOOP);
        let script = self.kind == "script";
        let timeout = if script {
            // None, and 0, is the virtual server's own interval.
            let service = service.delay_loop.unwrap_or(DELAY_LOOP);
            self.limit.filter(|it| !it.is_zero()).unwrap_or(service)
        } else {
            inherited.connect_timeout.unwrap_or(CONNECT_TIMEOUT)
        };
        let retry = match self.kind {
            "dns" => 3,
            "script" => 0,
            _ => 1,
        };
        let retry_delay = match self.kind {
            "http" | "https" => Duration::from_secs(3),
            "dns" => interval,
            _ => Duration::from_secs(1),
        };
        let millis = |time: Duration| json!(format!("{}ms", time.as_millis()));
        self.set("interval", millis(interval));
        self.set("timeout", millis(timeout));
        self.set("retry", json!(inherited.retry.unwrap_or(retry)));
        let retry_delay = inherited.delay_before_retry.unwrap_or(retry_delay);
        self.set("retry_delay", millis(retry_delay));
        if inherited.warmup.is_some_and(|warmup| warmup != interval) {
            self.say("warmup is left out: the first check is anywhere within one `interval`");
        }
    }
}

/// A path without blanks and whatever else no request line has.
fn graphic(path: &str) -> String {
    let encoded = path.bytes().map(|byte| {
        if byte.is_ascii_graphic() {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    });
    encoded.collect()
}

/// The letter of an option of PCRE.
fn flag(option: &str) -> Option<char> {
    match option {
        "caseless" => Some('i'),
        "multiline" => Some('m'),
        "dotall" => Some('s'),
        "extended" => Some('x'),
        _ => None,
    }
}

/// The program and its arguments, which may stand in one pair of quotes.
fn command(line: &Statement) -> Vec<String> {
    match line.arguments() {
        [one] => {
            let (tokens, _) = split(one);
            let words = tokens.into_iter().map(|token| match token {
                Token::Word(word) => word,
                Token::Open => "{".to_owned(),
                Token::Close => "}".to_owned(),
            });
            words.collect()
        }
        words => words.to_vec(),
    }
}
