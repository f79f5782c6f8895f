//! What an operator should mend on the machine: settings of the kernel that quietly break a gateway,
//! and routes of the file that Linux does not use.
//!
//! It is looked at again and again, as both change while the gateway runs. The log says what is new
//! and what is over, each once; `sluicectl status` shows what there is.

use std::time::Duration;

use crate::gateway::Gateway;
use crate::linux::sysctl;

/// How often it is looked at.
pub(crate) const INTERVAL: Duration = Duration::from_secs(10);

/// What was found the last time.
#[derive(Debug, Default)]
pub(crate) struct Mending {
    known: Vec<String>,
}

/// What has changed between two looks.
#[derive(Debug, PartialEq, Eq)]
struct News {
    new: Vec<String>,
    over: Vec<String>,
}

impl Mending {
    /// Looks, once what Linux has is known.
    pub(crate) fn look(&mut self, gateway: &Gateway) {
        let config = gateway.config();
        let twins = config.interfaces().map(|it| it.interface);
        let twins: Vec<&str> = twins.map(|it| it.twin.name.as_str()).collect();
        let mut found: Vec<String> = (sysctl::warnings(&twins).iter())
            .map(ToString::to_string)
            .collect();
        found.extend(gateway.unused_routes());
        let news = self.renew(found);
        for sentence in &news.new {
            tracing::warn!("{sentence}");
        }
        for sentence in &news.over {
            tracing::info!("no longer so: {sentence}");
        }
        if !news.new.is_empty() || !news.over.is_empty() {
            gateway.set_warnings(self.known.clone());
        }
    }

    fn renew(&mut self, found: Vec<String>) -> News {
        let without = |all: &[String], known: &[String]| {
            let others = all.iter().filter(|it| !known.contains(it));
            others.cloned().collect()
        };
        let news = News {
            new: without(&found, &self.known),
            over: without(&self.known, &found),
        };
        self.known = found;
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentences(found: &[&str]) -> Vec<String> {
        found.iter().map(|it| (*it).to_owned()).collect()
    }

    #[test]
    fn what_stays_is_said_once_and_what_goes_and_comes_is_said_again() {
        let mut mending = Mending::default();
        let mut look = |found: &[&str]| {
            let news = mending.renew(sentences(found));
            (news.new, news.over)
        };

        assert_eq!(look(&["a", "b"]), (sentences(&["a", "b"]), Vec::new()));
        assert_eq!(look(&["a", "b"]), (Vec::new(), Vec::new()));
        assert_eq!(look(&["b"]), (Vec::new(), sentences(&["a"])));
        assert_eq!(look(&["a", "b"]), (sentences(&["a"]), Vec::new()));
    }
}
