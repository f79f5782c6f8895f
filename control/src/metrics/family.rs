//! A metric with its help and samples, in Prometheus's text format (version 0.0.4).
//!
//! Samples are text at once: a gateway with 40,000 servers has a million of them, and as values with
//! names of their own they take longer to make, and to give back, than to be written. What is
//! written is what the `prometheus` crate writes; the tests compare.

use std::fmt::{Display, Write as _};

/// One metric: a name, a sentence, and a sample for each set of labels.
#[derive(Debug)]
pub(super) struct Family {
    name: &'static str,
    help: &'static str,
    kind: &'static str,
    /// The lines of its samples.
    samples: String,
}

/// What tells a sample from the others of its metric.
pub(super) trait Labels {
    /// Appends each as `name="value"`, with a comma between two; whoever writes the set begins it.
    fn write(&self, text: &mut String);
}

/// Labels that are text already, for a sample in each of many metrics.
#[derive(Clone, Debug)]
pub(super) struct Written(String);

/// What a scrape answers.
#[derive(Debug, Default)]
pub(super) struct Page {
    text: String,
}

impl Family {
    /// A metric that only grows.
    pub(super) const fn counter(name: &'static str, help: &'static str) -> Self {
        Self::new(name, help, "counter")
    }

    /// A metric that goes up and down.
    pub(super) const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self::new(name, help, "gauge")
    }

    /// A metric that sorts what it counts by size.
    pub(super) const fn histogram(name: &'static str, help: &'static str) -> Self {
        Self::new(name, help, "histogram")
    }

    const fn new(name: &'static str, help: &'static str, kind: &'static str) -> Self {
        Self {
            name,
            help,
            kind,
            samples: String::new(),
        }
    }

    /// This metric with a sample for each of `items`.
    pub(super) fn each<T, L: Labels>(
        mut self,
        items: impl IntoIterator<Item = T>,
        sample: impl Fn(T) -> (L, u64),
    ) -> Self {
        for item in items {
            let (labels, value) = sample(item);
            self.line("", &labels, value);
        }
        self
    }

    /// This metric with a number in seconds for each of `items`.
    pub(super) fn seconds<L: Labels>(mut self, items: impl IntoIterator<Item = (L, f64)>) -> Self {
        for (labels, value) in items {
            self.line("", &labels, value);
        }
        self
    }

    /// This metric with its only sample.
    pub(super) fn only(mut self, value: u64) -> Self {
        self.line("", &(), value);
        self
    }

    /// This metric with a histogram of times for each of `items`: how many were at most each of
    /// `bounds` long but longer than the one before, last those that were longer than all, and
    /// the sum of all; in nanoseconds, which Prometheus shows as seconds.
    pub(super) fn times<T, L: Labels>(
        self,
        bounds: &[u64],
        items: impl IntoIterator<Item = T>,
        sample: impl for<'a> Fn(&'a T) -> (L, &'a [u64], u64),
    ) -> Self {
        self.distribution(1e9, bounds, items, sample)
    }

    /// As [`Self::times`], of numbers that are no times.
    pub(super) fn sizes<T, L: Labels>(
        self,
        bounds: &[u64],
        items: impl IntoIterator<Item = T>,
        sample: impl for<'a> Fn(&'a T) -> (L, &'a [u64], u64),
    ) -> Self {
        self.distribution(1.0, bounds, items, sample)
    }

    fn distribution<T, L: Labels>(
        mut self,
        per_unit: f64,
        bounds: &[u64],
        items: impl IntoIterator<Item = T>,
        sample: impl for<'a> Fn(&'a T) -> (L, &'a [u64], u64),
    ) -> Self {
        for item in items {
            let (labels, counts, sum) = sample(&item);
            let count: u64 = counts.iter().sum();
            let mut below = 0;
            for (bound, within) in bounds.iter().zip(counts) {
                below += within;
                let le = (float(*bound) / per_unit).to_string();
                self.line("_bucket", &(&labels, [("le", le)]), below);
            }
            self.line("_bucket", &(&labels, [("le", "+Inf")]), count);
            self.line("_sum", &labels, float(sum) / per_unit);
            self.line("_count", &labels, count);
        }
        self
    }

    fn line(&mut self, suffix: &str, labels: &impl Labels, value: impl Display) {
        let text = &mut self.samples;
        text.push_str(self.name);
        text.push_str(suffix);
        text.push('{');
        labels.write(text);
        if text.ends_with('{') {
            text.pop();
        } else {
            text.push('}');
        }
        let _written = writeln!(text, " {value}");
    }
}

impl Written {
    pub(super) fn of(labels: &impl Labels) -> Self {
        let mut text = String::new();
        labels.write(&mut text);
        Self(text)
    }
}

impl Labels for Written {
    fn write(&self, text: &mut String) {
        go_on(text);
        text.push_str(&self.0);
    }
}

impl Labels for () {
    fn write(&self, _: &mut String) {}
}

