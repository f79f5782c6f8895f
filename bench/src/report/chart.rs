//! Net cost against the number of sessions, as SVG: one picture for each direction and transport.
//!
//! Both axes are logarithmic: sessions because they go from one to ten million, costs because
//! others' are ten times ours.

use std::fmt::Write as _;

use super::Record;

/// A picture and the file it goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chart {
    /// The file's name.
    pub file: String,
    /// The picture.
    pub svg: String,
}

/// One line of the picture.
struct Series {
    name: String,
    colour: &'static str,
    /// Points of others, which were not measured in this run, are joined by dashes.
    is_published: bool,
    points: Vec<(f64, f64)>,
}

/// The methods with their colours, which are told apart by those who see no red or green too.
const METHODS: [(&str, &str); 4] = [
    ("dr", "#0072b2"),
    ("tun", "#e69f00"),
    ("nat", "#009e73"),
    ("fullnat", "#cc3311"),
];

/// Net costs of others with 1,000 and with a million flows of 64 bytes.
const PUBLISHED: [(&str, &str, [f64; 2]); 3] = [
    ("DPVS FULLNAT", "#333333", [150.0, 870.0]),
    ("Katran", "#777777", [101.0, 426.0]),
    ("VPP lb", "#aaaaaa", [97.0, 167.0]),
];

/// The picture's size, and where the axes begin and end in it.
const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 470.0;
const LEFT: f64 = 70.0;
const TITLE: f64 = 18.0;
const RIGHT: f64 = 610.0;
const TOP: f64 = 56.0;
const BOTTOM: f64 = 410.0;

/// What the axes show: one to ten million sessions, 1 ns to 1 µs.
const FLOWS: (f64, f64) = (1.0, 1e7);
const COST: (f64, f64) = (1.0, 1000.0);

const FLOW_TICKS: [(f64, &str); 8] = [
    (1.0, "1"),
    (1e1, "10"),
    (1e2, "100"),
    (1e3, "1 k"),
    (1e4, "10 k"),
    (1e5, "100 k"),
    (1e6, "1 M"),
    (1e7, "10 M"),
];
const COST_TICKS: [f64; 10] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0];

/// The directions that have pictures.
const DIRECTIONS: [&str; 3] = ["request", "reply", "both"];

/// Every file that [`all`] may name.
pub fn files() -> impl Iterator<Item = String> {
    DIRECTIONS
        .into_iter()
        .flat_map(|direction| ["tcp", "udp"].map(|proto| file(direction, proto)))
}

fn file(direction: &str, proto: &str) -> String {
    format!("net-{direction}-{proto}.svg")
}

/// The pictures of all directions and transports that have net costs of packets of 64 bytes.
#[must_use]
pub fn all(records: &[&Record]) -> Vec<Chart> {
    let mut charts = Vec::new();
    for direction in DIRECTIONS {
        for proto in ["tcp", "udp"] {
            let fits = |record: &&&Record| record.direction == direction && record.proto == proto;
            let records: Vec<_> = records.iter().filter(fits).copied().collect();
            let mut series = measured(&records);
            if series.is_empty() {
                continue;
            }
            // Only requests of others are known.
            if direction == "request" {
                series.extend(published());
            }
            charts.push(Chart {
                file: file(direction, proto),
                svg: svg(&format!("{direction}, {proto}, 64-byte packets"), &series),
            });
        }
    }
    charts
}

fn measured(records: &[&Record]) -> Vec<Series> {
    let series = METHODS.iter().map(|&(method, colour)| {
        let mut points: Vec<_> = (records.iter())
            .filter(|record| record.method == method)
            .filter_map(|record| Some((flows(record.flows), record.net_ns?)))
            .collect();
        points.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        Series {
            name: method.to_uppercase(),
            colour,
            is_published: false,
            points,
        }
    });
    series.filter(|series| !series.points.is_empty()).collect()
}

fn published() -> impl Iterator<Item = Series> {
    PUBLISHED
        .into_iter()
        .map(|(name, colour, [few, many])| Series {
            name: format!("{name} (published, other machine)"),
            colour,
            is_published: true,
            points: vec![(1e3, few), (1e6, many)],
        })
}

#[expect(clippy::cast_precision_loss, reason = "nobody has 2⁵³ sessions")]
const fn flows(count: u64) -> f64 {
    count as f64
}

fn svg(title: &str, series: &[Series]) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         width=\"{WIDTH}\" height=\"{HEIGHT}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    text(
        &mut svg,
        (TITLE, 20.0),
        "start",
        &format!("Net cost of a packet: {title}"),
    );
    axes(&mut svg);
    for one in series {
        line(&mut svg, one);
    }
    legend(&mut svg, series);
    svg.push_str("</svg>\n");
    svg
}

