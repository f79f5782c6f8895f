//! One service, server or pool from JSON, as a request brings it.
//!
//! Each is read as it is where it stands in a file; how it gets on with the others is found out
//! when it joins them.

use std::path::Path;

use super::document::{self, Table};
use super::error::{ConfigError, ConfigErrors};
use super::section::{Problems, Section};
use super::{Check, LocalPool, Server, Service};

impl Service {
    /// The service of a JSON object with the keys of `[[service]]`; `path` is what errors call it.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it alone.
    pub fn from_json(json: &serde_json::Value, path: &Path) -> Result<Self, ConfigErrors> {
        read(json, path, |section| {
            Self::read(section).map(|written| written.value)
        })
    }
}

impl Server {
    /// The server of a JSON object with the keys of `[[service.server]]`, of a service with this
    /// port.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it alone.
    pub fn from_json(
        json: &serde_json::Value,
        service_port: u16,
        path: &Path,
    ) -> Result<Self, ConfigErrors> {
        read(json, path, |mut section| {
            let server = Self::read(&mut section, Some(service_port));
            section.finish();
            server
        })
    }
}

impl LocalPool {
    /// The pool of a JSON object with the keys of `[[local_pool]]`.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it alone.
    pub fn from_json(json: &serde_json::Value, path: &Path) -> Result<Self, ConfigErrors> {
        read(json, path, |section| {
            Self::read(section).map(|written| written.value)
        })
    }
}

impl Check {
    /// The check of a JSON object with the keys of `[[service.check]]`.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it, each a sentence.
    pub(crate) fn from_json(json: &serde_json::Value) -> Result<Self, Vec<String>> {
        let check = read(json, Path::new(""), Self::read);
        let messages = |errors: ConfigErrors| errors.0.into_iter().map(|it| it.message);
        check.map_err(|errors| messages(errors).collect())
    }
}

fn read<T>(
    json: &serde_json::Value,
    path: &Path,
    read: impl for<'a> FnOnce(Section<'a>) -> Option<T>,
) -> Result<T, ConfigErrors> {
    let problems = Problems::default();
    let table = document::from_json(json).unwrap_or_else(|message| {
        problems.refuse(0, message);
        Table::default()
    });
    if problems.has_no_errors()
        && let Some(value) = read(Section::root(&table, &problems))
        && problems.has_no_errors()
    {
        return Ok(value);
    }
    let [errors, _] = problems.into_sorted();
    let errors = errors.into_iter().map(|(line, message)| ConfigError {
        path: path.to_owned(),
        line,
        message,
    });
    Err(ConfigErrors(errors.collect()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const WHERE: &str = "tcp-10.1.0.100-80";

    #[test]
    fn a_part_reads_as_it_does_in_a_file() {
        let json = json!({
            "protocol": "tcp", "vip": "10.1.0.100", "port": 80,
            "server": [{"address": "10.2.0.11", "weight": 3}],
        });
        let whole = json!({"port": [{"name": "a", "device": "net_null0"}], "service": [json]});
        let (config, _) = super::super::Config::from_json(&whole, Path::new(WHERE)).unwrap();

        let service = Service::from_json(&json, Path::new(WHERE)).unwrap();

        assert_eq!(service, config.services()[0]);
        let server = Server::from_json(&json["server"][0], 80, Path::new(WHERE)).unwrap();
        assert_eq!(server, service.servers[0]);
        let pool = json!({"name": "lips", "addresses": ["10.2.0.200"]});
        let pool = LocalPool::from_json(&pool, Path::new(WHERE)).unwrap();
        assert_eq!(pool.name, "lips");
    }

    #[test]
    fn mistakes_name_the_part() {
        let sentence = |errors: ConfigErrors| errors.to_string();
        let service = json!({
            "protocol": "tcp", "vip": "10.1.0.100", "port": 80, "schedular": "rr",
            "server": [{"address": "10.2.0.11", "weight": -1}],
        });

        assert_eq!(
            sentence(Service::from_json(&service, Path::new(WHERE)).unwrap_err()),
            "tcp-10.1.0.100-80: server[0]: `weight` -1 is below 0: give 0 to 2147483647\n\
             tcp-10.1.0.100-80: `schedular` is not a key here: did you mean `scheduler`?"
        );
        assert_eq!(
            sentence(Server::from_json(&json!({}), 80, Path::new("10.2.0.11-80")).unwrap_err()),
            "10.2.0.11-80: `address` is missing: give the real server's address, like \"10.2.0.11\""
        );
    }
}
