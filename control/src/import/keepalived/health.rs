//! What keepalived does about servers that fail, and the gateway does not: scripts and mails, and
//! checkers that have no equivalent. It is kept as comments.

use super::super::place::{Note, Place};
use super::tree::Statement;

/// Keywords of `virtual_server` and of `real_server`.
const SHARED: [&str; 10] = [
    "alpha",
    "connect_timeout",
    "delay_before_retry",
    "delay_loop",
    "inhibit_on_failure",
    "retry",
    "smtp_alert",
    "snmp_name",
    "virtualhost",
    "warmup",
];

/// Keywords of `virtual_server` alone.
const OF_SERVICE: [&str; 9] = [
    "ha_suspend",
    "hysteresis",
    "omega",
    "quorum",
    "quorum_down",
    "quorum_up",
    "sorry_server",
    "sorry_server_inhibit",
    "sorry_server_lvs_method",
];

/// Keywords of `real_server` alone: scripts and checkers.
const OF_SERVER: [&str; 12] = [
    "notify_down",
    "notify_up",
    "BFD_CHECK",
    "DNS_CHECK",
    "FILE_CHECK",
    "HTTP_GET",
    "MISC_CHECK",
    "PING_CHECK",
    "SMTP_CHECK",
    "SSL_GET",
    "TCP_CHECK",
    "UDP_CHECK",
];

/// Whether a line of a `virtual_server` is about health.
pub(super) fn is_of_service(keyword: &str) -> bool {
    SHARED.contains(&keyword) || OF_SERVICE.contains(&keyword)
}

/// Whether a line of a `real_server` is about health.
pub(super) fn is_of_server(keyword: &str) -> bool {
    SHARED.contains(&keyword) || OF_SERVER.contains(&keyword)
}

/// A keyword that this importer does not know.
pub(super) fn unknown(line: &Statement, block: &str) -> Note {
    let keyword = line.keyword();
    let message = format!("`{keyword}` is no known keyword of {block}: kept as a comment");
    Note::new(&line.place, message)
}

/// One sentence about everything that is kept of a virtual server, which stands at `place`.
pub(super) fn summary(heading: &str, place: &Place, kept: &[&Statement]) -> Option<Note> {
    let mut keywords: Vec<(&str, Vec<String>)> = Vec::new();
    let is_known =
        |line: &&Statement| is_of_service(line.keyword()) || is_of_server(line.keyword());
    for line in kept.iter().copied().filter(is_known) {
        let at = line.place.seen_from(place);
        match keywords.iter_mut().find(|(it, _)| *it == line.keyword()) {
            Some((_, places)) => places.push(at),
            None => keywords.push((line.keyword(), vec![at])),
        }
    }
    if keywords.is_empty() {
        return None;
    }
    let keywords: Vec<_> = keywords
        .iter()
        .map(|(keyword, places)| format!("{keyword} ({})", places.join(", ")))
        .collect();
    let message = format!(
        "{heading}: not carried over, and kept as comments: {}",
        keywords.join(", ")
    );
    Some(Note::new(place, message))
}

/// Lines of comments that keep what stands in them, each with its line.
pub(super) fn comments(place: &Place, kept: &[&Statement]) -> Vec<String> {
    let lines = kept.iter().flat_map(|line| line.lines());
    let lines = lines.map(|(at, text)| format!("  {}: {text}", at.seen_from(place)));
    lines.collect()
}
