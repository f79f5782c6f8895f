//! Percentile curves as an SVG: how slow the slowest in 10, 100 and 1,000 are, for each path.
//!
//! ```text
//!  1 ms ┤                        ╭── tun        one panel for each driver;
//!       │              ╭─────────╯              both axes are logarithmic,
//! 100 µs┤ ─────────────╯── direct               the horizontal one in the share
//!       └┬────────┬──────────┬─────────┬        of requests that are slower
//!       50 %    90 %       99 %     99.9 %
//! ```

use std::ops::RangeInclusive;

use crate::svg::{Anchor, Grid, Stroke, Svg};

/// One panel of curves.
#[derive(Clone, Debug)]
pub struct Panel {
    /// What stands above it.
    pub title: String,
    /// The curves with their names.
    pub curves: Vec<Curve>,
}

/// One curve.
#[derive(Clone, Debug)]
pub struct Curve {
    /// Its name in the legend.
    pub name: String,
    /// Whether it only shows what another curve is worth; it is dashed then.
    pub is_control: bool,
    /// Fraction of requests and the response time in microseconds that they do not exceed.
    pub points: Vec<(f64, f64)>,
}

const PANEL_WIDTH: f64 = 510.0;
const HEIGHT: f64 = 440.0;
/// Where the grid is in a panel.
const ACROSS: (f64, f64) = (70.0, 480.0);
const DOWN: (f64, f64) = (44.0, 340.0);

/// Distinct in daylight and for the colour-blind (after Okabe and Ito).
const COLOURS: [&str; 6] = [
    "#000000", "#0072b2", "#009e73", "#e69f00", "#cc3311", "#999999",
];

/// How many names of curves stand beside each other, and how far apart.
const NAMES: usize = 3;
const NAME_WIDTH: f64 = 136.0;

/// The fractions that are named on the horizontal axis.
const FRACTIONS: [(f64, &str); 4] = [
    (0.5, "50 %"),
    (0.9, "90 %"),
    (0.99, "99 %"),
    (0.999, "99.9 %"),
];

/// Draws the panels side by side, with the same axes.
#[must_use]
pub fn svg(panels: &[Panel]) -> String {
    let width = panels.iter().map(|_| PANEL_WIDTH).sum();
    let mut svg = Svg::new(width, HEIGHT);
    let mut left = 0.0;
    for panel in panels {
        let grid = Grid {
            across: (left + ACROSS.0, left + ACROSS.1),
            down: DOWN,
            // One in so many is slower.
            horizontal: 2.0..=1_000.0,
            vertical: times(panels),
        };
        draw(&mut svg, panel, &grid);
        left += PANEL_WIDTH;
    }
    svg.finish()
}

/// One in how many requests is slower than this fraction of them.
fn one_in(fraction: f64) -> f64 {
    1.0 / (1.0 - fraction)
}

/// From the tick below the fastest to the tick above the slowest.
fn times(panels: &[Panel]) -> RangeInclusive<f64> {
    let curves = panels.iter().flat_map(|panel| &panel.curves);
    let times = curves.flat_map(|curve| curve.points.iter().map(|point| point.1));
    let (low, high) = times.fold((1e9_f64, 1.0_f64), |(low, high), time| {
        (low.min(time), high.max(time))
    });
    let below = ticks().take_while(|tick| *tick <= low).last();
    let below = below.unwrap_or(1.0).min(high);
    let above = ticks().find(|tick| *tick >= high && *tick > below);
    below..=above.unwrap_or(1e9)
}

/// 1, 2 and 5 of every decade, in microseconds.
fn ticks() -> impl Iterator<Item = f64> {
    let decades = (0..9).map(|power| 10.0_f64.powi(power));
    decades.flat_map(|decade| [decade, 2.0 * decade, 5.0 * decade])
}

fn draw(svg: &mut Svg, panel: &Panel, grid: &Grid) {
    let (left, right) = grid.across;
    let middle = left.midpoint(right);
    svg.text((middle, 24.0), Anchor::Middle, &panel.title);
    let share = "of the requests were answered within this time";
    svg.text((middle, DOWN.1 + 42.0), Anchor::Middle, share);
    let fractions = FRACTIONS.map(|(fraction, name)| (one_in(fraction), name.to_owned()));
    let shown = ticks().filter(|tick| grid.vertical.contains(tick));
    svg.grid(grid, fractions, shown.map(|tick| (tick, time(tick))));
    for (number, curve) in panel.curves.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let stroke = if curve.is_control {
            Stroke::Dashed
        } else {
            Stroke::Solid
        };
        let points = curve.points.iter();
        let points = points.map(|(fraction, time)| grid.point((one_in(*fraction), *time)));
        svg.curve(&points.collect::<Vec<_>>(), colour, stroke);
        let (row, column) = (number / NAMES, number % NAMES);
        let x = (0..column).fold(left, |x, _| x + NAME_WIDTH);
        let y = (0..row).fold(DOWN.1 + 68.0, |y, _| y + 20.0);
        svg.curve(&[(x, y - 4.0), (x + 22.0, y - 4.0)], colour, stroke);
        svg.text((x + 28.0, y), Anchor::Start, &curve.name);
    }
}

fn time(micros: f64) -> String {
    if micros < 1_000.0 {
        format!("{micros:.0} µs")
    } else {
        format!("{:.0} ms", micros / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panel(curves: &[(&str, f64)]) -> Panel {
        let curve = |(name, slowest): &(&str, f64)| Curve {
            name: (*name).to_owned(),
            is_control: *name == "direct again",
            points: vec![(0.5, 110.0), (0.99, 200.0), (0.999, *slowest)],
        };
        Panel {
            title: "a < b".to_owned(),
            curves: curves.iter().map(curve).collect(),
        }
    }

    #[test]
    fn every_curve_is_drawn_and_named_and_what_is_to_compare_with_is_dashed() {
        let curves = [("direct", 250.0), ("nat", 900.0), ("direct again", 260.0)];
        let panels = [panel(&curves), panel(&[])];

        let text = svg(&panels);

        // Each in the panel and in the legend.
        assert_eq!(text.matches("<polyline").count(), 6);
        assert_eq!(text.matches("stroke-dasharray").count(), 2);
        assert!(text.contains(">direct</text>") && text.contains(">nat</text>"));
        assert_eq!(text.matches("a &lt; b").count(), 2);
    }

    #[test]
    fn the_axis_ends_at_the_ticks_around_all_times() {
        let panels = [panel(&[("direct", 250.0)]), panel(&[("nat", 900.0)])];

        assert_eq!(times(&panels), 100.0..=1_000.0);
        // 100, 200, 500 µs and 1 ms.
        assert_eq!(svg(&panels).matches(">500 µs</text>").count(), 2);
        assert_eq!(svg(&panels).matches(">1 ms</text>").count(), 2);
        assert!(!svg(&panels).contains(">50 µs</text>"));
    }

    #[test]
    fn nothing_measured_still_gives_a_chart() {
        let text = svg(&[panel(&[])]);

        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    }
}
