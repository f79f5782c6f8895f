//! What all pictures are drawn with: a white ground, a grid with logarithmic axes, curves, words.

use std::fmt::Write as _;
use std::ops::RangeInclusive;

/// A place in the picture: to the right, and down.
pub(crate) type Point = (f64, f64);

/// Where a word stands beside its place.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Anchor {
    /// It begins there.
    Start,
    /// Its middle is there.
    Middle,
    /// It ends there.
    End,
}

/// How a curve is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stroke {
    /// What was measured.
    Solid,
    /// What is there to compare with.
    Dashed,
}

/// Where a grid is in the picture, and what its axes show.
#[derive(Clone, Debug)]
pub(crate) struct Grid {
    /// From the left edge to the right one.
    pub(crate) across: (f64, f64),
    /// From the upper edge to the lower one.
    pub(crate) down: (f64, f64),
    /// The values at the left and right edge.
    pub(crate) horizontal: RangeInclusive<f64>,
    /// The values at the lower and upper edge.
    pub(crate) vertical: RangeInclusive<f64>,
}

impl Grid {
    /// Where a value stands from left to right.
    pub(crate) fn x(&self, value: f64) -> f64 {
        let (left, right) = self.across;
        left + share(value, &self.horizontal) * (right - left)
    }

    /// Where a value stands on the vertical axis.
    pub(crate) fn y(&self, value: f64) -> f64 {
        let (top, bottom) = self.down;
        bottom - share(value, &self.vertical) * (bottom - top)
    }

    /// Where a pair of values stands.
    pub(crate) fn point(&self, (x, y): (f64, f64)) -> Point {
        (self.x(x), self.y(y))
    }
}

/// How far along a logarithmic axis a value stands. What is off the axis, such as a cost that
/// the noise has made negative, stands at its end.
fn share(value: f64, axis: &RangeInclusive<f64>) -> f64 {
    let (from, to) = (*axis.start(), *axis.end());
    (value.clamp(from, to) / from).log10() / (to / from).log10()
}

/// A picture being drawn.
#[derive(Clone, Debug)]
pub(crate) struct Svg(String);

impl Svg {
    /// An empty picture of this size.
    pub(crate) fn new(width: f64, height: f64) -> Self {
        Self(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
        ))
    }

    /// The finished picture.
    pub(crate) fn finish(self) -> String {
        self.0 + "</svg>\n"
    }

    /// A grid with the values that are named on its axes.
    pub(crate) fn grid<X, Y>(&mut self, grid: &Grid, horizontal: X, vertical: Y)
    where
        X: IntoIterator<Item = (f64, String)>,
        Y: IntoIterator<Item = (f64, String)>,
    {
        let ((left, right), (top, bottom)) = (grid.across, grid.down);
        for (value, name) in horizontal {
            let x = grid.x(value);
            self.rule((x, top), (x, bottom));
            self.text((x, bottom + 20.0), Anchor::Middle, &name);
        }
        for (value, name) in vertical {
            let y = grid.y(value);
            self.rule((left, y), (right, y));
            self.text((left - 8.0, y + 4.0), Anchor::End, &name);
        }
    }

    /// A curve by these points.
    pub(crate) fn curve(&mut self, points: &[Point], colour: &str, stroke: Stroke) {
        let list: Vec<_> = points
            .iter()
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        let dashes = match stroke {
            Stroke::Solid => "",
            Stroke::Dashed => " stroke-dasharray=\"5 4\"",
        };
        self.element(format_args!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dashes}/>",
            list.join(" ")
        ));
    }

    /// A dot.
    pub(crate) fn mark(&mut self, (x, y): Point, colour: &str) {
        self.element(format_args!(
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{colour}\"/>"
        ));
    }

    /// Words at a place.
    pub(crate) fn text(&mut self, (x, y): Point, anchor: Anchor, words: &str) {
        let words = words.replace('&', "&amp;").replace('<', "&lt;");
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        self.element(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>"
        ));
    }

    fn rule(&mut self, (x1, y1): Point, (x2, y2): Point) {
        self.element(format_args!(
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"#dddddd\"/>"
        ));
    }

    fn element(&mut self, element: std::fmt::Arguments<'_>) {
        let _infallible = writeln!(self.0, "{element}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: Grid = Grid {
        across: (10.0, 110.0),
        down: (20.0, 220.0),
        horizontal: 1.0..=100.0,
        vertical: 1.0..=1000.0,
    };

    #[test]
    fn axes_are_logarithmic_and_up_is_more() {
        assert!((GRID.x(10.0) - 60.0).abs() < 1e-9);
        assert_eq!(GRID.point((1.0, 1.0)), (10.0, 220.0));
        assert_eq!(GRID.point((100.0, 1000.0)), (110.0, 20.0));
    }

    #[test]
    fn what_is_off_an_axis_stands_at_its_end() {
        assert_eq!(GRID.y(-3.0), 220.0);
        assert_eq!(GRID.y(5_000.0), 20.0);
    }

    #[test]
    fn a_picture_is_well_formed_and_its_words_are_no_markup() {
        let mut svg = Svg::new(120.0, 240.0);
        svg.grid(&GRID, [(1.0, "one".to_owned())], [(10.0, "ten".to_owned())]);
        svg.curve(&[(1.0, 2.0), (3.0, 4.0)], "#000000", Stroke::Dashed);
        svg.text((5.0, 5.0), Anchor::Start, "a < b & c");

        let text = svg.finish();

        assert!(text.starts_with("<svg ") && text.ends_with("</svg>\n"));
        assert_eq!(text.matches("<line").count(), 2);
        assert!(text.contains("points=\"1.0,2.0 3.0,4.0\""), "{text}");
        assert!(text.contains(">a &lt; b &amp; c</text>"), "{text}");
    }
}
