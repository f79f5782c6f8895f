//! Percentile curves as an SVG: how slow the slowest in 10, 100 and 1,000 are, for each path.
//!
//! ```text
//!  1 ms ┤                        ╭── tun        one panel for each driver;
//!       │              ╭─────────╯              both axes are logarithmic,
//! 100 µs┤ ─────────────╯── direct               the horizontal one in the share
//!       └┬────────┬──────────┬─────────┬        of requests that are slower
//!       50 %    90 %       99 %     99.9 %
//! ```

use std::fmt::Write as _;

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
    /// Fraction of requests and the response time in microseconds that they do not exceed.
    pub points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 66.0;

/// Distinct in daylight and for the colour-blind (after Okabe and Ito).
const COLOURS: [&str; 6] = [
    "#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00",
];

/// Where values are in a panel.
struct Scale {
    lowest: f64,
    highest: f64,
}

impl Scale {
    /// From the power of ten below the fastest to the one above the slowest.
    fn of(panels: &[Panel]) -> Self {
        let curves = panels.iter().flat_map(|panel| &panel.curves);
        let times = curves.flat_map(|curve| curve.points.iter().map(|point| point.1.max(1.0)));
        let (low, high) = times.fold((f64::MAX, 1.0_f64), |(low, high), time| {
            (low.min(time), high.max(time))
        });
        let lowest = low.min(high).log10().floor();
        Self {
            lowest,
            highest: high.log10().ceil().max(lowest + 1.0),
        }
    }

    /// The share of slower requests on a logarithmic axis, from half to one in 1,000.
    fn x(fraction: f64) -> f64 {
        let nines = -(1.0 - fraction.min(0.999)).log10();
        let half = 2.0_f64.log10();
        LEFT + (nines - half) / (3.0 - half) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, micros: f64) -> f64 {
        let share = (micros.max(1.0).log10() - self.lowest) / (self.highest - self.lowest);
        HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
    }

    /// Powers of ten with their halves, as far as they are on the axis.
    fn ticks(&self) -> impl Iterator<Item = f64> {
        let decades = (0..9).map(|power| 10.0_f64.powi(power));
        let ticks = decades.flat_map(|decade| [decade, 2.0 * decade, 5.0 * decade]);
        let (lowest, highest) = (10.0_f64.powf(self.lowest), 10.0_f64.powf(self.highest));
        ticks.filter(move |tick| (lowest * 0.999..highest * 1.001).contains(tick))
    }
}

/// Draws the panels side by side.
#[must_use]
pub fn svg(panels: &[Panel]) -> String {
    let scale = Scale::of(panels);
    let width = panels.iter().map(|_| WIDTH).sum::<f64>();
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    let mut left = 0.0;
    for panel in panels {
        let _ = writeln!(text, "<g transform=\"translate({left},0)\">");
        draw(&mut text, panel, &scale);
        text += "</g>\n";
        left += WIDTH;
    }
    text + "</svg>\n"
}

fn draw(text: &mut String, panel: &Panel, scale: &Scale) {
    let middle = LEFT.midpoint(WIDTH - RIGHT);
    label(text, (middle, 20.0), "middle", &panel.title);
    draw_axes(text, scale);
    for (number, curve) in panel.curves.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let points = curve.points.iter().fold(String::new(), |line, point| {
            line + &format!("{:.1},{:.1} ", Scale::x(point.0), scale.y(point.1))
        });
        let _ = writeln!(
            text,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.8\" points=\"{}\"/>",
            points.trim_end()
        );
        draw_legend(text, number, colour, &curve.name);
    }
}

fn draw_axes(text: &mut String, scale: &Scale) {
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    for tick in scale.ticks() {
        let y = scale.y(tick);
        let _ = writeln!(
            text,
            "<path d=\"M{LEFT},{y:.1}H{right}\" stroke=\"#dddddd\"/>"
        );
        let name = if tick < 1_000.0 {
            format!("{tick:.0} µs")
        } else {
            format!("{:.0} ms", tick / 1e3)
        };
        label(text, (LEFT - 6.0, y + 4.0), "end", &name);
    }
    for (fraction, name) in [
        (0.5, "50 %"),
        (0.9, "90 %"),
        (0.99, "99 %"),
        (0.999, "99.9 %"),
    ] {
        let x = Scale::x(fraction);
        let _ = writeln!(
            text,
            "<path d=\"M{x:.1},{TOP}V{bottom}\" stroke=\"#dddddd\"/>"
        );
        let anchor = if fraction > 0.99 { "end" } else { "middle" };
        label(text, (x, bottom + 16.0), anchor, name);
    }
    let _ = writeln!(
        text,
        "<path d=\"M{LEFT},{TOP}V{bottom}H{right}\" fill=\"none\" stroke=\"#444444\"/>"
    );
}

fn draw_legend(text: &mut String, number: usize, colour: &str, name: &str) {
    let x = (0..number).fold(LEFT, |x, _| x + 76.0);
    let y = HEIGHT - 24.0;
    let _ = writeln!(
        text,
        "<path d=\"M{x},{y}h16\" stroke=\"{colour}\" stroke-width=\"3\"/>"
    );
    label(text, (x + 20.0, y + 4.0), "start", name);
}

fn label(text: &mut String, at: (f64, f64), anchor: &str, words: &str) {
    let words = words
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let _ = writeln!(
        text,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{words}</text>",
        at.0, at.1
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panel(curves: &[(&str, f64)]) -> Panel {
        let curve = |(name, slowest): &(&str, f64)| Curve {
            name: (*name).to_owned(),
            points: vec![(0.5, 100.0), (0.99, 200.0), (0.999, *slowest)],
        };
        Panel {
            title: "a < b".to_owned(),
            curves: curves.iter().map(curve).collect(),
        }
    }

    #[test]
    fn every_curve_is_drawn_and_named_and_markup_is_escaped() {
        let panels = [panel(&[("direct", 250.0), ("nat", 900.0)]), panel(&[])];

        let text = svg(&panels);

        assert!(text.starts_with("<svg ") && text.ends_with("</svg>\n"));
        assert_eq!(text.matches("<polyline").count(), 2);
        assert!(text.contains(">direct</text>") && text.contains(">nat</text>"));
        assert_eq!(text.matches("a &lt; b").count(), 2);
        assert_eq!(text.matches("<g ").count(), text.matches("</g>").count());
    }

    #[test]
    fn slower_is_higher_and_rarer_is_further_right() {
        let scale = Scale::of(&[panel(&[("nat", 900.0)])]);

        assert!(scale.y(900.0) < scale.y(100.0));
        assert!(scale.y(100.0) <= HEIGHT - BOTTOM && scale.y(1_000.0) >= TOP);
        assert!(Scale::x(0.999) > Scale::x(0.99));
        assert!((Scale::x(0.5) - LEFT).abs() < 1e-9);
        assert!((Scale::x(0.9999) - (WIDTH - RIGHT)).abs() < 1e-9);
        // One decade, so its first, second, fifth and last tick.
        assert_eq!(scale.ticks().count(), 4);
    }

    #[test]
    fn nothing_measured_still_gives_a_chart() {
        let text = svg(&[panel(&[])]);

        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    }
}
