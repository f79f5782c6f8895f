//! A metric with its help and samples.

use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};

/// One metric: a name, a sentence, and a sample for each set of labels.
#[derive(Debug)]
pub(super) struct Family {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    samples: Vec<Metric>,
}

impl Family {
    /// A metric that only grows.
    pub(super) const fn counter(name: &'static str, help: &'static str) -> Self {
        Self::new(name, help, MetricType::COUNTER)
    }

    /// A metric that goes up and down.
    pub(super) const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self::new(name, help, MetricType::GAUGE)
    }

    /// A metric that sorts what it counts by size.
    pub(super) const fn histogram(name: &'static str, help: &'static str) -> Self {
        Self::new(name, help, MetricType::HISTOGRAM)
    }

    const fn new(name: &'static str, help: &'static str, kind: MetricType) -> Self {
        Self {
            name,
            help,
            kind,
            samples: Vec::new(),
        }
    }

    /// This metric with a sample for each of `items`.
    pub(super) fn each<T, const N: usize>(
        mut self,
        items: impl IntoIterator<Item = T>,
        sample: impl Fn(T) -> ([(&'static str, String); N], u64),
    ) -> Self {
        for item in items {
            let (labels, value) = sample(item);
            self.push(labels, value);
        }
        self
    }

    /// This metric with a number in seconds for each of `items`.
    pub(super) fn seconds<const N: usize>(
        mut self,
        items: impl IntoIterator<Item = ([(&'static str, String); N], f64)>,
    ) -> Self {
        for (labels, value) in items {
            self.push_float(labels, value);
        }
        self
    }

    /// This metric with its only sample.
    pub(super) fn only(mut self, value: u64) -> Self {
        self.push([], value);
        self
    }

    /// This metric with a histogram of times for each of `items`: how many were at most each of
    /// `bounds` long but longer than the one before, last those that were longer than all, and
    /// the sum of all; in nanoseconds, which Prometheus shows as seconds.
    pub(super) fn times<T, const N: usize>(
        self,
        bounds: &[u64],
        items: impl IntoIterator<Item = T>,
        sample: impl for<'a> Fn(&'a T) -> ([(&'static str, String); N], &'a [u64], u64),
    ) -> Self {
        self.distribution(1e9, bounds, items, sample)
    }

    /// As [`Self::times`], of numbers that are no times.
    pub(super) fn sizes<T, const N: usize>(
        self,
        bounds: &[u64],
        items: impl IntoIterator<Item = T>,
        sample: impl for<'a> Fn(&'a T) -> ([(&'static str, String); N], &'a [u64], u64),
    ) -> Self {
        self.distribution(1.0, bounds, items, sample)
    }

    fn distribution<T, const N: usize>(
        mut self,
        per_unit: f64,
        bounds: &[u64],
        items: impl IntoIterator<Item = T>,
        sample: impl for<'a> Fn(&'a T) -> ([(&'static str, String); N], &'a [u64], u64),
    ) -> Self {
        for item in items {
            let (labels, counts, sum) = sample(&item);
            let mut below = 0;
            let buckets = bounds.iter().zip(counts).map(|(bound, count)| {
                below += count;
                let mut bucket = Bucket::default();
                bucket.set_upper_bound(float(*bound) / per_unit);
                bucket.set_cumulative_count(below);
                bucket
            });
            let mut histogram = Histogram::default();
            histogram.set_bucket(buckets.collect());
            histogram.set_sample_count(counts.iter().sum());
            histogram.set_sample_sum(float(sum) / per_unit);
            let mut metric = labelled(labels);
            metric.set_histogram(histogram);
            self.samples.push(metric);
        }
        self
    }

    fn push<const N: usize>(&mut self, labels: [(&'static str, String); N], value: u64) {
        self.push_float(labels, float(value));
    }

    fn push_float<const N: usize>(&mut self, labels: [(&'static str, String); N], value: f64) {
        let mut metric = labelled(labels);
        if self.kind == MetricType::COUNTER {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        self.samples.push(metric);
    }
}

fn labelled<const N: usize>(labels: [(&'static str, String); N]) -> Metric {
    let labels = labels.map(|(name, value)| {
        let mut label = LabelPair::default();
        label.set_name(name.to_owned());
        label.set_value(value);
        label
    });
    Metric::from_label(labels.into())
}

#[expect(
    clippy::cast_precision_loss,
    reason = "Prometheus counts in f64, which is exact up to 2^53"
)]
const fn float(value: u64) -> f64 {
    value as f64
}

impl From<Family> for MetricFamily {
    fn from(family: Family) -> Self {
        let mut made = Self::default();
        made.set_name(family.name.to_owned());
        made.set_help(family.help.to_owned());
        made.set_field_type(family.kind);
        made.set_metric(family.samples);
        made
    }
}
