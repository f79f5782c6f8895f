//! What one configuration has otherwise than another, in an operator's words.
//!
//! Both are compared as they are written: whatever a file can say shows, and defaults that one of
//! them spells out do not. The order of services, servers and pools means nothing; that of marks
//! does.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::Config;

/// What has changed from one configuration to another, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Each thing that is not the same.
    pub changes: Vec<Changed>,
}

/// Something that is not the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// What: `service tcp 10.1.0.100:80`, `[timeouts]`, `local pool "lips"`.
    pub what: String,
    /// Whether it came, went or is otherwise.
    pub how: How,
    /// Its keys: all of what came, those that differ of what is otherwise, none of what went.
    pub keys: Vec<KeyChanged>,
    /// Its servers and checks (or a port's VLANs) that are not the same.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Self>,
    /// Whether it can only be changed by a restart.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub needs_restart: bool,
}

/// What became of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It is otherwise.
    Changed,
}

/// A key with another value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyChanged {
    /// The key.
    pub key: String,
    /// What it said; nothing if it was absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Value>,
    /// What it says; nothing if it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Value>,
}

type Keys = Map<String, Value>;

impl Difference {
    /// What has changed from `before` to `after`.
    #[must_use]
    pub fn between(before: &Config, after: &Config) -> Self {
        let mut changes = Vec::new();
        let section = |name: &str, before: Value, after: Value, restart: &[&str]| {
            let changed = changed(format!("[{name}]"), &keys(before), &keys(after));
            changed.map(|changed| changed.fixed_if_any(restart))
        };
        let gateway = section("gateway", json!(before.gateway), json!(after.gateway), &[]);
        changes.extend(gateway.map(|changed| Changed {
            needs_restart: true,
            ..changed
        }));
        changes.extend(section(
            "ipvs",
            json!(before.ipvs),
            json!(after.ipvs),
            &["rules"],
        ));
        let [old, new] = [before, after].map(|config| keys(json!(config)));
        let timeouts = |keys: &Keys| keys.get("timeouts").cloned().unwrap_or_default();
        changes.extend(section("timeouts", timeouts(&old), timeouts(&new), &[]));
        changes.extend(section(
            "health",
            json!(before.check_interface),
            json!(after.check_interface),
            &["check_addresses", "check_interface"],
        ));
        let ports = named(&old, &new, &PORTS);
        changes.extend(ports.into_iter().map(|port| Changed {
            needs_restart: true,
            ..port
        }));
        changes.extend(marks(&old, &new));
        changes.extend(named(&old, &new, &POOLS));
        changes.extend(named(&old, &new, &SERVICES));
        Self { changes }
    }

