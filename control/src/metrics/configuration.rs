//! The configuration that runs, and whether the gateway is well and ready.

use std::time::UNIX_EPOCH;

use super::family::Family;
use crate::gateway::Gateway;

pub(super) fn gather(gateway: &Gateway) -> [Family; 6] {
    let (revision, changed_at) = gateway.last_change();
    let changed_at = changed_at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let applies = gateway.applies();
    let health = gateway.health();
    let healthy = health.healthy;
    let ready = gateway.readiness_with(health).ready;
    let outcomes = [("applied", applies.applied), ("refused", applies.refused)];
    [
        Family::gauge(
            "sluice_configuration_revision",
            "Changes of the configuration since the start.",
        )
        .only(revision),
        Family::gauge(
            "sluice_configuration_last_change_timestamp_seconds",
            "When the configuration changed last, or the gateway started; seconds since 1970.",
        )
        .seconds([((), changed_at.as_secs_f64())]),
        Family::counter(
            "sluice_configuration_applies_total",
            "Whole configurations that the gateway was given, by file or API, and what came of them.",
        )
        .each(outcomes, |(outcome, count)| {
            ([("outcome", outcome.to_owned())], count)
        }),
        Family::gauge(
            "sluice_configuration_last_apply_successful",
            "0 while the last whole configuration that the gateway was given is one that it refused.",
        )
        .only((!applies.last_refused).into()),
        Family::gauge(
            "sluice_healthy",
            "1 while every worker runs and follows the configuration, and Linux has its interfaces.",
        )
        .only(healthy.into()),
        Family::gauge("sluice_ready", "1 while traffic should be sent here.").only(ready.into()),
    ]
}
