//! What `[[service]]` and `[[service.server]]` say about health.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::super::document::{Node, Value};
use super::super::section::Section;
use super::super::service::{MAX_WEIGHT, Server};
use super::{Agent, Check, Damping, Health, ServerHealth, Start, span};

/// The words of `start`.
pub(super) const STARTS: [(&str, Start); 2] = [("up", Start::Up), ("down", Start::Down)];

/// How often an agent may be asked, and what it may take.
const AGENT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);

/// What weights and counts may be damped by.
const DAMPING: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);

/// How long a weight may grow.
const SLOW_START: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(86_400);

/// How far a server's load may move its weight, in percent.
const BOUNDS: RangeInclusive<u16> = 1..=1000;

/// At what count a server may be kept out.
const MOST_FAILURES: u16 = 1000;

impl Health {
    /// `None` when nothing of it is said; `service_port` is the sorry server's unless it says
    /// another.
    pub(in super::super) fn read(
        section: &mut Section<'_>,
        service_port: Option<u16>,
    ) -> Option<Arc<Self>> {
        let usual = Self::default();
        let quorum = section.or("quorum", usual.quorum, |node| node.number(1, MAX_WEIGHT));
        let hysteresis = section.or("hysteresis", usual.hysteresis, |node| {
            node.number(0, MAX_WEIGHT)
        });
        let sorry_server = section.inner("sorry_server").and_then(|mut section| {
            let server = Server::read_plain(&mut section, service_port);
            section.finish();
            server
        });
        let health = Self {
            checks: read_checks(section).unwrap_or_default(),
            agent: read_agent(section),
            quorum,
            hysteresis,
            sorry_server,
            inhibit_on_failure: section.or("inhibit_on_failure", false, Node::boolean),
            start: section.or("start", usual.start, |node| node.word(&STARTS)),
            slow_start: section.or("slow_start", usual.slow_start, |node| {
                span::read(node, SLOW_START)
            }),
            damping: read_damping(section),
            weight_bounds: section.or("weight_bounds", usual.weight_bounds.clone(), read_bounds),
        };
        (health != usual).then(|| Arc::new(health))
    }
}

impl ServerHealth {
    /// `None` when nothing of it is said.
    pub(in super::super) fn read(section: &mut Section<'_>) -> Option<Arc<Self>> {
        let health = Self {
            disabled: !section.or("enabled", true, Node::boolean),
            checks: read_checks(section),
            agent: read_agent(section),
        };
        (health != Self::default()).then(|| Arc::new(health))
    }
}

/// The checks; `None` when the key is not there.
fn read_checks(section: &mut Section<'_>) -> Option<Arc<[Check]>> {
    let is_said = section.has("check");
    let checks = section.tables("check").into_iter();
    let checks = checks.filter_map(Check::read).collect();
    is_said.then_some(checks)
}

fn read_agent(section: &mut Section<'_>) -> Option<Agent> {
    let mut section = section.inner("agent")?;
    let missing = "give the TCP port on which the server says its load";
    let port = section.required("port", missing, |node| node.number(1, u16::MAX));
    let interval = section.or("interval", Agent::INTERVAL, |node| span::read(node, AGENT));
    let timeout = Agent::usual_timeout(interval);
    let timeout = section.or("timeout", timeout, |node| span::read(node, AGENT));
    section.finish();
    Some(Agent {
        port: port?,
        interval,
        timeout,
    })
}

impl Agent {
    /// From one question to the next when nothing is said.
    pub(super) const INTERVAL: Duration = Duration::from_secs(2);

    /// The timeout of whoever says none: 1 s, and no more than the interval.
    pub(super) fn usual_timeout(interval: Duration) -> Duration {
        Duration::from_secs(1).min(interval)
    }
}

/// `damping = false`, `true`, or a table with what is not as usual.
fn read_damping(section: &mut Section<'_>) -> Option<Damping> {
    let usual = Damping::default();
    let word = |node: &Node| match node.value {
        Value::Boolean(is_on) => Ok(Some(is_on)),
        Value::Table(_) => Ok(None),
        _ => Err(format!(
            "must be false, or a table like {{ half_life = \"1m\" }}, not {}",
            node.value.kind()
        )),
    };
    let said = section.optional("damping", word);
    match said {
        Some(Some(is_on)) => return is_on.then_some(usual),
        Some(None) => {}
        None => return Some(usual),
    }
    let mut section = section.inner("damping")?;
    let count = |least| move |node: &Node| node.number(least, MOST_FAILURES);
    let damping = Damping {
        half_life: section.or("half_life", usual.half_life, |node| {
            span::read(node, DAMPING)
        }),
        suppress: section.or("suppress", usual.suppress, count(2)),
        reuse: section.or("reuse", usual.reuse, count(1)),
        longest: section.or("longest", usual.longest, |node| span::read(node, DAMPING)),
    };
    if damping.reuse >= damping.suppress {
        let Damping {
            suppress, reuse, ..
        } = damping;
        let message = format!(
            "`reuse` {reuse} is not below `suppress` {suppress}, at which a server is kept out: \
             give it less"
        );
        section.refuse(section.table().line_of("reuse"), &message);
    }
    section.finish();
    Some(damping)
}

/// `[10, 100]`.
fn read_bounds(node: &Node) -> Result<RangeInclusive<u16>, String> {
    const WANTED: &str = "must be the least and the most percent, like [10, 100]";
    let Value::List(items) = &node.value else {
        return Err(format!("{WANTED}, not {}", node.value.kind()));
    };
    let [least, most] = items.as_slice() else {
        return Err(format!("{WANTED}, not a list of {}", items.len()));
    };
    let percent = |node: &Node| node.number(*BOUNDS.start(), *BOUNDS.end());
    let (least, most) = (percent(least)?, percent(most)?);
    if least > most {
        return Err(format!("{least} is above {most}: exchange them"));
    }
    Ok(least..=most)
}