/// Grid, ticks and what they mean.
fn axes(svg: &mut String) {
    for (flows, name) in FLOW_TICKS {
        let x = x(flows);
        rule(svg, (x, TOP), (x, BOTTOM));
        text(svg, (x, BOTTOM + 20.0), "middle", name);
    }
    for cost in COST_TICKS {
        let y = y(cost);
        rule(svg, (LEFT, y), (RIGHT, y));
        text(svg, (LEFT - 8.0, y + 4.0), "end", &format!("{cost}"));
    }
    text(
        svg,
        (f64::midpoint(LEFT, RIGHT), BOTTOM + 44.0),
        "middle",
        "sessions",
    );
    text(
        svg,
        (TITLE, 40.0),
        "start",
        "ns of the worker's CPU time, testpmd io taken off",
    );
}

/// A series with a mark at each point.
fn line(svg: &mut String, series: &Series) {
    let points: Vec<_> = (series.points.iter())
        .map(|&(flows, cost)| (x(flows), y(cost)))
        .collect();
    let list: Vec<_> = (points.iter())
        .map(|(x, y)| format!("{x:.1},{y:.1}"))
        .collect();
    let Series { colour, .. } = series;
    let dashes = if series.is_published {
        " stroke-dasharray=\"5 4\""
    } else {
        ""
    };
    let _infallible = writeln!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dashes}/>",
        list.join(" ")
    );
    for (x, y) in points {
        mark(svg, (x, y), colour);
    }
}

/// What the lines are, the dearest first, as they mostly stand in the picture.
fn legend(svg: &mut String, series: &[Series]) {
    let mut sorted: Vec<_> = series.iter().collect();
    let last = |series: &Series| series.points.last().map_or(0.0, |(_, cost)| *cost);
    sorted.sort_by(|one, other| last(other).total_cmp(&last(one)));
    let mut y = TOP + 8.0;
    for series in sorted {
        mark(svg, (RIGHT + 24.0, y - 4.0), series.colour);
        // A long name takes two lines.
        match series.name.split_once(" (") {
            Some((name, note)) => {
                text(svg, (RIGHT + 36.0, y), "start", name);
                y += 16.0;
                text(svg, (RIGHT + 36.0, y), "start", &format!("({note}"));
            }
            None => text(svg, (RIGHT + 36.0, y), "start", &series.name),
        }
        y += 24.0;
    }
}

fn mark(svg: &mut String, (x, y): (f64, f64), colour: &str) {
    let _infallible = writeln!(
        svg,
        "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{colour}\"/>"
    );
}

fn rule(svg: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
    let _infallible = writeln!(
        svg,
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"#dddddd\"/>"
    );
}

/// `words` are this file's own: none has a character that XML keeps for itself.
fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, words: &str) {
    let _infallible = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>"
    );
}

fn x(flows: f64) -> f64 {
    LEFT + share(flows, FLOWS) * (RIGHT - LEFT)
}

fn y(cost: f64) -> f64 {
    BOTTOM - share(cost, COST) * (BOTTOM - TOP)
}

/// How far along a logarithmic axis a value stands. What is off the axis, such as a cost that
/// the noise has made negative, stands at its end.
fn share(value: f64, (from, to): (f64, f64)) -> f64 {
    let value = value.clamp(from, to);
    (value / from).log10() / (to / from).log10()
}

#[cfg(test)]
mod tests {
    use super::super::samples::measured;
    use super::*;

    #[test]
    fn a_chart_has_a_line_for_each_method_and_for_each_peer() {
        let records = [
            measured("dr", 1_000_000, 35.0),
            measured("dr", 1_000, 18.0),
            measured("fullnat", 1_000, 25.0),
        ];

        let charts = all(&records.iter().collect::<Vec<_>>());

        assert_eq!(charts.len(), 1);
        assert_eq!(charts[0].file, "net-request-udp.svg");
        let svg = &charts[0].svg;
        assert_eq!(svg.matches("<polyline").count(), 2 + PUBLISHED.len());
        assert_eq!(svg.matches("stroke-dasharray").count(), PUBLISHED.len());
        assert!(svg.contains(">DR</text>") && svg.contains(">FULLNAT</text>"));
        assert!(svg.contains(">DPVS FULLNAT</text>"));
        assert_eq!(svg.matches("(published, other machine)").count(), 3);
        // A line goes from few sessions to many, whatever the order of the records.
        let few = format!("{:.1},{:.1} {:.1},", x(1e3), y(18.0), x(1e6));
        assert!(svg.contains(&few), "{few} is not in {svg}");
    }

    #[test]
    fn mixed_sizes_and_rates_are_not_drawn() {
        let mut imix = measured("dr", 1_000, 18.0);
        imix.direction = "request-imix".to_owned();
        let mut new = measured("dr", 1_000, 18.0);
        new.net_ns = None;

        assert_eq!(all(&[&imix, &new]), []);
    }

    #[test]
    fn what_is_off_the_axis_stands_at_its_end() {
        assert_eq!(y(-3.0), BOTTOM);
        assert_eq!(y(5_000.0), TOP);
        assert_eq!((x(1.0), x(1e7)), (LEFT, RIGHT));
    }
}
