//! What went wrong, as a status and sentences.

use axum::Json;
use axum::extract::rejection::{BytesRejection, JsonRejection, QueryRejection, StringRejection};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use dataplane::knobs::{KnobError, KnobProblem, Knobs};

use super::condition::Tag;
use crate::config::{ConfigErrors, EditError, near};
use crate::gateway::{ApplyError, DrainError, ExplainError, ImportError, ListingError, VisitError};
use crate::view::ErrorView;

/// A request that was not done, and why.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    errors: Vec<String>,
    /// The present tag of what was to be changed.
    tag: Option<Tag>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self {
            status,
            errors: vec![error.into()],
            tag: None,
        }
    }

    /// With the tag that what was to be changed has now.
    pub(super) fn with_tag(self, tag: &Tag) -> Self {
        Self {
            tag: Some(tag.clone()),
            ..self
        }
    }

    /// What is said, one sentence a problem.
    #[cfg(test)]
    pub(super) fn sentences(&self) -> &[String] {
        &self.errors
    }

    /// What is said, in a line: the first sentence, and how many there are besides.
    pub(super) fn in_a_line(&self) -> String {
        let first = self.errors.first().map_or("", |it| it.as_str());
        let first = first.replace('\n', "; ");
        match self.errors.len().saturating_sub(1) {
            0 => first,
            rest => format!("{first}; and {rest} mistakes more"),
        }
    }

    pub(super) fn no_such_path(path: &str) -> Self {
        let error = format!("there is no {path} here: the paths begin with /v1/");
        Self::new(StatusCode::NOT_FOUND, error)
    }

    pub(super) fn no_such_method(method: &Method, path: &str) -> Self {
        let error = format!("{path} knows no {method}");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self {
            status,
            errors,
            tag,
        } = self;
        let mut response = (status, Json(ErrorView { errors })).into_response();
        response
            .headers_mut()
            .extend(tag.and_then(|tag| tag.header()));
        response
    }
}

impl From<QueryRejection> for Refusal {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

impl From<BytesRejection> for Refusal {
    fn from(rejection: BytesRejection) -> Self {
        match rejection.status() {
            status @ StatusCode::PAYLOAD_TOO_LARGE => {
                let most = super::MAX_BODY_BYTES;
                Self::new(status, format!("the body is longer than {most} bytes"))
            }
            status => Self::new(status, rejection.body_text()),
        }
    }
}

impl From<ListingError> for Refusal {
    fn from(error: ListingError) -> Self {
        let status = match error {
            ListingError::NoAnswer(_) => StatusCode::SERVICE_UNAVAILABLE,
            ListingError::BadCursor(_)
            | ListingError::BadProtocol(_)
            | ListingError::BadLimit(_) => StatusCode::BAD_REQUEST,
        };
        Self::new(status, error.to_string())
    }
}

impl From<DrainError> for Refusal {
    fn from(error: DrainError) -> Self {
        let status = match error {
            DrainError::NotAServer(_) => StatusCode::BAD_REQUEST,
            DrainError::NoService(..) | DrainError::NoServer(..) => StatusCode::NOT_FOUND,
            DrainError::NothingKnown(..) | DrainError::Busy => StatusCode::CONFLICT,
            DrainError::Refused(_) => StatusCode::UNPROCESSABLE_ENTITY,
        };
        Self::new(status, error.to_string())
    }
}

impl From<VisitError> for Refusal {
    fn from(error: VisitError) -> Self {
        match error {
            VisitError::Nobody(error) => error.into(),
            VisitError::Nothing(_) => Self::new(StatusCode::NOT_FOUND, error.to_string()),
            VisitError::TooMany(_) => Self::new(StatusCode::BAD_REQUEST, error.to_string()),
            VisitError::Busy => Self::new(StatusCode::CONFLICT, error.to_string()),
        }
    }
}

impl From<JsonRejection> for Refusal {
    fn from(rejection: JsonRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

impl From<ExplainError> for Refusal {
    fn from(error: ExplainError) -> Self {
        let status = match error {
            ExplainError::NoAnswer(_) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        };
        Self::new(status, error.to_string())
    }
}

impl From<ImportError> for Refusal {
    fn from(error: ImportError) -> Self {
        let status = match error {
            ImportError::Busy => StatusCode::CONFLICT,
            ImportError::NoAnswer(_) => StatusCode::SERVICE_UNAVAILABLE,
            ImportError::BrokenOff(_) => StatusCode::BAD_REQUEST,
        };
        Self::new(status, error.to_string())
    }
}

impl From<ApplyError> for Refusal {
    fn from(error: ApplyError) -> Self {
        let status = match error {
            ApplyError::Fixed(_) => StatusCode::CONFLICT,
            ApplyError::Stale => StatusCode::PRECONDITION_FAILED,
        };
        Self::new(status, error.to_string())
    }
}

impl From<StringRejection> for Refusal {
    fn from(rejection: StringRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

impl From<KnobError> for Refusal {
    fn from(error: KnobError) -> Self {
        let status = match error.problem {
            KnobProblem::Unknown | KnobProblem::NotApplicable(_) => StatusCode::NOT_FOUND,
            KnobProblem::NotANumber(_) | KnobProblem::OutOfRange { .. } => StatusCode::BAD_REQUEST,
        };
        let advice = match error.problem {
            KnobProblem::Unknown => {
                let names: Vec<_> = Knobs::NAMES.iter().map(ToString::to_string).collect();
                format!(": {}", near(&error.name, &names, "sluicectl sysctl"))
            }
            _ => String::new(),
        };
        Self::new(status, format!("{error}{advice}"))
    }
}

impl From<ConfigErrors> for Refusal {
    fn from(ConfigErrors(errors): ConfigErrors) -> Self {
        Self {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            errors: errors.iter().map(ToString::to_string).collect(),
            tag: None,
        }
    }
}

impl From<EditError> for Refusal {
    fn from(error: EditError) -> Self {
        let (status, errors) = match error {
            EditError::NoService(_) | EditError::NoPool(_) => {
                (StatusCode::NOT_FOUND, vec![error.to_string()])
            }
            EditError::Refused(errors) => (StatusCode::UNPROCESSABLE_ENTITY, errors),
            EditError::Stale(_) => (StatusCode::PRECONDITION_FAILED, vec![error.to_string()]),
        };
        Self {
            status,
            errors,
            tag: None,
        }
    }
}

impl From<serde_json::Error> for Refusal {
    fn from(error: serde_json::Error) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}
