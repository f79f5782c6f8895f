//! Reads Prometheus text.

use std::collections::BTreeMap;

/// All samples of one scrape.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Vec<Sample>);

#[derive(Clone, Debug, PartialEq)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Metrics {
    /// Reads the text format, leaving comments out.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self(
            text.lines()
                .filter(|line| !line.starts_with('#'))
                .filter_map(sample)
                .collect(),
        )
    }

    /// The sum over all samples of `name` that carry every one of `labels`; zero when there is
    /// none.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let fits = |sample: &&Sample| {
            let carries = |(key, value): &(&str, &str)| {
                sample.labels.get(*key).is_some_and(|found| found == value)
            };
            sample.name == name && labels.iter().all(carries)
        };
        self.0.iter().filter(fits).map(|sample| sample.value).sum()
    }

    /// The values `label` takes over the samples of `name`, with their sums.
    #[must_use]
    pub fn by(&self, name: &str, label: &str) -> BTreeMap<String, f64> {
        let mut sums = BTreeMap::new();
        for sample in self.0.iter().filter(|sample| sample.name == name) {
            let value = sample.labels.get(label).cloned().unwrap_or_default();
            *sums.entry(value).or_default() += sample.value;
        }
        sums
    }
}

/// `name{label="value",...} number`; label values here never hold commas or quotes.
fn sample(line: &str) -> Option<Sample> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let labels = labels.strip_suffix('}')?;
    let pairs = labels.split(',').filter_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        Some((key.to_owned(), value.trim_matches('"').to_owned()))
    });
    Some(Sample {
        name: name.to_owned(),
        labels: pairs.collect(),
        value: value.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_summed_over_the_labels_that_are_not_asked_for() {
        let text = "# HELP sluice_x Text.\nsluice_x{worker=\"0\",reason=\"a\"} 2\n\
                    sluice_x{worker=\"1\",reason=\"a\"} 3\nsluice_x{worker=\"1\",reason=\"b\"} 7\n\
                    sluice_up 1\n";

        let metrics = Metrics::parse(text);

        assert_eq!(metrics.sum("sluice_x", &[("reason", "a")]), 5.0);
        assert_eq!(metrics.sum("sluice_x", &[]), 12.0);
        assert_eq!(metrics.sum("sluice_up", &[]), 1.0);
        assert_eq!(metrics.sum("sluice_y", &[]), 0.0);
        assert_eq!(metrics.by("sluice_x", "worker")["1"], 10.0);
    }
}