    /// Whether nothing has.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

impl Changed {
    fn fixed_if_any(self, fixed: &[&str]) -> Self {
        let needs_restart = self.keys.iter().any(|it| fixed.contains(&it.key.as_str()));
        Self {
            needs_restart,
            ..self
        }
    }
}

/// A list of tables that have names.
struct List {
    /// The key of the list.
    key: &'static str,
    /// A table's name, of its place in the list and its keys.
    name: fn(usize, &Keys) -> String,
    /// Lists within each table.
    parts: &'static [Self],
}

const PORTS: List = List {
    key: "port",
    name: |_, keys| format!("port {}", shown(keys.get("name"))),
    parts: &[List {
        key: "vlan",
        name: |_, keys| format!("VLAN {}", shown(keys.get("name"))),
        parts: &[],
    }],
};

const POOLS: List = List {
    key: "local_pool",
    name: |_, keys| format!("local pool {}", shown(keys.get("name"))),
    parts: &[],
};

/// Checks have no names: those at the same place that ask the same are the same.
const CHECKS: List = List {
    key: "check",
    name: |at, keys| {
        let kind = keys.get("type").and_then(Value::as_str);
        format!("{} check {}", kind.unwrap_or_default(), at + 1)
    },
    parts: &[],
};

const SERVICES: List = List {
    key: "service",
    name: |_, keys| service_name(keys),
    parts: &[
        CHECKS,
        List {
            key: "server",
            name: |_, keys| {
                let address = keys.get("address").and_then(Value::as_str);
                format!("server {}", endpoint(address, keys.get("port")))
            },
            parts: &[CHECKS],
        },
    ],
};

/// What a service is for.
fn service_name(keys: &Keys) -> String {
    let vip = match keys.get("vip") {
        Some(Value::Object(vip)) => vip.get("address"),
        vip => vip,
    };
    match (keys.get("mark"), vip.and_then(Value::as_str)) {
        (Some(mark), _) if keys.get("family").and_then(Value::as_str) == Some("ipv6") => {
            format!("service mark6 {mark}")
        }
        (Some(mark), _) => format!("service mark {mark}"),
        (None, vip) => {
            let protocol = keys.get("protocol").and_then(Value::as_str);
            let end = endpoint(vip, keys.get("port"));
            format!("service {} {end}", protocol.unwrap_or_default())
        }
    }
}

fn endpoint(address: Option<&str>, port: Option<&Value>) -> String {
    let (address, port) = (address.unwrap_or_default(), shown(port));
    if address.contains(':') {
        format!("[{address}]:{port}")
    } else {
        format!("{address}:{port}")
    }
}

fn shown(value: Option<&Value>) -> String {
    value.map_or_else(String::new, ToString::to_string)
}

fn keys(value: Value) -> Keys {
    match value {
        Value::Object(keys) => keys,
        _ => Keys::new(),
    }
}

/// The tables of a list.
fn tables(of: &Keys, list: &str) -> Vec<Keys> {
    match of.get(list) {
        Some(Value::Array(tables)) => tables.iter().cloned().map(keys).collect(),
        _ => Vec::new(),
    }
}

/// What has changed in a list whose tables have names.
fn named(before: &Keys, after: &Keys, list: &List) -> Vec<Changed> {
    let named = |of: &Keys| -> Vec<(String, Keys)> {
        let tables = tables(of, list.key).into_iter().enumerate();
        let named = tables.map(|(at, table)| ((list.name)(at, &table), table));
        named.collect()
    };
    let before = named(before);
    let mut old: BTreeMap<String, Keys> = before.iter().cloned().collect();
    let mut changes = Vec::new();
    for (what, table) in named(after) {
        let known = old.remove(&what);
        let before = known.as_ref();
        changes.extend(changed_table(what, before, &table, list));
    }
    // Those that are left are gone; the file's order is the one they had.
    let gone = before.into_iter().map(|(what, _)| what);
    changes.extend(gone.filter(|it| old.contains_key(it)).map(removed));
    changes
}

/// What is otherwise about a table, which is new if it was not there before.
fn changed_table(
    what: String,
    before: Option<&Keys>,
    after: &Keys,
    list: &List,
) -> Option<Changed> {
    let nothing = Keys::new();
    let known = before.unwrap_or(&nothing);
    let parts = list.parts.iter();
    let parts: Vec<_> = parts.flat_map(|part| named(known, after, part)).collect();
    let keys = differing(
        &without_parts(known, after, list),
        &without_parts(after, known, list),
    );
    let is_same = before.is_some() && keys.is_empty() && parts.is_empty();
    (!is_same).then(|| Changed {
        how: match before {
            Some(_) => How::Changed,
            None => How::Added,
        },
        keys,
        parts,
        ..removed(what)
    })
}

const fn removed(what: String) -> Changed {
    Changed {
        what,
        how: How::Removed,
        keys: Vec::new(),
        parts: Vec::new(),
        needs_restart: false,
    }
}

/// Rules for marks have no names, and their order matters: from the first that differs on, all
/// are told, but for those at the end that are the same.
fn marks(before: &Keys, after: &Keys) -> Vec<Changed> {
    let [old, new] = [before, after].map(|of| tables(of, "mark"));
    let pairs = old.iter().zip(&new);
    let begin = pairs.take_while(|(one, other)| one == other).count();
    let room = old.len().min(new.len()) - begin;
    let ends = old.iter().rev().zip(new.iter().rev());
    let end = ends
        .take(room)
        .take_while(|(one, other)| one == other)
        .count();
    let what = |at: usize| format!("mark rule {}", at + 1);
    let gone = (begin..old.len() - end).map(|at| removed(what(at)));
    let come = (begin..new.len() - end).map(|at| Changed {
        how: How::Added,
        keys: differing(&Keys::new(), &new[at]),
        ..removed(what(at))
    });
    gone.chain(come).collect()
}

/// The keys of a table that are no lists of parts. An empty list says something (a server without
/// checks of its own is not one that has none) where the other table has no such key.
fn without_parts(table: &Keys, other: &Keys, list: &List) -> Keys {
    let says = |key: &str, value: &Value| {
        let is_part = list.parts.iter().any(|part| part.key == key);
        !is_part || *value == json!([]) && !other.contains_key(key)
    };
    let keys = table.iter().filter(|(key, value)| says(key, value));
    let keys = keys.map(|(key, value)| (key.clone(), value.clone()));
    keys.collect()
}

fn changed(what: String, before: &Keys, after: &Keys) -> Option<Changed> {
    let keys = differing(before, after);
    (!keys.is_empty()).then(|| Changed {
        how: How::Changed,
        keys,
        ..removed(what)
    })
}

fn differing(before: &Keys, after: &Keys) -> Vec<KeyChanged> {
    let gone = before.keys().filter(|key| !after.contains_key(*key));
    let all = after.keys().chain(gone);
    let differing = all.filter(|key| before.get(*key) != after.get(*key));
    let changes = differing.flat_map(|key| match (before.get(key), after.get(key)) {
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            let mut inner = self::differing(before, after);
            for change in &mut inner {
                change.key = format!("{key}.{}", change.key);
            }
            inner
        }
        (before, after) => vec![KeyChanged {
            key: key.clone(),
            from: before.cloned(),
            to: after.cloned(),
        }],
    });
    changes.collect()
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.changes.iter().try_for_each(|it| it.write(f, ""))
    }
}

