//! What the gateway answered: requests to its API, and scrapes.
//!
//! A request is counted when the head of its answer is ready. Its route is the path's template, as
//! `/v1/services/{service}`, so that no client can make series: a path that the API does not know is
//! `other`, and so is a method that HTTP does not.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use parking_lot::Mutex;

use super::family::Family;
use crate::gateway::Gateway;
use crate::health::lateness::{BOUNDS, Lateness as Times};

/// What no template or known method stands for.
const OTHER: &str = "other";

/// What was answered since the start.
#[derive(Debug, Default)]
pub struct Answers {
    requests: Mutex<BTreeMap<(String, &'static str), Requests>>,
    scrapes: Mutex<Times>,
}

/// The requests of one route and method.
#[derive(Clone, Debug, Default)]
struct Requests {
    by_status: BTreeMap<u16, u64>,
    times: Times,
}

impl Answers {
    fn note_request(&self, route: &str, method: &Method, status: u16, took: Duration) {
        let mut requests = self.requests.lock();
        let key = (route.to_owned(), method_name(method));
        let requests = requests.entry(key).or_default();
        *requests.by_status.entry(status).or_default() += 1;
        requests.times.note(took);
    }

    pub(super) fn note_scrape(&self, took: Duration) {
        self.scrapes.lock().note(took);
    }
}

/// Lets a request pass, and counts it.
pub(crate) async fn count(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
    next: Next,
) -> Response {
    let begun = Instant::now();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = request.method().clone();
    let response = next.run(request).await;
    let route = route.as_ref().map_or(OTHER, MatchedPath::as_str);
    let status = response.status().as_u16();
    let answers = gateway.answers();
    answers.note_request(route, &method, status, begun.elapsed());
    response
}

fn method_name(method: &Method) -> &'static str {
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    let found = known.into_iter().find(|it| *it == method.as_str());
    found.unwrap_or(OTHER)
}

pub(super) fn gather(answers: &Answers) -> [Family; 3] {
    let requests = answers.requests.lock().clone();
    let label = |(route, method): &(String, &'static str)| {
        [("route", route.clone()), ("method", (*method).to_owned())]
    };
    let by_status = requests.iter().flat_map(|(key, requests)| {
        let by_status = requests.by_status.iter();
        by_status.map(move |(status, count)| (label(key), *status, *count))
    });
    let scrapes = *answers.scrapes.lock();
    [
        Family::counter(
            "sluice_api_requests_total",
            "Requests to the API by the template of their path, method, and status of the answer.",
        )
        .each(by_status, |([route, method], status, count)| {
            ([route, method, ("status", status.to_string())], count)
        }),
        Family::histogram(
            "sluice_api_request_seconds",
            "Requests to the API by the time until the head of their answer was ready.",
        )
        .times(&BOUNDS, &requests, |(key, requests)| {
            (label(key), &requests.times.counts, requests.times.nanos)
        }),
        Family::histogram(
            "sluice_scrape_seconds",
            "Scrapes before this one by the time that it took to gather and write them.",
        )
        .times(&BOUNDS, [scrapes], |it| ((), &it.counts, it.nanos)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_that_http_does_not_know_has_no_name_of_its_own() {
        let strange = Method::from_bytes(b"SPAM-4711").unwrap();

        assert_eq!(method_name(&strange), "other");
        assert_eq!(method_name(&Method::PATCH), "PATCH");
    }
}
