//! What went wrong, as a status and sentences.

use axum::Json;
use axum::extract::rejection::{BytesRejection, QueryRejection, StringRejection};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use dataplane::knobs::{KnobError, KnobProblem};

use crate::config::ConfigErrors;
use crate::gateway::{ApplyError, ImportError, ListingError};
use crate::view::ErrorView;

/// A request that was not done, and why.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    errors: Vec<String>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self {
            status,
            errors: vec![error.into()],
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
        let Self { status, errors } = self;
        (status, Json(ErrorView { errors })).into_response()
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
        match error {
            ApplyError::Fixed(_) => Self::new(StatusCode::CONFLICT, error.to_string()),
        }
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
        Self::new(status, error.to_string())
    }
}

impl From<ConfigErrors> for Refusal {
    fn from(ConfigErrors(errors): ConfigErrors) -> Self {
        Self {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            errors: errors.iter().map(ToString::to_string).collect(),
        }
    }
}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}
