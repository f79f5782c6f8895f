//! The load that a server says in its answer: a percentage of its weight, as `75` or `75%`.
//!
//! Numbers have at most three digits: more than 100 raises the weight, as far as the service's
//! `weight_bounds` let it. A JSON field may be such a number or such a string. Anything else says
//! nothing, and the weight stays as it is: a page without its number is no reason to lose a server.

use hyper::HeaderMap;
use hyper::header::HeaderName;
use serde_json::Value;

use crate::config::LoadSource;

/// The greatest percentage that can be said.
const GREATEST: u16 = 999;

/// Where the load is said.
#[derive(Debug)]
pub(super) enum LoadPlace {
    Header(HeaderName),
    Json(String),
}

impl LoadPlace {
    /// What is configured.
    pub(super) fn new(source: &LoadSource) -> Result<Self, String> {
        match source {
            LoadSource::Header(name) => name
                .parse()
                .map(Self::Header)
                .map_err(|_| format!("\"{name}\" is not the name of a header")),
            LoadSource::Json(pointer) => Ok(Self::Json(pointer.clone())),
        }
    }

    /// Whether the body is read for it.
    pub(super) fn is_in_body(&self) -> bool {
        matches!(self, Self::Json(_))
    }

    /// What this answer says.
    pub(super) fn read(&self, headers: &HeaderMap, body: Option<&[u8]>) -> Option<u16> {
        match self {
            Self::Header(name) => percentage(headers.get(name)?.to_str().ok()?),
            Self::Json(pointer) => {
                let document: Value = serde_json::from_slice(body?).ok()?;
                of_json(document.pointer(pointer)?)
            }
        }
    }
}

fn of_json(value: &Value) -> Option<u16> {
    match value {
        Value::String(text) => percentage(text),
        Value::Number(number) => {
            let number = u16::try_from(number.as_u64()?).ok()?;
            (number <= GREATEST).then_some(number)
        }
        _ => None,
    }
}

/// `75`, `75%` or `75 %`.
pub(in crate::health) fn percentage(text: &str) -> Option<u16> {
    let text = text.trim();
    let digits = text.strip_suffix('%').map_or(text, str::trim_end);
    let plain = (1..=3).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_has_one_to_three_digits() {
        assert_eq!(percentage("75"), Some(75));
        assert_eq!(percentage(" 75% "), Some(75));
        assert_eq!(percentage("0 %"), Some(0));
        assert_eq!(percentage("250%"), Some(250));
        for none in [
            "",
            "%",
            "-1",
            "+1",
            "1000",
            "7.5",
            "0.75",
            "75 per cent",
            "٧٥",
        ] {
            assert_eq!(percentage(none), None, "{none}");
        }
    }

    #[test]
    fn a_json_field_is_a_number_or_a_percentage_as_text() {
        let place = LoadPlace::new(&LoadSource::Json("/status/0/load".to_owned())).unwrap();
        let read = |load: &str| {
            let document = format!(r#"{{"status": [{{"load": {load}}}]}}"#);
            place.read(&HeaderMap::new(), Some(document.as_bytes()))
        };

        assert_eq!(read("75"), Some(75));
        assert_eq!(read("\"75%\""), Some(75));
        for none in ["0.75", "1000", "-1", "1e2", "null", "[75]"] {
            assert_eq!(read(none), None, "{none}");
        }
        assert_eq!(place.read(&HeaderMap::new(), Some(b"{")), None);
        assert_eq!(place.read(&HeaderMap::new(), None), None);
    }

    #[test]
    fn a_header_is_found_whatever_its_case() {
        let place = LoadPlace::new(&LoadSource::Header("x-LOAD".to_owned())).unwrap();
        let mut headers = HeaderMap::new();
        assert_eq!(place.read(&headers, None), None);

        headers.insert("X-Load", "40%".parse().unwrap());

        assert_eq!(place.read(&headers, None), Some(40));
    }
}