impl Changed {
    fn write(&self, f: &mut fmt::Formatter<'_>, margin: &str) -> fmt::Result {
        let sign = match self.how {
            How::Added => '+',
            How::Removed => '-',
            How::Changed => '~',
        };
        write!(f, "{margin}{sign} {}", self.what)?;
        for (at, change) in self.keys.iter().enumerate() {
            f.write_str(if at == 0 { ": " } else { ", " })?;
            change.write(f, self.how)?;
        }
        let restart = ["", " (needs a restart)"][usize::from(self.needs_restart)];
        writeln!(f, "{restart}")?;
        let deeper = format!("{margin}  ");
        self.parts.iter().try_for_each(|it| it.write(f, &deeper))
    }
}

impl KeyChanged {
    fn write(&self, f: &mut fmt::Formatter<'_>, how: How) -> fmt::Result {
        let said = |value: &Option<Value>| {
            let value = value.as_ref();
            value.map_or_else(|| "nothing".to_owned(), ToString::to_string)
        };
        match how {
            How::Added => write!(f, "{} {}", self.key, said(&self.to)),
            How::Removed | How::Changed => {
                write!(f, "{} {} -> {}", self.key, said(&self.from), said(&self.to))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::config;
    use super::*;

    const WATCHED: &str = "[[service]]\nprotocol = \"tcp\"\nvip = \"10.1.0.100\"\nport = 80\n\
        damping = { suppress = 9 }\n\
        [[service.check]]\ntype = \"tcp\"\n\
        [[service.check]]\ntype = \"http\"\npath = \"/a\"\ninterval = 1\n\
        [[service.server]]\naddress = \"10.2.0.11\"\n\
        [[service.server]]\naddress = \"10.2.0.12\"\n\
        [[service.server.check]]\ntype = \"icmp\"\n";

    const BEFORE: &str = "[[mark]]\nmark = 1\n[[mark]]\nmark = 2\n\
        [[service]]\nname = \"web\"\nprotocol = \"tcp\"\nvip = \"10.1.0.100\"\nport = 80\n\
        [[service.server]]\naddress = \"10.2.0.11\"\n\
        [[service.server]]\naddress = \"10.2.0.12\"\n\
        [[service]]\nprotocol = \"udp\"\nvip = \"2001:db8::1\"\nport = 53\n";

    fn told(before: &str, after: &str) -> Vec<String> {
        let difference = Difference::between(&config(before), &config(after));
        let text = difference.to_string();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn the_same_is_no_difference_whatever_the_order_of_services() {
        let (head, services) = BEFORE.split_at(BEFORE.find("[[service]]").unwrap());
        let second = services.rfind("[[service]]").unwrap();
        let (web, dns) = services.split_at(second);

        assert!(told(BEFORE, BEFORE).is_empty());
        assert!(told(BEFORE, &format!("{head}{dns}{web}")).is_empty());
    }

    #[test]
    fn what_differs_of_services_and_servers_is_told_from_old_to_new() {
        let after = BEFORE
            .replace("port = 80\n", "port = 80\nscheduler = \"rr\"\n")
            .replace("\"10.2.0.11\"\n", "\"10.2.0.11\"\nweight = 5\n")
            .replace("10.2.0.12", "10.2.0.13")
            .replace(
                "[[service]]\nprotocol = \"udp\"",
                "[[service]]\nprotocol = \"tcp\"",
            );

        assert_eq!(
            told(BEFORE, &after),
            [
                "~ service tcp 10.1.0.100:80: scheduler \"wlc\" -> \"rr\"",
                "  ~ server 10.2.0.11:80: weight 1 -> 5",
                "  + server 10.2.0.13:80: address \"10.2.0.13\", method \"dr\", port 80, weight 1",
                "  - server 10.2.0.12:80",
                "+ service tcp [2001:db8::1]:53: mss_clamp \"auto\", port 53, protocol \"tcp\", \
                 scheduler \"wlc\", vip \"2001:db8::1\"",
                "- service udp [2001:db8::1]:53",
            ]
        );
    }

    #[test]
    fn sections_pools_ports_and_rules_are_told_too() {
        let begin = "[gateway]\nmemory_mb = 1024\n[ipvs]\nconn_reuse_mode = 0\n\
                     [timeouts]\nudp = 9\n\
                     [[local_pool]]\nname = \"lips\"\naddresses = [\"10.2.0.200\"]\n";
        let after = format!("{begin}{}", BEFORE.replace("mark = 1\n", "mark = 5\n"));

        assert_eq!(
            told(BEFORE, &after),
            [
                "~ [gateway]: memory_mb 512 -> 1024 (needs a restart)",
                "~ [ipvs]: conn_reuse_mode 1 -> 0",
                "~ [timeouts]: udp 300 -> 9",
                "- mark rule 1",
                "+ mark rule 1: mark 5",
                "+ local pool \"lips\": addresses [\"10.2.0.200\"], name \"lips\", ports \
                 \"1024-65535\"",
            ]
        );
    }

    #[test]
    fn keys_about_health_are_told_one_by_one() {
        let after = WATCHED
            .replace("suppress = 9", "suppress = 8, longest = \"1m\"")
            .replace("\"/a\"", "\"/b\"")
            .replace("interval = 1\n", "interval = \"500ms\"\nfall = 3\n")
            .replace(
                "\"10.2.0.11\"\n",
                "\"10.2.0.11\"\nenabled = false\ncheck = []\n",
            )
            .replace("type = \"icmp\"", "type = \"tcp\"\nport = 22");

        assert_eq!(
            told(WATCHED, &after),
            [
                "~ service tcp 10.1.0.100:80: damping.longest nothing -> 60, damping.suppress 9 -> 8",
                "  ~ http check 2: fall nothing -> 3, interval 1 -> \"500ms\", path \"/a\" -> \"/b\"",
                "  ~ server 10.2.0.11:80: check nothing -> [], enabled nothing -> false",
                "  ~ server 10.2.0.12:80",
                "    + tcp check 1: port 22, type \"tcp\"",
                "    - icmp check 1",
            ]
        );
        assert_eq!(told(&after, &after), [""; 0]);
    }

    #[test]
    fn as_json_it_says_old_and_new_values() {
        let after = BEFORE.replace("\"10.2.0.11\"\n", "\"10.2.0.11\"\nweight = 5\n");

        let difference = Difference::between(&config(BEFORE), &config(&after));

        assert_eq!(
            json!(difference),
            json!({"changes": [{
                "what": "service tcp 10.1.0.100:80", "how": "changed", "keys": [],
                "parts": [{
                    "what": "server 10.2.0.11:80", "how": "changed",
                    "keys": [{"key": "weight", "from": 1, "to": 5}],
                }],
            }]})
        );
    }
}