impl<V: AsRef<str>, const N: usize> Labels for [(&'static str, V); N] {
    fn write(&self, text: &mut String) {
        for (name, value) in self {
            go_on(text);
            text.push_str(name);
            text.push_str("=\"");
            escape(text, value.as_ref());
            text.push('"');
        }
    }
}

impl<L: Labels> Labels for &L {
    fn write(&self, text: &mut String) {
        (**self).write(text);
    }
}

impl<A: Labels, B: Labels> Labels for (A, B) {
    fn write(&self, text: &mut String) {
        self.0.write(text);
        self.1.write(text);
    }
}

/// A comma behind a label; nothing before the first.
fn go_on(text: &mut String) {
    if text.ends_with('"') {
        text.push(',');
    }
}

fn escape(text: &mut String, value: &str) {
    for it in value.chars() {
        match it {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            _ => text.push(it),
        }
    }
}

impl Page {
    /// Everything that was added.
    pub(super) fn text(self) -> String {
        self.text
    }

    /// Adds a metric, if it has a sample.
    pub(super) fn add(&mut self, family: &Family) {
        let Family {
            name,
            help,
            kind,
            samples,
        } = family;
        if !samples.is_empty() {
            let _written = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
            self.text.push_str(samples);
        }
    }
}

impl Extend<Family> for Page {
    fn extend<I: IntoIterator<Item = Family>>(&mut self, families: I) {
        families.into_iter().for_each(|family| self.add(&family));
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "Prometheus counts in f64, which is exact up to 2^53"
)]
const fn float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use prometheus::core::Collector;
    use prometheus::{Encoder as _, GaugeVec, HistogramOpts, HistogramVec, Opts, TextEncoder};
    use proptest::prelude::*;

    use super::*;

    fn page(family: &Family) -> String {
        let mut page = Page::default();
        page.add(family);
        page.text()
    }

    /// What the crate writes.
    fn peer(collector: &impl Collector) -> String {
        let mut text = Vec::new();
        let encoder = TextEncoder::new();
        encoder.encode(&collector.collect(), &mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    proptest! {
        #[test]
        fn samples_are_written_as_the_crate_writes_them(
            // Whatever has to be written otherwise, and all that has not.
            service in r#"[a-z:\\"\n{},=é 0-9]{0,12}"#,
            server in ".*",
            value in 0_u64..1 << 53,
            seconds in any::<u32>().prop_map(|it| f64::from(it) / 1e6),
        ) {
            let theirs = GaugeVec::new(Opts::new("made_up", "Some \"help\"."), &["server", "service"]);
            let theirs = theirs.unwrap();
            let labels = [("server", server), ("service", service)];
            let gauge = theirs.with_label_values(&[&labels[0].1, &labels[1].1]);

            gauge.set(float(value));
            let ours = || Family::gauge("made_up", "Some \"help\".");
            let whole = page(&ours().each([&labels], |labels| (labels.clone(), value)));
            prop_assert_eq!(&whole, &peer(&theirs));
            let [one, other] = labels.clone().map(|it| [it]);
            let in_parts = (Written::of(&one), other);
            prop_assert_eq!(whole, page(&ours().each([&in_parts], |it| (it, value))));

            gauge.set(seconds);
            prop_assert_eq!(page(&ours().seconds([(&labels, seconds)])), peer(&theirs));
        }

        #[test]
        fn histograms_are_written_as_the_crate_writes_them(
            millis in proptest::collection::vec(0_u32..40, 0..20),
            is_labelled: bool,
        ) {
            // Sums of these are exact.
            let bounds = [8_u64, 16, 24];
            let names: &[&str] = if is_labelled { &["worker"] } else { &[] };
            let values: &[&str] = if is_labelled { &["0"] } else { &[] };
            let options = HistogramOpts::new("made_up", "Help.").buckets(vec![8.0, 16.0, 24.0]);
            let theirs = HistogramVec::new(options, names).unwrap();
            let histogram = theirs.with_label_values(values);
            let mut counts = [0; 4];
            for it in &millis {
                histogram.observe(f64::from(*it));
                counts[bounds.iter().filter(|bound| u64::from(*it) > **bound).count()] += 1;
            }
            let sum = millis.iter().map(|it| u64::from(*it)).sum();

            let ours = Family::histogram("made_up", "Help.");
            let ours = if is_labelled {
                ours.sizes(&bounds, [counts], |it| ([("worker", "0")], it, sum))
            } else {
                ours.sizes(&bounds, [counts], |it| ((), it, sum))
            };
            prop_assert_eq!(page(&ours), peer(&theirs));
        }
    }

    #[test]
    fn nanoseconds_are_shown_as_seconds() {
        let family = Family::histogram("made_up_seconds", "Help.");

        let family = family.times(&[500_000, 1_000_000_000], [[1, 0, 2]], |it| {
            ([("worker", "1")], it, 5_000_400_000)
        });

        let expected = r#"# HELP made_up_seconds Help.
# TYPE made_up_seconds histogram
made_up_seconds_bucket{worker="1",le="0.0005"} 1
made_up_seconds_bucket{worker="1",le="1"} 1
made_up_seconds_bucket{worker="1",le="+Inf"} 3
made_up_seconds_sum{worker="1"} 5.0004
made_up_seconds_count{worker="1"} 3
"#;
        assert_eq!(page(&family), expected);
    }

    #[test]
    fn a_metric_without_samples_is_left_out() {
        let nobody: [([(&str, &str); 1], u64); 0] = [];

        assert_eq!(
            page(&Family::counter("made_up_total", "Help.").each(nobody, |it| it)),
            ""
        );
    }
}
