//! A metric with its help and samples.

use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

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

    /// This metric with its only sample.
    pub(super) fn only(mut self, value: u64) -> Self {
        self.push([], value);
        self
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "Prometheus counts in f64, which is exact up to 2^53"
    )]
    fn push<const N: usize>(&mut self, labels: [(&'static str, String); N], value: u64) {
        let labels = labels.map(|(name, value)| {
            let mut label = LabelPair::default();
            label.set_name(name.to_owned());
            label.set_value(value);
            label
        });
        let mut metric = Metric::from_label(labels.into());
        if self.kind == MetricType::COUNTER {
            let mut counter = Counter::default();
            counter.set_value(value as f64);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value as f64);
            metric.set_gauge(gauge);
        }
        self.samples.push(metric);
    }
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
