//! Net cost against the number of sessions, as SVG: one picture for each direction and transport.
//!
//! Both axes are logarithmic: sessions because they go from one to ten million, costs because
//! others' are ten times ours.

use super::Record;
use crate::svg::{Anchor, Grid, Stroke, Svg};

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
    /// Dashes join points of others, which were not measured in this run.
    stroke: Stroke,
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

/// The picture's size, and where its title begins.
const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 470.0;
const TITLE: f64 = 18.0;

/// What the axes show: one to ten million sessions, 1 ns to 1 µs.
const GRID: Grid = Grid {
    across: (70.0, 610.0),
    down: (56.0, 410.0),
    horizontal: 1.0..=1e7,
    vertical: 1.0..=1000.0,
};

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
                svg: draw(&format!("{direction}, {proto}, 64-byte packets"), &series),
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
            stroke: Stroke::Solid,
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
            stroke: Stroke::Dashed,
            points: vec![(1e3, few), (1e6, many)],
        })
}

#[expect(clippy::cast_precision_loss, reason = "nobody has 2⁵³ sessions")]
const fn flows(count: u64) -> f64 {
    count as f64
}

fn draw(title: &str, series: &[Series]) -> String {
    let mut svg = Svg::new(WIDTH, HEIGHT);
    let title = format!("Net cost of a packet: {title}");
    svg.text((TITLE, 20.0), Anchor::Start, &title);
    let unit = "ns of the worker's CPU time, testpmd io taken off";
    svg.text((TITLE, 40.0), Anchor::Start, unit);
    let costs = COST_TICKS.map(|cost| (cost, cost.to_string()));
    let flows = FLOW_TICKS.map(|(flows, name)| (flows, name.to_owned()));
    svg.grid(&GRID, flows, costs);
    let (left, right) = GRID.across;
    let below = (left.midpoint(right), GRID.down.1 + 44.0);
    svg.text(below, Anchor::Middle, "sessions");
    for Series {
        points,
        colour,
        stroke,
        ..
    } in series
    {
        let points: Vec<_> = points.iter().map(|point| GRID.point(*point)).collect();
        svg.curve(&points, colour, *stroke);
        for point in points {
            svg.mark(point, colour);
        }
    }
    legend(&mut svg, series);
    svg.finish()
}

/// What the lines are, the dearest first, as they mostly stand in the picture.
fn legend(svg: &mut Svg, series: &[Series]) {
    let mut sorted: Vec<_> = series.iter().collect();
    let last = |series: &Series| series.points.last().map_or(0.0, |(_, cost)| *cost);
    sorted.sort_by(|one, other| last(other).total_cmp(&last(one)));
    let x = GRID.across.1 + 24.0;
    let mut y = GRID.down.0 + 8.0;
    for series in sorted {
        svg.mark((x, y - 4.0), series.colour);
        // A long name takes two lines.
        match series.name.split_once(" (") {
            Some((name, note)) => {
                svg.text((x + 12.0, y), Anchor::Start, name);
                y += 16.0;
                svg.text((x + 12.0, y), Anchor::Start, &format!("({note}"));
            }
            None => svg.text((x + 12.0, y), Anchor::Start, &series.name),
        }
        y += 24.0;
    }
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
        let few = format!("{:.1},{:.1} {:.1},", GRID.x(1e3), GRID.y(18.0), GRID.x(1e6));
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
}
