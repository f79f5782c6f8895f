//! Sessions, page by page, as readers of `ipvsadm -Lnc` expect them.

use std::io;

use super::arguments::Sessions;
use super::client::{Client, percent_encoded};
use super::failure::Failure;
use super::table::{Table, or_dash};
use super::{Console, Exit};
use crate::view::{SessionView, SessionsView};

/// Sessions on a page: the most that the API gives.
const PAGE: u64 = 10_000;

const HEADING: [&str; 11] = [
    "Prot", ">Expire", "State", "Client", "Virtual", "Local", "Server", "Forward", ">InPkts",
    ">OutPkts", ">Worker",
];

pub(super) fn show(
    client: &Client,
    wanted: &Sessions,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let mut table = Table::headed(HEADING);
    let mut left = if wanted.all { u64::MAX } else { wanted.limit };
    let mut cursor = None;
    let mut shown = 0;
    while left > 0 {
        let path = path(wanted, left.min(PAGE), cursor.as_deref());
        let answer = client.get(&path)?.accepted()?;
        let page: SessionsView = answer.view()?;
        if console.json {
            console.raw(&answer.body)?;
        } else {
            write(&page, shown == 0, &mut table, console)?;
        }
        let count = page.sessions.len() as u64;
        shown += count;
        left = left.saturating_sub(count);
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    if cursor.is_some() && !console.json {
        writeln!(
            console.err,
            "There may be more than {shown} sessions: use --all, or a higher --limit."
        )?;
    }
    Ok(Exit::Well)
}

/// The question for one page.
fn path(wanted: &Sessions, limit: u64, cursor: Option<&str>) -> String {
    let cursor = cursor.map(|cursor| format!("&cursor={}", percent_encoded(cursor)));
    let filters = filters(wanted);
    format!(
        "/v1/sessions?limit={limit}{filters}{}",
        cursor.unwrap_or_default()
    )
}

/// Which sessions are wanted, as further words of a question.
pub(super) fn filters(wanted: &Sessions) -> String {
    let text = |addr: Option<std::net::IpAddr>| addr.map(|addr| addr.to_string());
    let filters = [
        ("client", text(wanted.client)),
        ("vip", text(wanted.vip)),
        ("server", text(wanted.server)),
        ("protocol", wanted.protocol.clone()),
    ];
    let given = filters
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)));
    given
        .map(|(key, value)| format!("&{key}={}", percent_encoded(&value)))
        .collect()
}

fn write(
    page: &SessionsView,
    is_first: bool,
    table: &mut Table,
    console: &mut Console<'_>,
) -> io::Result<()> {
    if is_first && page.sessions.is_empty() && page.next_cursor.is_none() {
        return writeln!(console.out, "No sessions.");
    }
    page.sessions
        .iter()
        .for_each(|session| table.row(row(session)));
    table.write(console.out)
}

fn row(session: &SessionView) -> [String; 11] {
    [
        session.protocol.clone(),
        minutes(session.expires_seconds),
        session.state.clone(),
        session.client.to_string(),
        session.vip.to_string(),
        or_dash(session.local),
        session.server.to_string(),
        session.method.clone(),
        session.traffic.in_packets.to_string(),
        session.traffic.out_packets.to_string(),
        session.worker.to_string(),
    ]
}

/// `mm:ss`; hours are minutes too.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` takes what is below zero for zero"
)]
fn minutes(seconds: f64) -> String {
    let seconds = seconds as u64;
    format!("{:02}:{:02}", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::TrafficView;

    fn session(expires_seconds: f64, local: Option<&str>) -> SessionView {
        SessionView {
            worker: 1,
            protocol: "tcp".to_owned(),
            state: "ESTABLISHED".to_owned(),
            client: "10.1.0.9:40000".parse().unwrap(),
            vip: "10.1.0.100:80".parse().unwrap(),
            local: local.map(|local| local.parse().unwrap()),
            server: "10.2.0.11:80".parse().unwrap(),
            method: if local.is_some() { "fullnat" } else { "dr" }.to_owned(),
            expires_seconds,
            age_seconds: 0.0,
            one_sided: true,
            port_returned: false,
            seq_delta: None,
            last_client_end: 0,
            mss_clamp: 0,
            traffic: TrafficView {
                sessions: 1,
                in_packets: 12,
                ..TrafficView::default()
            },
        }
    }

    fn rendered(page: &SessionsView) -> String {
        let mut out = Vec::new();
        let mut console = Console {
            out: &mut out,
            err: &mut Vec::new(),
            json: false,
            is_terminal: false,
            colour: crate::ctl::Painted::default(),
        };
        write(page, true, &mut Table::headed(HEADING), &mut console).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_session_is_a_line() {
        let page = SessionsView {
            sessions: vec![
                session(899.6, None),
                session(86_400.0, Some("10.2.0.200:20000")),
            ],
            next_cursor: None,
        };

        let expected = "\
Prot   Expire  State        Client          Virtual        Local             Server        Forward  InPkts  OutPkts  Worker
tcp     14:59  ESTABLISHED  10.1.0.9:40000  10.1.0.100:80  -                 10.2.0.11:80  dr           12        0       1
tcp   1440:00  ESTABLISHED  10.1.0.9:40000  10.1.0.100:80  10.2.0.200:20000  10.2.0.11:80  fullnat      12        0       1
";
        assert_eq!(rendered(&page), expected);
    }

    #[test]
    fn no_sessions_are_said_to_be_none() {
        let page = SessionsView {
            sessions: vec![],
            next_cursor: None,
        };

        assert_eq!(rendered(&page), "No sessions.\n");
    }

    #[test]
    fn filters_stand_in_the_question() {
        let wanted = Sessions {
            client: Some("2001:db8::9".parse().unwrap()),
            vip: None,
            server: Some("10.2.0.11".parse().unwrap()),
            protocol: Some("udp".to_owned()),
            limit: 1,
            all: false,
            export: None,
            import: None,
        };

        assert_eq!(
            path(&wanted, 7, Some("0-5")),
            "/v1/sessions?limit=7&client=2001%3Adb8%3A%3A9&server=10.2.0.11&protocol=udp&cursor=0-5"
        );
    }
}
