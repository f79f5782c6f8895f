//! What the gateway would do with a packet, step by step.

use std::io::{self, Write};

use anstyle::AnsiColor;

use super::arguments::Explain;
use super::client::{Client, percent_encoded};
use super::failure::Failure;
use super::table::{Align, Table};
use super::{Console, Exit, paint};
use crate::view::ExplainView;

/// The outcome of a packet that goes nowhere.
const DROPPED: &str = "dropped";

pub(super) fn show(
    client: &Client,
    asked: &Explain,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let answer = client.get(&path(asked))?.accepted()?;
    let view: ExplainView = answer.view()?;
    if console.json {
        console.raw(&answer.body)?;
    } else {
        write(&view, console.colour.out, console.out)?;
    }
    Ok(if view.outcome == DROPPED {
        Exit::No
    } else {
        Exit::Well
    })
}

fn path(asked: &Explain) -> String {
    let Explain {
        source,
        destination,
        protocol,
        flags,
        port,
    } = asked;
    let (source, destination) = (source.to_string(), destination.to_string());
    let given = [
        ("source", Some(&source)),
        ("destination", Some(&destination)),
        ("protocol", Some(protocol)),
        ("flags", flags.as_ref()),
        ("port", port.as_ref()),
    ];
    let given = given.into_iter().filter_map(|(name, value)| {
        let value = percent_encoded(value?);
        Some(format!("{name}={value}"))
    });
    format!("/v1/explain?{}", given.collect::<Vec<_>>().join("&"))
}

fn write(view: &ExplainView, in_colour: bool, out: &mut dyn Write) -> io::Result<()> {
    let colour = match view.outcome.as_str() {
        "sent" | "delivered" => AnsiColor::Green,
        DROPPED => AnsiColor::Red,
        _ => AnsiColor::Yellow,
    };
    let mut table = Table::new([Align::Left; 2]);
    let mut before = "";
    for step in &view.steps {
        let is_same = step.about == before;
        let about = if is_same {
            String::new()
        } else {
            step.about.clone()
        };
        let text = match step.about.as_str() {
            "outcome" => paint(in_colour, colour, &step.text),
            _ => step.text.clone(),
        };
        table.row([about, text]);
        before = &step.about;
    }
    table.write(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_said_is_not_asked() {
        let mut asked = Explain {
            source: "[2001:db8::9]:4000".parse().unwrap(),
            destination: "[2001:db8::1]:80".parse().unwrap(),
            protocol: "tcp".to_owned(),
            flags: None,
            port: None,
        };
        let ends = "source=%5B2001%3Adb8%3A%3A9%5D%3A4000&destination=%5B2001%3Adb8%3A%3A1%5D%3A80";
        assert_eq!(path(&asked), format!("/v1/explain?{ends}&protocol=tcp"));

        asked.flags = Some("syn,ack".to_owned());
        asked.port = Some("wan".to_owned());
        let more = "&protocol=tcp&flags=syn%2Cack&port=wan";
        assert_eq!(path(&asked), format!("/v1/explain?{ends}{more}"));
    }
}
