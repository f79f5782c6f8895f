//! Entity tags, and what a request makes its change depend on, so that two operators cannot
//! overwrite each other unseen (RFC 9110 §8.8.3 and §13).
//!
//! ```text
//! GET  ──► ETag: "4f1d…"                          what you saw
//! PUT  ──► If-Match: "4f1d…"  ──► 200             nobody came between
//!                             └─► 412             somebody did: look again
//! PUT without If-Match        ──► 428             if it is there already
//! ```

use std::fmt;
use std::hash::{DefaultHasher, Hasher};

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::refusal::Refusal;

/// What stands for one state of a resource: strong, so the same bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tag(String);

impl Tag {
    /// Of something small: a hash of what is shown of it.
    pub(super) fn of(shown: &impl Serialize) -> Result<Self, serde_json::Error> {
        let mut hasher = DefaultHasher::new();
        hasher.write(&serde_json::to_vec(shown)?);
        Ok(Self(format!("\"{:016x}\"", hasher.finish())))
    }

    /// Of what changes with the whole configuration: which start of the gateway, and how many
    /// changes since.
    pub(super) fn of_revision(start: &str, revision: u64) -> Self {
        Self(format!("\"{start}-{revision}\""))
    }

    /// The header that tells it.
    pub(super) fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        let value = HeaderValue::from_str(&self.0).ok()?;
        Some((header::ETAG, value))
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A list of tags as `If-Match` and `If-None-Match` have it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Tags {
    /// `*`: whatever is there.
    Any,
    /// These.
    These(Vec<String>),
}

impl Tags {
    fn read(headers: &HeaderMap, name: &HeaderName) -> Option<Self> {
        let mut values = headers.get_all(name).iter().peekable();
        values.peek()?;
        let values: Vec<_> = values.filter_map(|value| value.to_str().ok()).collect();
        if values.iter().any(|value| value.trim() == "*") {
            return Some(Self::Any);
        }
        // A tag of ours has no comma.
        let tags = values.iter().flat_map(|value| value.split(','));
        Some(Self::These(tags.map(|tag| tag.trim().to_owned()).collect()))
    }

    fn has(&self, tag: &Tag) -> bool {
        match self {
            Self::Any => true,
            Self::These(tags) => tags.contains(&tag.0),
        }
    }

    /// By weak comparison, which suffices for reading.
    fn has_weakly(&self, tag: &Tag) -> bool {
        match self {
            Self::Any => true,
            Self::These(tags) => tags
                .iter()
                .any(|it| it.strip_prefix("W/").unwrap_or(it) == tag.0),
        }
    }
}

/// What a request makes its change depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    if_match: Option<Tags>,
    if_none_match: Option<Tags>,
}

impl Condition {
    /// What these headers say.
    pub(super) fn read(headers: &HeaderMap) -> Self {
        Self {
            if_match: Tags::read(headers, &header::IF_MATCH),
            if_none_match: Tags::read(headers, &header::IF_NONE_MATCH),
        }
    }

    /// Whether `what`, which is there and has this tag now, may be changed.
    ///
    /// # Errors
    ///
    /// 428 without `If-Match`, 412 when it has another tag; both tell the present one.
    pub(super) fn allows_change(&self, what: &str, tag: &Tag) -> Result<(), Refusal> {
        let refuse = |status, sentence: String| Err(Refusal::new(status, sentence).with_tag(tag));
        let not_new = self.if_none_match.as_ref().is_some_and(|it| it.has(tag));
        if not_new {
            let sentence = format!("{what} is there already, with the ETag {tag}");
            return refuse(StatusCode::PRECONDITION_FAILED, sentence);
        }
        match &self.if_match {
            Some(tags) if tags.has(tag) => Ok(()),
            Some(_) => refuse(
                StatusCode::PRECONDITION_FAILED,
                format!(
                    "{what} was changed meanwhile: look at it again, and send its present ETag \
                     as If-Match: {tag}"
                ),
            ),
            None => refuse(
                StatusCode::PRECONDITION_REQUIRED,
                format!(
                    "to change {what}, send the ETag that you saw as If-Match, so that nobody \
                     else's change is overwritten: it is {tag} now, and * stands for any"
                ),
            ),
        }
    }

    /// Whether `what`, which is not there, may be made.
    ///
    /// # Errors
    ///
    /// 412 with `If-Match`, which nothing can match.
    pub(super) fn allows_making(&self, what: &str) -> Result<(), Refusal> {
        if self.if_match.is_none() {
            return Ok(());
        }
        let sentence =
            format!("there is no {what} that If-Match could match: leave it out to make one");
        Err(Refusal::new(StatusCode::PRECONDITION_FAILED, sentence))
    }

    /// The answer to `GET`: the body, or only that it is still the same.
    pub(super) fn shown(&self, tag: &Tag, body: impl IntoResponse) -> Response {
        let same = self.if_none_match.as_ref();
        let mut response = if same.is_some_and(|tags| tags.has_weakly(tag)) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            body.into_response()
        };
        response.headers_mut().extend(tag.header());
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(lines: &[(HeaderName, &'static str)]) -> Condition {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, HeaderValue::from_static(value));
        }
        Condition::read(&headers)
    }

    fn sentence(outcome: Result<(), Refusal>) -> String {
        outcome.unwrap_err().sentences().concat()
    }

    #[test]
    fn what_is_there_changes_only_with_its_tag() {
        let tag = Tag::of_revision("a1", 7);
        assert_eq!(tag.to_string(), "\"a1-7\"");
        let change = |lines: &[_]| condition(lines).allows_change("the configuration", &tag);

        for good in ["\"a1-7\"", "*", "\"x\", \"a1-7\""] {
            assert!(change(&[(header::IF_MATCH, good)]).is_ok(), "{good}");
        }
        let two_lines = [(header::IF_MATCH, "\"x\""), (header::IF_MATCH, "\"a1-7\"")];
        assert!(change(&two_lines).is_ok());
        assert_eq!(
            sentence(change(&[])),
            "to change the configuration, send the ETag that you saw as If-Match, so that nobody \
             else's change is overwritten: it is \"a1-7\" now, and * stands for any"
        );
        for bad in ["\"a1-6\"", "W/\"a1-7\"", "a1-7", ""] {
            assert_eq!(
                sentence(change(&[(header::IF_MATCH, bad)])),
                "the configuration was changed meanwhile: look at it again, and send its present \
                 ETag as If-Match: \"a1-7\""
            );
        }
        assert_eq!(
            sentence(change(&[(header::IF_NONE_MATCH, "*")])),
            "the configuration is there already, with the ETag \"a1-7\""
        );
    }

    #[test]
    fn what_is_not_there_is_made_without_a_tag() {
        assert!(condition(&[]).allows_making("service").is_ok());
        let new = condition(&[(header::IF_NONE_MATCH, "*")]);
        assert!(new.allows_making("service").is_ok());
        assert_eq!(
            sentence(condition(&[(header::IF_MATCH, "*")]).allows_making("service")),
            "there is no service that If-Match could match: leave it out to make one"
        );
    }

    #[test]
    fn what_was_seen_already_is_not_sent_again() {
        let tag = Tag::of(&[1, 2]).unwrap();
        let known = tag.to_string();
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_NONE_MATCH, format!("W/{known}").parse().unwrap());

        let same = Condition::read(&headers).shown(&tag, "body");
        let other = Condition::read(&headers).shown(&Tag::of(&[1, 3]).unwrap(), "body");

        assert_eq!(same.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(same.headers()[header::ETAG], known.as_str());
        assert_eq!(other.status(), StatusCode::OK);
    }
}
