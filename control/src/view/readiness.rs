//! Whether traffic should come here, as the API says it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Whether traffic should be sent to this gateway (`GET /v1/ready`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReadinessView {
    /// Whether it should.
    pub ready: bool,
    /// Why not, a sentence each.
    pub reasons: Vec<String>,
}
